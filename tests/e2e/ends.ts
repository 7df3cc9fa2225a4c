/** A server and a client of ours in a lab: their configuration files, processes, status and slot traces. */
import assert from "node:assert/strict";
import { i405Path, type Lab, SERVER } from "./lab.ts";
import { must, type Program, run, until } from "./process.ts";

/** `undefined` leaves a usual key out. */
export type Table = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface EndsOptions {
  /** What the tunnel carries; "tun" if absent. */
  readonly mode?: "tun" | "udp" | "tcp";
  /** Where the client sends to: "HOST:PORT". */
  readonly peer?: string;
  /** Settings beside the usual ones, by table; they replace those of the same key. */
  readonly client?: Readonly<Record<string, Table>>;
  readonly server?: Readonly<Record<string, Table>>;
}

export const INNER_SERVER = "10.140.5.1";
export const INNER_CLIENT = "10.140.5.2";
export const INNER_SECOND = "10.140.5.3";
export const INNER_SERVER_V6 = "fd14:5::1";
export const INNER_CLIENT_V6 = "fd14:5::2";
/** Outer IP length of every data record of these tests. */
export const PACKET_LEN = 1400;
const PORT = 1405;

/** Where a client of mode "tcp" or "udp" takes connections. */
export const PROXY = "127.0.0.1:1080";
const LAB_NETWORKS = ["10.61.0.0/16", "fd61::/16"];

const DIRECTION: Table = { interval: "1 ms", packet_length: PACKET_LEN };

function toml(tables: Readonly<Record<string, Table>>): string {
  return Object.entries(tables).map(([name, table]) => {
    const lines = Object.entries(table).filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    const header = name === "client" ? "[[client]]" : `[${name}]`;
    return [header, ...lines, ""].join("\n");
  }).join("\n");
}

function merged(
  usual: Record<string, Table>,
  more: Readonly<Record<string, Table>> = {},
): Record<string, Table> {
  const out = { ...usual };
  for (const [name, table] of Object.entries(more)) out[name] = { ...out[name], ...table };
  return out;
}

/** One slot as the sender's trace tells it. */
export interface TracedSlot {
  readonly slot: number;
  readonly plannedNs: number;
  readonly actualNs: number;
  readonly dataRecords: number;
  /** It left: neither skipped nor refused by the kernel. */
  readonly sent: boolean;
}

/** The status document, as far as tests look at it. */
export interface Status {
  readonly role: string;
  readonly peers: readonly {
    readonly name: string;
    readonly state: string;
    readonly address: string;
    readonly reconnects: number;
    readonly slots: Readonly<Record<string, number>>;
    readonly deviation: Readonly<
      Record<"p50_ns" | "p90_ns" | "p99_ns" | "p999_ns" | "max_ns" | "min_ns", number>
    >;
  }[];
  readonly counters: Readonly<Record<string, number>>;
  /** Of handshakes, proxy and dialling. */
  readonly handshakes: Readonly<Record<string, number>>;
}

export class Ends {
  readonly #lab: Lab;
  server!: Program;
  client!: Program;

  private constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** Writes key and configurations; starts nothing. */
  static async configure(lab: Lab, options: EndsOptions = {}): Promise<Ends> {
    const ends = new Ends(lab);
    // Each end has its own copy, as on two machines.
    await lab.file("client.key", await must([i405Path(), "keygen"]));
    await lab.file("server.key", await Deno.readFile(`${lab.dir}/client.key`));
    await lab.file("client.toml", toml(clientTables(lab, options)));
    await lab.file("server.toml", toml(serverTables(lab, options)));
    return ends;
  }

  /** A tunnel that is up. */
  static async start(lab: Lab, options: EndsOptions = {}): Promise<Ends> {
    const ends = await Ends.configure(lab, options);
    await ends.startServer();
    ends.startClient();
    await ends.up();
    return ends;
  }

  /** Before the server starts: a second client, "phone", in second.toml, with a key and the address INNER_SECOND. */
  async configureSecond(): Promise<void> {
    const lab = this.#lab;
    const key = await must([i405Path(), "keygen"]);
    for (const name of ["second.key", "second-server.key"]) await lab.file(name, key);
    const [server, client] = await Promise.all(
      ["server", "client"].map((role) => Deno.readTextFile(`${lab.dir}/${role}.toml`)),
    );
    const entry =
      `[[client]]\nname = "phone"\nkey_file = "second-server.key"\naddresses = ["${INNER_SECOND}"]\n`;
    await lab.file("server.toml", `${server}\n${entry}`);
    const swapped = client.replace("client.key", "second.key").replace('"laptop"', '"phone"')
      .replaceAll("/client.", "/second.");
    await lab.file("second.toml", swapped);
  }

  /** Starts the server and waits until it is bound and its device is set up. */
  async startServer(): Promise<void> {
    this.server = this.#lab.start("server", [i405Path(), "server", "server.toml"]);
    await this.server.waitFor(/server started/);
  }

  startClient(): void {
    this.client = this.#lab.start("client", [i405Path(), "client", "client.toml"]);
  }

  /** Waits for the client's and the server's word that the tunnel is there, in lines from `from` on. */
  async up(from: { client?: number; server?: number } = {}): Promise<void> {
    try {
      await this.client.waitFor(/handshake done/, { from: from.client });
      await this.client.waitFor(/tunnel up/, { from: from.client });
      await this.server.waitFor(/handshake done/, { from: from.server });
    } catch (error) {
      throw new Error(`${error}\nThe server's output:\n${this.server.lines.slice(-40).join("\n")}`);
    }
  }

  async status(role: "client" | "server"): Promise<Status> {
    const connection = await Deno.connect({ transport: "unix", path: `${this.#lab.dir}/${role}.sock` });
    return JSON.parse(await new Response(connection.readable).text());
  }

  /** The slots of an end's train so far, from its trace file; whole once that end has ended. */
  async trace(role: "client" | "server"): Promise<TracedSlot[]> {
    return parseTrace(await Deno.readTextFile(`${this.#lab.dir}/${role}.trace`));
  }

  /** Pings until one echo comes back: a tunnel that is just being made anew answers later. */
  async answers(address: string, timeoutMs = 40_000): Promise<void> {
    await until(
      async () =>
        (await this.#lab.run("client", ["ping", "-c", "1", "-W", "1", address])).code === 0 || undefined,
      () =>
        `no answer from ${address}. Client:\n${this.client.lines.join("\n")}\nServer:\n${
          this.server.lines.join("\n")
        }`,
      { timeoutMs },
    );
  }
}

function clientTables(lab: Lab, options: EndsOptions): Record<string, Table> {
  const { mode = "tun" } = options;
  return merged({
    tunnel: { peer: options.peer ?? `${SERVER}:${PORT}`, mode, name: "laptop", key_file: "client.key" },
    up: DIRECTION,
    down: DIRECTION,
    ...(mode === "tun" ? { tun: { name: "i405" } } : { socks: { listen: [PROXY] } }),
    status: { socket: `${lab.dir}/client.sock`, slot_trace: `${lab.dir}/client.trace` },
  }, options.client);
}

function serverTables(lab: Lab, options: EndsOptions): Record<string, Table> {
  const { mode = "tun" } = options;
  const tun = { name: "i405s", addresses: [`${INNER_SERVER}/24`, `${INNER_SERVER_V6}/64`] };
  return merged({
    server: { listen: [`0.0.0.0:${PORT}`, `[::]:${PORT}`], modes: [mode] },
    ...(mode === "tun" ? { tun } : {}),
    status: { socket: `${lab.dir}/server.sock`, slot_trace: `${lab.dir}/server.trace` },
    client: {
      name: "laptop",
      key_file: "server.key",
      ...(mode === "tun" ? { addresses: [INNER_CLIENT, INNER_CLIENT_V6] } : { allow: LAB_NETWORKS }),
      max_speed: "200 Mbit/s",
    },
  }, options.server);
}

/** Lines of five numbers; anything else (headings) is passed over. */
export function parseTrace(text: string): TracedSlot[] {
  const slots: TracedSlot[] = [];
  for (const line of text.split("\n")) {
    const numbers = line.trim().split(/\s+/).map(Number);
    if (line.trim() === "" || numbers.length !== 5 || numbers.some(Number.isNaN)) continue;
    const [slot, plannedNs, actualNs, dataRecords, flags] = numbers;
    slots.push({ slot, plannedNs, actualNs, dataRecords, sent: (flags & 9) === 0 });
  }
  return slots;
}

/** Serves `bytes` as http://ADDRESS:8080/ from the server's place, downloads them in the client's with curl and
 * asserts that they are equal. */
export async function downloadEquals(
  lab: Lab,
  bytes: Uint8Array,
  address: string,
  timeoutMs = 90_000,
): Promise<void> {
  await lab.file("served", bytes);
  const script = new URL("tools/serve_file.ts", import.meta.url).pathname;
  const http = lab.start("server", [Deno.execPath(), "run", "-A", "--no-check", script, "served", "8080"]);
  await http.waitFor(/serving/);
  const host = address.includes(":") ? `[${address}]` : address;
  const got = await lab.run("client", ["curl", "-gsS", "-o", "got", `http://${host}:8080/`], { timeoutMs });
  await http.stop();
  assert.equal(got.code, 0, `curl ended with ${got.code}: ${got.stderr}`);
  const received = await Deno.readFile(`${lab.dir}/got`);
  assert.equal(received.length, bytes.length);
  assert.ok(received.every((byte, index) => byte === bytes[index]), "the download equals what was served");
}

/** Reproducible bytes that do not compress. */
export function noise(len: number): Uint8Array {
  const out = new Uint8Array(len);
  let state = 0x2545f491;
  for (let i = 0; i < len; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = state;
  }
  return out;
}

/** All that a run may leave behind in a place: devices, addresses, rules, routes, queues, filters, forwarding. */
export async function hostState(lab: Lab, place: "client" | "server"): Promise<string> {
  const script = `ip -o link | sed 's/ state [A-Z]*//'; ip -o address; ip -4 rule; ip -6 rule
    ip -4 route show table all; ip -6 route show table all; tc qdisc show; nft list ruleset
    cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding`;
  const { code, stdout, stderr } = await run(lab.within(place, ["sh", "-ec", script]));
  assert.equal(code, 0, stderr);
  return stdout;
}
