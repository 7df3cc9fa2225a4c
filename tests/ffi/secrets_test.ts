/** Files with secrets, read by the shim. */
import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { memory, randomBytes, shim, symbols } from "./support.ts";

const { secrets } = shim;

function inFolder(run: (folder: string) => void): () => void {
  return () => {
    const folder = Deno.makeTempDirSync({ prefix: "i405-test-" });
    try {
      run(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

/** Reads into a block of `cap` bytes and gives what was told and read. */
function read(path: string, cap = 100) {
  const block = secrets.take(cap);
  try {
    const { isFile, mode, uid, len } = secrets.readFile!(path, block);
    return { isFile, mode, uid, bytes: block.slice(0, len) };
  } finally {
    secrets.give(block);
  }
}

const codeOf = (code: string) => (error: Error & { code?: string }) => error.code === code;

Deno.test(
  "Shim.secrets.readFile() reads a file into locked memory and tells whose it is",
  inFolder((folder) => {
    const bytes = randomBytes(80);
    Deno.writeFileSync(`${folder}/a`, bytes);
    Deno.chmodSync(`${folder}/a`, 0o640);
    const uid = Deno.uid()!;
    deepStrictEqual(read(`${folder}/a`), { isFile: true, mode: 0o640, uid, bytes });
    deepStrictEqual(read(`${folder}/a`, 60).bytes, bytes.subarray(0, 60), "no more than there is room for");
    Deno.writeFileSync(`${folder}/empty`, new Uint8Array(0));
    strictEqual(read(`${folder}/empty`).bytes.length, 0);
  }),
);

Deno.test(
  "Shim.secrets.readFile() follows no link and is held up by no FIFO",
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/a`, "secret");
    Deno.symlinkSync(`${folder}/a`, `${folder}/link`);
    throws(() => read(`${folder}/link`), codeOf("ELOOP"));
    throws(() => read(`${folder}/none`), codeOf("ENOENT"));
    throws(() => read(`${folder}/a/b`), codeOf("ENOTDIR"));
    strictEqual(new Deno.Command("mkfifo", { args: [`${folder}/fifo`] }).outputSync().code, 0);
    for (const path of [`${folder}/fifo`, folder, "/dev/zero"]) {
      const { isFile, bytes } = read(path);
      deepStrictEqual([isFile, bytes.length], [false, 0], path);
    }
    throws(() => read("x".repeat(5000)), RangeError);
  }),
);

Deno.test("i405_read_secret() refuses what does not lie in the arena", () => {
  const at = memory.alloc(256);
  const beyond = memory.u8.length;
  ok(symbols.i405_read_secret(0, at, 16, at + 64) < 0);
  ok(symbols.i405_read_secret(at, beyond, 16, at + 64) < 0);
  ok(symbols.i405_read_secret(at, at, 2 ** 32 - 1, at + 64) < 0);
  ok(symbols.i405_read_secret(at, at + 128, 16, beyond) < 0);
  ok(symbols.i405_read_secret(at, at + 128, 16, at + 65) < 0);
  memory.free(at, 256);
});
