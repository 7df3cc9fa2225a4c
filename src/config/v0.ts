/** What protocol version 0 asks of a configuration: a password as it is, one suite, packets of one a slot, its own
 * jitter; and no addresses from the server. */

import { classicSdRatio } from "../schedule/mod.ts";
import { type FileContext, type KeyValues, withSecret } from "./common.ts";
import type { DirectionConfig } from "./direction.ts";
import { PresharedKey } from "./key.ts";
import { checkStrength, parsePassword } from "./password.ts";
import type { Reading } from "./reading.ts";
import type { Settings } from "./settings.ts";
import type { GroupName, SuiteName } from "./types.ts";

// Set by what is deployed.
const PASSWORD_LEN_MAX = 64;
const JITTER_DEFAULT = Object.freeze({ law: "classic" as const, sdRatio: classicSdRatio(0.25) });
export const V0_SUITE: SuiteName = "TLS_AES_128_GCM_SHA256";
const V0_GROUPS: readonly GroupName[] = Object.freeze(["secp256r1", "x25519"]);
// Chosen here.
/** Clients of version 0 share one identity, so each of them costs every handshake a binder. */
export const V0_CLIENTS_MAX = 16;

/** The password that `values` give, which is the PSK: 1 to 64 bytes that nobody guesses, unless `acceptsGuessing`.
 * `prefix` is "tunnel." or "". undefined when there is a problem. */
export function passwordV0Of(
  reading: Reading<Settings>,
  prefix: string,
  values: KeyValues,
  acceptsGuessing: boolean,
  context: FileContext,
): PresharedKey | undefined {
  for (const name of ["key", "key_file", "salt"] as const) {
    if (reading.place(prefix + name) === undefined) continue;
    reading.problem(prefix + name, "version 0 has a password and nothing else; write password_file instead");
    return undefined;
  }
  const given = (["password", "password_file"] as const).filter((name) =>
    reading.place(prefix + name) !== undefined
  );
  if (given.length !== 1) {
    const message = given.length > 1
      ? "there are both password and password_file; leave one out"
      : 'version 0 needs its password; write password_file = "FILE"';
    reading.problem(`${prefix}password_file`, message);
    return undefined;
  }
  const [source] = given;
  const value = values[source];
  if (value === undefined) return undefined; // what could not be read has its problem already
  return withSecret(reading, prefix, source, value, context, (bytes) => {
    const password = source === "password" ? bytes : passwordOfFile(bytes);
    return checkedPassword(password, acceptsGuessing, context);
  });
}

function passwordOfFile(bytes: Uint8Array): Uint8Array {
  const { password, salt } = parsePassword(bytes);
  if (salt !== undefined) throw new RangeError("version 0 has no salt; leave its line out");
  return password;
}

function checkedPassword(password: Uint8Array, acceptsGuessing: boolean, context: FileContext): PresharedKey {
  if (password.length < 1 || password.length > PASSWORD_LEN_MAX) {
    throw new RangeError(
      `a password of version 0 has 1 to ${PASSWORD_LEN_MAX} bytes, this one ${password.length}`,
    );
  }
  if (!acceptsGuessing) checkGuessing(password);
  return new PresharedKey(password, context.secrets);
}

function checkGuessing(password: Uint8Array): void {
  try {
    checkStrength(password);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(
      `${error.message}. Version 0 does not stretch it, so that who records one handshake guesses at leisure; ` +
        "i_accept_guessing = true takes it all the same",
    );
  }
}

/** Fills in what version 0 has by default, and refuses what it has not. */
export function directionV0(
  reading: Reading<Settings>,
  name: "up" | "down",
  config: DirectionConfig,
): DirectionConfig {
  if (config.burst !== undefined && config.burst !== 1) {
    reading.problem(`${name}.burst`, "version 0 has one packet in each slot; leave burst out", config.burst);
  }
  const { jitter } = config;
  if (name === "down" && jitter !== undefined && jitter.law !== "classic" && jitter.law !== "none") {
    reading.problem(
      "down.jitter",
      'the jitter of a server of version 0 is "none" or one such as "classic 25%"',
      jitter.law,
    );
  }
  return Object.freeze({ ...config, burst: 1, jitter: jitter ?? JITTER_DEFAULT });
}

/** The suite and the groups of a client of version 0. */
export function cryptoV0(
  reading: Reading<Settings>,
  suites: readonly SuiteName[] | undefined,
  groups: readonly GroupName[] | undefined,
) {
  if (suites !== undefined && !suites.includes(V0_SUITE)) {
    reading.problem("tunnel.suites", `version 0 has ${V0_SUITE} alone; leave suites out`, suites);
  }
  if (groups !== undefined && !(groups.length > 0 && groups.every((group) => V0_GROUPS.includes(group)))) {
    reading.problem("tunnel.groups", "version 0 has secp256r1 and x25519; leave the others out", groups);
  }
  return { suites: Object.freeze([V0_SUITE]), groups: groups ?? V0_GROUPS };
}

/** What a server needs for clients of version 0. */
export function checkServerV0(
  reading: Reading<Settings>,
  count: number,
  suites: readonly SuiteName[] | undefined,
  groups: readonly GroupName[],
): void {
  if (count === 0) return;
  if (count > V0_CLIENTS_MAX) {
    reading.problem(
      "client",
      `a server has at most ${V0_CLIENTS_MAX} clients of version 0, here are ${count}`,
    );
  }
  if (suites !== undefined && !suites.includes(V0_SUITE)) {
    reading.problem("server.suites", `a client of version 0 needs ${V0_SUITE}; add it`, suites);
  }
  if (!groups.some((group) => V0_GROUPS.includes(group))) {
    reading.problem("server.groups", "a client of version 0 needs secp256r1 or x25519; add one", groups);
  }
}
