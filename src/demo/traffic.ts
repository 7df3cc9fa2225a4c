/** What the user of the demonstration does: nothing, pings, and web transfers both ways. */

import { type Child, DemoError, sleep } from "./child.ts";
import type { FetchReport } from "./inner.ts";
import { INNER, INTERVAL_NS } from "./ends.ts";
import type { Phase, RoundTrips, TrafficClass, Transfer, UserView } from "./result.ts";
import type { Site } from "./site.ts";
import { summarize } from "../base/statistics.ts";

// Chosen here.
const PORT = 8080;
const PING_PERIOD_S = 0.1;
const PING_ALONE_S = 2;
const FILL_RATIO = 0.8; // of a busy phase that a transfer at the limit takes
const SETTLE_MS = 300;
const LISTEN_WAIT_MS = 20_000;
const IPV4_AND_TCP_LEN = 20 + 32; // with time stamps (RFC 7323)

/** Payload bits per second that slots of one full TCP segment each can carry. */
export function payloadLimitMbitPerS(mtu: number, intervalNs: number): number {
  return (mtu - IPV4_AND_TCP_LEN) * 8 / intervalNs * 1e3;
}

interface Trips {
  readonly sent: number;
  readonly ms: readonly number[];
}

export class Traffic {
  readonly #site: Site;
  readonly #limitMbitPerS: number;
  #hasPing = true;
  readonly #trips: Record<TrafficClass, Trips[]> = { idle: [], busy: [] };
  readonly #down: FetchReport[] = [];
  readonly #up: FetchReport[] = [];

  private constructor(site: Site, mtu: number) {
    this.#site = site;
    this.#limitMbitPerS = payloadLimitMbitPerS(mtu, INTERVAL_NS);
  }

  /** Starts the web server behind the tunnel and waits until it answers through it. */
  static async open(site: Site, mtu: number): Promise<Traffic> {
    const traffic = new Traffic(site, mtu);
    const http: Child = site.startSelf(
      "web server",
      "server",
      "demo-child",
      "http",
      INNER.server,
      String(PORT),
    );
    await http.line(/listening/, LISTEN_WAIT_MS);
    traffic.#hasPing =
      (await site.output("client", "ping", "-n", "-c", "1", "-W", "5", INNER.server)).code === 0;
    const { equal } = await traffic.#fetch("down", 1);
    if (!equal) throw new DemoError("The tunnel is up, but a byte came through it changed");
    return traffic;
  }

  /** Pings with nothing else in the tunnel. */
  async pingAlone(): Promise<void> {
    this.#trips.idle.push(await this.#roundTrips(PING_ALONE_S));
  }

  /** Phases idle, busy, idle, busy …, `pairs` of each, `seconds` in all or a little more. `report` is told what
   * begins; times are seconds since `startMs` of Date.now(). */
  async alternate(
    pairs: number,
    seconds: number,
    startMs: number,
    report: (text: string) => void,
  ): Promise<Phase[]> {
    const eachS = seconds / (2 * pairs);
    const phases: Phase[] = [];
    const sinceS = () => (Date.now() - startMs) / 1e3;
    for (let i = 0; i < 2 * pairs; i++) {
      const kind = i % 2 === 0 ? "idle" : "busy";
      this.#site.assertOpen();
      report(`${kind} (${i + 1} of ${2 * pairs})`);
      const fromS = sinceS();
      await (kind === "idle" ? sleep(eachS * 1e3) : this.#busy(eachS));
      phases.push({ kind, fromS, toS: sinceS() });
      if (kind === "busy") await sleep(SETTLE_MS);
    }
    return phases;
  }

  view(): UserView {
    return {
      roundTripKind: this.#hasPing ? "ICMP echo (ping)" : "small HTTP requests (no ping is installed here)",
      roundTrips: { idle: joined(this.#trips.idle), busy: joined(this.#trips.busy) },
      download: transfer(this.#down, this.#limitMbitPerS),
      upload: transfer(this.#up, this.#limitMbitPerS),
    };
  }

  async #busy(seconds: number): Promise<void> {
    const len = Math.round(FILL_RATIO * seconds * this.#limitMbitPerS * 1e6 / 8);
    const [down, up, trips] = await Promise.all([
      this.#fetch("down", len),
      this.#fetch("up", len),
      this.#roundTrips(FILL_RATIO * seconds),
    ]);
    this.#down.push(down);
    this.#up.push(up);
    this.#trips.busy.push(trips);
  }

  async #fetch(way: "down" | "up", len: number): Promise<FetchReport> {
    return JSON.parse(
      await this.#site.runSelf("client", "demo-child", "fetch", way, this.#url(), String(len)),
    );
  }

  #url(): string {
    return `http://${INNER.server}:${PORT}/`;
  }

  async #roundTrips(seconds: number): Promise<Trips> {
    const count = Math.max(1, Math.round(seconds / PING_PERIOD_S));
    if (!this.#hasPing) {
      const text = await this.#site.runSelf("client", "demo-child", "trips", this.#url(), String(count));
      return { sent: count, ms: JSON.parse(text) };
    }
    const period = String(PING_PERIOD_S);
    const { stdout } = await this.#site.output(
      "client",
      "ping",
      "-n",
      "-i",
      period,
      "-c",
      String(count),
      "-W",
      "5",
      INNER.server,
    );
    return { sent: count, ms: parsePing(stdout) };
  }
}

/** Round trips in ms of what `ping` printed. */
export function parsePing(text: string): number[] {
  return [...text.matchAll(/\btime[=<](\d+(?:\.\d+)?) ?ms/g)].map((match) => Number(match[1]));
}

function joined(parts: readonly Trips[]): RoundTrips {
  return {
    sent: parts.reduce((sum, part) => sum + part.sent, 0),
    ms: summarize(parts.flatMap((part) => part.ms)),
  };
}

function transfer(reports: readonly FetchReport[], limitMbitPerS: number): Transfer {
  const bytes = reports.reduce((sum, report) => sum + report.bytes, 0);
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  return {
    bytes,
    seconds,
    mbitPerS: bytes * 8 / 1e6 / seconds,
    limitMbitPerS,
    equal: reports.length > 0 && reports.every((report) => report.equal),
  };
}
