/** The end that the operator asks for: SIGINT, SIGTERM or SIGHUP once ends cleanly, twice at once. */

import { EXIT } from "./exit.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Stop {
  /** Resolves to the signal's name. */
  readonly asked: Promise<string>;
  /** The signal that came, if any. */
  readonly signal: string | undefined;
}

/** Listens from now on. A second signal exits with code 1, whatever is under way. */
export function untilSignal(): Stop {
  let resolve!: (signal: string) => void;
  const asked = new Promise<string>((settle) => resolve = settle);
  const stop: { asked: Promise<string>; signal: string | undefined } = { asked, signal: undefined };
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      if (stop.signal !== undefined) Deno.exit(EXIT.failed);
      stop.signal = signal;
      resolve(signal);
    });
  }
  return stop;
}
