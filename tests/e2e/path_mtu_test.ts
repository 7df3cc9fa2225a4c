/** Paths that drop long datagrams and say nothing. */
import assert from "node:assert/strict";
import { downloadEquals, Ends, INNER_SERVER, noise } from "./ends.ts";
import { CLIENT, isRoot, Lab } from "./lab.ts";
import { readPcap } from "./pcap.ts";
import { until } from "./process.ts";

const ignore = !isRoot;
const DIRECTION = { interval: "2 ms", packet_length: undefined };

/** Outer packets of more than `len` bytes do not pass the router, in either direction, and nobody is told. */
async function narrow(lab: Lab, len: number): Promise<void> {
  await lab.shell(
    "router",
    `nft delete table ip narrow 2>/dev/null || true
     nft add table ip narrow
     nft add chain ip narrow forward '{ type filter hook forward priority 0; }'
     nft add rule ip narrow forward ip length '>' ${len} drop`,
  );
}

const mtuOf = async (lab: Lab) =>
  Number(/mtu (\d+)/.exec(await lab.must("client", ["ip", "link", "show", "i405"]))?.[1]);

Deno.test(
  {
    name: "the length that a path carries is found before the first slot, and again in a black hole",
    ignore,
  },
  async () => {
    await using lab = await Lab.create();
    await narrow(lab, 1430);
    // What ICMP has taught the kernel, or seems to have, is not asked for.
    await lab.must("client", ["ip", "route", "change", "default", "via", "10.61.1.1", "mtu", "700"]);
    const ends = await Ends.configure(lab, { client: { up: DIRECTION, down: DIRECTION } });
    const captured = await lab.capture("c", "udp port 1405");
    await ends.startServer();
    ends.startClient();
    await ends.up();
    await ends.answers(INNER_SERVER);
    await downloadEquals(lab, noise(300_000), INNER_SERVER);
    assert.match(ends.client.lines.join("\n"), /packet_length=1420/);
    assert.equal(await mtuOf(lab), 1420 - 28 - 13 - 16 - 1 - 3);

    await narrow(lab, 1320);
    const from = ends.client.lines.length;
    await ends.client.waitFor(/looking for the path's length again/, { from, timeoutMs: 60_000 });
    await ends.client.waitFor(/tunnel up/, { from, timeoutMs: 60_000 });
    await ends.answers(INNER_SERVER);
    assert.match(ends.client.lines.slice(from).join("\n"), /packet_length=1320/);
    await until(
      async () => await mtuOf(lab) === 1280 || undefined, // what fills a packet would be less
      () => "the device has another MTU",
    );
    await ends.client.stop();
    checkLengths(readPcap(await captured()));
  },
);

/** From the client: some probes of different lengths, then one length only, probes, and again one length. */
function checkLengths(packets: ReturnType<typeof readPcap>): void {
  const lengths = packets.filter(({ from }) => from === CLIENT).map(({ ipLen }) => ipLen);
  const runs: { len: number; count: number }[] = [];
  for (const len of lengths) {
    if (runs.at(-1)?.len === len) runs.at(-1)!.count++;
    else runs.push({ len, count: 1 });
  }
  const trains = runs.filter(({ count }) => count > 10);
  assert.deepEqual(trains.map(({ len }) => len), [1420, 1320], JSON.stringify(runs));
  const probes = runs.slice(0, runs.indexOf(trains[0]));
  assert.ok(probes.length > 5 && probes.every(({ count }) => count <= 3), JSON.stringify(probes));
}
