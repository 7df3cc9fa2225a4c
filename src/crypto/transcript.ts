/** The running hash over handshake messages, RFC 8446 §4.4.1, in their 4-byte-header form (RFC 9147 §5.2 too). */

import { sha256, sha384 } from "@noble/hashes/sha2.js";
import { assert, concat } from "../base/mod.ts";
import { hashLenOf, type HashName } from "./suites.ts";

const MESSAGE_HASH = 254; // HandshakeType message_hash, RFC 8446 §4
/** Messages are kept until the hash is known: one ClientHello, two at most. */
const KEPT_LEN_MAX = 2 ** 17;

type RunningHash = ReturnType<typeof sha256.create> | ReturnType<typeof sha384.create>;

/** A transcript whose hash may be chosen after the first messages: a client learns it from the server's hello. */
export class Transcript {
  #running: RunningHash | undefined;
  #name: HashName | undefined;
  #kept: Uint8Array[] = [];
  #keptLen = 0;

  constructor(hash?: HashName) {
    if (hash !== undefined) this.select(hash);
  }

  /** The transcript of a server that kept only the hash of the first ClientHello, in its cookie (RFC 8446 §4.2.2):
   * message_hash alone; HelloRetryRequest and the second ClientHello are to be added. */
  static fromClientHelloHash(hash: HashName, clientHelloHash: Uint8Array): Transcript {
    const transcript = new Transcript(hash);
    transcript.add(messageHash(hash, clientHelloHash));
    return transcript;
  }

  /** Another one that begins with the same messages. */
  clone(): Transcript {
    const copy = new Transcript();
    copy.#name = this.#name;
    copy.#running = this.#running?.clone();
    copy.#kept = [...this.#kept];
    copy.#keptLen = this.#keptLen;
    return copy;
  }

  /** The chosen hash, if it is. */
  get hashName(): HashName | undefined {
    return this.#name;
  }

  /** Chooses the hash; what was added before counts. Choosing the same one again does nothing, another is a defect. */
  select(hash: HashName): void {
    if (this.#name === hash) return;
    assert(this.#name === undefined, "a transcript has one hash");
    this.#name = hash;
    this.#running = hash === "sha256" ? sha256.create() : sha384.create();
    for (const message of this.#kept) this.#running.update(message);
    this.#kept = [];
  }

  /** Adds a whole message with its 4-byte header. The bytes are copied or used up. */
  add(message: Uint8Array): void {
    if (this.#running !== undefined) {
      this.#running.update(message);
      return;
    }
    this.#keptLen += message.length;
    assert(this.#keptLen <= KEPT_LEN_MAX, "the hash is chosen after one or two hellos");
    this.#kept.push(message.slice());
  }

  /** Transcript-Hash of what was added, and of `more` behind it, which is not added: for a ClientHello up to its
   * binders (RFC 8446 §4.2.11.2). */
  hash(more?: Uint8Array): Uint8Array {
    assert(this.#running !== undefined, "the hash is chosen before it is asked for");
    const copy = this.#running.clone();
    if (more !== undefined) copy.update(more);
    return copy.digest();
  }

  /** Puts message_hash in the place of the first ClientHello, before HelloRetryRequest is added: RFC 8446 §4.4.1. */
  replaceByMessageHash(): void {
    const hash = this.#name;
    assert(hash !== undefined, "HelloRetryRequest names the suite");
    const replaced = messageHash(hash, this.hash());
    this.#running!.destroy();
    this.#running = hash === "sha256" ? sha256.create() : sha384.create();
    this.#running.update(replaced);
  }
}

function messageHash(hash: HashName, clientHelloHash: Uint8Array): Uint8Array {
  assert(clientHelloHash.length === hashLenOf(hash), "a ClientHello hash is as long as its hash");
  return concat(Uint8Array.of(MESSAGE_HASH, 0, 0, clientHelloHash.length), clientHelloHash);
}
