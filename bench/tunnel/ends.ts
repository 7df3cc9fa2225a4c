/** Two network namespaces, a link between them, our server and client at its ends. One direction of each is symmetric.
 *
 *     client namespace                          server namespace
 *     wan 192.0.2.1/24  ─────────────────────  wan 192.0.2.2/24
 *     i405 10.140.5.2   ═══════ tunnel ═══════  i405s 10.140.5.1 */

import { Child, output, runCommand } from "../../src/demo/child.ts";

export type Place = "client" | "server";
export const INNER_SERVER = "10.140.5.1";
export const PACKET_LEN = 1400;
export const OUTER: Readonly<Record<Place, string>> = { client: "192.0.2.1", server: "192.0.2.2" };
export const PORT = 1405;
const UP_WAIT_MS = 30_000;
const PROJECT = new URL("../../", import.meta.url).pathname;

/** The executable at I405_BIN or ./i405, else the sources. */
export function program(): string[] {
  const path = Deno.env.get("I405_BIN") ?? `${PROJECT}i405`;
  try {
    Deno.statSync(path);
    return [path];
  } catch {
    return [Deno.execPath(), "run", "-A", "--no-check", `${PROJECT}mod.ts`];
  }
}

export interface Slots {
  readonly intervalNs: number;
  /** Packets in each. */
  readonly burst: number;
}

export interface TunnelOptions {
  readonly intervalNs: number;
  /** Where a direction is not as `intervalNs` says, or has bursts. */
  readonly up?: Slots;
  readonly down?: Slots;
  /** Of outer IP packets; PACKET_LEN if not said. */
  readonly packetLen?: number;
  readonly pollMode: "sleepy" | "hybrid" | "spinny";
  readonly cpus: Readonly<Record<Place, number | undefined>>;
  /** CPUs that an end's process is confined to, as taskset(1) reads them; all, where there are none named. */
  readonly confinedTo?: Readonly<Partial<Record<Place, string>>>;
  /** As in a configuration; undefined: the default. */
  readonly jitter?: string;
  readonly transmitStamps?: boolean;
}

export class Tunnel {
  readonly client: Child;
  server: Child;
  readonly #lab: Lab;
  readonly #options: TunnelOptions;

  private constructor(lab: Lab, options: TunnelOptions, server: Child, client: Child) {
    this.#lab = lab;
    this.#options = options;
    this.server = server;
    this.client = client;
  }

  static async start(lab: Lab, options: TunnelOptions): Promise<Tunnel> {
    await lab.write("server.toml", serverToml(lab, options));
    await lab.write("client.toml", clientToml(lab, options));
    const server = startEnd(lab, options, "server");
    const client = startEnd(lab, options, "client");
    await client.line(/tunnel up/, UP_WAIT_MS);
    const answered = await lab.output(
      "client",
      "ping",
      "-n",
      "-c",
      "3",
      "-i",
      "0.2",
      "-W",
      "5",
      INNER_SERVER,
    );
    if (answered.code !== 0) {
      throw new Error(`the tunnel does not answer:\n${client.tail()}\n${server.tail()}`);
    }
    return new Tunnel(lab, options, server, client);
  }

  /** Ends the server as a power cut does, and waits until another one listens. */
  async restartServer(): Promise<void> {
    Deno.kill(this.server.pid, "SIGKILL");
    await this.server.ended;
    this.server = startEnd(this.#lab, this.#options, "server");
    await this.server.line(/server started/, UP_WAIT_MS);
  }

  /** The status document of an end. */
  async status(place: Place) {
    const connection = await Deno.connect({ transport: "unix", path: `${this.#lab.dir}/${place}.sock` });
    return JSON.parse(await new Response(connection.readable).text());
  }

  /** MTU of the client's TUN device. */
  async mtu(): Promise<number> {
    const { stdout } = await this.#lab.output("client", "ip", "-o", "link", "show", "dev", "i405");
    return Number(/\bmtu (\d+)/.exec(stdout)?.[1]);
  }

  async stop(): Promise<void> {
    await this.client.stop();
    await this.server.stop();
  }
}

function startEnd(lab: Lab, { confinedTo }: TunnelOptions, place: Place): Child {
  const cpus = confinedTo?.[place];
  const confined = cpus === undefined ? [] : ["taskset", "-c", cpus];
  return lab.start(place, place, [...confined, ...program(), place, `${lab.dir}/${place}.toml`]);
}

function pacing(options: TunnelOptions, place: Place): string {
  const cpu = options.cpus[place];
  return `[pacing]\npoll_mode = "${options.pollMode}"\n${cpu === undefined ? "" : `cpu = ${cpu}\n`}`;
}

function directionToml(
  { intervalNs, burst }: Slots,
  { packetLen = PACKET_LEN, jitter }: TunnelOptions,
): string {
  return `interval = "${intervalNs} ns"\nburst = ${burst}\npacket_length = ${packetLen}\n` +
    (jitter === undefined ? "" : `jitter = "${jitter}"\n`);
}

function clientToml(lab: Lab, options: TunnelOptions): string {
  const single = { intervalNs: options.intervalNs, burst: 1 };
  const up = directionToml(options.up ?? single, options);
  const down = directionToml(options.down ?? single, options);
  return `[tunnel]\npeer = "${OUTER.server}:${PORT}"\nkey_file = "client.key"\n[up]\n${up}[down]\n${down}` +
    `[status]\nsocket = "${lab.dir}/client.sock"\ntransmit_stamps = ${options.transmitStamps ?? false}\n${
      pacing(options, "client")
    }`;
}

function serverToml(lab: Lab, options: TunnelOptions): string {
  const mtu = (options.packetLen ?? PACKET_LEN) - 53;
  return `[server]\nlisten = ["${OUTER.server}:${PORT}"]\n[tun]\naddresses = ["${INNER_SERVER}/24"]\nmtu = ${mtu}\n` +
    `[[client]]\nname = "bench"\nkey_file = "server.key"\naddresses = ["10.140.5.2"]\nmax_speed = "10 Gbit/s"\n` +
    `[status]\nsocket = "${lab.dir}/server.sock"\n${pacing(options, "server")}`;
}

/** Owns namespaces, directory and programs; `close` takes them away. */
export class Lab {
  readonly dir: string;
  readonly #name = `i405-bench-${Deno.pid}`;
  readonly #children: Child[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(): Promise<Lab> {
    const lab = new Lab(await Deno.makeTempDir({ prefix: "i405-bench-" }));
    try {
      await lab.#build();
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  async #build(): Promise<void> {
    const [client, server] = [this.namespace("client"), this.namespace("server")];
    for (const name of [client, server]) await runCommand(["ip", "netns", "add", name]);
    await this.run(
      "client",
      "ip",
      "link",
      "add",
      "wan",
      "type",
      "veth",
      "peer",
      "name",
      "wan",
      "netns",
      server,
    );
    for (const place of ["client", "server"] as const) {
      await this.run(place, "ip", "link", "set", "lo", "up");
      await this.run(place, "ip", "link", "set", "wan", "gso_max_segs", "1", "up");
      await this.run(place, "ip", "address", "add", `${OUTER[place]}/24`, "dev", "wan");
    }
    const key = await runCommand([...program(), "keygen"]);
    for (const name of ["client.key", "server.key"]) await this.write(name, key);
  }

  namespace(place: Place): string {
    return `${this.#name}-${place[0]}`;
  }

  within(place: Place, command: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.namespace(place), ...command];
  }

  run(place: Place, ...command: string[]): Promise<string> {
    return runCommand(this.within(place, command));
  }

  output(place: Place, ...command: string[]): ReturnType<typeof output> {
    return output(this.within(place, command));
  }

  start(name: string, place: Place, command: readonly string[]): Child {
    const child = new Child(name, this.within(place, command));
    this.#children.push(child);
    return child;
  }

  async write(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(`${this.dir}/${name}`, text, { mode: 0o600 });
  }

  async close(): Promise<void> {
    for (const child of this.#children.reverse()) await child.stop();
    for (const place of ["client", "server"] as const) {
      await output(["ip", "netns", "delete", this.namespace(place)]);
    }
    await Deno.remove(this.dir, { recursive: true });
  }
}
