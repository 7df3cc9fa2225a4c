/** Many stories, one after another: what a worker of the simulation does. */

import { NativeProtection } from "./native_protection.ts";
import { play, playTwins } from "./play.ts";
import { type Story, storyOf } from "./story.ts";

// Chosen here.
/** One story of so many is played twice, with data and without: but for those in which a machine or a process stands
 * still, since what its threads do first when it goes on is chance, and not the same chance twice. */
const TWINS_EVERY = 6;
const STANDS_STILL = /suspended|stalled/;
const FAILURES_MAX = 5;

export interface Part {
  readonly firstSeed: number;
  readonly count: number;
  /** From one seed to the next. */
  readonly stride: number;
}

export interface Failure {
  readonly seed: number;
  readonly message: string;
}

/** What was played, to see that nothing is missing. */
export interface Tally {
  readonly failures: Failure[];
  sessions: number;
  twins: number;
  handshakes: number;
  datagrams: number;
  virtualSeconds: number;
  /** Sessions in which a key changed. */
  updated: number;
  /** Sessions by what they had: mishaps, suites, groups. */
  readonly kinds: Record<string, number>;
  /** Steps of 100 ms until data flowed again, one a session. */
  readonly recoveries: number[];
}

export function playPart({ firstSeed, count, stride }: Part): Tally {
  const tally: Tally = {
    failures: [],
    ...{ sessions: 0, twins: 0, handshakes: 0, datagrams: 0, virtualSeconds: 0, updated: 0 },
    kinds: {},
    recoveries: [],
  };
  for (let i = 0; i < count && tally.failures.length < FAILURES_MAX; i++) {
    playOne(firstSeed + i * stride, tally);
  }
  return tally;
}

function playOne(seed: number, tally: Tally): void {
  const story = storyOf(seed);
  const isTwins = seed % TWINS_EVERY === 0 && !story.mishaps.some(({ kind }) => STANDS_STILL.test(kind));
  const protections: NativeProtection[] = [];
  const options = {
    protection: (memory: ConstructorParameters<typeof NativeProtection>[0]) => {
      const protection = new NativeProtection(memory);
      protections.push(protection);
      return protection;
    },
  };
  try {
    const { world, waits, handshakes, epochs } = (isTwins ? playTwins : play)(story, options);
    tally.handshakes += handshakes;
    tally.datagrams += world.network.counters.sent;
    tally.virtualSeconds += world.time.nowNs() / 1e9;
    if (epochs > 1) tally.updated++;
    tally.recoveries.push(waits[0]);
  } catch (error) {
    tally.failures.push({ seed, message: `${tell(story)}\n${(error as Error).stack}` });
  } finally {
    for (const protection of protections) protection.close();
  }
  tally.sessions++;
  if (isTwins) tally.twins++;
  for (const kind of kindsOf(story)) tally.kinds[kind] = (tally.kinds[kind] ?? 0) + 1;
}

function kindsOf({ options, mishaps }: Story): Set<string> {
  const numbers = [...options.suites!, ...options.groups!].map((id) => `0x${id.toString(16)}`);
  return new Set([...numbers, ...mishaps.map(({ kind }) => kind)]);
}

/** The story in a few words, for a failure. */
function tell({ seed, options, mishaps, calm }: Story): string {
  const happened = mishaps.map(({ kind, strength }) => `${kind} ${strength.toFixed(2)}`).join(", ");
  const intervals = [options.up, options.down].map((train) => `${train!.intervalNs / 1e6} ms`).join(" and ");
  return `SIM_SEED=${seed} SIM_SESSIONS=1: slots of ${intervals}, a key for ${options.rekeyRecords} records; ` +
    `${happened || "no mishap"}; then a network of ${(calm.delayMeanNs! / 1e6).toFixed(0)} ms`;
}

export function addTally(sum: Tally, part: Tally): void {
  sum.failures.push(...part.failures);
  for (const key of ["sessions", "twins", "handshakes", "datagrams", "virtualSeconds", "updated"] as const) {
    sum[key] += part[key];
  }
  for (const [kind, count] of Object.entries(part.kinds)) sum.kinds[kind] = (sum.kinds[kind] ?? 0) + count;
  sum.recoveries.push(...part.recoveries);
}
