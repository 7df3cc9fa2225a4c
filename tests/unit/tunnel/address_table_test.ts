import assert from "node:assert/strict";
import type { EndpointAddress, PacketIo } from "../../../src/ports/mod.ts";
import { addressKey, AddressTable } from "../../../src/tunnel/address_table.ts";

const A: EndpointAddress = { ip: Uint8Array.of(192, 0, 2, 1), port: 1000 };
const B: EndpointAddress = { ip: Uint8Array.of(192, 0, 2, 1), port: 1001 };

function setup() {
  const peers = new Map<string, number>();
  const io = {
    setPeer(address: EndpointAddress, peer: number): void {
      if (peer < 0) peers.delete(addressKey(address));
      else peers.set(addressKey(address), peer);
    },
  } as PacketIo;
  const table = new AddressTable(io);
  return { table, peerAt: (address: EndpointAddress) => peers.get(addressKey(address)) };
}

Deno.test("AddressTable.unbind() leaves another peer's entry alone", () => {
  const { table, peerAt } = setup();
  table.bind(A, 1);
  table.bind(A, 2);
  table.unbind(A, 1);
  assert.equal(peerAt(A), 2);
  table.unbind(A, 7);
  table.unbind(B, 2);
  assert.equal(peerAt(A), 2);
  table.unbind(A, 2);
  assert.equal(peerAt(A), undefined);
});

Deno.test("AddressTable.unbind() gives an address back to who held it before", () => {
  const { table, peerAt } = setup();
  table.bind(A, 1);
  table.bind(A, 2);
  assert.equal(peerAt(A), 2);
  table.unbind(A, 2);
  assert.equal(peerAt(A), 1);
});

Deno.test("AddressTable keeps nothing of addresses that nobody holds, however often they are bound", () => {
  const { table } = setup();
  for (let i = 0; i < 100; i++) table.bind(A, i % 2);
  table.bind(B, 0);
  assert.equal(table.size, 2);
  for (const peer of [0, 1]) for (const address of [A, B]) table.unbind(address, peer);
  assert.equal(table.size, 0);
});

Deno.test("addressKey() tells ports, lengths and scopes apart", () => {
  const six = new Uint8Array(16);
  const all = [A, B, { ip: six, port: 1 }, { ip: six, port: 1, scope: 2 }, { ip: six.slice(0, 4), port: 1 }];
  assert.equal(new Set(all.map(addressKey)).size, all.length);
  assert.equal(addressKey({ ip: six, port: 1 }), addressKey({ ip: six, port: 1, scope: 0 }));
});
