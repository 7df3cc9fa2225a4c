/** The parts of a configuration that are about streams: proxy and forwards of a client, dialling of a server. */

import { type FileContext, pathFrom } from "./common.ts";
import type { StreamListen } from "./kinds.ts";
import { FileError, readSecretFile } from "./private_file.ts";
import { isTable, type Problems, Reading } from "./reading.ts";
import { FORWARD_SETTINGS, type SERVER_CLIENT_SETTINGS, type Settings, type Values } from "./settings.ts";
import type { TomlSource } from "./toml_source.ts";
import type { ForwardConfig, ServerDialConfig, SocksConfig } from "./types.ts";
import { parseUsers, type Users } from "./users.ts";

// Chosen here.
const USERS_FILE_LEN_MAX = 1 << 18;
const FORWARDS_MAX = 256;
const CONNECTIONS_MAX_DEFAULT = 10_000;
const STREAMS_MAX_DEFAULT = 10_000;
const DIALS_PER_S_DEFAULT = 200;
const IDLE_DEFAULT_NS = 4 * 3600e9;
const LISTEN_DEFAULT: readonly StreamListen[] = Object.freeze([
  Object.freeze({ kind: "tcp", ip: Uint8Array.of(127, 0, 0, 1), port: 1080, text: "127.0.0.1:1080" }),
]);

interface SocksValues {
  readonly "socks.listen"?: readonly StreamListen[];
  readonly "socks.password_file"?: string;
  readonly "socks.connections_max"?: number;
}

export function socksOf(reading: Reading<Settings>, values: SocksValues, context: FileContext): SocksConfig {
  const listen = values["socks.listen"] ?? LISTEN_DEFAULT;
  const users = usersOf(reading, values["socks.password_file"], context);
  const open = listen.find((address) => address.kind === "tcp" && !isLoopback(address.ip));
  if (open !== undefined && reading.place("socks.password_file") === undefined) {
    const message = `others can reach ${open.text}; add a password_file, or listen at 127.0.0.1 or [::1]`;
    reading.problem("socks.listen", message);
  }
  return Object.freeze({
    listen,
    users,
    connectionsMax: values["socks.connections_max"] ?? CONNECTIONS_MAX_DEFAULT,
  });
}

function isLoopback(ip: Uint8Array): boolean {
  return ip.length === 4 ? ip[0] === 127 : ip.every((byte, index) => byte === (index === 15 ? 1 : 0));
}

function usersOf(
  reading: Reading<Settings>,
  given: string | undefined,
  context: FileContext,
): Users | undefined {
  if (given === undefined) return undefined;
  const key = "socks.password_file";
  try {
    const path = pathFrom(context, reading, key, given);
    return readSecretFile(path, USERS_FILE_LEN_MAX, context.secrets, parseUsers);
  } catch (error) {
    if (!(error instanceof FileError || error instanceof RangeError)) throw error;
    reading.problem(key, error.message, given);
  }
  return undefined;
}

/** All [[forward]] tables of a client. */
export function forwardsOf(
  source: TomlSource,
  problems: Problems,
  { warnings }: FileContext,
): readonly ForwardConfig[] {
  const given = source.values.forward ?? [];
  const whole = new Reading({}, source, problems);
  if (!Array.isArray(given) || !given.every(isTable)) {
    whole.problem("forward", "expected tables; write one [[forward]] with listen and to for each");
    return [];
  }
  if (given.length > FORWARDS_MAX) {
    whole.problem("forward", `there are at most ${FORWARDS_MAX} forwards; start a second client`);
    return [];
  }
  const forwards = given.map((table, index) => forwardOf(source, problems, table, index))
    .filter((forward) => forward !== undefined);
  for (const { direction, listen } of forwards) {
    if (direction !== "local" || listen.kind !== "tcp" || isLoopback(listen.ip)) continue;
    warnings.push(`forward at ${listen.text}: others can reach it, too`);
  }
  return Object.freeze(forwards);
}

function forwardOf(
  source: TomlSource,
  problems: Problems,
  table: Readonly<Record<string, unknown>>,
  index: number,
): ForwardConfig | undefined {
  const reading = new Reading(FORWARD_SETTINGS, source, problems, `forward[${index}]`);
  reading.table(table);
  const { listen, to, direction = "local" } = reading.values;
  for (const [key, example] of [["listen", `"127.0.0.1:8080"`], ["to", `"host:port"`]] as const) {
    if (reading.place(key) === undefined) {
      reading.problem(key, `there is no ${key}; write ${key} = ${example}`);
    }
  }
  if (listen === undefined || to === undefined) return undefined;
  if (direction === "local" && to.kind === "unix") {
    reading.problem("to", "the server does not connect to sockets in its file system; write host:port");
  }
  if (direction === "remote" && listen.kind === "unix") {
    reading.problem("listen", "the server does not listen in its file system; write address:port");
  }
  if (direction === "remote" && to.kind === "host" && !/^[\d.]+$|:|^localhost$/.test(to.host)) {
    reading.problem("to", "names are not looked up on this side, beside the tunnel; write an address");
  }
  return Object.freeze({ direction, listen, to });
}

export function dialOf(values: Values<typeof SERVER_CLIENT_SETTINGS>): ServerDialConfig {
  return Object.freeze({
    allow: values.allow ?? [],
    deny: values.deny ?? [],
    listen: values.listen ?? [],
    streamsMax: values.streams_max ?? STREAMS_MAX_DEFAULT,
    dialsPerS: values.dial_rate ?? DIALS_PER_S_DEFAULT,
    idleNs: values.idle_time ?? IDLE_DEFAULT_NS,
  });
}
