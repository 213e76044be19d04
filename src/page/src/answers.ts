// Hooks: the answer to a question that follows what a person types, and facts of the window.

// Effects run in the task of the change that causes them: between it and them, no key and no answer arrives.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Engine } from "./engine";
import type { Answered, Given, Question } from "./questions";

/** Milliseconds without a change before a question is asked. */
const PAUSE = 150;

interface Known<Q extends Question> {
  answer: Answered<Q>;
  /** What was asked. */
  of: Given<Q>;
  key: string;
}

/** The newest answer, also while a newer one is computed (`pending`); nothing is asked for `null`. */
export function useAnswer<Q extends Question>(engine: Engine, question: Q, given: Given<Q> | null): Partial<Known<Q>> & { pending: boolean } {
  const [known, setKnown] = useState<Known<Q>>();
  const [slot] = useState(() => engine.slot());
  const key = given === null ? null : JSON.stringify(given);
  useLayoutEffect(() => {
    if (given === null || key === null) return undefined;
    let isCurrent = true;
    const timer = setTimeout(async () => {
      const answer = await engine.ask(question, given, slot);
      if (isCurrent && answer !== undefined) setKnown({ answer, of: given, key });
    }, PAUSE);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [engine, question, key]);
  return { ...known, pending: key !== null && known?.key !== key };
}

/** Whether a media query holds. */
export function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useLayoutEffect(() => {
    const list = matchMedia(query);
    const change = () => setHolds(list.matches);
    list.addEventListener("change", change);
    return () => list.removeEventListener("change", change);
  }, [query]);
  return holds;
}

/** The width of an element in pixels, for pictures whose text keeps its size. */
export function useWidth() {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, Math.floor(element.clientWidth))));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { ref, width };
}
