/** Log lines: one event, one line, on standard error. What a peer or a file has put into a message cannot break the
 * line: everything but plain printable text is escaped. */

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = typeof LOG_LEVELS[number];
export type LogFormat = "plain" | "json";
/** Values of no secret, ever: what is put here is printed. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  log(level: LogLevel, message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  /** Lines of this level and the graver ones are written. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes one line, its end included. */
  readonly write: (line: string) => void;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** A plain line is `time level message key=value …`; a JSON line has the keys time, level, message and the fields. */
export function createLog(options: LogOptions): Log {
  const finest = LOG_LEVELS.indexOf(options.level);
  const format = options.format === "json" ? jsonLine : plainLine;
  const log = (level: LogLevel, message: string, fields: LogFields = {}) => {
    if (LOG_LEVELS.indexOf(level) > finest) return;
    options.write(format(new Date(options.nowMs()).toISOString(), level, message, fields));
  };
  return {
    log,
    error: (message, fields) => log("error", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    info: (message, fields) => log("info", message, fields),
    debug: (message, fields) => log("debug", message, fields),
  };
}

/** The log of a program: standard error and the clock of the system. */
export function stderrLog(level: LogLevel, format: LogFormat): Log {
  const encoder = new TextEncoder();
  const write = (line: string) => {
    try {
      writeAll(encoder.encode(line));
    } catch {
      // Nobody reads standard error any more: no reason to stop a tunnel.
    }
  };
  return createLog({ level, format, write, nowMs: Date.now });
}

function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
}

function plainLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const parts = Object.entries(fields).filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${valueText(value)}`);
  return `${time} ${level.padEnd(5)} ${escaped(message)}${parts.join("")}\n`;
}

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  return `${jsonText({ time, level, message, ...fields })}\n`;
}

/** As it is where that is one plain word, else as JSON. */
function valueText(value: unknown): string {
  const text = typeof value === "string" ? value : jsonText(value);
  return typeof value !== "string" || /^[\w.:;,@%/+[\]<>()-]+$/.test(text) ? text : escaped(jsonText(text));
}

function jsonText(value: unknown): string {
  const plain = (_: string, part: unknown) => {
    if (typeof part === "bigint") return String(part);
    return part instanceof Error ? part.message : part;
  };
  return escaped(JSON.stringify(value, plain) ?? "null");
}

// Control characters of C0 and C1, line separators, and what turns the direction of text.
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function escaped(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
