import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import type { StreamAddress, StreamCommands, StreamEvents } from "../../../src/ports/streams.ts";
import { BridgeEnd } from "../../../src/tunnel/stream_bridge.ts";
import { StreamRing } from "../../../src/tunnel/stream_ring.ts";

const RING_LEN = 1 << 18;

interface Pair {
  readonly main: BridgeEnd;
  readonly worker: BridgeEnd;
  wokenMain: number;
  wokenWorker: number;
}

function pair(): Pair {
  const down = StreamRing.create(RING_LEN);
  const up = StreamRing.create(RING_LEN);
  const made: Pair = {
    main: new BridgeEnd(down, up, () => made.wokenWorker++),
    worker: new BridgeEnd(new StreamRing(up.buffer), new StreamRing(down.buffer), () => made.wokenMain++),
    wokenMain: 0,
    wokenWorker: 0,
  };
  return made;
}

type Seen = readonly unknown[];

/** Notes each call; bytes are copied. Serves as commands and as events. */
function recorder(seen: Seen[], client: number): StreamCommands & StreamEvents {
  const note = (name: string) => (...args: unknown[]) => void seen.push([client, name, ...args]);
  const data = (name: string) => (id: number, bytes: Uint8Array, off: number, len: number) =>
    void seen.push([client, name, id, bytes.slice(off, off + len)]);
  return {
    ...{ open: note("open"), accept: note("accept"), reset: note("reset"), finish: note("finish") },
    ...{ consumed: note("consumed"), opening: note("opening"), accepted: note("accepted") },
    ...{ finished: note("finished"), sent: note("sent"), lost: note("lost") },
    write: data("write"),
    data: data("data"),
    datagram: (id, address, bytes, off, len) =>
      void seen.push([client, "datagram", id, address, bytes.slice(off, off + len)]),
  };
}

const ids = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const u32 = fc.nat(2 ** 32 - 1);
const clients = fc.nat(65_535);
const addresses: fc.Arbitrary<StreamAddress> = fc.record({
  host: fc.oneof(
    fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 255 }),
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  ),
  port: fc.nat(65_535),
});
const bytes = fc.uint8Array({ maxLength: 300 });

type Call = readonly [client: number, name: string, ...args: unknown[]];

const shared = (names: Record<"open" | "accept" | "data" | "finish" | "count", string>) => [
  fc.tuple(clients, fc.constant(names.open), ids, fc.constantFrom("stream", "datagrams"), addresses),
  fc.tuple(clients, fc.constant(names.accept), ids, addresses),
  fc.tuple(clients, fc.constant("reset"), ids, u32),
  fc.tuple(clients, fc.constant(names.data), ids, bytes),
  fc.tuple(clients, fc.constant(names.finish), ids),
  fc.tuple(clients, fc.constant(names.count), ids, u32),
  fc.tuple(clients, fc.constant("datagram"), ids, addresses, bytes),
];
const commandCalls: fc.Arbitrary<Call> = fc.oneof(
  ...shared({ open: "open", accept: "accept", data: "write", finish: "finish", count: "consumed" }),
);
const eventCalls: fc.Arbitrary<Call> = fc.oneof(
  ...shared({ open: "opening", accept: "accepted", data: "data", finish: "finished", count: "sent" }),
  fc.tuple(clients, fc.constant("lost"), u32),
);

/** Calls `name` of `to`, with off and len for bytes. */
function call(to: StreamCommands | StreamEvents, [, name, ...args]: Call): void {
  const last = args.at(-1);
  const hasBytes = name === "write" || name === "data" || name === "datagram";
  const extra = hasBytes && last instanceof Uint8Array ? [0, last.length] : [];
  (to as unknown as Record<string, (...args: unknown[]) => void>)[name](...args, ...extra);
}

/** An empty write says nothing, so it is not told. */
const told = (calls: readonly Call[]) =>
  calls.filter(([, name, , data]) =>
    !((name === "write" || name === "data") && (data as Uint8Array).length === 0)
  );

Deno.test("BridgeEnd hands on every command and every event as it was called, in order, for each client", () => {
  fc.assert(fc.property(fc.array(commandCalls), fc.array(eventCalls), (commands, events) => {
    const { main, worker } = pair();
    for (const one of commands) call(main.commands(one[0]), one);
    for (const one of events) call(worker.events(one[0]), one);
    const seen: Seen[] = [];
    equal(worker.drainCommands((client) => recorder(seen, client)), false);
    deepEqual(seen, told(commands));
    seen.length = 0;
    main.drainEvents((client) => recorder(seen, client));
    deepEqual(seen, told(events));
  }));
});

Deno.test("BridgeEnd keeps what finds no room, in order, and drops only datagrams, with a count", () => {
  const lens = fc.array(fc.tuple(fc.nat(100_000), fc.boolean(), fc.nat(3)), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(lens, (steps) => {
      const made = pair();
      const { main, worker } = made;
      const commands = main.commands(7);
      let written = 0;
      let datagrams = 0;
      let read = 0;
      let datagramsRead = 0;
      const check = (id: number, data: Uint8Array, off: number, len: number) => {
        equal(id, 5);
        for (let i = 0; i < len; i += 97) equal(data[off + i], (read + i) & 0xff);
        read += len;
      };
      const sink = { ...recorder([], 7), write: check, datagram: () => void datagramsRead++ };
      for (const [len, isDatagram, reads] of steps) {
        if (isDatagram) {
          commands.datagram(5, { host: "a", port: 1 }, new Uint8Array(len % 65_000), 0, len % 65_000);
          datagrams++;
        } else {
          const data = Uint8Array.from({ length: len + 3 }, (_, i) => written + i - 3);
          commands.write(5, data, 3, len);
          written += len;
        }
        if (reads === 3) worker.drainCommands(() => sink);
      }
      for (let i = 0; i < 200 && (main.waiting > 0 || read < written); i++) {
        worker.drainCommands(() => sink);
        main.flush();
      }
      worker.drainCommands(() => sink);
      equal(read, written);
      equal(main.waiting, 0);
      equal(datagramsRead + main.datagramsDropped, datagrams);
    }),
    { numRuns: 60 },
  );
});

Deno.test("BridgeEnd wakes the other end once, and again when it has read; a full ring has its writer woken", () => {
  const made = pair();
  const { main, worker } = made;
  main.commands(0).finish(1);
  main.commands(0).finish(3);
  equal(made.wokenWorker, 1);
  worker.drainCommands(() => undefined);
  main.commands(0).finish(5);
  equal(made.wokenWorker, 2);
  equal(made.wokenMain, 0);
  const piece = new Uint8Array(60_000);
  while (main.waiting === 0) main.commands(0).write(1, piece, 0, piece.length);
  worker.drainCommands(() => undefined);
  equal(made.wokenMain, 1);
  main.drainEvents(() => undefined);
  equal(main.waiting, 0);
  ok(made.wokenWorker >= 3);
});
