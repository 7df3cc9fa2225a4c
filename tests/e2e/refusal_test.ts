/** What client and server say when they do not come together. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER } from "./ends.ts";
import { CLIENT, i405Path, isRoot, Lab } from "./lab.ts";
import { must } from "./process.ts";

const ignore = !isRoot;

Deno.test({
  name: "a wrong key is told from a silent server by the client, and with its address by the server",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  const right = await Deno.readFile(`${lab.dir}/client.key`);
  await lab.file("client.key", await must([i405Path(), "keygen"]));
  await ends.startServer();
  ends.startClient();
  const refused = await ends.server.waitFor(/handshake refused/);
  assert.match(refused, new RegExp(`from=${CLIENT}:\\d+`));
  assert.match(await ends.client.waitFor(/still connecting/), /key or name refused/);
  assert.equal((await ends.status("server")).peers[0].state, "away");
  await ends.client.stopCleanly();
  await lab.file("client.key", right);
  ends.startClient();
  await ends.up();
  await ends.answers(INNER_SERVER);
});

Deno.test({ name: "a client without any answer says that, and keeps sending", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  await lab.must("router", ["ip", "route", "add", "blackhole", "10.61.2.2/32"]);
  ends.startClient();
  assert.match(await ends.client.waitFor(/still connecting/), /no answer/);
  const { peers } = await ends.status("client");
  assert.equal(peers[0].state, "connecting");
  assert.ok(peers[0].slots.records > 1000);
  await ends.client.stopCleanly();
});

Deno.test(
  { name: "a speed above the client's max_speed is granted as far as that goes, and said", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab, { server: { client: { max_speed: "1 Mbit/s" } } });
    await ends.client.waitFor(/max_speed/);
    await ends.answers(INNER_SERVER);
    const { peers } = await ends.status("server");
    assert.ok(peers[0].slots.slots > 0);
  },
);
