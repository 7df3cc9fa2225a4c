/** A TOML text as values, and the line on which each key stands (the parser does not keep those). */

import { parse, TomlError } from "smol-toml";
import { ConfigError } from "./problem.ts";

export interface TomlSource {
  /** As it is named in messages; undefined when there is no file. */
  readonly file: string | undefined;
  readonly values: Readonly<Record<string, unknown>>;
  /** The line of "up.speed" or "client[0].name", else that of the nearest table around it. */
  lineOf(path: string): number | undefined;
}

/** Throws ConfigError with file and line where `text` is not TOML 1.0. The message shows none of the text, which may
 * hold a key. */
export function parseToml(text: string, file: string | undefined): TomlSource {
  const lines = keyLines(text);
  return {
    file,
    values: valuesOf(text, file),
    lineOf(path) {
      for (let at = path; at !== ""; at = at.replace(/(?:^|\.)[^.]*$/, "")) {
        const line = lines.get(at);
        if (line !== undefined) return line;
      }
      return undefined;
    },
  };
}

function valuesOf(text: string, file: string | undefined): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof TomlError) {
      const message = error.message.split("\n")[0].replace("Invalid TOML document: ", "");
      const place = `not TOML at column ${error.column}: ${message}`;
      throw new ConfigError([{
        place: { file, line: error.line },
        message: `${place}. Write tables as [name] and keys as name = "text", number, true or ["a", "b"]`,
      }]);
    }
    if (!(error instanceof RangeError)) throw error;
    throw new ConfigError([{
      place: { file },
      message: "its values are nested too deeply. Use plain tables",
    }]);
  }
}

/** First line of each key and table. Goes by lines, so a text of several lines that looks like keys can add names
 * that are never asked for; wrong values cannot come of it, only a line number. */
function keyLines(text: string): Map<string, number> {
  const found = new Map<string, number>();
  const counts = new Map<string, number>();
  let table = "";
  const note = (path: string, line: number) => {
    if (!found.has(path)) found.set(path, line);
  };
  text.split("\n").forEach((content, index) => {
    const header = /^\s*(\[{1,2})\s*([^\]]+?)\s*\]/.exec(content);
    if (header !== null) {
      table = plainPath(header[2]);
      if (header[1] === "[[") {
        const count = counts.get(table) ?? 0;
        counts.set(table, count + 1);
        table = `${table}[${count}]`;
      }
      note(table, index + 1);
      return;
    }
    const key = /^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=/
      .exec(content);
    if (key === null) return;
    note(table === "" ? plainPath(key[1]) : `${table}.${plainPath(key[1])}`, index + 1);
  });
  return found;
}

function plainPath(path: string): string {
  return path.split(".").map((part) => part.trim().replace(/^["']|["']$/g, "")).join(".");
}
