// The Web Worker: answers questions one after the other with the command line.

import { type Question, questions, type Runner } from "./questions";
import { run } from "./wasi";

/** A question of the main thread. */
export interface Task {
  id: number;
  question: Question;
  given: unknown;
}

let runner: Runner | undefined;

self.addEventListener("message", (event: MessageEvent<WebAssembly.Module | Task>) => {
  const data = event.data;
  if (data instanceof WebAssembly.Module) {
    runner = (args, files) => run(data, args, files);
    return;
  }
  void answer(data);
});

async function answer({ id, question, given }: Task) {
  let answer: unknown;
  try {
    if (runner === undefined) throw new Error("the program is not loaded");
    const ask = questions[question] as (run: Runner, given: unknown) => Promise<unknown>;
    answer = await ask(runner, given);
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage({ id, answer });
}
