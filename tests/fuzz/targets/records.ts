/** Records and their headers, ACKs, alerts: what anybody may send. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { identityMatches, makeIdentity } from "../../../src/crypto/identity.ts";
import {
  emitImportedIdentity,
  importedIdentity,
  parseImportedIdentity,
} from "../../../src/crypto/psk_import.ts";
import { allSuites, type CipherSuite } from "../../../src/crypto/suites.ts";
import { EpochKeys, plaintextRecord, splitDatagram } from "../../../src/record/handshake_records.ts";
import { RECORDS_PER_DATAGRAM_MAX } from "../../../src/record/split_datagram.ts";
import { alertName, emitAlert, parseAlert } from "../../../src/wire/alert.ts";
import { emitAck, parseAck } from "../../../src/wire/dtls_ack.ts";
import {
  emitPlaintextHeader,
  parsePlaintextHeader,
  PLAINTEXT_HEADER_LEN,
  PlaintextHeader,
} from "../../../src/wire/dtls_plaintext_header.ts";
import {
  emitUnifiedHeader,
  parseUnifiedHeader,
  UnifiedHeader,
} from "../../../src/wire/dtls_unified_header.ts";
import type { FuzzTarget } from "../harness.ts";

const SECRET = new Uint8Array(48).fill(6);
const CID_LENS = [0, 1, 8, 255];

const keysOf = (suite: CipherSuite) => new EpochKeys(suite, SECRET.subarray(0, suite.hashLen), 2);

/** Datagrams of one, two and three records. */
function datagrams(suite: CipherSuite): Uint8Array[] {
  const keys = keysOf(suite);
  const hello = plaintextRecord(22, 0, new Uint8Array(60).fill(1));
  const ack = emitAck([{ epoch: 2, sequenceNumber: 0 }]);
  return [
    concat(hello, keys.seal(22, new Uint8Array(40), 100), keys.seal(26, ack)),
    keys.seal(21, emitAlert(40), 300),
    concat(hello, plaintextRecord(21, 1, emitAlert(40))),
    keys.seal(26, ack),
  ];
}

const SPLIT: FuzzTarget = {
  name: "datagram",
  samples: () => allSuites().flatMap(datagrams),
  read(input) {
    let answer = "";
    for (const cidLen of CID_LENS) {
      const records = splitDatagram(input, cidLen);
      ok(records.length <= RECORDS_PER_DATAGRAM_MAX + 1);
      let len = 0;
      for (const [index, record] of records.entries()) {
        if (record.kind === "malformed") ok(index === records.length - 1);
        len += record.kind === "malformed"
          ? record.len
          : record.kind === "plaintext"
          ? PLAINTEXT_HEADER_LEN + record.content.length
          : record.record.length;
        if (index < 2) answer += record.kind[0];
      }
      equal(len, input.length);
      answer += " ";
    }
    return answer;
  },
};

const unified = new UnifiedHeader();
const emitted = new Uint8Array(300);

/** What is emitted from what was parsed is what was parsed. */
const UNIFIED: FuzzTarget = {
  name: "unified-header",
  samples: () => allSuites().flatMap(datagrams),
  read(input) {
    let answer = "";
    for (const cidLen of CID_LENS) {
      const off = input.length > 30 ? input[input.length - 1] & 3 : 0;
      if (!parseUnifiedHeader(input, off, input.length, cidLen, unified)) continue;
      ok(off + unified.headerLen + unified.bodyLen <= input.length);
      const cid = input.subarray(off + 1, off + 1 + unified.cidLen);
      const len = emitUnifiedHeader(unified, cid, emitted);
      equal(len, unified.headerLen);
      for (let i = 0; i < len; i++) equal(emitted[i], input[off + i]);
      answer += `${input[off] & 0x1c} `;
    }
    return answer;
  },
};

const plaintext = new PlaintextHeader();

const PLAINTEXT: FuzzTarget = {
  name: "plaintext-header",
  samples: () => [plaintextRecord(22, 2 ** 40 + 3, new Uint8Array(30)), plaintextRecord(21, 0, emitAlert(0))],
  read(input) {
    if (!parsePlaintextHeader(input, 0, input.length, plaintext)) return "refused";
    ok(PLAINTEXT_HEADER_LEN + plaintext.bodyLen <= input.length);
    emitPlaintextHeader(plaintext, emitted);
    for (let i = 0; i < PLAINTEXT_HEADER_LEN; i++) equal(emitted[i], input[i]);
    return `${plaintext.bodyLen > 0} ${plaintext.epoch > 0} ${plaintext.sequenceNumber >= 2 ** 32}`;
  },
};

/** Opens nothing that was not sealed; what does not authenticate moves no window. */
function sealed(suite: CipherSuite): FuzzTarget {
  const samples = datagrams(suite);
  const known = new Set(
    samples.flatMap((datagram) => splitDatagram(datagram)).flatMap((record) =>
      record.kind === "ciphertext" ? [record.record.join()] : []
    ),
  );
  let keys = keysOf(suite);
  let openedCount = 0;
  return {
    name: `sealed-${suite.name.toLowerCase().replaceAll("_", "-")}`,
    samples: () => samples,
    read(input) {
      let answer = "";
      for (const record of splitDatagram(input)) {
        if (record.kind !== "ciphertext") continue;
        const opened = keys.open(record);
        if (typeof opened === "object") {
          ok(known.has(record.record.join()), "a forged record was opened");
          openedCount++;
        }
        answer = typeof opened === "object" ? `type ${opened.contentType}` : opened;
      }
      if (openedCount > 0) {
        keys = keysOf(suite); // so that the same record opens again: nothing forged may have moved the window
        openedCount = 0;
      }
      return answer;
    },
  };
}

const ACK: FuzzTarget = {
  name: "ack",
  samples: () => [
    emitAck([]),
    emitAck([{ epoch: 2, sequenceNumber: 1 }, { epoch: 3, sequenceNumber: 2 ** 47 }]),
  ],
  read(input) {
    const numbers = parseAck(input);
    if (numbers === undefined) return "refused";
    const count = (input.length - 2) / 16;
    ok(numbers.length <= count);
    // Numbers that nobody can have sent are left out; with all of them there, the bytes are the same.
    if (numbers.length === count) equal(emitAck(numbers), input.slice());
    return Math.min(numbers.length, 8) + (numbers.length < count ? 100 : 0);
  },
};

const ALERT: FuzzTarget = {
  name: "alert",
  samples: () => [emitAlert(0), emitAlert(40)],
  read(input) {
    const alert = parseAlert(input);
    if (alert === undefined) return "refused";
    const name = alertName(alert.description);
    ok(name.length > 0);
    return name.startsWith("alert") ? "unknown" : "known";
  },
};

const IDENTITY_KEY = new Uint8Array(32).fill(2);
const IDENTITY = makeIdentity(IDENTITY_KEY, new Uint8Array(16).fill(5));

const IMPORTED: FuzzTarget = {
  name: "imported-identity",
  samples: () => [emitImportedIdentity(importedIdentity(IDENTITY, "dtls", "sha256"))],
  read(input) {
    const imported = parseImportedIdentity(input);
    if (imported === undefined) return "refused";
    equal(emitImportedIdentity(imported), input.slice());
    return `${imported.targetProtocol === 0xfefc} ${imported.targetKdf === 1} ${imported.context.length > 0}`;
  },
};

const NAME: FuzzTarget = {
  name: "identity",
  samples: () => [IDENTITY],
  lenMax: 64,
  read(input) {
    const matches = identityMatches(IDENTITY_KEY, input);
    // The last character has two spare bits: none but the one that was written counts.
    equal(matches, input.length === IDENTITY.length && IDENTITY.every((byte, i) => byte === input[i]));
    return `${matches} ${input.length === IDENTITY.length}`;
  },
};

export const RECORD_TARGETS: readonly FuzzTarget[] = [
  SPLIT,
  UNIFIED,
  PLAINTEXT,
  ...allSuites().map(sealed),
  ACK,
  ALERT,
  IMPORTED,
  NAME,
];
