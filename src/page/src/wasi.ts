// Runs the command line, compiled for WASI, with files in memory. Must not depend on the browser: the tests run it in Node.

import { ConsoleStdout, File, OpenFile, PreopenDirectory, WASI } from "@bjorn3/browser_wasi_shim";

/** Name of the file with the configuration, as messages have it. */
export const CONFIG = "config.yaml";

/** What one run of the command line printed. */
export interface Run {
  /** Exit code; `null` if the program stopped at a fault of its own. */
  code: number | null;
  out: string;
  err: string;
}

/** Runs `divvy ARGS` in a new instance: nothing that an input breaks is left for the next run. */
export async function run(module: WebAssembly.Module, args: string[], files: Record<string, string>, input = ""): Promise<Run> {
  const encoder = new TextEncoder();
  const [out, err] = [new Collector(), new Collector()];
  const folder = new Map(Object.entries(files).map(([name, text]) => [name, new File(encoder.encode(text))]));
  const wasi = new WASI(["divvy", ...args], ["NO_COLOR=1"], [
    new OpenFile(new File(encoder.encode(input))),
    new ConsoleStdout((bytes) => out.add(bytes)),
    new ConsoleStdout((bytes) => err.add(bytes)),
    new PreopenDirectory(".", folder),
  ], { debug: false });
  const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
  let code: number | null;
  try {
    code = wasi.start(instance as Parameters<WASI["start"]>[0]);
  } catch (error) {
    // A trap or an exhausted stack.
    if (!(error instanceof WebAssembly.RuntimeError) && !(error instanceof RangeError)) throw error;
    code = null;
  }
  return { code, out: out.text(), err: err.text() };
}

class Collector {
  private parts: Uint8Array[] = [];

  add(bytes: Uint8Array) {
    this.parts.push(bytes.slice());
  }

  text() {
    const all = new Uint8Array(this.parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      all.set(part, at);
      at += part.length;
    }
    return new TextDecoder().decode(all);
  }
}
