/* TlsClient and TlsServer against each other in memory, whole, piecewise, and with damage. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { TlsClient } from "../../../src/flight/tls_client.ts";
import type { TlsEndpoint } from "../../../src/flight/tls_endpoint.ts";
import { TlsServer } from "../../../src/flight/tls_server.ts";
import { PskDirectory } from "../../../src/handshake/psk_directory.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";

const entropy = { fill: (out: Uint8Array) => void crypto.getRandomValues(out as Uint8Array<ArrayBuffer>) };
const KEYS = [1, 2, 3].map((n) => ({ key: new Uint8Array(32).fill(n) }));
const SUITES = [0x1301, 0x1303, 0x1302];
const GROUPS = [0x11ec, 0x1d, 0x17];

interface Ends {
  readonly client: TlsClient;
  readonly server: TlsServer;
}

function ends(
  over: { suites?: number[]; groups?: number[]; key?: Uint8Array; serverGroups?: number[] } = {},
): Ends {
  const directory = new PskDirectory("tls", KEYS);
  const suites = over.suites ?? SUITES;
  return {
    client: new TlsClient({
      key: { key: over.key ?? KEYS[1].key },
      suites,
      groups: over.groups ?? GROUPS,
      entropy,
    }),
    server: new TlsServer({
      lookup: (identity, hash) => directory.lookup(identity, hash),
      suites,
      groups: over.serverGroups ?? over.groups ?? GROUPS,
      entropy,
    }),
  };
}

/** The records that a stretch of bytes is. */
function recordsOf(bytes: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + (bytes[at + 3] << 8 | bytes[at + 4]);
    assert.ok(end <= bytes.length, "whole records");
    records.push(bytes.slice(at, end));
    at = end;
  }
  return records;
}

type Change = (records: Uint8Array[], from: "client" | "server") => Uint8Array[];

/** Carries records to and fro until nobody says anything. Returns what each has sent. */
function talk({ client, server }: Ends, change: Change = (records) => records) {
  const sent: { client: Uint8Array[]; server: Uint8Array[] } = { client: [], server: [] };
  for (let rounds = 0; rounds < 10; rounds++) {
    for (const [from, to, name] of [[client, server, "client"], [server, client, "server"]] as const) {
      const records = change(recordsOf((from as TlsEndpoint).takeOutput()), name);
      sent[name].push(...records);
      for (const record of records) to.receive(record);
    }
  }
  return sent;
}

for (const suite of SUITES) {
  for (const group of GROUPS) {
    Deno.test(`TlsClient and TlsServer agree: suite ${suite.toString(16)}, group ${group.toString(16)}`, () => {
      const both = ends({ suites: [suite], groups: [group] });
      talk(both);
      assert.equal(both.client.phase, "connected");
      assert.equal(both.server.phase, "connected");
      const [ours, theirs] = [both.client.result!, both.server.result!];
      assert.deepEqual(ours.clientSecret, theirs.clientSecret);
      assert.deepEqual(ours.serverSecret, theirs.serverSecret);
      assert.notDeepEqual(ours.clientSecret, ours.serverSecret);
      assert.equal(theirs.clientIndex, 1);
      assert.equal(ours.group, group);
    });
  }
}

Deno.test("TlsServer asks for a share of its own first group by a HelloRetryRequest", () => {
  const both = ends({ groups: [0x1d, 0x17], serverGroups: [0x17] });
  const sent = talk(both);
  assert.equal(both.client.phase, "connected");
  assert.equal(both.server.result!.group, 0x17);
  assert.equal(sent.client.length, 3, "two hellos and Finished");
});

/** Each handshake record in the clear cut into records of `len` bytes at most. */
const cutClear = (len: number): Change => (records) =>
  records.flatMap((record) => {
    if (record[0] !== CONTENT_TYPE.handshake) return [record];
    const pieces: Uint8Array[] = [];
    for (let at = 5; at < record.length; at += len) {
      const body = record.subarray(at, at + len);
      pieces.push(Uint8Array.of(22, 3, 3, body.length >> 8, body.length & 255, ...body));
    }
    return pieces;
  });

Deno.test("hellos in many records, and change_cipher_spec between them, are understood", () => {
  const both = ends();
  const compatibility = Uint8Array.of(20, 3, 3, 0, 1, 1);
  const cut = cutClear(200);
  talk(both, (records, from) => cut(records, from).flatMap((record) => [record, compatibility]));
  assert.equal(both.client.phase, "connected");
  assert.equal(both.server.phase, "connected");
});

Deno.test("a hello in more records than a handshake has ends it", () => {
  const both = ends();
  talk(both, cutClear(20));
  assert.equal(both.server.failure!.reason, "too many records");
});

Deno.test("TlsServer answers a wrong key and an unknown client alike: decrypt_error, and nothing more", () => {
  const stranger = ends({ key: new Uint8Array(32).fill(9) });
  const damaged = ends({ suites: [0x1301] });
  const sent = talk(stranger);
  // The last bytes of the hello are the binders': the identity is known, the key seems wrong.
  const sentDamaged = talk(damaged, (records, from) => {
    if (from === "client") { for (const record of records) record[record.length - 1] ^= 1; }
    return records;
  });
  const alert = Uint8Array.of(21, 3, 3, 0, 2, 2, 51);
  assert.deepEqual(sent.server, [alert]);
  assert.deepEqual(sentDamaged.server, [alert]);
  assert.equal(stranger.client.phase, "failed");
  assert.match(stranger.client.failure!.reason, /decrypt_error/);
  assert.equal(stranger.server.result, undefined);
});

Deno.test("a damaged protected record gets bad_record_mac, under the handshake's keys", () => {
  const both = ends();
  const sent = talk(both, (records, from) => {
    const last = records[records.length - 1];
    if (from === "client" && last?.[0] === 23) last[last.length - 1] ^= 1;
    return records;
  });
  assert.equal(both.server.phase, "failed");
  assert.equal(both.server.failure!.reason, "a record does not open");
  assert.equal(sent.server[sent.server.length - 1][0], 23, "the alert is protected");
});

Deno.test("what may not come now gets unexpected_message: data before a hello, a record in the clear after it", () => {
  const early = ends();
  early.server.receive(Uint8Array.of(23, 3, 3, 0, 20, ...new Uint8Array(20)));
  assert.deepEqual([...early.server.takeOutput()], [21, 3, 3, 0, 2, 2, 10]);
  const late = ends();
  for (const record of recordsOf(late.client.takeOutput())) late.server.receive(record);
  late.server.takeOutput();
  late.server.receive(Uint8Array.of(22, 3, 3, 0, 4, 20, 0, 0, 0));
  assert.equal(late.server.failure!.reason, "a record in the clear");
});

Deno.test("TlsEndpoint.abandon() ends a handshake without a word", () => {
  const { server } = ends();
  server.abandon("too slow");
  assert.equal(server.phase, "failed");
  assert.equal(server.takeOutput().length, 0);
});

Deno.test("nothing that comes over the stream makes an endpoint throw, or grow without bound", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(20, 21, 22, 23, 24, 0), fc.uint8Array({ maxLength: 300 })), {
        maxLength: 40,
      }),
      fc.boolean(),
      (records, afterHello) => {
        const both = ends({ groups: [0x1d] });
        const hello = recordsOf(both.client.takeOutput());
        if (afterHello) { for (const record of hello) both.server.receive(record); }
        for (const [type, body] of records) {
          const record = Uint8Array.of(type, 3, 3, body.length >> 8, body.length & 255, ...body);
          both.server.receive(record);
          both.client.receive(record);
        }
        assert.notEqual(both.server.phase, "connected");
        assert.notEqual(both.client.phase, "connected");
      },
    ),
    { numRuns: 100 },
  );
});
