/** Entry of the data Worker: opens the shim's ports in this thread and turns the data plane until it is told to stop.
 * It blocks in one native call, so it receives exactly one message: its configuration. */

import { openShim } from "../../ffi/mod.ts";
import { ClientPlane } from "../tunnel/client_plane.ts";
import { DataCounters } from "../tunnel/counters.ts";
import type { DataPlanePorts } from "../tunnel/data_plane.ts";
import { Mailbox } from "../tunnel/mailbox.ts";
import type { Order, WorkerConfig, WorkerEvent } from "../tunnel/messages.ts";
import { ServerPlane } from "../tunnel/server_plane.ts";

// Chosen here.
const RX_CAP = 128;
const TUN_CAP = 64;
const CALIBRATE_MS = 250;
const LEAD_MAX_NS = 300e3;
const WORKER_NICE = -20;

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
  shim.pacer.start({
    pollMode: config.pacer.pollMode,
    fifo: config.pacer.fifo,
    cpu: config.pacer.cpu,
    calibrateMs: CALIBRATE_MS,
    leadNs: 0,
    leadMaxNs: LEAD_MAX_NS,
  });
  const pacer = shim.pacer.state();
  shim.threadSetup(WORKER_NICE, pacer.sharedCpu ? -1 : pacer.cpu);
  const ports: DataPlanePorts = {
    memory: shim.memory,
    protection: shim.protection,
    pacer: shim.pacer,
    io: shim.newIo({
      udpFds: config.udpFds,
      tunFd: config.tunFd,
      eventFd: config.eventFd,
      rxCap: RX_CAP,
      tunCap: TUN_CAP,
    }),
    clock: shim.clock,
    entropy: shim.entropy,
    mailbox: new Mailbox<Order>(shim.memory.u8.buffer, config.mailbox.off, config.mailbox.len),
    counters: new DataCounters(shim.memory, config.counters),
    eventsInFlight: new Int32Array(config.eventsInFlight),
    post: (event) => scope.postMessage(event),
  };
  scope.postMessage({ type: "ready", pacer });
  const plane = config.role === "client" ? new ClientPlane(ports, config) : new ServerPlane(ports, config);
  while (plane.turn()) { /* until stopped */ }
  shim.pacer.stop();
  scope.postMessage({ type: "stopped" });
}
