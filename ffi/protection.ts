/** RecordProtection over the shim's AEAD. */

import type { RecordProtection } from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import type { Symbols } from "./symbols.ts";

const EINVAL = 22;

/** Descriptors and what they point at lie in the arena. The batch calls throw ShimError only when the descriptors
 * themselves lie outside; what is wrong with one record stands in its `result`. */
export function openProtection(symbols: Symbols): RecordProtection {
  return {
    newKey(materialOff: number): number {
      const key = symbols.i405_key_new(materialOff);
      if (key === -EINVAL) throw new RangeError("Cannot make a key: unknown suite or misplaced material");
      return checked("make a key", key);
    },
    freeKey(key: number): void {
      checked(`free key ${key}`, symbols.i405_key_free(key));
    },
    unmaskBatch(records: number, count: number): void {
      checked("unmask records", symbols.i405_unmask_batch(records, count));
    },
    openBatch(records: number, count: number): number {
      return checked("open records", symbols.i405_open_batch(records, count));
    },
    sealBatch(records: number, count: number): void {
      checked("seal records", symbols.i405_seal_batch(records, count));
    },
  };
}
