// The values of the last minutes as lines, and as a table.

import { colourOf } from "../colours";
import type { Outline } from "../questions";
import { Chart, path, type Scale } from "../see/chart";
import type { Point, Rollout } from "./data";

/** Rows of the table. */
const ROWS = 30;
/** Patterns of the lines, so that no line is known by its colour alone. */
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];

interface Measure {
  /** Place of the value in a point. */
  at: 1 | 2 | 3 | 4;
  title: string;
  mark: string;
}

const MEASURES: Measure[] = [
  { at: 1, title: "Share in force", mark: " %" },
  { at: 2, title: "Requests per second", mark: "" },
  { at: 3, title: "Errors", mark: " %" },
  { at: 4, title: "95th percentile of the time to the response headers, in ms", mark: " ms" },
];

/** The time of a value, in the time zone of the browser. */
export function clock(time: number): string {
  return new Date(time).toLocaleTimeString("en-GB");
}

export function Series({ rollout, outline, every }: { rollout: Rollout; outline: Outline[]; every: number }) {
  const versions = Object.entries(rollout.series ?? {});
  const times = [...new Set(versions.flatMap(([, points]) => points.map(([time]) => time)))].sort((one, other) => one - other);
  const [from, to] = [times[0], times.at(-1)];
  if (from === undefined || to === undefined || from === to) return <p>The pictures begin with the second look.</p>;
  const look = (version: string, index: number) => ({ colour: colourOf(outline, rollout.name, version, index), dash: DASHES[index % DASHES.length]! });
  return (
    <>
      <p class="legend">{versions.map(([version], index) => {
        const { colour, dash } = look(version, index);
        return <span key={version}><svg width={34} height={10} aria-hidden="true"><line class="series" x1={0} x2={34} y1={5} y2={5} stroke={colour} stroke-dasharray={dash} /></svg> {version}</span>;
      })}</p>
      {MEASURES.map(({ at, title, mark }) => {
        const known = versions.flatMap(([, points]) => points.map((point) => point[at])).filter((value) => value !== null);
        const last = versions.map(([version, points]) => `${version} ${shown(points.at(-1)?.[at] ?? null, mark)}`).join(", ");
        return (
          <figure key={title}>
            <figcaption>{title}</figcaption>
            <Chart label={`${title} of ${rollout.name} from ${clock(from)} to ${clock(to)}; now ${last}`} height={170} x={[from, to]}
              y={[0, Math.max(...known, at === 1 ? 100 : 1)]} unit="time" tick={clock} mark={at === 4 ? "" : mark}>
              {(x, y) => versions.map(([version, points], index) => {
                const { colour, dash } = look(version, index);
                return lines(points, at, every).map((line) => <Line key={`${version} ${line[0]![0]}`} line={line} x={x} y={y} colour={colour} dash={dash} />);
              })}
            </Chart>
          </figure>
        );
      })}
      <details>
        <summary>The last values as a table</summary>
        <table>
          <caption>Values of {rollout.name}, the newest first: share in force, requests per second, errors, p95</caption>
          <thead><tr><th scope="col">Time</th>{versions.map(([version]) => <th key={version} scope="col">{version}</th>)}</tr></thead>
          <tbody>
            {times.slice(-ROWS).reverse().map((time) => (
              <tr key={time}>
                <th scope="row">{clock(time)}</th>
                {versions.map(([version, points]) => {
                  const point = points.findLast((one) => one[0] === time);
                  return <td key={version}>{point === undefined ? "no value" : MEASURES.map(({ at, mark }) => shown(point[at], at === 2 ? "/s" : mark)).join(", ")}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}

function Line({ line, x, y, colour, dash }: { line: [number, number][]; x: Scale; y: Scale; colour: string; dash: string }) {
  if (line.length === 1) return <circle class="dot" cx={x(line[0]![0])} cy={y(line[0]![1])} r={2.5} fill={colour} />;
  return <polyline class="series" points={path(line, x, y)} stroke={colour} stroke-dasharray={dash} />;
}

/** The values without gaps between them: where one is missing, or a look failed, a line ends. */
function lines(points: Point[], at: Measure["at"], every: number): [number, number][][] {
  const all: [number, number][][] = [];
  let [open, last] = [false, 0];
  for (const point of points) {
    const [time, value] = [point[0], point[at]];
    if (value === null) {
      open = false;
      continue;
    }
    if (open && time - last <= 3 * every + 10_000) all.at(-1)!.push([time, value]);
    else all.push([[time, value]]);
    [open, last] = [true, time];
  }
  return all;
}

/** A value with its unit. */
export function shown(value: number | null | undefined, mark: string): string {
  if (value === null || value === undefined) return "none";
  return `${Number(value.toFixed(value < 10 ? 2 : 1))}${mark}`;
}
