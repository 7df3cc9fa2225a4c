/* A client from its configuration to its end: 1 find the server and the way to it · 2 lengths and rates for this path
 * (client_path.ts) · 3 TUN device and socket · 4 data Worker and handshakes, for ever · 5 addresses and routes at the server's welcome ·
 * 6 on a signal: goodbye in slots, everything as it was before. */

import type { Shim } from "../../ffi/mod.ts";
import type { ClientConfig } from "../config/mod.ts";
import type { Log, LogLevel } from "../status/log.ts";
import { PacketFile, PacketMonitor } from "../status/packet_file.ts";
import { ClientControl } from "../tunnel/client_control.ts";
import { ClientStart, probesOf } from "../tunnel/client_start.ts";
import type { Order, WorkerEvent } from "../tunnel/messages.ts";
import { hasAesInstructions, longTermKeyOf, policyOf } from "../tunnel/policy.ts";
import { REKEY_RECORDS } from "../tunnel/rekey.ts";
import type { ServerWelcome } from "../wire/inner_control.ts";
import { formatIp, formatPrefix } from "../wire/ip_address.ts";
import { ClientHost } from "./client_host.ts";
import { type ClientPath, isSearched, pathOf, rotateSlots, searchedLengths } from "./client_path.ts";
import { ClientStreams } from "./client_streams.ts";
import { EXIT } from "./exit.ts";
import { findRoute, intervalText, rateText } from "./network.ts";
import { endpointText } from "./network.ts";
import { runTcpClient } from "./run_tcp_client.ts";
import { QuietInterrupts } from "./quiet_interrupts.ts";
import { Runtime } from "./runtime.ts";
import { OuterSocket } from "./outer_socket.ts";
import { openStatus, stampsOf, statusOf } from "./status_report.ts";
import type { Stop } from "./stop.ts";

// Chosen here.
const NONCE_LEN = 8;
const NOTHING = new Uint8Array(0);

/** Runs until `stop`; returns the exit code. Throws OperatorError for what the operator has to mend. Keys change after
 * `rekeyRecords`: fewer than usual only in tests. */
export async function runClient(
  config: ClientConfig,
  shim: Shim,
  shimPath: string,
  log: Log,
  stop: Stop,
  rekeyRecords = REKEY_RECORDS,
): Promise<number> {
  if (config.mode === "tcp") return await runTcpClient(config, shim, shimPath, log, stop);
  for (const warning of config.warnings) log.warn(warning);
  const stamps = stampsOf(config.status, shim);
  const runtime = new Runtime(shim, shimPath, log);
  const inner = config.mode === "tun"
    ? new ClientHost(config, shim, log)
    : new ClientStreams(config, shim, log, () => runtime.wake());
  try {
    if (inner instanceof ClientStreams) await inner.listen();
    const route = await findRoute(config.peer, shim, log, stop);
    if (route === undefined) return EXIT.ok;
    const path = pathOf(config, route.peer, route);
    if (!isSearched(config)) logPlan(config, path, log);
    const tunFd = inner instanceof ClientHost ? inner.openTun() : -1;
    if (inner instanceof ClientHost) await inner.clean();
    const socket = shim.udpOpen({ ip: new Uint8Array(path.peer.ip.length), port: 0 }, config.ecn);
    return await runTunnel(
      { config, shim, log, runtime, path, rekeyRecords, inner, tunFd, udpFd: socket.fd, stamps },
      stop,
    );
  } finally {
    if (inner instanceof ClientHost) await inner.undo();
    else inner.close();
  }
}

interface Context {
  readonly config: ClientConfig;
  readonly shim: Shim;
  readonly log: Log;
  readonly runtime: Runtime;
  /** As it is known now. */
  path: ClientPath;
  readonly rekeyRecords: number;
  /** What is carried: packets of a TUN device, or streams. */
  readonly inner: ClientHost | ClientStreams;
  readonly tunFd: number;
  readonly udpFd: number;
  /** Of the shim, when transmissions are stamped. */
  readonly stamps: number | undefined;
}

async function runTunnel(context: Context, stop: Stop): Promise<number> {
  const { config, shim, log, runtime, path, inner, tunFd, udpFd } = context;
  const control = controlOf(context);
  const streams = inner instanceof ClientStreams ? inner : undefined;
  const outer = new OuterSocket(path.peer, path.local, udpFd, {
    shim,
    ecn: config.ecn,
    log,
    order: (order) => runtime.order(order),
    close: (fd) => runtime.close(fd),
    moved: () => runtime.run((nowNs) => control.moved(nowNs)),
    woke: (sleptNs) => runtime.run((nowNs) => control.woke(sleptNs, nowNs)),
  });
  const fates = config.monitorPackets === undefined
    ? undefined
    : new PacketMonitor(PacketFile.open(config.monitorPackets), log);
  const nonce = new Uint8Array(NONCE_LEN);
  shim.entropy.fill(nonce);
  const status = await openStatus(
    config.status,
    shim,
    [runtime],
    log,
    () =>
      statusOf("client", shim, [runtime], streams?.counters() ?? {}, [{
        index: 0,
        name: config.name,
        address: endpointText(path.peer),
        state: control.state,
        suite: control.suiteName,
        group: control.groupName,
        reconnects: control.reconnects,
      }], context.stamps),
  );
  runtime.start(
    {
      role: "client",
      tunFd,
      udpFds: [udpFd],
      pacer: { pollMode: config.pacing.pollMode, fifo: config.pacing.schedFifo, cpu: config.pacing.cpu },
      traceCount: status.traceCount,
      rekeyRecords: context.rekeyRecords,
      peer: path.peer,
      up: path.up,
      down: path.down,
      nonce,
      firstDatagram: control instanceof ClientStart ? NOTHING : control.firstDatagram(),
      rotateSlots: rotateSlots(config, path),
      mssMtuMax: config.tun.clampMss ? config.tun.mtu ?? Infinity : 0,
      handshakeV0: path.handshakeV0,
      bridge: streams?.buffers,
    },
    control,
    (event: WorkerEvent) => {
      if (event.type === "notice") log.log(event.level, event.text);
      else if (event.type === "streams") streams?.drain();
      outer.event(event);
      if (event.type === "packets") fates?.write(event.rows);
    },
  );
  outer.start();
  const interrupts = QuietInterrupts.start(
    config.pacing.moveInterrupts,
    formatIp(path.peer.ip),
    runtime.ready,
    shim,
    log,
  );
  const why = await Promise.race([stop.asked, runtime.ended]);
  outer.stop();
  await runtime.stop();
  interrupts.restore();
  await status.close(); // after the last slot, so that the trace is whole
  fates?.close();
  runtime.freeRings();
  outer.close();
  control.destroy();
  config.key.wipe();
  if (stop.signal === undefined) {
    log.error("the tunnel failed", { reason: why });
    return EXIT.failed;
  }
  log.info("stopped", { signal: stop.signal });
  return EXIT.ok;
}

/** Where a length has to be found first, the handshakes follow the search. */
function controlOf(context: Context): ClientControl | ClientStart {
  const { config, shim, log, runtime, path } = context;
  const ports = {
    order: (order: Order, ...bytes: readonly Uint8Array[]) => runtime.order(order, ...bytes),
    log: (level: LogLevel, message: string, fields?: Record<string, unknown>) =>
      log.log(level, message, fields),
    welcomed: (welcome: ServerWelcome) => void welcomed(context, welcome),
  };
  const offer = { ...offerOf(config, shim), entropy: shim.entropy };
  const newControl = ({ up }: ClientPath, nowNs: number) =>
    new ClientControl({ ...offer, datagramLen: up.datagramLen, intervalNs: up.intervalNs }, ports, nowNs);
  if (!isSearched(config)) return newControl(path, shim.clock.nowNs());
  const { lenMin, hello } = probesOf(offer);
  return new ClientStart({
    lengths: searchedLengths(config, path).filter((len) => len >= lenMin),
    hello,
    begin: (pathLen, nowNs) => {
      const path = context.path = pathOf(
        config,
        context.path.peer,
        context.path,
        pathLen + context.path.overhead,
      );
      logPlan(config, path, log);
      return { ...path, control: newControl(path, nowNs), rotateSlots: rotateSlots(config, path) };
    },
    entropy: shim.entropy,
  }, ports);
}

async function welcomed({ config, log, path, inner }: Context, welcome: ServerWelcome): Promise<void> {
  const rates = { up: rateText(path.up, path.overhead), down: rateText(path.down, path.overhead) };
  if (inner instanceof ClientStreams) {
    log.info("tunnel up", { mode: config.mode, streams: inner.open, ...rates });
  } else if (await inner.welcome(welcome, path.peer, path.innerMtu, path.up.intervalNs / path.up.burst)) {
    const addresses = config.tun.addresses.length > 0 ? config.tun.addresses : welcome.addresses;
    log.info("tunnel up", {
      device: config.tun.name,
      addresses: addresses.map(formatPrefix).join(","),
      ...rates,
    });
  }
}

/** What a handshake offers. A client of version 0 has one share in its first hello. */
function offerOf(config: ClientConfig, shim: Shim) {
  const policy = policyOf(config, hasAesInstructions(shim.readFile("/proc/cpuinfo")));
  const version0 = config.protocol === "v0";
  const shareGroups = version0 ? policy.groups.slice(0, 1) : [];
  return { ...policy, key: longTermKeyOf(config), shareGroups, version0 };
}

function logPlan(config: ClientConfig, path: ClientPath, log: Log): void {
  log.info("client started", {
    name: config.name,
    server: endpointText(path.peer),
    up: rateText(path.up, path.overhead),
    up_interval: intervalText(path.up.intervalNs),
    down: rateText(path.down, path.overhead),
    down_interval: intervalText(path.down.intervalNs),
    packet_length: path.up.datagramLen + path.overhead,
    inner_mtu: config.mode === "tun" ? path.innerMtu : undefined,
  });
}
