/** What the main isolate and the data Worker say to each other. Main → Worker goes through the Mailbox (byte
 * arrays ride beside the head, in the order given here); Worker → main by postMessage, bounded by `EventGate`. */

import type { PollMode } from "../ports/mod.ts";
import type { JitterLaw } from "../schedule/mod.ts";
import type { SessionSecrets } from "../session/session.ts";
import type {
  BridgeBuffers,
  TcpClientSettings,
  TcpEvent,
  TcpOrder,
  TcpServerSettings,
} from "./tcp_messages.ts";
import type { ClientHandshakeV0 } from "../wire/v0_message.ts";

/** An address as it crosses the isolates. */
export interface PlainAddress {
  readonly ip: Uint8Array;
  readonly port: number;
  readonly scope?: number;
}

export type Order =
  /** Client: bytes[0] is a handshake datagram for the next slot that is free of user data. */
  | { readonly type: "raw" }
  /** bytes: send secret, receive secret, own and the peer's connection id ("": none), peer ip, local ip ("" if not
   * known); of a client the first four. */
  | {
    readonly type: "session";
    readonly client: number;
    readonly suite: number;
    readonly sendMessageSeq: number;
    readonly receiveMessageSeq: number;
    /** Return routability checks were agreed on. */
    readonly rrc: boolean;
    readonly fdIndex: number;
    readonly port: number;
    readonly scope: number;
    readonly localPort: number;
    /** Of a client: how long the server's flight took to come. */
    readonly roundTripNs: number;
  }
  /** Client: sends from the socket `fd` from now on, or from slot `slot` (0: from now on). */
  | { readonly type: "move"; readonly fd: number; readonly slot: number }
  /** Client: the server has the Finished of the newest session. */
  | { readonly type: "acknowledged" }
  /** Client: its train and sessions end; nothing leaves but probes until another train begins. */
  | { readonly type: "rest" }
  /** Client at rest: bytes[0] leaves at once. */
  | { readonly type: "probe" }
  /** Client at rest: a train begins, with bytes[0] in its first slot. */
  | {
    readonly type: "train";
    readonly up: TrainParameters;
    readonly down: TrainParameters;
    readonly rotateSlots: number;
  }
  /** Client: the session is lost, for a reason that only main knows. */
  | { readonly type: "give up"; readonly reason: string }
  /** Says goodbye in slots and ends the Worker. */
  | { readonly type: "stop" }
  | TcpOrder;

/** What the pacer found when it started. */
export interface PacerReport {
  readonly noFifo: boolean;
  readonly noLock: boolean;
  readonly throttled: boolean;
  readonly sharedCpu: boolean;
  readonly cpu: number;
  readonly leadNs: number;
  readonly wakeP50Ns: number;
  readonly wakeP99Ns: number;
  readonly wakeP999Ns: number;
}

export type WorkerEvent =
  | { readonly type: "ready"; readonly pacer: PacerReport }
  | { readonly type: "failed"; readonly message: string }
  /** A datagram of epoch 0 or 2, cookie checked where it is a ClientHello. */
  | {
    readonly type: "handshake";
    readonly first: boolean;
    readonly fdIndex: number;
    readonly from: PlainAddress;
    readonly local: PlainAddress | undefined;
    readonly datagram: Uint8Array;
  }
  /** The first authentic record of a new session came in. */
  | { readonly type: "authentic"; readonly client: number }
  /** Client: the server's welcome, the body of its frame; of version 0, which has none, empty. */
  | { readonly type: "welcome"; readonly client: number; readonly body: Uint8Array }
  /** Server: which schedule a client asked for, or with version 0 got. */
  | {
    readonly type: "parameters";
    readonly client: number;
    readonly intervalNs: number;
    readonly datagramLen: number;
    readonly note: string;
  }
  /** A client has proved that it is elsewhere now. */
  | { readonly type: "moved"; readonly client: number; readonly to: PlainAddress }
  /** Client: nobody uses this socket any more. */
  | { readonly type: "socket left"; readonly fd: number }
  /** Client: at this slot it is time for another socket. */
  | { readonly type: "rotate"; readonly slot: number }
  /** Client of version 0: fates of packets, in rows as packet_fates.ts has them. */
  | { readonly type: "packets"; readonly client: number; readonly rows: Uint8Array }
  | { readonly type: "silent"; readonly client: number; readonly sinceMs: number }
  /** Client: it has no train: probes may leave. */
  | { readonly type: "resting" }
  /** Client: the session that was silent is alive. */
  | { readonly type: "heard"; readonly client: number }
  | { readonly type: "closed"; readonly client: number; readonly reason: string }
  | { readonly type: "ring"; readonly client: number; readonly ring: number; readonly intervalNs: number }
  | { readonly type: "notice"; readonly level: "error" | "warn" | "info" | "debug"; readonly text: string }
  | { readonly type: "stopped" }
  | TcpEvent;

/** What a schedule is made of, for one direction. Lengths are of UDP datagrams, bytes. */
export interface TrainParameters {
  readonly intervalNs: number;
  readonly jitterSdNs: number;
  readonly jitterLaw: JitterLaw;
  readonly datagramLen: number;
  readonly burst: number;
}

export interface PacerSettings {
  readonly pollMode: PollMode;
  readonly fifo: boolean;
  readonly cpu: number | "auto" | "none";
}

interface WorkerConfigCommon {
  readonly shim: string;
  /** Of the Mailbox in the shim's memory, which is locked: secrets pass there. */
  readonly mailbox: { readonly off: number; readonly len: number };
  /** Int32[1]: events posted and not yet handled by main. */
  readonly eventsInFlight: SharedArrayBuffer;
  readonly eventFd: number;
  readonly tunFd: number;
  readonly udpFds: readonly number[];
  /** Offset of the counters block (COUNTER names in counters.ts). */
  readonly counters: number;
  /** How to start the pacer; or what another Worker of this process has found when it did. */
  readonly pacer: PacerSettings | PacerReport;
  readonly traceCount: number;
  readonly rekeyRecords: number;
}

export interface ClientWorkerConfig extends WorkerConfigCommon {
  readonly role: "client";
  readonly peer: PlainAddress;
  readonly up: TrainParameters;
  readonly down: TrainParameters;
  readonly nonce: Uint8Array;
  /** Of the train; empty: it begins at rest, until it gets a train. */
  readonly firstDatagram: Uint8Array;
  /** Another source port and connection id each time so many slots have gone by; 0: never. */
  readonly rotateSlots: number;
  /** Segments of TCP are held to packets of so many bytes, or fewer; 0: they are left alone. */
  readonly mssMtuMax: number;
  /** Of inner protocol version 0; absent: version 1. */
  readonly handshakeV0?: ClientHandshakeV0;
  /** Of streams, where they are carried in place of packets. */
  readonly bridge?: BridgeBuffers;
}

export interface ServerWorkerConfig extends WorkerConfigCommon {
  readonly role: "server";
  readonly cookieSecret: Uint8Array;
  readonly cookiePolicy: {
    readonly suites: readonly number[];
    readonly groups: readonly number[];
    readonly yieldsToChaCha?: boolean;
  };
  /** Some client speaks version 0. */
  readonly hasVersion0: boolean;
  readonly clients: readonly ServerWorkerClient[];
  readonly innerAddresses: readonly string[];
  readonly mtu: number;
  /** Whether segments of TCP are held to what fills a record. */
  readonly clampsMss: boolean;
  /** Whether a client's packets may be addressed to another one. */
  readonly betweenClients: boolean;
  readonly datagramMaxLen: number;
  /** Of streams, where clients may have some. */
  readonly bridge?: BridgeBuffers;
}

export interface ServerWorkerClient {
  readonly name: string;
  readonly protocol: "v0" | "v1";
  /** Inner prefixes that are the client's, as text: "10.140.5.2/32". */
  readonly addresses: readonly string[];
  /** Addresses given to it, with the length of the server's prefix: "10.140.5.2/24". */
  readonly given: readonly string[];
  readonly maxSpeedBitsPerS: number;
}

export type TcpClientWorkerConfig = TcpClientSettings & WorkerConfigCommon;
export type TcpServerWorkerConfig = TcpServerSettings & WorkerConfigCommon;

export type WorkerConfig =
  | ClientWorkerConfig
  | ServerWorkerConfig
  | TcpClientWorkerConfig
  | TcpServerWorkerConfig;

/** What a "session" order says of the new session; the byte arrays are the mail's. */
export function secretsOf(
  order: Extract<Order, { type: "session" }>,
  bytes: readonly Uint8Array[],
): SessionSecrets {
  const { suite, sendMessageSeq, receiveMessageSeq, rrc } = order;
  const [send, receive, own, peer] = bytes;
  const connectionIds = { own: own.slice(), peer: peer.slice(), rrc };
  return { suite, send, receive, sendMessageSeq, receiveMessageSeq, connectionIds };
}
