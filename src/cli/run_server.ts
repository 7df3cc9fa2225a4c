/* A server from its configuration to its end: 1 sockets and TUN device · 2 addresses, routes, NAT · 3 data Worker and
 * handshakes · 4 on a signal: goodbye in slots, everything as it was before. */

import { randomBytes } from "node:crypto";
import type { Shim } from "../../ffi/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { LimitedLog } from "../status/limited_log.ts";
import type { Log, LogFields, LogLevel } from "../status/log.ts";
import { formatPrefix } from "../wire/ip_address.ts";
import { outerOverhead } from "../wire/ip_header.ts";
import type { PlainAddress, WorkerEvent } from "../tunnel/messages.ts";
import { parseClientParameters } from "../wire/inner_control.ts";
import { hasAesInstructions, policyOf } from "../tunnel/policy.ts";
import { REKEY_RECORDS } from "../tunnel/rekey.ts";
import { ServerControl, textOf } from "../tunnel/server_control.ts";
import { EXIT, OperatorError } from "./exit.ts";
import { endpointText, innerMtuOf, intervalText } from "./network.ts";
import { Runtime } from "./runtime.ts";
import { ServerHost } from "./server_host.ts";
import { openStatus, statusOf } from "./status_report.ts";
import type { Stop } from "./stop.ts";

// Chosen here.
const COOKIE_SECRET_LEN = 32;
const DATAGRAM_LEN_MAX = 1972;
const SEND_SCRATCH_LEN = 2048;
/** Inner MTU where the configuration names none: a client with packets of 1,400 bytes fills one record with it. */
const MTU_DEFAULT = innerMtuOf(1400 - outerOverhead(4), 0);
const SOCKETS_MAX = 2;

/** Runs until `stop`; returns the exit code. Throws OperatorError for what the operator has to mend. */
export async function runServer(
  config: ServerConfig,
  shim: Shim,
  shimPath: string,
  log: Log,
  stop: Stop,
): Promise<number> {
  if (!config.modes.includes("tun")) {
    throw new OperatorError(`This version serves mode "tun" only; add it to server.modes`);
  }
  if (config.modes.length > 1) log.warn('this version serves mode "tun" only');
  for (const warning of config.warnings) log.warn(warning);
  const host = new ServerHost(config, shim, log);
  const sockets: { fd: number; text: string }[] = [];
  try {
    if (config.listen.length > SOCKETS_MAX) {
      throw new OperatorError("A server listens on two addresses at most; shorten server.listen");
    }
    for (const address of config.listen) {
      const { fd, address: bound } = host.openSocket(address);
      sockets.push({ fd, text: endpointText(bound) });
    }
    const tunFd = host.openTun();
    const mtu = config.tun.mtu ?? MTU_DEFAULT;
    await host.configure(mtu);
    log.info("server started", {
      listen: sockets.map(({ text }) => text).join(","),
      device: config.tun.name,
      addresses: config.tun.addresses.map(formatPrefix).join(","),
      clients: config.clients.length,
      inner_mtu: mtu,
    });
    return await runTunnel(config, shim, shimPath, log, stop, sockets.map(({ fd }) => fd), tunFd, mtu);
  } finally {
    await host.undo();
  }
}

async function runTunnel(
  config: ServerConfig,
  shim: Shim,
  shimPath: string,
  log: Log,
  stop: Stop,
  udpFds: number[],
  tunFd: number,
  mtu: number,
): Promise<number> {
  const runtime = new Runtime(shim, shimPath, log);
  const policy = policyOf(config, hasAesInstructions(shim.readFile("/proc/cpuinfo")));
  const cookieSecret = new Uint8Array(randomBytes(COOKIE_SECRET_LEN));
  const keys = config.clients.map(({ key }) => ({ key: key.view() }));
  const peers = new Peers(config, log);
  const control = new ServerControl(
    { ...policy, keys, secrets: shim.secrets, secret: cookieSecret, entropy: shim.entropy },
    {
      order: (order, ...bytes) => {
        if (order.type === "session") peers.handshake(order.client, bytes[4], order.port);
        runtime.order(order, ...bytes);
      },
      send: sender(shim, udpFds),
      log: (level, message, fields) => peers.note(level, message, fields),
      clientName: (index) => config.clients[index].name,
    },
  );
  for (const { key } of config.clients) key.wipe();
  const status = await openStatus(
    config.status,
    shim,
    runtime,
    log,
    () =>
      statusOf(
        "server",
        shim,
        runtime,
        { ...control.counters, handshakes_open: control.halfOpen },
        peers.list(),
      ),
  );
  runtime.start(
    {
      role: "server",
      tunFd,
      udpFds,
      pacer: { pollMode: config.pacing.pollMode, fifo: config.pacing.schedFifo, cpu: config.pacing.cpu },
      traceCount: status.traceCount,
      rekeyRecords: REKEY_RECORDS,
      cookieSecret,
      cookiePolicy: policy,
      clients: config.clients.map((client) => ({
        name: client.name,
        addresses: [...client.addresses, ...client.routes].map(formatPrefix),
        given: client.given.map(formatPrefix),
        maxSpeedBitsPerS: client.maxSpeedBitsPerS,
      })),
      innerAddresses: config.tun.addresses.map(formatPrefix),
      mtu,
      datagramMaxLen: DATAGRAM_LEN_MAX,
    },
    control,
    (event) => peers.event(event, runtime),
  );
  const why = await Promise.race([stop.asked, runtime.ended]);
  await runtime.stop();
  await status.close(); // after the last slot, so that the trace is whole
  runtime.freeRings();
  control.destroy();
  if (stop.signal === undefined) {
    log.error("the tunnel failed", { reason: why });
    return EXIT.failed;
  }
  log.info("stopped", { signal: stop.signal });
  return EXIT.ok;
}

/** Sends handshake datagrams of main, at once. */
function sender(shim: Shim, udpFds: readonly number[]) {
  const scratch = shim.memory.alloc(SEND_SCRATCH_LEN);
  const io = shim.newIo({ udpFds: [], tunFd: -1, eventFd: -1, rxCap: 1, tunCap: 1 });
  return (fdIndex: number, datagram: Uint8Array, to: PlainAddress, from: PlainAddress | undefined) => {
    if (datagram.length > SEND_SCRATCH_LEN) return;
    shim.memory.u8.set(datagram, scratch);
    io.udpSend(udpFds[fdIndex], scratch, datagram.length, to, from);
  };
}

interface PeerState {
  readonly index: number;
  readonly name: string;
  state: string;
  address: string;
  suite: string;
  group: string;
  reconnects: number;
}

/** What the server says of its clients, and when it says it. */
class Peers {
  readonly #states: PeerState[];
  readonly #log: Log;
  readonly #limited: LimitedLog;

  constructor(config: ServerConfig, log: Log) {
    this.#log = log;
    this.#limited = new LimitedLog(log);
    this.#states = config.clients.map(({ name }, index) => ({
      index,
      name,
      state: "away",
      address: "",
      suite: "",
      group: "",
      reconnects: -1,
    }));
  }

  list(): readonly PeerState[] {
    return this.#states;
  }

  handshake(index: number, ip: Uint8Array, port: number): void {
    const state = this.#states[index];
    state.state = "handshake done";
    state.address = textOf({ ip, port });
    state.reconnects++;
  }

  /** Lines of the handshakes; those that anybody can cause are limited. */
  note(level: LogLevel, message: string, fields: LogFields = {}): void {
    const state = this.#states.find(({ name }) => name === fields.client);
    if (state === undefined || message !== "handshake done") {
      return this.#limited.log(level, message, message, fields);
    }
    state.suite = String(fields.suite);
    state.group = String(fields.group);
    this.#log.log(level, message, fields);
  }

  event(event: WorkerEvent, runtime: Runtime): void {
    if (event.type === "notice") return this.#log.log(event.level, event.text);
    if (event.type === "parameters") return this.#parameters(event.client, event.body, event.note);
    if (event.type === "moved") return this.#moved(event.client, textOf(event.to));
    if (event.type !== "closed") return;
    runtime.rings.delete(event.client);
    const state = this.#states[event.client];
    state.state = "away";
    this.#log.info("client gone", { client: state.name, reason: event.reason });
  }

  #moved(index: number, to: string): void {
    const state = this.#states[index];
    this.#limited.log("info", "client moved", "client moved", {
      client: state.name,
      from: state.address,
      to,
    });
    state.address = to;
  }

  #parameters(index: number, body: Uint8Array, note: string): void {
    const wish = parseClientParameters(body);
    const state = this.#states[index];
    if (wish === undefined) return;
    state.state = "up";
    this.#log.info("client up", {
      client: state.name,
      from: state.address,
      down_interval: intervalText(wish.s2cIntervalNs),
      down_packet_length: wish.s2cDatagramLen +
        outerOverhead(state.address.startsWith("[") ? 16 : 4),
      note: note === "" ? undefined : note,
    });
  }
}
