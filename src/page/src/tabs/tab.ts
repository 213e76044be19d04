// What every tab gets, and the list of the tabs. A new tab is a component and an entry of `TABS`.

import type { ComponentType } from "preact";
import type { Engine } from "../engine";
import type { Outline } from "../questions";
import type { CheckReport } from "../reports";
import type { State, Update } from "../state";

export interface TabProps {
  state: State;
  update: Update;
  engine: Engine;
  /** Errors and warnings of the text, once they are known. */
  report: CheckReport | undefined;
  /** The text that `report` is about: while a newer one is checked, not the one of the editor. */
  reported: string | undefined;
  /** The rollouts of the text; those of the last valid text while it has an error. */
  outline: Outline[];
}

export interface Tab {
  id: string;
  label: string;
  View: ComponentType<TabProps>;
}
