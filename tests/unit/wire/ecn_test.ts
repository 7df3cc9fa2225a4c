import assert from "node:assert/strict";
import { decapsulatedEcn, ECN, ecnOf, markCe, setEcn } from "../../../src/wire/ecn.ts";
import { flowHash } from "../../../src/wire/flow_hash.ts";

function v4(tos = 0): Uint8Array {
  const bytes = new Uint8Array(30).fill(0xa5);
  bytes.set([0x45, tos, 0, 30, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 53]);
  const sum = ~sumOf(bytes) & 0xffff;
  bytes.set([sum >> 8, sum & 255], 10);
  return bytes;
}

function v6(trafficClass = 0): Uint8Array {
  const bytes = new Uint8Array(50).fill(0xa5);
  bytes.set([0x60 | trafficClass >> 4, trafficClass << 4 & 0xf0 | 3, 1, 2, 0, 10, 17, 64]);
  for (let i = 8; i < 40; i++) bytes[i] = i;
  bytes.set([0x30, 0x39, 0, 53], 40);
  return bytes;
}

/** RFC 1071, of an IPv4 header. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

Deno.test("setEcn() changes two bits of either header and keeps the checksum right", () => {
  for (let tos = 0; tos < 256; tos++) {
    for (let ecn = 0; ecn < 4; ecn++) {
      const [four, six] = [v4(tos), v6(tos)];
      for (const bytes of [four, six]) {
        assert.equal(ecnOf(bytes, 0), tos & 3);
        setEcn(bytes, 0, ecn);
        assert.equal(ecnOf(bytes, 0), ecn);
      }
      assert.equal(sumOf(four), 0xffff);
      assert.deepEqual(four, v4(tos & 0xfc | ecn));
      assert.deepEqual(six, v6(tos & 0xfc | ecn));
    }
  }
});

Deno.test("markCe() marks who takes part, and leaves the others as they are", () => {
  for (const make of [v4, v6]) {
    for (const ecn of [ECN.ect0, ECN.ect1, ECN.ce]) {
      const bytes = make(0xb8 | ecn);
      assert.equal(markCe(bytes, 0), true);
      assert.deepEqual(bytes, make(0xb8 | ECN.ce));
    }
    const bytes = make(0xb8);
    assert.equal(markCe(bytes, 0), false);
    assert.deepEqual(bytes, make(0xb8));
  }
});

Deno.test("decapsulatedEcn() is the table of RFC 6040 §4.2", () => {
  const { notEct, ect0, ect1, ce } = ECN;
  const drop = -1;
  // Columns: the outer header Not-ECT, ECT(0), ECT(1), CE.
  const table: readonly (readonly [number, readonly number[]])[] = [
    [notEct, [notEct, notEct, notEct, drop]],
    [ect0, [ect0, ect0, ect1, ce]],
    [ect1, [ect1, ect1, ect1, ce]],
    [ce, [ce, ce, ce, ce]],
  ];
  for (const [inner, row] of table) {
    assert.deepEqual([notEct, ect0, ect1, ce].map((outer) => decapsulatedEcn(inner, outer)), row);
  }
});

Deno.test("flowHash() tells flows apart by addresses, protocol, ports and secret, and nothing else", () => {
  const hash = (bytes: Uint8Array, seed = 7) => flowHash(bytes, 0, bytes.length, seed);
  for (const make of [v4, v6]) {
    const ports = make === v4 ? 20 : 40;
    const same = make();
    same[ports + 5] ^= 1; // behind the ports
    setEcn(same, 0, ECN.ce);
    assert.equal(hash(same), hash(make()));
    assert.notEqual(hash(make(), 8), hash(make()));
    const addresses = make === v4 ? [12, 15, 16, 19] : [8, 23, 24, 39];
    for (const at of [...addresses, ports, ports + 3, make === v4 ? 9 : 6]) {
      const other = make();
      other[at] ^= 4;
      assert.notEqual(hash(other), hash(make()), `byte ${at}`);
    }
  }
  const fragment = (offset: number) => {
    const bytes = v4();
    bytes.set([offset === 0 ? 0x20 : 0, offset], 6);
    bytes[20] = offset;
    return hash(bytes);
  };
  assert.equal(fragment(0), fragment(100), "fragments of one packet are one flow");
});

Deno.test("flowHash() spreads ports evenly", () => {
  const counts = new Array(256).fill(0);
  const bytes = v4();
  for (let port = 0; port < 25_600; port++) {
    bytes.set([port >> 8, port & 255], 20);
    counts[flowHash(bytes, 0, bytes.length, 5) % 256]++;
  }
  assert.ok(
    Math.min(...counts) > 50 && Math.max(...counts) < 160,
    `${Math.min(...counts)} ${Math.max(...counts)}`,
  );
});
