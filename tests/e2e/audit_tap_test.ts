/** `i405 audit --interface`: a client that runs, seen where its packets leave its machine. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER } from "./ends.ts";
import { i405Path, isRoot, Lab } from "./lab.ts";

const ignore = !isRoot;

Deno.test({
  name: "i405 audit --interface judges a running client by its own plan, and lets it run",
  ignore,
  fn: async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab);
    const audit = await lab.run("client", [
      i405Path(),
      "audit",
      "--interface",
      "wan",
      "--plan",
      `${lab.dir}/client.trace`,
      "--inner",
      INNER_SERVER,
      "--minutes",
      "0.2",
      "--json",
    ], { timeoutMs: 90_000 });
    const json = audit.stdout.split("\n").find((line) => line.startsWith("{"));
    assert.ok(json !== undefined, audit.stderr);
    const [{ jitter, directions: [{ name, judgement }] }] = JSON.parse(json).tunnels;
    assert.equal(name, "client to server at wan");
    assert.match(jitter, /^gaussian, sd 1[12]\d\.\d µs$/); // 12 % of 1 ms, found in the plan
    const failing = judgement.exact.filter(({ verdict }: { verdict: string }) => verdict !== "holds");
    assert.deepEqual(failing, []);
    assert.deepEqual(judgement.loads.map(({ load }: { load: string }) => load), [
      "any load",
      "bulk up",
      "host busy",
    ]);
    assert.ok(ends.client.running);
  },
});

Deno.test({
  name: "i405 audit --interface says what it lacks",
  ignore,
  fn: async () => {
    await using lab = await Lab.create();
    const audit = (...args: string[]) =>
      lab.run("client", [i405Path(), "audit", "--interface", "wan", ...args], { timeoutMs: 30_000 });
    const noPlan = await audit();
    assert.equal(noPlan.code, 2);
    assert.match(noPlan.stderr, /--plan FILE/);
    const noFile = await audit("--plan", "/nowhere/client.trace", "--inner", INNER_SERVER);
    assert.equal(noFile.code, 1);
    assert.match(noFile.stderr, /Cannot read \/nowhere\/client\.trace/);
  },
});
