// The page by the keyboard alone: no click, no focus that a script sets.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, ROOT, serve } from "./lab.mjs";
import { editor, isFocused, open, said, verdict } from "./person.mjs";

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** Presses a key until an element has the focus. */
async function until(page, locator, key = "Tab", most = 40) {
  await locator.waitFor();
  for (let presses = 0; presses < most; presses += 1) {
    await page.keyboard.press(key);
    if (await isFocused(locator)) return;
  }
  assert.fail(`${most} times ${key} do not lead to ${locator}`);
}

const tabNamed = (page, name) => page.getByRole("tab", { name, exact: true });

/** Goes back to the tabs, and by an arrow to the next one. */
async function next(page, from, to) {
  await until(page, tabNamed(page, from), "Shift+Tab");
  await page.keyboard.press("ArrowRight");
  await page.locator("[role=tab][aria-selected=true]:focus", { hasText: to }).waitFor();
}

async function replace(page, text) {
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

test("arrow keys, Home and End go through the tabs, of which Tab finds one", async (t) => {
  const page = await open(t, server, browser);
  await until(page, tabNamed(page, "Edit"), "Tab", 1);
  for (const [key, name] of [["ArrowRight", "Ask"], ["ArrowRight", "See"], ["ArrowRight", "Take away"], ["ArrowRight", "Edit"], ["ArrowLeft", "Take away"], ["Home", "Edit"], ["End", "Take away"]]) {
    await page.keyboard.press(key);
    await page.locator("[role=tab][aria-selected=true]:focus", { hasText: name }).waitFor();
  }
  await until(page, page.getByRole("button", { name: "Make the link" }), "Tab", 1);
});

test("load an example, edit, repair, ask, move a slider, make a link", async (t) => {
  const page = await open(t, server, browser);
  await until(page, page.getByLabel("Example"));
  await page.keyboard.type("cookie.yaml");
  const first = (await readFile(`${ROOT}envoy/examples/cookie.yaml`, "utf8")).split("\n")[0];
  await editor(page).getByText(first, { exact: true }).waitFor();
  // The editor can undo it.
  await until(page, editor(page));
  await page.keyboard.press("ControlOrMeta+z");
  const before = (await readFile(`${ROOT}envoy/divvy.yaml`, "utf8")).split("\n")[0];
  await editor(page).getByText(before, { exact: true }).first().waitFor();

  await page.keyboard.press("ControlOrMeta+Home");
  await page.keyboard.type("foo: 1");
  await page.keyboard.press("Enter");
  await said(page, ".findings .error", "foo");
  // Tab leads out of the editor, to the finding; Enter leads back, to its place.
  await until(page, page.locator(".findings .error button").first(), "Tab", 1);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Shift+End");
  await page.keyboard.press("Delete");
  await page.keyboard.press("Delete");
  await verdict(page, "1 configuration: 0 errors");
  assert.ok(await isFocused(editor(page)));

  await next(page, "Edit", "Ask");
  await until(page, page.getByLabel("Request, or a curl command"));
  await replace(page, "GET https://shop.example.com/checkout");
  await until(page, page.getByLabel("Headers, one a line"), "Tab", 1);
  await replace(page, "x-user-id: 1");
  await page.keyboard.press("Enter");
  await page.keyboard.type("x-canary: true");
  await said(page, ".decisions", "checkout → v2 because of rule");
  // Steps are folded and unfolded.
  const steps = page.locator(".steps summary").first();
  await until(page, steps);
  await page.keyboard.press("Enter");
  await page.locator(".steps").first().and(page.locator(":not([open])")).waitFor();

  await next(page, "Ask", "See");
  await until(page, page.getByLabel(/^Users/));
  await page.keyboard.press("ArrowRight");
  await said(page, "caption", "17,783 users of checkout");

  await next(page, "See", "Take away");
  await until(page, page.getByRole("button", { name: "Make the link" }));
  await page.keyboard.press("Enter");
  await said(page, "[role=status]", /copied/);
  await until(page, page.getByRole("region", { name: "Rendered files" }));
});

test("beside the editor, in a wide window, the focus goes on in both directions", async (t) => {
  const page = await open(t, server, browser, "", { viewport: { width: 1400, height: 900 } });
  await until(page, tabNamed(page, "Ask"), "Tab", 1);
  await until(page, editor(page));
  await until(page, page.getByLabel("Request, or a curl command"));
  await until(page, editor(page), "Shift+Tab");
  await until(page, tabNamed(page, "Ask"), "Shift+Tab");
});
