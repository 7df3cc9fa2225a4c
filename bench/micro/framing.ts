/** Framing alone: time per inner packet to pack it into records of 1,350 bytes and to unpack it, medians of several
 * runs. Before measuring, the unpacked bytes are proved equal to the packed ones.
 * deno run -A bench/micro/framing.ts [packets per run] [runs] */

import { assert } from "../../src/base/mod.ts";
import { PACKED, Packer } from "../../src/framing/packer.ts";
import { Reassembler } from "../../src/framing/reassembler.ts";
import { Unpacker, type UnpackerSink } from "../../src/framing/unpacker.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";

const RECORD_LEN = 1350;
const RECORDS = 64;
const PACKET_LENS = [64, 576, 1300];

function setup(packetLen: number) {
  const memory = new HeapMemory(1 << 20);
  const source = memory.alloc(2048);
  const records = memory.alloc(RECORDS * 2048);
  for (let i = 0; i < packetLen; i++) memory.u8[source + i] = (i * 7) & 0xff;
  const packer = new Packer(memory.u8);
  const unpacker = new Unpacker(memory.u8, new Reassembler(memory));
  let packets = 0;
  let equalBytes = true;
  const sink = { packet: () => void packets++, control() {}, malformed() {} };
  const checking = {
    ...sink,
    packet(off: number, len: number) {
      packets++;
      for (let i = 0; i < packetLen; i++) equalBytes &&= memory.u8[off + i] === memory.u8[source + i];
      equalBytes &&= len === packetLen;
    },
  };
  /** Fills all records; returns how many packets are whole in them. */
  const pack = () => {
    let whole = 0;
    for (let record = 0; record < RECORDS; record++) {
      packer.begin(records + record * 2048, RECORD_LEN);
      while (packer.packet(source, packetLen) === PACKED.whole) whole++;
      packer.finish();
    }
    return whole;
  };
  const unpack = (to: UnpackerSink) => {
    packets = 0;
    for (let record = 0; record < RECORDS; record++) unpacker.read(records + record * 2048, RECORD_LEN, to);
    return packets;
  };
  const proved = pack();
  assert(unpack(checking) === proved && equalBytes, "what is unpacked equals what was packed");
  return { pack, unpack: () => unpack(sink) };
}

function nsPerPacket(work: () => number, packets: number): number {
  let done = 0;
  const start = performance.now();
  while (done < packets) done += work();
  return (performance.now() - start) * 1e6 / done;
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

if (import.meta.main) {
  const packets = Number(Deno.args[0] ?? 200_000);
  const runs = Number(Deno.args[1] ?? 7);
  console.log(`framing, records of ${RECORD_LEN} B, ${packets} packets a run, median of ${runs} runs`);
  console.log("packet B   pack ns   unpack ns");
  for (const packetLen of PACKET_LENS) {
    const { pack, unpack } = setup(packetLen);
    nsPerPacket(pack, packets);
    nsPerPacket(unpack, packets);
    const times = Array.from(
      { length: runs },
      () => [nsPerPacket(pack, packets), nsPerPacket(unpack, packets)],
    );
    const [packNs, unpackNs] = [0, 1].map((i) => median(times.map((pair) => pair[i])));
    console.log(
      `${String(packetLen).padStart(8)}${packNs.toFixed(0).padStart(10)}${unpackNs.toFixed(0).padStart(12)}`,
    );
  }
}
