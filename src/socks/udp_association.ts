/* UDP ASSOCIATE (RFC 1928 §7), the side of the program that uses it: a socket for its datagrams, for as long as its
 * connection to the proxy lives. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { ByteConnection, PacketSocket } from "../ports/sockets.ts";
import { DATAGRAM_MAX_LEN, RESET_REASON, type StreamAddress } from "../ports/streams.ts";
import type { Destination } from "../wire/host_port.ts";
import { formatIp, plainAddress } from "../wire/ip_address.ts";
import { emitDatagram, emitReply, parseDatagram, REPLY } from "../wire/socks5.ts";
import { equalsConstantTime } from "../base/mod.ts";
import type { Input } from "./input.ts";
import { IdleWatch } from "./idle_watch.ts";
import { type LocalStream, reasonOf } from "./local_stream.ts";
import { openStream } from "./open_stream.ts";
import type { ProxyContext } from "./proxy_client.ts";
import { destinationOf, targetOf } from "./stream_target.ts";

// Chosen here.
const IDLE_MS = 600_000;
/** Datagrams that the system has not taken yet. */
const SENDING_MAX = 64;
const LOOPBACK: EndpointAddress = { ip: Uint8Array.of(127, 0, 0, 1), port: 0 };
const ANYWHERE: StreamAddress = { host: new Uint8Array(4), port: 0 };

/** Serves the association until the connection ends. Returns the words for a refusal. */
export async function associate(
  context: ProxyContext,
  connection: ByteConnection,
  input: Input,
  from: Destination,
): Promise<Uint8Array | undefined> {
  input.rest();
  let socket: PacketSocket;
  try {
    // At the address that the program has reached the proxy at, so that it can reach this one, too.
    socket = await context.sockets.packets({ ip: plainAddress((connection.local ?? LOOPBACK).ip), port: 0 });
  } catch (error) {
    return emitReply(reasonOf(error, REPLY.generalFailure));
  }
  try {
    const { stream } = await openStream(context, "datagrams", ANYWHERE);
    await new Association(context, connection, socket, stream, from.port).run();
  } catch (error) {
    socket.close();
    return emitReply(replyOf(error));
  }
  return undefined;
}

function replyOf(error: unknown): number {
  const reason = reasonOf(error, REPLY.generalFailure);
  return reason <= 8 ? reason : REPLY.generalFailure;
}

class Association {
  readonly #context: ProxyContext;
  readonly #connection: ByteConnection;
  readonly #socket: PacketSocket;
  readonly #stream: LocalStream;
  /** Of the program's own socket; its port becomes known by its first datagram unless it has said it. */
  readonly #ip: Uint8Array;
  #port: number;
  readonly #idle: IdleWatch;
  #sending = 0;

  constructor(
    context: ProxyContext,
    connection: ByteConnection,
    socket: PacketSocket,
    stream: LocalStream,
    port: number,
  ) {
    this.#context = context;
    this.#connection = connection;
    this.#socket = socket;
    this.#stream = stream;
    this.#ip = plainAddress((connection.remote ?? LOOPBACK).ip);
    this.#port = port;
    this.#idle = new IdleWatch(context.timers, IDLE_MS, () => socket.close());
    context.count("associations");
    stream.onDatagram = (address, data) => this.#toProgram(address, data);
  }

  /** RFC 1928 §7: it ends with the connection that asked for it; and when nothing has passed for long. */
  async run(): Promise<void> {
    const { ip, port } = this.#socket.address;
    const granted = emitReply(REPLY.succeeded, { host: formatIp(ip), port });
    await this.#connection.write(granted).catch(() => this.#socket.close());
    await Promise.race([this.#untilConnectionEnds(), this.#untilStreamEnds(), this.#fromProgram()]);
    this.#idle.stop();
    this.#stream.reset(RESET_REASON.peerReset);
    this.#socket.close();
    this.#connection.close();
  }

  async #untilConnectionEnds(): Promise<void> {
    const buffer = new Uint8Array(64);
    try {
      while (await this.#connection.read(buffer) !== null); // RFC 1928 has nothing to say there
    } catch {
      // reset: the end, too
    }
  }

  async #untilStreamEnds(): Promise<void> {
    try {
      while (await this.#stream.read() !== undefined);
    } catch {
      // reset by the far end
    }
  }

  async #fromProgram(): Promise<void> {
    for (let came = await this.#socket.receive(); came !== undefined; came = await this.#socket.receive()) {
      if (
        !equalsConstantTime(came.from.ip, this.#ip) || (this.#port !== 0 && came.from.port !== this.#port)
      ) {
        this.#context.count("udp_wrong_sender");
        continue;
      }
      const parsed = parseDatagram(came.data);
      if (parsed === undefined || parsed.to.port === 0 || parsed.data.length > DATAGRAM_MAX_LEN) {
        this.#context.count("udp_malformed");
      } else if (parsed.fragment !== 0) this.#context.count("udp_fragmented");
      else {
        this.#port = came.from.port;
        this.#idle.touch();
        this.#stream.datagram(targetOf(parsed.to), parsed.data);
      }
    }
  }

  #toProgram(address: StreamAddress, data: Uint8Array): void {
    this.#idle.touch();
    if (this.#port === 0 || this.#sending >= SENDING_MAX) return this.#context.count("udp_unsent");
    this.#sending++;
    this.#socket.send(emitDatagram(destinationOf(address), data), { ip: this.#ip, port: this.#port })
      .catch(() => this.#context.count("udp_unsent"))
      .finally(() => this.#sending--);
  }
}
