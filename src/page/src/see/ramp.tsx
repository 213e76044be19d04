// The schedule of a canary on a time axis.

import { useAnswer } from "../answers";
import { colourOf } from "../colours";
import type { ScheduledStep } from "../reports";
import type { TabProps } from "../tabs/tab";
import { Chart, path } from "./chart";

const HOUR = 3_600_000;

/** A step with its begin in milliseconds since 1970. */
interface Begun {
  step: ScheduledStep;
  begins: number;
}

export function Ramp({ state, engine, outline }: TabProps) {
  const { answer } = useAnswer(engine, "split", {
    text: state.text, plugin: state.plugin, users: 1, population: "seq", at: state.at.trim(), rollout: state.rollout,
  });
  const shares = answer !== undefined && "value" in answer ? answer.value?.shares : undefined;
  const schedule = shares?.schedule ?? [];
  if (shares === undefined || schedule.length === 0) return null;
  const begun: Begun[] = [];
  for (const step of schedule) {
    const begins = step.begins === null ? Number.NaN : Date.parse(step.begins);
    if (Number.isFinite(begins)) begun.push({ step, begins });
  }
  const waiting = schedule.length - begun.length;
  const now = state.at.trim() === "" ? Date.now() : Date.parse(state.at.trim());
  const canary = outline.find((one) => one.name === shares.rollout)?.versions[1] ?? "";
  return (
    <section aria-labelledby="ramp">
      <h2 id="ramp">Ramp of {shares.rollout}</h2>
      {begun.length === 0 ? null : <Curve begun={begun} now={now} colour={colourOf(outline, shares.rollout, canary)} />}
      {waiting === 0 ? null : <p>{waiting} later steps wait for a gate that is not passed.</p>}
      <details>
        <summary>All {schedule.length} steps</summary>
        <ol>{schedule.slice(0, 200).map((step, index) => (
          <li key={index} aria-current={step.current ? "step" : undefined}>
            {step.weight} %{step.begins === null ? " after a gate that is not passed" : ` from ${step.begins}`}
            {step.afterPause ? ", after a pause" : ""}{step.hold === undefined ? "" : `, for ${step.hold}`}
            {step.gate === undefined ? "" : `, until the gate ${step.gate}${step.passed === undefined ? "" : `, passed at ${step.passed}`}`}
            {step.current ? " (now)" : ""}
          </li>
        ))}</ol>
      </details>
    </section>
  );
}

function Curve({ begun, now, colour }: { begun: Begun[]; now: number; colour: string }) {
  const [first, last] = [begun[0]!.begins, begun.at(-1)!.begins];
  const margin = Math.max((last - first) / 10, HOUR / 2);
  // Now is shown if it is near: a ramp of last year would be a point.
  const isNear = now > first - 4 * margin && now < last + 4 * margin;
  const from = isNear ? Math.min(first - margin, now - margin / 4) : first - margin;
  const to = isNear ? Math.max(last + margin, now + margin / 4) : last + margin;
  const points: [number, number][] = [[from, 0]];
  begun.forEach(({ step, begins }, index) => {
    const before = begun[index - 1]?.step.weight ?? 0;
    points.push([begins, before], [begins, step.weight]);
  });
  points.push([to, begun.at(-1)!.step.weight]);
  const isLong = to - from > 72 * HOUR;
  const text = (time: number) => new Date(time).toISOString().slice(...(isLong ? [5, 10] as const : [11, 16] as const));
  const highest = Math.max(...points.map(([, share]) => share));
  const steps = begun.map(({ step }) => `${step.weight} % from ${step.begins}`).slice(0, 20).join(", ");
  return (
    <Chart label={`Configured share of the new version over time: ${steps}`} height={220} x={[from, to]} y={[0, highest]}
      unit={isLong ? "month and day, UTC" : `hour, UTC, ${new Date(first).toISOString().slice(0, 10)}`} tick={text}>
      {(x, y) => (
        <>
          <polygon class="area" fill={colour} points={`${path([[from, 0]], x, y)} ${path(points, x, y)} ${path([[to, 0]], x, y)}`} />
          <polyline class="stroke" points={path(points, x, y)} />
          {isNear ? <path class="now" d={`M${x(now)} ${y(0)}V${y(highest)}`} /> : null}
          {isNear ? <text x={x(now) + 4} y={y(highest) + 10}>now</text> : null}
        </>
      )}
    </Chart>
  );
}
