import assert from "node:assert/strict";
import { createLog } from "../../../src/status/log.ts";
import { SlotTraceFile } from "../../../src/status/slot_trace.ts";
import { readStatus, StatusError, StatusServer } from "../../../src/status/status_server.ts";

const log = createLog({ level: "debug", format: "plain", write: () => {}, nowMs: () => 0 });

function inFolder(work: (folder: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = await Deno.makeTempDir({ prefix: "i405-test-" });
    try {
      await work(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  };
}

Deno.test(
  "StatusServer answers each connection with a new document, to its owner only, and leaves nothing",
  inFolder(async (folder) => {
    const path = `${folder}/s`;
    let asked = 0;
    const server = await StatusServer.open(path, () => ({ asked: ++asked, long: "x".repeat(1e6) }), log);
    assert.equal(Deno.lstatSync(path).mode! & 0o777, 0o600);
    const documents = await Promise.all([readStatus(path), readStatus(path)]) as {
      asked: number;
      long: string;
    }[];
    assert.deepEqual(documents.map((document) => document.asked).sort(), [1, 2]);
    assert.equal(documents[0].long.length, 1e6);
    await server.close();
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }),
);

Deno.test(
  "StatusServer.open() replaces the socket of a killed run, but nothing else",
  inFolder(async (folder) => {
    const path = `${folder}/s`;
    const killed = Deno.listen({ transport: "unix", path: `${folder}/first` });
    Deno.renameSync(`${folder}/first`, path); // so that closing leaves the file, as a killed run does
    killed.close();
    assert.ok(Deno.lstatSync(path).isSocket);
    const server = await StatusServer.open(path, () => 1, log);
    assert.equal(await readStatus(path), 1);
    await assert.rejects(StatusServer.open(path, () => 2, log), /another program answers there/);
    assert.equal(await readStatus(path), 1);
    await server.close();
    Deno.writeTextFileSync(path, "precious");
    await assert.rejects(StatusServer.open(path, () => 1, log), /there is something else/);
    assert.equal(Deno.readTextFileSync(path), "precious");
    await assert.rejects(StatusServer.open(`${folder}/none/s`, () => 1, log), StatusError);
  }),
);

Deno.test(
  "StatusServer serves others while some do not read, and a bounded number at once",
  inFolder(async (folder) => {
    const path = `${folder}/s`;
    const server = await StatusServer.open(path, () => "x".repeat(1e6), log);
    const silent = [];
    for (let i = 0; i < 7; i++) silent.push(await Deno.connect({ transport: "unix", path }));
    assert.equal((await readStatus(path) as string).length, 1e6);
    const last = await Deno.connect({ transport: "unix", path });
    assert.notEqual(await last.read(new Uint8Array(8)), null); // the eighth place is taken from here on
    await assert.rejects(readStatus(path), StatusError);
    await server.close();
    for (const connection of [...silent, last]) connection.close();
  }),
);

Deno.test(
  "readStatus() says what is wrong: no socket, no JSON",
  inFolder(async (folder) => {
    await assert.rejects(
      readStatus(`${folder}/s`),
      /is the tunnel running, with `socket` in its \[status\]\?/,
    );
    const listener = Deno.listen({ transport: "unix", path: `${folder}/s` });
    const answered = listener.accept().then(async (connection) => {
      await connection.write(new TextEncoder().encode("hello"));
      connection.close();
    });
    await assert.rejects(readStatus(`${folder}/s`), /is not JSON/);
    await answered;
    listener.close();
  }),
);

Deno.test(
  "SlotTraceFile writes a heading and five numbers a slot, for its owner, up to its bound",
  inFolder(async (folder) => {
    const path = `${folder}/t`;
    const entry = { slot: 0, plannedNs: 1000.5, actualNs: 1001, dataRecords: 1, flags: 2 };
    const file = SlotTraceFile.open(path, 1_405_000_000_000_000_000);
    file.write([entry, { ...entry, slot: 1, actualNs: 0, flags: 1 }]);
    file.close();
    const lines = (await Deno.readTextFile(path)).split("\n");
    assert.match(lines[0], /^# .*wall_base_ns=1405000000000000000$/);
    assert.deepEqual(lines.slice(1), ["0 1000.5 1001 1 2", "1 1000.5 0 1 1", ""]);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);

    const bounded = SlotTraceFile.open(path, 5, 200);
    let read = 0;
    for (let i = 0; i < 3; i++) {
      bounded.write(function* () {
        for (; read < 10 * (i + 1); read++) yield { ...entry, slot: read };
      }());
    }
    assert.ok(bounded.isFull);
    assert.equal(read, 30);
    bounded.close();
    const text = await Deno.readTextFile(path);
    assert.ok(text.length <= 200 && text.length > 150, String(text.length));
    assert.equal(text.split("# full\n").length, 2);
    assert.throws(() => SlotTraceFile.open(folder, 0), StatusError);
  }),
);
