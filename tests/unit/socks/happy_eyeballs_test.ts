import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { SocketError } from "../../../src/ports/sockets.ts";
import { RESET_REASON } from "../../../src/ports/streams.ts";
import { connectFirst, interleaved } from "../../../src/socks/happy_eyeballs.ts";
import { formatIp, parseIp } from "../../../src/wire/ip_address.ts";
import { FakeConnection, FakeSockets, FakeTimers, settled } from "./fakes.ts";

const ips = (...texts: string[]) => texts.map((text) => parseIp(text)!);

/** Connects to `addresses`; the script says for each what happens after how long. One line of trace. */
async function run(script: Record<string, ["ok" | number, number] | "never">): Promise<string> {
  const timers = new FakeTimers();
  const trace: string[] = [];
  const note = (text: string) => trace.push(`${timers.nowMs()},${text}`);
  const closed: string[] = [];
  const sockets = new FakeSockets((place, signal) => {
    const name = place.kind === "tcp" ? formatIp(place.ip) : "";
    note(name);
    const step = script[name];
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => {
        if (step === "never") reject(new SocketError(RESET_REASON.timedOut, "given up"));
      });
      if (step === "never") return;
      timers.after(step[1], () => {
        if (step[0] !== "ok") return reject(new SocketError(step[0], "failed"));
        const [connection] = FakeConnection.pair();
        connection.local = { ip: parseIp(name)!, port: 1 };
        connection.close = () => void closed.push(name);
        resolve(connection);
      });
    });
  });
  const result = connectFirst(sockets, timers, ips(...Object.keys(script)), 80, 20_000).then(
    ({ local }) => note(`=${formatIp(local!.ip)}`),
    (error: unknown) => note(error instanceof SocketError ? `!${error.reason}` : String(error)),
  );
  await timers.pass(60_000);
  await result;
  equal(timers.pending, 0);
  if (closed.length > 0) note(`closed ${closed}`);
  return trace.map((line) => line.replace(/^60000,/, "")).join(" ");
}

Deno.test("interleaved() lets families take turns, the first one's first (RFC 8305 §4)", () => {
  const order = (...texts: string[]) => interleaved(ips(...texts)).map(formatIp);
  deepEqual(order("::1", "::2", "::3", "1.1.1.1"), ["::1", "1.1.1.1", "::2", "::3"]);
  deepEqual(order("1.1.1.1", "1.1.1.2", "::1"), ["1.1.1.1", "::1", "1.1.1.2"]);
  deepEqual(order("1.1.1.1"), ["1.1.1.1"]);
});

Deno.test("connectFirst() waits 250 ms for an attempt, less for one that fails, and closes all but the first", async () => {
  equal(await run({ "1.1.1.1": ["ok", 20] }), "0,1.1.1.1 20,=1.1.1.1");
  equal(await run({ "::1": ["ok", 100], "1.1.1.1": "never" }), "0,::1 100,=::1");
  equal(await run({ "::1": "never", "1.1.1.1": ["ok", 10] }), "0,::1 250,1.1.1.1 260,=1.1.1.1");
  equal(
    await run({ "::1": [RESET_REASON.networkUnreachable, 5], "1.1.1.1": ["ok", 10] }),
    "0,::1 5,1.1.1.1 15,=1.1.1.1",
  );
  equal(
    await run({ "::1": ["ok", 400], "1.1.1.1": ["ok", 30] }),
    "0,::1 250,1.1.1.1 280,=1.1.1.1 closed ::1",
  );
  equal(
    await run({ "::1": "never", "::2": "never", "1.1.1.1": "never", "1.1.1.2": ["ok", 1] }),
    "0,::1 250,1.1.1.1 500,::2 750,1.1.1.2 751,=1.1.1.2",
  );
});

Deno.test("connectFirst() says why the last one failed, or that none answered in time", async () => {
  equal(await run({ "1.1.1.1": [RESET_REASON.connectionRefused, 3] }), `0,1.1.1.1 3,!5`);
  equal(
    await run({ "::1": [RESET_REASON.hostUnreachable, 300], "1.1.1.1": [RESET_REASON.connectionRefused, 3] }),
    "0,::1 250,1.1.1.1 300,!4",
  );
  equal(await run({ "1.1.1.1": "never", "1.1.1.2": "never" }), "0,1.1.1.1 250,1.1.1.2 20000,!16");
});

Deno.test("connectFirst() tries a bounded number of addresses", async () => {
  const timers = new FakeTimers();
  const sockets = new FakeSockets(() => Promise.reject(new SocketError(5, "refused")));
  const many = Array.from({ length: 500 }, (_, i) => Uint8Array.of(1, 1, i >> 8, i));
  const result = rejects(connectFirst(sockets, timers, many, 80, 1000));
  await settled();
  await result;
  ok(sockets.tried.length <= 16);
});
