/** `i405 demo` as it is shipped: what it finds, and that nothing of it stays whatever ends it. */
import assert from "node:assert/strict";
import { i405Path, isRoot } from "./lab.ts";
import { must, Program, until } from "./process.ts";

const ignore = !isRoot;
const BUSY = /busy \(2 of 6\)/;

/** A folder that a demonstration is started in; its temporary files go there, too. */
class Place {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async with(body: (place: Place) => Promise<void>): Promise<void> {
    const folder = await Deno.makeTempDir({ prefix: "i405-e2e-" });
    try {
      await body(new Place(folder));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }

  start(...args: string[]): Program {
    return new Program([i405Path(), "demo", "--seconds", "8", ...args], {
      cwd: this.folder,
      env: { TMPDIR: this.folder },
    });
  }

  /** Asserts that there are these files here, and nothing of the demonstrations with these process ids. */
  async assertLeft(files: readonly string[], ...pids: number[]): Promise<void> {
    assert.deepEqual([...Deno.readDirSync(this.folder)].map(({ name }) => name), files);
    const namespaces = await must(["ip", "netns", "list"]);
    for (const pid of pids) assert.ok(!namespaces.includes(`i405-demo-${pid}-`), namespaces);
    assert.deepEqual(await this.programs(), []);
  }

  /** Command lines that name this folder: all parts of a demonstration do, but the web server. */
  async programs(): Promise<string[]> {
    return (await must(["ps", "-eo", "args"])).split("\n").filter((line) => line.includes(this.folder));
  }
}

function resultOf(demo: Program) {
  const json = demo.lines.find((line) => line.startsWith("{"));
  assert.ok(json !== undefined, demo.lines.join("\n"));
  return JSON.parse(json);
}

/** Broken promises other than those whose names match. */
function brokenBut(result: { promises: { name: string; holds: boolean }[] }, but: RegExp): unknown[] {
  return result.promises.filter(({ name, holds }) => !holds && !but.test(name));
}

Deno.test({
  name: "i405 demo --json finds every promise kept, writes its page, and leaves nothing behind",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      const demo = place.start("--json");
      const { code } = await demo.ended(120_000);
      const result = resultOf(demo);
      // Times are for `i405 audit`: another program on this machine may shift them.
      assert.deepEqual(brokenBut(result, /times idle and busy/), []);
      assert.equal(code, result.holds ? 0 : 1);
      assert.equal(result.directions.length, 2);
      for (const { packets, slots, skipped, refused, lengths, headers, classes } of result.directions) {
        assert.equal(packets + skipped + refused, slots);
        assert.deepEqual(lengths, [[1400, packets]]);
        assert.equal(headers.length, 1);
        assert.equal(classes.idle.dataSlots, 0, "idle phases are idle");
        assert.ok(classes.busy.dataSlots > classes.busy.slots / 3, "busy phases are busy");
      }
      assert.ok(result.user.download.equal && result.user.upload.equal);
      assert.ok(result.user.roundTrips.idle.ms.count > 0 && result.user.roundTrips.busy.ms.count > 0);
      const page = await Deno.readTextFile(`${place.folder}/demo.html`);
      assert.match(page, /<h1>(?:Every promise held|A promise is broken)<\/h1>/);
      await place.assertLeft(["demo.html"], demo.pid);
    }),
});

Deno.test({
  name: "i405 demo leaves nothing behind when it is interrupted",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      for (const moment of [/making three/, /starting server/, BUSY]) {
        const demo = place.start();
        await demo.waitFor(moment);
        assert.equal((await demo.stop("SIGINT")).code, 130, demo.lines.join("\n"));
        await place.assertLeft([], demo.pid);
      }
    }),
});

Deno.test({
  name: "i405 demo says which part failed half-way, ends with 1, and leaves nothing behind",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      const demo = place.start();
      await demo.waitFor(BUSY);
      const server = (await must(["pgrep", "-f", `server ${place.folder}/.*/server.toml`])).trim();
      await must(["kill", "-9", server]);
      assert.equal((await demo.ended()).code, 1);
      assert.match(demo.lines.join("\n"), /The server ended before its time/);
      await place.assertLeft([], demo.pid);
    }),
});

Deno.test({
  name: "i405 demo takes away the namespaces and programs that a killed demonstration left",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      const killed = place.start();
      await killed.waitFor(BUSY);
      await must(["kill", "-9", String(killed.pid)]);
      await until(
        async () =>
          await must(["ip", "netns", "list"]).then((text) => text.includes(`-${killed.pid}-`)) || undefined,
        () => "the killed demonstration has left nothing",
      );
      const next = place.start();
      await next.waitFor(/starting server/);
      assert.equal((await next.stop("SIGINT")).code, 130);
      await killed.ended();
      const goOn = () => "programs of the killed demonstration go on";
      await until(async () => (await place.programs()).length === 0 || undefined, goOn);
      const [left] = [...Deno.readDirSync(place.folder)].map(({ name }) => name);
      await place.assertLeft([left], killed.pid, next.pid);
    }),
});

/** Starts the demonstration as nobody, who sees a TUN device node with these rights, in mounts of its own. */
async function startAsNobody(place: Place, mode: string): Promise<Program> {
  // A copy where nobody may reach it, wherever the project lies.
  await Deno.chmod(place.folder, 0o755);
  await Deno.copyFile(i405Path(), `${place.folder}/i405`);
  await Deno.chmod(`${place.folder}/i405`, 0o755);
  const home = `${place.folder}/home`;
  await Deno.mkdir(home);
  await Deno.chown(home, 65534, 65534);
  const script =
    `mount -t tmpfs -o mode=755 tmpfs /dev/net; mknod -m ${mode} /dev/net/tun c 10 200; cd ${home}
    exec setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=${home} TMPDIR=${home} \
      ../i405 demo --json --seconds 8`;
  return new Program(["unshare", "--mount", "sh", "-ec", script]);
}

Deno.test({
  name: "i405 demo without root runs in a user namespace where TUN may be opened",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      const demo = await startAsNobody(place, "666");
      const { code } = await demo.ended(120_000);
      assert.match(demo.lines.join("\n"), /not root/);
      const result = resultOf(demo);
      assert.deepEqual(brokenBut(result, /^$/), []);
      assert.deepEqual([code, result.withRoot], [0, false]);
      assert.deepEqual(await place.programs(), []);
      assert.deepEqual([...Deno.readDirSync(`${place.folder}/home`)].map(({ name }) => name), ["demo.html"]);
    }),
});

Deno.test({
  name: "i405 demo without any right says plainly what is needed and ends with 77",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      const demo = await startAsNobody(place, "600");
      assert.equal((await demo.ended()).code, 77);
      assert.equal(demo.lines.length, 1);
      assert.match(demo.lines[0], /sudo \.\/i405 demo/);
      assert.deepEqual([...Deno.readDirSync(`${place.folder}/home`)], []);
    }),
});

Deno.test({
  name: "i405 demo refuses a folder that is not there before it makes anything",
  ignore,
  fn: () =>
    Place.with(async (place) => {
      const demo = place.start("--out", "no/such/folder/demo.html");
      assert.equal((await demo.ended()).code, 1);
      assert.match(demo.lines.join("\n"), /there is no folder no\/such\/folder/);
      assert.doesNotMatch(demo.lines.join("\n"), /making/);
      await place.assertLeft([], demo.pid);
    }),
});
