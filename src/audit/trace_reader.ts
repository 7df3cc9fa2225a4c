/** Reads a slot trace that is still being written, part by part. */

import { parseTraceFile, type TraceFile } from "../demo/trace_file.ts";

export class TraceReader {
  readonly #path: string;
  #offset = 0;
  #head = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** The slots that have come since the last call; a line that is not whole yet is left for the next. */
  async read(): Promise<TraceFile> {
    using file = await Deno.open(this.#path);
    await file.seek(this.#offset, Deno.SeekMode.Start);
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.max(0, size - this.#offset));
    for (let have = 0; have < bytes.length;) have += await file.read(bytes.subarray(have)) ?? bytes.length;
    const whole = bytes.subarray(0, bytes.lastIndexOf(10) + 1);
    this.#offset += whole.length;
    const text = new TextDecoder().decode(whole);
    if (this.#head === "") this.#head = text.slice(0, text.indexOf("\n") + 1);
    return parseTraceFile(text.startsWith("#") ? text : this.#head + text);
  }
}
