/* What a server does over UDP, for modes "tun" and "udp": 1 sockets and TUN device · 2 addresses, routes, NAT · 3 data Worker and handshakes. */

import { randomBytes } from "node:crypto";
import type { Shim } from "../../ffi/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import type { PacerReport, PacerSettings, PlainAddress } from "../tunnel/messages.ts";
import { ServerControl } from "../tunnel/server_control.ts";
import { innerMtuOf } from "../tunnel/inner_mtu.ts";
import { formatPrefix } from "../wire/ip_address.ts";
import { outerOverhead } from "../wire/ip_header.ts";
import { endpointText } from "./network.ts";
import { Runtime } from "./runtime.ts";
import { ServerStreams } from "./server_streams.ts";
import type { ServerHost } from "./server_host.ts";
import type { Serving, ServingContext } from "./serving.ts";

// Chosen here.
const COOKIE_SECRET_LEN = 32;
const DATAGRAM_LEN_MAX = 1972;
const SEND_SCRATCH_LEN = 2048;
/** Inner MTU where the configuration names none: a client with packets of 1,400 bytes fills one record with it. */
const MTU_DEFAULT = innerMtuOf(1400 - outerOverhead(4), 0);

export class UdpServing implements Serving {
  readonly runtime: Runtime;
  readonly listening: readonly string[];
  /** Of inner packets. */
  readonly mtu: number;
  readonly #context: ServingContext;
  readonly #control: ServerControl;
  readonly #cookieSecret = new Uint8Array(randomBytes(COOKIE_SECRET_LEN));
  readonly #udpFds: readonly number[];
  readonly #tunFd: number;
  /** Of mode "udp". */
  readonly #streams: ServerStreams | undefined;

  private constructor(
    context: ServingContext,
    sockets: readonly { readonly fd: number; readonly text: string }[],
    tunFd: number,
    mtu: number,
  ) {
    const { config, shim, shimPath, log, clients, keys, policy } = context;
    const runtime = new Runtime(shim, shimPath, log);
    this.#context = context;
    this.runtime = runtime;
    this.mtu = mtu;
    this.listening = sockets.map(({ text }) => text);
    this.#udpFds = sockets.map(({ fd }) => fd);
    this.#tunFd = tunFd;
    const hasStreams = config.modes.includes("udp");
    this.#streams = hasStreams ? new ServerStreams(config, shim, () => runtime.wake()) : undefined;
    const { secrets, entropy } = shim;
    this.#control = new ServerControl(
      { ...policy, keys, secrets, secret: this.#cookieSecret, entropy, version0: hasVersion0(config) },
      {
        order: (order, ...bytes) => {
          if (order.type === "session") clients.handshake(order.client, { ip: bytes[4], port: order.port });
          runtime.order(order, ...bytes);
        },
        send: sender(shim, this.#udpFds),
        log: (level, message, fields) => clients.note(level, message, fields),
        clientName: (index) => config.clients[index].name,
      },
    );
  }

  /** Opens sockets and device, and sets the machine up. Throws OperatorError and HostError. */
  static async open(context: ServingContext, host: ServerHost): Promise<UdpServing> {
    const { config } = context;
    const sockets = config.listen.map((address) => {
      const { fd, address: bound } = host.openSocket(address);
      return { fd, text: endpointText(bound) };
    });
    const mtu = config.tun.mtu ?? MTU_DEFAULT;
    const tunFd = config.modes.includes("tun") ? host.openTun() : -1;
    if (tunFd >= 0) await host.configure(mtu);
    return new UdpServing(context, sockets, tunFd, mtu);
  }

  counters(): Readonly<Record<string, number>> {
    const { counters, halfOpen } = this.#control;
    return { ...counters, handshakes_open: halfOpen, ...this.#streams?.counters() };
  }

  start(pacer: PacerSettings | PacerReport, traceCount: number): void {
    const { config, clients, policy } = this.#context;
    this.runtime.start(
      {
        role: "server",
        tunFd: this.#tunFd,
        udpFds: this.#udpFds,
        pacer,
        traceCount,
        rekeyRecords: this.#context.rekeyRecords,
        cookieSecret: this.#cookieSecret,
        cookiePolicy: policy,
        hasVersion0: hasVersion0(config),
        clients: config.clients.map((client) => ({
          name: client.name,
          protocol: client.protocol,
          addresses: [...client.addresses, ...client.routes].map(formatPrefix),
          given: client.given.map(formatPrefix),
          maxSpeedBitsPerS: client.maxSpeedBitsPerS,
        })),
        innerAddresses: config.tun.addresses.map(formatPrefix),
        mtu: this.mtu,
        clampsMss: config.tun.clampMss,
        betweenClients: config.betweenClients,
        datagramMaxLen: DATAGRAM_LEN_MAX,
        bridge: this.#streams?.buffers,
      },
      this.#control,
      (event) => {
        if (event.type === "streams") this.#streams?.drain();
        else clients.event(event, this.runtime);
      },
    );
  }

  async stop(): Promise<void> {
    await this.runtime.stop();
    this.#streams?.close();
  }

  close(): void {
    this.runtime.freeRings();
    this.#control.destroy();
  }
}

function hasVersion0({ clients }: ServerConfig): boolean {
  return clients.some(({ protocol }) => protocol === "v0");
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
