import { deepEqual, equal, ok } from "node:assert/strict";
import { RESET_REASON } from "../../../src/ports/streams.ts";
import { FakeConnection, refuse, settled } from "./fakes.ts";
import { Sides } from "./sides.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const bytes = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const REMOTE = {
  listen: { ip: LOOPBACK, port: 8080 },
  to: { kind: "tcp" as const, ip: LOOPBACK, port: 80 },
};

Deno.test("a local forward leads its connections to one place, and resets those that cannot get there", async () => {
  const localForwards = [
    { listen: { kind: "unix" as const, path: "/x" }, to: { host: "a.example", port: 25 } },
  ];
  const sides = await Sides.open({ client: { localForwards }, names: { "a.example": ["9.9.9.9"] } });
  const program = await sides.connect(1);
  await program.write(bytes("hello"));
  await program.closeWrite();
  await settled();
  deepEqual(sides.far.tried, [{ kind: "tcp", ip: Uint8Array.of(9, 9, 9, 9), port: 25 }]);
  equal(text(await sides.far.far[0].readToEnd()), "hello");
  sides.far.answer = refuse(RESET_REASON.connectionRefused);
  let reset = false;
  await (await sides.connect(1)).readToEnd().catch(() => reset = true);
  ok(reset);
});

Deno.test("a remote forward has the server listen, and leads what comes there to a place on this side", async () => {
  const sides = await Sides.open({ client: { remoteForwards: [REMOTE] } });
  await settled();
  const [listener] = sides.far.listeners;
  deepEqual([listener.address?.ip, listener.address?.port], [LOOPBACK, 8080]);
  const [near, visitor] = FakeConnection.pair();
  listener.come(near);
  await visitor.write(bytes("ping"));
  await settled();
  deepEqual(sides.near.tried, [REMOTE.to]);
  const [service] = sides.near.far;
  equal(text(await service.readExactly(4)), "ping");
  await service.write(bytes("pong"));
  await service.closeWrite();
  equal(text(await visitor.readToEnd()), "pong");
});

Deno.test("a remote forward is asked for again after the session was lost, and not after the end", async () => {
  const sides = await Sides.open({ client: { remoteForwards: [REMOTE] } });
  await settled();
  equal(sides.far.listeners.length, 1);
  sides.server.events.lost(RESET_REASON.sessionLost);
  sides.client.events.lost(RESET_REASON.sessionLost);
  await sides.timers.pass(2000);
  deepEqual(sides.far.listeners.map(({ isClosed }) => isClosed), [true, false]);
  sides.client.close();
  await sides.timers.pass(200_000);
  deepEqual(sides.far.listeners.map(({ isClosed }) => isClosed), [true, true]);
  equal(sides.left, 0);
});

Deno.test("a server listens only where the client may, and a client takes only what its own listeners got", async () => {
  const refused = await Sides.open({
    client: { remoteForwards: [REMOTE] },
    server: { mayListen: (_ip, port) => port !== 8080 },
  });
  await settled();
  equal(refused.far.listeners.length, 0);
  equal(refused.serverCounts.get("listeners_refused"), 1);

  const sides = await Sides.open();
  for (const host of ["@incoming/1", "127.0.0.1", "a.example", "@listen/127.0.0.1"]) {
    sides.client.events.opening(2 + sides.clientCounts.get("forwards_incoming_refused") * 2, "stream", {
      host,
      port: 80,
    });
    await settled();
  }
  equal(sides.clientCounts.get("forwards_incoming_refused"), 4);
  deepEqual([sides.near.tried, sides.client.open.streams], [[], 0]);
});

Deno.test("a visitor of a remote forward is reset when nothing answers on the client's side", async () => {
  const sides = await Sides.open({ client: { remoteForwards: [REMOTE] } });
  sides.near.answer = refuse(RESET_REASON.connectionRefused);
  await settled();
  const [near, visitor] = FakeConnection.pair();
  sides.far.listeners[0].come(near);
  let reset = false;
  await visitor.readToEnd().catch(() => reset = true);
  ok(reset);
});
