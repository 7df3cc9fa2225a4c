/** DTLS 1.3 with wolfSSL's own client and server, over UDP on the loopback: handshake and a line each way in epoch 3.
 *
 *   DtlsClient ── 127.0.0.1 ── wolfSSL server          wolfSSL client ── 127.0.0.1 ── HelloGate, DtlsServer
 */
import assert from "node:assert/strict";
import type { DtlsClientOptions, DtlsResult } from "../../src/flight/dtls_client.ts";
import type { DtlsServerOptions } from "../../src/flight/dtls_server.ts";
import { PskDirectory } from "../../src/handshake/psk_directory.ts";
import type { Session } from "../../src/session/session.ts";
import { type Loses, OurClient, OurServer } from "./ends.ts";
import { freePort } from "./loopback.ts";
import {
  CLIENT_LINE,
  findPeer,
  PEER_CLIENT_KEY,
  PEER_KEY,
  type PeerRun,
  runPeer,
  SERVER_LINE,
  SUITE_NAMES,
} from "./wolfssl_peer.ts";

const found = await findPeer();
const dir = "dir" in found ? found.dir : "";
const why = "missing" in found ? ` (skipped: ${found.missing})` : "";

function interop(name: string, run: () => Promise<void>): void {
  Deno.test({ name: name + why, ignore: why !== "", fn: run });
}

interface Outcome {
  readonly peer: PeerRun;
  readonly result: DtlsResult | undefined;
  readonly phase: string;
  readonly lines: readonly string[];
  readonly session: Session | undefined;
}

/** Our server; wolfSSL's client connects, says its line and expects the answer. */
async function serve(
  options: Partial<DtlsServerOptions>,
  args: readonly string[],
  loses?: Loses,
): Promise<Outcome> {
  const directory = new PskDirectory("dtls", [PEER_CLIENT_KEY]);
  const lookup: DtlsServerOptions["lookup"] = (identity, hash) => directory.lookup(identity, hash);
  const server = await OurServer.start({ lookup, ...options }, {}, loses);
  const running = runPeer(dir, "client", ["-h", "127.0.0.1", "-p", String(server.port), ...args]);
  await server.until(() => server.lines.length > 0);
  server.say(SERVER_LINE);
  const peer = await running;
  await server.stop();
  const { result, phase, lines, talk } = server;
  return { peer, result, phase, lines, session: talk?.session };
}

/** Our client; connects to wolfSSL's server, says a line and waits for the answer. */
async function connect(
  options: Partial<DtlsClientOptions>,
  args: readonly string[],
  loses?: Loses,
): Promise<Outcome> {
  const port = await freePort();
  let hasEnded = false;
  // Its server reads anew when a datagram follows the line, and our ACK of a ticket (-T: none) may be that.
  const running = runPeer(dir, "server", ["-p", String(port), "-T", ...args]).finally(() => hasEnded = true);
  const client = await OurClient.start(port, { key: PEER_KEY, ...options }, {}, loses);
  await client.until(() => client.lines.length > 0 || hasEnded, () => client.say(CLIENT_LINE), 300);
  client.closeNotify();
  const peer = await running;
  await client.stop();
  const { result, phase, lines, talk } = client;
  return { peer, result, phase, lines, session: talk?.session };
}

const HYBRID = 0x11ec;
const GROUP_NAMES = [[0x1d, "x25519"], [0x17, "secp256r1"], [HYBRID, "x25519mlkem768"]] as const;

for (const [suite, suiteName] of SUITE_NAMES) {
  for (const [group, groupName] of GROUP_NAMES) {
    const args = ["-l", suiteName, ...group === HYBRID ? ["--pqc", "X25519MLKEM768"] : []];
    // A plain identity stands for SHA-256 (RFC 8446 §4.2.11), so that there is no suite with SHA-384 here.
    if (suite === 0x1302) continue;
    interop(`DtlsServer serves a wolfSSL client: ${suiteName}, ${groupName}`, async () => {
      const { peer, result, phase, lines } = await serve({ suites: [suite], groups: [group] }, args);
      assert.equal(peer.code, 0, peer.output);
      assert.equal(phase, "connected", peer.output);
      assert.equal(result!.suite.id, suite);
      assert.equal(result!.group, group);
      assert.deepEqual(lines.map((line) => line.slice(0, CLIENT_LINE.length)), [CLIENT_LINE]);
      assert.ok(peer.output.includes(SERVER_LINE), peer.output);
    });

    interop(`DtlsClient connects to a wolfSSL server: ${suiteName}, ${groupName}`, async () => {
      const { peer, result, phase, lines } = await connect({ suites: [suite], groups: [group] }, args);
      assert.equal(phase, "connected", peer.output);
      assert.equal(result!.suite.id, suite);
      assert.equal(result!.group, group);
      assert.deepEqual(lines.map((line) => line.slice(0, SERVER_LINE.length)), [SERVER_LINE]);
      assert.ok(peer.output.includes(CLIENT_LINE), peer.output);
      assert.equal(peer.code, 0, peer.output);
    });
  }
}

interop("DtlsServer serves a wolfSSL client although each datagram is lost once", async () => {
  const { peer, phase, lines } = await serve({}, [], (index) => index < 6 && index % 2 === 0);
  assert.equal(phase, "connected", peer.output);
  assert.ok(lines.length > 0);
  assert.ok(peer.output.includes(SERVER_LINE), peer.output);
});

interop("DtlsClient connects to a wolfSSL server although each datagram is lost once", async () => {
  const { peer, phase, lines } = await connect({}, [], (index) => index < 6 && index % 2 === 0);
  assert.equal(phase, "connected", peer.output);
  assert.ok(lines.length > 0, peer.output);
});

interop("DtlsClient connects to a wolfSSL server with datagrams of one length", async () => {
  const { peer, phase, lines } = await connect({ datagramLen: 700 }, []);
  assert.equal(phase, "connected", peer.output);
  assert.equal(lines.length, 1, peer.output);
});

const PQC = ["--pqc", "X25519MLKEM768"];

for (const datagramLen of [548, 700, 1372]) {
  interop(
    `DtlsClient sends a wolfSSL server its large hello in datagrams of ${datagramLen} bytes`,
    async () => {
      const { peer, phase, result, lines } = await connect({ datagramLen, groups: [HYBRID] }, PQC);
      assert.equal(phase, "connected", peer.output);
      assert.equal(result!.group, HYBRID);
      assert.equal(lines.length, 1, peer.output);
    },
  );
}

interop(
  "DtlsClient connects to a wolfSSL server although fragments of its large hello are lost",
  async () => {
    const loses = (index: number) => index < 9 && index % 3 === 1;
    const { peer, phase, lines } = await connect({ datagramLen: 548, groups: [HYBRID] }, PQC, loses);
    assert.equal(phase, "connected", peer.output);
    assert.ok(lines.length > 0, peer.output);
  },
);

interop("DtlsServer serves a wolfSSL client although the first part of its large hello is lost", async () => {
  const { peer, phase, lines } = await serve({ groups: [HYBRID] }, PQC, (index) => index === 1);
  assert.equal(phase, "connected", peer.output);
  assert.ok(lines.length > 0);
  assert.ok(peer.output.includes(SERVER_LINE), peer.output);
});

interop("DtlsClient connects to a wolfSSL server with a share at once", async () => {
  const { peer, phase, result, lines } = await connect({ shareGroups: [0x17] }, []);
  assert.equal(phase, "connected", peer.output);
  assert.equal(result!.group, 0x17);
  assert.equal(lines.length, 1, peer.output);
});

interop("DtlsClient with a wrong key never connects to a wolfSSL server", async () => {
  const { result } = await connect({ key: { ...PEER_KEY, key: new Uint8Array(32) } }, []);
  assert.equal(result, undefined);
});

interop("Session follows a wolfSSL client's KeyUpdate and answers it, since that asks for ours", async () => {
  const { peer, lines, session } = await serve({}, ["-I"]);
  assert.equal(peer.code, 0, peer.output);
  assert.ok(lines.length > 0);
  assert.ok(peer.output.includes(SERVER_LINE), peer.output);
  assert.deepEqual(session!.receiveEpochs.map(({ epoch }) => epoch), [3, 4]);
  assert.equal(session!.sendEpoch, 4);
});

interop("Session follows a wolfSSL server's KeyUpdate and answers it, since that asks for ours", async () => {
  const { peer, lines, session } = await connect({}, ["-U"]);
  assert.ok(lines.length > 0, peer.output);
  assert.deepEqual(session!.receiveEpochs.map(({ epoch }) => epoch), [3, 4]);
  assert.equal(session!.sendEpoch, 4);
});
