/** What clients' and servers' configurations have in common. */

import { dirname, isAbsolute, join } from "node:path";
import { heapSecrets, type SecretMemory } from "../base/mod.ts";
import { parseKey, type PresharedKey } from "./key.ts";
import { keyOfPassword, parsePassword } from "./password.ts";
import { FileError, type ReadFile, readSecretFile } from "./private_file.ts";
import type { Reading } from "./reading.ts";
import { GROUPS, type Settings } from "./settings.ts";
import type { GroupName, IdentityForm, LogConfig, PacingConfig, StatusConfig, SuiteName } from "./types.ts";

/** Of files with a key or a pass phrase, bytes. */
export const KEY_FILE_LEN_MAX = 4096;

/** Where paths of the file start, and whether the file may hold a key. */
export interface FileContext {
  /** Folder of the configuration; "" when there is no file. */
  readonly folder: string;
  readonly exposed: string | undefined;
  readonly warnings: string[];
  /** Where keys lie from the first moment on. */
  readonly secrets: SecretMemory;
}

export function contextOf(
  path: string | undefined,
  file: ReadFile | undefined,
  secrets: SecretMemory = heapSecrets,
): FileContext {
  return {
    secrets,
    folder: path === undefined || path === "-" ? "" : dirname(path),
    exposed: file?.exposed,
    warnings: [],
  };
}

/** `path`, given in the file, from the folder of the file; given as a flag, from the working folder. */
export function pathFrom(
  context: FileContext,
  reading: Reading<Settings>,
  key: string,
  path: string,
): string {
  const fromFlag = reading.place(key)?.flag !== undefined;
  return path === "-" || isAbsolute(path) || fromFlag || context.folder === ""
    ? path
    : join(context.folder, path);
}

interface CommonValues {
  readonly "pacing.poll_mode"?: PacingConfig["pollMode"];
  readonly "pacing.sched_fifo"?: boolean;
  readonly "pacing.cpu"?: PacingConfig["cpu"];
  readonly "pacing.move_interrupts"?: boolean;
  readonly "status.socket"?: string;
  readonly "status.slot_trace"?: string;
  readonly "status.deviation_every"?: number;
  readonly "status.transmit_stamps"?: boolean;
  readonly "log.level"?: LogConfig["level"];
  readonly "log.format"?: LogConfig["format"];
}

export function commonOf(values: CommonValues, reading: Reading<Settings>, context: FileContext) {
  const path = (key: "status.socket" | "status.slot_trace") => {
    const given = values[key];
    return given === undefined ? undefined : pathFrom(context, reading, key, given);
  };
  return {
    pacing: Object.freeze<PacingConfig>({
      pollMode: values["pacing.poll_mode"] ?? "hybrid",
      schedFifo: values["pacing.sched_fifo"] ?? true,
      cpu: values["pacing.cpu"] ?? "auto",
      moveInterrupts: values["pacing.move_interrupts"] ?? true,
    }),
    status: Object.freeze<StatusConfig>({
      socket: path("status.socket"),
      slotTrace: path("status.slot_trace"),
      deviationEveryNs: values["status.deviation_every"],
      transmitStamps: values["status.transmit_stamps"] ?? false,
    }),
    log: Object.freeze<LogConfig>({
      level: values["log.level"] ?? "info",
      format: values["log.format"] ?? "plain",
    }),
  };
}

/** Suites and groups of `table`. All groups where none is given; without suites their order is the machine's affair. */
export function cryptoOf(
  reading: Reading<Settings>,
  table: "tunnel" | "server",
  suites: readonly SuiteName[] | undefined,
  groups: readonly GroupName[] | undefined,
) {
  for (const [key, names] of [["suites", suites], ["groups", groups]] as const) {
    if (names?.length === 0) {
      reading.problem(`${table}.${key}`, "expected one name at least; leave the key out for all", []);
    }
  }
  return { suites, groups: groups ?? Object.freeze([...GROUPS]) };
}

/** How the key is named on the wire; version 0 has one way of its own. */
export function identityOf(
  reading: Reading<Settings>,
  prefix: string,
  form: IdentityForm | undefined,
  isV0: boolean,
): IdentityForm {
  if (isV0 && form !== undefined) {
    reading.problem(`${prefix}identity`, "version 0 names nobody, whatever stands here; leave it out");
  }
  return form ?? "hidden";
}

/** The keys of a table that may give the key, with what the file or a flag said. */
export interface KeyValues {
  readonly key_file?: string;
  readonly key?: string;
  readonly password_file?: string;
  readonly password?: string;
  readonly salt?: Uint8Array;
}

const KEY_SOURCES = ["key", "key_file", "password", "password_file"] as const;
type KeySource = typeof KEY_SOURCES[number];

/** Of `values` of a table in the file, those that say the key: "tunnel." is what their names begin with there. */
export function keyValuesOf(values: Readonly<Record<string, unknown>>, prefix: string): KeyValues {
  return Object.fromEntries([...KEY_SOURCES, "salt"].map((name) => [name, values[prefix + name]]));
}

/** The key that `values` give, as it is or made of a pass phrase; `prefix` is "tunnel." or "". undefined when there is a
 * problem. */
export function keyOf(
  reading: Reading<Settings>,
  prefix: string,
  values: KeyValues,
  context: FileContext,
): PresharedKey | undefined {
  const source = keySourceOf(reading, prefix, values);
  if (source === undefined) return undefined;
  const isPassword = source === "password" || source === "password_file";
  if (!isPassword && reading.place(`${prefix}salt`) !== undefined) {
    reading.problem(`${prefix}salt`, "a salt goes with a pass phrase, not with a key; leave it out");
  }
  return withSecret(reading, prefix, source, values[source]!, context, (bytes) => {
    if (!isPassword) return parseKey(bytes, context.secrets);
    const { password, salt } = source === "password" ? { password: bytes } : parsePassword(bytes);
    return keyOfPassword(password, values.salt ?? salt, context.secrets);
  });
}

/** Which of the keys says it: exactly one may. */
function keySourceOf(reading: Reading<Settings>, prefix: string, values: KeyValues): KeySource | undefined {
  const given = KEY_SOURCES.filter((name) => reading.place(prefix + name) !== undefined);
  if (given.length > 1) {
    reading.problem(prefix + given[0], `there are both ${given[0]} and ${given[1]}; leave one out`);
    return undefined;
  }
  if (given.length === 0) {
    reading.problem(
      `${prefix}key_file`,
      'there is no key; make one with `i405 keygen -o FILE` and write key_file = "FILE"',
    );
    return undefined;
  }
  return values[given[0]] === undefined ? undefined : given[0]; // what could not be read has its problem already
}

/** What `use` makes of the bytes that `source` gives; they are wiped behind it. undefined when there is a problem, told
 * by a RangeError of `use` too. */
export function withSecret<T>(
  reading: Reading<Settings>,
  prefix: string,
  source: KeySource,
  value: string,
  context: FileContext,
  use: (bytes: Uint8Array) => T,
): T | undefined {
  const name = prefix + source;
  const isFile = source === "key_file" || source === "password_file";
  try {
    if (isFile) {
      return readSecretFile(pathFrom(context, reading, name, value), KEY_FILE_LEN_MAX, context.secrets, use);
    }
    if (!mayStandHere(reading, name, source, context)) return undefined;
    const bytes = new TextEncoder().encode(value);
    try {
      return use(bytes);
    } finally {
      bytes.fill(0);
    }
  } catch (error) {
    if (!(error instanceof FileError || error instanceof RangeError)) throw error;
    reading.problem(name, error.message, isFile ? value : undefined);
    return undefined;
  }
}

/** Whether a secret may stand in the configuration itself; on the command line with a warning. */
function mayStandHere(
  reading: Reading<Settings>,
  name: string,
  source: "key" | "password",
  context: FileContext,
): boolean {
  const what = source === "key" ? "key" : "pass phrase";
  const flag = reading.place(name)?.flag;
  if (flag === undefined && context.exposed !== undefined) {
    reading.problem(name, `the file holds a ${what}, but ${context.exposed}`);
    return false;
  }
  if (flag !== undefined) {
    context.warnings.push(
      `${flag}: a ${what} on the command line can be seen by every user of this machine; use ${source}_file`,
    );
  }
  return true;
}
