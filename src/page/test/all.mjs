// Runs all tests, and prints their number as the test programs of cargo do.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs")).sort().map((name) => join(here, name));
let [passed, failed] = [0, 0];
const stream = run({ files, concurrency: 1, timeout: 900_000 });
stream.on("test:pass", ({ nesting, details }) => { if (nesting === 0 && details.type !== "suite") passed += 1; });
stream.on("test:fail", ({ nesting }) => { if (nesting === 0) failed += 1; });
stream.on("close", () => {
  console.log(`test result: ${failed === 0 ? "ok" : "FAILED"}. ${passed} passed; ${failed} failed; 0 ignored;`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
});
stream.compose(new spec()).pipe(process.stdout);
