/** What became of each packet of version 0, as a file of comma-separated values: a heading, then one line a packet,
 *
 *     direction,sequence,sent_ns,received_ns,lost
 *
 * direction c2s or s2c; sequence counts data records of a session from 0; times are Unix ns, sent as planned, each by the
 * clock of its own side; of a lost packet both are 0, and lost is 1. Lines of one direction are in no strict order. */

import type { Log } from "./log.ts";
import { StatusError } from "./status_server.ts";

// Chosen here.
const BYTES_MAX = 2 ** 28;
/** Direction u8, sequence number u64, send time u64, receive time u64. */
const ROW_LEN = 25;
const DIRECTIONS = ["c2s", "s2c"];
const HEADING = "direction,sequence,sent_ns,received_ns,lost\n";

export class PacketFile {
  readonly #path: string;
  readonly #bytesMax: number;
  #file: Deno.FsFile;
  #len = 0;

  /** Makes the file anew, mode 0600. When it has `bytesMax` bytes it is renamed to `path`.1, over an older one, and
   * another is begun. Throws StatusError. */
  static open(path: string, bytesMax = BYTES_MAX): PacketFile {
    try {
      return new PacketFile(path, bytesMax);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StatusError(`Cannot write ${path}: ${reason}; choose another tunnel.monitor_packets`);
    }
  }

  private constructor(path: string, bytesMax: number) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.#file = this.#begin();
  }

  /** Rows of 25 bytes. Throws what the file system throws. */
  write(rows: Uint8Array): void {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    let text = "";
    for (let at = 0; at + ROW_LEN <= rows.length; at += ROW_LEN) text += lineOf(view, at);
    this.#append(text);
    if (this.#len < this.#bytesMax) return;
    this.#file.close();
    Deno.renameSync(this.#path, `${this.#path}.1`);
    this.#file = this.#begin();
  }

  close(): void {
    this.#file.close();
  }

  #begin(): Deno.FsFile {
    const options = { write: true, create: true, truncate: true, mode: 0o600 };
    this.#file = Deno.openSync(this.#path, options);
    this.#len = 0;
    this.#append(HEADING);
    return this.#file;
  }

  #append(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    this.#len += bytes.length;
  }
}

/** Writes such a file and gives up, with a line in the log, when it cannot be written: the tunnel goes on. */
export class PacketMonitor {
  readonly #log: Log;
  #file: Pick<PacketFile, "write" | "close"> | undefined;

  constructor(file: Pick<PacketFile, "write" | "close">, log: Log) {
    this.#log = log;
    this.#file = file;
  }

  write(rows: Uint8Array): void {
    try {
      this.#file?.write(rows);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.warn("packets are not monitored any more", { reason });
      this.close();
    }
  }

  close(): void {
    try {
      this.#file?.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // it was closed to be renamed
    }
    this.#file = undefined;
  }
}

function lineOf(view: DataView, at: number): string {
  const [number, sent, received] = [1, 9, 17].map((off) => view.getBigUint64(at + off));
  const isLost = sent === 0n && received === 0n;
  return `${DIRECTIONS[view.getUint8(at)]},${number},${sent},${received},${isLost ? 1 : 0}\n`;
}
