// The split of a population: a bar with the versions, intervals, and what the configuration says.

import { useAnswer, useWidth } from "../answers";
import { colourAt } from "../colours";
import type { Overlap, RolloutShares } from "../reports";
import type { TabProps } from "../tabs/tab";
import { percent } from "./chart";

export function Split({ state, update, engine }: TabProps) {
  const { answer, pending } = useAnswer(engine, "split", {
    text: state.text, plugin: state.plugin, users: state.users, population: state.population, at: state.at.trim(), rollout: state.rollout,
  });
  return (
    <section aria-labelledby="split">
      <h2 id="split">Split of a population</h2>
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <label>
          Users: {state.users.toLocaleString("en")}
          <input type="range" min={2} max={5} step={0.25} value={Math.log10(state.users)} aria-valuetext={`${state.users} users`}
            onInput={(event) => update({ users: Math.round(10 ** Number(event.currentTarget.value)) })} />
        </label>
        <label>
          Identities
          <select value={state.population} onChange={(event) => update({ population: event.currentTarget.value })}>
            <option value="seq">user-1, user-2, …</option>
            <option value="uuid">random UUIDs</option>
          </select>
        </label>
      </form>
      <div aria-busy={pending}>
        {answer === undefined ? null : "error" in answer ? <p class="notice error">{answer.error}</p>
          : answer.value === null ? <p>The configuration has no rollouts.</p>
          : <Shares shares={answer.value.shares} overlaps={answer.value.overlaps} />}
      </div>
    </section>
  );
}

function Shares({ shares, overlaps }: { shares: RolloutShares; overlaps: Overlap[] }) {
  const rules = shares.byRule === 0 ? "" : ` A rule chooses for ${shares.byRule.toLocaleString("en")} of them.`;
  return (
    <>
      <Bar shares={shares} />
      <table>
        <caption>{shares.users.toLocaleString("en")} users of {shares.rollout}.{rules}</caption>
        <thead><tr><th scope="col">Version</th><th scope="col">Users</th><th scope="col">Share, 95 % interval</th><th scope="col">Configured</th></tr></thead>
        <tbody>
          {shares.versions.map((version, index) => (
            <tr key={version.version}>
              <th scope="row"><span class="badge" style={{ backgroundColor: colourAt(index) }}>{version.version}</span>{version.control ? " control" : ""}</th>
              <td>{version.users.toLocaleString("en")}</td>
              <td>{percent(version.percent)} ({version.interval[0].toFixed(2)} to {version.interval[1].toFixed(2)})</td>
              <td>{percent(version.configured)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p>{shares.mismatch
        ? <b>Sample-ratio mismatch, p = {shares.pValue.toExponential(1)}: chance alone does not explain this difference.</b>
        : `No sample-ratio mismatch, p = ${shares.pValue.toFixed(3)}.`}</p>
      {shares.guardrail === undefined ? null : <p class="notice">The guardrail {shares.guardrail}</p>}
      {overlaps.length === 0 ? null : (
        <details>
          <summary>Users in common with other rollouts</summary>
          <ul>{overlaps.map((overlap) => (
            <li key={overlap.rollouts.join(" ")}>
              {overlap.rollouts.join(" × ")}: {percent(overlap.percent)} of the users are in both ({percent(overlap.byChance)} by chance),{" "}
              {overlap.percent === 0 ? "none" : overlap.pValue < 0.001 ? "not independent" : "independent"}
            </li>
          ))}</ul>
        </details>
      )}
    </>
  );
}

/** One bar; a black line with ends is the interval of each border, the mark below it is the configured share. */
function Bar({ shares }: { shares: RolloutShares }) {
  const { ref, width } = useWidth();
  const [margin, top, height] = [10, 22, 56];
  const x = (share: number) => margin + (share / 100) * (width - 2 * margin);
  const label = shares.versions.map((one) => `${one.version} ${percent(one.percent)}`).join(", ");
  let [from, configured] = [0, 0];
  const parts = shares.versions.map((version, index) => {
    const part = { version, colour: colourAt(index), from, to: from + version.percent, configured: configured + version.configured };
    [from, configured] = [part.to, part.configured];
    return part;
  });
  // No border behind the last version with users.
  const borders = parts.filter((part) => part.to < 99.9999 || part.configured < 99.9999);
  return (
    <div ref={ref} class="chart">
      <svg width={width} height={118} role="img" aria-label={`Shares of ${shares.rollout}: ${label}`}>
        {parts.map(({ version, colour, from, to }) => {
          const wide = x(to) - x(from);
          return (
            <g key={version.version}>
              <rect class="part" x={x(from)} y={top} width={Math.max(wide, 0)} height={height} fill={colour} />
              {wide > 9 * version.version.length + 12 ? <text class="on" x={x(from) + 6} y={top + 18}>{version.version}</text> : null}
              {wide > 70 ? <text class="on" x={x(from) + 6} y={top + height - 8}>{percent(version.percent)}</text> : null}
            </g>
          );
        })}
        {borders.map(({ version, to, configured }) => {
          const half = (version.interval[1] - version.interval[0]) / 2;
          const [low, high] = [x(Math.max(to - half, 0)), x(Math.min(to + half, 100))];
          const middle = top + height / 2;
          return (
            <g key={version.version}>
              <path class="interval" d={`M${low} ${middle - 6}v12m0 -6H${high}m0 -6v12`} />
              <path class="mark" d={`M${x(configured)} ${top + height + 3}l5 9h-10z`} />
            </g>
          );
        })}
        <text x={margin} y={14}>0 %</text>
        <text x={width - margin} y={14} text-anchor="end">100 % of the users</text>
        <text x={margin} y={112}>▲ configured border   ├─┤ 95 % interval</text>
      </svg>
    </div>
  );
}
