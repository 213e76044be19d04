// The configuration with its errors and warnings; examples and files to open.

import { useState } from "preact/hooks";
import { Editor } from "../editor/editor";
import { examples } from "../examples";
import type { Finding } from "../reports";
import type { TabProps } from "./tab";

const NONE: Finding[] = [];
/** Maximum size of a file in bytes; a configuration has at most 1 MiB. */
const MAX_BYTES = 4 << 20;

export function Edit({ state, update, report, reported }: TabProps) {
  const [focused, setFocused] = useState<Finding>();
  const [refused, setRefused] = useState("");
  const open = (text: string) => update({ text, before: text, plugin: "" });
  const read = async (file: File | null | undefined) => {
    if (!file) return;
    setRefused(file.size > MAX_BYTES ? `${file.name} has more than 4 MiB` : "");
    if (file.size <= MAX_BYTES) open(await file.text());
  };
  const findings = report?.findings ?? NONE;
  return (
    <div class="edit" onDragOver={(event) => event.preventDefault()} onDrop={(event) => {
      event.preventDefault();
      void read(event.dataTransfer?.files[0]);
    }}>
      <div class="bar">
        <label>
          Example{" "}
          <select value="" onChange={(event) => {
            const example = examples.find((one) => one.name === event.currentTarget.value);
            if (example !== undefined) open(example.text);
          }}>
            <option value="">load one</option>
            {examples.map((example) => <option key={example.name} value={example.name}>{example.name}</option>)}
          </select>
        </label>
        <label class="button">
          Open a file
          <input type="file" accept=".yaml,.yml,.json" onChange={(event) => {
            void read(event.currentTarget.files?.[0]);
            event.currentTarget.value = "";
          }} />
        </label>
        <button type="button" disabled={state.text === state.before} onClick={() => update({ before: state.text })}>
          Compare with this from now on
        </button>
        <button type="button" disabled={state.text === state.before} onClick={() => update({ text: state.before })}>Undo all</button>
      </div>
      {refused === "" ? null : <p class="notice" role="alert">{refused}</p>}
      <Editor text={state.text} findings={findings} checked={reported} focused={focused} onChange={(text) => update({ text })} />
      <p class="verdict" role="status" aria-busy={reported !== state.text}>{verdict(report)}</p>
      {findings.length === 0 ? null : (
        <ol class="findings" aria-label="Errors and warnings">
          {findings.map((finding, index) => (
            <li key={index} class={finding.severity}>
              <button type="button" onClick={() => setFocused({ ...finding })}>
                <b>{finding.severity}</b>, line {finding.line}: {finding.path === "" ? null : <code>{finding.path}</code>} {finding.message}
                {finding.suggestion === undefined ? null : <i> {finding.suggestion}</i>}
              </button>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

function verdict(report: TabProps["report"]): string {
  if (report === undefined) return "divvy is starting…";
  const counted = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const all = `${counted(report.errors, "error")}, ${counted(report.warnings, "warning")}`;
  const hidden = report.errors + report.warnings - report.findings.length;
  return `${counted(report.configurations, "configuration")}: ${all}${hidden > 0 ? `; the first ${report.findings.length} of them:` : ""}`;
}
