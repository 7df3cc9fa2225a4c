/** What a DtlsClient makes of a server's flight that somebody packs in another way than ours do. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { concat } from "../../../src/base/mod.ts";
import { shareLenOf } from "../../../src/crypto/key_exchange.ts";
import { DtlsClient } from "../../../src/flight/dtls_client.ts";
import { DtlsServer } from "../../../src/flight/dtls_server.ts";
import { HelloGate } from "../../../src/flight/hello_gate.ts";
import { PskDirectory } from "../../../src/handshake/psk_directory.ts";
import { EpochKeys, plaintextRecord, splitDatagram } from "../../../src/record/handshake_records.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { parseAck } from "../../../src/wire/dtls_ack.ts";
import {
  emitHandshakeFragment,
  HANDSHAKE_HEADER_LEN,
  HANDSHAKE_TYPE,
  parseHandshakeHeader,
} from "../../../src/wire/handshake_header.ts";
import { PACKET_LENGTH_MIN } from "../../../src/config/settings.ts";
import { ADDRESS, assertConnected, CLEAN, GROUPS, KEY, Pipe, SUITES, testEntropy } from "./pipe.ts";

class OpenServer extends DtlsServer {
  get secrets() {
    return this.machine!.handshakeSecrets!;
  }

  get suite() {
    return this.suiteOfEpoch2;
  }
}

interface Message {
  readonly type: number;
  readonly messageSeq: number;
  readonly body: Uint8Array;
}

interface Scene {
  readonly client: DtlsClient;
  /** Seals as the server would. */
  readonly keys: EpochKeys;
  /** Opens what the client seals. */
  readonly reader: EpochKeys;
  readonly encryptedExtensions: Message;
  readonly finished: Message;
}

/** A client that has the ServerHello, and what is to follow. */
function scene(): Scene {
  const directory = new PskDirectory("dtls", [{ key: KEY }]);
  const common = { suites: SUITES, groups: GROUPS, entropy: testEntropy(1) };
  const options = {
    ...common,
    secret: new Uint8Array(32),
    lookup: directory.lookup.bind(directory),
  };
  const client = new DtlsClient({ ...common, key: { key: KEY }, datagramLen: 0 });
  const server = new OpenServer(options, ADDRESS);
  server.start(0);
  client.start(0);
  const verdict = new HelloGate(options).respond(client.nextDatagram()!, ADDRESS, 0);
  assert.ok(verdict.kind === "reply");
  client.receive(verdict.datagram, 0);
  server.receive(client.nextDatagram()!, 0);
  client.receive(server.nextDatagram()!, 0);
  assert.equal(client.phase, "flight");
  const opener = new EpochKeys(server.suite, server.secrets.server, 2);
  const messages = splitDatagram(server.nextDatagram()!).map((record): Message => {
    assert.ok(record.kind === "ciphertext");
    const opened = opener.open(record);
    assert.ok(typeof opened !== "string");
    const { type, messageSeq } = parseHandshakeHeader(opened.content)!;
    return { type, messageSeq, body: opened.content.subarray(HANDSHAKE_HEADER_LEN) };
  });
  const [encryptedExtensions, finished] = messages;
  assert.equal(finished.type, HANDSHAKE_TYPE.finished);
  return {
    client,
    keys: new EpochKeys(server.suite, server.secrets.server, 2),
    reader: new EpochKeys(server.suite, server.secrets.client, 2),
    encryptedExtensions,
    finished,
  };
}

function fragment({ type, messageSeq, body }: Message, start = 0, end = body.length): Uint8Array {
  return emitHandshakeFragment(type, messageSeq, body, start, end);
}

function record({ keys }: Scene, ...fragments: readonly Uint8Array[]): Uint8Array {
  return keys.seal(CONTENT_TYPE.handshake, concat(...fragments));
}

/** What the client sends now: the content types, and the records that its ACKs name. */
function said({ client, reader }: Scene): { types: number[]; acked: number[] } {
  const types: number[] = [];
  const acked: number[] = [];
  for (let out = client.nextDatagram(); out !== undefined; out = client.nextDatagram()) {
    for (const found of splitDatagram(out)) {
      assert.ok(found.kind === "ciphertext");
      const opened = reader.open(found);
      assert.ok(typeof opened !== "string");
      types.push(opened.contentType);
      if (opened.contentType === CONTENT_TYPE.ack) {
        acked.push(
          ...parseAck(opened.content)!.filter(({ epoch }) => epoch === 2).map((one) => one.sequenceNumber),
        );
      }
    }
  }
  return { types, acked };
}

Deno.test("DtlsClient reads several messages in one record", () => {
  const one = scene();
  one.client.receive(record(one, fragment(one.encryptedExtensions), fragment(one.finished)), 0);
  assert.equal(one.client.phase, "finished");
  assert.deepEqual(said(one).types, [CONTENT_TYPE.handshake]);
});

Deno.test("DtlsClient reads fragments in any order, overlapping, in one datagram or in many", () => {
  const cuts = fc.array(fc.tuple(fc.nat(31), fc.integer({ min: 1, max: 32 })), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(cuts, fc.boolean(), fc.boolean(), (parts, isOneDatagram, isLast) => {
      const one = scene();
      const { finished } = one;
      const pieces = parts.map(([start, len]) => fragment(finished, start, Math.min(start + len, 32)));
      const all = [...pieces, fragment(finished, 16, 32), fragment(finished, 0, 20)];
      const hello = record(one, fragment(one.encryptedExtensions));
      const records = all.map((piece) => record(one, piece));
      const ordered = isLast ? [...records, hello] : [hello, ...records];
      for (const datagram of isOneDatagram ? [concat(...ordered)] : ordered) one.client.receive(datagram, 0);
      assert.equal(one.client.phase, "finished");
    }),
    { numRuns: 50 },
  );
});

Deno.test("DtlsClient acknowledges no record of which it dropped a part", () => {
  const one = scene();
  const { encryptedExtensions, finished } = one;
  const tooFar = fragment({ ...finished, messageSeq: finished.messageSeq + 9 });
  one.client.receive(record(one, fragment(encryptedExtensions), tooFar), 0);
  one.client.receive(record(one, fragment(finished, 0, 10), Uint8Array.of(1, 2, 3)), 0);
  one.client.receive(record(one, fragment(finished, 10, 20)), 0);
  one.client.handleTimeout(one.client.nextTimeoutNs());
  assert.deepEqual(said(one), { types: [CONTENT_TYPE.ack], acked: [2] });
});

Deno.test("DtlsClient ends by what a server may not send in its flight, and says why in epoch 2", () => {
  for (
    const type of [HANDSHAKE_TYPE.keyUpdate, HANDSHAKE_TYPE.newConnectionId, HANDSHAKE_TYPE.certificate, 99]
  ) {
    const one = scene();
    one.client.receive(record(one, fragment({ ...one.encryptedExtensions, type })), 0);
    assert.equal(one.client.phase, "failed");
    assert.deepEqual(said(one).types, [CONTENT_TYPE.alert]);
  }
});

Deno.test("DtlsClient drops contents of other types in epoch 2, and goes on", () => {
  const one = scene();
  for (const type of [CONTENT_TYPE.applicationData, CONTENT_TYPE.changeCipherSpec, 24, 99]) {
    one.client.receive(one.keys.seal(type, Uint8Array.of(1, 2)), 0);
  }
  one.client.receive(one.keys.seal(CONTENT_TYPE.ack, Uint8Array.of(0, 15)), 0);
  one.client.receive(one.keys.seal(CONTENT_TYPE.alert, Uint8Array.of(2)), 0);
  assert.equal(one.client.drops.malformed, 6);
  one.client.receive(record(one, fragment(one.encryptedExtensions)), 0);
  one.client.receive(record(one, fragment(one.finished)), 0);
  assert.equal(one.client.phase, "finished");
});

Deno.test("DtlsClient ends by an authentic fatal alert alone", () => {
  const one = scene();
  const alert = Uint8Array.of(2, 40);
  const stranger = new EpochKeys(one.keys.suite, new Uint8Array(one.keys.suite.hashLen), 2);
  one.client.receive(stranger.seal(CONTENT_TYPE.alert, alert), 0);
  assert.equal(one.client.phase, "flight");
  one.client.receive(one.keys.seal(CONTENT_TYPE.alert, alert), 0);
  assert.equal(one.client.phase, "failed");
  assert.deepEqual(said(one).types, [], "an alert is not answered");
});

Deno.test("DtlsClient's ACK fits its datagrams, however many records anybody sent in the clear", () => {
  const groups = [0x11ec];
  const pipe = new Pipe(CLEAN, { datagramLen: 320, groups }, { groups });
  pipe.client.start(0);
  pipe.toServer(pipe.client.nextDatagram()!);
  const verdict = pipe.verdicts[0];
  assert.ok(verdict.kind === "reply");
  pipe.client.receive(verdict.datagram, 0);
  for (let number = 100; number < 140; number++) {
    const part = emitHandshakeFragment(HANDSHAKE_TYPE.serverHello, 1, new Uint8Array(1180), 0, 10);
    pipe.client.receive(plaintextRecord(CONTENT_TYPE.handshake, number, part), 0);
  }
  for (let out = pipe.client.nextDatagram(); out !== undefined; out = pipe.client.nextDatagram()) {
    pipe.toServer(out);
  }
  while (pipe.client.phase === "cookie") pipe.client.receive(pipe.server!.nextDatagram()!, 0);
  assert.equal(pipe.client.phase, "flight");
  pipe.client.handleTimeout(pipe.client.nextTimeoutNs());
  assert.equal(pipe.client.nextDatagram()!.length, 320);
});

Deno.test("DtlsServer goes on although its client's records have the last numbers that there are", () => {
  for (const number of [2 ** 48 - 1, 2 ** 48 - 2]) {
    const pipe = new Pipe(CLEAN);
    pipe.client.start(0);
    for (let hello = 0; hello < 2; hello++) {
      const datagram = pipe.client.nextDatagram()!;
      new DataView(datagram.buffer).setUint16(5, Math.floor(number / 2 ** 32));
      new DataView(datagram.buffer).setUint32(7, number % 2 ** 32);
      pipe.toServer(datagram);
      const verdict = pipe.verdicts[hello];
      if (verdict.kind === "reply") pipe.client.receive(verdict.datagram, 0);
    }
    for (let repeats = 0; repeats < 4; repeats++) pipe.server!.handleTimeout(pipe.server!.nextTimeoutNs());
    pipe.client.receive(pipe.server!.nextDatagram()!, 0);
    assert.equal(pipe.client.phase, "finished");
  }
});

Deno.test("DtlsServer sends its flight anew when the hello comes again, and waits a whole timeout after that", () => {
  const pipe = new Pipe(CLEAN);
  pipe.client.start(0);
  pipe.toServer(pipe.client.nextDatagram()!);
  const verdict = pipe.verdicts[0];
  assert.ok(verdict.kind === "reply");
  pipe.client.receive(verdict.datagram, 0);
  const second = pipe.client.nextDatagram()!;
  pipe.toServer(second);
  assert.ok(pipe.server!.nextDatagram() !== undefined);
  assert.equal(pipe.server!.nextTimeoutNs(), 400e6);
  pipe.nowNs = 300e6;
  pipe.toServer(second);
  assert.ok(pipe.server!.nextDatagram() !== undefined);
  assert.equal(pipe.server!.nextTimeoutNs(), 700e6);
});

Deno.test("the longest flights in the shortest datagrams have no more than ten records", () => {
  const groups = [0x11ec];
  for (const datagramLen of [PACKET_LENGTH_MIN - 48, PACKET_LENGTH_MIN - 28, 0]) {
    const pipe = new Pipe(CLEAN, { groups, datagramLen }, { groups });
    pipe.run(1e9);
    assertConnected(pipe);
    const counts = [0];
    pipe.trace.forEach(({ toServer, datagram }, index) => {
      if (index > 0 && pipe.trace[index - 1].toServer !== toServer) counts.push(0);
      counts[counts.length - 1] += splitDatagram(datagram).length;
    });
    assert.equal(counts.length, 6);
    assert.ok(Math.max(...counts) <= 10, `${counts}`); // RFC 9147 §5.8.3
  }
});

Deno.test("DtlsClient waits for another ServerHello when somebody's has an invalid share", () => {
  for (const [group, mark] of [[0x1d, "001d0020"], [0x17, "00170041"], [0x11ec, "11ec0460"]] as const) {
    const groups = [group];
    const pipe = new Pipe(CLEAN, { datagramLen: 1400, groups }, { groups });
    pipe.client.start(0);
    pipe.toServer(pipe.client.nextDatagram()!);
    const verdict = pipe.verdicts[0];
    assert.ok(verdict.kind === "reply");
    pipe.client.receive(verdict.datagram, 0);
    for (let out = pipe.client.nextDatagram(); out !== undefined; out = pipe.client.nextDatagram()) {
      pipe.toServer(out);
    }
    const answers: Uint8Array[] = [];
    for (let out = pipe.server!.nextDatagram(); out !== undefined; out = pipe.server!.nextDatagram()) {
      answers.push(out);
    }
    const [hello] = answers;
    const helloLen = 13 + (hello[11] << 8 | hello[12]);
    const shareEnd = hello.toHex().indexOf(mark) / 2 + 4 + shareLenOf(group, "server");
    const forged = hello.slice(0, helloLen).fill(0, shareEnd - 32, shareEnd);
    pipe.client.receive(forged, 0);
    assert.equal(pipe.client.phase, "cookie", `group ${group}`);
    assert.equal(pipe.client.drops.refused, 1);
    assert.equal(pipe.client.nextDatagram(), undefined, "nobody is told");
    for (const answer of answers) pipe.client.receive(answer, 0);
    assert.equal(pipe.client.phase, "finished", `group ${group}`);
  }
});
