/** All stories of a range of seeds, shared among the CPUs. */

import { addTally, type Part, type Tally } from "./stories.ts";

// Chosen here.
const WORKERS_MAX = 16;

/** Plays `count` stories from `firstSeed` on; the same whatever the count of CPUs. */
export async function playStories(firstSeed: number, count: number): Promise<Tally> {
  const stride = Math.min(navigator.hardwareConcurrency, WORKERS_MAX, count);
  const parts = Array.from({ length: stride }, (_, index) => {
    return inWorker({ firstSeed: firstSeed + index, count: Math.ceil((count - index) / stride), stride });
  });
  const [sum, ...others] = await Promise.all(parts);
  for (const tally of others) addTally(sum, tally);
  sum.recoveries.sort((a, b) => a - b);
  return sum;
}

function inWorker(part: Part): Promise<Tally> {
  const worker = new Worker(new URL("stories_worker.ts", import.meta.url), { type: "module" });
  return new Promise<Tally>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`a worker ended: ${event.message}`));
    };
    worker.postMessage(part);
  }).finally(() => worker.terminate());
}

/** What was played, in a line or two. */
export function summaryOf(tally: Tally): string {
  const { recoveries, sessions, twins, handshakes, datagrams, virtualSeconds, updated } = tally;
  const quantile = (q: number) =>
    `${(recoveries[Math.floor(q * (recoveries.length - 1))] / 10).toFixed(1)} s`;
  return `${sessions} sessions, ${twins} of them with and without data: ${handshakes} handshakes, ` +
    `${datagrams} datagrams in ${Math.round(virtualSeconds / 3600)} hours, keys changed in ${updated}; ` +
    `data again after P50 ${quantile(0.5)}, P99 ${quantile(0.99)}, at most ${quantile(1)}`;
}
