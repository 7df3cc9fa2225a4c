/** Entry of the data Worker: opens the shim's ports in this thread and turns the data plane until it is told to stop.
 * It blocks in one native call, so it receives exactly one message: its configuration. */

import { openShim, type Shim } from "../../ffi/mod.ts";
import { ClientPlane } from "../tunnel/client_plane.ts";
import { DataCounters } from "../tunnel/counters.ts";
import type { DataPlanePorts } from "../tunnel/data_plane.ts";
import { Mailbox } from "../tunnel/mailbox.ts";
import type {
  ClientWorkerConfig,
  Order,
  PacerReport,
  PacerSettings,
  ServerWorkerConfig,
  TcpClientWorkerConfig,
  TcpServerWorkerConfig,
  WorkerConfig,
  WorkerEvent,
} from "../tunnel/messages.ts";
import { TUN_OFFLOAD } from "../ports/mod.ts";
import type { PlanePorts } from "../tunnel/plane.ts";
import { ServerPlane } from "../tunnel/server_plane.ts";
import { BridgeEnd } from "../tunnel/stream_bridge.ts";
import { StreamMuxes } from "../tunnel/stream_muxes.ts";
import { StreamRing } from "../tunnel/stream_ring.ts";
import { TcpClientPlane } from "../tunnel/tcp_client_plane.ts";
import type { BridgeBuffers } from "../tunnel/tcp_messages.ts";
import type { TcpPlanePorts } from "../tunnel/tcp_plane.ts";
import { TcpServerPlane } from "../tunnel/tcp_server_plane.ts";
import { DATA_NICE } from "./priority.ts";

// Chosen here.
const RX_CAP = 256;
const TUN_CAP = 128;
const CALIBRATE_MS = 250;
const LEAD_MAX_NS = 300e3;

interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerConfig>) => void) | null;
  postMessage(event: WorkerEvent): void;
  close(): void;
}
const scope = self as unknown as WorkerScope;

scope.onmessage = ({ data }) => {
  try {
    run(data);
  } catch (error) {
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    scope.postMessage({ type: "failed", message: text });
  }
  scope.close();
};

function run(config: WorkerConfig): void {
  const shim = openShim(config.shim);
  const isFirst = !("leadNs" in config.pacer);
  const pacer = "leadNs" in config.pacer ? config.pacer : startPacer(shim, config.pacer);
  shim.threadSetup(DATA_NICE, pacer.sharedCpu ? -1 : pacer.cpu);
  scope.postMessage({ type: "ready", pacer });
  const plane = planeOf(shim, config);
  while (plane.turn()) { /* until stopped */ }
  if (isFirst) shim.pacer.stop();
  scope.postMessage({ type: "stopped" });
}

function startPacer(shim: Shim, settings: PacerSettings): PacerReport {
  shim.pacer.start({ ...settings, calibrateMs: CALIBRATE_MS, leadNs: 0, leadMaxNs: LEAD_MAX_NS });
  return shim.pacer.state();
}

function planeOf(shim: Shim, config: WorkerConfig): { turn(): boolean } {
  switch (config.role) {
    case "client":
      return new ClientPlane(udpPortsOf(shim, config), config);
    case "server":
      return new ServerPlane(udpPortsOf(shim, config), config);
    case "tcp client":
      return new TcpClientPlane(tcpPortsOf(shim, config), config);
    case "tcp server":
      return new TcpServerPlane(tcpPortsOf(shim, config), config);
  }
}

function portsOf(shim: Shim, config: WorkerConfig, epollFd = -1) {
  const { udpFds, tunFd, eventFd } = config;
  const post = (event: WorkerEvent) => scope.postMessage(event);
  const tunOffloads = tunFd < 0 ? 0 : shim.tunOffload(tunFd);
  const lacking = tunFd < 0 ? undefined : lackingOffloads(tunOffloads);
  const tunCap = tunFd < 0 ? 0 : TUN_CAP;
  const eventsInFlight = new Int32Array(config.eventsInFlight);
  if (lacking !== undefined) {
    Atomics.add(eventsInFlight, 0, 1);
    post({ type: "notice", level: "info", text: lacking });
  }
  return {
    memory: shim.memory,
    protection: shim.protection,
    pacer: shim.pacer,
    io: shim.newIo({ udpFds, tunFd, tunOffloads, eventFd, epollFd, rxCap: RX_CAP, tunCap }),
    clock: shim.clock,
    entropy: shim.entropy,
    mailbox: new Mailbox<Order>(shim.memory.u8.buffer, config.mailbox.off, config.mailbox.len),
    counters: new DataCounters(shim.memory, config.counters),
    eventsInFlight,
    post,
  };
}

/** What to say about a kernel that hands over packets of some kinds one by one. */
function lackingOffloads(bits: number): string | undefined {
  const { tso4, uso4 } = TUN_OFFLOAD;
  if ((bits & tso4) === 0) {
    return "this kernel passes packets to the TUN device one by one: more work at high rates";
  }
  if ((bits & uso4) === 0) {
    return "this kernel passes UDP packets to the TUN device one by one (Linux 6.2 can do better)";
  }
  return undefined;
}

function udpPortsOf(shim: Shim, config: ClientWorkerConfig | ServerWorkerConfig): DataPlanePorts {
  const ports = portsOf(shim, config);
  if (config.bridge === undefined) return ports;
  return { ...ports, streams: streamsOf(ports, config.bridge, config.role === "client", "datagrams") };
}

function tcpPortsOf(shim: Shim, config: TcpClientWorkerConfig | TcpServerWorkerConfig): TcpPlanePorts {
  const tcp = shim.streams();
  const ports = portsOf(shim, config, tcp.epollFd);
  return { ...ports, tcp, streams: streamsOf(ports, config.bridge, config.role === "tcp client", "ordered") };
}

/** Multiplexers over the Worker's end of the bridge. */
function streamsOf(
  ports: PlanePorts,
  buffers: BridgeBuffers,
  client: boolean,
  carrier: "ordered" | "datagrams",
): StreamMuxes {
  const bridge = new BridgeEnd(new StreamRing(buffers.events), new StreamRing(buffers.commands), () => {
    Atomics.add(ports.eventsInFlight, 0, 1);
    ports.post({ type: "streams" });
  });
  const { entropy, memory: { u8 } } = ports;
  return new StreamMuxes({ client, carrier, u8, entropy, bridge });
}
