// Asks the workers. Of the questions of one place of the page, only the newest waits; a run that takes too long is ended.

import type { Answered, Given, Question } from "./questions";

/** Maximum duration of an answer in milliseconds. */
const LIMIT = 30_000;

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL(url: string): string };
}

// A server's policy may allow the scripts of this name only (Trusted Types).
const policy = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy("divvy", { createScriptURL: () => "worker.js" });

/** The address of the worker's script. */
function program(): string {
  return policy?.createScriptURL("") ?? "worker.js";
}

interface Waiting {
  id: number;
  slot: number;
  question: Question;
  given: unknown;
  done: (answer: unknown) => void;
}

/** One worker with its queue. */
class Lane {
  private worker: Worker | undefined;
  private queue: Waiting[] = [];
  private running: Waiting | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private module: Promise<WebAssembly.Module>) {}

  ask(waiting: Waiting) {
    const older = this.queue.findIndex((other) => other.slot === waiting.slot);
    if (older >= 0) this.queue.splice(older, 1)[0]?.done(undefined);
    this.queue.push(waiting);
    void this.next();
  }

  private async next() {
    if (this.running !== undefined) return;
    const task = this.queue.shift();
    if (task === undefined) return;
    this.running = task;
    try {
      const worker = await this.start();
      worker.postMessage({ id: task.id, question: task.question, given: task.given });
      this.timer = setTimeout(() => this.end(`stopped after ${LIMIT / 1000} seconds: choose fewer users or a shorter time`), LIMIT);
    } catch (error) {
      this.finish({ error: `page.wasm cannot be loaded: ${error instanceof Error ? error.message : String(error)}` });
    }
  }

  private async start(): Promise<Worker> {
    const module = await this.module;
    if (this.worker === undefined) {
      const worker = new Worker(program(), { type: "module" });
      worker.postMessage(module);
      worker.addEventListener("message", (event: MessageEvent<{ id: number; answer: unknown }>) => {
        if (event.data.id === this.running?.id) this.finish(event.data.answer);
      });
      worker.addEventListener("error", (event) => this.end(`the worker failed: ${event.message}`));
      this.worker = worker;
    }
    return this.worker;
  }

  private end(error: string) {
    this.worker?.terminate();
    this.worker = undefined;
    this.finish({ error });
  }

  private finish(answer: unknown) {
    clearTimeout(this.timer);
    const task = this.running;
    this.running = undefined;
    task?.done(answer);
    void this.next();
  }
}

/** The command line in two workers, so that a long simulation delays neither `check` nor `explain`. */
export class Engine {
  private module = load();
  private lanes = { short: new Lane(this.module), long: new Lane(this.module) };
  private last = 0;

  /** A number for a place of the page that asks. */
  slot(): number {
    this.last += 1;
    return this.last;
  }

  /** The answer; `undefined` if a newer question of the same slot replaced this one. */
  ask<Q extends Question>(question: Q, given: Given<Q>, slot = this.slot()): Promise<Answered<Q> | undefined> {
    const lane = ["check", "outline", "explain", "render"].includes(question) ? this.lanes.short : this.lanes.long;
    const id = this.slot();
    return new Promise((done) => {
      lane.ask({ id, slot, question, given, done: (answer) => done(answer as Answered<Q> | undefined) });
    });
  }
}

async function load(): Promise<WebAssembly.Module> {
  const response = await fetch("page.wasm");
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  // Some file servers send another media type, which compileStreaming refuses.
  return WebAssembly.compile(await response.arrayBuffer());
}
