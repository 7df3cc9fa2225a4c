/* An audit of a client that runs: 1 its plan and its interface · 2 rounds, loads in random order · 3 interval and jitter
 * from the plan itself · 4 judged like any other. */

import { DemoError } from "../demo/child.ts";
import { allowedCpus } from "../demo/machine.ts";
import { assertFolder, EXIT } from "../demo/stage.ts";
import type { Jitter } from "../schedule/mod.ts";
import { meanAndSd } from "../base/statistics.ts";
import type { Log } from "../status/log.ts";
import { conclude, jitterText, keepRound, makeTraces, randomOf, roundsOf, timesOf } from "./course.ts";
import { fittedGrid } from "./features.ts";
import type { Round } from "./lab.ts";
import type { AuditOptions, AuditPorts, TapOptions } from "./options.ts";
import { plotsOf } from "./plots.ts";
import { Tap } from "./tap.ts";
import { evidenceFor } from "./tcp_evidence.ts";

// Chosen here.
/** Rounding of planned times in the trace. */
const NO_JITTER_SHARE = 1e-4;

type Options = AuditOptions & { readonly tap: TapOptions };

/** As runAudit. The client goes on afterwards as it was. */
export async function runTap(options: Options, log: Log, ports: AuditPorts): Promise<number> {
  try {
    return await tapAudit(options, log, ports);
  } catch (error) {
    if (!(error instanceof DemoError)) throw error;
    for (const line of error.message.split("\n")) log.error(line);
    return EXIT.failed;
  }
}

async function tapAudit(options: Options, log: Log, ports: AuditPorts): Promise<number> {
  await assertFolder(options.out);
  await makeTraces(options.traces);
  const startMs = Date.now();
  const { inner } = options.tap;
  // What needs a far end of ours is not made.
  const loads = options.loads.filter((load) =>
    load === "host busy" || (load === "bulk up" && inner !== undefined)
  );
  if (loads.length === 0) {
    throw new DemoError("There is no load to make: name --inner ADDRESS, or --loads host-busy");
  }
  const cpus = allowedCpus(ports);
  const tap = await Tap.open({
    ...options.tap,
    hogs: cpus.length,
    periodMs: 1,
    allCpus: cpus.join(","),
    quietCpus: cpus.slice(0, Math.max(1, cpus.length - 1)).join(","), // a pacer has the last one unless told otherwise
  });
  try {
    const rounds: Round[] = [];
    const random = randomOf(options.seed);
    const times = timesOf(options.intervalNs);
    for (const [index, order] of [...roundsOf({ ...options, loads }, times, random)].entries()) {
      log.info("round", { number: index + 1, sessions: order.length });
      rounds.push(await tap.round(order, times));
      if (options.traces !== undefined) await keepRound(`${options.traces}/tap-${index}`, rounds[index]);
    }
    const { evidence, intervalNs, jitter } = evidenceOf(rounds, options);
    const tunnel = {
      jitter: jitterText(jitter),
      directions: [{
        name: `client to server at ${options.tap.interfaceName}`,
        isJudged: true,
        judgement: evidence.judge({ packetLen: undefined, isOwnLink: false, jitter, random }),
        plots: plotsOf(evidence.sessions, intervalNs),
      }],
    };
    const packetLen = [...evidence.exact.lengths.keys()][0] ?? 0;
    return await conclude({ ...options, intervalNs }, ports, { startMs, packetLen, tunnels: [tunnel] });
  } finally {
    await tap.close();
  }
}

/** Interval and jitter are in the plan: a line through planned times over slot numbers, and how far they are from it. */
function evidenceOf(rounds: readonly Round[], { mode, tap: { serverPort }, burst }: Options) {
  const { slots } = rounds[0].traces.client;
  if (slots.length < 2) {
    throw new DemoError("The plan has no slots of the time that was looked at: is its client running?");
  }
  const planned = Float64Array.from(slots, ({ plannedNs }) => plannedNs);
  const meanNs = (planned[planned.length - 1] - planned[0]) / (slots[slots.length - 1].slot - slots[0].slot);
  const { residuals, slope } = fittedGrid(planned, meanNs);
  const sdNs = meanAndSd(residuals).sd;
  const jitter: Jitter = sdNs < NO_JITTER_SHARE * slope
    ? { law: "none", sdNs: 0 }
    : { law: "gaussian", sdNs };
  const evidence = evidenceFor(mode, {
    from: "client",
    interfaceIndex: 0,
    serverPort,
    intervalNs: slope,
    burst,
    isSender: true,
  });
  for (const round of rounds) evidence.add(round);
  return { evidence, intervalNs: slope, jitter };
}
