import { deepEqual, equal, ok } from "node:assert/strict";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import { RESET_REASON } from "../../../src/ports/streams.ts";
import { DialPolicy } from "../../../src/socks/dial_policy.ts";
import { formatIp, parseIp, parsePrefix } from "../../../src/wire/ip_address.ts";
import { type FakeConnection, refuse, settled } from "./fakes.ts";
import { Sides } from "./sides.ts";

/** A program that asks for `host` (text) at port 80; what it hears within `waitMs`, as hex after the greeting. */
async function ask(sides: Sides, host: string, waitMs = 0): Promise<string> {
  const program = await sides.connect();
  const ip = parseIp(host);
  const address = ip === undefined
    ? `03${host.length.toString(16).padStart(2, "0")}${toHex(new TextEncoder().encode(host))}`
    : `${ip.length === 4 ? "01" : "04"}${toHex(ip)}`;
  await program.write(fromHex(`050100050100${address}0050`));
  await program.readExactly(2);
  const reply = program.readExactly(4);
  await sides.timers.pass(waitMs);
  return toHex((await reply).subarray(1, 2));
}

Deno.test("Dialer judges the address that a name has, not the name, and tries only those that are allowed", async () => {
  const sides = await Sides.open({
    names: {
      rebound: ["127.0.0.1"],
      mixed: ["10.0.0.1", "9.9.9.9", "::1", "2620:fe::9"],
      both: ["::ffff:10.1.1.1"],
    },
  });
  equal(await ask(sides, "rebound"), "02");
  equal(await ask(sides, "both"), "02");
  equal(await ask(sides, "127.0.0.1"), "02");
  equal(await ask(sides, "::ffff:127.0.0.1"), "02");
  equal(await ask(sides, "169.254.169.254"), "02");
  equal(sides.far.tried.length, 0);
  equal(await ask(sides, "mixed"), "00");
  deepEqual(sides.far.tried.map((place) => place.kind === "tcp" && formatIp(place.ip)), ["9.9.9.9"]);
  equal(await ask(sides, "unknown"), "04");
  equal(sides.serverCounts.get("names_not_found"), 1);
  equal(sides.serverCounts.get("dials_failed"), 6);
});

Deno.test("Dialer looks nothing up for an address that comes as a name", async () => {
  const sides = await Sides.open();
  const program = await sides.connect();
  await program.write(fromHex("050100" + "05010003" + "07392e392e392e39" + "0050")); // "9.9.9.9" as a name
  equal(toHex((await program.readExactly(12)).subarray(2, 4)), "0500");
  deepEqual(sides.lookedUp, []);
});

Deno.test("Dialer keeps to a client's count of streams, and to its rate, for which a burst waits", async () => {
  const sides = await Sides.open({ server: { streamsMax: 3, dialsPerS: 5 } });
  for (let i = 0; i < 3; i++) equal(await ask(sides, "9.9.9.9"), "00");
  equal(await ask(sides, "9.9.9.9"), "01");
  equal(sides.serverCounts.get("dials_refused_limit"), 1);
  const [first] = sides.far.far;
  first.reset();
  await settled();
  equal(await ask(sides, "9.9.9.9"), "00");

  const quick = await Sides.open({
    server: { dialsPerS: 2 },
    answer: refuse(RESET_REASON.connectionRefused),
  });
  const asking = Array.from({ length: 20 }, () => ask(quick, "9.9.9.9"));
  for (let i = 0; i < asking.length; i++) await settled();
  equal(quick.far.tried.length, 2);
  await quick.timers.pass(1100);
  equal(quick.far.tried.length, 4);
  await quick.timers.pass(5000);
  const replies = await Promise.all(asking);
  equal(replies.filter((reply) => reply === "05").length, quick.far.tried.length);
  equal(replies.filter((reply) => reply === "01").length, quick.serverCounts.get("dials_refused_rate"));
  ok(
    quick.far.tried.length >= 11 && quick.far.tried.length <= 13,
    `${quick.far.tried.length} in five seconds`,
  );
});

Deno.test("Dialer gives up a name and a connection that do not come about in time", async () => {
  const silent = await Sides.open({ answer: () => new Promise(() => {}) });
  equal(await ask(silent, "9.9.9.9", 20_000), "06");
  const never = new Promise<Uint8Array[]>(() => {});
  const nameless = await Sides.open({ server: { resolver: { lookup: () => never } } });
  equal(await ask(nameless, "a", 10_000), "06");
});

Deno.test("Dialer has a bounded number of names with the resolver, also of those that were given up", async () => {
  let asked = 0;
  const resolver = { lookup: () => (asked++, new Promise<Uint8Array[]>(() => {})) };
  const sides = await Sides.open({
    client: { connectionsMax: 1000 },
    server: { resolver, streamsMax: 1000, dialsPerS: 1000 },
  });
  const asking = Array.from({ length: 256 }, (_, index) => ask(sides, `a${index}`, 10_000));
  deepEqual(new Set(await Promise.all(asking)), new Set(["06"]));
  equal(await ask(sides, "another"), "01");
  equal(asked, 256);
});

Deno.test("Dialer asks the resolver once for a name that many streams want at once, and again later", async () => {
  let asked = 0;
  const answer = Promise.withResolvers<Uint8Array[]>();
  const resolver = { lookup: () => (asked++, answer.promise) };
  const sides = await Sides.open({ server: { resolver } });
  const asking = Array.from({ length: 50 }, () => ask(sides, "a"));
  await settled();
  answer.resolve([Uint8Array.of(9, 9, 9, 9)]);
  deepEqual(new Set(await Promise.all(asking)), new Set(["00"]));
  equal(asked, 1);
  equal(await ask(sides, "a"), "00");
  equal(asked, 2);
});

Deno.test("a stream that carries nothing for long is ended, one that does is not", async () => {
  const sides = await Sides.open({ server: { idleMs: 10_000 } });
  const programs: FakeConnection[] = [];
  for (let i = 0; i < 2; i++) {
    programs.push(await sides.connect());
    await programs[i].write(fromHex("050100" + "0501000109090909" + "0050"));
    await programs[i].readExactly(12);
  }
  for (let i = 0; i < 5; i++) {
    await programs[1].write(Uint8Array.of(i));
    await sides.timers.pass(6000);
  }
  let reset = false;
  await programs[0].readToEnd().catch(() => reset = true);
  ok(reset);
  equal(sides.server.open, 1);
});

Deno.test("a client that is gone takes its connections with it", async () => {
  const sides = await Sides.open();
  equal(await ask(sides, "9.9.9.9"), "00");
  sides.server.events.lost(RESET_REASON.sessionLost);
  let reset = false;
  await sides.far.far[0].readToEnd().catch(() => reset = true);
  ok(reset);
  await settled();
  equal(sides.server.open, 0);
});

Deno.test("the server's own networks are asked for at each dial", async () => {
  let own = [parsePrefix("9.9.9.0/24")!];
  const policy = new DialPolicy({ allow: [], deny: [] }, () => own);
  const sides = await Sides.open({ server: { policy } });
  equal(await ask(sides, "9.9.9.9"), "02");
  own = [];
  equal(await ask(sides, "9.9.9.9"), "00");
});
