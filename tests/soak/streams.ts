/** Streams at length, in modes "tcp" and "udp": goodput of one stream at 10 and 100 Mbit/s against the payload limit, the
 * share of records that are one segment, the time to the first byte of a new stream beside a bulk one; then over TCP a
 * gigabyte through one stream and through a hundred at once, with 1 % of segments lost each way and streams that are reset
 * in between. No byte may be wrong, memory stays flat. Ends with 1 when a promise is broken. Needs root, ./i405, curl, nft,
 * tcpdump.
 *
 *   deno run -A tests/soak/streams.ts [--megabytes 1000] [--seconds 20] [--only goodput|loss] */

import { parseArgs } from "node:util";
import { median } from "../../src/base/statistics.ts";
import { Ends, PROXY } from "../e2e/ends.ts";
import { Lab, SERVER } from "../e2e/lab.ts";
import { sleep } from "../e2e/process.ts";
import { BY_SOCKS, download, interfere, rss, serve, WEB } from "../e2e/tcp_lab.ts";
import { dataSegments, oneRecordRatio, readSegments } from "../e2e/tcp_pcap.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    megabytes: { type: "string", default: "1000" },
    seconds: { type: "string", default: "20" },
    only: { type: "string" },
  },
});
const BYTES = Number(values.megabytes) * 1e6;
const SECONDS = Number(values.seconds);
const STREAMS = 100;
/** Records of a path of 1,500 bytes, with room for selective acknowledgements; and what a stream has of each. */
const PACKET_LEN = 1472;
const RECORD_LEN = PACKET_LEN - 52;
const UDP_RECORD_LEN = PACKET_LEN - 28;
/** Record header, tag and content type, head of a frame of streams, head of a stream's bytes. */
const OVERHEAD_LEN = 5 + 16 + 1 + 9 + 13;
const GOODPUT_MIN = 0.95;
const ONE_SEGMENT_MIN = 0.99;
/** Of both programs from a tenth of the bytes on; what the first of them need is told. */
const MEMORY_GROWTH_MAX = 32e6;
const FIRST_BYTES = 22;
const WARM_UP = 2;
type Mode = "tcp" | "udp";

let failed = 0;

function judge(what: string, holds: boolean, figures: string): void {
  if (!holds) failed++;
  console.log(`${holds ? "holds" : "FAILS"}  ${what}: ${figures}`);
}

const percent = (ratio: number) => `${(ratio * 100).toFixed(2)} %`;

/** A direction of `megabits` of outer packets each way. */
function options(mode: Mode, megabits: number) {
  const direction = {
    interval: `${Math.round(PACKET_LEN * 8e3 / megabits)} ns`,
    packet_length: PACKET_LEN,
  };
  return { mode, client: { up: direction, down: direction } };
}

/** From the request to the proxy to the answer's first byte, without the connection to the proxy: ms, median. One process
 * asks for all, so that nobody has to be started meanwhile. */
async function firstByteMs(lab: Lab): Promise<number> {
  const script = new URL("../e2e/tools/first_byte.ts", import.meta.url).pathname;
  const port = PROXY.slice(PROXY.lastIndexOf(":") + 1);
  const where = [port, SERVER, "8080", String(FIRST_BYTES)];
  const stdout = await lab.must("client", [
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    script,
    ...where,
  ]);
  const rows = stdout.trim().split("\n").slice(WARM_UP).map((line) => line.split(" ").map(Number));
  return median(rows.map(([, , grantedMs, firstMs]) => grantedMs + firstMs));
}

async function goodput(mode: Mode, megabits: number): Promise<void> {
  await using lab = await Lab.create();
  await Ends.start(lab, options(mode, megabits));
  const payloadLen = (mode === "tcp" ? RECORD_LEN : UDP_RECORD_LEN) - OVERHEAD_LEN;
  const limit = payloadLen * megabits * 1e6 / (PACKET_LEN * 8);
  const http = await serve(lab, Math.round(limit * SECONDS));
  await download(lab); // once, so that windows have grown
  const finish = mode === "tcp"
    ? await lab.capture("s", `tcp port 1405 and src host ${SERVER}`, 80)
    : undefined;
  const { bytesPerS } = await download(lab);
  const name = `at ${megabits} Mbit/s by ${mode}`;
  const mbit = (bytes: number) => (bytes * 8 / 1e6).toFixed(2);
  const figures = `${mbit(bytesPerS)} Mbit/s of ${mbit(limit)}, ${percent(bytesPerS / limit)}`;
  judge(`goodput of one stream ${name}`, bytesPerS >= GOODPUT_MIN * limit, figures);
  if (finish !== undefined) {
    const segments = dataSegments(readSegments(await finish()), SERVER, RECORD_LEN);
    const ratio = oneRecordRatio(segments, RECORD_LEN);
    const text = `${percent(ratio)} of ${segments.length}`;
    judge(`records that are one segment ${name}`, ratio >= ONE_SEGMENT_MIN, text);
  }
  const idleMs = await firstByteMs(lab);
  const bulk = lab.start("client", ["curl", "-s", "-o", "/dev/null", ...BY_SOCKS, WEB]);
  await sleep(1000);
  const busyMs = await firstByteMs(lab);
  await bulk.stop();
  await http.stop();
  // Twice there and back: open and its answer, request and its answer; each may wait for two slots.
  const slotMs = PACKET_LEN * 8 / (megabits * 1e3);
  judge(
    `first byte beside a bulk stream ${name}`,
    busyMs <= idleMs + 4 * slotMs + 5,
    `${busyMs.toFixed(2)} ms, ${idleMs.toFixed(2)} ms without, a slot is ${slotMs.toFixed(3)} ms`,
  );
}

/** Resets a stream every second, until told to stop. */
function resetStreams(lab: Lab): () => void {
  let isOver = false;
  const keepOn = async () => {
    while (!isOver) {
      const curl = lab.start("client", ["curl", "-s", "-o", "/dev/null", ...BY_SOCKS, WEB]);
      await sleep(1000);
      await curl.stop("SIGKILL");
    }
  };
  void keepOn();
  return () => void (isOver = true);
}

async function loss(streams: number): Promise<void> {
  await using lab = await Lab.create();
  const ends = await Ends.start(lab, options("tcp", 100));
  const each = Math.round(BYTES / streams);
  await serve(lab, each);
  await interfere(lab, "numgen random mod 100 < 1 drop");
  const stop = resetStreams(lab);
  const before = await rss(ends);
  const sizes: number[] = [];
  const watch = setInterval(() => void rss(ends).then((now) => sizes.push(now)).catch(() => {}), 500);
  const startMs = performance.now();
  const wrong = await downloads(lab, streams);
  const seconds = (performance.now() - startMs) / 1e3;
  clearInterval(watch);
  stop();
  const figures = `${(each * streams / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s`;
  judge(`${streams} streams with 1 % loss`, wrong === 0, `${figures}, ${wrong} wrong`);
  const most = Math.max(before, ...sizes);
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  const after = [0.1, 0.3, 1].map((part) =>
    `${mb(sizes[Math.ceil(part * sizes.length) - 1])} after ${mb(part * BYTES)}`
  );
  const text = `${mb(before)}, ${after.join(", ")}, at most ${mb(most)}`;
  const early = Math.max(...sizes.slice(0, Math.ceil(0.1 * sizes.length)));
  judge(`memory with ${streams} streams`, most <= early + MEMORY_GROWTH_MAX, text);
}

/** How many of the downloads are not what was served; bytes are compared as they come. */
async function downloads(lab: Lab, streams: number): Promise<number> {
  const curl = `curl -s ${BY_SOCKS.join(" ")} ${WEB} | cmp -s - served`;
  const timeoutMs = 600_000;
  const all = Array.from({ length: streams }, () => lab.run("client", ["sh", "-c", curl], { timeoutMs }));
  return (await Promise.all(all)).filter(({ code }) => code !== 0).length;
}

if (values.only !== "loss") {
  for (const mode of ["tcp", "udp"] as const) {
    for (const megabits of [10, 100]) await goodput(mode, megabits);
  }
}
if (values.only !== "goodput") { for (const streams of [1, STREAMS]) await loss(streams); }
if (failed > 0) Deno.exit(1);
