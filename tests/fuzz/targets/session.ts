/** What an authentic peer may say once the handshake is over: contents other than application data, in any order. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { SPARE_IDS } from "../../../src/session/id_exchange.ts";
import { Session } from "../../../src/session/session.ts";
import {
  emitNewConnectionId,
  emitRequestConnectionId,
  parseNewConnectionId,
} from "../../../src/wire/connection_id_messages.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitAck } from "../../../src/wire/dtls_ack.ts";
import { emitHandshakeMessage, HANDSHAKE_TYPE } from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate } from "../../../src/wire/key_update.ts";
import { emitPathMessage, parsePathMessage, PATH_MESSAGE } from "../../../src/wire/path_check.ts";
import type { FuzzTarget } from "../harness.ts";

const ID = new Uint8Array(8).fill(3);
const REKEY_RECORDS = 40;
const CONTROLS_MAX = 8;
const HEAD_LEN = 3;

const NEW_IDS: FuzzTarget = {
  name: "new-connection-id",
  samples: () => [
    emitNewConnectionId({ ids: [ID, new Uint8Array(0), ID.toReversed()], usage: 1 }),
    emitNewConnectionId({ ids: [ID], usage: 0 }),
  ],
  read(input) {
    const message = parseNewConnectionId(input);
    if (message === undefined) return "refused";
    equal(emitNewConnectionId(message), input.slice());
    return `${Math.min(message.ids.length, 4)} ${message.usage}`;
  },
};

const PATH: FuzzTarget = {
  name: "path-check",
  samples: () => Object.values(PATH_MESSAGE).map((type) => emitPathMessage(type, ID)),
  read(input) {
    const message = parsePathMessage(input);
    if (message === undefined || message === "unknown") return message ?? "refused";
    equal(emitPathMessage(message.type, message.cookie), input.slice());
    return `${message.type}`;
  },
};

/** One content of the input: its type, how the record stands to the newest epoch, its length. */
function content(type: number, bytes: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(type, 0, bytes.length), bytes);
}

const message = (type: number, messageSeq: number, body: Uint8Array) =>
  content(CONTENT_TYPE.handshake, emitHandshakeMessage(type, messageSeq, body));

function newSession(memory: HeapMemory): Session {
  const secret = () => new Uint8Array(32).fill(1);
  const ids = { own: ID, peer: ID, rrc: true };
  return new Session(
    memory,
    new PlainProtection(memory),
    {
      suite: 0x1301,
      send: secret(),
      receive: secret(),
      sendMessageSeq: 0,
      receiveMessageSeq: 0,
      connectionIds: ids,
    },
    {
      rekeyRecords: REKEY_RECORDS,
      rekeyBlock: 1,
      receiveRate: 1e-6,
      ownIds: { issue: () => ID, used: () => {}, close: () => {} },
    },
    0,
  );
}

const CONTENTS: FuzzTarget = {
  name: "session-contents",
  share: 0.5,
  lenMax: 512,
  samples: () => {
    const { keyUpdate, newConnectionId, requestConnectionId, newSessionTicket } = HANDSHAKE_TYPE;
    const ids = emitNewConnectionId({ ids: [ID, ID], usage: 1 });
    const ack = content(CONTENT_TYPE.ack, emitAck([{ epoch: 3, sequenceNumber: REKEY_RECORDS }]));
    return [
      concat(
        message(keyUpdate, 0, emitKeyUpdate(true)),
        message(newConnectionId, 1, ids),
        message(requestConnectionId, 2, emitRequestConnectionId(3)),
        message(newSessionTicket, 3, new Uint8Array(20)),
        message(keyUpdate, 4, emitKeyUpdate(false)),
      ),
      concat(ack, message(newConnectionId, 0, emitNewConnectionId({ ids: [ID], usage: 0 })), ack),
      content(CONTENT_TYPE.alert, Uint8Array.of(1, 0)),
    ];
  },
  read(input) {
    const memory = new HeapMemory(2 ** 14);
    const session = newSession(memory);
    let answer = "";
    let number = REKEY_RECORDS - 10;
    for (let at = 0; at + HEAD_LEN <= input.length && number < REKEY_RECORDS + 20; number++) {
      const [type, older, len] = input.subarray(at, at + HEAD_LEN);
      const bytes = input.slice(at + HEAD_LEN, at + HEAD_LEN + len);
      at += HEAD_LEN + len;
      const epoch = session.receiveEpochs[older % session.receiveEpochs.length].epoch;
      const event = session.control(type, bytes, epoch, number, 0);
      if (answer.length < 40) answer += `${event[0]}${event.length} `;
      session.maintain(number);
      if (session.switchNumber(number - 1) !== undefined) session.nextSendEpoch();
      let controls = 0;
      while ((older & 0x80) === 0 && session.takeControl() !== undefined) controls++;
      ok(controls <= CONTROLS_MAX);
      ok(session.receiveEpochs.length >= 1 && session.receiveEpochs.length <= 2);
      ok(session.idExchange.spareCount <= SPARE_IDS);
    }
    session.close();
    return answer;
  },
};

export const SESSION_TARGETS: readonly FuzzTarget[] = [NEW_IDS, PATH, CONTENTS];
