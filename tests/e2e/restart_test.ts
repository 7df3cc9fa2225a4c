/** Ends that go away and come back, and a client that moves. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER, PACKET_LEN } from "./ends.ts";
import { CLIENT, CLIENT_MOVED, isRoot, Lab, SERVER } from "./lab.ts";
import { assertPacketsAreSlots, assertUniform, dataRecords, sentBy } from "./observer.ts";
import { sleep } from "./process.ts";
import { countBy, readPcap, type SeenDatagram } from "./pcap.ts";

const ignore = !isRoot;

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  Deno.test({
    name: `a server ended by ${signal} and started again is found, the client's slots go on`,
    ignore,
  }, async () => {
    await using lab = await Lab.create();
    const ends = await Ends.configure(lab);
    const finish = await lab.capture("c", `udp and src host ${CLIENT}`);
    await ends.startServer();
    ends.startClient();
    await ends.up();
    await ends.server.stop(signal);
    await sleep(2000);
    await ends.startServer();
    await ends.answers(INNER_SERVER);
    assert.ok(ends.client.running);
    await ends.client.stopCleanly();
    const up = readPcap(await finish());
    assertUniform(up, PACKET_LEN);
    assertPacketsAreSlots(up, await ends.trace("client"));
  });

  Deno.test(
    { name: `a client ended by ${signal} and started again has the tunnel again`, ignore },
    async () => {
      await using lab = await Lab.create();
      const ends = await Ends.start(lab);
      await ends.answers(INNER_SERVER);
      await ends.client.stop(signal);
      const from = ends.server.lines.length;
      ends.startClient();
      await ends.up({ server: from });
      await ends.answers(INNER_SERVER);
      const { peers } = await ends.status("server");
      assert.equal(peers.length, 1);
    },
  );
}

Deno.test({ name: "a client started before its server finds it", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  ends.startClient();
  await sleep(1500);
  await ends.startServer();
  await ends.up();
  await ends.answers(INNER_SERVER);
});

/** The session is the first one still, and the server knows where the client is. */
async function assertFollowed(ends: Ends, to: string): Promise<void> {
  const said = `${ends.server.lines.slice(-20).join("\n")}\n${ends.client.lines.slice(-20).join("\n")}`;
  for (const role of ["client", "server"] as const) {
    const { peers: [peer] } = await ends.status(role);
    assert.equal(peer.reconnects, 0, `${role}: no handshake but the first`);
    if (role === "server") assert.ok(peer.address.startsWith(`${to}:`), `${peer.address}\n${said}`);
  }
  assert.ok(ends.server.lines.some((line) => line.includes("client moved")));
}

/** The connection id of a client's record. */
function idOf({ payload }: SeenDatagram): string {
  return payload.subarray(1, 9).join();
}

Deno.test({
  name: "a client whose address changes is followed within its session, with a new port and id",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  const finish = await lab.capture("c", `udp and dst host ${SERVER}`);
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await ends.answers(INNER_SERVER);
  await lab.shell(
    "client",
    `ip address delete ${CLIENT}/24 dev wan
     ip address add ${CLIENT_MOVED}/24 dev wan
     ip route replace default via 10.61.1.1`,
  );
  await ends.answers(INNER_SERVER);
  await ends.client.waitFor(/address has changed/);
  await sleep(1000);
  await ends.answers(INNER_SERVER);
  await assertFollowed(ends, CLIENT_MOVED);
  await ends.client.stopCleanly();
  const seen = readPcap(await finish());
  assertPacketsAreSlots(seen, await ends.trace("client"));
  assertUniform(sentBy(seen, CLIENT), PACKET_LEN);
  assert.deepEqual([...countBy(seen, ({ ipLen }) => ipLen).keys()], [PACKET_LEN]);
  const moved = dataRecords(sentBy(seen, CLIENT_MOVED));
  const last = moved.at(-1)!;
  assert.notEqual(last.fromPort, seen[0].fromPort, "another port");
  const ids = dataRecords(sentBy(seen, CLIENT)).map(idOf);
  assert.equal(ids.includes(idOf(last)), false, "the id was never seen at the old address");
});

Deno.test(
  { name: "a client behind a NAT that gives it another port is followed within its session", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab);
    const ports = (await lab.must("client", ["ss", "-Hunpa"])).match(/:(\d+) .*i405/);
    // Without state, so that the change takes effect at once.
    await lab.shell(
      "router",
      `nft -f - <<END
     table ip rebind {
       chain one {
         type filter hook prerouting priority -300;
         iifname "c" udp dport 1405 udp sport set 40001
         iifname "s" udp dport 40001 udp dport set ${ports![1]}
       }
     }
END
     true`,
    );
    await ends.answers(INNER_SERVER);
    await assertFollowed(ends, CLIENT);
    const { peers: [{ address }] } = await ends.status("server");
    assert.equal(address, `${CLIENT}:40001`);
  },
);

Deno.test({
  name: "a client whose process stands still for a while goes on in its session, without a burst",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.start(lab);
  ends.client.signal("SIGSTOP");
  await sleep(3000);
  const finish = await lab.capture("c", `udp and src host ${CLIENT}`);
  ends.client.signal("SIGCONT");
  await ends.answers(INNER_SERVER);
  await sleep(500);
  const seen = readPcap(await finish());
  const first = seen[0].timeNs;
  const early = seen.filter(({ timeNs }) => timeNs < first + 100_000_000n);
  assert.ok(early.length <= 105, `${early.length} datagrams in the first 100 ms`);
  const { peers: [peer] } = await ends.status("client");
  assert.equal(peer.reconnects, 0);
  assert.ok(peer.slots.skipped >= 2900, "what was missed is not made up for");
});
