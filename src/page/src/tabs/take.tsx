// What a person takes along: files for Envoy, Istio or Envoy Gateway, and a link with the whole state.

import { useState } from "preact/hooks";
import { useAnswer } from "../answers";
import { toFragment } from "../link";
import type { State } from "../state";
import type { TabProps } from "./tab";

const KINDS = [
  { id: "istio", label: "Istio: WasmPlugin, EnvoyFilter, routes" },
  { id: "envoy", label: "Envoy: bootstrap and plugin file" },
  { id: "plugin", label: "Envoy: plugin file alone" },
  { id: "envoy-gateway", label: "Envoy Gateway" },
];

/** The options of `divvy render`; empty fields are left to its defaults. */
function flags({ render }: State): string[] {
  const given: [string, string][] = [];
  if (render.what === "istio") {
    given.push(["at", render.place], ["namespace", render.namespace], ["selector", render.selector]);
    if (render.place === "gateway") given.push(["gateway", render.gateway]);
  } else if (render.what === "envoy-gateway") {
    given.push(["gateway", render.gateway], ["namespace", render.namespace]);
  }
  return given.filter(([, value]) => value.trim() !== "").map(([name, value]) => `--${name}=${value.trim()}`);
}

export function TakeAway({ state, update, engine }: TabProps) {
  const { render } = state;
  const { answer, pending } = useAnswer(engine, "render", { text: state.text, plugin: state.plugin, what: render.what, flags: flags(state) });
  const [said, setSaid] = useState("");
  const set = (change: Partial<State["render"]>) => update({ render: { ...render, ...change } });
  const output = answer !== undefined && "value" in answer ? answer.value : "";
  const isKubernetes = render.what === "istio" || render.what === "envoy-gateway";
  const copy = async (text: string, what: string) => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid(`${what} is copied.`);
    } catch {
      setSaid(`The browser does not allow to copy: ${what} has to be copied by hand.`);
    }
  };
  const link = async () => {
    history.replaceState(null, "", `#${await toFragment(state)}`);
    await copy(location.href, "The link in the address bar");
  };
  const save = () => {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob([output], { type: "application/yaml" }));
    anchor.download = `divvy-${render.what}.yaml`;
    anchor.click();
    URL.revokeObjectURL(anchor.href);
  };
  return (
    <>
      <h2>A link to this page as it is</h2>
      <p>The configuration and all fields are behind the # of the link: a browser sends them to no server.</p>
      <button type="button" onClick={() => void link()}>Make the link</button>
      <h2>Files</h2>
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <label>
          For
          <select value={render.what} onChange={(event) => set({ what: event.currentTarget.value })}>
            {KINDS.map((kind) => <option key={kind.id} value={kind.id}>{kind.label}</option>)}
          </select>
        </label>
        {render.what !== "istio" ? null : (
          <label>
            divvy runs in
            <select value={render.place} onChange={(event) => set({ place: event.currentTarget.value })}>
              <option value="gateway">a gateway</option>
              <option value="callers">the sidecars of callers</option>
              <option value="service">the sidecars of the service</option>
            </select>
          </label>
        )}
        {!isKubernetes || (render.what === "istio" && render.place !== "gateway") ? null : <Word label="Gateway" value={render.gateway} set={(gateway) => set({ gateway })} />}
        {!isKubernetes ? null : <Word label="Namespace" value={render.namespace} set={(namespace) => set({ namespace })} />}
        {render.what !== "istio" ? null : <Word label="Label of the pods, as app=checkout" value={render.selector} set={(selector) => set({ selector })} />}
      </form>
      <p class="bar">
        <button type="button" disabled={output === "" || pending} onClick={() => void copy(output, "The text")}>Copy</button>
        <button type="button" disabled={output === "" || pending} onClick={save}>Save as a file</button>
      </p>
      <p role="status">{said}</p>
      <div aria-busy={pending}>
        {answer !== undefined && "error" in answer ? <p class="notice error" role="alert">{answer.error}</p> : null}
        {output === "" ? null : <pre tabIndex={0} role="region" aria-label="Rendered files">{output}</pre>}
      </div>
    </>
  );
}

function Word({ label, value, set }: { label: string; value: string; set: (value: string) => void }) {
  return (
    <label>
      {label}
      <input type="text" spellcheck={false} autocomplete="off" value={value} onInput={(event) => set(event.currentTarget.value)} />
    </label>
  );
}
