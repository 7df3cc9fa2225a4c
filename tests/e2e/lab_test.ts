/** The laboratory itself: what it says about the tunnel is worth what this shows. */
import assert from "node:assert/strict";
import dgram from "node:dgram";
import { CLIENT, CLIENT_V6, isRoot, Lab, SERVER, SERVER_V6, tool } from "./lab.ts";
import { countBy, readPcap } from "./pcap.ts";
import { Program, sleep, until } from "./process.ts";
import { noise, parseTrace } from "./ends.ts";
import { assertPacketsAreSlots, assertUniform } from "./observer.ts";

const ignore = !isRoot;

function bound(port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket("udp4");
  return new Promise((resolve) => socket.bind(port, "127.0.0.1", () => resolve(socket)));
}

Deno.test("relay loses, duplicates and corrupts what it counts, and forwards the rest both ways", async () => {
  const far = await bound(0);
  const near = await bound(0);
  const reserve = await bound(0);
  const port = reserve.address().port;
  await new Promise<void>((resolve) => reserve.close(() => resolve())); // else the relay finds it taken
  const options = ["loss=0.2", "dup=0.3", "corrupt=0.1", "jitter=2", "seed=3"];
  const to = ["127.0.0.1", String(far.address().port)];
  const relay = new Program([await tool("relay"), "127.0.0.1", String(port), ...to, ...options]);
  await relay.waitFor(/^ready$/);
  const sent = noise(100);
  let [arrived, changed, returned] = [0, 0, 0];
  far.on("message", (bytes, from) => {
    arrived++;
    if (!bytes.every((byte, index) => byte === sent[index])) changed++;
    far.send(bytes, from.port, from.address);
  });
  near.on("message", () => returned++);
  for (let i = 0; i < 1000; i++) {
    near.send(sent, port, "127.0.0.1");
    if (i % 20 === 0) await sleep(1);
  }
  await until(() => returned > 0 || undefined, () => "nothing came back");
  await sleep(300);
  await relay.stop();
  near.close();
  far.close();
  const counters = JSON.parse(relay.lines.at(-1)!);
  assert.equal(counters.in[0], 1000);
  assert.equal(arrived, counters.out[0]);
  assert.equal(returned, counters.out[1]);
  for (const way of [0, 1]) {
    assert.equal(counters.in[way] - counters.lost[way] + counters.duplicated[way], counters.out[way]);
    assert.ok(counters.lost[way] > 0 && counters.duplicated[way] > 0);
  }
  assert.equal(changed, counters.corrupted[0]);
  assert.ok(changed > 0);
});

Deno.test(
  { name: "Lab.capture() sees each datagram, with its lengths and fields, and no other", ignore },
  async () => {
    await using lab = await Lab.create();
    await lab.file("datagram", noise(1372));
    const finish = await lab.capture("s", "udp port 1405");
    const flood = [await tool("flood"), "replay", SERVER];
    await lab.must("client", [...flood, "1405", "10.62.0.0", "2000", "300", "1", "datagram"]);
    await lab.must("client", [...flood, "1406", "10.62.0.0", "2000", "50", "1", "datagram"]);
    const seen = readPcap(await finish());
    assert.equal(seen.length, 300);
    assertUniform(seen, 1400);
    assert.equal(seen[0].to, SERVER);
    assert.deepEqual(seen[0].payload, noise(1372).subarray(0, seen[0].payload.length));
    assert.ok(countBy(seen, (datagram) => datagram.from).size > 200, "sources differ");
    assert.throws(() => assertUniform([...seen, { ...seen[0], ipLen: 1399 }], 1400));
    assert.throws(() => assertUniform([...seen, { ...seen[0], fields: "v4 tos=2" }], 1400));
  },
);

Deno.test(
  { name: "icmp_forge's messages reach the kernel as errors of the flow that they quote", ignore },
  async () => {
    await using lab = await Lab.create();
    const forge = await tool("icmp_forge");
    for (
      const [victim, peer, learned] of [[CLIENT, SERVER, /mtu (?:600|552)/], [
        CLIENT_V6,
        SERVER_V6,
        /mtu 1280/,
      ]] as const
    ) {
      const flow = lab.start("client", ["bash", "-c", `exec 3<> /dev/udp/${peer}/1405; echo open; sleep 30`]);
      await flow.waitFor(/open/);
      const sockets = await lab.must("client", ["ss", "-Huan", "dport = :1405"]);
      const port = /:(\d+)\s/.exec(sockets)![1];
      await lab.must("router", [forge, "frag", victim, port, peer, "1405", "500", "20"]);
      assert.match(await lab.must("client", ["ip", "route", "get", peer]), learned, "the kernel believed it");
      await flow.stop("SIGKILL");
    }
  },
);

Deno.test("assertPacketsAreSlots() accepts a whole train and catches one packet more, one less, a strange one", () => {
  const trace = parseTrace(
    "# slot planned actual data flags\n0 10 11 0 0\n1 20 0 0 1\n2 30 31 1 2\n3 40 41 0 8\n",
  );
  assert.deepEqual(trace.map((slot) => slot.sent), [true, false, true, false]);
  const packet = (first: number) =>
    ({ payload: new Uint8Array([first]) }) as Parameters<typeof assertPacketsAreSlots>[0][0];
  assertPacketsAreSlots([packet(22), packet(0x2f)], trace);
  assert.throws(() => assertPacketsAreSlots([packet(22), packet(0x2f), packet(0x2f)], trace));
  assert.throws(() => assertPacketsAreSlots([packet(22)], trace));
  assert.throws(() => assertPacketsAreSlots([packet(22), packet(0x45)], trace));
  assert.throws(() => assertPacketsAreSlots([packet(22), packet(0x2f)], trace.slice(1)));
});
