/** Exit codes. */
export const EXIT = {
  ok: 0,
  /** It ran and failed. */
  failed: 1,
  /** The operator has to mend something first: arguments, configuration, rights. */
  usage: 2,
} as const;

/** What the operator has to mend; the message says what, where, and the remedy. */
export class OperatorError extends Error {
  override readonly name = "OperatorError";
}
