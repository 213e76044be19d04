// The questions of the page as command lines, and their answers. Runs in the worker. Decides nothing.

import type { CheckReport, DiffReport, Explanation, GuardrailRun, Overlap, RolloutShares, Simulation, TestPlan } from "./reports";
import { CONFIG, type Run } from "./wasi";

/** Maximum number of findings that the page shows. */
export const MAX_FINDINGS = 200;
/** Maximum number of rollouts in an answer. */
export const MAX_ROLLOUTS = 100;

/** Runs the command line. */
export type Runner = (args: string[], files: Record<string, string>) => Promise<Run>;

/** An answer, or why there is none. */
export type Answer<T> = { value: T } | { error: string };

/** The configuration that a question is about. */
export interface Source {
  text: string;
  /** Name of the plugin, if the text has several configurations; otherwise empty. */
  plugin: string;
}

export interface Ask extends Source {
  request: string;
  headers: string[];
  claims: string;
  sourceIp: string;
  peer: string;
  outbound: boolean;
  at: string;
  unreachable: string[];
}

export interface Traffic {
  rps: number;
  seconds: number;
  workers: number;
  stableErrors: number;
  canaryErrors: number;
  stableLatency: number;
  canaryLatency: number;
}

export interface Plan {
  baseline: number;
  points: number;
  power: number;
  unitsPerDay: number;
  split: string;
}

/** What `divvy render` makes, with its options as flags. */
export interface Rendering extends Source {
  what: string;
  flags: string[];
}

/** What the page needs to know about each rollout. */
export interface Outline {
  name: string;
  versions: string[];
}

const FAULT = "divvy cannot read this text: its parser stopped";

function flags(source: Source): string[] {
  return source.plugin === "" ? [CONFIG] : [CONFIG, `--plugin=${source.plugin}`];
}

/** The message of a command that failed. */
function message(run: Run): string {
  if (run.code === null) return FAULT;
  const text = run.err.trim().replace(/^(divvy|error): /, "").replace(`${CONFIG}: see divvy check`, "The configuration has errors");
  // A refused argument comes with the usage of the command.
  return text.split("\n\n")[0]?.trim() || `divvy ended with the code ${run.code}`;
}

function read<T>(run: Run): Answer<T> {
  if (run.code !== 0 && run.code !== 1) return { error: message(run) };
  return { value: JSON.parse(run.out) as T };
}

function map<T, U>(answer: Answer<T>, change: (value: T) => U): Answer<U> {
  return "error" in answer ? answer : { value: change(answer.value) };
}

export const questions = {
  async check(run: Runner, source: Source): Promise<Answer<CheckReport>> {
    const done = await run(["check", "--output=json", CONFIG], { [CONFIG]: source.text });
    if (done.code === null) {
      const finding = { severity: "error" as const, line: 1, column: 1, path: "", message: FAULT };
      return { value: { configurations: 0, errors: 1, warnings: 0, findings: [finding] } };
    }
    return map(read<CheckReport>(done), (report) => ({ ...report, findings: report.findings.slice(0, MAX_FINDINGS) }));
  },

  async outline(run: Runner, source: Source): Promise<Answer<Outline[]>> {
    const done = await run(["simulate", "--output=json", "--users=1", ...flags(source)], { [CONFIG]: source.text });
    return map(read<Simulation>(done), ({ rollouts }) =>
      rollouts.map((one) => ({ name: one.rollout, versions: one.versions.map((version) => version.version) })));
  },

  async explain(run: Runner, ask: Ask): Promise<Answer<Explanation>> {
    const files: Record<string, string> = { [CONFIG]: ask.text };
    const args = ["explain", "--output=json", ...flags(ask), `--request=${ask.request}`];
    args.push(...ask.headers.map((header) => `--header=${header}`));
    args.push(...ask.unreachable.map((version) => `--unreachable=${version}`));
    if (ask.claims.trim() !== "") {
      files["claims.json"] = ask.claims;
      args.push("--claims=claims.json");
    }
    if (ask.sourceIp !== "") args.push(`--source-ip=${ask.sourceIp}`);
    if (ask.peer !== "") args.push(`--peer=${ask.peer}`);
    if (ask.outbound) args.push("--outbound");
    if (ask.at !== "") args.push(`--at=${ask.at}`);
    return map(read<Explanation>(await run(args, files)), (explanation) => {
      const all = explanation.rollouts ?? [];
      const shown = [...all.filter((one) => one.matches), ...all.filter((one) => !one.matches)].slice(0, MAX_ROLLOUTS);
      const kept = all.filter((one) => shown.includes(one));
      return { ...explanation, rollouts: kept, others: all.length - kept.length };
    });
  },

  async split(run: Runner, source: Source & { users: number; population: string; at: string; rollout: string }): Promise<Answer<{ shares: RolloutShares; overlaps: Overlap[] } | null>> {
    const args = ["simulate", "--output=json", ...flags(source), `--users=${source.users}`, `--population=${source.population}`];
    if (source.at !== "") args.push(`--at=${source.at}`);
    return map(read<Simulation>(await run(args, { [CONFIG]: source.text })), ({ rollouts, overlaps }) => {
      const shares = rollouts.find((one) => one.rollout === source.rollout) ?? rollouts[0];
      if (shares === undefined) return null;
      return { shares, overlaps: overlaps.filter((one) => one.rollouts.includes(shares.rollout)) };
    });
  },

  async guardrail(run: Runner, source: Source & Traffic & { at: string; rollout: string }): Promise<Answer<GuardrailRun | null>> {
    const args = ["simulate", "--output=json", "--users=1", "--guardrail", ...flags(source),
      `--rps=${source.rps}`, `--seconds=${source.seconds}`, `--workers=${source.workers}`,
      `--stable-errors=${source.stableErrors}`, `--canary-errors=${source.canaryErrors}`,
      `--stable-latency=${source.stableLatency}`, `--canary-latency=${source.canaryLatency}`];
    if (source.at !== "") args.push(`--at=${source.at}`);
    return map(read<Simulation>(await run(args, { [CONFIG]: source.text })), ({ guardrails }) =>
      guardrails?.find((one) => one.rollout === source.rollout) ?? null);
  },

  async diff(run: Runner, source: Source & { before: string; users: number; at: string }): Promise<Answer<DiffReport>> {
    const args = ["diff", "--output=json", `--users=${source.users}`, "before.yaml", CONFIG];
    if (source.plugin !== "") args.push(`--plugin=${source.plugin}`);
    if (source.at !== "") args.push(`--at=${source.at}`);
    const done = await run(args, { "before.yaml": source.before, [CONFIG]: source.text });
    return map(read<DiffReport>(done), (report) => ({ ...report, rollouts: report.rollouts.slice(0, MAX_ROLLOUTS) }));
  },

  async plan(run: Runner, plan: Plan): Promise<Answer<TestPlan>> {
    const args = ["analyze", "--plan", "--output=json", `--baseline=${plan.baseline}`, `--points=${plan.points}`,
      `--power=${plan.power}`, `--units-per-day=${plan.unitsPerDay}`, `--split=${plan.split}`];
    return read<TestPlan>(await run(args, {}));
  },

  async render(run: Runner, rendering: Rendering): Promise<Answer<string>> {
    const done = await run(["render", rendering.what, ...flags(rendering), ...rendering.flags], { [CONFIG]: rendering.text });
    return done.code === 0 ? { value: done.out } : { error: message(done) };
  },
};

export type Questions = typeof questions;
export type Question = keyof Questions;
export type Given<Q extends Question> = Parameters<Questions[Q]>[1];
export type Answered<Q extends Question> = Awaited<ReturnType<Questions[Q]>>;
