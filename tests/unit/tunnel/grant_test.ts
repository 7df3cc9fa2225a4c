import assert from "node:assert/strict";
import fc from "fast-check";
import { slotGapMinNs } from "../../../src/config/mod.ts";
import { SlotSchedule } from "../../../src/schedule/mod.ts";
import { grant, type GrantLimits, sameTrain } from "../../../src/tunnel/grant.ts";
import type { ClientParameters } from "../../../src/wire/inner_control.ts";

const LIMITS: GrantLimits = { maxSpeedBitsPerS: 10e6, datagramMaxLen: 1472, overhead: 28 };
const WISH: ClientParameters = {
  protocolVersion: 1,
  oldestVersion: 1,
  flags: 0,
  s2cDatagramLen: 1222,
  s2cIntervalNs: 1e6,
  s2cJitterSdNs: 120e3,
  s2cJitterLaw: "gaussian",
  s2cBurst: 1,
  c2sIntervalNs: 1e6,
  c2sDatagramLen: 1222,
  c2sBurst: 1,
  nonce: new Uint8Array(8),
};

Deno.test("grant() gives what is within the limits as it was asked for", () => {
  // 1,250 bytes each ms are 10 Mbit/s of outer packets, exactly the limit.
  assert.deepEqual(grant(WISH, LIMITS), {
    status: 0,
    note: "",
    train: { intervalNs: 1e6, datagramLen: 1222, burst: 1, jitterLaw: "gaussian", jitterSdNs: 120e3 },
  });
});

Deno.test("grant() slows down what is faster than allowed, and says so", () => {
  const { status, train, note } = grant({ ...WISH, s2cIntervalNs: 0.9e6 }, LIMITS);
  assert.deepEqual([status, train?.intervalNs, note], [1, 1e6, "max_speed allows one slot in 1000 us"]);
  const six = grant(WISH, { ...LIMITS, overhead: 48 });
  assert.equal(six.train?.intervalNs, 1270 * 800);
  assert.equal(grant({ ...WISH, s2cBurst: 4 }, LIMITS).train?.intervalNs, 4e6);
});

Deno.test("grant() refuses other versions, lengths and rates than there can be", () => {
  const status = (changes: Partial<ClientParameters>) => {
    const { status, train } = grant({ ...WISH, ...changes }, LIMITS);
    assert.equal(train, undefined);
    return status;
  };
  assert.equal(status({ protocolVersion: 2, oldestVersion: 2 }), 2);
  for (const s2cDatagramLen of [0, 499, 1473, 65_535]) assert.equal(status({ s2cDatagramLen }), 3);
  for (const s2cBurst of [0, 45, 65_535]) assert.equal(status({ s2cBurst }), 3);
  assert.equal(status({ s2cIntervalNs: 60e9 + 1 }), 1);
  assert.equal(status({ c2sIntervalNs: 0 }), 1);
});

Deno.test("grant() makes a train that can be kept of any wish, or none", () => {
  const number = fc.oneof(fc.maxSafeNat(), fc.integer({ min: 0, max: 70_000 }), fc.constant(0));
  fc.assert(fc.property(
    fc.tuple(number, number, number, number, number),
    fc.constantFrom("none" as const, "gaussian" as const, "cosine" as const, "classic" as const),
    fc.integer({ min: 1000, max: 1e11 }),
    ([s2cDatagramLen, s2cIntervalNs, s2cJitterSdNs, s2cBurst, c2sIntervalNs], s2cJitterLaw, speed) => {
      const wish = {
        ...WISH,
        s2cDatagramLen,
        s2cIntervalNs,
        s2cJitterSdNs,
        s2cBurst,
        c2sIntervalNs,
        s2cJitterLaw,
      };
      const { train } = grant(wish, { ...LIMITS, maxSpeedBitsPerS: speed });
      if (train === undefined) return;
      const outer = (train.datagramLen + 28) * 8e9 * train.burst / train.intervalNs;
      assert.ok(outer <= speed * (1 + 1e-9));
      // Throws for slots that could cross.
      new SlotSchedule({
        seed: new Uint8Array(32),
        intervalNs: train.intervalNs,
        jitter: { law: train.jitterLaw, sdNs: train.jitterSdNs },
        startNs: 0,
        minGapNs: slotGapMinNs(train.burst),
      });
    },
  ));
});

Deno.test("sameTrain() compares all that an observer could see", () => {
  const { train } = grant(WISH, LIMITS);
  assert.ok(sameTrain(train!, { ...train! }));
  const changes = [{ intervalNs: 2e6 }, { datagramLen: 600 }, { burst: 2 }, { jitterSdNs: 0 }, {
    jitterLaw: "none" as const,
  }];
  for (const change of changes) assert.ok(!sameTrain(train!, { ...train!, ...change }));
});
