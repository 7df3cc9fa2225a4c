/** What a peer with a valid key may write into a record. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { PACKED, Packer } from "../../../src/framing/packer.ts";
import { PACKET_MAX_LEN, Reassembler } from "../../../src/framing/reassembler.ts";
import { Unpacker } from "../../../src/framing/unpacker.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import * as control from "../../../src/wire/inner_control.ts";
import { emitFragmentHead } from "../../../src/wire/inner_frame.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "../../../src/wire/ip_address.ts";
import { parseVersion } from "../../../src/wire/ip_header.ts";
import { InnerRoutes } from "../../../src/tunnel/inner_routes.ts";
import type { FuzzTarget } from "../harness.ts";

const PARAMETERS: control.ClientParameters = {
  protocolVersion: 1,
  oldestVersion: 1,
  flags: 0,
  s2cDatagramLen: 1300,
  s2cIntervalNs: 1e6,
  s2cJitterSdNs: 1e5,
  s2cJitterLaw: "gaussian",
  s2cBurst: 1,
  c2sIntervalNs: 2e6,
  c2sDatagramLen: 1200,
  c2sBurst: 2,
  nonce: new Uint8Array(control.NONCE_LEN).fill(7),
};
const WELCOME: control.ServerWelcome = {
  protocolVersion: 1,
  status: 0,
  nonce: PARAMETERS.nonce,
  addresses: [parsePrefix("10.0.0.2/24")!, parsePrefix("fd00::2/64")!],
  serverAddresses: [parsePrefix("10.0.0.1/24")!],
  routes: [parsePrefix("0.0.0.0/0")!],
  dns: [],
  mtu: 1280,
  maxSpeedBitsPerS: 1e9,
  message: "héllo",
};
const CONTROL_HEAD_LEN = 3;

const parameters: FuzzTarget = {
  name: "client-parameters",
  samples: () => [control.emitClientParameters(PARAMETERS).slice(CONTROL_HEAD_LEN)],
  lenMax: 128,
  read(input) {
    const wish = control.parseClientParameters(input);
    if (wish === undefined) return "refused";
    equal(control.emitClientParameters(wish).slice(CONTROL_HEAD_LEN), input.slice());
    return wish.s2cJitterLaw;
  },
};

/** Control characters of the message are taken out, so it is the value that comes back. */
const welcomeTarget: FuzzTarget = {
  name: "server-welcome",
  samples: () => [control.emitServerWelcome(WELCOME).slice(CONTROL_HEAD_LEN)],
  lenMax: 600,
  read(input) {
    const read = control.parseServerWelcome(input);
    if (read === undefined) return "refused";
    // deno-lint-ignore no-control-regex
    ok(!/[\u0000-\u001f\u007f-\u009f]/.test(read.message), "nothing steers a terminal");
    equal(control.parseServerWelcome(control.emitServerWelcome(read).slice(CONTROL_HEAD_LEN)), read);
    return `${read.status} ${read.addresses.length} ${read.routes.length} ${read.message.length > 0}`;
  },
};

const close: FuzzTarget = {
  name: "close",
  samples: () => [Uint8Array.of(0), Uint8Array.of(2)],
  lenMax: 16,
  read(input) {
    const reason = control.parseClose(input);
    if (reason !== undefined) equal(control.emitClose(reason).slice(CONTROL_HEAD_LEN), input.slice());
    return reason === undefined ? "refused" : Math.min(reason, 3);
  },
};

const CONTENT_LEN = 1400;
const PLACES = 8;
const CANARY_LEN = 64;

/** Plaintexts of a Packer with packets whole and split, and fragments that come out of order. */
function contents(): Uint8Array[] {
  const memory = new HeapMemory(64 + 8192);
  const source = memory.alloc(2048);
  const plaintext = memory.alloc(2048);
  const packer = new Packer(memory.u8);
  const out: Uint8Array[] = [];
  for (const len of [40, 500, 900, 1900]) {
    packer.begin(plaintext, 600);
    packer.control(control.emitClientParameters(PARAMETERS));
    while (packer.packet(source, len) === PACKED.whole && len < 200);
    packer.finish();
    out.push(memory.u8.slice(plaintext, plaintext + 600));
  }
  const fragment = (offset: number, len: number, last: boolean) => {
    const bytes = new Uint8Array(7 + len);
    return bytes.subarray(0, emitFragmentHead(bytes, 0, 5, offset, len, last) + len);
  };
  out.push(concat(fragment(40, 20, true), fragment(0, 20, false), fragment(20, 20, false)));
  return out;
}

/** Two inputs after one another share a reassembler, so that fragments meet; what is handed on lies within the record
 * or the reassembler's storage, and nothing is written elsewhere. */
function frames(): FuzzTarget {
  const memory = new HeapMemory(64 + (PLACES + 2) * 2048);
  const reassembler = new Reassembler(memory, PLACES);
  const canary = memory.alloc(CANARY_LEN);
  const off = memory.alloc(CONTENT_LEN);
  const unpacker = new Unpacker(memory.u8, reassembler);
  const seen = { packets: 0, controls: 0, malformed: 0 };
  let len = 0;
  const within = (at: number, bodyLen: number) => at >= off && at + bodyLen <= off + len;
  const sink = {
    packet(at: number, packetLen: number) {
      ok(packetLen > 0 && packetLen <= Math.max(PACKET_MAX_LEN, len));
      ok(within(at, packetLen) || reassembler.holds(at));
      seen.packets++;
    },
    control(_type: number, at: number, bodyLen: number) {
      ok(within(at, bodyLen));
      seen.controls++;
    },
    malformed: () => void seen.malformed++,
  };
  return {
    name: "frames",
    samples: contents,
    lenMax: CONTENT_LEN,
    read(input) {
      memory.u8.fill(0xa5, canary, canary + CANARY_LEN);
      memory.u8.set(input, off);
      len = input.length;
      seen.packets = seen.controls = seen.malformed = 0;
      reassembler.reset();
      unpacker.read(off, len, sink, 1);
      unpacker.read(off, len, sink, 2); // the same once more: fragments overlap those that are there
      ok(reassembler.inFlight <= PLACES);
      for (let i = canary; i < canary + CANARY_LEN; i++) equal(memory.u8[i], 0xa5);
      return `${Math.min(seen.packets, 9)} ${
        Math.min(seen.controls, 3)
      } ${seen.malformed} ${reassembler.inFlight}`;
    },
  };
}

/** IPv4 with UDP, and IPv6. */
function packets(): Uint8Array[] {
  const v4 = new Uint8Array(48);
  v4.set([0x45, 0, 0, 48]);
  v4.set([10, 0, 0, 2, 10, 0, 0, 1], 12);
  const v6 = new Uint8Array(60);
  v6.set([0x60, 0, 0, 0, 0, 20]);
  v6[23] = v6[39] = 1;
  return [v4, v6];
}

/** The reader of addresses trusts the length that it is told, never one in the packet. */
const ipHeader: FuzzTarget = {
  name: "ip-header",
  samples: packets,
  lenMax: 128,
  read(input) {
    const routes = new InnerRoutes(input);
    routes.add(parsePrefix("10.0.0.2/32")!, 1);
    routes.add(parsePrefix("10.0.0.0/24")!, 2);
    routes.add(parsePrefix("::/0")!, 3);
    const version = parseVersion(input, 0, input.length);
    if (version !== 0) ok(input.length >= (version === 4 ? 20 : 40));
    return `${version} ${routes.bySource(0, input.length)} ${routes.byDestination(0, input.length)}`;
  },
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const ipText: FuzzTarget = {
  name: "ip-text",
  samples: () =>
    ["10.0.0.2/24", "fd00::2/64", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8", "::", "fe80::/10"].map((text) =>
      encoder.encode(text)
    ),
  dictionary: ["::", "0:0:0", "255", "/128", "/0", "1.2.3.4"].map((text) => encoder.encode(text)),
  lenMax: 64,
  read(input) {
    const text = decoder.decode(input);
    const ip = parseIp(text);
    if (ip !== undefined) equal(parseIp(formatIp(ip)), ip);
    const prefix = parsePrefix(text);
    if (prefix !== undefined) equal(parsePrefix(formatPrefix(prefix)), prefix);
    return `${ip?.length} ${prefix?.ip.length}`;
  },
};

export const INNER_TARGETS: readonly FuzzTarget[] = [
  frames(),
  parameters,
  welcomeTarget,
  close,
  ipHeader,
  ipText,
];
