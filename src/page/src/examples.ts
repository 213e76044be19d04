// The examples of the repository; the build writes them into the bundle.

import list from "virtual:examples";

export interface Example {
  /** Name of the file. */
  name: string;
  text: string;
}

export const examples: Example[] = list;
