/** What users send goes through, and the observer sees slots alone. Topology: lab.ts. */
import assert from "node:assert/strict";
import {
  downloadEquals,
  Ends,
  INNER_CLIENT,
  INNER_SERVER,
  INNER_SERVER_V6,
  noise,
  PACKET_LEN,
} from "./ends.ts";
import { CLIENT, CLIENT_V6, isRoot, Lab, listening, SERVER, SERVER_V6 } from "./lab.ts";
import { sleep } from "./process.ts";
import { assertPacketsAreSlots, assertUniform, dataRecords, sentBy } from "./observer.ts";
import { readPcap } from "./pcap.ts";

const ignore = !isRoot;

async function pings(lab: Lab, address: string): Promise<void> {
  const { code, stdout } = await lab.run("client", ["ping", "-c", "10", "-i", "0.1", "-W", "2", address]);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /10 received/);
}

/** Runs iperf3 from the client and returns its report's sums. */
async function iperf3(lab: Lab, ...options: string[]): Promise<{ bytes: number; lost_percent?: number }> {
  const server = lab.start("server", ["iperf3", "-s", "-1", "-B", INNER_SERVER]);
  await listening(lab, "server", 5201);
  const { stdout } = await lab.run("client", ["iperf3", "-J", "-c", INNER_SERVER, "-t", "3", ...options]);
  await server.stop();
  const report = JSON.parse(stdout);
  assert.equal(report.error, undefined, report.error);
  return report.end.sum_received ?? report.end.sum;
}

Deno.test(
  { name: "tunnel over IPv4 carries pings of both families and says who has which address", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab);
    await pings(lab, INNER_SERVER);
    await pings(lab, INNER_SERVER_V6);
    await lab.must("server", ["ping", "-c", "3", "-i", "0.2", INNER_CLIENT]);
    const status = await ends.status("server");
    assert.equal(status.role, "server");
    assert.deepEqual(status.peers.map((peer) => peer.name), ["laptop"]);
  },
);

Deno.test(
  { name: "tunnel over IPv6 carries pings of both families in records of one length", ignore },
  async () => {
    await using lab = await Lab.create();
    await Ends.configure(lab);
    const finish = await lab.capture("c", "udp port 1405");
    await Ends.start(lab, { peer: `[${SERVER_V6}]:1405` });
    await pings(lab, INNER_SERVER);
    await pings(lab, INNER_SERVER_V6);
    const seen = readPcap(await finish());
    const short = (address: string) => address.replace(/(:0)+:/, "::");
    assertUniform(dataRecords(seen.filter((datagram) => short(datagram.from) === CLIENT_V6)), PACKET_LEN);
    assertUniform(dataRecords(seen.filter((datagram) => short(datagram.from) === SERVER_V6)), PACKET_LEN);
  },
);

Deno.test(
  { name: "a download through the tunnel equals what was served, by IPv4 and IPv6", ignore },
  async () => {
    await using lab = await Lab.create();
    await Ends.start(lab);
    await downloadEquals(lab, noise(2_000_003), INNER_SERVER);
    await downloadEquals(lab, noise(300_001), INNER_SERVER_V6);
  },
);

Deno.test({
  name: "idle and busy, packets are slots: one length, one set of header fields, both directions",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  const finish = await lab.capture("c", "udp port 1405");
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await sleep(2000);
  const sent = await iperf3(lab);
  const received = await iperf3(lab, "-R");
  const datagrams = await iperf3(lab, "-u", "-b", "5M");
  assert.ok(
    sent.bytes > 500_000 && received.bytes > 500_000,
    `TCP: ${sent.bytes} up, ${received.bytes} down`,
  );
  assert.ok(datagrams.bytes > 500_000, `UDP: ${datagrams.bytes}`);
  await ends.server.stopCleanly();
  await ends.client.stopCleanly();
  const seen = readPcap(await finish());
  const up = sentBy(seen, CLIENT);
  assertPacketsAreSlots(up, await ends.trace("client"));
  assertUniform(up, PACKET_LEN);
  const down = dataRecords(sentBy(seen, SERVER));
  assertPacketsAreSlots(down, await ends.trace("server"));
  assertUniform(down, PACKET_LEN);
});
