// `divvy ui` in a real Chromium: a real Envoy whose canary is rolled back while the page is open, and a file on disk.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { launch, PAGE, ROOT } from "./lab.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TARGET = process.env.CARGO_TARGET ?? join(ROOT, "target");
const PATIENCE = 120_000;
const canary = (weight) => ({
  identity: [{ header: "x-user-id" }],
  rollouts: [{
    name: "checkout", versions: [{ name: "v1" }, { name: "v2" }], stable: "v1", target: "{version}",
    strategy: { canary: { version: "v2", weight } }, guardrail: { consecutiveErrors: 5 },
  }],
});
const text = (weight) => JSON.stringify(canary(weight), undefined, 2);

let browser, folder, lab, ui, address, traffic;
const file = () => join(folder, "canary.json");

/** Starts a program and reads its first line as JSON. */
async function start(program, args) {
  const child = spawn(program, args, { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  const line = await new Promise((done, failed) => {
    createInterface(child.stdout).once("line", done).once("close", () => failed(new Error(`${program} has ended`)));
  });
  return [child, JSON.parse(line)];
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "divvy-live-"));
  await writeFile(file(), text(40));
  let addresses;
  [lab, addresses] = await start(join(TARGET, "debug/examples/canary"), [file()]);
  // No process listens on the second port.
  [ui, { url: address }] = await start(join(TARGET, "debug/divvy"), [
    "ui", "--output=json", "--listen=127.0.0.1:0", "--every=500ms", `--page=${PAGE}`, `--admin=${addresses.admin}`, "--admin=127.0.0.1:1", file(),
  ]);
  lab.addresses = addresses;
  let user = 0;
  traffic = setInterval(() => {
    user += 1;
    fetch(`http://${addresses.edge}/`, { headers: { "x-user-id": `${user}` } }).catch(() => {});
  }, 20);
  browser = await launch();
});
after(async () => {
  clearInterval(traffic);
  await browser?.close();
  ui?.kill();
  lab?.stdin.end();
  await rm(folder, { recursive: true, force: true });
});

/** A page whose console has no error. Only this server is asked. */
async function open(t, options = {}, server = address) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const faults = [];
  page.on("request", (request) => { if (!request.url().startsWith("data:") && !request.url().startsWith(server)) faults.push(request.url()); });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
  await page.goto(`${server}/`);
  await page.locator(".verdict", { hasText: /\d configuration/ }).or(page.locator("#panel h2")).first().waitFor();
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  return page;
}

const tab = (page, name) => page.getByRole("tab", { name, exact: true }).click();
const cells = (page, version) => page.locator("#panel tbody tr", { has: page.getByRole("rowheader", { name: version, exact: true }) }).first();

async function withoutFindings(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`), []);
}

test("a canary is rolled back while the page is open", async (t) => {
  const page = await open(t);
  await tab(page, "Live");
  await cells(page, "v2").filter({ hasText: "healthy" }).waitFor();
  // Configured and in force.
  await page.waitForFunction(() => /^v240 %40 %/.test([...document.querySelectorAll("#panel tbody tr")].find((row) => row.textContent.startsWith("v2"))?.textContent ?? ""));
  const drawn = page.getByRole("img", { name: /^Requests per second of checkout/ }).locator("polyline");
  await drawn.nth(1).waitFor();
  assert.ok(await drawn.count() >= 2, "a line for each version");
  // The proxy that does not answer.
  await page.locator(".problems li", { hasText: "http://127.0.0.1:1/stats/prometheus does not answer: " }).waitFor();
  await page.getByText("that of the file").first().waitFor();
  // For people who do not see the lines. The table has the last 15 seconds.
  await page.getByText("The last values as a table").click();
  await page.locator("details td:nth-child(3)", { hasText: /^40 %, / }).first().waitFor();
  await withoutFindings(page);

  await fetch(`http://${lab.addresses.versions.v2}/_behave?errors=100`, { method: "POST" });
  await cells(page, "v2").filter({ hasText: "rolled back in 1 of 2" }).waitFor();
  // The file still says 40 %; nothing is in force.
  await page.waitForFunction(() => /^v240 %0 %/.test([...document.querySelectorAll("#panel tbody tr")].find((row) => row.textContent.startsWith("v2"))?.textContent ?? ""));
  const event = page.locator(".events li", { hasText: "checkout v2 is rolled back in 1 of 2 proxies: " });
  assert.match(await event.first().innerText(), /^\d\d:\d\d:\d\d checkout v2 is rolled back/);
  await page.locator(".problems li", { hasText: "checkout v2 is rolled back" }).waitFor();
  await page.locator("details td:nth-child(3)", { hasText: /^0 %, / }).first().waitFor();
  await withoutFindings(page);
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, "live.png"), fullPage: true });
  await page.setViewportSize({ width: 400, height: 800 });
  await page.waitForFunction(() => innerWidth === 400 && document.documentElement.scrollWidth <= 400);
});

test("the file is shown as it changes on disk, and an edit is not overwritten", async (t) => {
  const page = await open(t);
  const editor = page.getByRole("textbox", { name: "Configuration, YAML or JSON" });
  await page.locator(".followed", { hasText: "as it is on disk" }).waitFor();
  await editor.filter({ hasText: "\"weight\": 40" }).waitFor();
  // As editors and kubectl replace a file.
  const save = async (content) => {
    await writeFile(join(folder, "new"), content);
    await rename(join(folder, "new"), file());
  };
  await save(text(41));
  await editor.filter({ hasText: "\"weight\": 41" }).waitFor();
  // A mistake is shown like one that is typed.
  await save(text(500));
  await page.locator(".findings", { hasText: "500 is not a percentage" }).waitFor();
  await rm(file());
  await page.locator(".notice.error", { hasText: "No such file" }).waitFor();
  await save(text(42));
  await editor.filter({ hasText: "\"weight\": 42" }).waitFor();
  await editor.click();
  await page.keyboard.press("ControlOrMeta+End");
  await page.keyboard.insertText("\n");
  await page.locator(".followed", { hasText: "on disk has another text" }).waitFor();
  await save(text(43));
  await page.getByRole("button", { name: "Show it and drop this one" }).waitFor();
  await editor.filter({ hasText: "\"weight\": 42" }).waitFor();
  await page.getByRole("button", { name: "Show it and drop this one" }).click();
  await editor.filter({ hasText: "\"weight\": 43" }).waitFor();
  await save(text(40));
});

test("proxies that disagree are named", async (t) => {
  const other = join(folder, "other.json");
  await writeFile(other, text(10));
  const [second, addresses] = await start(join(TARGET, "debug/examples/canary"), [other]);
  t.after(() => second.stdin.end());
  const [both, { url }] = await start(join(TARGET, "debug/divvy"), [
    "ui", "--output=json", "--listen=127.0.0.1:0", "--every=500ms", `--page=${PAGE}`, `--admin=${lab.addresses.admin}`, `--admin=${addresses.admin}`, other,
  ]);
  t.after(() => both.kill());
  const page = await open(t, {}, url);
  await tab(page, "Live");
  await page.getByText("The proxies have different configurations.").waitFor();
  await page.locator(".problems li", { hasText: addresses.admin }).first().waitFor();
  const row = (admin) => page.locator("#panel tbody tr", { hasText: admin });
  await row(addresses.admin).filter({ hasText: ", that of the file" }).waitFor();
  await row(lab.addresses.admin).filter({ hasText: ", not that of the file" }).waitFor();
});
