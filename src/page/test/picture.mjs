// Draws the picture of the README: node test/picture.mjs FILE.png

import { readFile } from "node:fs/promises";
import { launch, ROOT, serve } from "./lab.mjs";
import { paste } from "./person.mjs";

const server = await serve();
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1240, height: 860 }, colorScheme: "light" });
await page.goto(`${server.address}index.html`);
await page.getByLabel("Example").selectOption("guardrail.yaml");
await page.locator(".verdict", { hasText: "1 configuration" }).waitFor();
const text = await readFile(`${ROOT}envoy/examples/guardrail.yaml`, "utf8");
await paste(page, text.slice(text.indexOf("identity:")).replace("weight: 20", "weight: 50"));
await page.getByRole("tab", { name: "See" }).click();
await page.getByRole("img", { name: /^Users who change version: v1 to v2/ }).waitFor();
await page.getByRole("img", { name: /^Share of the new version/ }).waitFor();
await page.locator(".cm-content").blur();
await page.screenshot({ path: process.argv[2] });
await browser.close();
server.close();
