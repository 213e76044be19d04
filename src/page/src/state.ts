// The state of the page. A link contains all of it.

import type { Traffic } from "./questions";

export interface State {
  tab: string;
  /** The configuration in the editor. */
  text: string;
  /** The configuration that an edit is compared with. */
  before: string;
  /** Name of the plugin, if the text has several. */
  plugin: string;
  /** The rollout whose pictures are shown; the first one if it does not exist. */
  rollout: string;
  /** A request line such as `GET https://shop.example/cart`, or a curl command. */
  request: string;
  /** Headers, one a line. */
  headers: string;
  claims: string;
  sourceIp: string;
  peer: string;
  outbound: boolean;
  /** An instant; empty for now. */
  at: string;
  /** Versions without a reachable host, separated by spaces. */
  unreachable: string;
  users: number;
  population: string;
  traffic: Traffic;
  plan: { baseline: number; points: number; power: number; unitsPerDay: number; split: string };
  render: { what: string; gateway: string; namespace: string; selector: string; place: string };
}

export type Update = (change: Partial<State>) => void;

export function initial(text: string): State {
  return {
    tab: "edit",
    text,
    before: text,
    plugin: "",
    rollout: "",
    request: "GET https://shop.example.com/checkout",
    headers: "x-user-id: 5",
    claims: "",
    sourceIp: "",
    peer: "",
    outbound: false,
    at: "",
    unreachable: "",
    users: 10_000,
    population: "seq",
    traffic: { rps: 20, seconds: 3_600, workers: 2, stableErrors: 0.1, canaryErrors: 5, stableLatency: 50, canaryLatency: 50 },
    plan: { baseline: 10, points: 3, power: 80, unitsPerDay: 5_000, split: "1,1" },
    render: { what: "istio", gateway: "shop", namespace: "default", selector: "", place: "gateway" },
  };
}

/** The fields of `base` with the values of `given` that have the same type, recursively. */
export function merged<T extends object>(base: T, given: unknown): T {
  if (typeof given !== "object" || given === null) return base;
  const result = { ...base };
  for (const key of Object.keys(base) as (keyof T)[]) {
    if (!Object.hasOwn(given, key)) continue;
    const [old, value] = [base[key], (given as T)[key]];
    if (typeof old === "object" && old !== null) result[key] = merged(old, value);
    else if (typeof value === typeof old && (typeof value !== "number" || Number.isFinite(value))) result[key] = value;
  }
  return result;
}
