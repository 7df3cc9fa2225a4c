import assert from "node:assert/strict";
import { loneHello } from "../../../src/flight/dtls_client.ts";
import { HelloGate } from "../../../src/flight/hello_gate.ts";
import { PathSearch } from "../../../src/flight/path_search.ts";
import { plaintextRecord } from "../../../src/record/handshake_records.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { ADDRESS, GROUPS, KEY, SUITES, testEntropy } from "./pipe.ts";

const LENGTHS = [1472, 1452, 1432, 1392, 1252, 1172, 548];
const entropy = testEntropy(5);
const offer = {
  key: { key: KEY },
  suites: SUITES,
  groups: GROUPS,
  entropy,
  timeoutNs: 1e9,
  connectionIds: { own: new Uint8Array(0), peerLen: 8 },
};
const hello = (len: number, number: number) => loneHello(offer, len, number);

interface Path {
  readonly upMtu: number;
  readonly downMtu: number;
  readonly delayNs?: number;
  /** Whether the nth datagram of this direction is lost. */
  readonly loses?: (count: number) => boolean;
}

/** Plays a search over `path` to its end. */
function search({ upMtu, downMtu, delayNs = 20e6, loses = () => false }: Path) {
  const gate = new HelloGate({ secret: new Uint8Array(32), entropy, suites: SUITES, groups: GROUPS });
  const search = new PathSearch({ lengths: LENGTHS, hello, entropy }, 0);
  const answers: { readonly atNs: number; readonly datagram: Uint8Array }[] = [];
  let [nowNs, count] = [0, 0];
  while (search.result === undefined) {
    for (let probe = search.nextDatagram(); probe !== undefined; probe = search.nextDatagram()) {
      if (probe.length > upMtu || loses(count++)) continue;
      const verdict = gate.respond(probe, ADDRESS, nowNs);
      assert.ok(verdict.kind === "reply");
      assert.equal(verdict.datagram.length, probe.length);
      if (probe.length <= downMtu) answers.push({ atNs: nowNs + delayNs, datagram: verdict.datagram });
    }
    const timerNs = search.nextTimeoutNs();
    assert.ok(timerNs > nowNs || answers.length > 0, "time goes on");
    if (answers.length > 0 && answers[0].atNs <= timerNs) {
      nowNs = answers[0].atNs;
      search.receive(answers.shift()!.datagram, nowNs);
    } else {
      nowNs = timerNs;
      search.handleTimeout(nowNs);
    }
    assert.ok(nowNs < 60e9, "the search comes to an end");
  }
  return { result: search.result, sent: search.sent, nowNs };
}

Deno.test("PathSearch ends with the answer to the longest probe", () => {
  assert.deepEqual(search({ upMtu: 1472, downMtu: 1472 }), { result: 1472, sent: 2, nowNs: 20e6 });
});

Deno.test("PathSearch finds the longest length that passes both ways", () => {
  for (const len of LENGTHS.slice(1)) {
    assert.equal(search({ upMtu: len, downMtu: 1472 }).result, len);
    assert.equal(search({ upMtu: 1472, downMtu: len + 3 }).result, len);
  }
});

Deno.test("PathSearch sends each probe at most three times, a second apart (RFC 8899)", () => {
  const { sent, nowNs, result } = search({ upMtu: 0, downMtu: 0 });
  assert.deepEqual([result, sent, nowNs], [0, 6, 3e9]);
  const narrow = search({ upMtu: 548, downMtu: 548 });
  assert.equal(narrow.result, 548);
  assert.ok(narrow.sent <= 3 * LENGTHS.length && narrow.nowNs < 4.2e9, JSON.stringify(narrow));
});

Deno.test("PathSearch bears the loss of any two datagrams", () => {
  for (let first = 0; first < 8; first++) {
    for (let second = first + 1; second < 9; second++) {
      const loses = (count: number) => count === first || count === second;
      assert.equal(search({ upMtu: 1400, downMtu: 1472, loses }).result, 1392, `${first}, ${second}`);
      assert.equal(search({ upMtu: 1472, downMtu: 1472, loses }).result, 1472, `${first}, ${second}`);
    }
  }
});

Deno.test("PathSearch waits for an answer that takes longer than the timer", () => {
  assert.equal(search({ upMtu: 1472, downMtu: 1472, delayNs: 2.4e9 }).result, 1472);
});

Deno.test("PathSearch takes nothing for an answer that is none to its probes", () => {
  const one = new PathSearch({ lengths: LENGTHS, hello, entropy }, 0);
  const probe = one.nextDatagram()!;
  const gate = new HelloGate({ secret: new Uint8Array(32), entropy, suites: SUITES, groups: GROUPS });
  const verdict = gate.respond(probe, ADDRESS, 0);
  assert.ok(verdict.kind === "reply");
  const answer = verdict.datagram;
  const otherNumber = answer.slice();
  otherNumber[10] ^= 1;
  const alert = plaintextRecord(CONTENT_TYPE.alert, 1, new Uint8Array(2));
  const random = new Uint8Array(probe.length).fill(0x5a);
  const noRetry = answer.slice();
  noRetry[13 + 12 + 2] ^= 1; // the first byte of its random
  const shorter = answer.slice(0, -1);
  for (const bytes of [probe, otherNumber, alert, random, noRetry, shorter, new Uint8Array(0)]) {
    one.receive(bytes, 1e6);
    assert.equal(one.result, undefined);
  }
  one.receive(answer, 2e6);
  assert.equal(one.result, LENGTHS[0]);
  assert.equal(one.nextTimeoutNs(), Infinity);
});

Deno.test("PathSearch with one length asks whether that passes", () => {
  const one = new PathSearch({ lengths: [600], hello, entropy }, 0);
  let nowNs = 0;
  while (one.result === undefined) one.handleTimeout(nowNs = one.nextTimeoutNs());
  assert.deepEqual([one.result, one.sent, nowNs], [0, 3, 3e9]);
});
