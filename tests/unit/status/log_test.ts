import assert from "node:assert/strict";
import { Counters } from "../../../src/status/counters.ts";
import { LimitedLog } from "../../../src/status/limited_log.ts";
import { createLog, type LogFormat, type LogLevel } from "../../../src/status/log.ts";

function recorded(level: LogLevel, format: LogFormat) {
  const lines: string[] = [];
  const log = createLog({ level, format, write: (line) => lines.push(line), nowMs: () => 1_405_000_000_000 });
  return { log, lines };
}

Deno.test("createLog() writes time, level, message and fields on one line", () => {
  const { log, lines } = recorded("debug", "plain");
  log.info("tunnel up", { peer: "[2001:db8::1]:1405", n: 3, name: "a b", none: undefined, ok: true });
  log.warn("x");
  log.debug("y", { list: ["a", 1], error: new Error("boom"), empty: "" });
  assert.deepEqual(lines, [
    `2014-07-10T13:46:40.000Z info  tunnel up peer=[2001:db8::1]:1405 n=3 name="a b" ok=true\n`,
    `2014-07-10T13:46:40.000Z warn  x\n`,
    `2014-07-10T13:46:40.000Z debug y list=["a",1] error="boom" empty=""\n`,
  ]);
});

Deno.test("createLog() writes JSON that reads back", () => {
  const { log, lines } = recorded("info", "json");
  log.error("x\n\u202ey", { value: 'a"b\u0007\n', big: 5n });
  assert.equal(lines.length, 1);
  assert.ok(lines[0].endsWith("}\n"));
  assert.deepEqual(JSON.parse(lines[0]), {
    time: "2014-07-10T13:46:40.000Z",
    level: "error",
    message: "x\\u000a\u202ey".replace("\\u000a", "\n"),
    value: 'a"b\u0007\n',
    big: "5",
  });
});

Deno.test("createLog() lets nobody's text break a line, colour it or turn it round", () => {
  for (const format of ["plain", "json"] as const) {
    const { log, lines } = recorded("info", format);
    const hostile = "a\nb\r\u001b[31m\u009b\u2028\u202e\u2066\u007f\u0000 2014 error forged";
    log.info(hostile, { key: hostile, list: [hostile] });
    assert.equal(lines.length, 1);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(lines[0].slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028\u202e\u2066]/);
  }
});

Deno.test("createLog() leaves out lines less grave than its level", () => {
  for (const [level, count] of [["error", 1], ["warn", 2], ["info", 3], ["debug", 4]] as const) {
    const { log, lines } = recorded(level, "plain");
    for (const each of ["error", "warn", "info", "debug"] as const) log.log(each, "x");
    assert.equal(lines.length, count);
  }
});

Deno.test("LimitedLog.log() writes some of each kind in a period, then counts", () => {
  const { log, lines } = recorded("info", "plain");
  let nowMs = 0;
  const limited = new LimitedLog(log, { linesMax: 2, periodMs: 100, nowMs: () => nowMs });
  for (let i = 0; i < 10; i++) limited.log("warn", "bad key", "wrong key", { i });
  limited.log("warn", "other", "other kind");
  assert.deepEqual(lines.map((line) => line.slice(25).trim()), [
    "warn  wrong key i=0",
    "warn  wrong key i=1",
    "warn  other kind",
  ]);
  nowMs = 100;
  limited.log("warn", "bad key", "wrong key", { i: 10 });
  assert.match(lines[3], /wrong key i=10 left_out=8\n$/);
  nowMs = 5; // set back: a new period
  limited.log("warn", "bad key", "wrong key", { i: 11 });
  assert.match(lines[4], /wrong key i=11\n$/);
});

Deno.test("LimitedLog.log() takes a bounded number of kinds", () => {
  const limited = new LimitedLog(recorded("info", "plain").log);
  for (let i = 0; i < 256; i++) limited.log("info", `kind ${i}`, "x");
  assert.throws(() => limited.log("info", "kind 256", "x"), /Defect/);
});

Deno.test("Counters counts by name, from zero, and knows no other names", () => {
  const counters = new Counters(["replayed", "malformed"]);
  counters.add("replayed");
  counters.add("replayed", 4);
  assert.deepEqual(counters.snapshot(), { replayed: 5, malformed: 0 });
  assert.equal(counters.get("malformed"), 0);
  assert.throws(() => counters.add("else" as "replayed"), /there is no counter else/);
  assert.throws(() => new Counters(["a", "a"]), /named twice/);
});
