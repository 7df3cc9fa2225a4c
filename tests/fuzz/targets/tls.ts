/** TCP mode's readers: records, a server's handshake with whatever a stranger sends, contents after the handshake. */

import { deepStrictEqual as equal, notEqual, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { TlsClient } from "../../../src/flight/tls_client.ts";
import { TlsServer } from "../../../src/flight/tls_server.ts";
import { PskDirectory } from "../../../src/handshake/psk_directory.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { TlsSession } from "../../../src/session/tls_session.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate } from "../../../src/wire/key_update.ts";
import { emitTlsRecordHeader, parseTlsRecord, TLS_RECORD_HEADER_LEN } from "../../../src/wire/tls_record.ts";
import type { FuzzTarget } from "../harness.ts";

const KEY = { key: new Uint8Array(32).fill(7) };
const SUITES = [0x1303];
const GROUPS = [0x1d];
let state = 1;
const entropy = {
  fill(out: Uint8Array): void {
    for (let i = 0; i < out.length; i++) out[i] = state = (state * 73 + 41) & 0xff;
  },
};
const directory = new PskDirectory("tls", [KEY]);

/** A record of `body`. */
function record(contentType: number, body: Uint8Array): Uint8Array {
  const header = new Uint8Array(TLS_RECORD_HEADER_LEN);
  emitTlsRecordHeader(header, 0, contentType, body.length);
  return concat(header, body);
}

const RECORD: FuzzTarget = {
  name: "tls-record",
  samples:
    () => [record(CONTENT_TYPE.handshake, new Uint8Array(40)), record(CONTENT_TYPE.alert, new Uint8Array(2))],
  read(input) {
    const parsed = parseTlsRecord(input);
    if (parsed === undefined) return "refused";
    equal(parsed.body, input.subarray(TLS_RECORD_HEADER_LEN));
    return Math.min(parsed.contentType, 30);
  },
};

/** The records that stand in `bytes`, as the shim cuts them; what is left over is one more. */
function cut(bytes: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const len = bytes.length - at < 5 ? Infinity : 5 + (bytes[at + 3] << 8 | bytes[at + 4]);
    const end = Math.min(bytes.length, at + len);
    records.push(bytes.subarray(at, end));
    at = end;
  }
  return records;
}

/** Nobody without the key connects, whatever is sent; and there is at most one alert. */
const SERVER: FuzzTarget = {
  name: "tls-server",
  share: 0.01,
  samples: () => [
    new TlsClient({ key: KEY, suites: SUITES, groups: GROUPS, entropy }).takeOutput(),
    record(CONTENT_TYPE.changeCipherSpec, Uint8Array.of(1)),
    record(CONTENT_TYPE.applicationData, new Uint8Array(40)),
    record(CONTENT_TYPE.alert, Uint8Array.of(2, 40)),
  ],
  read(input) {
    const server = new TlsServer({
      lookup: (identity, hash) => directory.lookup(identity, hash),
      suites: SUITES,
      groups: GROUPS,
      entropy,
    });
    for (const one of cut(input)) server.receive(one);
    notEqual(server.phase, "connected");
    const alerts = cut(server.takeOutput()).filter(([type]) => type === CONTENT_TYPE.alert);
    ok(alerts.length <= 1);
    server.wipe();
    return `${server.phase} ${server.failure?.alert ?? ""}`;
  },
};

const CONTROL: FuzzTarget = {
  name: "tls-control",
  share: 0.1,
  samples: () => [
    Uint8Array.of(
      CONTENT_TYPE.handshake,
      ...emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, emitKeyUpdate(true)),
    ),
    Uint8Array.of(
      CONTENT_TYPE.handshake,
      ...emitTlsHandshakeMessage(HANDSHAKE_TYPE.newSessionTicket, new Uint8Array(20)),
    ),
    Uint8Array.of(CONTENT_TYPE.alert, 1, 0),
  ],
  read(input) {
    if (input.length === 0) return "none";
    const memory = new HeapMemory(2 ** 12);
    const secrets = { suite: 0x1301, send: new Uint8Array(32).fill(1), receive: new Uint8Array(32).fill(2) };
    const session = new TlsSession(memory, new PlainProtection(memory), secrets);
    session.noteOpened();
    const event = session.control(input[0], input.slice(1));
    equal(session.receiveNumber, event === "keys changed" ? 0 : 1);
    return `${event} ${session.updateRequested}`;
  },
};

export const TLS_TARGETS: readonly FuzzTarget[] = [RECORD, SERVER, CONTROL];
