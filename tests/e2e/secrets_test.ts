/** Keys are nowhere but where they should be: not in logs, status or traces, and in memory of a running process only
 * where pages are locked and left out of core dumps. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { identityKeyOf, importerKeyOf } from "../../src/crypto/subkeys.ts";
import { Ends, INNER_SERVER } from "./ends.ts";
import { isRoot, Lab } from "./lab.ts";

const PAGE_LEN = 4096;
/** Of /proc/PID/pagemap: 8 bytes a page, of which the highest bit says that it is present. */
const ENTRY_LEN = 8;
const PRESENT = 0x80;

/** A secret in all forms that a careless line of code would give it. */
function formsOf(name: string, secret: Uint8Array): Map<string, Buffer> {
  const bytes = Buffer.from(secret);
  const texts = {
    base64: bytes.toString("base64").replace(/=*$/, ""),
    base64url: bytes.toString("base64url"),
    hex: bytes.toString("hex"),
    list: [...bytes].join(","),
  };
  const forms = new Map([[`${name} itself`, bytes]]);
  for (const [form, text] of Object.entries(texts)) {
    forms.set(`${name} as ${form}`, Buffer.from(text));
    forms.set(`${name} as ${form} in UTF-16`, Buffer.from(text, "utf16le"));
  }
  return forms;
}

interface Sighting {
  readonly form: string;
  /** Flags of the mapping: "lo" locked, "dd" left out of dumps, "wf" empty in a forked child. */
  readonly flags: readonly string[];
}

/** Looks for `forms` in all memory of a process that it can write and that is there. */
async function sightings(pid: number, forms: ReadonlyMap<string, Buffer>): Promise<Sighting[]> {
  const found: Sighting[] = [];
  const mappings = (await Deno.readTextFile(`/proc/${pid}/smaps`)).split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
  using memory = await Deno.open(`/proc/${pid}/mem`);
  using pages = await Deno.open(`/proc/${pid}/pagemap`);
  let looked = 0;
  for (const mapping of mappings) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(mapping) ?? [];
    const isUsed = Number(/^Rss:\s+(\d+)/m.exec(mapping)?.[1] ?? 0) > 0;
    if (from === undefined || !isUsed) continue;
    const flags = (/^VmFlags:(.*)$/m.exec(mapping)?.[1] ?? "").trim().split(" ");
    for (const [start, end] of await presentRuns(pages, parseInt(from, 16), parseInt(to, 16))) {
      const bytes = await readAt(memory, start, end - start);
      looked += bytes.length;
      for (const [form, needle] of forms) if (bytes.includes(needle)) found.push({ form, flags });
    }
  }
  assert.ok(looked > 10 * 2 ** 20, "memory was looked at");
  return found;
}

/** Runs of pages of a mapping that are in memory: untouched ones of large reservations are not read. */
async function presentRuns(pages: Deno.FsFile, start: number, end: number): Promise<[number, number][]> {
  const runs: [number, number][] = [];
  const entries = await readAt(pages, start / PAGE_LEN * ENTRY_LEN, (end - start) / PAGE_LEN * ENTRY_LEN);
  for (let i = 0; i < entries.length / ENTRY_LEN; i++) {
    if ((entries[i * ENTRY_LEN + ENTRY_LEN - 1] & PRESENT) === 0) continue;
    const at = start + i * PAGE_LEN;
    const last = runs.at(-1);
    if (last !== undefined && last[1] === at) last[1] += PAGE_LEN;
    else runs.push([at, at + PAGE_LEN]);
  }
  return runs;
}

async function readAt(file: Deno.FsFile, at: number, len: number): Promise<Buffer> {
  const bytes = Buffer.alloc(len);
  await file.seek(at, Deno.SeekMode.Start);
  let read = 0;
  while (read < len) {
    const count = await file.read(bytes.subarray(read)).catch(() => null);
    if (count === null || count === 0) break;
    read += count;
  }
  return bytes.subarray(0, read);
}

Deno.test({
  name: "a key is in no log, status or trace, and in memory only where that is locked and not dumped",
  ignore: !isRoot,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, {
    client: { log: { level: "debug" } },
    server: { log: { level: "debug" } },
  });
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await ends.answers(INNER_SERVER);
  const line = (await Deno.readTextFile(`${lab.dir}/client.key`)).trim();
  const key = Buffer.from(/:([A-Za-z0-9_-]{43})\./.exec(line)![1], "base64url");
  const forms = new Map([
    ...formsOf("the key", key),
    ...formsOf("the importer's key", importerKeyOf(key)),
    ...formsOf("the identity key", identityKeyOf(key)),
  ]);
  for (const [role, program] of [["client", ends.client], ["server", ends.server]] as const) {
    const told = Buffer.from(
      program.lines.join("\n") + JSON.stringify(await ends.status(role)) +
        await Deno.readTextFile(`${lab.dir}/${role}.trace`),
    );
    for (const [form, needle] of forms) assert.ok(!told.includes(needle), `${role} tells ${form}`);
    const seen = await sightings(program.pid, forms);
    const wrong = seen.filter(({ flags }) => !["lo", "dd", "wf"].every((flag) => flags.includes(flag)));
    assert.deepEqual(wrong, [], `memory of the ${role}`);
    assert.ok(seen.length > 0, `the ${role} has what it needs of the key`);
  }
  await ends.client.stopCleanly();
  await ends.server.stopCleanly();
});
