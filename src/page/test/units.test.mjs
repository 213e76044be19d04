// Modules of the page by themselves: curl commands, links, completion, questions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load, program } from "./lab.mjs";

test("a curl command gives its method, URL and headers", async () => {
  const { readCurl } = await load("src/curl.ts");
  const read = (text) => { const found = readCurl(text); return found && [found.request, ...found.headers]; };
  assert.deepEqual(read("curl https://shop.example/cart"), ["GET https://shop.example/cart"]);
  assert.deepEqual(read("curl -si -H 'x-user-id: 1' localhost:10000/checkout"), ["GET http://localhost:10000/checkout", "x-user-id: 1"]);
  assert.deepEqual(read("curl 'https://shop.example/a?b=c' \\\n  -X PUT \\\n  -H \"x-a: it's\" -b 'ring=beta' --compressed"),
    ["PUT https://shop.example/a?b=c", "x-a: it's", "cookie: ring=beta"]);
  assert.deepEqual(read("curl -XDELETE -Hx-a:1 --url=https://a.example/"), ["DELETE https://a.example/", "x-a:1"]);
  assert.deepEqual(read("curl https://a.example/ -d x=1 -A divvy -o /dev/null"), ["POST https://a.example/", "user-agent: divvy"]);
  assert.deepEqual(read("curl -G https://a.example/ -d x=1 -d y=2"), ["GET https://a.example/?x=1&y=2"]);
  assert.deepEqual(read("curl $'https://a.example/\\'b' -H $'x-a: 1\\t2' -I"), ["HEAD https://a.example/'b", "x-a: 1\t2"]);
  assert.equal(read("GET https://a.example/"), undefined);
  assert.equal(read(""), undefined);
  for (const odd of ["curl", "curl -H", "curl '", 'curl "\\', "curl $'", "curl -d"]) readCurl(odd);
});

test("a link brings back the whole state, and an odd one changes only what fits", async () => {
  const { toFragment, fromFragment } = await load("src/link.ts");
  const { initial } = await load("src/state.ts");
  const base = initial("rollouts: []");
  const state = { ...base, tab: "see", text: "a: ä\u{1F600}\n".repeat(5_000), users: 77, traffic: { ...base.traffic, rps: 3 } };
  const fragment = await toFragment(state);
  assert.match(fragment, /^[\w-]+$/);
  assert.ok(fragment.length < 1_000, `${fragment.length}`);
  assert.deepEqual(await fromFragment(fragment, base), state);
  const odd = await toFragment({ text: 5, users: "x", traffic: null, tab: "ask", extra: 1, __proto__: { plugin: "x" } });
  assert.deepEqual(await fromFragment(odd, base), { ...base, tab: "ask" });
  await assert.rejects(fromFragment("%%%", base));
  const large = await toFragment({ ...base, text: "x".repeat(6 << 20) });
  await assert.rejects(fromFragment(large, base), /4 MiB/);
});

test("keys and values are completed where the schema has them", async () => {
  const { labelsAt } = await load("test/complete.ts");
  assert.ok(labelsAt("ro|").includes("rollouts"));
  assert.deepEqual(labelsAt("rollouts:\n  - name: a\n    strategy:\n      ca|").includes("canary"), true);
  assert.ok(labelsAt("rollouts:\n  - name: a\n    strategy:\n      canary:\n        w|").includes("weight"));
  assert.ok(labelsAt("rollouts:\n  - name: a\n    versions: [{na|}]").includes("name"));
  assert.ok(labelsAt("rollouts:\n- name: a\n  st|").includes("stable"));
  assert.ok(labelsAt("rollouts:\n  - name: a\n    enabled: |").includes("false"));
  assert.ok(labelsAt("rollouts:\n  - name: a\n    metrics: r|").includes("requests"));
  assert.ok(labelsAt("kind: WasmPlugin\nspec:\n  pluginConfig:\n    rollouts:\n      - name: a\n        ru|").includes("rules"));
  assert.ok(!labelsAt("rollouts:\n  - name: a\n    strategy:\n      ca|").includes("rollouts"));
});

test("an argument cannot become an option, and a refusal is a message", async () => {
  const { questions } = await load("src/questions.ts");
  const { run } = await load("src/wasi.ts");
  const module = await program();
  const runner = (args, files) => run(module, args, files);
  const ask = { text: "rollouts: []", plugin: "", request: "--help", headers: ["--version"], claims: "", sourceIp: "", peer: "", outbound: false, at: "", unreachable: [] };
  assert.match((await questions.explain(runner, ask)).error, /is not a header/);
  const fine = await questions.explain(runner, { ...ask, headers: [] });
  assert.deepEqual(fine.value.decisions, []);
  assert.match((await questions.explain(runner, { ...ask, headers: [], at: "soon" })).error, /is not an instant/);
  assert.match((await questions.explain(runner, { ...ask, headers: [], sourceIp: "soon" })).error, /source-ip/);
});
