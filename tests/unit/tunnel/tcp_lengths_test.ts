import assert from "node:assert/strict";
import { recordLenMax, tcpOverhead, tcpTrainOf } from "../../../src/tunnel/tcp_lengths.ts";

const STATE = { mss: 1448, hasTimestamps: true, hasSack: true, rttNs: 0, retransmits: 0 };
const DIRECTION = {
  speedBitsPerS: 1e6,
  intervalNs: undefined,
  packetLength: undefined,
  jitter: undefined,
  burst: 1,
};

Deno.test("recordLenMax() leaves room for what a segment may carry of options", () => {
  assert.equal(recordLenMax(STATE, 4), 1420);
  assert.equal(recordLenMax({ ...STATE, mss: 1428 }, 16), 1400);
  assert.equal(recordLenMax({ ...STATE, mss: 1460, hasTimestamps: false }, 4), 1424);
  assert.equal(recordLenMax({ ...STATE, hasSack: false }, 4), 1448);
  assert.equal(recordLenMax({ ...STATE, mss: 1208 }, 4), 1180);
});

Deno.test("recordLenMax() stays at usual packets where a path has larger ones", () => {
  assert.equal(recordLenMax({ ...STATE, mss: 65_483 }, 4), 1500 - 52 - 28);
  assert.equal(recordLenMax({ ...STATE, mss: 65_463 }, 16), 1500 - 72 - 28);
});

Deno.test("tcpTrainOf() counts outer packets, and shortens those that have no room", () => {
  const whole = tcpTrainOf("up", DIRECTION, STATE, 4);
  assert.equal(whole.datagramLen, 1420);
  assert.equal(whole.intervalNs, 1472 * 8e9 / 1e6);
  const asked = tcpTrainOf("up", { ...DIRECTION, packetLength: 1000 }, STATE, 4);
  assert.equal(asked.datagramLen, 1000 - tcpOverhead(4, true));
  assert.equal(asked.intervalNs, 8e6);
  const narrow = tcpTrainOf("up", { ...DIRECTION, packetLength: 1400 }, { ...STATE, mss: 1208 }, 4);
  assert.equal(narrow.datagramLen, 1180);
});

Deno.test("tcpTrainOf() refuses a rate that the path is too narrow for", () => {
  const fast = { ...DIRECTION, speedBitsPerS: 500e6 };
  assert.throws(() => tcpTrainOf("down", fast, { ...STATE, mss: 536 }, 4), /down\.speed/);
});
