// The data of `divvy ui` (envoy/docs/UI.md), and the hook that asks for them. Without that server nothing is asked.

import { useLayoutEffect, useState } from "preact/hooks";

/** Milliseconds between two questions. Unchanged answers are 304, without content. */
const EVERY = 1_000;
/** Version of the format that this page reads. */
const FORMAT = 1;

/** Whether `divvy ui` serves this page: it adds the mark. */
export const hasServer = document.querySelector('meta[name="divvy-server"]') !== null;

export type State = "healthy" | "frozen" | "rolled back" | "unreachable";

/** Time in milliseconds since 1970, share in force, requests per second, errors in percent, p95 in milliseconds. */
export type Point = [number, number | null, number | null, number | null, number | null];

export interface Proxy {
  url: string;
  job: string;
  error: string | null;
  hash: string | null;
  inert: boolean;
  untagged: boolean;
  hot_restart: boolean;
}

export interface Version {
  weight: number | null;
  seen: number;
  requests: number;
  rate: number | null;
  p95: number | null;
  frozen: number;
  rolled_back: number;
  unreachable: number;
}

export interface LiveEvent {
  time: number;
  kind: string;
  rollout: string | null;
  version: string | null;
  text: string;
  first: boolean;
}

export interface Rollout {
  name: string;
  now: { versions: Record<string, Version>; waiting: number; configured: boolean };
  errors: Record<string, number | null>;
  configured: Record<string, number>;
  series: Record<string, Point[]> | null;
}

export interface Live {
  format: number;
  time: number | null;
  every: number;
  source: string;
  error: string | null;
  seconds: number | null;
  agree: boolean;
  proxies: Proxy[];
  findings: string[];
  events: LiveEvent[];
  file: { hash: string | null; error: string | null };
  rollouts: { name: string; configured: boolean; waiting: number; state: State; rate: number | null }[];
  rollout: Rollout | null;
}

export interface FileOnDisk {
  format: number;
  name: string | null;
  text: string | null;
  error: string | null;
}

/** The newest answer of a path, and why there is no newer one. */
export function usePolled<T extends { format: number }>(path: string): { answer: T | undefined; error: string } {
  const [answer, setAnswer] = useState<T>();
  const [error, setError] = useState("");
  useLayoutEffect(() => {
    if (!hasServer) return undefined;
    let [isCurrent, tag] = [true, ""];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      try {
        const response = await fetch(path, { cache: "no-cache" });
        if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
        const next = response.headers.get("etag") ?? "";
        if (isCurrent && (next === "" || next !== tag)) {
          const found = (await response.json()) as T;
          if (found.format !== FORMAT) throw new Error("the server has another version: load the page again");
          if (isCurrent) setAnswer(found);
          tag = next;
        }
        if (isCurrent) setError("");
      } catch (fault) {
        if (isCurrent) setError(`divvy ui does not answer: ${fault instanceof Error ? fault.message : String(fault)}`);
      }
      if (isCurrent) timer = setTimeout(() => void ask(), EVERY);
    };
    void ask();
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [path]);
  return { answer, error };
}
