// What belongs together stays together, however late answers are and however early keys come.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, serve } from "./lab.mjs";
import { editor, open, paste, said, tab, verdict } from "./person.mjs";

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

const WRONG = "identity:\n- header: x-user-id\nrollouts:\n- name: checkout\n  versions: [{name: v1}, {name: v2}]\n  stable: v1\n  strategy: {canary: {version: v2, weight: 500}}\n";
const marked = (page) => page.locator(".cm-lintRange-error", { hasText: "500" }).waitFor();

test("the answer to an older text never follows that text's change", async (t) => {
  const page = await open(t, server, browser);
  const rollout = (nth) => `- {name: r${nth}, versions: [{name: v1}, {name: v2}], stable: v1, strategy: {canary: {version: v2, weight: 20}}}\n`;
  const text = `identity: [{header: x-user-id}]\nrollouts:\n${Array.from({ length: 900 }, (_, nth) => rollout(nth)).join("")}- name: last\n  versions: [{name: v1}, {name: v2}]\n  stable: v1\n  strategy: {canary: {version: v2, weight: 20}}\n  enabled: tru`;
  await verdict(page, "0 errors");
  const content = await editor(page).elementHandle();
  // As soon as the worker has the text with the mistake, another letter repairs it: the answer comes after the repair.
  await page.evaluate((content) => {
    globalThis.seen = [];
    const verdict = document.querySelector(".verdict");
    new MutationObserver(() => globalThis.seen.push(verdict.textContent)).observe(verdict, { subtree: true, characterData: true, childList: true });
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (task, ...rest) {
      post.call(this, task, ...rest);
      if (task.question !== "check" || !task.given.text.endsWith("tru")) return;
      Worker.prototype.postMessage = post;
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", "e");
      content.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
      globalThis.repaired = true;
    };
  }, content);
  await paste(page, text);
  await page.waitForFunction(() => globalThis.repaired);
  await verdict(page, "1 configuration: 0 errors");
  await editor(page).getByText("enabled: true").waitFor();
  assert.deepEqual((await page.evaluate(() => globalThis.seen)).filter((one) => !one.includes(": 0 errors")), []);
});

test("the key after a click on a finding reaches the editor", async (t) => {
  const page = await open(t, server, browser);
  await paste(page, WRONG);
  const button = page.getByRole("button", { name: /500 is not a percentage/ });
  const focused = await button.evaluate(async (button) => {
    button.focus();
    button.click();
    // The next task, the earliest in which a key can arrive.
    await new Promise((done) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = done;
      port2.postMessage(0);
    });
    return document.activeElement.className;
  });
  assert.equal(focused, "editor");
});

test("marks and verdict change in one task", async (t) => {
  const page = await open(t, server, browser);
  await paste(page, WRONG);
  await marked(page);
  await page.evaluate(() => {
    const [verdict, root] = [document.querySelector(".verdict"), document.querySelector(".editor").shadowRoot];
    globalThis.left = new Promise((done) => {
      new MutationObserver(() => { if (verdict.textContent.includes(": 0 errors")) done(root.querySelectorAll(".cm-lintRange-error").length); })
        .observe(verdict, { subtree: true, characterData: true, childList: true });
    });
  });
  await page.getByRole("button", { name: /500 is not a percentage/ }).click();
  await page.keyboard.press("Delete");
  await verdict(page, "1 configuration: 0 errors");
  assert.equal(await page.evaluate(() => globalThis.left), 0);
});

test("a text that is replaced by itself keeps its marks, and line ends of Windows do not hide them", async (t) => {
  const page = await open(t, server, browser);
  await paste(page, WRONG);
  await marked(page);
  await paste(page, WRONG);
  await marked(page);
  const buffer = Buffer.from(WRONG.replaceAll("\n", "\r\n"));
  await page.getByLabel("Example").selectOption("cookie.yaml");
  await verdict(page, "1 configuration: 0 errors");
  await page.getByLabel("Open a file").setInputFiles({ name: "windows.yaml", mimeType: "application/yaml", buffer });
  await said(page, ".findings", "500 is not a percentage");
  await marked(page);
});

test("files are not copied while newer ones are rendered", async (t) => {
  const page = await open(t, server, browser);
  await tab(page, "Take away");
  const copy = page.getByRole("button", { name: "Copy", exact: true });
  await copy.and(page.locator(":enabled")).waitFor();
  const isDisabled = await page.getByLabel("Namespace").evaluate(async (input) => {
    input.value = "other";
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    // The next task, the earliest in which a key can arrive.
    await new Promise((done) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = done;
      port2.postMessage(0);
    });
    return [...document.querySelectorAll("button")].find((button) => button.textContent === "Copy").disabled;
  });
  assert.ok(isDisabled);
  await said(page, "pre", "namespace: other");
  await copy.and(page.locator(":enabled")).waitFor();
});
