/** What a record carries, RFC 8446 §B.1 and RFC 9147 §4. */
export const CONTENT_TYPE = {
  changeCipherSpec: 20,
  alert: 21,
  handshake: 22,
  applicationData: 23,
  ack: 26,
  /** RFC 9853. */
  returnRoutabilityCheck: 27,
} as const;
