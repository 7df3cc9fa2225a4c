/** Ends that go away and come back, and a client that moves. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER, PACKET_LEN } from "./ends.ts";
import { CLIENT, CLIENT_MOVED, isRoot, Lab, SERVER } from "./lab.ts";
import { assertPacketsAreSlots, assertUniform, sentBy } from "./observer.ts";
import { sleep } from "./process.ts";
import { readPcap } from "./pcap.ts";

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

Deno.test({ name: "a client whose address changes is followed, its slots go on", ignore }, async () => {
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
  await ends.client.stopCleanly();
  const seen = readPcap(await finish());
  assert.ok(sentBy(seen, CLIENT_MOVED).length > 0);
  assertUniform(sentBy(seen, CLIENT), PACKET_LEN);
  assertUniform(sentBy(seen, CLIENT_MOVED), PACKET_LEN);
});
