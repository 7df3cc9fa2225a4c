/* Commands of src/host in a network namespace of their own:
 *
 *     namespace:  lo   out0 (veth, its other end out1; 192.0.2.2/24, default via 192.0.2.1)   t0 (TUN)
 */
import assert from "node:assert/strict";
import {
  addPersistentTun,
  type Change,
  defaultRouteChange,
  HostChanges,
  HostError,
  masqueradeChange,
  removeLeftovers,
  removePersistentTun,
  type Run,
  tunChange,
  tunState,
} from "../../../src/host/mod.ts";
import { formatPrefix, parseIp, parsePrefix } from "../../../src/wire/ip_address.ts";
import { cannot, inNamespace, type Namespace } from "./namespace.ts";

const PEER = parseIp("198.51.100.7")!;
const SETUP = {
  name: "t0",
  addresses: ["10.140.5.2/24", "fd00:140::2/64"].map((text) => parsePrefix(text)!),
  mtu: 1340,
  routes: ["10.9.0.0/16", "10.140.5.0/24", "fd00:9::/48"].map((text) => parsePrefix(text)!),
  gsoMaxLen: 20_000,
};
const ROUTE = {
  tunName: "t0",
  peers: [PEER, parseIp("2001:db8::7")!],
  ipv4: true,
  ipv6: true,
  lockdown: false,
};

async function ip(run: Run, line: string): Promise<string> {
  const { code, stdout, stderr } = await run({ program: "ip", args: line.split(" ") });
  assert.equal(code, 0, `ip ${line}: ${stderr}`);
  return stdout;
}

/** A namespace with a way out and a TUN device. */
function test(name: string, work: (namespace: Namespace) => Promise<void>): void {
  Deno.test({
    name,
    ignore: cannot !== "",
    fn: () =>
      inNamespace(async (namespace) => {
        const { run } = namespace;
        await ip(run, "link add out0 type veth peer name out1");
        for (const dev of ["out0", "out1"]) await ip(run, `link set ${dev} addrgenmode none`);
        await ip(run, "link set out1 up");
        await ip(run, "addr add 192.0.2.2/24 dev out0");
        await ip(run, "link set out0 up");
        await ip(run, "route add default via 192.0.2.1");
        await ip(run, "tuntap add dev t0 mode tun vnet_hdr");
        namespace.lines.length = 0;
        await work(namespace);
      }),
  });
}

async function withoutCounters(namespace: Namespace): Promise<string> {
  // A device that has been up and is down again keeps another queueing discipline and word for its state.
  return (await namespace.state()).replace(/ qdisc \S+ state \S+| qlen \d+/g, "").replace(/NO-CARRIER,/g, "");
}

const apply = async (changes: HostChanges, list: readonly Promise<Change>[]) => {
  for (const change of list) await changes.apply(await change);
};

test("HostChanges.undoAll() leaves the machine exactly as it was", async (namespace) => {
  const { run } = namespace;
  const before = await withoutCounters(namespace);
  const changes = new HostChanges(run);
  await changes.apply(await tunChange(run, SETUP));
  await apply(changes, [defaultRouteChange(run, ROUTE), masqueradeChange(run, "t0", SETUP.addresses)]);
  const state = await withoutCounters(namespace);
  assert.match(state, /10\.140\.5\.2\/24/);
  assert.match(state, /mtu 1340/);
  assert.match(state, /from all to 198\.51\.100\.7 lookup main/);
  assert.match(state, /table inet i405_t0/);
  assert.match(state, /net\.ipv4\.ip_forward = 1/);
  assert.deepEqual(await changes.undoAll(), []);
  assert.equal(await withoutCounters(namespace), before);
  const count = namespace.lines.length;
  assert.deepEqual(await changes.undoAll(), []);
  assert.equal(namespace.lines.length, count, "a second call runs nothing");
});

test("tunChange() makes the device as it is said, and has nothing to do the second time", async ({ run }) => {
  const changes = new HostChanges(run);
  await changes.apply(await tunChange(run, SETUP));
  const state = await tunState(run, "t0");
  assert.ok(state !== undefined && state.up && state.persistent);
  assert.equal(state.mtu, 1340);
  assert.equal(state.gsoMaxLen, 20_000);
  assert.deepEqual(state.addresses.map(formatPrefix), ["10.140.5.2/24", "fd00:140::2/64"]);
  assert.match(await ip(run, "route get 10.9.1.1"), /dev t0/);
  assert.match(await ip(run, "-6 route get fd00:9::5"), /dev t0/);
  assert.deepEqual((await tunChange(run, SETUP)).steps, []);
});

test("HostChanges.apply() throws at a step that fails, and what was done before is undone", async (namespace) => {
  const { run } = namespace;
  const before = await withoutCounters(namespace);
  const changes = new HostChanges(run);
  const change = await tunChange(run, { ...SETUP, mtu: 1200 }); // too small for the IPv6 address
  await assert.rejects(changes.apply(change), (error: unknown) => {
    return error instanceof HostError &&
      error.message.startsWith("Cannot run `ip addr add fd00:140::2/64 dev t0");
  });
  assert.match(await withoutCounters(namespace), /10\.140\.5\.2\/24/);
  assert.deepEqual(await changes.undoAll(), []);
  assert.equal(await withoutCounters(namespace), before);
  await changes.apply(await tunChange(run, SETUP));
  assert.equal(await withoutCounters(namespace), before, "nothing is applied after undoAll()");
});

test("HostChanges.undoAll() does not mind a device that has gone", async (namespace) => {
  const { run } = namespace;
  const changes = new HostChanges(run);
  await changes.apply(await tunChange(run, SETUP));
  await changes.apply(await defaultRouteChange(run, ROUTE));
  await ip(run, "tuntap del dev t0 mode tun");
  assert.deepEqual(await changes.undoAll(), []);
  assert.doesNotMatch(await namespace.state(), /140/);
});

test("defaultRouteChange() sends all into the tunnel but the outer flow and local networks", async ({ run }) => {
  const changes = new HostChanges(run);
  await apply(changes, [tunChange(run, SETUP)]);
  await apply(changes, [defaultRouteChange(run, ROUTE)]);
  const ways: [string, RegExp][] = [
    ["route get 203.0.113.9", /dev t0 table 14\d+ src 10\.140\.5\.2/],
    ["route get 198.51.100.7", /via 192\.0\.2\.1 dev out0/],
    ["route get 192.0.2.77", /dev out0/],
    ["-6 route get 2001:4860::1", /dev t0/],
  ];
  for (const [line, way] of ways) assert.match(await ip(run, line), way, line);
  await changes.undoAll();
  assert.match(await ip(run, "route get 203.0.113.9"), /dev out0/);
});

test("defaultRouteChange() makes a family unreachable that the tunnel does not carry", async ({ run }) => {
  const changes = new HostChanges(run);
  await ip(run, "-6 addr add 2001:db8:5::2/64 dev out0 nodad");
  await ip(run, "-6 route add default via 2001:db8:5::1");
  await apply(changes, [tunChange(run, { ...SETUP, addresses: SETUP.addresses.slice(0, 1), routes: [] })]);
  await apply(changes, [defaultRouteChange(run, { ...ROUTE, ipv6: false })]);
  const { code, stderr } = await run({ program: "ip", args: ["-6", "route", "get", "2001:4860::1"] });
  assert.notEqual(code, 0);
  assert.match(stderr, /unreachable|No route to host/);
  assert.match(await ip(run, "-6 route get 2001:db8::7"), /dev out0/);
  await changes.undoAll();
});

test("defaultRouteChange() with lockdown leaves no way past a tunnel that is away", async ({ run }) => {
  const changes = new HostChanges(run);
  await apply(changes, [tunChange(run, SETUP)]);
  await apply(changes, [defaultRouteChange(run, { ...ROUTE, lockdown: true })]);
  assert.match(await ip(run, "route get 203.0.113.9"), /dev t0/);
  await ip(run, "tuntap del dev t0 mode tun");
  const { code } = await run({ program: "ip", args: ["route", "get", "203.0.113.9"] });
  assert.notEqual(code, 0);
  assert.match(await ip(run, "route get 198.51.100.7"), /dev out0/);
  await changes.undoAll();
  assert.match(await ip(run, "route get 203.0.113.9"), /dev out0/);
});

test("removeLeftovers() restores what a killed run has changed, and finds nothing of others", async (namespace) => {
  const { run } = namespace;
  await ip(run, "rule add pref 14050 to 192.0.2.9 lookup main");
  const { code } = await run({ program: "nft", args: ["add", "table", "inet", "other"] });
  assert.equal(code, 0);
  const before = await withoutCounters(namespace);
  assert.deepEqual(await removeLeftovers(run, "t0"), []);
  const killed = new HostChanges(run);
  await killed.apply(await defaultRouteChange(run, { ...ROUTE, lockdown: true, ipv4: false, ipv6: false }));
  await killed.apply(await masqueradeChange(run, "t0", SETUP.addresses));
  assert.notEqual(await withoutCounters(namespace), before);
  assert.deepEqual(await removeLeftovers(run, "t1"), [], "another device's");
  assert.equal((await removeLeftovers(run, "t0")).length, 2 * 4 + 2 + 1);
  assert.equal(await withoutCounters(namespace), before);
});

test("masqueradeChange() replaces a table of its own, for the pool alone", async ({ run }) => {
  const changes = new HostChanges(run);
  for (let i = 0; i < 2; i++) {
    await changes.apply(await masqueradeChange(run, "t0", SETUP.addresses.slice(0, 1)));
  }
  const { stdout } = await run({ program: "nft", args: ["list", "ruleset"] });
  const rules = stdout.split("\n").filter((line) => line.includes("masquerade"));
  assert.equal(rules.length, 1);
  assert.match(rules[0], /ip saddr (?:\{ )?10\.140\.5\.0\/24(?: \})? oifname != "t0" masquerade/);
});

test("addPersistentTun() gives a device to a user, removePersistentTun() takes it", async (namespace) => {
  const { run } = namespace;
  const before = await withoutCounters(namespace);
  const tun = { name: "t1", user: "4321", addresses: SETUP.addresses, mtu: 1300 };
  await addPersistentTun(run, tun);
  const state = (await tunState(run, "t1"))!;
  assert.deepEqual([state.up, state.persistent, state.mtu], [true, true, 1300]);
  assert.match(await ip(run, "-d link show dev t1"), /user 4321/);
  assert.deepEqual((await tunChange(run, { ...tun, routes: [] })).steps, [], "the client needs no rights");
  await assert.rejects(addPersistentTun(run, tun), /There is a device t1 already/);
  await removePersistentTun(run, "t1");
  await assert.rejects(removePersistentTun(run, "t1"), /There is no device t1/);
  await assert.rejects(removePersistentTun(run, "out0"), /another kind/);
  await assert.rejects(addPersistentTun(run, { ...tun, mtu: 1000 }), HostError);
  assert.equal(await withoutCounters(namespace), before, "a failure leaves no device");
});
