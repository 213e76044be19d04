// The colours of versions: those of the plots and the tour, which people with a colour vision deficiency can tell apart.

import { VERSIONS } from "virtual:palette";
import type { Outline } from "./questions";

/** The colour of a version, by its place in the configuration. */
export function colourAt(index: number): string {
  return VERSIONS[index % VERSIONS.length]!;
}

export function colourOf(outline: Outline[], rollout: string, version: string): string {
  const index = outline.find((one) => one.name === rollout)?.versions.indexOf(version) ?? 0;
  return colourAt(Math.max(index, 0));
}
