// The page in a real Chromium, as a person uses it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { launch, load, ROOT, serve } from "./lab.mjs";
import { editor, open as opened, PATIENCE, paste as write, said, settled, tab, verdict } from "./person.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LIMIT = 1_500_000;

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

const open = (t, fragment, options) => opened(t, server, browser, fragment, options);

async function withoutFindings(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`), []);
}

test("a mistake is shown in place while it is typed, and goes away", async (t) => {
  const page = await open(t);
  await verdict(page, "1 configuration: 0 errors, 0 warnings");
  await write(page, "identity:\n- header: x-user-id\nrollouts:\n- name: checkout\n  versions: [{name: v1}, {name: v2}]\n  stable: v1\n  strategy: {canary: {version: v2, weight: 500}}");
  await said(page, ".findings", "500 is not a percentage");
  await page.locator(".cm-lintRange-error", { hasText: "500" }).waitFor();
  await page.getByRole("button", { name: /500 is not a percentage/ }).click();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Delete");
  await verdict(page, "1 configuration: 0 errors");
  await page.locator(".cm-lintRange-error").waitFor({ state: "detached" });
});

test("every example and a WasmPlugin open without errors", async (t) => {
  const page = await open(t);
  const select = page.getByLabel("Example");
  const names = await select.locator("option").evaluateAll((options) => options.map((option) => option.value).filter((value) => value !== ""));
  assert.ok(names.length > 28 && names.includes("guardrail.yaml") && names.includes("istio/base/plugin.yaml"), `${names}`);
  for (const name of names) {
    await select.selectOption(name);
    const path = name === "divvy.yaml" ? "envoy/divvy.yaml" : name.startsWith("istio/") ? name : `envoy/examples/${name}`;
    const line = (await readFile(ROOT + path, "utf8")).split("\n").find((one) => one.trim() !== "");
    await editor(page).getByText(line.trim(), { exact: true }).first().waitFor();
    await verdict(page, "1 configuration: 0 errors");
  }
});

test("a file opens, and completion offers the fields of the schema", async (t) => {
  const page = await open(t);
  await page.getByLabel("Open a file").setInputFiles(`${ROOT}istio/base/plugin.yaml`);
  await editor(page).getByText("kind: WasmPlugin", { exact: true }).waitFor();
  await verdict(page, "1 configuration: 0 errors");
  await write(page, "rollouts:\n- name: a\n  stra");
  await page.keyboard.press("Control+Space");
  await page.locator(".cm-tooltip-autocomplete li", { hasText: "strategy" }).waitFor();
  // CodeMirror ignores a choice in the first 75 ms of its list.
  const chosen = editor(page).getByText("strategy:");
  const end = Date.now() + PATIENCE;
  while (Date.now() < end && (await chosen.count()) === 0) {
    await page.locator(".cm-tooltip-autocomplete li", { hasText: "strategy" }).click({ timeout: 500 }).catch(() => {});
  }
  await chosen.waitFor();
});

test("a request is decided step by step, also one of curl", async (t) => {
  const page = await open(t);
  await tab(page, "Ask");
  await said(page, ".decisions", "checkout → v2 because of split · owns the route");
  await said(page, ".steps", "position");
  await said(page, ".lines", "x-divvy-assignment: checkout=v2;reason=split");
  await page.getByLabel("Headers, one a line").fill("");
  await page.getByLabel("Request, or a curl command").fill("curl -H 'x-user-id: 1' -H 'x-canary: true' localhost:10000/checkout");
  await said(page, ".decisions", "checkout → v2 because of rule");
  await said(page, ".holds", 'header x-canary exact "true"');
  await page.getByLabel("Request, or a curl command").fill("curl -H 'x-user-id: 1' localhost:10000/checkout");
  await said(page, ".decisions", "checkout → v1 because of split");
  await page.getByLabel("Request, or a curl command").fill("a b c");
  await said(page, ".notice.error", "is not a request");
});

test("pictures: split, what an edit moves, guardrail with its sliders, plan", async (t) => {
  const page = await open(t);
  await tab(page, "See");
  await page.getByRole("img", { name: /^Shares of checkout: v1 (79|80)/ }).waitFor();
  await said(page, "#moves ~ div", "The text is the one that was opened");
  await tab(page, "Edit");
  const text = (await readFile(`${ROOT}envoy/divvy.yaml`, "utf8")).replace("weight: 20", "weight: 50");
  await write(page, text);
  await tab(page, "See");
  await page.getByRole("img", { name: /^Users who change version: v1 to v2 (29|30|31)/ }).waitFor();
  await tab(page, "Edit");
  await page.getByLabel("Example").selectOption("guardrail.yaml");
  await tab(page, "See");
  const result = page.locator("#guardrail-result");
  await result.getByText(/rolled back|frozen|held/).first().waitFor();
  const slider = page.getByLabel(/^Errors of the new version/);
  await slider.focus();
  await page.keyboard.press("Home");
  await result.getByText("the guardrail does nothing").waitFor();
  const before = await page.getByText(/^One look, at the end/).textContent();
  await page.getByLabel(/^Difference to find/).focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator("li", { hasText: /^One look, at the end/ }).filter({ hasNotText: before }).waitFor();
});

test("a ramp is drawn on a time axis", async (t) => {
  const page = await open(t);
  await page.getByLabel("Example").selectOption("ramp.yaml");
  await tab(page, "See");
  await page.getByLabel("Time").fill("2026-01-05T10:30:00Z");
  await page.getByRole("img", { name: /^Configured share of the new version over time: 1 % from 2026-01-05T09:00:00Z, 5 %/ }).waitFor();
});

test("a link brings the state back", async (t) => {
  const page = await open(t);
  await page.getByLabel("Example").selectOption("cookie.yaml");
  await tab(page, "Ask");
  await page.getByLabel("Headers, one a line").fill("cookie: user=me");
  await tab(page, "Take away");
  await page.getByRole("button", { name: "Make the link" }).click();
  await said(page, "[role=status]", /copied/);
  const fragment = await page.evaluate(() => location.hash);
  assert.ok(fragment.length > 100);
  const other = await open(t, fragment);
  await other.locator("[role=tab][aria-selected=true]", { hasText: "Take away" }).waitFor();
  await tab(other, "Ask");
  assert.equal(await other.getByLabel("Headers, one a line").inputValue(), "cookie: user=me");
  await tab(other, "Edit");
  const first = (await readFile(`${ROOT}envoy/examples/cookie.yaml`, "utf8")).split("\n")[0];
  await editor(other).getByText(first, { exact: true }).first().waitFor();
  const damaged = await open(t, "#AAAA%%");
  await said(damaged, "[role=alert]", "The link is damaged");
});

test("files are rendered for Istio, Envoy and Envoy Gateway", async (t) => {
  const page = await open(t);
  await tab(page, "Take away");
  await said(page, "pre", "kind: WasmPlugin");
  for (const [what, text] of [["envoy", "static_resources"], ["plugin", "type.googleapis.com"], ["envoy-gateway", "kind: EnvoyExtensionPolicy"]]) {
    await page.getByLabel("For").selectOption(what);
    await said(page, "pre", text);
  }
  await page.getByLabel("Namespace").fill("-x");
  await said(page, "[role=alert]", "is not a name of Kubernetes");
});

test("the pointer on a field shows its text of the schema", async (t) => {
  const page = await open(t);
  const { $defs } = JSON.parse(await readFile(`${ROOT}envoy/divvy.schema.json`, "utf8"));
  await write(page, "rollouts:\n- name: checkout\n  stable: v1\n");
  await editor(page).getByText("stable", { exact: true }).hover();
  await page.locator(".cm-tooltip-hover", { hasText: $defs.Rollout.properties.stable.description }).waitFor();
  // A field beside it, of another text.
  await write(page, "rollouts:\n- name: stable\n");
  await page.locator(".cm-tooltip-hover").waitFor({ state: "detached" });
  await editor(page).getByText("name", { exact: true }).hover();
  await page.locator(".cm-tooltip-hover", { hasText: $defs.Rollout.properties.name.description }).waitFor();
});

test("a static page has no Live tab, and asks no server for data", async (t) => {
  const page = await open(t);
  assert.deepEqual(await page.getByRole("tab").allTextContents(), ["Edit", "Ask", "See", "Take away"]);
  // A link of a page with the tab opens with another one.
  const { toFragment } = await load("src/link.ts");
  const { initial } = await load("src/state.ts");
  const linked = await open(t, `#${await toFragment({ ...initial("rollouts: []"), tab: "live" })}`);
  await verdict(linked, "1 configuration: 0 errors");
  assert.deepEqual(await linked.getByRole("tab").allTextContents(), ["Edit", "Ask", "See", "Take away"]);
  assert.deepEqual([...server.sent.keys()].sort(), ["index.html", "main.js", "page.wasm", "style.css", "worker.js"]);
  assert.deepEqual(server.missed, []);
});

for (const [name, options] of [["light", { colorScheme: "light" }], ["dark", { colorScheme: "dark" }], ["narrow", { viewport: { width: 400, height: 800 } }], ["wide", { viewport: { width: 1400, height: 900 } }]]) {
  test(`axe has no findings in any tab: ${name}`, async (t) => {
    const page = await open(t, "", options);
    if (name !== "wide") await page.getByLabel("Example").selectOption("guardrail.yaml");
    if (name !== "wide") await write(page, `${await readFile(`${ROOT}envoy/examples/guardrail.yaml`, "utf8")}\nidentityy: []\n`);
    if (name !== "wide") await said(page, ".findings", "identityy");
    for (const label of await page.getByRole("tab").allTextContents()) {
      await tab(page, label);
      if (label === "See" && name !== "wide") await said(page, ".notice.error", "The configuration has errors");
      else if (label !== "Edit") await page.locator("#panel h2, #panel .notice").first().waitFor();
      await settled(page);
      await withoutFindings(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${label} is ${wide} pixels too wide`);
      if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${label.replace(" ", "-")}.png`, fullPage: true });
    }
    if (name === "wide") return;
    await tab(page, "Edit");
    await page.getByLabel("Example").selectOption("guardrail.yaml");
    await tab(page, "See");
    await page.locator("#guardrail-result svg").first().waitFor();
    await settled(page);
    await withoutFindings(page);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-pictures.png`, fullPage: true });
  });
}

test("the first load has fewer than 1.5 MB with gzip", async (t) => {
  server.sent.clear();
  const page = await open(t);
  await verdict(page, "1 configuration");
  const all = [...server.sent];
  const sum = all.reduce((total, [, size]) => total + size, 0);
  t.diagnostic(`${sum} bytes: ${all.map(([name, size]) => `${name} ${size}`).join(", ")}`);
  assert.ok(all.some(([name]) => name === "page.wasm") && sum < LIMIT, `${sum} bytes`);
});
