// An OpenFeature provider that reads the decisions of divvy from the assignment header of a request.
// The name of a rollout is the flag, its version the value.

import {
  ErrorCode, StandardResolutionReasons,
  type EvaluationContext, type FlagMetadata, type JsonValue, type Provider, type ResolutionDetails,
} from "@openfeature/server-sdk";
import { isInnerList, parseDictionary, Token } from "structured-headers";

/** The attribute of the evaluation context with the value of the header. */
export const HEADER_KEY = "divvyAssignment";

/** The evaluation context of a request of Node: its assignment. */
export function contextOf(headers: Record<string, string | string[] | undefined>): EvaluationContext {
  return { [HEADER_KEY]: [headers["x-divvy-assignment"] ?? []].flat().join(", ") };
}

/** The reasons of OpenFeature for those of divvy. All others are DEFAULT: stable serves. */
const REASONS: Record<string, string> = {
  split: StandardResolutionReasons.SPLIT, sticky: StandardResolutionReasons.SPLIT,
  rule: StandardResolutionReasons.TARGETING_MATCH, override: StandardResolutionReasons.TARGETING_MATCH,
  active: StandardResolutionReasons.STATIC, follow: StandardResolutionReasons.STATIC,
  disabled: StandardResolutionReasons.DISABLED,
};

function failed<T>(value: T, errorCode: ErrorCode, errorMessage: string): ResolutionDetails<T> {
  return { value, reason: StandardResolutionReasons.ERROR, errorCode, errorMessage };
}

function textOf(value: unknown): string | undefined {
  return value instanceof Token ? value.toString() : typeof value === "string" ? value : undefined;
}

/** Has no state: each evaluation reads the header in its context. */
export class DivvyProvider implements Provider {
  readonly metadata = { name: "divvy" };
  readonly runsOn = "server";

  /** The name of the version. */
  async resolveStringEvaluation(flag: string, fallback: string, context: EvaluationContext): Promise<ResolutionDetails<string>> {
    let member;
    try {
      member = parseDictionary(String(context[HEADER_KEY] ?? "")).get(flag);
    } catch {
      return failed(fallback, ErrorCode.PARSE_ERROR, "the assignment is not a dictionary");
    }
    if (!member) {
      return failed(fallback, ErrorCode.FLAG_NOT_FOUND, "no decision of this rollout");
    }
    const version = isInnerList(member) ? undefined : textOf(member[0]);
    if (version === undefined) {
      return failed(fallback, ErrorCode.TYPE_MISMATCH, "the value is not the name of a version");
    }
    const flagMetadata: FlagMetadata = {};
    for (const key of ["reason", "upstream"]) {
      const value = textOf(member[1].get(key));
      if (value !== undefined) flagMetadata[key] = value;
    }
    // What the first proxy decided.
    const decided = String(flagMetadata.upstream ?? flagMetadata.reason);
    // Only these were drawn: log them as exposures, and leave the others out.
    flagMetadata.exposure = ["split", "sticky"].includes(decided);
    return { value: version, variant: version, reason: REASONS[decided] ?? StandardResolutionReasons.DEFAULT, flagMetadata };
  }

  /** For rollouts whose versions are named on and off. */
  async resolveBooleanEvaluation(flag: string, fallback: boolean, context: EvaluationContext): Promise<ResolutionDetails<boolean>> {
    const { value, ...details } = await this.resolveStringEvaluation(flag, "", context);
    if (details.errorCode) return { ...details, value: fallback };
    if (value !== "on" && value !== "off") return this.mismatch(fallback);
    return { ...details, value: value === "on" };
  }

  /** Fails: a version is a name. */
  async resolveNumberEvaluation(_: string, fallback: number): Promise<ResolutionDetails<number>> {
    return this.mismatch(fallback);
  }

  /** Fails: a version is a name. */
  async resolveObjectEvaluation<T extends JsonValue>(_: string, fallback: T): Promise<ResolutionDetails<T>> {
    return this.mismatch(fallback);
  }

  private mismatch<T>(fallback: T): ResolutionDetails<T> {
    return failed(fallback, ErrorCode.TYPE_MISMATCH, "a version is a name");
  }
}
