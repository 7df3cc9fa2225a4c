/** OpenSSL's s_server and s_client with the program's own TCP carrier: handshake, records in slots, KeyUpdates.
 *
 *   TlsClient, TcpEmitter ── 127.0.0.1 ── s_server        s_client ── 127.0.0.1 ── TlsServer, TcpEmitter
 */
import assert from "node:assert/strict";
import { TlsClient } from "../../src/flight/tls_client.ts";
import { TlsServer } from "../../src/flight/tls_server.ts";
import { PskDirectory } from "../../src/handshake/psk_directory.ts";
import { ANY_PORT, LOOPBACK, shim } from "../ffi/support.ts";
import { Poller, streams } from "../ffi/stream_support.ts";
import { CarrierLink } from "./carrier_link.ts";
import { findOpenssl, IDENTITY, KEY, OpensslPeer } from "./openssl_peer.ts";

const entropy = { fill: (out: Uint8Array) => void crypto.getRandomValues(out as Uint8Array<ArrayBuffer>) };
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const plainIdentity = new TextEncoder().encode(IDENTITY);
const WRONG_KEY = new Uint8Array(32).fill(9);
const CONNECTION = 7;
const GROUPS = [[0x1d, "X25519"], [0x17, "P-256"]] as const;

const found = await findOpenssl();
const why = "missing" in found ? ` (skipped: ${found.missing})` : "";

function interop(name: string, run: () => Promise<void>): void {
  Deno.test({ name: name + why, ignore: why !== "", fn: run });
}

/** Our client with a running s_server, up to the end of the handshake. */
async function connect(groups: readonly number[], args: readonly string[], key = KEY) {
  const { peer, port } = await OpensslPeer.server(args);
  const fd = streams.connect({ ip: LOOPBACK, port });
  const poller = new Poller();
  streams.add(fd, CONNECTION, "connecting");
  poller.until(() => poller.told.length > 0);
  poller.close();
  const tls = new TlsClient({ key: { key, plainIdentity }, suites: [0x1301, 0x1303], groups, entropy });
  const link = new CarrierLink(fd, CONNECTION, tls, "client");
  return { link, peer, tls, isDone: await link.handshake() };
}

/** Our server with a running s_client, up to the end of the handshake. */
async function serve(groups: readonly number[], args: readonly string[]) {
  const listener = shim.tcpListen(ANY_PORT);
  const directory = new PskDirectory("tls", [{ key: KEY, plainIdentity }]);
  const tls = new TlsServer({
    lookup: (identity, hash) => directory.lookup(identity, hash),
    suites: [0x1301, 0x1303],
    groups,
    entropy,
  });
  const peer = OpensslPeer.client(listener.address.port, args);
  let accepted;
  while ((accepted = streams.accept(listener.fd)) === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  shim.close(listener.fd);
  streams.add(accepted.fd, CONNECTION, "paused");
  const link = new CarrierLink(accepted.fd, CONNECTION, tls, "server");
  return { link, peer, tls, isDone: await link.handshake() };
}

/** A line each way, ours in a slot between padding. */
async function talk(link: CarrierLink, peer: OpensslPeer, word: string): Promise<void> {
  link.write(`${word} from us\n`);
  await link.until(() => link.isBroken || peer.output.includes(`${word} from us`));
  assert.ok(peer.output.includes(`${word} from us`));
  await peer.say(`${word} from them`);
  const text = await link.readText(`${word} from them`);
  assert.ok(text.includes(`${word} from them`), peer.output.replaceAll("\0", ""));
}

for (const [group, name] of GROUPS) {
  interop(`TcpEmitter's records are what s_server reads, and its own are read: ${name}`, async () => {
    const { link, peer, isDone } = await connect([group], ["-psk", hex(KEY), "-groups", name]);
    assert.ok(isDone, peer.output);
    await talk(link, peer, "line");
    link.close();
    await peer.end();
  });

  interop(`TcpEmitter's records are what s_client reads, and its own are read: ${name}`, async () => {
    const args = ["-psk", hex(KEY), "-psk_identity", IDENTITY, "-groups", name];
    const { link, peer, isDone } = await serve([group], args);
    assert.ok(isDone, peer.output);
    await talk(link, peer, "line");
    link.close();
    await peer.kill();
  });
}

interop("TlsServer asks s_client for another group by a HelloRetryRequest", async () => {
  const args = ["-psk", hex(KEY), "-psk_identity", IDENTITY, "-groups", "P-256:X25519"];
  const { link, peer, tls, isDone } = await serve([0x1d], args);
  assert.ok(isDone, peer.output);
  assert.equal(tls.result!.group, 0x1d);
  await talk(link, peer, "line");
  link.close();
  await peer.kill();
});

interop("keys change in the record that says so, ours and theirs, asked for or not", async () => {
  const { link, peer, isDone } = await connect([0x1d], ["-psk", hex(KEY)]);
  assert.ok(isDone, peer.output);
  await talk(link, peer, "before");
  link.emitter!.update(link.session!.nextSendKey(), link.emitter!.numberNext + 5);
  await link.until(() => !link.emitter!.changing);
  await talk(link, peer, "ours");
  await peer.say("k"); // a KeyUpdate that asks for none
  await talk(link, peer, "theirs");
  assert.equal(link.keyUpdates, 1);
  await peer.say("K"); // one that asks for ours
  await talk(link, peer, "both");
  assert.equal(link.keyUpdates, 2);
  await link.until(() => !link.session!.updateRequested && !link.emitter!.changing);
  await talk(link, peer, "after");
  link.close();
  await peer.end();
});

interop("s_server refuses a wrong key; s_client with a wrong key or name hears decrypt_error", async () => {
  const ours = await connect([0x1d], ["-psk", hex(KEY)], WRONG_KEY);
  assert.equal(ours.isDone, false);
  assert.match(ours.tls.failure!.reason, /ended the handshake/);
  ours.link.close();
  await ours.peer.kill();
  for (
    const args of [["-psk", hex(WRONG_KEY), "-psk_identity", IDENTITY], [
      "-psk",
      hex(KEY),
      "-psk_identity",
      "x",
    ]]
  ) {
    const theirs = await serve([0x1d], [...args, "-groups", "X25519"]);
    assert.equal(theirs.isDone, false);
    assert.notEqual(await theirs.peer.end(), 0);
    assert.match(theirs.peer.output, /alert decrypt error/i);
    theirs.link.close();
  }
});
