/** The main isolate's end of the stream bridge. */

import type { StreamEvents } from "../ports/streams.ts";
import { BRIDGE_RING_LEN, BridgeEnd } from "../tunnel/stream_bridge.ts";
import { StreamRing } from "../tunnel/stream_ring.ts";
import type { BridgeBuffers } from "../tunnel/tcp_messages.ts";

export interface MainBridge {
  readonly end: BridgeEnd;
  /** For the data Worker. */
  readonly buffers: BridgeBuffers;
}

/** `wake` has the Worker look into the bridge. */
export function openBridge(wake: () => void): MainBridge {
  const commands = StreamRing.create(BRIDGE_RING_LEN);
  const events = StreamRing.create(BRIDGE_RING_LEN);
  const buffers = { commands: commands.buffer, events: events.buffer };
  return { end: new BridgeEnd(commands, events, wake), buffers };
}

/** Hands on what the Worker has said; what comes meanwhile is handed on in a later turn, so that others get theirs. */
export function drainEvents(bridge: MainBridge, of: (client: number) => StreamEvents | undefined): void {
  if (bridge.end.drainEvents(of)) setTimeout(() => drainEvents(bridge, of), 0);
}
