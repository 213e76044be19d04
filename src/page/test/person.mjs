// What a person does with the page, for the tests in Chromium.

import assert from "node:assert/strict";

/** Maximum waiting time in milliseconds, also for a machine that does other work. */
export const PATIENCE = 120_000;

/** A page that is ready. The test fails if it asks another host, breaks the policy or throws. */
export async function open(t, server, browser, fragment = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const faults = [];
  page.on("request", (request) => { if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(server.address)) faults.push(request.url()); });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
  page.on("dialog", (dialog) => { faults.push(`dialog ${dialog.message()}`); void dialog.dismiss(); });
  await page.goto(`${server.address}index.html${fragment}`);
  await page.locator(".verdict", { hasText: /\d configuration/ }).or(page.locator("#panel h2")).first().waitFor();
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  return page;
}

export const editor = (page) => page.getByRole("textbox", { name: "Configuration, YAML or JSON" });

export async function paste(page, text) {
  await editor(page).click();
  await page.keyboard.press("ControlOrMeta+a");
  // A paste: if keys replace coloured text, Chromium tries to keep its colour by an inline style, and reports that the
  // policy forbids it.
  await editor(page).evaluate((element, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

export const tab = (page, name) => page.getByRole("tab", { name, exact: true }).click();
/** Waits for the verdict of the text that the editor has now; `.verdict` alone may still be that of the one before. */
export const verdict = (page, text) => page.locator(".verdict[aria-busy=false]", { hasText: text }).waitFor();
/** Waits until every answer is that of the newest question. */
export const settled = (page) => page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
/** Whether an element has the focus, also in a shadow root. */
export const isFocused = (locator) => locator.evaluate((element) => element.getRootNode().activeElement === element);
export const said = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor();
