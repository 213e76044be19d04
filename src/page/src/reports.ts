// What the command line prints with `--output json`, as far as the page shows it.

export interface Finding {
  severity: "error" | "warning";
  warning?: string;
  line: number;
  column: number;
  path: string;
  message: string;
  suggestion?: string;
}

export interface CheckReport {
  configurations: number;
  errors: number;
  warnings: number;
  /** At most `MAX_FINDINGS` of them. */
  findings: Finding[];
}

export interface Condition {
  text: string;
  holds: boolean;
  found?: string[];
  parts?: Condition[];
}

export interface Step {
  step: string;
  text: string;
  condition?: Condition;
  position?: number;
  threshold?: number;
}

export interface ScheduledStep {
  begins: string | null;
  afterPause?: boolean;
  weight: number;
  hold?: string;
  gate?: string;
  passed?: string;
  current?: boolean;
}

export interface RolloutSteps {
  rollout: string;
  matches: boolean;
  version?: string;
  reason?: string;
  steps: Step[];
}

export interface HeaderEdits {
  set: [string, string][];
  remove: string[];
}

export interface Identity {
  value: string;
  origin: string;
  source?: string;
  unit?: string;
}

export interface Explanation {
  identity: Identity | null;
  missingIdentity?: string[];
  ownIdentities?: { rollout: string; identity: Identity | null; missingIdentity?: string[] }[];
  routeOwner?: string;
  withoutRoute?: string[];
  decisions: { rollout: string; version: string; reason: string; upstream?: string }[];
  request: HeaderEdits;
  response: HeaderEdits;
  cookies: string[];
  counters: string[];
  rollouts?: RolloutSteps[];
  /** Rollouts that do not match, beyond those in `rollouts`. */
  others?: number;
}

export interface VersionShare {
  version: string;
  users: number;
  percent: number;
  interval: [number, number];
  configured: number;
  reasons: Record<string, number>;
  control: boolean;
}

export interface RolloutShares {
  rollout: string;
  users: number;
  byRule: number;
  versions: VersionShare[];
  pValue: number;
  mismatch: boolean;
  guardrail?: string;
  schedule?: ScheduledStep[];
}

export interface Overlap {
  rollouts: [string, string];
  percent: number;
  byChance: number;
  pValue: number;
}

export interface GuardrailRun {
  rollout: string;
  events: { second: number; text: string }[];
  requests: [[number, number], [number, number]];
  shares: [number, number][];
  failures: [[number, number][], [number, number][]];
}

export interface Simulation {
  users: number;
  rollouts: RolloutShares[];
  overlaps: Overlap[];
  guardrails?: GuardrailRun[];
}

export interface VersionMove {
  from: string;
  to: string;
  users: number;
  percent: number;
}

export interface RolloutChange {
  rollout: string;
  status: "same" | "changed" | "renamed" | "new" | "gone";
  movedPercent: number;
  minimumPercent: number;
  moves: VersionMove[];
  stays: { version: string; users: number }[];
  notes: string[];
}

export interface DiffReport {
  users: number;
  notes: string[];
  rollouts: RolloutChange[];
}

export interface TestPlan {
  baseline: number;
  expected: number;
  alpha: number;
  power: number;
  units: number;
  unitsAlwaysValid: number;
  days: number | null;
  daysAlwaysValid: number | null;
}
