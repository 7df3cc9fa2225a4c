/** One request in absolute form and its answer, as they pass between a client and an origin. */

import { concat } from "../base/mod.ts";
import { BodyMeter } from "../wire/http_body.ts";
import { type HttpBody, readResponseHead } from "../wire/http_head.ts";
import { clientHead, emitRefusal, HTTP_STATUS } from "./http_order.ts";
import type { Filter } from "./relay.ts";

const NOTHING = new Uint8Array();

export class HttpExchange implements Filter {
  #headLeft: number;
  readonly #body: BodyMeter;
  #answer: "head" | "body" | "refused" = "head";
  #waiting: Uint8Array = NOTHING;

  /** `headLen`: of the head for the origin, which comes first out of the socket, so to speak. */
  constructor(headLen: number, body: HttpBody) {
    this.#headLeft = headLen;
    this.#body = new BodyMeter(body);
  }

  /** What comes behind the request is not for this origin. */
  out(bytes: Uint8Array): number {
    const head = Math.min(this.#headLeft, bytes.length);
    this.#headLeft -= head;
    const body = this.#body.take(bytes.subarray(head));
    return body < 0 ? -1 : head + body;
  }

  in(bytes: Uint8Array): Uint8Array {
    if (this.#answer === "body") return bytes;
    if (this.#answer === "refused") return NOTHING;
    this.#waiting = concat(this.#waiting, bytes);
    return this.#heads();
  }

  /** Interim ones (RFC 9110 §15.2) and the final one. */
  #heads(): Uint8Array {
    let out: Uint8Array = NOTHING;
    for (;;) {
      const head = readResponseHead(this.#waiting);
      if (head === "more") return out;
      if (head === "malformed") return concat(out, this.#refuse());
      out = concat(out, clientHead(head));
      this.#waiting = this.#waiting.slice(head.len);
      if (head.status >= 200 || head.status === 101) break;
    }
    this.#answer = "body";
    return concat(out, this.#waiting);
  }

  inEnd(): Uint8Array {
    return this.#answer === "head" ? this.#refuse() : NOTHING;
  }

  #refuse(): Uint8Array {
    this.#answer = "refused";
    return emitRefusal(HTTP_STATUS.badGateway, "The server did not answer in HTTP/1.");
  }
}
