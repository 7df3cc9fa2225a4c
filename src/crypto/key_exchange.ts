/** Groups of RFC 8446 §4.2.8 by their numbers. Two moves, so that a KEM fits as well: the client generates a share, the
 * server responds with share and secret, the client finishes. */

import { assert } from "../base/mod.ts";
import type { Entropy } from "../ports/mod.ts";
import { SECP256R1, X25519 } from "./ecdhe.ts";
import type { Group, KeyResponse } from "./key_exchange_group.ts";
import { wipe } from "./wipe.ts";
import { X25519MLKEM768 } from "./x25519_mlkem768.ts";

export type { KeyResponse } from "./key_exchange_group.ts";

export const GROUP = { secp256r1: 0x0017, x25519: 0x001d, x25519mlkem768: 0x11ec } as const;

/** The client's half of an exchange; keeps its private key until `finish` or `wipe`. */
export interface KeyShare {
  readonly group: number;
  /** key_exchange of the client's KeyShareEntry. */
  readonly share: Uint8Array;
  /** The shared secret, or `undefined` if the peer's share is invalid: illegal_parameter. A secret uses the private key
   * up: another call is a defect and throws. */
  finish(peerShare: Uint8Array): Uint8Array | undefined;
  /** The same half with a private key of its own to use up. Not after `finish` or `wipe`. */
  copy(): KeyShare;
  wipe(): void;
}

const GROUPS: ReadonlyMap<number, Group> = new Map<number, Group>([
  [GROUP.secp256r1, SECP256R1],
  [GROUP.x25519, X25519],
  [GROUP.x25519mlkem768, X25519MLKEM768],
]);

export function isKnownGroup(group: number): boolean {
  return GROUPS.has(group);
}

/** Bytes of a client's or a server's share in `group`, which must be known. */
export function shareLenOf(group: number, side: "client" | "server"): number {
  const { clientShareLen, serverShareLen } = groupOf(group);
  return side === "client" ? clientShareLen : serverShareLen;
}

/** A client's share in `group`. Throws RangeError for an unknown group. */
export function generate(group: number, entropy: Entropy): KeyShare {
  const made = groupOf(group);
  const seed = seedOf(made.clientSeedLen, entropy);
  const privateKey = made.privateKey(seed);
  wipe(seed);
  return keyShare(group, made, privateKey, made.clientShare(privateKey));
}

/** `privateKey` is its own from here on. */
function keyShare(group: number, made: Group, privateKey: Uint8Array, share: Uint8Array): KeyShare {
  let used = false;
  return {
    group,
    share,
    finish(peerShare) {
      assert(!used, "a private key serves one exchange");
      const secret = peerShare.length === made.serverShareLen
        ? unlessInvalid(() => made.finish(privateKey, peerShare))
        : undefined;
      if (secret === undefined) return undefined;
      used = true;
      wipe(privateKey);
      return secret;
    },
    copy() {
      assert(!used, "a private key that is used up has no copy");
      return keyShare(group, made, privateKey.slice(), share);
    },
    wipe() {
      used = true;
      wipe(privateKey);
    },
  };
}

/** A server's answer to a client's share, or `undefined` if that is invalid: illegal_parameter. Throws RangeError for an
 * unknown group. */
export function respond(group: number, peerShare: Uint8Array, entropy: Entropy): KeyResponse | undefined {
  const made = groupOf(group);
  if (peerShare.length !== made.clientShareLen) return undefined;
  const seed = seedOf(made.serverSeedLen, entropy);
  const response = unlessInvalid(() => made.respond(seed, peerShare));
  wipe(seed);
  return response;
}

function groupOf(group: number): Group {
  const found = GROUPS.get(group);
  if (found === undefined) throw new RangeError(`Unknown group 0x${group.toString(16)}`);
  return found;
}

function seedOf(len: number, entropy: Entropy): Uint8Array {
  const seed = new Uint8Array(len);
  entropy.fill(seed);
  return seed;
}

/** `undefined` where the peer's share is refused: a point not on the curve or of small order, a key that is not reduced. */
function unlessInvalid<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
