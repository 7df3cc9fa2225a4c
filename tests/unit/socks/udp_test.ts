import { deepEqual, equal, ok } from "node:assert/strict";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import type { EndpointAddress } from "../../../src/ports/mod.ts";
import { emitDatagram } from "../../../src/wire/socks5.ts";
import { parseIp } from "../../../src/wire/ip_address.ts";
import { type FakeConnection, settled } from "./fakes.ts";
import { Sides } from "./sides.ts";

const PROGRAM: EndpointAddress = { ip: Uint8Array.of(127, 0, 0, 1), port: 5555 };
const at = (text: string, port: number): EndpointAddress => ({ ip: parseIp(text)!, port });

async function associated(sides: Sides, port = 0): Promise<FakeConnection> {
  const program = await sides.connect();
  await program.write(fromHex("050100" + "0503000100000000" + port.toString(16).padStart(4, "0")));
  const reply = await program.readExactly(12);
  equal(toHex(reply), "0500" + "05000001" + "7f000001" + (40_000).toString(16));
  return program;
}

Deno.test("an association carries datagrams both ways, names looked up at the far end", async () => {
  const sides = await Sides.open({ names: { "dns.example": ["9.9.9.9"] } });
  await associated(sides);
  const [near] = sides.near.opened;
  near.come(emitDatagram({ host: "dns.example", port: 53 }, fromHex("0102")), PROGRAM);
  near.come(emitDatagram({ host: "2620:fe::9", port: 53 }, fromHex("03")), PROGRAM);
  await settled();
  const [four, six] = sides.far.opened;
  deepEqual(four.sent, [{ data: fromHex("0102"), to: at("9.9.9.9", 53) }]);
  deepEqual(six.sent, [{ data: fromHex("03"), to: at("2620:fe::9", 53) }]);
  four.come(fromHex("aa"), at("9.9.9.9", 53));
  await settled();
  deepEqual(near.sent, [{ data: emitDatagram({ host: "9.9.9.9", port: 53 }, fromHex("aa")), to: PROGRAM }]);
});

Deno.test("an association at a listener of both families is of the family that its program uses", async () => {
  const sides = await Sides.open();
  const program = await sides.connect(0, at("::ffff:127.0.0.1", 1080), at("::ffff:127.0.0.1", 50_000));
  await program.write(fromHex("050100" + "05030001000000000000"));
  equal(toHex(await program.readExactly(12)), "0500" + "05000001" + "7f000001" + (40_000).toString(16));
  const [near] = sides.near.opened;
  near.come(emitDatagram({ host: "9.9.9.9", port: 53 }, fromHex("01")), PROGRAM);
  await settled();
  equal(sides.far.opened[0].sent.length, 1);
});

Deno.test("an association ends with its connection, and with the far end", async () => {
  const sides = await Sides.open();
  const program = await associated(sides);
  equal(sides.serverCounts.get("associations"), 1);
  program.reset();
  await settled();
  ok(sides.near.opened[0].isClosed && sides.far.opened[0].isClosed);
  equal(sides.left, 0);

  const again = await Sides.open();
  const left = await associated(again);
  again.server.close();
  await left.readToEnd().catch(() => {});
  await settled();
  ok(again.near.opened[0].isClosed && again.far.opened[0].isClosed);
  equal(again.left, 0);
});

Deno.test("an association that carries nothing for long is ended", async () => {
  const sides = await Sides.open();
  const program = await associated(sides);
  await sides.timers.pass(700_000);
  await program.readToEnd().catch(() => {});
  equal(sides.left, 0);
});

Deno.test("an association takes datagrams of its program only, whole and well-formed", async () => {
  const sides = await Sides.open();
  await associated(sides);
  const [near] = sides.near.opened;
  const good = emitDatagram({ host: "9.9.9.9", port: 53 }, fromHex("01"));
  const fragment = good.slice();
  fragment[2] = 1;
  near.come(good, at("127.0.0.2", 5555));
  near.come(good, PROGRAM);
  near.come(good, at("127.0.0.1", 5556)); // the program's port is known by now
  near.come(fragment, PROGRAM);
  near.come(good.subarray(0, 5), PROGRAM);
  near.come(emitDatagram({ host: "9.9.9.9", port: 0 }, fromHex("01")), PROGRAM);
  await settled();
  equal(sides.far.opened[0].sent.length, 1);
  const counts = sides.clientCounts.snapshot();
  deepEqual(
    [counts.udp_wrong_sender, counts.udp_fragmented, counts.udp_malformed],
    [2, 1, 2],
  );
});

Deno.test("a port that the program has named is the only one that counts", async () => {
  const sides = await Sides.open();
  await associated(sides, 7777);
  const [near] = sides.near.opened;
  const good = emitDatagram({ host: "9.9.9.9", port: 53 }, fromHex("01"));
  near.come(good, PROGRAM);
  near.come(good, at("127.0.0.1", 7777));
  await settled();
  equal(sides.far.opened[0].sent.length, 1);
});

Deno.test("the far end sends only where the client may, and hears only those that were sent to", async () => {
  const sides = await Sides.open({ names: { inside: ["10.0.0.1"], both: ["10.0.0.1", "9.9.9.9"] } });
  await associated(sides);
  const [near] = sides.near.opened;
  for (const host of ["127.0.0.1", "inside", "::ffff:10.0.0.1", "both"]) {
    near.come(emitDatagram({ host, port: 53 }, fromHex("01")), PROGRAM);
  }
  await settled();
  const [four] = sides.far.opened;
  deepEqual(four.sent.map(({ to }) => to), [at("9.9.9.9", 53)]);
  equal(sides.serverCounts.get("udp_refused_policy"), 3);
  four.come(fromHex("bb"), at("8.8.8.8", 53));
  await settled();
  deepEqual(near.sent, []);
  equal(sides.serverCounts.get("udp_wrong_sender"), 1);
});

Deno.test("a bounded number of datagrams waits for a name, which is looked up once", async () => {
  let asked = 0;
  const resolver = { lookup: () => (asked++, new Promise<Uint8Array[]>(() => {})) };
  const sides = await Sides.open({ server: { resolver } });
  await associated(sides);
  for (let i = 0; i < 50; i++) {
    sides.near.opened[0].come(emitDatagram({ host: "slow", port: 53 }, fromHex("01")), PROGRAM);
  }
  await settled();
  deepEqual([asked, sides.serverCounts.get("udp_dropped_waiting")], [1, 18]);
});
