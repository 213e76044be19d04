// What the proxies do now and did in the last minutes, as `divvy ui` observes them.

import { useState } from "preact/hooks";
import { colourOf } from "../colours";
import { usePolled, type Live as Data, type LiveEvent, type Rollout, type Version } from "../live/data";
import { Series, clock, shown } from "../live/series";
import type { Outline } from "../questions";
import type { TabProps } from "./tab";

/** Events in the list. */
const EVENTS = 100;
/** Proxies in the list. */
const PROXIES = 100;

export function Live({ outline }: TabProps) {
  const [asked, setAsked] = useState("");
  const { answer, error } = usePolled<Data>(`api/live?rollout=${encodeURIComponent(asked)}`);
  const problem = error !== "" ? error : answer?.error ?? "";
  return (
    <>
      <h2>Live</h2>
      {problem === "" ? null : <p class="notice error" role="alert">{problem}</p>}
      {answer === undefined ? <p>Asking the proxies…</p> : <Fleet live={answer} outline={outline} select={setAsked} />}
    </>
  );
}

function Fleet({ live, outline, select }: { live: Data; outline: Outline[]; select: (name: string) => void }) {
  const { rollout } = live;
  const over = live.seconds === null ? "since the proxies started" : `over ${shown(live.seconds, " s")}`;
  return (
    <>
      <p>{live.time === null ? "No look yet" : `Last look at ${clock(live.time)}`} at {live.source}; requests are counted {over}.</p>
      {live.findings.length === 0 ? live.time === null ? null : <p class="good">No problem is known.</p>
        : <ul class="problems" aria-label="Problems">{live.findings.map((finding) => <li key={finding}>{finding}</li>)}</ul>}
      {live.rollouts.length < 2 ? null : (
        <label>
          Rollout{" "}
          <select value={rollout?.name ?? ""} onChange={(event) => select(event.currentTarget.value)}>
            {live.rollouts.map(({ name, state, rate }) => <option key={name} value={name}>{name}: {state}{rate === null ? "" : `, ${shown(rate, " requests/s")}`}</option>)}
          </select>
        </label>
      )}
      {rollout === null ? live.time === null ? null : <p>The proxies report no rollout.</p> : (
        <section aria-labelledby="live-rollout">
          <h3 id="live-rollout">{rollout.name}</h3>
          {rollout.now.configured ? null : <p class="notice">This rollout is no longer configured; its counts stay until the proxies restart.</p>}
          <Versions rollout={rollout} outline={outline} all={live.proxies.length} />
          <Series rollout={rollout} outline={outline} every={live.every} />
        </section>
      )}
      <section aria-labelledby="live-events">
        <h3 id="live-events">History</h3>
        {live.events.length === 0 ? <p>No state has changed since divvy ui started.</p>
          : <ol class="events">{live.events.slice(-EVENTS).reverse().map((event) => <Event key={`${event.time} ${event.text}`} event={event} />)}</ol>}
      </section>
      <Proxies live={live} />
    </>
  );
}

function Versions({ rollout, outline, all }: { rollout: Rollout; outline: Outline[]; all: number }) {
  const heads = ["Version", "Configured", "In force", "Traffic", "Requests/s", "Errors", "p95", "State"];
  return (
    <table>
      <caption class="sr">Versions of {rollout.name} now</caption>
      <thead><tr>{heads.map((head) => <th key={head} scope="col">{head}</th>)}</tr></thead>
      <tbody>
        {Object.entries(rollout.now.versions).map(([name, version], index) => {
          const state = standing(version, all);
          return (
            <tr key={name}>
              <th scope="row"><span class="badge" style={{ backgroundColor: colourOf(outline, rollout.name, name, index) }}>{name}</span></th>
              <td>{rollout.configured[name] === undefined ? "not known" : shown(rollout.configured[name], " %")}</td>
              <td>{shown(version.weight, " %")}</td>
              <td>{shown(version.seen, " %")}</td>
              <td>{shown(version.rate, "")}</td>
              <td>{shown(rollout.errors[name], " %")}</td>
              <td>{shown(version.p95, " ms")}</td>
              <td class={state === "healthy" ? "good" : "bad"}>{state}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function standing(version: Version, all: number): string {
  const states = ([["rolled back", version.rolled_back], ["unreachable", version.unreachable], ["frozen", version.frozen]] as const).filter(([, count]) => count > 0);
  return states.length === 0 ? "healthy" : states.map(([state, count]) => `${state} in ${count} of ${all}`).join(", ");
}

function Event({ event }: { event: LiveEvent }) {
  const isGood = ["healthy", "answers", "valid", "goes on"].includes(event.kind);
  return (
    <li>
      <time dateTime={new Date(event.time).toISOString()}>{event.first ? `before ${clock(event.time)}` : clock(event.time)}</time>{" "}
      <span class={isGood ? "good" : event.kind === "configuration" ? "" : "bad"}>{event.text}</span>
    </li>
  );
}

function Proxies({ live }: { live: Data }) {
  const { proxies, file } = live;
  return (
    <section aria-labelledby="live-proxies">
      <h3 id="live-proxies">Proxies</h3>
      <p class={live.agree ? "good" : "bad"}>{live.agree ? "All proxies that answer have the same configuration." : "The proxies have different configurations."}</p>
      {file.error === null ? null : <p class="notice">The file has no valid configuration to compare with: {file.error}</p>}
      <table>
        <caption class="sr">Proxies with their configurations</caption>
        <thead><tr><th scope="col">Proxy</th><th scope="col">Configuration</th><th scope="col">State</th></tr></thead>
        <tbody>
          {proxies.slice(0, PROXIES).map((proxy) => {
            const bad = proxy.error ?? (proxy.inert ? "no valid configuration, serves stable" : proxy.untagged ? "lacks stats_tags" : proxy.hash === null ? "no divvy metrics" : null);
            const ofFile = file.hash === null || proxy.hash === null ? "" : proxy.hash.split("+").includes(file.hash) ? ", that of the file" : ", not that of the file";
            return (
              <tr key={`${proxy.job} ${proxy.url}`}>
                <th scope="row">{proxy.url}</th>
                <td>{proxy.hash === null ? "not known" : <><code>{proxy.hash}</code>{ofFile}</>}</td>
                <td class={bad === null ? "good" : "bad"}>{bad ?? (proxy.hot_restart ? "hot restart" : "answers")}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {proxies.length <= PROXIES ? null : <p>The first {PROXIES} of {proxies.length} proxies.</p>}
    </section>
  );
}
