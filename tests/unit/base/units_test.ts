import { deepEqual, equal, throws } from "node:assert/strict";
import { parseLen, parseShare, parseSpeed, parseTime } from "../../../src/base/units.ts";

Deno.test("parseSpeed() gives bits per second, bytes times eight", () => {
  const table: [string, number][] = [
    ["1 Mbit/s", 1e6],
    ["100 kB/s", 800e3],
    ["1.5Gbit/s", 1.5e9],
    ["  64000 bit/s ", 64e3],
    ["0.1 MB/s", 800e3],
    ["2 GB/s", 16e9],
    ["7 B/s", 56],
    ["9 kbit/s", 9e3],
  ];
  deepEqual(table.map(([text]) => parseSpeed(text)), table.map(([, value]) => value));
});

Deno.test("parseTime() gives nanoseconds, exactly what was written", () => {
  const table: [string, number][] = [
    ["10 ms", 10e6],
    ["50 us", 50e3],
    ["50 µs", 50e3],
    ["50 μs", 50e3],
    ["0.1 ms", 100e3],
    ["0.3 us", 300],
    ["1.0005 us", 1000.5],
    ["3 ns", 3],
    ["2 s", 2e9],
    ["1 min", 60e9],
    ["1 h", 3600e9],
    ["0 ms", 0],
  ];
  deepEqual(table.map(([text]) => parseTime(text)), table.map(([, value]) => value));
});

Deno.test("parseLen() gives whole bytes", () => {
  deepEqual(["1400 B", "1.4 kB", "2KiB", "1 MB", "1 MiB"].map(parseLen), [1400, 1400, 2048, 1e6, 1048576]);
  throws(() => parseLen("1.5 B"), /Cannot read "1.5 B" as a length: use whole bytes/);
});

Deno.test("parseShare() gives a ratio of percent", () => {
  deepEqual(["12%", "12 %", "0.5%", "100%", "0%"].map(parseShare), [0.12, 0.12, 0.005, 1, 0]);
});

Deno.test("Units refuse what they cannot read and name a remedy", () => {
  const wrong: [(text: string) => number, string, RegExp][] = [
    [parseSpeed, "1", /it has no unit; use bit\/s, .*such as 1 Mbit\/s/],
    [parseSpeed, "1 mbit", /"mbit" is no unit of it/],
    [parseSpeed, "fast", /write a number and a unit/],
    [parseSpeed, "-1 Mbit/s", /write a number and a unit/],
    [parseSpeed, "1e6 bit/s", /write a number and a unit/],
    [parseTime, "10 m", /"m" is no unit of it/],
    [parseTime, "", /write a number and a unit/],
    [parseTime, "1,5 ms", /write a number and a unit/],
    [parseTime, "1 constructor", /"constructor" is no unit of it/],
    [parseLen, "12345678901234567 B", /use at most 15 digits/],
    [parseShare, "12", /it has no unit; use %/],
  ];
  for (const [parse, text, message] of wrong) {
    throws(() => parse(text), (error) => error instanceof RangeError && message.test(error.message), text);
  }
  equal(wrong.length, 11);
});
