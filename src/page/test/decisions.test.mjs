// The page's answers are those of the command line, byte by byte, for random configurations and requests.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { load, program, ROOT } from "./lab.mjs";

const TARGET = process.env.CARGO_TARGET ?? join(ROOT, "target");
const CONFIGURATIONS = Number(process.env.CONFIGURATIONS ?? 400);
const REQUESTS = 40;

const printed = (command, args) => new Promise((done, fail) => {
  execFile(command, args, { maxBuffer: 1 << 30 }, (error, out) => (error ? fail(error) : done(out)));
});

/** What the native program prints. */
function native(folder, args) {
  return new Promise((done, fail) => {
    const child = spawn(join(TARGET, "debug/divvy"), args, { cwd: folder, env: { NO_COLOR: "1" } });
    const [out, err] = [[], []];
    child.stdout.on("data", (part) => out.push(part));
    child.stderr.on("data", (part) => err.push(part));
    child.on("error", fail);
    child.on("close", (code) => done({ code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }));
  });
}

test("check and explain answer as the native program does", async (t) => {
  const { run } = await load("src/wasi.ts");
  const module = await program();
  const lines = (await printed(join(TARGET, "debug/examples/samples"), [CONFIGURATIONS, REQUESTS, 26].map(String))).trim().split("\n");
  const folder = await mkdtemp(join(tmpdir(), "divvy-page-"));
  t.after(() => rm(folder, { recursive: true }));
  let [decided, refused] = [0, 0];
  for (const line of lines) {
    const { config, requests } = JSON.parse(line);
    const files = { "config.yaml": JSON.stringify(config), "requests.json": requests.map((one) => JSON.stringify(one)).join("\n") };
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)));
    for (const args of [["check", "--output=json", "config.yaml"], ["explain", "config.yaml", "--batch=requests.json"]]) {
      const [here, there] = await Promise.all([run(module, args, files), native(folder, args)]);
      assert.deepEqual(here, there, `divvy ${args.join(" ")} with ${files["config.yaml"]}`);
      if (args[0] === "check") continue;
      if (here.code === 0) decided += here.out.trim().split("\n").length;
      else refused += 1;
    }
  }
  t.diagnostic(`${decided} requests decided, ${refused} configurations refused`);
  assert.ok(decided >= 10_000 && refused > 20, `${decided} decided, ${refused} refused`);
});
