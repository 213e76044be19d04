// The plan of an A/B test: how many units and days it needs.

import { useAnswer } from "../answers";
import type { TabProps } from "../tabs/tab";
import { Slider } from "./slider";

export function Plan({ state, update, engine }: TabProps) {
  const { plan } = state;
  const { answer, pending } = useAnswer(engine, "plan", plan);
  const set = (change: Partial<typeof plan>) => update({ plan: { ...plan, ...change } });
  const days = (number: number | null) => (number === null ? "" : `, ${number.toLocaleString("en")} day${number === 1 ? "" : "s"}`);
  return (
    <section aria-labelledby="plan">
      <h2 id="plan">Plan of an A/B test</h2>
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <Slider label="Rate today" unit="%" value={plan.baseline} range={[0.1, 99]} step={0.1} set={(baseline) => set({ baseline })} />
        <Slider label="Difference to find" unit="points" value={plan.points} range={[0.1, 20]} step={0.1} set={(points) => set({ points })} />
        <Slider label="Probability to find it" unit="%" value={plan.power} range={[50, 99]} step={1} set={(power) => set({ power })} />
        <Slider label="Units per day" value={plan.unitsPerDay} range={[100, 100000]} step={100} set={(unitsPerDay) => set({ unitsPerDay })} />
        <label>
          Weights of the arms, the control first
          <input type="text" value={plan.split} onInput={(event) => set({ split: event.currentTarget.value })} />
        </label>
      </form>
      <div role="status" aria-busy={pending}>{answer === undefined ? null : "error" in answer ? <p class="notice error">{answer.error}</p> : (
        <ul>
          <li>One look, at the end: {answer.value.units.toLocaleString("en")} units{days(answer.value.days)}</li>
          <li>Looking at any time: {answer.value.unitsAlwaysValid.toLocaleString("en")} units{days(answer.value.daysAlwaysValid)}</li>
          {answer.value.days !== null && answer.value.days < 7 ? <li>Run it for whole weeks all the same: users differ by the day of the week.</li> : null}
        </ul>
      )}</div>
    </section>
  );
}
