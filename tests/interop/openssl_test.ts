/** TLS 1.3 of OpenSSL's s_server and s_client with the state machines that DTLS 1.3 shares, by an external PSK.
 *
 *   ClientHandshake, TlsLink ── 127.0.0.1 ── s_server          s_client ── 127.0.0.1 ── TlsLink, ServerHandshake
 */
import assert from "node:assert/strict";
import { type CipherSuite, suiteById } from "../../src/crypto/suites.ts";
import { ClientHandshake, type ClientHandshakeOptions } from "../../src/handshake/client_handshake.ts";
import { type LongTermKey, PskDirectory, pskOffers } from "../../src/handshake/psk_directory.ts";
import { ServerHandshake } from "../../src/handshake/server_handshake.ts";
import type { OutMessage, PskOffer } from "../../src/handshake/types.ts";
import { isRetryRandom, parseServerHello } from "../../src/wire/server_hello.ts";
import { findOpenssl, IDENTITY, KEY, OpensslPeer, sessionPem } from "./openssl_peer.ts";
import { TlsLink } from "./tls_link.ts";

const entropy = { fill: (out: Uint8Array) => void crypto.getRandomValues(out as Uint8Array<ArrayBuffer>) };
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const plainIdentity = new TextEncoder().encode(IDENTITY);
const WRONG_KEY = new Uint8Array(32).fill(9);
const GROUPS = [[0x1d, "X25519"], [0x17, "P-256"]] as const;
const SUITES = [0x1301, 0x1302, 0x1303].map(suiteById);

const found = await findOpenssl();
const why = "missing" in found ? ` (skipped: ${found.missing})` : "";

function interop(name: string, run: () => Promise<void>): void {
  Deno.test({ name: name + why, ignore: why !== "", fn: run });
}

interface Connected {
  readonly link: TlsLink;
  readonly machine: ClientHandshake;
  readonly peer: OpensslPeer;
  readonly isDone: boolean;
}

/** Our client with a running s_server, up to the end of the handshake. */
async function connect(
  options: Partial<ClientHandshakeOptions>,
  args: readonly string[],
  offers: readonly PskOffer[] = pskOffers({ key: KEY, plainIdentity }, "tls", [0x1301], entropy),
): Promise<Connected> {
  const { peer, port } = await OpensslPeer.server(args);
  const machine = new ClientHandshake({
    protocol: "tls",
    suites: [0x1301, 0x1303],
    groups: [0x1d, 0x17],
    entropy,
    offers,
    ...options,
  });
  const link = new TlsLink(await Deno.connect({ hostname: "127.0.0.1", port }), machine, "client");
  machine.start();
  return { link, machine, peer, isDone: await link.handshake() };
}

/** A ServerHandshake that remembers whether it asked for another hello. */
class WatchedServer extends ServerHandshake {
  askedAgain = false;

  override takeMessages(): OutMessage[] {
    const messages = super.takeMessages();
    for (const { epoch, type, body } of messages) {
      if (epoch === 0 && type === 2 && isRetryRandom(parseServerHello(body)!.random)) this.askedAgain = true;
    }
    return messages;
  }
}

interface Served {
  readonly link: TlsLink;
  readonly machine: WatchedServer;
  readonly peer: OpensslPeer;
  readonly isDone: boolean;
}

/** Our server with a running s_client, up to the end of the handshake. */
async function serve(
  policy: { readonly suites: readonly number[]; readonly groups: readonly number[] },
  args: readonly string[],
  longTerm: LongTermKey = { key: KEY, plainIdentity },
): Promise<Served> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const directory = new PskDirectory("tls", [longTerm]);
  const machine = new WatchedServer({
    protocol: "tls",
    entropy,
    lookup: (identity, hash) => directory.lookup(identity, hash),
    plainHash: longTerm.plainHash,
    ...policy,
  });
  const peer = OpensslPeer.client(listener.addr.port, args);
  const link = new TlsLink(await listener.accept(), machine, "server");
  listener.close();
  return { link, machine, peer, isDone: await link.handshake() };
}

/** A line each way. */
async function talk(link: TlsLink, peer: OpensslPeer, word: string): Promise<void> {
  await link.write(`${word} from us\n`);
  await peer.expect(new RegExp(`${word} from us`));
  await peer.say(`${word} from them`);
  assert.ok((await link.readText(`${word} from them`)).includes(`${word} from them`), peer.output);
}

/** A key for the hash of `suite`, as we have it, and OpenSSL's arguments for it: its plain keys are for SHA-256, and for
 * another hash it wants a session file. */
async function keyFor(suite: CipherSuite) {
  const isPlain = suite.hash === "sha256";
  const key = isPlain ? KEY : Uint8Array.from({ length: 48 }, (_, index) => index * 5 + 3);
  const file = isPlain ? "" : await Deno.makeTempFile();
  if (!isPlain) await Deno.writeTextFile(file, sessionPem(suite, key));
  return {
    longTerm: { key, plainIdentity, plainHash: suite.hash },
    args: isPlain ? ["-psk", hex(key)] : ["-psk_session", file],
    forget: async () => {
      if (!isPlain) await Deno.remove(file);
    },
  };
}

for (const suite of SUITES) {
  for (const [group, groupName] of GROUPS) {
    for (const isRetried of [false, true]) {
      const how = `${suite.name}, ${groupName}, ${isRetried ? "with" : "without"} HelloRetryRequest`;
      const policy = { suites: [suite.id], groups: [group] };

      interop(`ClientHandshake connects to OpenSSL's s_server: ${how}`, async () => {
        const { longTerm, args, forget } = await keyFor(suite);
        const { link, machine, peer, isDone } = await connect(
          { ...policy, shareGroups: isRetried ? [] : [group] },
          [...args, "-groups", groupName, "-ciphersuites", suite.name],
          pskOffers(longTerm, "tls", policy.suites, entropy),
        );
        await forget();
        assert.ok(isDone, peer.output);
        assert.equal(machine.isRetried, isRetried);
        assert.equal(machine.result!.suite.id, suite.id);
        assert.equal(machine.result!.group, group);
        await talk(link, peer, "line");
        await link.close();
        assert.equal(await peer.end(), 0, peer.output);
      });

      // s_client leaves the key of a session file out of its second hello.
      if (suite.hash !== "sha256" && isRetried) continue;
      interop(`ServerHandshake serves OpenSSL's s_client: ${how}`, async () => {
        const { longTerm, args, forget } = await keyFor(suite);
        // s_client sends a share of its first group alone.
        const theirs = isRetried ? (group === 0x1d ? "P-256:X25519" : "X25519:P-256") : groupName;
        const { link, machine, peer, isDone } = await serve(
          policy,
          [...args, "-psk_identity", IDENTITY, "-groups", theirs, "-ciphersuites", suite.name],
          longTerm,
        );
        await forget();
        assert.ok(isDone, `${machine.failure?.reason}\n${peer.output}`);
        assert.equal(machine.askedAgain, isRetried);
        assert.equal(machine.result!.suite.id, suite.id);
        assert.equal(machine.result!.group, group);
        await talk(link, peer, "line");
        await link.close();
        assert.equal(await peer.end(), 0, peer.output);
      });
    }
  }
}

interop("nextTrafficSecret() gives the keys that s_server changes to, and changes to with us", async () => {
  const { link, peer, isDone } = await connect({ shareGroups: [0x1d] }, ["-psk", hex(KEY)]);
  assert.ok(isDone, peer.output);
  await talk(link, peer, "before");
  await peer.say("k"); // a KeyUpdate that asks for none
  await talk(link, peer, "theirs");
  assert.equal(link.keyUpdates, 1);
  await peer.say("K"); // one that asks for ours
  await talk(link, peer, "both");
  assert.equal(link.keyUpdates, 2);
  await link.updateKeys(true);
  await talk(link, peer, "asked");
  assert.equal(link.keyUpdates, 3);
  await link.close();
  assert.equal(await peer.end(), 0, peer.output);
});

interop("nextTrafficSecret() gives the keys that s_client changes to, and changes to with us", async () => {
  const { link, peer, isDone } = await serve({ suites: [0x1301], groups: [0x1d] }, [
    ...["-psk", hex(KEY), "-psk_identity", IDENTITY, "-groups", "X25519"],
  ]);
  assert.ok(isDone, peer.output);
  await talk(link, peer, "before");
  await peer.say("k"); // a KeyUpdate that asks for none
  await talk(link, peer, "theirs");
  assert.equal(link.keyUpdates, 1);
  await peer.say("K"); // one that asks for ours
  await talk(link, peer, "both");
  assert.equal(link.keyUpdates, 2);
  await link.updateKeys(true);
  await talk(link, peer, "asked");
  assert.equal(link.keyUpdates, 3);
  await link.close();
  assert.equal(await peer.end(), 0, peer.output);
});

interop("ClientHandshake with a wrong key is refused by s_server", async () => {
  const offers = pskOffers({ key: WRONG_KEY, plainIdentity }, "tls", [0x1301], entropy);
  const { link, machine, peer, isDone } = await connect({ shareGroups: [0x1d] }, ["-psk", hex(KEY)], offers);
  assert.equal(isDone, false);
  assert.equal(machine.result, undefined);
  assert.equal(link.alert, "illegal_parameter");
  await link.close();
  await peer.kill();
});

interop("ServerHandshake refuses an s_client with a wrong key, and tells it nothing", async () => {
  const { link, machine, peer, isDone } = await serve({ suites: [0x1301], groups: [0x1d] }, [
    ...["-psk", hex(WRONG_KEY), "-psk_identity", IDENTITY, "-groups", "X25519"],
  ]);
  assert.equal(isDone, false);
  assert.equal(machine.failure!.reason, "wrong key");
  await link.close();
  assert.notEqual(await peer.end(), 0);
  assert.ok(!peer.output.includes("alert"), peer.output);
});

interop("ServerHandshake refuses an s_client with an unknown name, and tells it nothing", async () => {
  const { link, machine, peer, isDone } = await serve({ suites: [0x1301], groups: [0x1d] }, [
    ...["-psk", hex(KEY), "-psk_identity", "somebody", "-groups", "X25519"],
  ]);
  assert.equal(isDone, false);
  assert.equal(machine.failure!.reason, "unknown name or key");
  await link.close();
  assert.notEqual(await peer.end(), 0);
  assert.ok(!peer.output.includes("alert"), peer.output);
});

interop("ClientHandshake with a name that s_server does not know is refused", async () => {
  const nobody = { key: KEY, plainIdentity: new TextEncoder().encode("nobody") };
  const offers = pskOffers(nobody, "tls", [0x1301], entropy);
  const { link, machine, peer, isDone } = await connect({ shareGroups: [0x1d] }, ["-psk", hex(KEY)], offers);
  assert.equal(isDone, false);
  assert.equal(machine.result, undefined);
  assert.equal(link.alert, "missing_extension"); // signature_algorithms, for want of a key
  await link.close();
  await peer.kill();
});
