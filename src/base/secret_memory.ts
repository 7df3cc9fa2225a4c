/** Where long-lived secrets lie. The core asks for blocks; who starts it decides whether they are locked memory. */

export interface SecretMemory {
  /** A zeroed block of exactly `len` bytes, the caller's until it gives it back. */
  take(len: number): Uint8Array;
  /** Wipes a block that take() gave and gives it back: once. */
  give(block: Uint8Array): void;
}

/** Ordinary memory, wiped but neither locked nor kept out of core dumps: for tests and where there is no shim. */
export const heapSecrets: SecretMemory = {
  take: (len) => new Uint8Array(len),
  give: (block) => void block.fill(0),
};
