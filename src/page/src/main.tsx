// The page: its state, its tabs, and the answers that all tabs need.

import { render } from "preact";
import { useCallback, useRef, useState } from "preact/hooks";
import { useAnswer, useMedia } from "./answers";
import { Engine } from "./engine";
import { examples } from "./examples";
import { fromFragment } from "./link";
import { hasServer } from "./live/data";
import { FollowedFile } from "./live/file";
import type { Outline } from "./questions";
import { initial, type State } from "./state";
import { TABS } from "./tabs";
import { Edit } from "./tabs/edit";

/** The text of the editor before a person or a link changes it. */
const example = examples.find((one) => one.name === "divvy.yaml")?.text ?? "";

function App({ engine, first, notice }: { engine: Engine; first: State; notice: string }) {
  const [state, setState] = useState(first);
  const update = useCallback((change: Partial<State>) => setState((old) => ({ ...old, ...change })), []);
  const source = { text: state.text, plugin: state.plugin };
  const { answer: checked, of: asked } = useAnswer(engine, "check", source);
  const { answer: outlined } = useAnswer(engine, "outline", source);
  const outline = useRef<Outline[]>([]);
  if (outlined !== undefined && "value" in outlined) outline.current = outlined.value;
  const report = checked !== undefined && "value" in checked ? checked.value : undefined;
  // A text with several configurations has no outline before one of them is chosen; the message has their names.
  const { answer: unchosen } = useAnswer(engine, "outline", state.plugin === "" ? null : { text: state.text, plugin: "" });
  const several = state.plugin === "" ? outlined : unchosen;
  const names = /choose one with --plugin: (.*)/s.exec(several !== undefined && "error" in several ? several.error : "");
  const plugins = names?.[1]?.split(", ") ?? [];
  const isWide = useMedia("(min-width: 1100px)");
  const tabs = isWide ? TABS.filter((tab) => tab.id !== "edit") : TABS;
  const tab = tabs.find((one) => one.id === state.tab) ?? tabs[0]!;
  const props = { state, update, engine, report, reported: asked?.text, outline: outline.current };
  return (
    <>
      <header>
        <h1>divvy</h1>
        <p>who gets which version</p>
        <Tabs tabs={tabs} selected={tab.id} select={(id) => update({ tab: id })} />
      </header>
      {notice === "" ? null : <p class="notice" role="alert">{notice}</p>}
      {hasServer ? <FollowedFile state={state} update={update} untouched={example} /> : null}
      {plugins.length === 0 && state.plugin === "" ? null : (
        <p class="notice">
          <label>
            Plugin, of several in the text{" "}
            <select value={state.plugin} onChange={(event) => update({ plugin: event.currentTarget.value })}>
              <option value="">choose one</option>
              {[...new Set([...plugins, state.plugin])].filter((name) => name !== "").map((name) => <option key={name}>{name}</option>)}
            </select>
          </label>
        </p>
      )}
      <main class={isWide ? "wide" : ""}>
        {isWide ? <section aria-label="Configuration"><Edit {...props} /></section> : null}
        <section role="tabpanel" id="panel" aria-labelledby={`tab-${tab.id}`}><tab.View {...props} /></section>
      </main>
    </>
  );
}

interface TabsProps {
  tabs: typeof TABS;
  selected: string;
  select: (id: string) => void;
}

/** Arrow keys move between the tabs. */
function Tabs({ tabs, selected, select }: TabsProps) {
  const move = (event: KeyboardEvent) => {
    const at = tabs.findIndex((tab) => tab.id === selected);
    const step = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    const next = step === undefined ? undefined : tabs[(step + tabs.length) % tabs.length];
    if (next === undefined) return;
    event.preventDefault();
    select(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <div role="tablist" aria-label="Views" onKeyDown={move}>
      {tabs.map((tab) => (
        <button key={tab.id} id={`tab-${tab.id}`} role="tab" type="button" aria-selected={tab.id === selected}
          aria-controls="panel" tabIndex={tab.id === selected ? 0 : -1} onClick={() => select(tab.id)}>
          {tab.label}
        </button>
      ))}
    </div>
  );
}

async function start() {
  const base = initial(example);
  let [first, notice] = [base, ""];
  const fragment = location.hash.slice(1);
  if (fragment !== "") {
    try {
      first = await fromFragment(fragment, base);
    } catch {
      notice = "The link is damaged: its state cannot be read, and this is an example.";
    }
  }
  render(<App engine={new Engine()} first={first} notice={notice} />, document.getElementById("page")!);
}

addEventListener("hashchange", () => location.reload());
void start();
