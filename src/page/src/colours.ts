// The colours of versions: those of the plots and the tour, which people with a colour vision deficiency can tell apart.

import { VERSIONS } from "virtual:palette";
import type { Outline } from "./questions";

/** The colour of a version, by its place in the configuration. */
export function colourAt(index: number): string {
  return VERSIONS[index % VERSIONS.length]!;
}

/** `index`: the place of a version that the configuration does not have. A scrape job may stand before the rollout. */
export function colourOf(outline: Outline[], rollout: string, version: string, index = 0): string {
  const name = rollout.slice(rollout.lastIndexOf("/") + 1);
  const found = outline.find((one) => one.name === name)?.versions.indexOf(version) ?? -1;
  return colourAt(found < 0 ? index : found);
}
