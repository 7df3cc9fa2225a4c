import assert from "node:assert/strict";
import { InnerRoutes } from "../../../src/tunnel/inner_routes.ts";

function packet4(source: number[], destination: number[]): Uint8Array {
  const packet = new Uint8Array(28);
  packet[0] = 0x45;
  packet.set(source, 12);
  packet.set(destination, 16);
  return packet;
}

function packet6(source: number[], destination: number[]): Uint8Array {
  const packet = new Uint8Array(48);
  packet[0] = 0x60;
  packet.set(source, 8);
  packet.set(destination, 24);
  return packet;
}

const V6 = (last: number) => [0xfd, 0, ...new Array(13).fill(0), last];

function routesOver(packet: Uint8Array): InnerRoutes {
  const routes = new InnerRoutes(packet);
  routes.add({ ip: new Uint8Array([10, 0, 0, 2]), prefixLen: 32 }, 0);
  routes.add({ ip: new Uint8Array([10, 0, 0, 3]), prefixLen: 32 }, 1);
  routes.add({ ip: new Uint8Array([10, 9, 0, 0]), prefixLen: 15 }, 2);
  routes.add({ ip: new Uint8Array([10, 9, 128, 0]), prefixLen: 17 }, 3);
  routes.add({ ip: new Uint8Array(V6(5)), prefixLen: 128 }, 4);
  return routes;
}

Deno.test("InnerRoutes.bySource() finds the client of a host address, v4 and v6", () => {
  const v4 = packet4([10, 0, 0, 3], [1, 1, 1, 1]);
  assert.equal(routesOver(v4).bySource(0, v4.length), 1);
  assert.equal(routesOver(v4).byDestination(0, v4.length), -1);
  const v6 = packet6(V6(9), V6(5));
  assert.equal(routesOver(v6).byDestination(0, v6.length), 4);
  assert.equal(routesOver(v6).bySource(0, v6.length), -1);
});

Deno.test("InnerRoutes.byDestination() takes the longest prefix, also one that ends within a byte", () => {
  for (
    const [last, client] of [[[10, 9, 1, 1], 2], [[10, 9, 200, 1], 3], [[10, 8, 1, 1], 2], [
      [10, 10, 0, 0],
      -1,
    ]] as const
  ) {
    const packet = packet4([0, 0, 0, 0], [...last]);
    assert.equal(routesOver(packet).byDestination(0, packet.length), client, last.join("."));
  }
});

Deno.test("InnerRoutes finds nobody for packets too short for their header or of no IP version", () => {
  const packet = packet4([10, 0, 0, 2], [10, 0, 0, 2]);
  const routes = routesOver(packet);
  assert.equal(routes.bySource(0, 19), -1);
  assert.equal(routes.bySource(0, 0), -1);
  packet[0] = 0x55;
  assert.equal(routes.bySource(0, packet.length), -1);
  packet[0] = 0x60;
  assert.equal(routes.bySource(0, packet.length), -1);
});
