/** From a TOML file and flags to a checked, frozen configuration. */

import { heapSecrets, type SecretMemory } from "../base/mod.ts";
import { clientConfig } from "./client_config.ts";
import { contextOf } from "./common.ts";
import { FileError, type ReadFile, readSmallFile } from "./private_file.ts";
import { ConfigError } from "./problem.ts";
import type { Overrides } from "./reading.ts";
import { serverConfig } from "./server_config.ts";
import { parseToml } from "./toml_source.ts";
import type { ClientConfig, ServerConfig } from "./types.ts";

export type { Direction, DirectionConfig } from "./direction.ts";
export { DirectionError, resolveDirection, slotGapMinNs } from "./direction.ts";
export { formatKey, KEY_LEN, parseKey, PresharedKey } from "./key.ts";
export type {
  DialRule,
  ForwardTarget,
  HostPort,
  JitterSetting,
  ListenAddress,
  StreamListen,
} from "./kinds.ts";
export { checkStrength, estimateBits, makePassword, makeSalt, parsePassword } from "./password.ts";
export { networkOf, prefixesOverlap } from "./prefixes.ts";
export { ConfigError } from "./problem.ts";
export type { Override, Overrides } from "./reading.ts";
export {
  CLIENT_SETTINGS,
  flagOf,
  FORWARD_SETTINGS,
  SERVER_CLIENT_SETTINGS,
  SERVER_SETTINGS,
} from "./settings.ts";
export type { Setting, Settings } from "./settings.ts";
export type * from "./types.ts";
export type { Users } from "./users.ts";

export { FileError, readSecretFile } from "./private_file.ts";
export { KEY_FILE_LEN_MAX } from "./common.ts";
const FILE_LEN_MAX = 1 << 20;

/** Reads the file at `path` ("-": standard input; undefined: flags alone) and the key files that it names; the keys lie
 * in `secrets`. Throws ConfigError with all that is wrong, a line each. */
export function loadClientConfig(
  path: string | undefined,
  overrides: Overrides = new Map(),
  secrets: SecretMemory = heapSecrets,
): ClientConfig {
  const { text, file } = read(path);
  return clientConfig(parseToml(text, path), overrides, contextOf(path, file, secrets));
}

/** As loadClientConfig, for a server. */
export function loadServerConfig(
  path: string | undefined,
  overrides: Overrides = new Map(),
  secrets: SecretMemory = heapSecrets,
): ServerConfig {
  const { text, file } = read(path);
  return serverConfig(parseToml(text, path), overrides, contextOf(path, file, secrets));
}

function read(path: string | undefined): { text: string; file: ReadFile | undefined } {
  if (path === undefined) return { text: "", file: undefined };
  try {
    const file = readSmallFile(path, FILE_LEN_MAX);
    return { text: file.text, file };
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new ConfigError([{ place: {}, message: error.message }]);
  }
}
