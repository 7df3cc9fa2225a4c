/** The other programs: found on PATH, or built once into build/peers/ from their own registries. Versions are fixed, so
 * that figures of two days can be compared. */

import { output } from "../../src/demo/child.ts";

const FOLDER = new URL("../../build/peers/", import.meta.url).pathname;
const WIREGUARD_GO = "v0.0.0-20260522210424-ecfc5a8d5446";
const BORINGTUN = "0.7.1";

export interface Installed {
  readonly path: string;
  /** As the page names it. */
  readonly version: string;
}
/** Why a program is not to be had, in a line. */
export interface Missing {
  readonly reason: string;
}
export type Installing = Promise<Installed | Missing>;

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Builds `path` with `command` unless it is there. */
async function built(
  path: string,
  command: readonly string[],
  env: Record<string, string>,
): Promise<Missing | undefined> {
  if (await exists(path)) return undefined;
  console.error(`building ${path.slice(FOLDER.length)} …`);
  try {
    await Deno.mkdir(FOLDER, { recursive: true });
    const args = command.slice(1);
    const { success, stderr } = await new Deno.Command(command[0], { args, env, stdin: "null" }).output();
    if (success) return undefined;
    return { reason: new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "it does not build" };
  } catch (error) {
    return { reason: error instanceof Deno.errors.NotFound ? `there is no ${command[0]}` : String(error) };
  }
}

export async function installWireguardGo(): Installing {
  const path = `${FOLDER}wireguard`;
  const install = ["go", "install", `golang.zx2c4.com/wireguard@${WIREGUARD_GO}`];
  return await built(path, install, { GOBIN: FOLDER }) ?? { path, version: WIREGUARD_GO };
}

export async function installBoringtun(): Installing {
  const path = `${FOLDER}bin/boringtun-cli`;
  const install = ["cargo", "install", "boringtun-cli", "--version", BORINGTUN, "--locked", "--root", FOLDER];
  return await built(path, install, {}) ?? { path, version: BORINGTUN };
}

export async function installOpenvpn(): Installing {
  const find = () => output(["sh", "-c", "command -v openvpn && openvpn --version | head -1"]);
  let { stdout } = await find();
  if (stdout === "") {
    await output(["apt-get", "install", "-y", "--no-install-recommends", "openvpn"]);
    stdout = (await find()).stdout;
  }
  const [path, line = ""] = stdout.split("\n");
  if (path === "") return { reason: "no package openvpn (apt-get install openvpn)" };
  return { path, version: /^OpenVPN (\S+)/.exec(line)?.[1] ?? "unknown" };
}

export async function buildRelay(): Installing {
  const path = `${FOLDER}relay`;
  const source = new URL("relay.c", import.meta.url).pathname;
  await Deno.remove(path).catch(() => {}); // built in a moment, and always of this source
  const flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];
  return await built(path, ["cc", ...flags, "-o", path, source, "-lcrypto"], {}) ??
    { path, version: "bench/peers/relay.c" };
}
