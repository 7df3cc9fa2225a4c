/** TCP mode when the path, the other end or strangers make trouble, and without any right. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, noise, type Status } from "./ends.ts";
import { i405Path, isRoot, Lab, SERVER } from "./lab.ts";
import { must, sleep, until } from "./process.ts";
import { BY_SOCKS, download, interfere, rss, serve, WEB } from "./tcp_lab.ts";

const ignore = !isRoot;
const NOBODY = 65_534;

/** No slot without an account. */
function assertAccounted(status: Status): void {
  for (const { slots } of status.peers) {
    const { records, send_errors, skipped, keyless, socket_full } = slots;
    // The counters are read one after another, while slots go by.
    const accounted = records + send_errors + skipped + keyless + socket_full;
    assert.ok(Math.abs(accounted - slots.slots) <= 2, JSON.stringify(slots));
  }
}

function startDownload(lab: Lab) {
  return lab.start("client", ["curl", "-sS", "-o", "got", ...BY_SOCKS, WEB]);
}

async function assertSame(lab: Lab): Promise<void> {
  await lab.must("client", ["cmp", "served", "got"]);
}

for (
  const [what, verdict, lasting, reason] of [
    ["resets its connection", "reject with tcp reset", 300, /reconnecting/],
    ["drops all for a while", "drop", 7000, /nothing heard for/],
  ] as const
) {
  Deno.test(
    { name: `a download goes on over another connection when the path ${what}`, ignore },
    async () => {
      await using lab = await Lab.create();
      const ends = await Ends.start(lab, { mode: "tcp" });
      await serve(lab, 3_000_003);
      const curl = startDownload(lab);
      await sleep(1000);
      const from = ends.client.lines.length;
      const restore = await interfere(lab, verdict);
      await sleep(lasting);
      await restore();
      await ends.client.waitFor(reason, { from });
      await ends.client.waitFor(/handshake done/, { from });
      assert.equal((await curl.ended(60_000)).code, 0, curl.lines.join("\n"));
      await assertSame(lab);
      assertAccounted(await ends.status("client"));
      assertAccounted(await ends.status("server"));
    },
  );
}

Deno.test({
  name: "with 1 % of segments lost each way, one stream and twenty side by side come whole",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.start(lab, { mode: "tcp", client: { down: { interval: "400 us" } } });
  const http = await serve(lab, 6_000_003);
  await interfere(lab, "numgen random mod 100 < 1 drop");
  await download(lab);
  const before = await rss(ends);
  await http.stop();
  await serve(lab, 400_003);
  const targets = Array.from({ length: 20 }, (_, i) => ["-o", `got${i}`, WEB]).flat();
  const { code, stderr } = await lab.run("client", ["curl", "-sS", "-Z", ...BY_SOCKS, ...targets], {
    timeoutMs: 120_000,
  });
  assert.equal(code, 0, stderr);
  const served = noise(400_003);
  for (let i = 0; i < 20; i++) {
    const got = await Deno.readFile(`${lab.dir}/got${i}`);
    assert.ok(got.length === served.length && got.every((byte, at) => byte === served[at]), `download ${i}`);
  }
  const after = await rss(ends);
  assert.ok(after < before + 64e6, `memory: ${before} and then ${after}`);
});

Deno.test({
  name: "a server killed and started again is found; streams of before are reset, new ones flow",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.start(lab, { mode: "tcp" });
  await serve(lab, 3_000_003);
  const curl = startDownload(lab);
  await sleep(1000);
  await ends.server.stop("SIGKILL");
  const from = ends.client.lines.length;
  await ends.startServer();
  await ends.client.waitFor(/handshake done/, { from });
  assert.notEqual((await curl.ended(60_000)).code, 0);
  await download(lab);
});

Deno.test({
  name: "hundreds of connections of strangers keep no client out, and cost the server little",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, { mode: "tcp" });
  await ends.startServer();
  const script = new URL("tools/tcp_flood.ts", import.meta.url).pathname;
  const flood = lab.start("router", [
    ...[Deno.execPath(), "run", "-A", "--no-check", script, SERVER, "1405", "300"],
  ]);
  await flood.waitFor(/flooding/);
  ends.startClient();
  await ends.up();
  await serve(lab, 1_000_003);
  await download(lab);
  const { counters } = await ends.status("server");
  assert.ok(counters.tcp_refused > 100, `refused: ${counters.tcp_refused}`);
  assert.ok(counters.tcp_connections <= 130, `open: ${counters.tcp_connections}`);
  await flood.stop();
  assert.ok(ends.server.running);
});

Deno.test({
  name: "client and server run without any right, as nobody, and say once what that costs",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, { mode: "tcp" });
  // Where this project lies may be closed to nobody.
  await must(["cp", i405Path(), `${lab.dir}/i405`]);
  await must(["chown", "-R", `${NOBODY}:${NOBODY}`, lab.dir]);
  const rights = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--inh-caps=-all"];
  const asNobody = (role: string) => [
    ...["prlimit", "--memlock=8388608", "--nice=0", "--rtprio=0", ...rights, "--bounding-set=-all"],
    ...["env", `TMPDIR=${lab.dir}`, `${lab.dir}/i405`, role, `${role}.toml`],
  ];
  ends.server = lab.start("server", asNobody("server"));
  await ends.server.waitFor(/server started/);
  ends.client = lab.start("client", asNobody("client"));
  await ends.up();
  await serve(lab, 500_003);
  await download(lab);
  for (const program of [ends.client, ends.server]) {
    assert.equal(
      program.lines.filter((line) => /no SCHED_FIFO/.test(line)).length,
      1,
      program.lines.join("\n"),
    );
    const status = await Deno.readTextFile(`/proc/${program.pid}/status`);
    assert.match(status, /^CapEff:\s+0+$/m);
    assert.match(status, new RegExp(`^Uid:\\s+${NOBODY}`, "m"));
  }
});

Deno.test(
  {
    name: "a client started before its server finds it, says so until then, and serves who came meanwhile",
    ignore,
  },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.configure(lab, { mode: "tcp" });
    ends.startClient();
    await ends.client.waitFor(/still connecting/, { timeoutMs: 20_000 });
    await serve(lab, 1001);
    // A program that comes meanwhile waits, and is served.
    const early = lab.run("client", ["curl", "-sS", "-m", "60", "-o", "got", ...BY_SOCKS, WEB]);
    await until(
      async () => (await ends.status("client")).handshakes.connections_open === 1 || undefined,
      () => "curl has not come",
    );
    await ends.startServer();
    await ends.up();
    const { code, stderr } = await early;
    assert.equal(code, 0, stderr);
    await lab.must("client", ["cmp", "served", "got"]);
    await until(
      async () => (await ends.status("client")).peers[0].state === "up" || undefined,
      () => "the client is not up",
    );
  },
);
