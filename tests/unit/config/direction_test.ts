import { deepStrictEqual } from "node:assert/strict";
import { type DirectionConfig, resolveDirection } from "../../../src/config/direction.ts";

const OPEN: DirectionConfig = {
  speedBitsPerS: undefined,
  intervalNs: undefined,
  packetLength: 1400,
  jitter: undefined,
  burst: undefined,
};

Deno.test("resolveDirection() chooses a burst by speed and length alone, so that slots are 250 µs apart at least", () => {
  const rows: [Partial<DirectionConfig>, number, number][] = [
    [{}, 1, 11_200_000],
    [{ speedBitsPerS: 44.8e6 }, 1, 250_000],
    [{ speedBitsPerS: 45e6 }, 2, 2 * 11_200e9 / 45e6],
    [{ speedBitsPerS: 200e6 }, 5, 280_000],
    [{ speedBitsPerS: 200e6, packetLength: 700 }, 9, 252_000],
    [{ speedBitsPerS: 200e6, burst: 2 }, 2, 112_000],
    [{ speedBitsPerS: 2e9 }, 44, 246_400],
    [{ speedBitsPerS: 3e9, packetLength: 1500 }, 43, 172_000],
    [{ intervalNs: 50_000 }, 1, 50_000],
    [{ intervalNs: 500_000, burst: 44 }, 44, 500_000],
  ];
  for (const [given, burst, intervalNs] of rows) {
    const direction = resolveDirection("up", { ...OPEN, ...given }, 1500);
    deepStrictEqual([direction.burst, Math.round(direction.intervalNs)], [burst, Math.round(intervalNs)]);
  }
});
