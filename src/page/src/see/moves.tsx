// Who changes version by an edit: before and after.

import { useAnswer, useWidth } from "../answers";
import { colourOf } from "../colours";
import type { Outline } from "../questions";
import type { DiffReport, RolloutChange } from "../reports";
import type { TabProps } from "../tabs/tab";
import { percent } from "./chart";

const USERS = 10_000;

export function Moves({ state, engine, outline }: TabProps) {
  const isEdited = state.text !== state.before;
  const { answer, pending } = useAnswer(engine, "diff", isEdited
    ? { text: state.text, plugin: state.plugin, before: state.before, users: USERS, at: state.at.trim() }
    : null);
  return (
    <section aria-labelledby="moves">
      <h2 id="moves">What the edit moves</h2>
      <div aria-busy={pending}>
        {!isEdited ? <p>The text is the one that was opened: after an edit, this shows who changes version.</p>
          : answer === undefined ? null
          : "error" in answer ? <p class="notice error">{answer.error}</p>
          : <Report report={answer.value} outline={outline} colour={(rollout, version) => colourOf(outline, rollout, version)} />}
      </div>
    </section>
  );
}

interface Coloured {
  colour: (rollout: string, version: string) => string;
}

function Report({ report, outline, colour }: { report: DiffReport; outline: Outline[] } & Coloured) {
  const changed = report.rollouts.filter((one) => one.status !== "same");
  return (
    <>
      {report.notes.map((note) => <p key={note}>{note}</p>)}
      {changed.length === 0 && report.notes.length === 0 ? <p>No user changes version.</p> : null}
      {changed.map((change) => <Change key={change.rollout} change={change} users={report.users} colour={colour}
        versions={outline.find((one) => one.name === change.rollout)?.versions ?? []} />)}
    </>
  );
}

function Change({ change, users, versions, colour }: { change: RolloutChange; users: number; versions: string[] } & Coloured) {
  const isPaired = change.status !== "new" && change.status !== "gone";
  return (
    <>
      <h3>{change.rollout}: {change.status}</h3>
      {!isPaired ? null : (
        <p>
          {percent(change.movedPercent)} of {users.toLocaleString("en")} users change version; by the configured shares, {percent(change.minimumPercent)} is the minimum.
        </p>
      )}
      {change.moves.length === 0 ? null : <Flow change={change} versions={versions} colour={colour} />}
      {change.notes.length === 0 ? null : <ul>{change.notes.map((note) => <li key={note}>{note}</li>)}</ul>}
    </>
  );
}

/** Users of two versions, the old and the new one; of the same version for users who stay. */
interface Band {
  from: string;
  to: string;
  users: number;
}

/** All users before and after, with one band for each pair of versions, as wide as its users. */
function Flow({ change, versions, colour }: { change: RolloutChange; versions: string[] } & Coloured) {
  const { ref, width } = useWidth();
  const bands: Band[] = [...change.stays.map(({ version, users }) => ({ from: version, to: version, users })), ...change.moves];
  const all = bands.reduce((sum, band) => sum + band.users, 0);
  const [margin, height, bar] = [10, 150, 24];
  const at = (users: number) => margin + (users / all) * (width - 2 * margin);
  const known = [...new Set([...versions, ...bands.flatMap((band) => [band.from, band.to])])];
  const order = (key: "from" | "to", other: "from" | "to") => {
    let sum = 0;
    const place = (band: Band) => known.indexOf(band[key]) * known.length + known.indexOf(band[other]);
    return new Map([...bands].sort((one, two) => place(one) - place(two)).map((band) => [band, (sum += band.users) - band.users]));
  };
  const [starts, ends] = [order("from", "to"), order("to", "from")];
  const side = (key: "from" | "to", y: number) => {
    let sum = 0;
    return known.map((version) => {
      const from = sum;
      sum += bands.filter((band) => band[key] === version).reduce((total, band) => total + band.users, 0);
      const wide = at(sum) - at(from);
      return wide === 0 ? null : (
        <g key={version}>
          <rect class="part" x={at(from)} y={y} width={wide} height={bar} fill={colour(change.rollout, version)} />
          {wide > 9 * version.length + 10 ? <text class="on" x={at(from) + 5} y={y + 17}>{version}</text> : null}
        </g>
      );
    });
  };
  const label = change.moves.map((move) => `${move.from} to ${move.to} ${percent(move.percent)}`).join(", ");
  const [top, middle, bottom] = [bar, height / 2, height - bar];
  return (
    <div ref={ref} class="chart">
      <svg width={width} height={height + 20} role="img" aria-label={`Users who change version: ${label}`}>
        {bands.map((band) => {
          const [one, two, three, four] = [starts.get(band)!, ends.get(band)!, ends.get(band)! + band.users, starts.get(band)! + band.users].map(at);
          return (
            <path key={`${band.from} ${band.to}`} class={band.from === band.to ? "flow stays" : "flow"} fill={colour(change.rollout, band.to)}
              d={`M${one} ${top}C${one} ${middle} ${two} ${middle} ${two} ${bottom}H${three}C${three} ${middle} ${four} ${middle} ${four} ${top}Z`} />
          );
        })}
        {side("from", 0)}
        {side("to", bottom)}
        <text x={margin} y={height + 15}>above: before; below: after; strong: users who move</text>
      </svg>
      <ul class="lines">{change.moves.map((move) => (
        <li key={`${move.from} ${move.to}`}>{move.from} → {move.to}: {move.users.toLocaleString("en")} users, {percent(move.percent)}</li>
      ))}</ul>
    </div>
  );
}
