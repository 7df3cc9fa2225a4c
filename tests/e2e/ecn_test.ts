/** ECN of the outer packets: a constant of the configuration, and what routers make of it. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER } from "./ends.ts";
import { isRoot, Lab, SERVER } from "./lab.ts";
import { countBy, readPcap } from "./pcap.ts";

Deno.test(
  {
    name: "with ecn every outer packet says ECT(0), and a router's mark reaches inner packets",
    ignore: !isRoot,
  },
  async () => {
    await using lab = await Lab.create();
    const captured = await lab.capture("c", "udp port 1405");
    const ends = await Ends.start(lab, {
      client: { tunnel: { ecn: true } },
      server: { server: { ecn: true } },
    });
    const ping = (tos: number) =>
      lab.run("client", ["ping", "-Q", String(tos), "-c", "5", "-i", "0.1", "-W", "2", INNER_SERVER]);
    for (const tos of [0, 1, 0xb8]) assert.match((await ping(tos)).stdout, /5 received/);
    const seen = readPcap(await captured());
    assert.deepEqual([...countBy(seen, ({ fields }) => /tos=\d+/.exec(fields)?.[0] ?? "none").keys()], [
      "tos=2",
    ]);

    await lab.shell(
      "router",
      `nft add table ip marks
       nft add chain ip marks forward '{ type filter hook forward priority 0; }'
       nft add rule ip marks forward ip daddr ${SERVER} ip ecn set ce`,
    );
    assert.match((await ping(2)).stdout, /5 received/);
    assert.match((await ping(0)).stdout, / 0 received/);
    const { counters } = await ends.status("server");
    assert.equal(counters.inner_marked_congested, 5);
    assert.equal(counters.inner_dropped_congested, 5);
  },
);
