/** Opening a stream, with an end to the waiting. */

import type { Timers } from "../ports/sockets.ts";
import { RESET_REASON, type StreamAddress, type StreamKind } from "../ports/streams.ts";
import type { Destination } from "../wire/host_port.ts";
import type { ClientCount, Count } from "./counts.ts";
import type { LocalStream } from "./local_stream.ts";
import type { LocalStreams } from "./local_streams.ts";
import { targetOf } from "./stream_target.ts";

/** Longer than any dialling takes. Chosen here. */
const OPEN_MS = 60_000;

export interface OpenContext {
  readonly streams: LocalStreams;
  readonly timers: Timers;
  readonly count: Count<ClientCount>;
}

export interface Opened {
  readonly stream: LocalStream;
  /** Of the far end's socket. */
  readonly bound: StreamAddress;
}

/** Rejects with StreamReset when the far end refuses or does not answer. */
export async function openStream(
  { streams, timers, count }: OpenContext,
  kind: StreamKind,
  target: StreamAddress,
): Promise<Opened> {
  const stream = streams.open(kind, target);
  const callOff = timers.after(OPEN_MS, () => stream.reset(RESET_REASON.timedOut));
  try {
    const bound = await stream.accepted();
    count("opens_granted");
    return { stream, bound };
  } catch (error) {
    count("opens_refused");
    throw error;
  } finally {
    callOff();
  }
}

export function openTo(context: OpenContext, to: Destination): Promise<Opened> {
  return openStream(context, "stream", targetOf(to));
}
