/** TCP mode at length: goodput of one stream at 10 and 100 Mbit/s against the payload limit, the share of records that are
 * one segment, the time to the first byte of a new stream beside a bulk one; then a gigabyte through one stream and through
 * a hundred at once, with 1 % of segments lost each way and streams that are reset in between. No byte may be wrong, memory
 * stays flat. Ends with 1 when a promise is broken. Needs root, ./i405, curl, nft, tcpdump.
 *
 *   deno run -A tests/soak/streams.ts [--megabytes 1000] [--seconds 20] [--only goodput|loss] */

import { parseArgs } from "node:util";
import { median } from "../../src/base/statistics.ts";
import { Ends } from "../e2e/ends.ts";
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
const PAYLOAD_LEN = RECORD_LEN - 5 - 16 - 1 - 9 - 13;
const GOODPUT_MIN = 0.95;
const ONE_SEGMENT_MIN = 0.99;
const MEMORY_GROWTH_MAX = 64e6;
const FIRST_BYTES = 20;

let failed = 0;

function judge(what: string, holds: boolean, figures: string): void {
  if (!holds) failed++;
  console.log(`${holds ? "holds" : "FAILS"}  ${what}: ${figures}`);
}

const percent = (ratio: number) => `${(ratio * 100).toFixed(2)} %`;

/** A direction of `megabits` of outer packets each way. */
function options(megabits: number) {
  const direction = {
    interval: `${Math.round(PACKET_LEN * 8e3 / megabits)} ns`,
    packet_length: PACKET_LEN,
  };
  return { mode: "tcp" as const, client: { up: direction, down: direction } };
}

async function firstBytes(lab: Lab): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < FIRST_BYTES; i++) {
    const format = "%{time_starttransfer}";
    const head = ["-I", "-o", "/dev/null"];
    const { stdout } = await lab.run("client", ["curl", "-s", "-w", format, ...head, ...BY_SOCKS, WEB]);
    times.push(Number(stdout));
  }
  return median(times);
}

async function goodput(megabits: number): Promise<void> {
  await using lab = await Lab.create();
  await Ends.start(lab, options(megabits));
  const limit = PAYLOAD_LEN * megabits * 1e6 / (PACKET_LEN * 8);
  const http = await serve(lab, Math.round(limit * SECONDS));
  await download(lab); // once, so that windows have grown
  const finish = await lab.capture("s", `tcp port 1405 and src host ${SERVER}`, 80);
  const { bytesPerS } = await download(lab);
  const segments = dataSegments(readSegments(await finish()), SERVER, RECORD_LEN);
  judge(
    `goodput of one stream at ${megabits} Mbit/s`,
    bytesPerS >= GOODPUT_MIN * limit,
    `${(bytesPerS * 8 / 1e6).toFixed(2)} Mbit/s of ${(limit * 8 / 1e6).toFixed(2)}, ${
      percent(bytesPerS / limit)
    }`,
  );
  const ratio = oneRecordRatio(segments, RECORD_LEN);
  judge(
    `records that are one segment at ${megabits} Mbit/s`,
    ratio >= ONE_SEGMENT_MIN,
    `${percent(ratio)} of ${segments.length}`,
  );
  const idle = await firstBytes(lab);
  const bulk = lab.start("client", ["curl", "-s", "-o", "/dev/null", ...BY_SOCKS, WEB]);
  await sleep(1000);
  const busy = await firstBytes(lab);
  await bulk.stop();
  await http.stop();
  // Four times there and back: greeting and request are local; open, request, answer; each may wait for two slots.
  const slotS = PACKET_LEN * 8 / (megabits * 1e6);
  judge(
    `first byte beside a bulk stream at ${megabits} Mbit/s`,
    busy <= idle + 4 * slotS + 0.005,
    `${(busy * 1e3).toFixed(2)} ms, ${(idle * 1e3).toFixed(2)} ms without, a slot is ${
      (slotS * 1e3).toFixed(3)
    } ms`,
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
  const ends = await Ends.start(lab, options(100));
  const each = Math.round(BYTES / streams);
  await serve(lab, each);
  await interfere(lab, "numgen random mod 100 < 1 drop");
  const stop = resetStreams(lab);
  const before = await rss(ends);
  let most = before;
  const watch = setInterval(
    () => void rss(ends).then((now) => most = Math.max(most, now)).catch(() => {}),
    500,
  );
  const startMs = performance.now();
  const wrong = await downloads(lab, streams);
  const seconds = (performance.now() - startMs) / 1e3;
  clearInterval(watch);
  stop();
  const figures = `${(each * streams / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s`;
  judge(`${streams} streams with 1 % loss`, wrong === 0, `${figures}, ${wrong} wrong`);
  const text = `${(before / 1e6).toFixed(0)} MB, at most ${(most / 1e6).toFixed(0)} MB`;
  judge(`memory with ${streams} streams`, most <= before + MEMORY_GROWTH_MAX + streams * 1e6, text);
}

/** How many of the downloads are not what was served; bytes are compared as they come. */
async function downloads(lab: Lab, streams: number): Promise<number> {
  const curl = `curl -s ${BY_SOCKS.join(" ")} ${WEB} | cmp -s - served`;
  const timeoutMs = 600_000;
  const all = Array.from({ length: streams }, () => lab.run("client", ["sh", "-c", curl], { timeoutMs }));
  return (await Promise.all(all)).filter(({ code }) => code !== 0).length;
}

if (values.only !== "loss") { for (const megabits of [10, 100]) await goodput(megabits); }
if (values.only !== "goodput") { for (const streams of [1, STREAMS]) await loss(streams); }
if (failed > 0) Deno.exit(1);
