// What the tabs offer beside their main use, each with its effect.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, ROOT, serve } from "./lab.mjs";
import { open as opened, paste, said, settled, tab, verdict } from "./person.mjs";

const TARGET = process.env.CARGO_TARGET ?? join(ROOT, "target");

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

const open = (t) => opened(t, server, browser);

test("a warning is marked in place", async (t) => {
  const page = await open(t);
  await paste(page, "rollouts:\n- name: a\n  versions: [{name: v1}, {name: v2}]\n  stable: v1\n  strategy: {blueGreen: {active: v1}}\n  unreachable: true\n");
  await verdict(page, "1 configuration: 0 errors, 1 warning");
  await said(page, ".findings .warning", "line 6");
  await page.locator(".cm-lintRange-warning").waitFor();
});

test("of several plugins in a text, one is chosen", async (t) => {
  const page = await open(t);
  const plugin = (name, rollout, active) => `apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: ${name}}
spec:
  pluginConfig:
    rollouts:
    - {name: ${rollout}, versions: [{name: v1}, {name: v2}], stable: v1, strategy: {blueGreen: {active: ${active}}}}
`;
  await paste(page, `${plugin("one", "cart", "v2")}---\n${plugin("two", "search", "v1")}`);
  await verdict(page, "2 configurations: 0 errors");
  const choice = page.getByLabel("Plugin, of several in the text");
  await choice.selectOption("one");
  await tab(page, "Ask");
  await said(page, ".decisions", "cart → v2");
  await choice.selectOption("two");
  await said(page, ".decisions", "search → v1");
});

test("a decision takes what the proxy knows besides the headers", async (t) => {
  const page = await open(t);
  await paste(page, `rollouts:
- name: checkout
  target: "{version}"
  versions: [{name: v1}, {name: v2}]
  stable: v1
  rules:
  - {name: office, when: {sourceIp: true, cidr: 203.0.113.0/24}, use: v1}
  - {name: plan, when: {jwtClaim: plan, exact: gold}, use: v1}
  - {name: shop, when: {peer: true, exact: "spiffe://mesh/shop"}, use: v1}
  strategy: {blueGreen: {active: v2}}
`);
  await verdict(page, "1 configuration: 0 errors");
  await tab(page, "Ask");
  await page.getByText("What the proxy knows besides the headers").click();
  await said(page, ".decisions", "checkout → v2 because of active");
  for (const [label, value, reason] of [
    ["Source address", "203.0.113.7", "v1 because of rule"],
    ["URI in the client's certificate", "spiffe://mesh/shop", "v1 because of rule"],
    ["Claims of the verified token, as JSON", "{\"plan\": \"gold\"}", "v1 because of rule"],
    ["Versions that cannot be reached", "v2", "v1 because of unreachable"],
  ]) {
    await page.getByLabel(label).fill(value);
    await said(page, ".decisions", reason);
    await page.getByLabel(label).fill("");
    await said(page, ".decisions", "v2 because of active");
  }
});

test("each slider of the guardrail changes the simulation", async (t) => {
  const page = await open(t);
  await page.getByLabel("Example").selectOption("guardrail.yaml");
  await tab(page, "See");
  const result = page.locator("#guardrail-result");
  await result.getByText(/requests to stable/).waitFor();
  for (const [label, key] of [["Requests per second", "End"], ["Errors of the new version", "Home"], ["Median latency of the new version", "End"], ["Errors of stable", "End"], ["Duration", "Home"]]) {
    await settled(page);
    const before = await result.innerText();
    await page.getByLabel(new RegExp(`^${label}`)).press(key);
    await page.waitForFunction(({ before }) => {
      const result = document.querySelector("#guardrail-result");
      return result.getAttribute("aria-busy") === "false" && result.innerText !== before;
    }, { before });
  }
});

test("rendered files are those of the command line, and are saved as they are shown", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "divvy-render-"));
  t.after(() => rm(folder, { recursive: true }));
  const text = await readFile(`${ROOT}envoy/divvy.yaml`, "utf8");
  await writeFile(join(folder, "config.yaml"), text);
  const page = await open(t);
  await tab(page, "Take away");
  for (const [kind, ...flags] of [["istio", "--at=gateway", "--gateway=shop"], ["envoy"], ["plugin"], ["envoy-gateway", "--gateway=shop"]]) {
    await page.getByLabel("For").selectOption(kind);
    const expected = execFileSync(join(TARGET, "debug/divvy"), ["render", kind, "config.yaml", ...flags], { cwd: folder, encoding: "utf8" });
    await page.waitForFunction((expected) => document.querySelector("pre")?.textContent === expected, expected);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save as a file" }).click();
    const download = await saved;
    assert.equal(download.suggestedFilename(), `divvy-${kind}.yaml`);
    assert.equal(await readFile(await download.path(), "utf8"), expected);
  }
});
