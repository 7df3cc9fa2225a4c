/** What is wrong with a configuration, told so that its reader can put it right. */

import { hideKeys } from "./key.ts";

/** Where a value was given: a file and, if known, its line; or a flag of the command line. */
export interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly flag?: string;
}

export interface Problem {
  readonly place: Place;
  /** "up.speed"; absent for a problem of the whole file. */
  readonly key?: string;
  /** As it was written; absent for secrets and where there is none. */
  readonly value?: string;
  /** What is wrong and the remedy. */
  readonly message: string;
}

/** All problems of one configuration, one line each in `message`, which shows no key, wherever one was written. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(hideKeys(problems.map(lineOf).join("\n")));
    this.problems = problems;
  }
}

function lineOf({ place, key, value, message }: Problem): string {
  let what = key ?? "";
  if (place.flag !== undefined) what = value === undefined ? place.flag : `${place.flag} ${value}`;
  else if (value !== undefined) what = `${key} = ${value}`;
  const where = place.file === undefined
    ? []
    : [place.line === undefined ? place.file : `${place.file}:${place.line}`];
  return [...where, ...(what === "" ? [] : [what]), message].join(": ");
}

const VALUE_TEXT_MAX = 80;

/** `value` on one short line, for a message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => typeof part === "bigint" ? String(part) : part) ??
    String(value);
  return text.length <= VALUE_TEXT_MAX ? text : `${text.slice(0, VALUE_TEXT_MAX)}…`;
}
