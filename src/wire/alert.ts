/** The alert protocol, RFC 8446 §6: two bytes, level and description. */

export const ALERT_LEVEL = { warning: 1, fatal: 2 } as const;

export const ALERT = {
  closeNotify: 0,
  unexpectedMessage: 10,
  badRecordMac: 20,
  recordOverflow: 22,
  handshakeFailure: 40,
  illegalParameter: 47,
  accessDenied: 49,
  decodeError: 50,
  decryptError: 51,
  tooManyCidsRequested: 52, // RFC 9147 §9
  protocolVersion: 70,
  insufficientSecurity: 71,
  internalError: 80,
  inappropriateFallback: 86,
  userCanceled: 90,
  missingExtension: 109,
  unsupportedExtension: 110,
  unknownPskIdentity: 115,
} as const;

export const ALERT_LEN = 2;

export interface Alert {
  readonly level: number;
  readonly description: number;
}

/** `undefined` unless `bytes` are exactly one alert. Unknown numbers are kept: they count as errors (§6.2). */
export function parseAlert(bytes: Uint8Array): Alert | undefined {
  return bytes.length === ALERT_LEN ? { level: bytes[0], description: bytes[1] } : undefined;
}

/** The two bytes. The level follows from the description, as RFC 8446 §6 wants it: all fatal but for closing. */
export function emitAlert(description: number): Uint8Array {
  const isClosure = description === ALERT.closeNotify || description === ALERT.userCanceled;
  return Uint8Array.of(isClosure ? ALERT_LEVEL.warning : ALERT_LEVEL.fatal, description);
}

/** The name of an alert for people: "close_notify", or "alert 123" for one not known here. */
export function alertName(description: number): string {
  for (const [name, value] of Object.entries(ALERT)) {
    if (value === description) return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  }
  return `alert ${description}`;
}
