// The tabs in their order.

import { hasServer } from "../live/data";
import { Ask } from "./ask";
import { Edit } from "./edit";
import { Live } from "./live";
import { See } from "./see";
import { TakeAway } from "./take";
import type { Tab } from "./tab";

export const TABS: Tab[] = [
  { id: "edit", label: "Edit", View: Edit },
  { id: "ask", label: "Ask", View: Ask },
  { id: "see", label: "See", View: See },
  { id: "take", label: "Take away", View: TakeAway },
  ...(hasServer ? [{ id: "live", label: "Live", View: Live }] : []),
];
