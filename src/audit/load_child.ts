/** What makes the load of an audit, in processes of their own: a sink behind the server, a source of traffic beside the
 * client, CPU hogs. They live for the whole run and are told the load of the moment by lines on standard input, so
 * that no process starts or ends while sessions are measured.
 *
 * Between source and sink: one byte says what a connection is for. D: bytes come down, 16 KiB for each byte that goes
 * up. U: bytes go up, a byte comes down for each 16 KiB. R: four bytes ask for so many. F: bytes come down without end. All
 * windows are small, so that a load ends within some ten milliseconds of its last line. */

import { createSocket } from "node:dgram";
import type { LoadClass } from "./session.ts";
import {
  type Dial,
  dialer,
  pause,
  readExactly,
  readSlowly,
  request,
  requestShort,
  type Stream,
  writeAll,
} from "./stream_loads.ts";

// Chosen here.
const CHUNK_LEN = 16_384;
const WINDOW_CHUNKS = 6;
const PAGE_PARTS = 4;
const PART_LEN_MAX = 60_000;
const PAGE_PAUSE_MS = 120;
const SPIN_MS = 2;
const BLAST_LEN = 1200;
const DISCARD_PORT = 9;
const IDLE_MS = 5;
/** Datagrams at once, a millisecond between: some 40 Mbit/s beside the tunnel. */
const FLOOD_COUNT = 4;
const SHORT_REQUESTS = 3;

/** Runs `sink ADDRESS PORT`, `source ADDRESS PORT [PROXY]`, `drain ADDRESS PORT`, `flood ADDRESS PORT`,
 * `blast ADDRESS PERIOD_MS` or `hog` until standard input ends; returns the exit code. */
export async function runAuditChild(args: readonly string[]): Promise<number> {
  const [kind, address, port, proxy] = args;
  if (kind === "sink") return await serveSink(address, Number(port));
  if (kind === "source") return await runSource(dialer(address, Number(port), proxy));
  if (kind === "drain") return await drain(address, Number(port));
  if (kind === "flood") return await flood(address, Number(port));
  if (kind === "blast") return await blast(address, Number(port));
  if (kind === "hog") return await hog();
  console.error(`There is no part ${kind} in an audit`);
  return 2;
}

/** The last line that came, and whether there will be more. */
class Orders {
  now = "idle";
  ended = false;

  constructor() {
    this.#read().finally(() => this.ended = true);
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      if (lines.length > 0) this.now = lines[lines.length - 1];
    }
  }

  async until(test: () => boolean): Promise<void> {
    while (!this.ended && !test()) await pause(IDLE_MS);
  }
}

async function serveSink(hostname: string, port: number): Promise<number> {
  const orders = new Orders();
  const listener = Deno.listen({ hostname, port });
  console.log("ready");
  (async () => {
    for await (const connection of listener) serve(connection).catch(() => connection.close());
  })().catch(() => {/* closed below */});
  await orders.until(() => false);
  listener.close();
  return 0;
}

async function serve(connection: Deno.TcpConn): Promise<void> {
  connection.setNoDelay(true);
  const [kind] = await readExactly(connection, 1);
  if (kind === 0x44) await serveDown(connection);
  else if (kind === 0x55) await serveUp(connection);
  else if (kind === 0x46) await serveFlood(connection);
  else await serveRequests(connection);
}

async function serveDown(stream: Stream): Promise<void> {
  const asked = new Uint8Array(64);
  const chunk = crypto.getRandomValues(new Uint8Array(CHUNK_LEN));
  for (let count = await stream.read(asked); count !== null; count = await stream.read(asked)) {
    for (let i = 0; i < count; i++) await writeAll(stream, chunk);
  }
}

async function serveUp(stream: Stream): Promise<void> {
  const chunk = new Uint8Array(CHUNK_LEN);
  let owed = 0;
  for (let count = await stream.read(chunk); count !== null; count = await stream.read(chunk)) {
    owed += count;
    const acks = Math.floor(owed / CHUNK_LEN);
    owed -= acks * CHUNK_LEN;
    if (acks > 0) await writeAll(stream, new Uint8Array(acks));
  }
}

/** Until the other side has gone. */
async function serveFlood(stream: Stream): Promise<void> {
  const chunk = crypto.getRandomValues(new Uint8Array(CHUNK_LEN));
  while (true) await writeAll(stream, chunk);
}

async function serveRequests(stream: Stream): Promise<void> {
  const source = crypto.getRandomValues(new Uint8Array(PART_LEN_MAX));
  while (true) {
    const asked = await readExactly(stream, 4);
    const len = Math.min(PART_LEN_MAX, new DataView(asked.buffer).getUint32(0));
    await writeAll(stream, source.subarray(0, len));
  }
}

async function runSource(open: Dial): Promise<number> {
  const orders = new Orders();
  const pages = await Promise.all(Array.from({ length: PAGE_PARTS }, () => open("R")));
  const work = [
    loop(orders, "bulk down", pullDown(await open("D"))),
    loop(orders, "bulk up", pushUp(await open("U"))),
    loop(orders, "one in flight", requestOne(await open("R"))),
    loop(orders, "page-like bursts", () => loadPage(pages)),
    ...Array.from({ length: SHORT_REQUESTS }, () => loop(orders, "short requests", requestShort(open))),
    loop(orders, "slow reader", readSlowly(open, () => orders.now === "slow reader" && !orders.ended)),
  ];
  console.log("ready");
  await Promise.race([Promise.all(work), orders.until(() => false)]);
  return 0;
}

/** Does `turn` again and again while the load is `load`. */
async function loop(orders: Orders, load: LoadClass, turn: () => Promise<void>): Promise<void> {
  while (!orders.ended) {
    await orders.until(() => orders.now === load);
    if (orders.now === load) await turn();
  }
}

/** One turn asks for what keeps the window full and takes one chunk. */
function pullDown(stream: Stream): () => Promise<void> {
  let flying = 0;
  return async () => {
    await writeAll(stream, new Uint8Array(WINDOW_CHUNKS - flying));
    flying = WINDOW_CHUNKS;
    await readExactly(stream, CHUNK_LEN);
    flying--;
  };
}

function pushUp(stream: Stream): () => Promise<void> {
  const chunk = crypto.getRandomValues(new Uint8Array(CHUNK_LEN));
  let flying = 0;
  return async () => {
    for (; flying < WINDOW_CHUNKS; flying++) await writeAll(stream, chunk);
    flying -= await stream.read(new Uint8Array(WINDOW_CHUNKS)) ?? 0;
  };
}

function requestOne(stream: Stream): () => Promise<void> {
  return () => request(stream, 1);
}

async function loadPage(streams: readonly Stream[]): Promise<void> {
  await Promise.all(streams.map((stream) => request(stream, Math.ceil(Math.random() * PART_LEN_MAX))));
  await pause(Math.random() * 2 * PAGE_PAUSE_MS);
}

/** Datagrams to the discard port (RFC 863) while the load is "bulk up": for a far end that runs nothing of ours. */
async function blast(hostname: string, periodMs: number): Promise<number> {
  const orders = new Orders();
  const socket = createSocket("udp4");
  socket.on("error", () => {/* a full queue, or no route for a moment */});
  const payload = crypto.getRandomValues(new Uint8Array(BLAST_LEN));
  console.log("ready");
  await loop(orders, "bulk up", async () => {
    socket.send(payload, DISCARD_PORT, hostname);
    await pause(periodMs);
  });
  socket.close();
  return 0;
}

/** Takes what comes to a port, and says nothing to it. */
async function drain(address: string, port: number): Promise<number> {
  const orders = new Orders();
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  console.log("ready");
  await orders.until(() => false);
  socket.close();
  return 0;
}

/** Another program that sends by the interface of the tunnel, past it, while the load is "other traffic". */
async function flood(address: string, port: number): Promise<number> {
  const orders = new Orders();
  const socket = createSocket("udp4");
  socket.on("error", () => {/* a full queue */});
  const payload = crypto.getRandomValues(new Uint8Array(BLAST_LEN));
  console.log("ready");
  await loop(orders, "other traffic", async () => {
    for (let i = 0; i < FLOOD_COUNT; i++) socket.send(payload, port, address);
    await pause(1);
  });
  socket.close();
  return 0;
}

/** Keeps a CPU busy while the load is "host busy". */
async function hog(): Promise<number> {
  const orders = new Orders();
  console.log("ready");
  while (!orders.ended) {
    await orders.until(() => orders.now === "host busy");
    const endMs = performance.now() + SPIN_MS;
    while (performance.now() < endMs) { /* burn */ }
    await pause(0);
  }
  return 0;
}
