/** Key exchange groups as the configuration names them, in the shortest packets too. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER } from "./ends.ts";
import { CLIENT, isRoot, Lab, SERVER } from "./lab.ts";
import { assertUniform, sentBy } from "./observer.ts";
import { readPcap } from "./pcap.ts";

const ignore = !isRoot;
const SHORT = { packet_length: 576 };

Deno.test(
  { name: "a tunnel of 576 bytes a packet comes up with X25519MLKEM768, by default", ignore },
  async () => {
    await using lab = await Lab.create();
    const finish = await lab.capture("c", "udp port 1405");
    const ends = await Ends.start(lab, { client: { up: SHORT, down: SHORT } });
    await ends.answers(INNER_SERVER);
    for (const end of [ends.client, ends.server]) {
      assert.match(end.lines.find((line) => line.includes("handshake done"))!, /x25519mlkem768/);
    }
    const seen = readPcap(await finish());
    for (const address of [CLIENT, SERVER]) assertUniform(sentBy(seen, address), 576);
  },
);

Deno.test(
  { name: "a client and a server use the group that both have, the server's first choice", ignore },
  async () => {
    await using lab = await Lab.create();
    const groups = (...names: string[]) => ({ groups: names });
    const ends = await Ends.start(lab, {
      client: { tunnel: groups("x25519mlkem768", "x25519", "secp256r1") },
      server: { server: groups("secp256r1", "x25519") },
    });
    await ends.answers(INNER_SERVER);
    assert.match(ends.client.lines.find((line) => line.includes("handshake done"))!, /secp256r1/);
  },
);
