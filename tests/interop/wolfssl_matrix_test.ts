/** DTLS 1.3 with wolfSSL in both roles, by a program of ours on its library (wolfssl_peer.c): each suite and group, with
 * and without HelloRetryRequest and cookie, keys for SHA-384, KeyUpdates of both sides, tickets, a bad network between.
 *
 *   DtlsClient ── [relay] ── wolfssl_peer server          wolfssl_peer client ── [relay] ── HelloGate, DtlsServer
 */
import assert from "node:assert/strict";
import type { DtlsClientOptions } from "../../src/flight/dtls_client.ts";
import type { DtlsServerOptions } from "../../src/flight/dtls_server.ts";
import { type LongTermKey, PskDirectory } from "../../src/handshake/psk_directory.ts";
import { tool } from "../e2e/lab.ts";
import { OurClient, OurServer } from "./ends.ts";
import { freePort } from "./loopback.ts";
import { findPeer, SUITE_NAMES, WolfsslPeer } from "./wolfssl_peer.ts";

const HYBRID = 0x11ec;
const GROUPS = [[0x1d, "x25519"], [0x17, "secp256r1"], [HYBRID, "x25519mlkem768"]] as const;
const SHA384_SUITE = 0x1302;
/** Records under a key of ours: few, so that there are several KeyUpdates in a short time. */
const OFTEN = {
  rekeyRecords: 12,
  rekeyBlock: 1,
  ownIds: { issue: () => crypto.getRandomValues(new Uint8Array(8)), used: () => {}, close: () => {} },
};
/** Of both sides, in the end: by then each of the low two bits has stood for two epochs. */
const EPOCH_WANTED = 8;

const found = await findPeer();
const dir = "dir" in found ? found.dir : "";
const why = "missing" in found ? ` (skipped: ${found.missing})` : "";

function interop(name: string, run: () => Promise<void>): void {
  Deno.test({ name: name + why, ignore: why !== "", fn: run });
}

type PeerOptions = Readonly<Record<string, string>>;

interface Pair {
  readonly ours: OurClient | OurServer;
  readonly peer: WolfsslPeer;
}

/** A key for the hash of `suite`, as we have it and as wolfssl_peer is told. */
function keyFor(suite: number): { readonly longTerm: LongTermKey; readonly told: PeerOptions } {
  const plainHash = suite === SHA384_SUITE ? "sha384" : "sha256";
  const key = crypto.getRandomValues(new Uint8Array(plainHash === "sha384" ? 48 : 32));
  const identity = "interop";
  return {
    longTerm: { key, plainIdentity: new TextEncoder().encode(identity), plainHash },
    told: { key: key.toHex(), identity, suite: SUITE_NAMES.get(suite)! },
  };
}

/** A relay on a port of its own to `port`, until it is stopped. */
async function relay(port: number, options: readonly string[]) {
  const listenPort = await freePort();
  const command = new Deno.Command(await tool("relay"), {
    args: ["127.0.0.1", String(listenPort), "127.0.0.1", String(port), ...options],
    stdout: "piped",
  });
  const child = command.spawn();
  const reader = child.stdout.getReader();
  await reader.read(); // it says when it listens
  reader.releaseLock();
  return {
    port: listenPort,
    stop: async () => {
      child.kill("SIGTERM");
      await child.output();
    },
  };
}

/** A line each way. Both are repeated until they are there: the network may lose them. */
async function exchange({ ours, peer }: Pair, word: string): Promise<void> {
  await ours.until(
    () => ours.lines.includes(`${word} of theirs`) && peer.output.includes(`data ${word} of ours\n`),
    () => {
      ours.say(`${word} of ours`);
      peer.say(`send ${word} of theirs`);
    },
  );
}

/** Both change keys over and over while both talk, each time only after the one before has been followed: wolfSSL keeps
 * the keys of four epochs. */
async function changeKeys({ ours, peer }: Pair): Promise<void> {
  const { session } = ours.talk!;
  const newest = () => session.receiveEpochs[session.receiveEpochs.length - 1];
  const tick = () => {
    ours.say("tick");
    peer.say("send tock");
  };
  while (newest().epoch < EPOCH_WANTED) {
    const { epoch } = newest();
    peer.say("update");
    await ours.until(() => newest().epoch > epoch && newest().authenticated > 0, tick);
  }
  await ours.until(() => session.sendEpoch >= EPOCH_WANTED, tick);
}

/** Everything that two ends do once they have met; `name` is what the peer has to have agreed to. */
async function converse(pair: Pair, suite: number, group: string): Promise<void> {
  const { ours, peer } = pair;
  ours.explain = () => peer.output;
  await ours.until(() => ours.talk !== undefined);
  const connected = /^connected (\S+) (\S+) (\S+) (\S+)$/m;
  const [, theirSuite, theirGroup, theirId, ourId] = await peer.expect(connected);
  assert.equal(theirSuite, SUITE_NAMES.get(suite));
  assert.equal(theirGroup.toLowerCase(), group);
  assert.equal(ours.result!.suite.id, suite);
  assert.equal(ours.result!.groupName, group);
  const ids = ours.result!.connectionIds;
  assert.deepEqual([ids?.peer, ids?.own].map((id) => id?.toHex() || "-"), [theirId, ourId]);
  await exchange(pair, "first");
  await changeKeys(pair);
  await exchange(pair, "last");
  assert.equal(ours.phase, "connected");
}

interface Case {
  readonly suite: number;
  readonly group: number;
  readonly groupName: string;
  /** Of wolfssl_peer. */
  readonly told?: PeerOptions;
  /** Of the relay between; none: no relay. */
  readonly network?: readonly string[];
  /** Length of datagrams of random bytes that ours sends all the while; none: no such datagrams. */
  readonly chaffLen?: number;
  /** Something more, at the end. */
  readonly more?: (pair: Pair) => Promise<void>;
}

/** Our client with wolfSSL's server. */
async function connect(of: Case, options: Partial<DtlsClientOptions>): Promise<OurClient> {
  const { longTerm, told } = keyFor(of.suite);
  const { peer, port } = await WolfsslPeer.server(dir, { ...told, group: of.groupName, ...of.told });
  const between = of.network && await relay(port, of.network);
  const policy = { suites: [of.suite], groups: [of.group] };
  // A hello with a share of X25519MLKEM768 is one datagram like any other first one; the loopback takes it.
  const datagramLen = (options.shareGroups ?? []).includes(HYBRID) ? 1600 : 0;
  const client = { key: longTerm, datagramLen, ...policy, ...options };
  const ours = await OurClient.start(between?.port ?? port, client, OFTEN);
  if (of.chaffLen !== undefined) ours.chaff(of.chaffLen);
  try {
    await converse({ ours, peer }, of.suite, of.groupName);
    await of.more?.({ ours, peer });
  } finally {
    await Promise.all([ours.stop(), peer.kill(), between?.stop()]);
  }
  return ours;
}

/** Our server with wolfSSL's client. */
async function serve(of: Case, options: Partial<DtlsServerOptions> = {}): Promise<void> {
  const { longTerm, told } = keyFor(of.suite);
  const directory = new PskDirectory("dtls", [longTerm]);
  const lookup: DtlsServerOptions["lookup"] = (identity, hash) => directory.lookup(identity, hash);
  const policy = { suites: [of.suite], groups: [of.group], plainHash: longTerm.plainHash };
  const ours = await OurServer.start({ lookup, ...policy, ...options }, OFTEN);
  if (of.chaffLen !== undefined) ours.chaff(of.chaffLen);
  const between = of.network && await relay(ours.port, of.network);
  const peer = new WolfsslPeer(dir, "client", between?.port ?? ours.port, {
    ...told,
    group: of.groupName,
    ...of.told,
  });
  try {
    await converse({ ours, peer }, of.suite, of.groupName);
    await of.more?.({ ours, peer });
  } finally {
    await Promise.all([ours.stop(), peer.kill(), between?.stop()]);
  }
}

const CASES: readonly Case[] = [...SUITE_NAMES.keys()].flatMap((suite) =>
  GROUPS.map(([group, groupName]) => ({ suite, group, groupName }))
);
const nameOf = ({ suite, groupName }: Case) => `${SUITE_NAMES.get(suite)}, ${groupName}`;

for (const of of CASES) {
  for (const hasShare of [false, true]) {
    for (const hasCookie of [false, true]) {
      const how = `${hasShare ? "a share at once" : "no share at first"}, ${hasCookie ? "a" : "no"} cookie`;
      interop(`DtlsClient talks to a wolfSSL server: ${nameOf(of)}, ${how}`, async () => {
        const shareGroups = hasShare ? [of.group] : [];
        const ours = await connect({ ...of, told: { cookie: hasCookie ? "1" : "0", tickets: "1" } }, {
          shareGroups,
        });
        assert.equal(ours.wasRetried, !hasShare || hasCookie);
      });
    }

    interop(
      `DtlsServer talks to a wolfSSL client: ${nameOf(of)}, ${
        hasShare ? "a share at once" : "no share at first"
      }`,
      () => serve({ ...of, told: { share: hasShare ? "1" : "0" } }),
    );
  }
}

for (const chaffLen of [548, 1372]) {
  const network = ["loss=0.1", "delay=2", "jitter=20"];
  const all = (run: (of: Case) => Promise<unknown>) => async () => {
    const cases = CASES.map((of) => ({ ...of, chaffLen }));
    await Promise.all(cases.map((of, index) => run(index % 2 === 0 ? of : { ...of, network })));
  };

  interop(
    `DtlsClient talks to a wolfSSL server in padded datagrams of ${chaffLen} bytes among others of random bytes`,
    all((of) => connect(of, { datagramLen: chaffLen })),
  );

  interop(
    `DtlsServer talks to a wolfSSL client with datagrams of ${chaffLen} random bytes between`,
    all(serve),
  );
}

const OUR_ID = Uint8Array.of(0x0a, 0, 0xff, 0x20, 0x3f, 1, 2, 3);
const IDS = [["", OUR_ID], ["00112233445566778899", OUR_ID], ["a5", new Uint8Array(0)]] as const;

for (const [theirs, own] of IDS) {
  const what = `ids of ${theirs.length / 2} and ${own.length} bytes`;
  const all = (run: (of: Case) => Promise<unknown>) => async () => {
    const network = ["loss=0.1", "delay=2", "jitter=10"];
    const cases = CASES.map((of) => ({ ...of, told: { cid: theirs }, network }));
    await Promise.all(cases.map((of, index) => run(index % 2 === 0 ? { ...of, network: undefined } : of)));
  };

  interop(
    `DtlsClient talks to a wolfSSL server with connection ids: ${what}`,
    all((of) => connect(of, { connectionIds: { own } })),
  );

  interop(
    `DtlsServer talks to a wolfSSL client with connection ids: ${what}`,
    all((of) => serve(of, { newConnectionId: () => own })),
  );
}

interop("DtlsClient talks to a wolfSSL server that agrees to no connection ids", async () => {
  const ours = await connect(CASES[0], { connectionIds: { own: OUR_ID } });
  assert.equal(ours.result!.connectionIds, undefined);
});

interop(
  "DtlsServer talks to a wolfSSL client that offers no connection ids",
  () => serve(CASES[0], { newConnectionId: () => OUR_ID }),
);

/** Gives out spare ids or asks for some, KeyUpdates going on meanwhile; wolfSSL acknowledges both and uses neither. */
async function exchangeIds(pair: Pair): Promise<void> {
  const { ours, peer } = pair;
  const { idExchange } = ours.talk!.session;
  if (ours instanceof OurServer) idExchange.offer(4);
  else idExchange.takeSpare();
  assert.ok(idExchange.message !== undefined);
  await ours.until(() => idExchange.message === undefined, () => {
    ours.say("tick");
    peer.say("send tock");
  });
  await exchange(pair, "after");
}

const TOLD_IDS = { told: { cid: "aabbccdd" }, more: exchangeIds };

interop(
  "wolfSSL acknowledges a Session's NewConnectionId",
  () => serve({ ...CASES[0], ...TOLD_IDS }, { newConnectionId: () => OUR_ID }),
);

interop("wolfSSL acknowledges a Session's RequestConnectionId", async () => {
  await connect({ ...CASES[0], ...TOLD_IDS }, { connectionIds: { own: OUR_ID } });
});

for (const loss of [0.1, 0.3]) {
  const network = [`loss=${loss}`, "delay=2", "jitter=20", "dup=0.05"];
  const all = (run: (of: Case) => Promise<unknown>) => async () => {
    await Promise.all(CASES.map((of, index) => run({ ...of, network: [...network, `seed=${index + 1}`] })));
  };

  interop(
    `DtlsClient talks to a wolfSSL server over a path that loses ${
      100 * loss
    } %, repeats and reorders: all suites and groups`,
    all((of) => connect(of, {})),
  );

  interop(
    `DtlsServer talks to a wolfSSL client over a path that loses ${
      100 * loss
    } %, repeats and reorders: all suites and groups`,
    all(serve),
  );
}
