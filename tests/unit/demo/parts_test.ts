import assert from "node:assert/strict";
import { output, runCommand } from "../../../src/demo/child.ts";
import { parseCpuList } from "../../../src/base/cpu_list.ts";
import { noise, sameBytes } from "../../../src/demo/noise.ts";
import { parsePing, payloadLimitMbitPerS } from "../../../src/demo/traffic.ts";

Deno.test("parsePing() finds the round trips, and nothing in lost ones", () => {
  const text = `PING 10.140.5.1 (10.140.5.1) 56(84) bytes of data.
64 bytes from 10.140.5.1: icmp_seq=1 ttl=64 time=1.23 ms
64 bytes from 10.140.5.1: icmp_seq=2 ttl=64 time=12 ms
3 packets transmitted, 2 received, 33.3333% packet loss, time 2003ms
rtt min/avg/max/mdev = 1.230/6.615/12.000/5.385 ms
`;
  assert.deepEqual(parsePing(text), [1.23, 12]);
});

Deno.test("payloadLimitMbitPerS() is one segment without headers a slot", () => {
  assert.equal(payloadLimitMbitPerS(1347, 1e6), (1347 - 52) * 8 / 1000);
  assert.equal(payloadLimitMbitPerS(1347, 5e4), (1347 - 52) * 8 / 50);
});

Deno.test("parseCpuList() reads ranges and single ones", () => {
  assert.deepEqual(parseCpuList("0-2,5"), [0, 1, 2, 5]);
  assert.deepEqual(parseCpuList("3"), [3]);
});

Deno.test("noise() depends on the seed, is the same each time, and longer noise begins alike", () => {
  assert.ok(sameBytes(noise(1001, 7), noise(1001, 7)));
  assert.ok(sameBytes(noise(2000, 7).subarray(0, 1001), noise(1001, 7)));
  assert.ok(!sameBytes(noise(1001, 7), noise(1001, 8)));
  assert.equal(new Set(noise(4096, 7)).size, 256);
});

Deno.test("sameBytes() sees one bit and one byte of length", () => {
  const bytes = noise(100, 1);
  assert.ok(!sameBytes(bytes, bytes.with(99, bytes[99] ^ 1)));
  assert.ok(!sameBytes(bytes, bytes.subarray(0, 99)));
});

Deno.test("output() calls a program that is not there 127, runCommand() names command and reason", async () => {
  assert.equal((await output(["i405-no-such-program"])).code, 127);
  await assert.rejects(runCommand(["sh", "-c", "echo why >&2; exit 3"]), /ended with 3: why/);
  assert.equal(await runCommand(["sh", "-c", "echo good"]), "good\n");
});
