/** compile.sh on a small project of its own, with stand-ins for the programs that change the system. */
import assert from "node:assert/strict";

const COMPILE = await Deno.readTextFile(new URL("../compile.sh", import.meta.url));

/** What compile.sh finds in PATH before the real programs. `deno` does all but compile, which needs denort. */
const STAND_INS: Readonly<Record<string, string>> = {
  "apt-get": `echo "apt-get $*" >> "$LOG"`,
  id: `echo "$FAKE_UID"`,
  deno:
    `echo "deno $1" >> "$LOG"; if [ "$1" = compile ]; then echo made > i405; else exec "$REAL_DENO" "$@"; fi`,
};

const PROJECT: Readonly<Record<string, string>> = {
  "compile.sh": COMPILE,
  "deno.json": `{ "tasks": { "ok": "true" } }`,
  "deno.lock": `{ "version": "5" }`,
  "mod.ts": "export {};",
  "src/cli/data_worker.ts": "export {};",
  "ffi/mod.ts": "export {};",
  "c/build.sh": `echo "shim" >> "$LOG"; echo library > "$1"`,
  "tests/ffi/sanitize.sh": `echo "sanitized" >> "$LOG"`,
  "tests/a_test.ts": `
    Deno.test("good", () => {});
    Deno.test({ name: "elsewhere", ignore: true, fn() {} });
    Deno.test("steps", async (t) => void await t.step("one", () => console.log("ok | 99 passed | 0 failed")));`,
};

interface Ended {
  readonly code: number;
  readonly lines: string[];
  readonly stderr: string;
  /** What the stand-ins were called with. */
  readonly log: string[];
}

class Project implements AsyncDisposable {
  private constructor(readonly dir: string) {}

  static async create(more: Readonly<Record<string, string>> = {}): Promise<Project> {
    const dir = await Deno.makeTempDir({ prefix: "i405-compile-" });
    const standIns = Object.entries(STAND_INS).map(([name, body]) => [`bin/${name}`, `#!/bin/sh\n${body}\n`]);
    for (const [path, text] of [...Object.entries({ ...PROJECT, ...more }), ...standIns]) {
      await Deno.mkdir(`${dir}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${dir}/${path}`, text, { mode: 0o755 });
    }
    return new Project(dir);
  }

  async compile(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const log = `${this.dir}/log`;
    await Deno.writeTextFile(log, "");
    const output = await new Deno.Command("bash", {
      args: [`${this.dir}/compile.sh`, ...args],
      env: {
        PATH: `${this.dir}/bin:${Deno.env.get("PATH")}`,
        REAL_DENO: Deno.execPath(),
        LOG: log,
        FAKE_UID: "1000",
        DENORT_BIN: `${this.dir}/mod.ts`,
        ...env,
      },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      code: output.code,
      lines: text(output.stdout).trimEnd().split("\n"),
      stderr: text(output.stderr),
      log: (await Deno.readTextFile(log)).trimEnd().split("\n").filter((line) =>
        !/deno --version/.test(line)
      ),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}

Deno.test("compile.sh builds once, and again only what has changed", async () => {
  await using project = await Project.create();
  const first = await project.compile([]);
  assert.equal(first.code, 0, first.stderr);
  assert.deepEqual(first.log, ["shim", "deno compile"]);
  assert.deepEqual((await project.compile([])).log, [""].filter(Boolean));
  await Deno.writeTextFile(`${project.dir}/src/cli/data_worker.ts`, "export const changed = 1;");
  assert.deepEqual((await project.compile([])).log, ["deno compile"]);
  await Deno.writeTextFile(`${project.dir}/c/new.c`, "int x;");
  assert.deepEqual((await project.compile([])).log, ["shim"]);
  await Deno.remove(`${project.dir}/i405`);
  assert.deepEqual((await project.compile([])).log, ["deno compile"]);
});

Deno.test("compile.sh test ends with the count of checks and tests, and 0 when none failed", async () => {
  await using project = await Project.create();
  const { code, lines, stderr, log } = await project.compile(["test"]);
  assert.equal(code, 0, stderr);
  assert.equal(lines.at(-1), "6 passed, 0 failed, 1 skipped"); // 4 steps and 2 tests
  assert.ok(log.includes("sanitized"));
});

Deno.test("compile.sh test counts failed tests, failed steps and test files that do not load", async () => {
  const failing = `Deno.test("bad", () => { throw new Error("no"); });`;
  for (
    const [more, last] of [
      [{ "tests/b_test.ts": failing }, "6 passed, 1 failed, 1 skipped"],
      [{ "tests/b_test.ts": `throw new Error("at load");` }, "6 passed, 1 failed, 1 skipped"],
      [{ "tests/b_test.ts": `Deno.exit(0);` }, /passed, 1 failed/],
      [{ "deno.json": `{ "tasks": { "ok": "false" } }` }, "5 passed, 1 failed, 1 skipped"],
      [{ "c/build.sh": "exit 3" }, "5 passed, 1 failed, 1 skipped"],
      [{ "tests/ffi/sanitize.sh": "exit 1" }, "5 passed, 1 failed, 1 skipped"],
    ] as const
  ) {
    await using project = await Project.create(more);
    const { code, lines, stderr } = await project.compile(["test"]);
    assert.equal(code, 1, `${JSON.stringify(more)}\n${lines.join("\n")}\n${stderr}`);
    assert.match(lines.at(-1)!, typeof last === "string" ? new RegExp(`^${last}$`) : last);
  }
});

Deno.test("compile.sh names the command that installs what is missing, and runs it as root", async () => {
  await using project = await Project.create();
  const user = await project.compile([], { CC: "no-such-compiler" });
  assert.equal(user.code, 1);
  assert.match(user.stderr, /Missing: gcc libc6-dev\. Install with: sudo apt-get install -y gcc libc6-dev/);
  const root = await project.compile([], { CC: "no-such-compiler", FAKE_UID: "0" });
  assert.deepEqual(root.log.slice(0, 2), [
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends gcc libc6-dev",
  ]);
});

Deno.test("compile.sh says what is wrong with its arguments and with DENORT_BIN", async () => {
  await using project = await Project.create();
  const unknown = await project.compile(["--fast"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /Unknown argument --fast/);
  const denort = await project.compile([], { DENORT_BIN: "/nowhere/denort" });
  assert.equal(denort.code, 1);
  assert.match(denort.stderr, /DENORT_BIN=\/nowhere\/denort is no file/);
});
