// Who changes version by an edit: before and after.

import { useAnswer, useWidth } from "../answers";
import { colourOf } from "../colours";
import type { DiffReport, RolloutChange } from "../reports";
import type { TabProps } from "../tabs/tab";
import { percent } from "./chart";

const USERS = 10_000;

export function Moves({ state, engine, outline }: TabProps) {
  const isEdited = state.text !== state.before;
  const { answer } = useAnswer(engine, "diff", isEdited
    ? { text: state.text, plugin: state.plugin, before: state.before, users: USERS, at: state.at.trim() }
    : null);
  return (
    <section aria-labelledby="moves">
      <h2 id="moves">What the edit moves</h2>
      {!isEdited ? <p>The text is the one that was opened: after an edit, this shows who changes version.</p>
        : answer === undefined ? null
        : "error" in answer ? <p class="notice error">{answer.error}</p>
        : <Report report={answer.value} colour={(rollout, version) => colourOf(outline, rollout, version)} />}
    </section>
  );
}

interface Coloured {
  colour: (rollout: string, version: string) => string;
}

function Report({ report, colour }: { report: DiffReport } & Coloured) {
  const changed = report.rollouts.filter((one) => one.status !== "same");
  return (
    <>
      {report.notes.map((note) => <p key={note}>{note}</p>)}
      {changed.length === 0 && report.notes.length === 0 ? <p>No user changes version.</p> : null}
      {changed.map((change) => <Change key={change.rollout} change={change} users={report.users} colour={colour} />)}
    </>
  );
}

function Change({ change, users, colour }: { change: RolloutChange; users: number } & Coloured) {
  const isPaired = change.status !== "new" && change.status !== "gone";
  return (
    <>
      <h3>{change.rollout}: {change.status}</h3>
      {!isPaired ? null : (
        <p>
          {percent(change.movedPercent)} of {users.toLocaleString("en")} users change version; the new shares need at least {percent(change.minimumPercent)}.
        </p>
      )}
      {change.moves.length === 0 ? null : <Flow change={change} colour={colour} />}
      {change.notes.length === 0 ? null : <ul>{change.notes.map((note) => <li key={note}>{note}</li>)}</ul>}
    </>
  );
}

/** One band for each pair of versions, as wide as its users, among those who move. */
function Flow({ change, colour }: { change: RolloutChange } & Coloured) {
  const { ref, width } = useWidth();
  const all = change.moves.reduce((sum, move) => sum + move.users, 0);
  const [margin, height, bar] = [10, 150, 24];
  const span = width - 2 * margin;
  const at = (users: number) => margin + (users / all) * span;
  const before = [...new Set(change.moves.map((move) => move.from))];
  const after = [...new Set(change.moves.map((move) => move.to))];
  const sorted = (key: (move: { from: string; to: string }) => [number, number]) => {
    const order = [...change.moves].sort((one, other) => key(one)[0] - key(other)[0] || key(one)[1] - key(other)[1]);
    let sum = 0;
    return new Map(order.map((move) => [move, (sum += move.users) - move.users]));
  };
  const starts = sorted((move) => [before.indexOf(move.from), after.indexOf(move.to)]);
  const ends = sorted((move) => [after.indexOf(move.to), before.indexOf(move.from)]);
  const side = (versions: string[], key: "from" | "to", y: number) => {
    let sum = 0;
    return versions.map((version) => {
      const users = change.moves.filter((move) => move[key] === version).reduce((total, move) => total + move.users, 0);
      const from = sum;
      sum += users;
      return (
        <g key={version}>
          <rect class="part" x={at(from)} y={y} width={at(sum) - at(from)} height={bar} fill={colour(change.rollout, version)} />
          {at(sum) - at(from) > 9 * version.length + 10 ? <text class="on" x={at(from) + 5} y={y + 17}>{version}</text> : null}
        </g>
      );
    });
  };
  const label = change.moves.map((move) => `${move.from} to ${move.to} ${percent(move.percent)}`).join(", ");
  return (
    <div ref={ref} class="chart">
      <svg width={width} height={height + 20} role="img" aria-label={`Users who change version: ${label}`}>
        {change.moves.map((move) => {
          const [one, other] = [starts.get(move)!, ends.get(move)!];
          const [top, bottom] = [bar, height - bar];
          const middle = (top + bottom) / 2;
          return (
            <path key={`${move.from} ${move.to}`} class="flow" fill={colour(change.rollout, move.to)}
              d={`M${at(one)} ${top}C${at(one)} ${middle} ${at(other)} ${middle} ${at(other)} ${bottom}H${at(other + move.users)}C${at(other + move.users)} ${middle} ${at(one + move.users)} ${middle} ${at(one + move.users)} ${top}Z`} />
          );
        })}
        {side(before, "from", 0)}
        {side(after, "to", height - bar)}
        <text x={margin} y={height + 15}>above: before, below: after; only users who move</text>
      </svg>
      <ul class="lines">{change.moves.map((move) => (
        <li key={`${move.from} ${move.to}`}>{move.from} → {move.to}: {move.users.toLocaleString("en")} users, {percent(move.percent)}</li>
      ))}</ul>
    </div>
  );
}
