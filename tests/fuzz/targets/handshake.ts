/** Handshake messages and what is made of them before and after authentication. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { CookieJar } from "../../../src/flight/cookie.ts";
import { HelloGate } from "../../../src/flight/hello_gate.ts";
import { MESSAGE_LEN_MAX, Reassembly } from "../../../src/flight/reassembly.ts";
import { cookieOfFirstFragment, emitClientHello, parseClientHello } from "../../../src/wire/client_hello.ts";
import { emitEncryptedExtensions, parseEncryptedExtensions } from "../../../src/wire/encrypted_extensions.ts";
import { EXTENSION, findExtension } from "../../../src/wire/extensions.ts";
import {
  emitHandshakeFragment,
  emitHandshakeMessage,
  HANDSHAKE_HEADER_LEN,
  parseHandshakeHeader,
} from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate, parseKeyUpdate } from "../../../src/wire/key_update.ts";
import { emitServerHello, isRetryRandom, parseServerHello } from "../../../src/wire/server_hello.ts";
import { ADDRESS, GROUPS, SUITES, testEntropy } from "../../unit/flight/pipe.ts";
import type { FuzzTarget } from "../harness.ts";
import { clearBodies, recorded } from "./samples.ts";

const SECRET = new Uint8Array(32).fill(3); // as the server's of the recorded handshakes
const { toServer, toClient } = recorded(0);
const fragments = recorded(600, [0x11ec]).toServer.slice(1, 4);

const HEADER: FuzzTarget = {
  name: "handshake-header",
  samples: () => [
    emitHandshakeMessage(1, 0, new Uint8Array(30)),
    emitHandshakeFragment(1, 1, new Uint8Array(90), 20, 50),
    emitHandshakeMessage(24, 3, emitKeyUpdate(true)),
  ],
  read(input) {
    const header = parseHandshakeHeader(input);
    if (header === undefined) return "refused";
    const { type, len, messageSeq, fragmentOffset, fragmentLen } = header;
    ok(HANDSHAKE_HEADER_LEN + fragmentLen <= input.length && fragmentOffset + fragmentLen <= len);
    const body = new Uint8Array(len < 4096 ? len : 0);
    if (body.length === len) {
      const end = HANDSHAKE_HEADER_LEN + fragmentLen;
      body.set(input.subarray(HANDSHAKE_HEADER_LEN, end), fragmentOffset);
      const again = emitHandshakeFragment(
        type,
        messageSeq,
        body,
        fragmentOffset,
        fragmentOffset + fragmentLen,
      );
      equal(again, input.slice(0, end));
    }
    return `${fragmentOffset > 0} ${fragmentLen === len} ${messageSeq > 1}`;
  },
};

const clientHello = (protocol: "dtls" | "tls"): FuzzTarget => ({
  name: `client-hello-${protocol}`,
  samples: () =>
    clearBodies(toServer).map((body) => {
      const hello = {
        ...parseClientHello("dtls", body)!,
        sessionId: new Uint8Array(protocol === "tls" ? 32 : 0),
      };
      return emitClientHello(protocol, hello);
    }),
  read(input) {
    const hello = parseClientHello(protocol, input);
    if (hello === undefined) return "refused";
    equal(emitClientHello(protocol, hello), input.slice());
    return `${hello.extensions.length} ${hello.suites.length} ${hello.sessionId.length > 0}`;
  },
});

const FIRST_FRAGMENT: FuzzTarget = {
  name: "first-fragment",
  samples: () => fragments.map((datagram) => datagram.slice(25)),
  read: (input) => cookieOfFirstFragment(input)?.length ?? "none",
};

const SERVER_HELLO: FuzzTarget = {
  name: "server-hello",
  samples: () => clearBodies(toClient),
  read(input) {
    const hello = parseServerHello(input);
    if (hello === undefined) return "refused";
    equal(emitServerHello(hello), input.slice());
    return `${isRetryRandom(hello.random)} ${hello.extensions.length} ${hello.sessionIdEcho.length > 0}`;
  },
};

const ENCRYPTED_EXTENSIONS: FuzzTarget = {
  name: "encrypted-extensions",
  samples: () => [
    emitEncryptedExtensions([]),
    emitEncryptedExtensions([{ type: 10, body: Uint8Array.of(0, 2, 0, 29) }]),
  ],
  read(input) {
    const extensions = parseEncryptedExtensions(input);
    if (extensions === undefined) return "refused";
    equal(emitEncryptedExtensions(extensions), input.slice());
    return Math.min(extensions.length, 20);
  },
};

const KEY_UPDATE: FuzzTarget = {
  name: "key-update",
  samples: () => [emitKeyUpdate(false), emitKeyUpdate(true)],
  lenMax: 16,
  read(input) {
    const update = parseKeyUpdate(input);
    if (update !== undefined) equal(emitKeyUpdate(update.requested), input.slice());
    return String(update?.requested);
  },
};

const COOKIE: FuzzTarget = {
  name: "cookie",
  samples: () =>
    clearBodies(toServer).map((body) =>
      findExtension(parseClientHello("dtls", body)!.extensions, EXTENSION.cookie)
    )
      .filter((cookie) => cookie !== undefined).map((cookie) => cookie.slice(2)),
  lenMax: 256,
  read(input) {
    const state = new CookieJar(SECRET).check(input, ADDRESS, 0);
    if (typeof state === "string") return state;
    ok(genuineCookies.has(input.join()), "a forged cookie passes");
    return "good";
  },
};
const genuineCookies = new Set(COOKIE.samples().map((cookie) => cookie.join()));

/** Nothing is kept, so that no order of inputs matters; no answer is longer than three times what came. */
const GATE: FuzzTarget = {
  name: "hello-gate",
  samples: () => [0, 320, 600, 1400].flatMap((len) => [...recorded(len).toServer.slice(0, 2), ...fragments]),
  read(input) {
    const gate = new HelloGate({ secret: SECRET, entropy: testEntropy(7), suites: SUITES, groups: GROUPS });
    const verdict = gate.respond(input, ADDRESS, 0);
    if (verdict.kind === "reply") ok(verdict.datagram.length <= 3 * input.length);
    return verdict.kind === "drop" ? verdict.reason : verdict.kind;
  },
};

/** One input is a train of fragments. */
const REASSEMBLY: FuzzTarget = {
  name: "handshake-fragments",
  samples: () =>
    [0, 30, 60].map((start) => emitHandshakeFragment(1, 1, new Uint8Array(90), start, start + 30))
      .flatMap((fragment, index, all) => [fragment, concat(...all), concat(...all.slice(index), ...all)]),
  read(input) {
    let whole = 0;
    const fates = new Set<string>();
    for (const epoch of [0, 2]) {
      const reassembly = new Reassembly(1);
      for (let at = 0; at < input.length;) {
        const header = parseHandshakeHeader(input, at);
        if (header === undefined) break;
        const from = at + HANDSHAKE_HEADER_LEN;
        at = from + header.fragmentLen;
        fates.add(reassembly.add(header, input.subarray(from, at), epoch));
        ok(reassembly.heldLen <= (epoch === 0 ? 1 : 5) * 2 * MESSAGE_LEN_MAX);
        const message = reassembly.peek();
        if (message === undefined) continue;
        ok(message.body.length <= MESSAGE_LEN_MAX);
        reassembly.advance();
        whole++;
      }
    }
    return `${Math.min(whole, 9)} ${[...fates].sort().join()}`;
  },
};

export const HANDSHAKE_TARGETS: readonly FuzzTarget[] = [
  HEADER,
  clientHello("dtls"),
  clientHello("tls"),
  FIRST_FRAGMENT,
  SERVER_HELLO,
  ENCRYPTED_EXTENSIONS,
  KEY_UPDATE,
  COOKIE,
  GATE,
  REASSEMBLY,
];
