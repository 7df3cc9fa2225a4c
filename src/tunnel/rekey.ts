/** When keys change: at public counts of records, never at a count of data (design: epoch bits are in the clear). */

import type { SessionOptions } from "../session/session.ts";
import type { Session } from "../session/session.ts";
import type { Emitter, Sealing } from "./emitter.ts";
import type { TrainParameters } from "./messages.ts";
import type { SendKeys } from "./peer.ts";

/** Records after which a sender updates its key: half of 2^24, far below RFC 9147 §4.5.3's 2^24.5 for AES-GCM. */
export const REKEY_RECORDS = 2 ** 23;
/** The new epoch begins at a multiple of so much of the train. */
const REKEY_BLOCK_NS = 10e9;

export function sessionOptions(
  rekeyRecords: number,
  own: TrainParameters,
  receiveRate: number,
): SessionOptions {
  const rekeyBlock = Math.max(
    own.burst,
    Math.ceil(Math.min(REKEY_BLOCK_NS / own.intervalNs, rekeyRecords / 8)) * own.burst,
  );
  return { rekeyRecords, rekeyBlock, receiveRate };
}

/** Records a nanosecond of a train. */
export function receiveRateOf(train: TrainParameters): number {
  return train.burst / train.intervalNs;
}

/** What a train seals with from the first record of `session` on. Once a session: see Session.newSendKey. */
export function sealingOf(session: Session): Sealing {
  const key = session.newSendKey();
  const numbering = { first: session.firstNumber, firstCount: 0 };
  return { key, epoch: session.sendEpoch, cid: session.ids.peer, numbering };
}

/** Posts the KeyUpdate when it is due, and after its ACK has the pacer change keys at the next public count. */
export function keepKeysFresh(session: Session, emitter: Emitter, keys: SendKeys): void {
  if (keys.changing) return;
  const number = emitter.numberNext;
  // How many records lie before what is said now: never a count of data, which what is said takes the places of.
  session.maintain(number, Math.max(emitter.waiting, emitter.depth));
  const switchNumber = session.switchNumber(number);
  if (switchNumber === undefined) return;
  const slots = Math.ceil((switchNumber - number) / emitter.train.burst);
  const firstSlot = emitter.slotNext + slots;
  const key = session.nextSendEpoch();
  keys.change({ key, epoch: session.sendEpoch }, firstSlot);
}
