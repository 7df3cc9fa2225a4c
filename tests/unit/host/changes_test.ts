import assert from "node:assert/strict";
import { type Command, HostChanges, HostError, hostRunner, type Run } from "../../../src/host/mod.ts";

const ip = (...args: string[]): Command => ({ program: "ip", args });

/** Remembers the lines; those in `failing` fail with the text given there. */
function fake(failing: Record<string, string> = {}): { run: Run; lines: string[] } {
  const lines: string[] = [];
  const run: Run = ({ args }) => {
    const line = args.join(" ");
    lines.push(line);
    return Promise.resolve({ code: line in failing ? 2 : 0, stdout: "", stderr: failing[line] ?? "" });
  };
  return { run, lines };
}

Deno.test("HostChanges.undoAll() goes backwards, on past failures, and names those that matter", async () => {
  const { run, lines } = fake({
    "undo b": "RTNETLINK answers: Busy\n",
    "undo c": 'Cannot find device "t0"\n',
    "d": "x",
  });
  const changes = new HostChanges(run);
  const step = (name: string) => ({ run: ip(name), undo: ip("undo", name) });
  await changes.apply({ title: "x", steps: [step("a"), step("b")] });
  const optional = { ...step("d"), optional: true as const };
  const skipped = await changes.apply({ title: "y", steps: [step("c"), optional, { run: ip("e") }] });
  assert.deepEqual(skipped, ["ip d: x"]);
  assert.deepEqual(await changes.undoAll(), ["ip undo b: Busy"]);
  assert.deepEqual(lines, ["a", "b", "c", "d", "e", "undo c", "undo b", "undo a"]);
});

Deno.test("HostChanges.undoAll() waits for the step under way and lets no other begin", async () => {
  const { run, lines } = fake();
  let release = () => {};
  const gate = new Promise<void>((resolve) => release = resolve);
  const changes = new HostChanges(async (command) => {
    if (command.args[0] === "slow") await gate;
    return run(command);
  });
  const steps = ["slow", "never"].map((name) => ({ run: ip(name), undo: ip("undo", name) }));
  const applied = changes.apply({ title: "x", steps });
  await Promise.resolve(); // lets the first step begin
  const undone = changes.undoAll();
  release();
  await Promise.all([applied, undone]);
  assert.deepEqual(lines, ["slow", "undo slow"]);
});

Deno.test("HostChanges.apply() names command, reason and remedy", async () => {
  const { run } = fake({ "link set t0 up": "RTNETLINK answers: Operation not permitted\n" });
  const changes = new HostChanges(run);
  await assert.rejects(
    changes.apply({ title: "x", steps: [{ run: ip("link", "set", "t0", "up") }] }),
    new HostError(
      "Cannot run `ip link set t0 up`: Operation not permitted; run as root or with CAP_NET_ADMIN",
    ),
  );
});

Deno.test("hostRunner() names the package of a program that is missing", async () => {
  const lines: string[] = [];
  const run = hostRunner((line) => lines.push(line));
  const missing = { program: "no-such-program-i405" as "nft", args: ["list"] };
  await assert.rejects(run(missing), HostError);
  assert.deepEqual(lines, ["no-such-program-i405 list"]);
});
