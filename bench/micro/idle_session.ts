/** What a session of a server costs in memory while nothing flows: bytes of the arena beside its ring, and of the
 * JavaScript heap, each as what many sessions add. The goal is 16 KiB in all.
 *
 *   deno run -A --v8-flags=--expose-gc bench/micro/idle_session.ts [SESSIONS] */

import { openShim, shimPath } from "../../ffi/mod.ts";
import type { Memory } from "../../src/ports/mod.ts";
import { Session } from "../../src/session/session.ts";
import { Emitter } from "../../src/tunnel/emitter.ts";
import type { TrainParameters } from "../../src/tunnel/messages.ts";
import { CONNECTION_ID_LEN } from "../../src/tunnel/own_ids.ts";
import { PacketQueue } from "../../src/tunnel/packet_queue.ts";
import { Peer, SendKeys } from "../../src/tunnel/peer.ts";
import { receiveRateOf, REKEY_RECORDS, sealingOf, sessionOptions } from "../../src/tunnel/rekey.ts";

const GOAL = 16 * 1024;
const QUEUE_PACKETS = 64; // as a server's
const TRAIN: TrainParameters = {
  intervalNs: 10e6,
  jitterSdNs: 1e6,
  jitterLaw: "gaussian",
  datagramLen: 1372,
  burst: 1,
};
const TO = { ip: Uint8Array.of(127, 0, 0, 1), port: 9 };

const count = Math.max(4, Number(Deno.args[0] ?? 300));
const gc = (globalThis as { gc?: () => void }).gc ?? (() => {});
const shim = openShim(shimPath());
let allocatedLen = 0;
const memory: Memory = {
  ...shim.memory,
  alloc(len) {
    allocatedLen += len;
    return shim.memory.alloc(len);
  },
  free(off, len) {
    allocatedLen -= len;
    shim.memory.free(off, len);
  },
};

/** As the data Worker makes it when a client's parameters have come; the ring is the shim's own, and not counted. */
function idlePeer(index: number): Peer {
  const peer = new Peer(index, memory, new PacketQueue(memory, QUEUE_PACKETS, index, () => 0));
  const secret = () => crypto.getRandomValues(new Uint8Array(32));
  const secrets = {
    ...{ suite: 0x1301, send: secret(), receive: secret(), sendMessageSeq: 4, receiveMessageSeq: 3 },
    connectionIds: { own: new Uint8Array(CONNECTION_ID_LEN), peer: new Uint8Array(0), rrc: true },
  };
  const options = sessionOptions(REKEY_RECORDS, TRAIN, receiveRateOf(TRAIN));
  peer.current = new Session(memory, shim.protection, secrets, options, 0);
  const emitter = new Emitter(memory, shim.pacer, {
    ...{ train: TRAIN, seed: secret(), startNs: 1e18, fd: 0, to: TO, traceCount: 0, cid: new Uint8Array(0) },
  });
  peer.train = { emitter, keys: new SendKeys(emitter, shim.protection, sealingOf(peer.current)) };
  peer.address = { ...TO };
  peer.open = true;
  return peer;
}

/** Heap and what lies outside of it, after all garbage is gone. */
function usedLen(): number {
  for (let i = 0; i < 4; i++) gc();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

const first = [idlePeer(0), idlePeer(1)]; // code and shapes are there from now on
const before = { heap: usedLen(), arena: allocatedLen };
const peers = Array.from({ length: count }, (_, index) => idlePeer(index + first.length));
const heap = (usedLen() - before.heap) / peers.length;
const arena = (allocatedLen - before.arena) / peers.length;
console.log(
  `an idle session of ${count}: ${arena.toFixed(0)} B of the arena beside its ring, ` +
    `${heap.toFixed(0)} B of the heap; ${((arena + heap) / 1024).toFixed(1)} KiB, the goal being ${
      GOAL / 1024
    }`,
);
