/** The executable as it is, its slots, padded hellos, raw and random datagrams included, with wolfSSL at the other end.
 * wolfSSL knows nothing of the inner protocol: handshake and records are what is tried. Topology: tests/e2e/lab.ts. */
import assert from "node:assert/strict";
import { parseKey } from "../../src/config/key.ts";
import { Ends, PACKET_LEN } from "../e2e/ends.ts";
import { CLIENT, isRoot, Lab, SERVER } from "../e2e/lab.ts";
import { assertUniform, sentBy } from "../e2e/observer.ts";
import { readPcap } from "../e2e/pcap.ts";
import { findPeer } from "./wolfssl_peer.ts";

const found = await findPeer();
const dir = "dir" in found ? found.dir : "";
const why = "missing" in found ? ` (skipped: ${found.missing})` : "";
const CASES = [
  ["TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", "x25519mlkem768"],
  ["TLS_CHACHA20_POLY1305_SHA256", "TLS13-CHACHA20-POLY1305-SHA256", "x25519"],
  ["TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", "secp256r1"],
] as const;

function interop(name: string, run: () => Promise<void>): void {
  Deno.test({ name: name + why, ignore: why !== "" || !isRoot, fn: run });
}

/** Starts a wolfssl_peer that has the key of the configured ends. */
async function startPeer(lab: Lab, place: "client" | "server", options: Readonly<Record<string, string>>) {
  const key = parseKey(await Deno.readFile(`${lab.dir}/client.key`)).bytes().toHex();
  const all = { at: SERVER, identity: "laptop", key, ...options };
  const words = Object.entries(all).map(([name, value]) => `${name}=${value}`);
  return lab.start(place, [`${dir}/wolfssl_peer`, place, "1405", ...words]);
}

for (const [suite, name, group] of CASES) {
  interop(`the executable's client in its slots, and a wolfSSL server: ${name}, ${group}`, async () => {
    await using lab = await Lab.create();
    const finish = await lab.capture("c", "udp port 1405");
    const tunnel = { identity: "plain", suites: [suite], groups: [group] };
    const ends = await Ends.configure(lab, { client: { tunnel } });
    const cid = "0102030405060708";
    const peer = await startPeer(lab, "server", { suite: name, group, cid, echo: "1", update: "500" });
    await peer.waitFor(/^port 1405$/);
    ends.startClient();
    await ends.client.waitFor(/handshake done/);
    assert.match(await peer.waitFor(/^connected/), new RegExp(`^connected ${name} ${group} ${cid} -$`, "i"));
    await peer.waitFor(/^data @/); // the client's parameters, inner type 0x40
    await new Promise((resolve) => setTimeout(resolve, 3000)); // longer than the client bears silence
    assert.equal(ends.client.lines.filter((line) => line.includes("handshake done")).length, 1);
    await ends.client.stop();
    await peer.waitFor(/^closed$/);
    const seen = readPcap(await finish());
    assertUniform(sentBy(seen, CLIENT), PACKET_LEN);
    // Its KeyUpdate was acknowledged in a slot: wolfSSL sends in epoch 4 (RFC 9147 §8), and was not taken for lost.
    const epochBits = new Set(sentBy(seen, SERVER).map(({ payload }) => payload[0] & 3));
    assert.ok(epochBits.has(3) && epochBits.has(0), [...epochBits].join());
  });

  interop(`a wolfSSL client, and the executable's server: ${name}, ${group}`, async () => {
    await using lab = await Lab.create();
    const ends = await Ends.configure(lab, {
      server: { server: { suites: [suite], groups: [group] }, client: { identity: "plain" } },
    });
    await ends.startServer();
    const peer = await startPeer(lab, "client", { suite: name, group, cid: "", share: "0" });
    const connected = await peer.waitFor(/^connected/);
    assert.match(connected, new RegExp(`^connected ${name} ${group} - [0-9a-f]{16}$`, "i"));
    assert.match(await ends.server.waitFor(/handshake done/), /laptop/);
    assert.ok(peer.running, peer.lines.join("\n"));
  });
}
