/** KeyUpdate, RFC 8446 §4.6.3: one byte. */

export const KEY_UPDATE_REQUEST = { notRequested: 0, requested: 1 } as const;

/** Whether the sender asks for an update in return; `undefined` unless `body` is exactly one KeyUpdate. */
export function parseKeyUpdate(body: Uint8Array): { readonly requested: boolean } | undefined {
  if (body.length !== 1 || body[0] > KEY_UPDATE_REQUEST.requested) return undefined;
  return { requested: body[0] === KEY_UPDATE_REQUEST.requested };
}

export function emitKeyUpdate(requested: boolean): Uint8Array {
  return Uint8Array.of(requested ? KEY_UPDATE_REQUEST.requested : KEY_UPDATE_REQUEST.notRequested);
}
