// A request, its decision step by step, and what follows from it.

import { useAnswer } from "../answers";
import { colourOf } from "../colours";
import { readCurl } from "../curl";
import type { Condition, Explanation, HeaderEdits, RolloutSteps, Step } from "../reports";
import type { State } from "../state";
import type { TabProps } from "./tab";

/** The fields of the form as a question. */
function question(state: State) {
  const curl = readCurl(state.request);
  const own = state.headers.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return {
    text: state.text,
    plugin: state.plugin,
    request: curl?.request ?? state.request,
    headers: [...(curl?.headers ?? []), ...own],
    claims: state.claims,
    sourceIp: state.sourceIp.trim(),
    peer: state.peer.trim(),
    outbound: state.outbound,
    at: state.at.trim(),
    unreachable: state.unreachable.split(/\s+/).filter((version) => version !== ""),
  };
}

export function Ask({ state, update, engine, outline }: TabProps) {
  const { answer, pending } = useAnswer(engine, "explain", question(state));
  const curl = readCurl(state.request);
  return (
    <>
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <label class="whole">
          Request, or a curl command
          <textarea rows={2} spellcheck={false} value={state.request} onInput={(event) => update({ request: event.currentTarget.value })} />
        </label>
        {curl === undefined ? null : <p class="hint">curl sends <code>{curl.request}</code>{curl.headers.length > 0 ? ` with ${curl.headers.length} headers` : ""}</p>}
        <label class="whole">
          {curl === undefined ? "Headers, one a line" : "Further headers, one a line"}
          <textarea rows={3} spellcheck={false} value={state.headers} onInput={(event) => update({ headers: event.currentTarget.value })} />
        </label>
        <details>
          <summary>What the proxy knows besides the headers</summary>
          <div class="fields">
            <Field label="Source address" value={state.sourceIp} example="203.0.113.7" set={(sourceIp) => update({ sourceIp })} />
            <Field label="URI in the client's certificate" value={state.peer} example="spiffe://cluster.local/ns/shop/sa/web" set={(peer) => update({ peer })} />
            <Field label="Time" value={state.at} example="now" set={(at) => update({ at })} />
            <Field label="Versions that cannot be reached" value={state.unreachable} example="v2 or checkout=v2" set={(unreachable) => update({ unreachable })} />
            <label class="whole">
              Claims of the verified token, as JSON
              <textarea rows={2} spellcheck={false} value={state.claims} onInput={(event) => update({ claims: event.currentTarget.value })} />
            </label>
            <label class="check">
              <input type="checkbox" checked={state.outbound} onChange={(event) => update({ outbound: event.currentTarget.checked })} />
              The request leaves the workload beside the proxy
            </label>
          </div>
        </details>
      </form>
      <div role="status" aria-busy={pending}>
        {answer === undefined ? null : "error" in answer
          ? <p class="notice error">{answer.error}</p>
          : <Verdict explanation={answer.value} colour={(rollout, version) => colourOf(outline, rollout, version)} />}
      </div>
      {answer !== undefined && "value" in answer
        ? <Details explanation={answer.value} colour={(rollout, version) => colourOf(outline, rollout, version)} />
        : null}
    </>
  );
}

interface FieldProps {
  label: string;
  value: string;
  example: string;
  set: (value: string) => void;
}

function Field({ label, value, example, set }: FieldProps) {
  return (
    <label>
      {label}
      <input type="text" spellcheck={false} autocomplete="off" placeholder={example} value={value} onInput={(event) => set(event.currentTarget.value)} />
    </label>
  );
}

interface Shown {
  explanation: Explanation;
  colour: (rollout: string, version: string) => string;
}

/** The decisions in one line each. */
function Verdict({ explanation, colour }: Shown) {
  const { decisions, identity, routeOwner } = explanation;
  return (
    <>
      <h2>Decision</h2>
      {decisions.length === 0 ? <p>No rollout matches this request.</p> : null}
      <ul class="decisions">
        {decisions.map((decision) => (
          <li key={decision.rollout}>
            <b>{decision.rollout}</b> → <Badge colour={colour(decision.rollout, decision.version)} text={decision.version} />{" "}
            because of <code>{decision.reason}</code>
            {decision.upstream === undefined ? null : <> (upstream: <code>{decision.upstream}</code>)</>}
            {decision.rollout === routeOwner ? <em> · owns the route</em> : null}
          </li>
        ))}
      </ul>
      {identity === null ? null : (
        <p>
          The user is <code>{identity.value}</code>, {identity.source === undefined ? identity.origin : `from ${identity.source}`}
          {identity.unit === undefined ? null : <>, in logs <code>{identity.unit}</code></>}.
        </p>
      )}
      <Missing sources={explanation.missingIdentity} />
      {explanation.ownIdentities?.map((own) => (
        <p key={own.rollout}>
          <b>{own.rollout}</b> has identity sources of its own: {own.identity === null
            ? <>no identity; {own.missingIdentity?.join("; ")}</>
            : <><code>{own.identity.value}</code> from {own.identity.source ?? own.identity.origin}</>}
        </p>
      ))}
      {explanation.withoutRoute === undefined ? null : <p>Only tag, because another rollout owns the route: {explanation.withoutRoute.join(", ")}.</p>}
    </>
  );
}

function Missing({ sources }: { sources: string[] | undefined }) {
  if (sources === undefined || sources.length === 0) return null;
  return <p>The request has no identity: {sources.join("; ")}.</p>;
}

export function Badge({ colour, text }: { colour: string; text: string }) {
  return <span class="badge" style={{ backgroundColor: colour }}>{text}</span>;
}

function Details({ explanation, colour }: Shown) {
  const { rollouts, others, request, response, cookies, counters } = explanation;
  return (
    <>
      <h2>Steps</h2>
      {rollouts?.map((rollout) => <Steps key={rollout.rollout} rollout={rollout} colour={colour} />)}
      {others ? <p>{others} further rollouts do not match.</p> : null}
      <h2>What goes out</h2>
      <Edits title="Request to the service" edits={request} />
      <Edits title="Response to the client" edits={response} />
      {cookies.length === 0 ? null : (
        <>
          <h3>Cookies</h3>
          <ul class="lines">{cookies.map((cookie) => <li key={cookie}><code>{cookie}</code></li>)}</ul>
        </>
      )}
      {counters.length === 0 ? null : (
        <>
          <h3>Counters that increase</h3>
          <ul class="lines">{counters.map((counter) => <li key={counter}><code>{counter}</code></li>)}</ul>
        </>
      )}
    </>
  );
}

function Steps({ rollout, colour }: { rollout: RolloutSteps; colour: Shown["colour"] }) {
  return (
    <details class="steps" open={rollout.matches}>
      <summary>
        <b>{rollout.rollout}</b>{" "}
        {rollout.version === undefined ? "does not match" : <>→ <Badge colour={colour(rollout.rollout, rollout.version)} text={rollout.version} /></>}
      </summary>
      <ol>{rollout.steps.map((step, index) => <StepLine key={index} step={step} />)}</ol>
    </details>
  );
}

function StepLine({ step }: { step: Step }) {
  return (
    <li>
      <code>{step.step}</code> {step.text}
      {step.position === undefined ? null : <> · position {step.position.toLocaleString("en")}{step.threshold === undefined ? null : <> of 1,000,000, limit {step.threshold.toLocaleString("en")}</>}</>}
      {step.condition === undefined ? null : <ul><Holds condition={step.condition} /></ul>}
    </li>
  );
}

/** A condition with its result and the values that it compared. */
function Holds({ condition }: { condition: Condition }) {
  return (
    <li class={condition.holds ? "holds" : "fails"}>
      {condition.holds ? "✓ " : "✗ "}<span class="sr">{condition.holds ? "true: " : "false: "}</span>
      <code>{condition.text}</code>
      {condition.found === undefined ? null : <> found {condition.found.map((value) => JSON.stringify(value)).join(", ")}</>}
      {condition.parts === undefined ? null : <ul>{condition.parts.map((part, index) => <Holds key={index} condition={part} />)}</ul>}
    </li>
  );
}

function Edits({ title, edits }: { title: string; edits: HeaderEdits }) {
  if (edits.set.length === 0 && edits.remove.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class="lines">
        {edits.set.map(([name, value]) => <li key={name}><code>{name}: {value}</code></li>)}
        {edits.remove.map((name) => <li key={name}>removed: <code>{name}</code></li>)}
      </ul>
    </>
  );
}
