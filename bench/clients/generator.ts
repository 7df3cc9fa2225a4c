/** Many clients in one process, each cheap: a real handshake from an address of its own, then a train of padding under its
 * own key, all merged by one pacer. What a server sends is not read: let the firewall drop it. Prints "up N" for each
 * that is up, and ends at a line on standard input.
 *
 *   deno run -A bench/clients/generator.ts CONFIG.json      (GeneratorConfig) */

import { createSocket } from "node:dgram";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { DtlsClient, type DtlsResult } from "../../src/flight/dtls_client.ts";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import { Session } from "../../src/session/session.ts";
import { clientParameters } from "../../src/tunnel/client_parameters.ts";
import { Emitter, START_DELAY_NS } from "../../src/tunnel/emitter.ts";
import type { TrainParameters } from "../../src/tunnel/messages.ts";
import { CONNECTION_ID_LEN } from "../../src/tunnel/own_ids.ts";
import { receiveRateOf, REKEY_RECORDS, sealingOf, sessionOptions } from "../../src/tunnel/rekey.ts";
import { parseIp } from "../../src/wire/ip_address.ts";

export interface GeneratorConfig {
  readonly server: { readonly ip: string; readonly port: number };
  readonly train: TrainParameters;
  /** CPU of the pacer. */
  readonly cpu: number;
  /** Key in hexadecimal, and the address to send from. */
  readonly clients: readonly { readonly key: string; readonly from: string }[];
}

// Chosen here.
const AT_ONCE = 12;
const SAY_EVERY_MS = 400;
const SAY_TIMES = 5;
const REFILL_MS = 500;
const HANDSHAKE_MS = 60_000;
/** AES-128-GCM, and the cheapest group: handshakes are not what is measured. */
const OFFER = { suites: [0x1301], groups: [0x1d] };

const config: GeneratorConfig = JSON.parse(await Deno.readTextFile(Deno.args[0]));
const { train } = config;
const shim = openShim(shimPath());
shim.pacer.start({
  pollMode: "sleepy",
  fifo: false,
  cpu: config.cpu,
  calibrateMs: 50,
  leadNs: 100e3,
  leadMaxNs: 100e3,
});
const to: EndpointAddress = { ip: parseIp(config.server.ip)!, port: config.server.port };
const emitters: Emitter[] = [];

/** A handshake of `key` from `from`; its result, and the port that it was made from. */
function handshake(key: Uint8Array, from: string): Promise<{ result: DtlsResult; port: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ result: DtlsResult; port: number }>();
  const socket = createSocket("udp4");
  const dtls = new DtlsClient({
    ...OFFER,
    key: { key },
    entropy: shim.entropy,
    datagramLen: train.datagramLen,
    timeoutNs: 400e6,
    connectionIds: { own: new Uint8Array(0), peerLen: CONNECTION_ID_LEN },
    helloRepeatNs: 200e6,
    numberedAnswers: true,
  });
  const deadline = setTimeout(
    () => reject(new Error(`no handshake from ${from}: ${dtls.hint}`)),
    HANDSHAKE_MS,
  );
  let timer: number | undefined;
  let isDone = false;
  const advance = () => {
    if (isDone) return;
    for (let datagram = dtls.nextDatagram(); datagram !== undefined; datagram = dtls.nextDatagram()) {
      socket.send(datagram, config.server.port, config.server.ip);
    }
    clearTimeout(timer);
    if (dtls.phase === "connected") {
      isDone = true;
      clearTimeout(deadline);
      const { port } = socket.address();
      socket.close(() => resolve({ result: dtls.result!, port }));
      return;
    }
    const nextNs = dtls.nextTimeoutNs();
    timer = setTimeout(() => {
      if (isDone) return;
      dtls.handleTimeout(shim.clock.nowNs());
      advance();
    }, Math.max(1, (nextNs - shim.clock.nowNs()) / 1e6));
  };
  socket.on("message", (datagram) => {
    if (isDone) return;
    dtls.receive(new Uint8Array(datagram), shim.clock.nowNs());
    advance();
  });
  socket.bind({ address: from, port: 0 }, () => {
    dtls.start(shim.clock.nowNs());
    advance();
  });
  return promise;
}

/** The train of a client, which says its wishes a few times. */
async function start(key: Uint8Array, from: string): Promise<void> {
  const { result, port } = await handshake(key, from);
  const secrets = {
    suite: result.suite.id,
    send: result.clientSecret,
    receive: result.serverSecret,
    sendMessageSeq: result.sendMessageSeq,
    receiveMessageSeq: result.receiveMessageSeq,
    connectionIds: result.connectionIds,
  };
  const options = sessionOptions(REKEY_RECORDS, train, receiveRateOf(train));
  const session = new Session(shim.memory, shim.protection, secrets, options, shim.clock.nowNs());
  const seed = new Uint8Array(36);
  shim.entropy.fill(seed);
  const phase = new DataView(seed.buffer).getUint32(32) / 2 ** 32;
  const emitter = new Emitter(shim.memory, shim.pacer, {
    train,
    seed: seed.subarray(0, 32),
    startNs: shim.clock.nowNs() + START_DELAY_NS + phase * train.intervalNs,
    fd: shim.udpOpen({ ip: parseIp(from)!, port }).fd,
    to,
    traceCount: 0,
    cid: result.connectionIds!.peer,
  });
  emitter.setKey(sealingOf(session), 0);
  emitters.push(emitter);
  const nonce = seed.slice(0, 8);
  for (let said = 0; said < SAY_TIMES; said++) {
    emitter.control(clientParameters(train, train, nonce));
    if (said === 0) emitter.start();
    await new Promise((resolve) => setTimeout(resolve, SAY_EVERY_MS));
  }
}

setInterval(() => {
  for (const emitter of emitters) while (emitter.refill()) { /* go on */ }
}, REFILL_MS);
const waiting = config.clients.map(({ key, from }) => ({ key: Uint8Array.fromHex(key), from }));
let up = 0;
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    await start(next.key, next.from);
    console.log(`up ${++up}`);
  }
}));
await Deno.stdin.read(new Uint8Array(1));
Deno.exit(0);
