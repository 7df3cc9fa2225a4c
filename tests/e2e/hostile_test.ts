/** Strangers: closed ports, forged ICMP, floods. They change no slot, end no process, grow nothing. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER, PACKET_LEN } from "./ends.ts";
import { CLIENT, CLIENT_V6, isRoot, Lab, SERVER, SERVER_V6, tool } from "./lab.ts";
import { assertPacketsAreSlots, assertUniform, sentBy } from "./observer.ts";
import { countBy, readPcap } from "./pcap.ts";
import { sleep } from "./process.ts";

const ignore = !isRoot;

/** Resident memory of a process in KiB. */
async function residentKiB(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]);
}

Deno.test({ name: "against a closed port every slot leaves all the same", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  const finish = await lab.capture("c", "udp port 1405 or icmp");
  const finishIcmp = await lab.capture("c", "icmp");
  ends.startClient();
  await sleep(4000);
  await ends.client.stopCleanly();
  const icmp = await finishIcmp();
  assert.ok(icmp.length > 10_000, "the server's kernel did answer with ICMP errors");
  const up = sentBy(readPcap(await finish()), CLIENT);
  assertUniform(up, PACKET_LEN);
  assertPacketsAreSlots(up, await ends.trace("client"));
});

for (const [victim, peer] of [[CLIENT, SERVER], [CLIENT_V6, SERVER_V6]] as const) {
  const family = victim.includes(":") ? "IPv6" : "IPv4";
  Deno.test(
    { name: `forged ${family} ICMP errors at 1,000/s change no slot and end no session`, ignore },
    async () => {
      await using lab = await Lab.create();
      const forge = await tool("icmp_forge");
      const target = peer.includes(":") ? `[${peer}]:1405` : `${peer}:1405`;
      const ends = await Ends.configure(lab, { peer: target });
      const finish = await lab.capture("c", `udp and src host ${victim}`);
      await ends.startServer();
      ends.startClient();
      await ends.up();
      const sockets = await lab.must("client", ["ss", "-Huan"]);
      const ports = [
        ...new Set(
          [...sockets.matchAll(/:(\d+)\s/g)].map((match) => match[1]).filter((port) => port !== "1405"),
        ),
      ];
      assert.ok(ports.length > 0, sockets);
      for (const kind of ["port", "host", "frag"]) {
        for (const port of ports) {
          const sent = await lab.must("router", [forge, kind, victim, port, peer, "1405", "1000", "1500"]);
          assert.equal(Number(sent), 1500);
        }
      }
      for (const [from, to] of [[peer, victim]]) {
        for (const kind of ["port", "host", "frag"]) {
          await lab.must("router", [forge, kind, from, "1405", to, ports[0], "1000", "1000"]);
        }
      }
      await ends.answers(INNER_SERVER);
      assert.equal(
        ends.client.lines.filter((line) => /reconnecting/.test(line)).length,
        0,
        "the session went on",
      );
      await ends.client.stopCleanly();
      const up = readPcap(await finish());
      assertUniform(up, PACKET_LEN);
      assertPacketsAreSlots(up, await ends.trace("client"));
    },
  );
}

Deno.test({
  name: "floods of junk, records and hellos from many sources leave server and session as they were",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const flood = await tool("flood");
  const ends = await Ends.configure(lab);
  const finish = await lab.capture("s", `udp and src host ${CLIENT}`, 1600);
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await sleep(300);
  const hello = readPcap(await finish())[0];
  assert.equal(hello.payload[0], 22, "the first datagram is a ClientHello");
  await ends.answers(INNER_SERVER);
  const before = await residentKiB(ends.server.pid);
  const finishReplies = await lab.capture("s", `udp and src host ${SERVER} and not dst host ${CLIENT}`);
  await lab.file("hello", hello.payload);
  const kinds = [["junk"], ["records"], ["replay", "hello"], ["mutate", "hello"]];
  for (const [seed, [kind, ...file]] of kinds.entries()) {
    await lab.must("client", [
      flood,
      kind,
      SERVER,
      "1405",
      "10.62.0.0",
      "3000",
      "9000",
      String(seed),
      ...file,
    ]);
  }
  await ends.answers(INNER_SERVER);
  assert.ok(ends.server.running);
  assert.equal(
    ends.client.lines.filter((line) => /reconnecting/.test(line)).length,
    0,
    "the session went on",
  );
  const grownKiB = await residentKiB(ends.server.pid) - before;
  assert.ok(grownKiB < 40_000, `memory grew by ${grownKiB} KiB`);
  const { counters } = await ends.status("server");
  assert.ok(
    counters.datagrams_unknown_sender + counters.hello_dropped + counters.datagrams_malformed > 0,
    "they are counted",
  );
  const replies = readPcap(await finishReplies());
  assert.ok(replies.length > 1000, "hellos were answered, so the flood did arrive");
  for (const [address, count] of countBy(replies, (datagram) => `${datagram.to}:${datagram.toPort}`)) {
    assert.ok(count <= 3, `${address} was answered ${count} times for one or two datagrams`);
  }
});
