// The file of `divvy ui` in the editor, as it changes on disk. An edit in the page is never overwritten.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { State, Update } from "../state";
import { usePolled, type FileOnDisk } from "./data";

/** `untouched`: the text of an editor in which no person has written. */
export function FollowedFile({ state, update, untouched }: { state: State; update: Update; untouched: string }) {
  const { answer, error } = usePolled<FileOnDisk>("api/file");
  const shown = useRef({ text: untouched, isFile: false });
  const text = answer?.text ?? null;
  const show = (content: string) => {
    const isFirst = !shown.current.isFile;
    shown.current = { text: content, isFile: true };
    // What a save has moved stays visible.
    update(isFirst ? { text: content, before: content, plugin: "" } : { text: content });
  };
  const isUntouched = state.text === shown.current.text;
  // Before the next key, so that an edit cannot come between the comparison and the update.
  useLayoutEffect(() => {
    if (text !== null && text !== state.text && isUntouched) show(text);
  }, [text, isUntouched]);
  if (answer === undefined || answer.name === null) return error === "" ? null : <p class="notice error" role="alert">{error}</p>;
  const problem = error !== "" ? error : answer.error;
  if (problem !== null) return <p class="notice error" role="alert">{problem}</p>;
  const name = <code>{answer.name}</code>;
  return state.text === text
    ? <p class="followed" role="status">{name} as it is on disk</p>
    : (
      <p class="notice followed" role="status">
        {name} on disk has another text.{" "}
        <button type="button" onClick={() => { if (text !== null) show(text); }}>Show it and drop this one</button>
      </p>
    );
}
