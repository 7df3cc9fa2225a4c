/** Three places on this machine, and everything that is started in them.
 *
 *     client                       observer                      server
 *     wan 192.0.2.2/24  ────────  c 192.0.2.1
 *                                 s 198.51.100.1  ────────────  wan 198.51.100.2/24
 *
 * The observer's place is the router between the two: each packet is seen where it enters, before anything is done to
 * it. Neighbours are entered by hand and the outer links have no IPv6, so nothing but the tunnel is on the wire.
 * Segments are cut before they reach a link (gso_max_segs 1), so the observer's times are of single packets. */

import { Child, DemoError, output, runCommand } from "./child.ts";

export type Place = "client" | "observer" | "server";
const PLACES: readonly Place[] = ["client", "observer", "server"];
export const OUTER: Readonly<Record<"client" | "server", string>> = {
  client: "192.0.2.2",
  server: "198.51.100.2",
};
/** The observer's interface towards each end. */
export const SEEN_AT: Readonly<Record<"client" | "server", string>> = { client: "c", server: "s" };
const GATEWAY = { client: "192.0.2.1", server: "198.51.100.1" } as const;
const HARDWARE = {
  client: { wan: "02:14:05:00:01:02", gateway: "02:14:05:00:01:01" },
  server: { wan: "02:14:05:00:02:02", gateway: "02:14:05:00:02:01" },
} as const;
const NAME_PREFIX = "i405-demo-";

/** Owns namespaces, programs and a directory; `close` takes all of it away, in the opposite order. */
export class Site {
  /** For the owner alone. */
  readonly dir: string;
  readonly #name: string;
  readonly #self: readonly string[];
  readonly #undo: (() => Promise<unknown>)[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  readonly #abort = new AbortController();
  #closing: Promise<void> | undefined;

  private constructor(dir: string, name: string, self: readonly string[]) {
    this.dir = dir;
    this.#name = name;
    this.#self = self;
    this.#undo.push(() => Deno.remove(dir, { recursive: true }));
  }

  /** `self`: the command that runs this program. Makes the directory only; `build` makes the rest. */
  static async create(self: readonly string[]): Promise<Site> {
    const dir = await Deno.makeTempDir({ prefix: NAME_PREFIX });
    return new Site(dir, `${NAME_PREFIX}${Deno.pid}`, self);
  }

  /** Makes namespaces and links. Throws DemoError when the machine refuses; `close` is due all the same. */
  async build(): Promise<void> {
    for (const place of PLACES) await this.#makePlace(place);
    for (const end of ["client", "server"] as const) await this.#link(end);
    await this.#sysctl("observer", "net/ipv4/ip_forward", "1");
  }

  namespace(place: Place): string {
    return `${this.#name}-${place[0]}`;
  }

  /** Runs a command in a place. */
  run(place: Place, ...command: string[]): Promise<string> {
    return this.#track(() => runCommand(this.#within(place, command), this.#abort.signal));
  }

  /** Runs a command in a place, whatever comes of it. */
  output(place: Place, ...command: string[]): ReturnType<typeof output> {
    return this.#track(() => output(this.#within(place, command), this.#abort.signal));
  }

  /** Runs this program in a place with other arguments. */
  runSelf(place: Place, ...args: string[]): Promise<string> {
    return this.run(place, ...this.#self, ...args);
  }

  /** Starts this program in a place with other arguments. It ends with the site at the latest. */
  startSelf(name: string, place: Place, ...args: string[]): Child {
    return this.startSelfOn(undefined, name, place, ...args);
  }

  /** The same, on these CPUs alone ("0", "0,2-3"); undefined: on any. */
  startSelfOn(cpus: string | undefined, name: string, place: Place, ...args: string[]): Child {
    this.assertOpen();
    const confined = cpus === undefined ? [] : ["taskset", "-c", cpus];
    const child = new Child(name, this.#within(place, [...confined, ...this.#self, ...args]));
    this.#undo.push(() => child.stop());
    return child;
  }

  /** Writes a file into the directory, readable by the owner alone. Returns its path. */
  async file(name: string, text: string): Promise<string> {
    this.assertOpen();
    const path = `${this.dir}/${name}`;
    await this.#track(() => Deno.writeTextFile(path, text, { mode: 0o600 }));
    return path;
  }

  /** Ends all programs and removes everything. What cannot be removed is returned as messages. */
  async close(): Promise<string[]> {
    const failed: string[] = [];
    this.#closing ??= this.#takeDown(failed);
    await this.#closing;
    return failed;
  }

  async #takeDown(failed: string[]): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled([...this.#pending]);
    for (const undo of this.#undo.reverse()) {
      try {
        await undo();
      } catch (error) {
        failed.push(error instanceof Error ? error.message : String(error));
      }
    }
  }

  /** Throws DemoError once `close` has begun. */
  assertOpen(): void {
    if (this.#closing !== undefined) throw new DemoError("The demonstration is being taken down");
  }

  /** Counts `work` as under way, so that taking down waits for it. */
  #track<T>(work: () => Promise<T>): Promise<T> {
    this.assertOpen();
    const promise = work();
    this.#pending.add(promise);
    const forget = () => this.#pending.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  #within(place: Place, command: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.namespace(place), ...command];
  }

  async #makePlace(place: Place): Promise<void> {
    const name = this.namespace(place);
    await this.#track(() => runCommand(["ip", "netns", "add", name]));
    this.#undo.push(() => runCommand(["ip", "netns", "delete", name]));
    await this.run(place, "ip", "link", "set", "lo", "up");
  }

  async #link(end: "client" | "server"): Promise<void> {
    const near = SEEN_AT[end];
    const far = this.namespace(end);
    await this.run(
      "observer",
      "ip",
      "link",
      "add",
      near,
      "address",
      HARDWARE[end].gateway,
      "type",
      "veth",
      "peer",
      "name",
      "wan",
      "address",
      HARDWARE[end].wan,
      "netns",
      far,
    );
    await this.#sysctl("observer", `net/ipv6/conf/${near}/disable_ipv6`, "1");
    await this.#sysctl(end, "net/ipv6/conf/wan/disable_ipv6", "1");
    await this.#linkEnd("observer", near, GATEWAY[end], OUTER[end], HARDWARE[end].wan);
    await this.#linkEnd(end, "wan", OUTER[end], GATEWAY[end], HARDWARE[end].gateway);
    // No default route: nothing but the tunnel finds its way out of these places.
    await this.run(
      end,
      "ip",
      "route",
      "add",
      OUTER[end === "client" ? "server" : "client"],
      "via",
      GATEWAY[end],
    );
  }

  async #linkEnd(
    place: Place,
    device: string,
    address: string,
    other: string,
    otherHardware: string,
  ): Promise<void> {
    await this.run(place, "ip", "link", "set", device, "gso_max_segs", "1", "up");
    await this.run(place, "ip", "address", "add", `${address}/24`, "dev", device);
    await this.run(place, "ip", "neighbour", "add", other, "lladdr", otherHardware, "dev", device);
  }

  /** By this program's own child, which need not be able to write there itself. */
  #sysctl(place: Place, path: string, value: string): Promise<string> {
    return this.run(place, "sh", "-c", `[ ! -e /proc/sys/${path} ] || echo ${value} > /proc/sys/${path}`);
  }
}

/** Takes away the namespaces of demonstrations that were killed, and ends what still runs in them. */
export async function removeLeftovers(): Promise<void> {
  const { code, stdout } = await output(["ip", "netns", "list"]);
  if (code !== 0) return;
  for (const line of stdout.split("\n")) {
    const [name] = line.split(" ");
    const pid = /^i405-demo-(\d+)-[cos]$/.exec(name)?.[1];
    if (pid === undefined || Number(pid) === Deno.pid) continue;
    // In a shell, since /proc is closed to this program. The shell itself is one of those in the namespace.
    const end = `for p in $(ip netns pids ${name}); do [ "$p" = $$ ] || kill "$p" 2> /dev/null; done`;
    const { code } = await output([
      "ip",
      "netns",
      "exec",
      name,
      "sh",
      "-c",
      `[ ! -e /proc/${pid} ] && { ${end}; true; }`,
    ]);
    if (code === 0) await output(["ip", "netns", "delete", name]);
  }
}
