/** `i405 audit` and `i405 doctor` as they are shipped. What a loaded machine does to times is not judged here; that
 * everything exact is exact, and that nothing is left behind, is. */
import assert from "node:assert/strict";
import { i405Path, isRoot } from "./lab.ts";
import { must, Program } from "./process.ts";

const ignore = !isRoot;

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "i405-e2e-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Gate {
  readonly id: string;
  readonly name: string;
  readonly verdict: string;
  readonly detail: string;
}

Deno.test({
  name: "i405 audit finds everything exact, keeps what it saw, and leaves nothing behind",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const args = ["audit", "--minutes", "0.2", "--json", "--traces", `${folder}/traces`, "--seed", "5"];
      const audit = new Program([i405Path(), ...args], { cwd: folder, env: { TMPDIR: folder } });
      const { code } = await audit.ended(120_000);
      const json = audit.lines.find((line) => line.startsWith("{"));
      assert.ok(json !== undefined, audit.lines.join("\n"));
      const result = JSON.parse(json);
      assert.equal(code, { holds: 0, fails: 1, "not shown": 2 }[result.verdict as string]);
      assert.deepEqual(result.tunnels.map(({ jitter }: { jitter: string }) => jitter.split(",")[0]), [
        "gaussian",
        "off",
      ]);
      for (const { directions } of result.tunnels) {
        for (const { judgement } of directions) {
          assert.deepEqual(judgement.exact.filter(({ verdict }: Gate) => verdict !== "holds"), []);
          assert.ok(judgement.idleSessions >= 5);
          assert.equal(judgement.loads[0].load, "any load");
        }
      }
      const pcap = await Deno.readFile(`${folder}/traces/on-0.pcap`);
      assert.ok(pcap.length > 100_000);
      assert.match(
        await Deno.readTextFile(`${folder}/traces/off-0.client.plan`),
        /^# wall_base_ns \d+\n\d+ /,
      );
      assert.match(
        await Deno.readTextFile(`${folder}/audit.html`),
        /<h1>(?:It holds|It fails|Not shown)<\/h1>/,
      );
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
        "audit.html",
        "traces",
      ]);
      assert.ok(!(await must(["ip", "netns", "list"])).includes(`-${audit.pid}-`));
    }),
});

Deno.test({
  name: "i405 audit says what is wrong with its flags",
  ignore,
  fn: async () => {
    for (
      const flags of [["--loads", "idle"], ["--jitter", "some"], ["--minutes", "x"], ["--interval", "1"]]
    ) {
      const program = new Program([i405Path(), "audit", ...flags]);
      assert.equal((await program.ended(10_000)).code, 2, flags.join(" "));
    }
  },
});

Deno.test({
  name: "i405 doctor looks at everything and leaves no device behind",
  ignore,
  fn: async () => {
    const devices = async () => await must(["ip", "-o", "link", "show", "type", "tun"]);
    const before = await devices();
    const program = new Program([i405Path(), "doctor", "--json", "--seconds", "0.3"]);
    const { code } = await program.ended(20_000);
    const result = JSON.parse(program.lines.join("\n"));
    assert.equal(code, result.isFit ? 0 : 1);
    assert.ok(result.findings.length >= 15);
    assert.ok(result.wakeUps.p50Ns > 0 && result.wakeUps.p50Ns <= result.wakeUps.p999Ns);
    assert.equal(await devices(), before);
  },
});
