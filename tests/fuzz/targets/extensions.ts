/** The block of extensions and the body of each one that is spoken here: what is emitted again is what was parsed. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import * as ext from "../../../src/wire/extensions.ts";
import type { FuzzTarget } from "../harness.ts";
import { clientExtensions } from "./samples.ts";

const { EXTENSION } = ext;

/** A body that is read by `parse` and written again by `emit`. */
function body<T>(
  name: string,
  samples: () => readonly Uint8Array[],
  parse: (bytes: Uint8Array) => T | undefined,
  emit: (value: T) => ext.Extension,
  answer: (value: T) => string | number,
): FuzzTarget {
  return {
    name: `extension-${name}`,
    samples,
    lenMax: 1500,
    read(input) {
      const value = parse(input);
      if (value === undefined) return "refused";
      equal(emit(value).body, input.slice());
      return answer(value);
    },
  };
}

const few = (list: ArrayLike<unknown>) => Math.min(list.length, 5);

const BLOCK: FuzzTarget = {
  name: "extensions",
  samples: () => [
    ext.emitExtensions([ext.emitGroups([0x1d]), ext.emitCookie(new Uint8Array(9)), ext.emitPadding(5)]).slice(
      2,
    ),
  ],
  read(input) {
    const extensions = ext.parseExtensions(input);
    if (extensions === undefined) return "refused";
    equal(ext.emitExtensions(extensions).slice(2), input.slice());
    ok(new Set(extensions.map(({ type }) => type)).size === extensions.length, "no type comes twice");
    return few(extensions);
  },
};

/** Not every field is emitted as it came (ticket ages), so the parts are compared. */
const PSKS: FuzzTarget = {
  name: "extension-pre-shared-key",
  samples: () => clientExtensions(EXTENSION.preSharedKey),
  read(input) {
    const psks = ext.parseOfferedPsks(input);
    if (psks === undefined) return "refused";
    const { identities, binders, bindersLen } = psks;
    const listLen = identities.reduce((sum, { identity }) => sum + 6 + identity.length, 0);
    equal(2 + listLen + bindersLen, input.length);
    equal(bindersLen, binders.reduce((sum, binder) => sum + 1 + binder.length, 2));
    return `${few(identities)} ${few(binders)}`;
  },
};

export const EXTENSION_TARGETS: readonly FuzzTarget[] = [
  BLOCK,
  body(
    "supported-versions",
    () => clientExtensions(EXTENSION.supportedVersions),
    ext.parseClientVersions,
    ext.emitClientVersions,
    few,
  ),
  body(
    "one-number",
    () => [Uint8Array.of(0xfe, 0xfc), Uint8Array.of(0, 0x1d)],
    ext.parseOneU16,
    (value) => ext.emitOneU16(EXTENSION.keyShare, value),
    (value) => value >> 14,
  ),
  body("groups", () => clientExtensions(EXTENSION.supportedGroups), ext.parseGroups, ext.emitGroups, few),
  body(
    "client-shares",
    () => clientExtensions(EXTENSION.keyShare),
    ext.parseClientShares,
    ext.emitClientShares,
    few,
  ),
  body(
    "server-share",
    () => [ext.emitServerShare({ group: 0x1d, share: new Uint8Array(32).fill(9) }).body],
    ext.parseServerShare,
    ext.emitServerShare,
    ({ share }) => few(share),
  ),
  body(
    "psk-modes",
    () => clientExtensions(EXTENSION.pskKeyExchangeModes),
    ext.parsePskModes,
    (modes) => ext.emitPskModes([...modes]),
    few,
  ),
  body("cookie", () => clientExtensions(EXTENSION.cookie), ext.parseCookie, ext.emitCookie, few),
  body(
    "connection-id",
    () => [
      ext.emitConnectionId(new Uint8Array(8).fill(4)).body,
      ext.emitConnectionId(new Uint8Array(0)).body,
    ],
    ext.parseConnectionId,
    ext.emitConnectionId,
    few,
  ),
  PSKS,
];
