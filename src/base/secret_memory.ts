/** Where long-lived secrets lie. The core asks for blocks; who starts it decides whether they are locked memory. */

/** What was found at a path. */
export interface SecretFile {
  readonly isFile: boolean;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  /** Bytes read into the block: all of its length when there is more. */
  readonly len: number;
}

export interface SecretMemory {
  /** A zeroed block of exactly `len` bytes, the caller's until it gives it back. */
  take(len: number): Uint8Array;
  /** Wipes a block that take() gave and gives it back: once. */
  give(block: Uint8Array): void;
  /** Reads a file straight into a block that take() gave, without following a symbolic link at the path's end; what is
   * told of it is told of the file that was read. Throws an error whose `code` is the kernel's name of it. Absent: the
   * engine's own way has to do. */
  readonly readFile?: (path: string, block: Uint8Array) => SecretFile;
}

/** Ordinary memory, wiped but neither locked nor kept out of core dumps: for tests and where there is no shim. */
export const heapSecrets: SecretMemory = {
  take: (len) => new Uint8Array(len),
  give: (block) => void block.fill(0),
};
