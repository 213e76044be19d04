// The labels that completion offers at the mark `|` of a text.

import { CompletionContext } from "@codemirror/autocomplete";
import { yaml } from "@codemirror/lang-yaml";
import { ensureSyntaxTree } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { complete } from "../src/editor/schema";

export function labelsAt(marked: string): string[] {
  const at = marked.indexOf("|");
  const state = EditorState.create({ doc: marked.replace("|", ""), extensions: [yaml()] });
  ensureSyntaxTree(state, state.doc.length);
  return complete(new CompletionContext(state, at, true))?.options.map((option) => option.label) ?? [];
}
