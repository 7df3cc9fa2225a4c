/** What the shim makes of packets in one piece: cut as the reference does, joined so that cutting gives them back. */

import { deepStrictEqual as equal } from "node:assert/strict";
import { shimCoalesce, shimSplit } from "../../ffi/offload.ts";
import * as reference from "../../ffi/offload_reference.ts";
import { flow } from "../../ffi/offload_samples.ts";
import type { FuzzTarget } from "../harness.ts";

const HALF = () => 0.5;
const SHAPES = [true, false].flatMap((v4) => [true, false].map((tcp) => ({ v4, tcp, host: 1, port: 1 })));
const flows = () =>
  SHAPES.map((shape) => flow(shape, [100, 100, 100, 9].map((payloadLen) => ({ payloadLen })), HALF));

/** Virtio header and packet. */
const SPLIT: FuzzTarget = {
  name: "offload-split",
  samples: () =>
    flows().map((packets) => {
      const { header, packet } = reference.join(packets);
      return new Uint8Array([...reference.emitVirtio(header), ...packet]);
    }),
  lenMax: 4096,
  share: 0.02,
  read(input) {
    if (input.length < 10) return "refused";
    const written = { header: reference.parseVirtio(input.slice(0, 10)), packet: input.slice(10) };
    const pieces = shimSplit(written);
    const plain = reference.split(written);
    equal(pieces, plain?.slice(0, pieces?.length));
    return pieces === undefined ? "refused" : Math.min(pieces.length, 5);
  },
};

/** Packets, each behind its length of two bytes. */
const COALESCE: FuzzTarget = {
  name: "offload-coalesce",
  samples: () =>
    flows().map((packets) =>
      new Uint8Array(packets.flatMap((packet) => [packet.length >> 8, packet.length & 0xff, ...packet]))
    ),
  share: 0.02,
  read(input) {
    const packets: Uint8Array[] = [];
    for (let at = 0; at + 2 < input.length;) {
      const len = (input[at] << 8) | input[at + 1];
      if (len > 0) packets.push(input.slice(at + 2, at + 2 + len));
      at += 2 + len;
    }
    const written = shimCoalesce(packets);
    equal(written, reference.coalesce(packets));
    return `${Math.min(packets.length, 5)} ${Math.min(written.length, 5)}`;
  },
};

export const OFFLOAD_TARGETS: readonly FuzzTarget[] = [SPLIT, COALESCE];
