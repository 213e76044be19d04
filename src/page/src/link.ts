// The state as the fragment of a link: compressed JSON in base64url.

import { merged, type State } from "./state";

/** Maximum size of a state in bytes; a configuration has at most 1 MiB. */
const MAX_BYTES = 4 << 20;

export async function toFragment(state: State): Promise<string> {
  const stream = new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The state of a fragment; fields that it lacks or that have another type are those of `base`. */
export async function fromFragment(fragment: string, base: State): Promise<State> {
  const text = atob(fragment.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > MAX_BYTES) throw new Error("the link contains more than 4 MiB");
    parts.push(value as Uint8Array<ArrayBuffer>);
  }
  return merged(base, JSON.parse(await new Blob(parts).text()));
}
