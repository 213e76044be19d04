// Axes and lines of the pictures. Texts keep their size at every width.

import type { ComponentChildren } from "preact";
import { useWidth } from "../answers";

export interface Scale {
  (value: number): number;
  ticks: number[];
}

const LEFT = 44;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 34;

/** About `count` round numbers from `from` to `to`. */
export function ticks(from: number, to: number, count: number): number[] {
  const raw = (to - from) / Math.max(count, 1);
  if (!(raw > 0) || !Number.isFinite(raw)) return [from];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw) ?? raw;
  const found: number[] = [];
  for (let value = Math.ceil(from / step) * step; value <= to + step / 1e6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function scale(from: number, to: number, start: number, end: number, count: number): Scale {
  const span = to - from || 1;
  const place = (value: number) => start + ((value - from) / span) * (end - start);
  return Object.assign(place, { ticks: ticks(from, to, count) });
}

interface Props {
  /** What the picture shows, for people who do not see it. */
  label: string;
  height: number;
  x: [number, number];
  y: [number, number];
  unit: string;
  /** The unit of the y axis behind its numbers; percent without it. */
  mark?: string;
  /** Text of a tick of the x axis. */
  tick?: (value: number) => string;
  children: (x: Scale, y: Scale) => ComponentChildren;
}

export function Chart({ label, height, x, y, unit, mark = " %", tick, children }: Props) {
  const { ref, width } = useWidth();
  const [across, up] = [scale(x[0], x[1], LEFT, width - RIGHT, width / 110), scale(y[0], y[1], height - BOTTOM, TOP, 4)];
  return (
    <div ref={ref} class="chart">
      <svg width={width} height={height} role="img" aria-label={label}>
        {up.ticks.map((value) => (
          <g key={value}>
            <line class="grid" x1={LEFT} x2={width - RIGHT} y1={up(value)} y2={up(value)} />
            <text x={LEFT - 6} y={up(value) + 4} text-anchor="end">{value}{mark}</text>
          </g>
        ))}
        {across.ticks.map((value) => (
          <text key={value} x={across(value)} y={height - BOTTOM + 16} text-anchor="middle">{tick === undefined ? value : tick(value)}</text>
        ))}
        <text x={width - RIGHT} y={height - 4} text-anchor="end">{unit}</text>
        {children(across, up)}
      </svg>
    </div>
  );
}

/** The points of a line. */
export function path(points: [number, number][], x: Scale, y: Scale): string {
  return points.map(([one, other]) => `${x(one).toFixed(1)},${y(other).toFixed(1)}`).join(" ");
}

export function percent(value: number): string {
  return `${Number(value.toFixed(value < 1 ? 3 : 2))} %`;
}
