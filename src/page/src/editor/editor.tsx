// The editor: CodeMirror with YAML. In a shadow root, where its style sheets need no permission of the content security policy.

import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Annotation, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Finding } from "../reports";
import { complete, hover } from "./schema";

/** A change that did not come from the keyboard. */
const fromOutside = Annotation.define<boolean>();

const style = syntaxHighlighting(HighlightStyle.define([
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--key)" },
  { tag: tags.string, color: "var(--string)" },
  { tag: [tags.number, tags.bool, tags.keyword, tags.typeName, tags.labelName], color: "var(--literal)" },
]));

const theme = EditorView.theme({
  "&": { height: "100%", backgroundColor: "var(--field)", color: "var(--text)", fontSize: "0.875rem" },
  "&.cm-focused": { outline: "2px solid var(--focus)" },
  ".cm-scroller": { fontFamily: "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--field)", color: "var(--quiet)", border: "none" },
  ".cm-activeLine": { backgroundColor: "var(--line)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection)" },
  ".cm-tooltip": { backgroundColor: "var(--page)", color: "var(--text)", border: "1px solid var(--border)", maxWidth: "min(32rem, 90vw)" },
  ".cm-tooltip .field": { padding: "0.4rem 0.6rem" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionInfo": { maxWidth: "22rem" },
  ".cm-panels": { backgroundColor: "var(--page)", color: "var(--text)" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
});

interface Props {
  text: string;
  findings: Finding[];
  /** The text that the findings are about. */
  checked: string | undefined;
  onChange: (text: string) => void;
  /** Puts the cursor at a finding when it changes. */
  focused: Finding | undefined;
}

/** The end of the word at an offset. */
function wordEnd(state: EditorState, from: number): number {
  const line = state.doc.lineAt(from);
  const word = /^[\w.-]+|^"[^"]*"|^\S/.exec(line.text.slice(from - line.from));
  return from + (word?.[0].length ?? 0);
}

function offsetOf(state: EditorState, finding: Finding): number {
  const line = state.doc.line(Math.min(Math.max(finding.line, 1), state.doc.lines));
  // Columns count characters; offsets count UTF-16 units.
  const before = [...line.text].slice(0, Math.max(finding.column - 1, 0)).join("");
  return line.from + Math.min(before.length, line.length);
}

function diagnostic(state: EditorState, finding: Finding): Diagnostic {
  const from = offsetOf(state, finding);
  const hint = finding.suggestion === undefined ? "" : ` (${finding.suggestion})`;
  const path = finding.path === "" ? "" : `${finding.path}: `;
  return { from, to: wordEnd(state, from), severity: finding.severity, message: path + finding.message + hint };
}

/** Marks the findings, if they are about the text that the editor has. Marks of an older text move with its words. */
function mark(editor: EditorView, { findings, checked }: Pick<Props, "findings" | "checked">) {
  if (checked !== editor.state.doc.toString()) return;
  editor.dispatch(setDiagnostics(editor.state, findings.map((finding) => diagnostic(editor.state, finding))));
}

export function Editor({ text, findings, checked, onChange, focused }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | undefined>(undefined);
  const changed = useRef(onChange);
  /** Texts of the keyboard that did not come back as `text` yet: they must not replace what was typed since. */
  const typed = useRef<string[]>([]);
  changed.current = onChange;
  // The editor has only one kind of line end.
  const plain = useMemo(() => checked?.replace(/\r\n?/g, "\n"), [checked]);
  const known = useRef({ findings, checked: plain });
  known.current = { findings, checked: plain };
  // All effects run in the task of their cause: the next key finds the cursor and the marks where they belong.
  useLayoutEffect(() => {
    const element = host.current!;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const editor = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(), lintGutter(), history(), drawSelection(), indentOnInput(), indentUnit.of("  "), bracketMatching(),
          closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), autocompletion({ override: [complete] }), hover,
          yaml(), style, theme,
          EditorView.contentAttributes.of({ "aria-label": "Configuration, YAML or JSON", tabindex: "0" }),
          // Tab moves the focus, so that the keyboard leads out of the editor.
          keymap.of([...completionKeymap, ...lintKeymap, ...searchKeymap, ...historyKeymap, ...defaultKeymap]),
          EditorView.updateListener.of((update) => {
            const isOwn = update.transactions.some((one) => one.annotation(fromOutside));
            if (!update.docChanged) return;
            mark(update.view, known.current);
            if (isOwn) return;
            const now = update.state.doc.toString();
            typed.current.push(now);
            changed.current(now);
          }),
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, []);
  useLayoutEffect(() => {
    const editor = view.current;
    const known = typed.current.lastIndexOf(text);
    typed.current.splice(0, known + 1);
    if (known >= 0 || editor === undefined || editor.state.doc.toString() === text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text }, annotations: fromOutside.of(true) });
  }, [text]);
  useLayoutEffect(() => {
    if (view.current !== undefined) mark(view.current, known.current);
  }, [findings, checked]);
  useLayoutEffect(() => {
    const editor = view.current;
    if (editor === undefined || focused === undefined) return;
    editor.dispatch({ selection: { anchor: offsetOf(editor.state, focused) }, scrollIntoView: true });
    editor.focus();
  }, [focused]);
  return <div class="editor" ref={host} />;
}
