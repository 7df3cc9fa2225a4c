import assert from "node:assert/strict";
import { PacketFile, PacketMonitor } from "../../../src/status/packet_file.ts";
import { StatusError } from "../../../src/status/status_server.ts";

function row(direction: number, number: number, sent: bigint, received: bigint): Uint8Array {
  const bytes = new Uint8Array(25);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, direction);
  view.setBigUint64(1, BigInt(number));
  view.setBigUint64(9, sent);
  view.setBigUint64(17, received);
  return bytes;
}

const HEADING = "direction,sequence,sent_ns,received_ns,lost";

Deno.test("PacketFile writes a line a packet, exact to the nanosecond, for its owner alone", async () => {
  const path = await Deno.makeTempFile();
  const file = PacketFile.open(path);
  file.write(
    new Uint8Array([
      ...row(0, 7, 1_764_108_000_123_456_789n, 1_764_108_000_123_999_999n),
      ...row(1, 8, 0n, 0n),
    ]),
  );
  file.close();
  assert.deepEqual(Deno.readTextFileSync(path).split("\n"), [
    HEADING,
    "c2s,7,1764108000123456789,1764108000123999999,0",
    "s2c,8,0,0,1",
    "",
  ]);
  await Deno.remove(path);
});

Deno.test("PacketFile begins another file at its bound and keeps the one before", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/packets.csv`;
  const file = PacketFile.open(path, 200);
  for (let number = 0; number < 30; number++) file.write(row(0, number, 5n, 6n));
  file.close();
  const [now, before] = [path, `${path}.1`].map((name) => Deno.readTextFileSync(name).trim().split("\n"));
  for (const lines of [now, before]) {
    assert.equal(lines[0], HEADING);
    assert.ok(lines.join("\n").length < 250);
  }
  const last = before.at(-1)!.split(",")[1];
  assert.equal(Number(last), 29 - (now.length - 1));
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("PacketFile.open() names the setting when it cannot write; PacketMonitor gives up with one line", () => {
  assert.throws(
    () => PacketFile.open("/none/there"),
    (error) => error instanceof StatusError && /tunnel.monitor_packets/.test(error.message),
  );
  const lines: string[] = [];
  const note = (message: string) => void lines.push(message);
  const log = { error: note, warn: note, info: note, debug: note, log: () => {} };
  let closed = 0;
  const full = {
    write: () => {
      throw new Error("No space left on device");
    },
    close: () => void closed++,
  };
  const monitor = new PacketMonitor(full, log);
  monitor.write(row(0, 1, 2n, 3n));
  monitor.write(row(0, 1, 2n, 3n));
  monitor.close();
  assert.deepEqual([lines, closed], [["packets are not monitored any more"], 1]);
});
