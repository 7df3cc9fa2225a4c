/** Finds the end of a request's body as its bytes pass, without keeping any of them (RFC 9112 §6, §7.1). */

import type { HttpBody } from "./http_head.ts";

// Chosen here.
const SIZE_LINE_LEN_MAX = 1024;
const TRAILER_LEN_MAX = 16_384;
const CR = 13;
const LF = 10;

type State =
  | "size"
  | "extension"
  | "sizeEnd"
  | "data"
  | "dataCr"
  | "dataLf"
  | "trailer"
  | "done"
  | "malformed";

export class BodyMeter {
  #state: State;
  /** Bytes of the current chunk, or of the whole body, that are still to come. */
  #left = 0;
  readonly #chunked: boolean;
  #digits = 0;
  #lineLen = 0;
  #trailerLen = 0;

  constructor(body: HttpBody) {
    this.#chunked = body.kind === "chunked";
    this.#left = body.kind === "length" ? body.len : 0;
    this.#state = this.#chunked ? "size" : this.#left === 0 ? "done" : "data";
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /** How many of `bytes` belong to the body; -1 when they cannot be a chunked body. */
  take(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "data") at += this.#data(bytes.length - at);
      else this.#byte(bytes[at++]);
      if (this.#state === "malformed") return -1;
    }
    return at;
  }

  #data(available: number): number {
    const count = Math.min(available, this.#left);
    this.#left -= count;
    if (this.#left === 0) this.#state = this.#chunked ? "dataCr" : "done";
    return count;
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case "size":
        return this.#size(byte);
      case "extension":
        if (++this.#lineLen > SIZE_LINE_LEN_MAX || byte === LF) this.#state = "malformed";
        else if (byte === CR) this.#state = "sizeEnd";
        return;
      case "sizeEnd":
        return this.#sizeEnd(byte);
      case "dataCr":
        this.#state = byte === CR ? "dataLf" : "malformed";
        return;
      case "dataLf":
        return this.#beginChunk(byte === LF);
      case "trailer":
        return this.#trailer(byte);
    }
  }

  #beginChunk(isGood: boolean): void {
    this.#state = isGood ? "size" : "malformed";
    this.#left = this.#digits = this.#lineLen = 0;
  }

  #size(byte: number): void {
    const digit = parseInt(String.fromCharCode(byte), 16);
    if (!Number.isNaN(digit)) {
      this.#left = this.#left * 16 + digit;
      if (++this.#digits > 12) this.#state = "malformed"; // 2^48, exact as a number
    } else if (this.#digits === 0) this.#state = "malformed";
    else if (byte === CR) this.#state = "sizeEnd";
    else this.#state = byte === 0x3b || byte === 0x20 || byte === 9 ? "extension" : "malformed";
  }

  #sizeEnd(byte: number): void {
    if (byte !== LF) this.#state = "malformed";
    else if (this.#left > 0) this.#state = "data";
    else {
      this.#state = "trailer";
      this.#lineLen = 0;
    }
  }

  /** Lines up to an empty one. */
  #trailer(byte: number): void {
    if (++this.#trailerLen > TRAILER_LEN_MAX) this.#state = "malformed";
    else if (byte === CR) return;
    else if (byte !== LF) this.#lineLen++;
    else if (this.#lineLen === 0) this.#state = "done";
    else this.#lineLen = 0;
  }
}
