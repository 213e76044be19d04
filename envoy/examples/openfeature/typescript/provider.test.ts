import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { OpenFeature } from "@openfeature/server-sdk";

import { contextOf, DivvyProvider } from "./provider.js";

await OpenFeature.setProviderAndWait(new DivvyProvider());
const client = OpenFeature.getClient();
const given = (header: string) => contextOf({ "x-divvy-assignment": header });

test("every assignment that the filter writes in its own tests is read", async () => {
  const table = new URL("../../../../../tests/cases/decisions.json", import.meta.url);
  const groups: { cases: { assignment?: string }[] }[] = JSON.parse(readFileSync(table, "utf8"));
  const assignments = new Set(groups.flatMap((group) => group.cases).flatMap((one) => one.assignment ?? []));
  assert.ok(assignments.size > 30, `${assignments.size} assignments`);
  for (const header of assignments) {
    for (const member of header.split(", ")) {
      const [, rollout, version, reason] = /^([^=]+)="?([^";]+)"?;reason=([a-z_]+)/.exec(member)!;
      const details = await client.getStringDetails(rollout!, "fallback", given(header));
      assert.deepEqual([details.value, details.variant, details.flagMetadata.reason], [version, version, reason], member);
    }
  }
});

test("only drawn versions are exposures", async () => {
  for (const [parameters, exposure, reason] of [
    ["reason=split", true, "SPLIT"], ["reason=sticky", true, "SPLIT"],
    ["reason=inherited;upstream=split", true, "SPLIT"], ["reason=inherited;upstream=rule", false, "TARGETING_MATCH"],
    ["reason=rule", false, "TARGETING_MATCH"], ["reason=not_enrolled", false, "DEFAULT"],
    ["reason=active", false, "STATIC"], ["reason=disabled", false, "DISABLED"],
  ] as const) {
    const details = await client.getStringDetails("checkout", "v1", given(`checkout=v2;${parameters}`));
    assert.deepEqual([details.flagMetadata.exposure, details.reason], [exposure, reason], parameters);
  }
});

test("the fallback serves without a decision", async () => {
  for (const [header, code] of [
    ["", "FLAG_NOT_FOUND"], ["other=v2;reason=split", "FLAG_NOT_FOUND"], ["checkout", "TYPE_MISMATCH"],
    ["checkout=(v1 v2)", "TYPE_MISMATCH"], ["checkout=7;reason=split", "TYPE_MISMATCH"],
    ["checkout=\u00ff", "PARSE_ERROR"], ["checkout=v2;reason=split, , ", "PARSE_ERROR"],
  ] as const) {
    const details = await client.getStringDetails("checkout", "v1", given(header));
    assert.deepEqual([details.value, details.errorCode], ["v1", code], header);
  }
});

test("versions named on and off are booleans", async () => {
  const context = given("a=on;reason=split, b=off;reason=split, c=v2;reason=split");
  assert.equal(await client.getBooleanValue("a", false, context), true);
  assert.equal(await client.getBooleanValue("b", true, context), false);
  const details = await client.getBooleanDetails("c", true, context);
  assert.deepEqual([details.value, details.errorCode], [true, "TYPE_MISMATCH"]);
});
