// Hooks: the answer to a question that follows what a person types, and facts of the window.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Engine } from "./engine";
import type { Answered, Given, Question } from "./questions";

/** Milliseconds without a change before a question is asked. */
const PAUSE = 150;

/** The newest answer, also while a newer one is computed; nothing is asked for `null`. */
export function useAnswer<Q extends Question>(engine: Engine, question: Q, given: Given<Q> | null): { answer: Answered<Q> | undefined; pending: boolean } {
  const [answer, setAnswer] = useState<Answered<Q>>();
  const [pending, setPending] = useState(false);
  const [slot] = useState(() => engine.slot());
  const key = given === null ? null : JSON.stringify(given);
  useEffect(() => {
    if (given === null) return undefined;
    let isCurrent = true;
    setPending(true);
    const timer = setTimeout(async () => {
      const found = await engine.ask(question, given, slot);
      if (!isCurrent || found === undefined) return;
      setAnswer(found);
      setPending(false);
    }, PAUSE);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [engine, question, key]);
  return { answer, pending };
}

/** Whether a media query holds. */
export function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
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
  useEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, Math.floor(element.clientWidth))));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { ref, width };
}
