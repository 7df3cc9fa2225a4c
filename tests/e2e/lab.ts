/** A small internet of network namespaces, with everything in it that a test may start.
 *
 *     client ns                   router ns                     server ns
 *     wan 10.61.1.2/24  ───────  c 10.61.1.1    s 10.61.2.1  ───────  wan 10.61.2.2/24
 *         fd61:1::2/64             fd61:1::1      fd61:2::1               fd61:2::2/64
 *
 * Offloads are off on every link, so what tcpdump sees at `c` and `s` is what would be on a wire. */

import { must, Program, run, until } from "./process.ts";

export const CLIENT = "10.61.1.2";
export const CLIENT_MOVED = "10.61.1.77";
export const SERVER = "10.61.2.2";
export const ROUTER = "10.61.1.1";
export const CLIENT_V6 = "fd61:1::2";
export const SERVER_V6 = "fd61:2::2";

/** Tests that make namespaces say `ignore: !isRoot` and are then reported as ignored. */
export const isRoot = Deno.uid() === 0;

export type Place = "client" | "router" | "server";
const PLACES: readonly Place[] = ["client", "router", "server"];

const PROJECT = new URL("../../", import.meta.url).pathname;

/** The executable under test: I405_BIN, or ./i405 of the project. */
export function i405Path(): string {
  const path = Deno.env.get("I405_BIN") ?? `${PROJECT}i405`;
  try {
    Deno.statSync(path);
  } catch {
    throw new Error(`${path} is missing: run ./compile.sh, or set I405_BIN`);
  }
  return path;
}

export class Lab implements AsyncDisposable {
  /** A directory of this lab's own, removed at its end. */
  readonly dir: string;
  readonly #prefix: string;
  readonly #programs: Program[] = [];

  private constructor(dir: string, prefix: string) {
    this.dir = dir;
    this.#prefix = prefix;
  }

  static async create(): Promise<Lab> {
    const prefix = `e2e${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
    const lab = new Lab(await Deno.makeTempDir({ prefix: "i405-e2e-" }), prefix);
    try {
      for (const place of PLACES) await lab.#makePlace(place);
      await lab.#link("client", "c", 1);
      await lab.#link("server", "s", 2);
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    return lab;
  }

  /** The name of a place's namespace. */
  namespace(place: Place): string {
    return `${this.#prefix}${place[0]}`;
  }

  async #makePlace(place: Place): Promise<void> {
    await must(["ip", "netns", "add", this.namespace(place)]);
    await this.must(place, ["ip", "link", "set", "lo", "up"]);
    await this.shell(
      place,
      `cd /proc/sys/net
       set_to() { if [ -e "$1" ]; then echo "$2" > "$1"; fi; }
       set_to ipv4/conf/all/rp_filter 0; set_to ipv4/conf/default/rp_filter 0
       set_to ipv6/conf/default/accept_dad 0; set_to ipv6/conf/all/accept_dad 0
       set_to ipv4/icmp_ratelimit 0; set_to ipv6/icmp/ratelimit 0
       set_to ipv4/icmp_msgs_per_sec 10000; set_to ipv4/icmp_msgs_burst 10000
       ${place === "router" ? "echo 1 > ipv4/ip_forward; echo 1 > ipv6/conf/all/forwarding" : ""}`,
    );
  }

  async #link(place: Place, end: string, net: number): Promise<void> {
    await this.must(place, [
      "ip",
      "link",
      "add",
      "wan",
      "type",
      "veth",
      "peer",
      end,
      "netns",
      this.namespace("router"),
    ]);
    for (const [where, device, host] of [[place, "wan", 2], ["router", end, 1]] as const) {
      await this.must(where, ["ip", "address", "add", `10.61.${net}.${host}/24`, "dev", device]);
      await this.must(where, ["ip", "address", "add", `fd61:${net}::${host}/64`, "dev", device, "nodad"]);
      await this.must(where, ["ip", "link", "set", device, "up"]);
      const offloads = ["gso", "tso", "gro", "tx-udp-segmentation"].flatMap((name) => [name, "off"]);
      await this.must(where, ["ethtool", "-K", device, ...offloads]);
    }
    await this.must(place, ["ip", "route", "add", "default", "via", `10.61.${net}.1`]);
    await this.must(place, ["ip", "route", "add", "default", "via", `fd61:${net}::1`]);
  }

  /** `command` as it runs inside `place`. `ip netns exec` becomes the command, so its pid is the command's. */
  within(place: Place, command: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.namespace(place), ...command];
  }

  run(place: Place, command: readonly string[], options: { timeoutMs?: number } = {}) {
    return run(this.within(place, command), { ...options, cwd: this.dir });
  }

  must(place: Place, command: readonly string[], options: { timeoutMs?: number } = {}) {
    return must(this.within(place, command), { ...options, cwd: this.dir });
  }

  shell(place: Place, script: string) {
    return this.must(place, ["sh", "-ec", script]);
  }

  /** Starts a program that ends with the lab at the latest. */
  start(place: Place, command: readonly string[]): Program {
    const program = new Program(this.within(place, command), { cwd: this.dir });
    this.#programs.push(program);
    return program;
  }

  /** Writes a file of the lab's directory, for the owner alone, and returns its path. */
  async file(name: string, text: string | Uint8Array): Promise<string> {
    const path = `${this.dir}/${name}`;
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    await Deno.writeFile(path, bytes, { mode: 0o600 });
    return path;
  }

  /** Starts capturing at a device of the router and returns how to end that. Of each frame `snapLen` bytes are kept. */
  async capture(device: string, filter: string, snapLen = 128): Promise<() => Promise<Uint8Array>> {
    const path = `${this.dir}/${device}-${this.#programs.length}.pcap`;
    const options = `--time-stamp-precision=nano --immediate-mode -U -s ${snapLen} -B 16384 -n -Z root`.split(
      " ",
    );
    const tcpdump = this.start("router", ["tcpdump", ...options, "-i", device, "-w", path, filter]);
    await tcpdump.waitFor(/listening on/);
    return async () => {
      await tcpdump.stop("SIGINT");
      const dropped = tcpdump.lines.find((line) => /dropped by kernel/.test(line));
      if (!/^0 /.test(dropped ?? "0 ")) throw new Error(`the observer missed packets: ${dropped}`);
      return await Deno.readFile(path);
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs.reverse()) await program.stop();
    for (const place of PLACES) await run(["ip", "netns", "delete", this.namespace(place)]);
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** Builds tests/e2e/tools/NAME.c unless that has been done, and returns the program's path. */
export async function tool(name: "relay" | "icmp_forge" | "flood"): Promise<string> {
  const source = `${PROJECT}tests/e2e/tools/${name}.c`;
  const out = `${PROJECT}build/e2e-${name}`;
  const built = await Deno.stat(out).catch(() => undefined);
  if (built?.mtime == null || built.mtime < (await Deno.stat(source)).mtime!) {
    await Deno.mkdir(`${PROJECT}build`, { recursive: true });
    const compiler = Deno.env.get("CC") ?? "cc";
    await must([
      compiler,
      "-std=c11",
      "-D_DEFAULT_SOURCE",
      "-O2",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-o",
      out,
      source,
    ]);
  }
  return out;
}

/** Waits until the TCP port of a program inside `place` is listened on. */
export async function listening(lab: Lab, place: Place, port: number): Promise<void> {
  await until(
    async () => (await lab.must(place, ["ss", "-Htln", `sport = :${port}`])).trim() === "" ? undefined : true,
    () => `nobody listens on ${port}`,
  );
}
