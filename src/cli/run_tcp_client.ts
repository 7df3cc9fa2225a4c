/* A client in TCP mode, from its configuration to its end: 1 find the server · 2 listeners of proxy and forwards · 3 data
 * Worker and handshakes, for ever · 4 on a signal: goodbye in slots. It changes nothing on this machine and needs no
 * right that others have not. */

import type { Shim } from "../../ffi/mod.ts";
import type { ClientConfig } from "../config/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import type { WorkerEvent } from "../tunnel/messages.ts";
import { hasAesInstructions, longTermKeyOf, policyOf } from "../tunnel/policy.ts";
import { REKEY_RECORDS } from "../tunnel/rekey.ts";
import { TcpClientControl } from "../tunnel/tcp_client_control.ts";
import { ClientStreams } from "./client_streams.ts";
import { EXIT } from "./exit.ts";
import { endpointText, findRoute } from "./network.ts";
import { formatIp } from "../wire/ip_address.ts";
import { QuietInterrupts } from "./quiet_interrupts.ts";
import { Runtime } from "./runtime.ts";
import { openStatus, statusOf } from "./status_report.ts";
import type { Stop } from "./stop.ts";

// Chosen here.
const NONCE_LEN = 8;

/** Runs until `stop`; returns the exit code. Throws OperatorError for what the operator has to mend. */
export async function runTcpClient(
  config: ClientConfig,
  shim: Shim,
  shimPath: string,
  log: Log,
  stop: Stop,
): Promise<number> {
  for (const warning of config.warnings) log.warn(warning);
  const runtime = new Runtime(shim, shimPath, log);
  const streams = new ClientStreams(config, shim, log, () => runtime.wake());
  try {
    await streams.listen();
    const route = await findRoute(config.peer, shim, log, stop);
    if (route === undefined) return EXIT.ok;
    log.info("client started", { name: config.name, server: endpointText(route.peer), mode: "tcp" });
    const context = { config, shim, log, runtime, streams, peer: route.peer };
    return await runTunnel(context, stop);
  } finally {
    streams.close();
  }
}

interface Context {
  readonly config: ClientConfig;
  readonly shim: Shim;
  readonly log: Log;
  readonly runtime: Runtime;
  readonly streams: ClientStreams;
  readonly peer: EndpointAddress;
}

async function runTunnel(context: Context, stop: Stop): Promise<number> {
  const { config, shim, log, runtime } = context;
  const control = controlOf(context);
  const status = await openStatus(
    config.status,
    shim,
    [runtime],
    log,
    () => statusDocument(context, control),
  );
  const nonce = new Uint8Array(NONCE_LEN);
  shim.entropy.fill(nonce);
  runtime.start(
    {
      role: "tcp client",
      tunFd: -1,
      udpFds: [],
      pacer: { pollMode: config.pacing.pollMode, fifo: config.pacing.schedFifo, cpu: config.pacing.cpu },
      traceCount: status.traceCount,
      rekeyRecords: REKEY_RECORDS,
      peer: context.peer,
      up: config.up,
      down: config.down,
      nonce,
      bridge: context.streams.buffers,
    },
    control,
    (event) => handle(context, event),
  );
  const interrupts = QuietInterrupts.start(
    config.pacing.moveInterrupts,
    formatIp(context.peer.ip),
    runtime.ready,
    shim,
    log,
  );
  const why = await Promise.race([stop.asked, runtime.ended]);
  await runtime.stop();
  interrupts.restore();
  await status.close(); // after the last slot, so that the trace is whole
  runtime.freeRings();
  control.destroy();
  config.key.wipe();
  if (stop.signal === undefined) {
    log.error("the tunnel failed", { reason: why });
    return EXIT.failed;
  }
  log.info("stopped", { signal: stop.signal });
  return EXIT.ok;
}

function controlOf({ config, shim, log, runtime, streams }: Context): TcpClientControl {
  return new TcpClientControl(
    {
      key: longTermKeyOf(config),
      ...policyOf(config, hasAesInstructions(shim.readFile("/proc/cpuinfo"))),
      entropy: shim.entropy,
    },
    {
      order: (order, ...bytes) => runtime.order(order, ...bytes),
      log: (level, message, fields) => log.log(level, message, fields),
      welcomed: () => log.info("tunnel up", { mode: "tcp", streams: streams.open }),
    },
    shim.clock.nowNs(),
  );
}

function handle({ log, streams }: Context, event: WorkerEvent): void {
  if (event.type === "notice") log.log(event.level, event.text);
  else if (event.type === "streams") streams.drain();
}

function statusDocument(context: Context, control: TcpClientControl) {
  const { config, shim, runtime, streams, peer } = context;
  return statusOf("client", shim, [runtime], streams.counters(), [{
    index: 0,
    name: config.name,
    address: endpointText(peer),
    state: control.state,
    suite: control.suiteName,
    group: control.groupName,
    reconnects: control.reconnects,
  }]);
}
