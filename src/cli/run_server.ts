/* A server from its configuration to its end: 1 each way that it serves: sockets, devices, addresses, NAT · 2 data Workers
 * and handshakes · 3 on a signal: goodbye in slots, everything as it was before. */

import type { Shim } from "../../ffi/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import type { Log } from "../status/log.ts";
import { formatPrefix } from "../wire/ip_address.ts";
import { hasAesInstructions, longTermKeyOf, policyOf } from "../tunnel/policy.ts";
import { REKEY_RECORDS } from "../tunnel/rekey.ts";
import { EXIT, OperatorError } from "./exit.ts";
import { ServerClients } from "./server_clients.ts";
import { ServerHost } from "./server_host.ts";
import type { Serving, ServingContext } from "./serving.ts";
import { QuietInterrupts } from "./quiet_interrupts.ts";
import { openStatus, stampsOf, statusOf, sumOf } from "./status_report.ts";
import type { Stop } from "./stop.ts";
import { TcpServing } from "./tcp_serving.ts";
import { UdpServing } from "./udp_serving.ts";

const SOCKETS_MAX = 2;

/** The clients are somewhere out there (TEST-NET-1, RFC 5737). */
const ANYWHERE = "192.0.2.1";

/** Runs until `stop`; returns the exit code. Throws OperatorError for what the operator has to mend. Keys change after
 * `rekeyRecords`: fewer than usual only in tests. */
export async function runServer(
  config: ServerConfig,
  shim: Shim,
  shimPath: string,
  log: Log,
  stop: Stop,
  rekeyRecords = REKEY_RECORDS,
): Promise<number> {
  for (const warning of config.warnings) log.warn(warning);
  if (config.listen.length > SOCKETS_MAX) {
    throw new OperatorError("A server listens on two addresses at most; shorten server.listen");
  }
  const host = new ServerHost(config, shim, log);
  const keys = config.clients.map(longTermKeyOf);
  const policy = policyOf(config, hasAesInstructions(shim.readFile("/proc/cpuinfo")));
  const clients = new ServerClients(config, log);
  const context = { config, shim, shimPath, log, clients, keys, policy, rekeyRecords };
  try {
    stampsOf(config.status, shim); // before sockets are opened
    const servings = await open(context, host);
    for (const { key } of config.clients) key.wipe();
    return await serve(context, servings, stop);
  } finally {
    await host.undo();
  }
}

async function open(context: ServingContext, host: ServerHost): Promise<readonly Serving[]> {
  const { config, log } = context;
  const udp = config.modes.some((mode) => mode !== "tcp") ? await UdpServing.open(context, host) : undefined;
  const tcp = config.modes.includes("tcp") ? new TcpServing(context) : undefined;
  log.info("server started", {
    listen: [udp, tcp].flatMap((serving) => serving?.listening ?? []).join(","),
    ...(udp === undefined || !config.modes.includes("tun") ? {} : {
      device: config.tun.name,
      addresses: config.tun.addresses.map(formatPrefix).join(","),
      inner_mtu: udp.mtu,
    }),
    clients: config.clients.length,
  });
  return [udp, tcp].filter((serving) => serving !== undefined);
}

async function serve(context: ServingContext, servings: readonly Serving[], stop: Stop): Promise<number> {
  const { config, log } = context;
  const runtimes = servings.map(({ runtime }) => runtime);
  const stamps = stampsOf(config.status, context.shim);
  const status = await openStatus(config.status, context.shim, runtimes, log, () => {
    const counters = sumOf(servings.map((serving) => serving.counters()));
    return statusOf("server", context.shim, runtimes, counters, context.clients.list(), stamps);
  });
  const ended = Promise.race(runtimes.map((runtime) => runtime.ended));
  const why = Promise.race([stop.asked, ended]);
  const { ready } = servings[0].runtime;
  const interrupts = QuietInterrupts.start(config.pacing.moveInterrupts, ANYWHERE, ready, context.shim, log);
  await start(config, servings, status.traceCount, why);
  const reason = await why;
  // The first one has the pacer, which leaves last.
  for (const serving of [...servings].reverse()) await serving.stop();
  interrupts.restore();
  await status.close(); // after the last slot, so that the trace is whole
  for (const serving of servings) serving.close();
  if (stop.signal === undefined) {
    log.error("the tunnel failed", { reason });
    return EXIT.failed;
  }
  log.info("stopped", { signal: stop.signal });
  return EXIT.ok;
}

/** One after the other: the first one's Worker starts the pacer. */
async function start(
  { pacing }: ServerConfig,
  [first, ...others]: readonly Serving[],
  traceCount: number,
  end: Promise<unknown>,
): Promise<void> {
  first.start({ pollMode: pacing.pollMode, fifo: pacing.schedFifo, cpu: pacing.cpu }, traceCount);
  if (others.length === 0) return;
  await Promise.race([first.runtime.ready, end]);
  const { pacer } = first.runtime;
  if (pacer !== undefined) { for (const other of others) other.start(pacer, traceCount); }
}
