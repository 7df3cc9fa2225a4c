/** What clients' and servers' configurations have in common. */

import { dirname, isAbsolute, join } from "node:path";
import { parseKey, PresharedKey } from "./key.ts";
import { FileError, type ReadFile, readSmallFile } from "./private_file.ts";
import type { Reading } from "./reading.ts";
import { GROUPS, type Settings, SUITES } from "./settings.ts";
import type { GroupName, LogConfig, PacingConfig, StatusConfig, SuiteName } from "./types.ts";

const KEY_FILE_LEN_MAX = 4096;

/** Where paths of the file start, and whether the file may hold a key. */
export interface FileContext {
  /** Folder of the configuration; "" when there is no file. */
  readonly folder: string;
  readonly exposed: string | undefined;
  readonly warnings: string[];
}

export function contextOf(path: string | undefined, file: ReadFile | undefined): FileContext {
  return {
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
  readonly "status.socket"?: string;
  readonly "status.slot_trace"?: string;
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
    }),
    status: Object.freeze<StatusConfig>({
      socket: path("status.socket"),
      slotTrace: path("status.slot_trace"),
    }),
    log: Object.freeze<LogConfig>({
      level: values["log.level"] ?? "info",
      format: values["log.format"] ?? "plain",
    }),
  };
}

/** Suites and groups of `table`, all where none is given. */
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
  return { suites: suites ?? Object.freeze([...SUITES]), groups: groups ?? Object.freeze([...GROUPS]) };
}

/** The key that `key_file` or `key` gives; `prefix` is "tunnel." or "". undefined when there is a problem. */
export function keyOf(
  reading: Reading<Settings>,
  prefix: string,
  keyFile: string | undefined,
  key: string | undefined,
  context: FileContext,
): PresharedKey | undefined {
  if (keyFile !== undefined && key !== undefined) {
    reading.problem(`${prefix}key`, "there are both key and key_file; leave one out");
    return undefined;
  }
  if (key !== undefined) return inlineKey(reading, `${prefix}key`, key, context);
  if (keyFile !== undefined) return fileKey(reading, `${prefix}key_file`, keyFile, context);
  // A key that was given and could not be read has its problem already.
  if (reading.place(`${prefix}key_file`) === undefined && reading.place(`${prefix}key`) === undefined) {
    reading.problem(
      `${prefix}key_file`,
      'there is no key; make one with `i405 keygen -o FILE` and write key_file = "FILE"',
    );
  }
  return undefined;
}

function inlineKey(
  reading: Reading<Settings>,
  name: string,
  text: string,
  context: FileContext,
): PresharedKey | undefined {
  const flag = reading.place(name)?.flag;
  if (flag === undefined && context.exposed !== undefined) {
    reading.problem(name, `the file holds a key, but ${context.exposed}`);
    return undefined;
  }
  if (flag !== undefined) {
    context.warnings.push(
      `${flag}: a key on the command line can be seen by every user of this machine; use key_file`,
    );
  }
  return readKey(reading, name, text);
}

function fileKey(
  reading: Reading<Settings>,
  name: string,
  given: string,
  context: FileContext,
): PresharedKey | undefined {
  try {
    const file = readSmallFile(pathFrom(context, reading, name, given), KEY_FILE_LEN_MAX);
    if (file.exposed === undefined) return readKey(reading, name, file.text, given);
    reading.problem(name, file.exposed, given);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    reading.problem(name, error.message, given);
  }
  return undefined;
}

function readKey(
  reading: Reading<Settings>,
  name: string,
  text: string,
  value?: string,
): PresharedKey | undefined {
  try {
    return parseKey(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    reading.problem(name, error.message, value);
    return undefined;
  }
}
