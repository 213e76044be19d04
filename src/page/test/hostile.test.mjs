// Large and hostile input in a real Chromium: messages, a page that answers, and no script of it runs.

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

const SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>";

/** The bombs of the tests of the command line, and texts that its parsers refuse. */
const BOMBS = [
  ["a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + Array.from({ length: 30 }, (_, nth) => `a${nth + 1}: &a${nth + 1} [${`*a${nth},`.repeat(9)}]\n`).join(""), "1,000,000 nodes"],
  ["[".repeat(100_000), "nested"],
  ["{".repeat(100_000), ""],
  ["- ".repeat(100_000), "nested"],
  [`{"a": ${"[".repeat(50_000)}`, ""],
  ["rollouts: &a [*a]", ""],
  ["rollouts: !<tag:,> {}", ""],
  ["\u0000\u0001\ufffe", ""],
  ["rollouts: " + "x".repeat(2_000_000), ""],
];

test("bombs give messages, and the page goes on", async (t) => {
  const page = await open(t, server, browser);
  for (const [bomb, message] of BOMBS) {
    await paste(page, bomb);
    await page.locator(".findings .error", { hasText: message }).first().waitFor();
    await paste(page, "rollouts: []");
    await verdict(page, "1 configuration: 0 errors");
  }
});

test("script in every name and header is text", async (t) => {
  const page = await open(t, server, browser);
  const name = JSON.stringify(SCRIPT);
  await paste(page, `version: ${name}\nidentity: [{header: ${name}}]\nrollouts:\n- name: ${name}\n  versions: [{name: ${name}}]\n  stable: ${name}\n  ${name}: 1\n`);
  await said(page, ".findings .error", SCRIPT);
  // A valid configuration, with values that a person chooses freely.
  await paste(page, `version: ${name}
identity: [{header: x-user-id}]
rollouts:
- name: checkout
  versions: [{name: v1, target: ${name}}, {name: v2, target: v2}]
  stable: v1
  rules: [{name: r, when: {header: x-canary, exact: ${name}}, use: v2}]
  strategy: {canary: {version: v2, weight: 20}}
`);
  await verdict(page, "1 configuration: 0 errors");
  await tab(page, "Ask");
  await page.getByLabel("Headers, one a line").fill(`x-user-id: ${SCRIPT}\nx-canary: ${SCRIPT}`);
  await said(page, ".decisions", "checkout → v2 because of rule");
  await said(page, ".holds", "found");
  await page.getByLabel("Request, or a curl command").fill(`GET https://${SCRIPT.replaceAll(" ", "/")}`);
  await said(page, ".decisions, .notice.error", /checkout|is not/);
  await tab(page, "See");
  await page.getByRole("img", { name: /^Shares of checkout/ }).waitFor();
  await page.getByLabel("Time").fill(SCRIPT);
  await said(page, ".notice.error", "is not an instant");
  await tab(page, "Take away");
  await page.getByRole("textbox", { name: "Gateway" }).fill(SCRIPT);
  await said(page, ".notice.error", "is not a name of Kubernetes");
  assert.equal(await page.locator("#page img, #page script").count(), 0);
});

test("with 1,000 rollouts no task of the main thread takes 50 ms of its processor", async (t) => {
  const page = await open(t, server, browser);
  const rollout = (nth) => `  - name: r${nth}
    match: [{hosts: [h${nth}.example.com]}]
    target: "{version}"
    versions: [{name: v1}, {name: v2}]
    stable: v1
    rules: [{name: testers, when: {header: x-canary, exact: "true"}, use: v2}]
    strategy: {canary: {version: v2, weight: 20}}
`;
  const text = `identity:\n  - header: x-user-id\nrollouts:\n${Array.from({ length: 1_000 }, (_, nth) => rollout(nth)).join("")}`;
  await browser.startTracing(page, { categories: ["toplevel"] });
  await paste(page, text);
  await verdict(page, "1 configuration: 0 errors");
  await editor(page).press("ControlOrMeta+End");
  await page.keyboard.type("foo: 1", { delay: 20 });
  await said(page, ".findings .error", "foo");
  for (let nth = 0; nth < 7; nth += 1) await page.keyboard.press("Backspace");
  await verdict(page, "1 configuration: 0 errors");
  await tab(page, "Ask");
  await page.getByLabel("Request, or a curl command").fill("GET https://h999.example.com/");
  await said(page, ".decisions", "r999 → v1");
  await tab(page, "See");
  // A selector of CSS: the search by role computes the names of 1,000 options in the thread that is measured.
  await page.locator('svg[aria-label^="Shares of r0"]').waitFor();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  const named = (event) => event.name === "thread_name" && event.args.name === "CrRendererMain";
  const mains = traceEvents.filter(named).map((event) => `${event.pid} ${event.tid}`);
  const tasks = traceEvents.filter((event) => event.ph === "X" && event.name.endsWith("RunTask") && mains.includes(`${event.pid} ${event.tid}`));
  const longest = tasks.reduce((most, task) => Math.max(most, task.tdur ?? 0), 0) / 1000;
  t.diagnostic(`${tasks.length} tasks, the longest ${longest.toFixed(1)} ms`);
  assert.ok(tasks.length > 100 && longest > 0 && longest < 50, `${longest} ms`);
});
