/** `i405 demo` as it is shipped: what it finds, and that nothing of it stays whatever ends it. */
import assert from "node:assert/strict";
import { i405Path, isRoot } from "./lab.ts";
import { must, Program, run, until } from "./process.ts";

const BUSY = /busy \(2 of 6\)/;

/** Namespaces, processes and directories of demonstrations. */
async function traces(): Promise<string[]> {
  const namespaces = (await must(["ip", "netns", "list"])).split("\n").filter((line) =>
    line.includes("i405-demo")
  );
  const processes = (await must(["ps", "-eo", "args"])).split("\n").filter((line) =>
    /i405-demo-|demo-child/.test(line)
  );
  const folders = [...Deno.readDirSync("/tmp")].map(({ name }) => name).filter((name) =>
    name.startsWith("i405-demo-")
  );
  return [...namespaces, ...processes, ...folders];
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "i405-e2e-demo" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "i405 demo --json finds every promise kept, writes its page, and leaves nothing behind",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const command = [i405Path(), "demo", "--json", "--seconds", "8", "--out", `${folder}/demo.html`];
      const { code, stdout, stderr } = await run(command, { timeoutMs: 120_000, cwd: folder });
      assert.equal(code, 0, stdout + stderr);
      const result = JSON.parse(stdout);
      assert.equal(result.holds, true);
      assert.equal(result.directions.length, 2);
      for (const { packets, slots, skipped, refused, lengths, headers, classes } of result.directions) {
        assert.equal(packets + skipped + refused, slots);
        assert.deepEqual(lengths, [[1400, packets]]);
        assert.equal(headers.length, 1);
        assert.equal(classes.idle.dataSlots, 0, "idle phases are idle");
        assert.ok(classes.busy.dataSlots > classes.busy.slots / 2, "busy phases are busy");
      }
      assert.ok(result.user.download.equal && result.user.upload.equal);
      assert.ok(result.user.roundTrips.idle.ms.count > 0 && result.user.roundTrips.busy.ms.count > 0);
      assert.match(await Deno.readTextFile(`${folder}/demo.html`), /<h1>Idle and busy look the same<\/h1>/);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["demo.html"]);
      assert.deepEqual(await traces(), []);
    }),
});

Deno.test({
  name: "i405 demo leaves nothing behind when it is interrupted",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      for (const moment of [/making three/, /starting server/, BUSY]) {
        const demo = new Program([i405Path(), "demo", "--seconds", "8"], { cwd: folder });
        await demo.waitFor(moment);
        assert.equal((await demo.stop("SIGINT")).code, 130, demo.lines.join("\n"));
        assert.deepEqual(await traces(), []);
      }
      assert.deepEqual([...Deno.readDirSync(folder)], []);
    }),
});

Deno.test({
  name: "i405 demo says which part failed half-way, ends with 1, and leaves nothing behind",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const demo = new Program([i405Path(), "demo", "--seconds", "8"], { cwd: folder });
      await demo.waitFor(BUSY);
      const server = (await must(["pgrep", "-f", `^${i405Path()} server /tmp/i405-demo-`])).trim();
      await must(["kill", "-9", server]);
      assert.equal((await demo.ended()).code, 1);
      assert.match(demo.lines.join("\n"), /The server ended before its time/);
      assert.deepEqual(await traces(), []);
    }),
});

Deno.test({
  name: "i405 demo takes away what a killed demonstration left",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const demo = new Program([i405Path(), "demo", "--seconds", "8"], { cwd: folder });
      await demo.waitFor(BUSY);
      const left = `i405-demo-${demo.pid}`;
      await demo.stop("SIGKILL");
      assert.match(await must(["ip", "netns", "list"]), new RegExp(left));
      const next = new Program([i405Path(), "demo", "--seconds", "8"], { cwd: folder });
      await next.waitFor(/starting server/);
      assert.doesNotMatch(await must(["ip", "netns", "list"]), new RegExp(left));
      await next.stop("SIGINT");
      const ended = async () => (await traces()).every((trace) => !trace.includes("demo-child")) || undefined;
      await until(ended, () => "programs of the killed demonstration go on");
      for (const { name } of Deno.readDirSync("/tmp")) {
        if (name.startsWith("i405-demo-")) await Deno.remove(`/tmp/${name}`, { recursive: true });
      }
      assert.deepEqual(await traces(), []);
    }),
});

/** Runs the demonstration as nobody, who sees a TUN device node with these rights, in a mount namespace of its own. */
async function asNobody(folder: string, mode: string): ReturnType<typeof run> {
  // A place that nobody may reach, wherever the project lies.
  await Deno.chmod(folder, 0o755);
  await Deno.copyFile(i405Path(), `${folder}/i405`);
  await must(["mknod", "-m", mode, `${folder}/tun`, "c", "10", "200"]);
  await Deno.mkdir(`${folder}/home`);
  await Deno.chown(`${folder}/home`, 65534, 65534);
  const script =
    `mount --bind ${folder}/tun /dev/net/tun && cd ${folder}/home && exec setpriv --reuid 65534 --regid ` +
    `65534 --clear-groups env HOME=${folder}/home ${folder}/i405 demo --json --seconds 8`;
  return await run(["unshare", "--mount", "sh", "-c", script], { timeoutMs: 120_000 });
}

Deno.test({
  name: "i405 demo without root runs in a user namespace where TUN may be opened",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const { code, stdout, stderr } = await asNobody(folder, "666");
      assert.equal(code, 0, stdout + stderr);
      assert.match(stderr, /not root/);
      const { withRoot, holds } = JSON.parse(stdout);
      assert.deepEqual({ withRoot, holds }, { withRoot: false, holds: true });
      assert.deepEqual(await traces(), []);
    }),
});

Deno.test({
  name: "i405 demo without any right says plainly what is needed and ends with 77",
  ignore: !isRoot,
  fn: () =>
    inFolder(async (folder) => {
      const { code, stdout, stderr } = await asNobody(folder, "600");
      assert.deepEqual([code, stdout], [77, ""]);
      assert.match(stderr, /sudo \.\/i405 demo/);
      assert.deepEqual(await traces(), []);
    }),
});

Deno.test({
  name: "i405 demo refuses a folder that is not there before it makes anything",
  ignore: !isRoot,
  fn: async () => {
    const { code, stderr } = await run([i405Path(), "demo", "--out", "/no/such/folder/demo.html"]);
    assert.equal(code, 1);
    assert.match(stderr, /there is no folder \/no\/such\/folder/);
    assert.doesNotMatch(stderr, /making/);
  },
});
