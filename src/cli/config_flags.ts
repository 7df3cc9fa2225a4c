/** Flags of settings, made from the table of settings, and what was given as overrides of the file. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { flagOf, type Overrides, type Setting, type Settings } from "../config/mod.ts";

const PLACEHOLDER_LEN_MAX = 24;
const SET = "--set <key=value>";

/** Adds a flag for each of `settings`, its alias where it has one, and `--set`. */
export function addSettingFlags(command: Command, settings: Settings): void {
  for (const [key, setting] of Object.entries(settings)) {
    addFlag(command, flagOf(key), helpOf(setting), setting, key.split(".")[0]);
    if (setting.alias === undefined) continue;
    addFlag(command, setting.alias, `the same as --${flagOf(key)}`, setting, key.split(".")[0]);
  }
  const set = new Option(SET, 'any setting by its key in the file, such as up.speed="1 Mbit/s"');
  command.addOption(set.argParser(collectSet).helpGroup("Settings:"));
}

function addFlag(
  command: Command,
  name: string,
  help: string,
  setting: Setting<unknown>,
  table: string,
): void {
  const group = `Settings of [${table}]:`;
  if (setting.kind.shape === "boolean") {
    command.addOption(new Option(`--${name}`, help).helpGroup(group));
    command.addOption(new Option(`--no-${name}`, "the opposite").helpGroup(group));
  } else {
    const { placeholder } = setting.kind;
    const isLong = placeholder.length > PLACEHOLDER_LEN_MAX;
    const option = new Option(
      `--${name} <${isLong ? "NAME" : placeholder}>`,
      isLong ? `${help}: ${placeholder}` : help,
    );
    command.addOption(option.argParser(collect).helpGroup(group));
  }
}

function helpOf(setting: Setting<unknown>): string {
  const notes = [
    ...setting.default === undefined ? [] : [`default: ${setting.default}`],
    ...setting.kind.shape === "texts" ? ["may be repeated"] : [],
    ...setting.secret ? ["seen by all users of this machine"] : [],
  ];
  return notes.length === 0 ? setting.help : `${setting.help} (${notes.join("; ")})`;
}

/** Settings that have no flags of their own, a line each, for --help. */
export function settingLines(settings: Settings): string {
  return Object.entries(settings).map(([key, setting]) => `  ${key.padEnd(12)} ${helpOf(setting)}`).join(
    "\n",
  );
}

function collect(value: string, before: unknown): string[] {
  return [...Array.isArray(before) ? before : [], value];
}

function collectSet(value: string, before: unknown): string[] {
  if (!/^[^=]+=/.test(value)) {
    throw new InvalidArgumentError('Write it as key=value, such as up.speed="1 Mbit/s".');
  }
  return collect(value, before);
}

/** What was given by flags, by key. The name of the setting wins over its alias, any flag over --set. */
export function overridesOf(command: Command, settings: Settings): Overrides {
  const overrides = new Map<string, { texts: string[]; flag: string }>();
  for (const text of (command.getOptionValue("set") ?? []) as string[]) {
    const at = text.indexOf("=");
    const key = text.slice(0, at).trim();
    const texts = [...overrides.get(key)?.texts ?? [], text.slice(at + 1).trim()];
    overrides.set(key, { texts, flag: `--set ${key}` });
  }
  for (const [key, setting] of Object.entries(settings)) {
    for (const name of [setting.alias, flagOf(key)]) {
      const value: unknown = name === undefined ? undefined : command.getOptionValue(camelCase(name));
      if (value === undefined) continue;
      if (typeof value === "boolean") {
        overrides.set(key, { texts: [String(value)], flag: `--${value ? "" : "no-"}${name}` });
      } else overrides.set(key, { texts: value as string[], flag: `--${name}` });
    }
  }
  return overrides;
}

/** The attribute under which commander keeps the value of --NAME. */
function camelCase(name: string): string {
  return new Option(`--${name}`).attributeName();
}
