/** Reads the keys of a table of settings from a file's values and from flags, and collects what is wrong. */

import { nearest } from "./nearest.ts";
import { ConfigError, type Place, type Problem, shown } from "./problem.ts";
import { REFUSED_KEYS, type Setting, type Settings, type Values } from "./settings.ts";
import type { TomlSource } from "./toml_source.ts";

/** A value from the command line: the texts that the flag was given with, and the flag as it was written. */
export interface Override {
  readonly texts: readonly string[];
  readonly flag: string;
}

/** By key: "up.speed", "client.laptop.max_speed". They win over the file. */
export type Overrides = ReadonlyMap<string, Override>;

/** Problems of all parts of a configuration, to be told together. */
export class Problems {
  readonly #found: Problem[] = [];

  add(problem: Problem): void {
    this.#found.push(problem);
  }

  /** Throws ConfigError if there is any. */
  throwIfAny(): void {
    if (this.#found.length > 0) throw new ConfigError(this.#found);
  }

  get any(): boolean {
    return this.#found.length > 0;
  }
}

type Table = Readonly<Record<string, unknown>>;

/** The checked values of one table of settings, and where each was given. */
export class Reading<S extends Settings> {
  readonly values: Values<S> = {};
  readonly #settings: S;
  readonly #source: TomlSource;
  readonly #problems: Problems;
  readonly #base: string;
  readonly #places = new Map<string, Place>();

  /** `base`: where the table lies in the file, "" or "client[0]". */
  constructor(settings: S, source: TomlSource, problems: Problems, base = "") {
    this.#settings = settings;
    this.#source = source;
    this.#problems = problems;
    this.#base = base;
  }

  /** Takes every key of `table`; `skip` are keys that somebody else reads. */
  table(table: Table, skip: readonly string[] = []): void {
    this.#walk(table, "", skip);
  }

  /** Takes the value of a flag, as if it had stood in the file. */
  override(key: string, { texts, flag }: Override): void {
    const place = { flag };
    if (!Object.hasOwn(this.#settings, key)) {
      this.#unknown(key, place);
      return;
    }
    const setting = this.#settings[key];
    const raw = rawOf(setting, texts);
    this.#read(key, raw, place, texts.join(","));
  }

  /** A problem of `key` as a whole, at the place where it was given; with its value unless it is secret. */
  problem(key: string, message: string, value?: unknown): void {
    const place = this.#places.get(key) ??
      { file: this.#source.file, line: this.#source.lineOf(this.#pathOf(key)) };
    const given = value === undefined || this.#settings[key]?.secret ? undefined : shown(value);
    this.#problems.add({ place, key: this.#named(key), value: given, message });
  }

  /** Where `key` was given, if it was. */
  place(key: string): Place | undefined {
    return this.#places.get(key);
  }

  #walk(table: Table, prefix: string, skip: readonly string[]): void {
    for (const [name, raw] of Object.entries(table)) {
      const key = prefix + name;
      if (skip.includes(key)) continue;
      const place = { file: this.#source.file, line: this.#source.lineOf(this.#pathOf(key)) };
      if (Object.hasOwn(this.#settings, key)) this.#read(key, raw, place, shown(raw));
      else if (!this.#isTableName(key)) this.#unknown(key, place);
      else if (isTable(raw)) this.#walk(raw, `${key}.`, skip);
      else this.problem(key, `expected a table; write [${key}] on a line of its own`, raw);
    }
  }

  #read(key: string, raw: unknown, place: Place, value: string): void {
    this.#places.set(key, place);
    const setting: Setting<unknown> = this.#settings[key];
    try {
      (this.values as Record<string, unknown>)[key] = setting.kind.read(raw);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const given = setting.secret ? undefined : value;
      this.#problems.add({ place, key: this.#named(key), value: given, message: error.message });
    }
  }

  #isTableName(key: string): boolean {
    return Object.keys(this.#settings).some((known) => known.startsWith(`${key}.`));
  }

  #unknown(key: string, place: Place): void {
    const refused = [key, this.#named(key), key.split(".")[0]].find((name) =>
      Object.hasOwn(REFUSED_KEYS, name)
    );
    let message = "there is no such key";
    if (refused !== undefined) message = REFUSED_KEYS[refused];
    else {
      const meant = this.#nearest(key);
      message += meant === undefined ? "; `--help` lists all" : `; did you mean ${meant}?`;
    }
    this.#problems.add({ place, key: this.#named(key), message });
  }

  /** Among keys, tables and, for a key in the wrong table, last parts of keys. */
  #nearest(key: string): string | undefined {
    const keys = Object.keys(this.#settings);
    const tables = new Set(keys.filter((known) => known.includes(".")).map((known) => known.split(".")[0]));
    const found = nearest(key, [...keys, ...tables]);
    if (found !== undefined) return found;
    const last = key.split(".").at(-1)!;
    return keys.find((known) => known.split(".").at(-1) === last);
  }

  #pathOf(key: string): string {
    return this.#base === "" ? key : `${this.#base}.${key}`;
  }

  /** As it is named in messages: without the index of an array. */
  #named(key: string): string {
    return this.#pathOf(key).replace(/\[\d+\]/g, "");
  }
}

/** A flag's texts as the TOML value that they mean; what they do not mean stays text, for the kind to refuse. */
function rawOf(setting: Setting<unknown>, texts: readonly string[]): unknown {
  const last = texts.at(-1) ?? "";
  switch (setting.kind.shape) {
    case "boolean":
      return last === "true" ? true : last === "false" ? false : last;
    case "number":
      return /^-?\d{1,15}$/.test(last) ? Number(last) : last;
    case "texts":
      return texts.flatMap((text) => text.split(",")).map((text) => text.trim()).filter((text) =>
        text !== ""
      );
    case "text":
      return last;
  }
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
