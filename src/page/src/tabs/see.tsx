// Pictures: the split, the ramp, what an edit moves, the guardrail, and the plan of a test.

import { Guardrail } from "../see/guardrail";
import { Moves } from "../see/moves";
import { Plan } from "../see/plan";
import { Ramp } from "../see/ramp";
import { Split } from "../see/split";
import type { TabProps } from "./tab";

export function See(props: TabProps) {
  const { state, update, outline } = props;
  const rollout = outline.find((one) => one.name === state.rollout)?.name ?? outline[0]?.name ?? "";
  return (
    <>
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <label>
          Rollout
          <select value={rollout} onChange={(event) => update({ rollout: event.currentTarget.value })}>
            {outline.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
          </select>
        </label>
        <label>
          Time
          <input type="text" spellcheck={false} autocomplete="off" placeholder="now, or 2026-12-01T09:00:00Z" value={state.at} onInput={(event) => update({ at: event.currentTarget.value })} />
        </label>
      </form>
      <Split {...props} />
      <Ramp {...props} />
      <Moves {...props} />
      <Guardrail {...props} />
      <Plan {...props} />
    </>
  );
}
