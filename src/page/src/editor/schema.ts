// Completion and hover from the JSON Schema of a configuration. The packages for this weigh as much as the rest of the
// page, and the schema has only objects, lists, references and descriptions.

import type { CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { EditorState } from "@codemirror/state";
import { hoverTooltip } from "@codemirror/view";
import type { SyntaxNode } from "@lezer/common";
import root from "virtual:schema";

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  description?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

/** Keys in a resource below which a configuration stands. */
const CARRIERS = ["pluginConfig", "configuration", "config"];

/** A schema and its alternatives, without references. */
function alternatives(schema: Schema, depth = 0): Schema[] {
  if (depth > 8) return [];
  const name = /^#\/\$defs\/(.*)$/.exec(schema.$ref ?? "")?.[1];
  const target = name === undefined ? undefined : root.$defs?.[name];
  const parts = [target, ...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return [schema, ...parts.flatMap((part) => (part === undefined ? [] : alternatives(part, depth + 1)))];
}

function properties(schemas: Schema[]): Map<string, Schema> {
  return new Map(schemas.flatMap((schema) => Object.entries(schema.properties ?? {})));
}

/** The schemas of the value at a path; a number is an index of a list. */
function at(path: (string | number)[]): Schema[] {
  let schemas = alternatives(root);
  for (const part of path) {
    const inner = typeof part === "number"
      ? schemas.flatMap((schema) => (schema.items === undefined ? [] : [schema.items]))
      : schemas.flatMap((schema) => schema.properties?.[part] ?? []);
    schemas = inner.flatMap((schema) => alternatives(schema));
  }
  return schemas;
}

function keyText(state: EditorState, pair: SyntaxNode): string {
  const key = pair.getChild("Key");
  return key === null ? "" : state.sliceDoc(key.from, key.to).replace(/^["']|["']$/g, "");
}

/** The path of the value that contains a node, outermost first. */
function pathOf(state: EditorState, node: SyntaxNode | null): (string | number)[] {
  const path: (string | number)[] = [];
  for (let one = node; one !== null; one = one.parent) {
    if (one.name === "Pair") path.unshift(keyText(state, one));
    else if (one.name === "Item") path.unshift(0);
  }
  const carrier = path.findLastIndex((part) => typeof part === "string" && CARRIERS.includes(part));
  return path.slice(carrier + 1);
}

/** The path of the mapping around an offset, by the indentation of the lines before it: an unfinished line has no nodes. */
function pathBefore(state: EditorState, offset: number): (string | number)[] {
  const line = state.doc.lineAt(offset);
  const text = line.text.slice(0, offset - line.from);
  const flow = syntaxTree(state).resolveInner(offset, -1);
  for (let one: SyntaxNode | null = flow; one !== null; one = one.parent) {
    if (one.name === "FlowMapping") return pathOf(state, one.parent);
  }
  const path: (string | number)[] = [];
  const dash = /^(\s*)((?:- +)*)/.exec(text)!;
  let indent = dash[1]!.length + dash[2]!.length;
  if (dash[2] !== "") {
    path.unshift(0);
    indent = dash[1]!.length;
  }
  for (let number = line.number - 1; number > 0 && indent >= 0; number -= 1) {
    const above = state.doc.line(number).text;
    const parts = /^(\s*)((?:- +)*)(["']?)([\w.-]+)\3\s*:/.exec(above);
    if (parts === null) continue;
    const outer = parts[1]!.length + parts[2]!.length;
    // A list may stand as far left as its key.
    if (outer < indent || (outer === indent && path[0] === 0 && parts[2] === "")) {
      path.unshift(parts[4]!);
      indent = outer;
    }
    if (parts[2] !== "" && parts[1]!.length < indent + 1 && outer <= indent) {
      path.unshift(0);
      indent = parts[1]!.length;
    }
  }
  const carrier = path.findLastIndex((part) => typeof part === "string" && CARRIERS.includes(part));
  return path.slice(carrier + 1);
}

function values(schemas: Schema[]): string[] {
  const found = schemas.flatMap((schema) => [...(schema.enum ?? []), ...(schema.const === undefined ? [] : [schema.const])]);
  if (schemas.some((schema) => schema.type === "boolean") && found.length === 0) found.push(true, false);
  return [...new Set(found.map(String))];
}

export function complete(context: CompletionContext): CompletionResult | null {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const value = /([\w.-]+)\s*:\s+(\w*)$/.exec(before);
  if (value !== null) {
    const path = pathBefore(context.state, context.pos - value[0].length);
    const options = values(at([...path, value[1]!]));
    return { from: context.pos - value[2]!.length, options: options.map((label) => ({ label, type: "constant" })) };
  }
  const key = /(?:^|[\s{,-])(\w*)$/.exec(before);
  if (key === null || (key[1] === "" && !context.explicit)) return null;
  const from = context.pos - key[1]!.length;
  const options = [...properties(at(pathBefore(context.state, from)))].map(([label, schema]) => ({
    label,
    type: "property",
    apply: `${label}: `,
    info: alternatives(schema).find((one) => one.description !== undefined)?.description,
  }));
  return { from, options, validFor: /^\w*$/ };
}

/** The description of the field under the pointer. */
export const hover = hoverTooltip((view, offset) => {
  const node = syntaxTree(view.state).resolveInner(offset, 1);
  for (let one: SyntaxNode | null = node; one !== null; one = one.parent) {
    if (one.name !== "Key" || one.parent === null) continue;
    const description = at(pathOf(view.state, one.parent)).find((schema) => schema.description !== undefined)?.description;
    if (description === undefined) return null;
    const dom = document.createElement("div");
    dom.className = "field";
    dom.textContent = description;
    return { pos: one.from, end: one.to, create: () => ({ dom }) };
  }
  return null;
});
