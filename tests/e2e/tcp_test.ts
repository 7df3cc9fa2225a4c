/** TCP mode: streams through the proxy, and on the wire records of one length, one segment each, one a slot. Topology:
 * lab.ts; the client's proxy is at 127.0.0.1:1080 of its place, the web server beside the tunnel's server. */
import assert from "node:assert/strict";
import { Ends, noise, PACKET_LEN, PROXY } from "./ends.ts";
import { CLIENT, isRoot, Lab, SERVER, SERVER_V6 } from "./lab.ts";
import { sleep } from "./process.ts";
import { BY_HTTP, BY_SOCKS, download, serve, WEB } from "./tcp_lab.ts";
import { dataSegments, oneRecordRatio, readSegments } from "./tcp_pcap.ts";

const ignore = !isRoot;
/** Outer IP packets of PACKET_LEN bytes, with 20 of IP and 32 of TCP and its time stamps. */
const RECORD_LEN = PACKET_LEN - 52;

for (const [family, peer] of [["IPv4", undefined], ["IPv6", `[${SERVER_V6}]:1405`]] as const) {
  Deno.test(
    { name: `a download by SOCKS5 and by HTTP CONNECT equals what was served: ${family}`, ignore },
    async () => {
      await using lab = await Lab.create();
      await Ends.start(lab, { mode: "tcp", peer });
      await serve(lab, 1_500_003);
      await download(lab, BY_SOCKS);
      await download(lab, BY_HTTP);
    },
  );
}

Deno.test({ name: "200 downloads side by side are each equal to what was served", ignore }, async () => {
  await using lab = await Lab.create();
  await Ends.start(lab, {
    mode: "tcp",
    client: { down: { interval: "230 us" } },
  });
  await serve(lab, 60_007);
  const targets = Array.from({ length: 200 }, (_, i) => ["-o", `got${i}`, WEB]).flat();
  const curl = ["curl", "-sS", "-Z", "--parallel-max", "200", "--parallel-immediate", ...BY_SOCKS];
  const { code, stderr } = await lab.run("client", [...curl, ...targets], { timeoutMs: 120_000 });
  assert.equal(code, 0, stderr);
  const served = noise(60_007);
  for (let i = 0; i < 200; i++) {
    const got = await Deno.readFile(`${lab.dir}/got${i}`);
    assert.ok(got.length === served.length && got.every((byte, at) => byte === served[at]), `download ${i}`);
  }
});

Deno.test(
  { name: "idle and busy, each record is one segment of one length, and one slot", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.configure(lab, { mode: "tcp" });
    const finish = await lab.capture("c", "tcp port 1405");
    await ends.startServer();
    ends.startClient();
    await ends.up();
    await sleep(1500);
    await serve(lab, 2_000_003);
    await download(lab);
    await ends.server.stopCleanly();
    await ends.client.stopCleanly();
    const seen = readSegments(await finish());
    for (const [role, address] of [["client", CLIENT], ["server", SERVER]] as const) {
      const segments = dataSegments(seen, address, RECORD_LEN);
      const fresh = [...new Map(segments.map((segment) => [segment.sequence, segment])).values()];
      assert.ok(fresh.length > 2000, `${role}: ${fresh.length} segments`);
      assert.ok(oneRecordRatio(fresh, RECORD_LEN) >= 0.99, `${role}: records are segments`);
      assert.equal(new Set(fresh.map(({ fields }) => fields)).size, 1, "one set of header fields");
      const sent = (await ends.trace(role)).filter((slot) => slot.sent).length;
      // Beside the records there are only those that a send has lost with its connection.
      assert.ok(Math.abs(fresh.length - sent) <= 1, `${role}: ${fresh.length} segments, ${sent} slots sent`);
    }
  },
);

Deno.test({
  name: "the window that the client advertises is the same, however slowly streams are read",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  await Ends.start(lab, { mode: "tcp" });
  await serve(lab, 2_000_003);
  const medians: number[] = [];
  let [dips, count] = [0, 0];
  for (const rate of ["100M", "20k"]) {
    const finish = await lab.capture("c", `tcp port 1405 and src host ${CLIENT}`);
    await lab.run("client", ["curl", "-sS", "-m", "4", "--limit-rate", rate, "-o", "got", ...BY_SOCKS, WEB]);
    const windows = readSegments(await finish()).map(({ window }) => window);
    dips += windows.filter((window, i) => i > 0 && window < windows[i - 1]).length;
    count += windows.length;
    windows.sort((a, b) => a - b);
    medians.push(windows[windows.length >> 1]);
  }
  // It only grows: what one moment leaves unread is a few records; a reader that stalls the connection closes it.
  assert.ok(medians[1] >= 0.9 * medians[0], `median windows: ${medians}`);
  // A record that waits to be read shows in no header, unless the machine leaves a whole quarter of the buffer unread.
  assert.ok(dips < 0.02 * count, `${dips} of ${count} segments say a smaller window than the one before`);
});

Deno.test({ name: "a stream that nobody reads stops no other one", ignore }, async () => {
  await using lab = await Lab.create();
  await Ends.start(lab, { mode: "tcp" });
  await serve(lab, 1_000_003);
  const stalled = ["curl", "-sS", "--limit-rate", "1", "-o", "/dev/null", ...BY_SOCKS, WEB];
  for (let i = 0; i < 5; i++) lab.start("client", stalled);
  await sleep(1000);
  await download(lab);
});

Deno.test({ name: "one server serves both modes on one port number", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, {
    mode: "tcp",
    server: {
      server: { modes: ["tun", "tcp"] },
      tun: { name: "i405s", addresses: ["10.140.5.1/24"] },
      client: { addresses: ["10.140.5.2"] },
    },
  });
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await serve(lab, 300_001);
  await download(lab);
  const text = await Deno.readTextFile(`${lab.dir}/client.toml`);
  const tun = text.replace('mode = "tcp"', 'mode = "tun"').replace(/\[socks\]\n.*\n/, "")
    .replaceAll(`${lab.dir}/client.`, `${lab.dir}/tun.`);
  await lab.file("tun.toml", tun);
  await ends.client.stopCleanly();
  const from = ends.server.lines.length;
  const { i405Path } = await import("./lab.ts");
  const client = lab.start("client", [i405Path(), "client", "tun.toml"]);
  await client.waitFor(/tunnel up/);
  await ends.server.waitFor(/client up/, { from });
  const ping = await lab.run("client", ["ping", "-c", "3", "-W", "2", "10.140.5.1"]);
  assert.equal(ping.code, 0, ping.stdout);
});

Deno.test({
  name: "who is no user may not use the proxy, and a server connects to nothing of its own",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  await Ends.start(lab, { mode: "tcp", server: { client: { allow: [] } } });
  await serve(lab, 1001);
  const { code } = await lab.run("client", ["curl", "-sS", "-m", "10", ...BY_SOCKS, WEB]);
  assert.equal(code, 97, "refused by the proxy: not allowed");
  const mute = await lab.run("client", ["curl", "-sS", "-m", "10", "-x", `http://${PROXY}`, WEB]);
  assert.equal(mute.code, 0);
  assert.match(mute.stdout, /notAllowed/);
});
