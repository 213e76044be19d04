// A guardrail under simulated traffic of one proxy, with sliders.

import { FAILURE } from "virtual:palette";
import { useAnswer } from "../answers";
import { colourAt } from "../colours";
import type { Traffic } from "../questions";
import type { GuardrailRun } from "../reports";
import type { TabProps } from "../tabs/tab";
import { Chart, path, percent } from "./chart";
import { Slider } from "./slider";

export function Guardrail({ state, update, engine, outline }: TabProps) {
  const { traffic } = state;
  const rollout = outline.find((one) => one.name === state.rollout)?.name ?? outline[0]?.name ?? "";
  const { answer, pending } = useAnswer(engine, "guardrail", { text: state.text, plugin: state.plugin, at: state.at.trim(), rollout, ...traffic });
  const set = (change: Partial<Traffic>) => update({ traffic: { ...traffic, ...change } });
  const run = answer !== undefined && "value" in answer ? answer.value : undefined;
  return (
    <section aria-labelledby="guardrail">
      <h2 id="guardrail">What the guardrail would do</h2>
      {run === null ? <p>{rollout === "" ? "The configuration has no rollouts." : `${rollout} has no guardrail.`}</p> : (
        <form class="fields" onSubmit={(event) => event.preventDefault()}>
          <Slider label="Requests per second in one proxy" value={traffic.rps} range={[1, 200]} step={1} set={(rps) => set({ rps })} />
          <Slider label="Errors of the new version" unit="%" value={traffic.canaryErrors} range={[0, 30]} step={0.1} set={(canaryErrors) => set({ canaryErrors })} />
          <Slider label="Errors of stable" unit="%" value={traffic.stableErrors} range={[0, 30]} step={0.1} set={(stableErrors) => set({ stableErrors })} />
          <Slider label="Median latency of the new version" unit="ms" value={traffic.canaryLatency} range={[5, 2000]} step={5} set={(canaryLatency) => set({ canaryLatency })} />
          <Slider label="Median latency of stable" unit="ms" value={traffic.stableLatency} range={[5, 2000]} step={5} set={(stableLatency) => set({ stableLatency })} />
          <Slider label="Duration" unit="s" value={traffic.seconds} range={[60, 14400]} step={60} set={(seconds) => set({ seconds })} />
        </form>
      )}
      <div aria-busy={pending} id="guardrail-result">
        {answer !== undefined && "error" in answer ? <p class="notice error">{answer.error}</p> : null}
        {run ? <Result run={run} seconds={traffic.seconds} /> : null}
      </div>
    </section>
  );
}

function Result({ run, seconds }: { run: GuardrailRun; seconds: number }) {
  const [stable, other] = run.requests;
  const all = [...run.shares, ...run.failures[0], ...run.failures[1]];
  const highest = Math.max(1, ...all.map(([, value]) => value));
  const final = run.shares.at(-1)?.[1] ?? 0;
  const unit = seconds <= 600 ? 1 : 60;
  const shares = run.shares.map(([second, value]): [number, number] => [second / unit, value]);
  return (
    <>
      <p role="status">
        {run.rollout}: {run.events.length === 0 ? "the guardrail does nothing" : `after ${run.events[0]!.second} s: ${run.events[0]!.text}`}; final share {percent(final)}.
      </p>
      <Chart label={`Share of the new version and failed requests over ${seconds} seconds; final share ${percent(final)}`} height={240}
        x={[0, seconds / unit]} y={[0, highest]} unit={unit === 1 ? "seconds" : "minutes"}>
        {(x, y) => (
          <>
            <polygon class="area" fill={colourAt(1)} points={`${path([[0, 0]], x, y)} ${path(shares, x, y)} ${path([[seconds / unit, 0]], x, y)}`} />
            <polyline class="stroke" points={path(shares, x, y)} />
            {run.failures[0].map(([second, value]) => <rect key={`s${second}`} class="dot" x={x(second / unit) - 3} y={y(value) - 3} width={6} height={6} fill={colourAt(0)} />)}
            {run.failures[1].map(([second, value]) => <circle key={`n${second}`} class="dot" cx={x(second / unit)} cy={y(value)} r={3.5} fill={FAILURE} />)}
            {run.events.slice(0, 50).map((event, index) => <path key={index} class="now" d={`M${x(event.second / unit)} ${y(0)}V${y(highest)}`} />)}
          </>
        )}
      </Chart>
      <p class="legend">
        <span><svg width={14} height={14} aria-hidden="true"><rect class="part" width={14} height={14} fill={colourAt(1)} /></svg> share of the new version</span>
        <span><svg width={14} height={14} aria-hidden="true"><circle class="dot" cx={7} cy={7} r={4} fill={FAILURE} /></svg> its failed requests</span>
        <span><svg width={14} height={14} aria-hidden="true"><rect class="dot" x={3} y={3} width={8} height={8} fill={colourAt(0)} /></svg> failed requests of stable</span>
        <span>┊ the guardrail acts</span>
      </p>
      <p>{stable[0].toLocaleString("en")} requests to stable, {stable[1].toLocaleString("en")} failed; {other[0].toLocaleString("en")} to the new version, {other[1].toLocaleString("en")} failed.</p>
      {run.events.length === 0 ? null : <ol>{run.events.slice(0, 50).map((event, index) => <li key={index}>after {event.second} s: {event.text}</li>)}</ol>}
    </>
  );
}
