/** NewConnectionId and RequestConnectionId, RFC 9147 §9. */

import { assert, concat } from "../base/mod.ts";
import { Reader, vector16, vector8 } from "./vectors.ts";

/** ConnectionIdUsage: use a new id at once, or keep it. */
export const CONNECTION_ID_USAGE = { immediate: 0, spare: 1 } as const;

export interface NewConnectionId {
  /** Views. */
  readonly ids: readonly Uint8Array[];
  readonly usage: number;
}

/** `undefined` unless `body` is exactly one NewConnectionId with a known usage. */
export function parseNewConnectionId(body: Uint8Array): NewConnectionId | undefined {
  const reader = new Reader(body);
  const list = new Reader(reader.vector16());
  const usage = reader.u8();
  const ids: Uint8Array[] = [];
  while (list.more) ids.push(list.vector8());
  return reader.ended && list.ended && usage <= CONNECTION_ID_USAGE.spare ? { ids, usage } : undefined;
}

export function emitNewConnectionId({ ids, usage }: NewConnectionId): Uint8Array {
  return concat(vector16(...ids.map((id) => vector8(id))), Uint8Array.of(usage));
}

/** How many ids are asked for; `undefined` unless `body` is exactly one RequestConnectionId. */
export function parseRequestConnectionId(body: Uint8Array): number | undefined {
  return body.length === 1 ? body[0] : undefined;
}

export function emitRequestConnectionId(count: number): Uint8Array {
  assert(count > 0 && count <= 255, "a request is for 1 to 255 ids");
  return Uint8Array.of(count);
}
