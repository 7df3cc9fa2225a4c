/** A listener at the server for a remote forward of a client: each connection becomes a stream to the client. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { ByteConnection, ConnectionListener } from "../ports/sockets.ts";
import { SocketError } from "../ports/sockets.ts";
import { RESET_REASON } from "../ports/streams.ts";
import { incomingHost } from "../wire/forward_host.ts";
import { acceptAll } from "./acceptor.ts";
import type { Dialer } from "./dialer.ts";
import type { LocalStream } from "./local_stream.ts";
import type { LocalStreams } from "./local_streams.ts";
import { Relay } from "./relay.ts";
import { addressOf } from "./stream_target.ts";

/** For the client to connect on its side. Chosen here. */
const ACCEPT_MS = 30_000;

/** Listens at `at` for as long as `stream` lives. Rejects with SocketError where that is not to be. */
export async function serveListener(
  dialer: Dialer,
  streams: LocalStreams,
  stream: LocalStream,
  at: EndpointAddress,
): Promise<void> {
  const { sockets, mayListen, count } = dialer.context;
  let listener: ConnectionListener;
  try {
    if (!mayListen(at.ip, at.port)) throw new SocketError(RESET_REASON.notAllowed, "not for this client");
    listener = await sockets.listen({ kind: "tcp", ...at });
  } catch (error) {
    count("listeners_refused");
    throw error;
  }
  count("listeners");
  stream.accept(addressOf(listener.address));
  const acceptor = {
    places: dialer.places,
    serve: (connection: ByteConnection) => serve(dialer, streams, stream.id, connection),
    refused: () => count("dials_refused_limit"),
  };
  await Promise.race([acceptAll(listener, acceptor), ended(stream)]);
  listener.close();
  stream.reset(RESET_REASON.peerReset);
}

/** Settles when the client has ended the stream, in whatever way. */
async function ended(stream: LocalStream): Promise<void> {
  try {
    for (let bytes = await stream.read(); bytes !== undefined; bytes = await stream.read()) {
      stream.consumed(bytes.length); // they mean nothing
    }
  } catch {
    // reset
  }
}

async function serve(
  dialer: Dialer,
  streams: LocalStreams,
  id: number,
  connection: ByteConnection,
): Promise<void> {
  const { timers, idleMs } = dialer.context;
  const from = addressOf(connection.remote);
  const stream = streams.open("stream", { host: incomingHost(id), port: from.port });
  const callOff = timers.after(ACCEPT_MS, () => stream.reset(RESET_REASON.timedOut));
  try {
    await stream.accepted();
  } catch {
    return connection.reset();
  } finally {
    callOff();
  }
  await new Relay(connection, stream, timers, { idleMs }).run(new Uint8Array());
}
