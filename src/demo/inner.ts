/** What runs inside the demonstration's places beside client and server: a web server, a browser of sorts, and the
 * observer. Each is this same program under the hidden command `demo-child`, and ends with its standard input. */

import { SEEN } from "../ports/mod.ts";
import { sleep } from "./child.ts";
import { noise, sameBytes } from "./noise.ts";
import { emitSeenEntry, emitSeenHeader, SEEN_ENTRY_LEN, SEEN_HEADER_LEN } from "./seen_file.ts";
import type { DemoPorts } from "./ports.ts";

// Chosen here.
const BATCH = 64; // frames in one call
const DRAIN_TURNS_MAX = 256;
const OBSERVE_PERIOD_MS = 5; // the kernel stamps the times, so how often it is asked changes nothing
const ROUND_TRIP_PERIOD_MS = 100;
const BYTES_MAX = 2 ** 28;
const SEED = 1405;

/** What one `fetch` child prints, as one line of JSON. */
export interface FetchReport {
  readonly bytes: number;
  readonly seconds: number;
  readonly equal: boolean;
}

/** Runs one of `http ADDRESS PORT`, `fetch down|up URL BYTES`, `trips URL COUNT`, `observe FILE INTERFACE…`, `observe-all FILE INTERFACE…`; returns
 * the exit code. */
export async function runDemoChild(args: readonly string[], ports: () => DemoPorts): Promise<number> {
  const [kind, ...rest] = args;
  if (kind === "http") return await serveHttp(rest[0], Number(rest[1]));
  if (kind === "fetch") {
    return await printed(rest[0] === "up" ? upload(rest[1], +rest[2]) : download(rest[1], +rest[2]));
  }
  if (kind === "trips") return await printed(roundTrips(rest[0], Number(rest[1])));
  if (kind === "observe") return await observe(ports(), rest[0], rest.slice(1), true);
  if (kind === "observe-all") return await observe(ports(), rest[0], rest.slice(1), false);
  console.error(`There is no part ${kind} in the demonstration`);
  return 2;
}

async function printed(report: Promise<unknown>): Promise<number> {
  console.log(JSON.stringify(await report));
  return 0;
}

/** Settles when whoever started this program is gone or has asked it to end. */
async function untilAsked(): Promise<void> {
  const asked = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => resolve());
  });
  const gone = (async () => {
    const sink = new Uint8Array(64);
    while (await Deno.stdin.read(sink) !== null) { /* nothing is said there */ }
  })();
  await Promise.race([asked, gone]);
}

/** GET /?bytes=N answers N bytes of noise; POST says whether the body is noise. */
async function serveHttp(hostname: string, port: number): Promise<number> {
  const onListen = () => console.log("listening");
  Deno.serve({ hostname, port, onListen }, async (request) => {
    if (request.method === "POST") {
      const body = new Uint8Array(await request.arrayBuffer());
      return Response.json({ bytes: body.length, equal: sameBytes(body, noise(body.length, SEED)) });
    }
    const len = Number(new URL(request.url).searchParams.get("bytes"));
    if (!Number.isInteger(len) || len < 0 || len > BYTES_MAX) {
      return new Response("bad length\n", { status: 400 });
    }
    return new Response(noise(len, SEED));
  });
  await untilAsked();
  return 0;
}

async function download(url: string, len: number): Promise<FetchReport> {
  const startMs = performance.now();
  const body = new Uint8Array(await (await fetch(`${url}?bytes=${len}`)).arrayBuffer());
  const seconds = (performance.now() - startMs) / 1e3;
  return { bytes: body.length, seconds, equal: sameBytes(body, noise(len, SEED)) };
}

async function upload(url: string, len: number): Promise<FetchReport> {
  const body = noise(len, SEED);
  const startMs = performance.now();
  const answer = await (await fetch(url, { method: "POST", body })).json();
  const seconds = (performance.now() - startMs) / 1e3;
  return { bytes: answer.bytes, seconds, equal: answer.equal === true && answer.bytes === len };
}

/** Round trips in ms of small requests on one connection, where there is no `ping`. */
async function roundTrips(url: string, count: number): Promise<number[]> {
  const trips: number[] = [];
  for (let i = 0; i < count; i++) {
    const startMs = performance.now();
    await (await fetch(`${url}?bytes=0`)).arrayBuffer();
    trips.push(performance.now() - startMs);
    await sleep(ROUND_TRIP_PERIOD_MS);
  }
  return trips;
}

/** Writes all frames that pass the interfaces, or come in there, into a file (seen_file.ts) until asked to end. */
async function observe(
  ports: DemoPorts,
  path: string,
  interfaces: readonly string[],
  incomingOnly: boolean,
): Promise<number> {
  const block = ports.memory.alloc(BATCH * SEEN.size);
  const observers = interfaces.map((name) => ports.observeOpen(name, incomingOnly));
  using file = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
  const out = new Uint8Array(Math.max(SEEN_HEADER_LEN, BATCH * SEEN_ENTRY_LEN));
  writeAll(file, out.subarray(0, emitSeenHeader(ports.clock.wallBaseNs(), out)));
  const drain = () => {
    observers.forEach((observer, index) => {
      // Bounded, so that whoever asks for the end is heard while more comes than can be written.
      for (let count = BATCH, turns = 0; count === BATCH && turns < DRAIN_TURNS_MAX; turns++) {
        count = observer.read(block, BATCH, 0);
        let len = 0;
        for (let i = 0; i < count; i++) {
          const seen = ports.memory.u8.subarray(block + i * SEEN.size, block + (i + 1) * SEEN.size);
          len += emitSeenEntry(index, seen, out.subarray(len));
        }
        writeAll(file, out.subarray(0, len));
      }
    });
  };
  let asked = false;
  untilAsked().then(() => asked = true);
  console.log("observing");
  while (!asked) {
    drain();
    await sleep(OBSERVE_PERIOD_MS);
  }
  drain();
  return 0;
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}
