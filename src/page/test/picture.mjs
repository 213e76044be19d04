// Draws the picture of the README: node test/picture.mjs FILE.png

import { launch, serve } from "./lab.mjs";

const server = await serve();
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1240, height: 800 }, colorScheme: "light" });
await page.goto(`${server.address}index.html`);
await page.getByLabel("Example").selectOption("guardrail.yaml");
await page.getByRole("tab", { name: "See" }).click();
await page.locator("#guardrail-result svg").first().waitFor();
await page.getByText(/^checkout: after/).waitFor();
await page.screenshot({ path: process.argv[2] });
await browser.close();
server.close();
