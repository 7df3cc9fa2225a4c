/** The rules of `boundaries.ts`, applied to this project, and each shown to catch a planted violation. */
import assert from "node:assert/strict";
import {
  coreReachingOut,
  type Files,
  folderOf,
  forbiddenText,
  longFiles,
  reachedFrom,
  specifiersOf,
  strayLibraries,
  strayVersions,
  unboundSymbols,
  withoutComments,
  wrongImports,
} from "./boundaries.ts";

const LINES_MAX = 600;
const TEXT = /(?:\.(?:ts|c|h|sh|json|md|toml|lock|service|py|html|css)|\/run|^LICENSE|^\.gitignore)$/;

/** Every text file of the project that is not made by building or measuring. */
function projectFiles(): Files {
  const files = new Map<string, string>();
  const root = new URL("../", import.meta.url);
  const visit = (folder: string) => {
    for (const entry of Deno.readDirSync(new URL(folder, root))) {
      const path = folder + entry.name;
      if (entry.isDirectory && !/^(?:\.git|build|node_modules|bench\/results)$/.test(path)) visit(path + "/");
      if (entry.isFile && TEXT.test(path)) files.set(path, Deno.readTextFileSync(new URL(path, root)));
    }
  };
  visit("");
  return files;
}

const files = projectFiles();
const planted = (path: string, text: string): Files => new Map([[path, text]]);

Deno.test("projectFiles() finds the sources", () => {
  for (const path of ["src/base/mod.ts", "c/i405.h", "compile.sh", ".ci/run", "deno.json", "LICENSE"]) {
    assert.ok(files.has(path), path);
  }
});

Deno.test("specifiersOf() finds every form of import and none in comments", () => {
  const text = `
    import { a } from "./a.ts"; import type { B } from "./b.ts";
    export * from "./c.ts"; export type { D } from './d.ts';
    import "./e.ts"; const f = await import("./f.ts"); type G = import("./g.ts").G;
    new Worker(new URL("./h.ts", import.meta.url), { type: "module" });
    import {
      many,
      lines, // import "./no1.ts"
    } from "./i.ts";
    /* import "./no2.ts" */ const text = "// no comment"; import "./j.ts";`;
  const names = specifiersOf(text).sort();
  assert.deepEqual(names, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map((name) => `./${name}.ts`));
});

Deno.test("wrongImports() allows what the table of folders allows, and nothing else is there", () => {
  assert.deepEqual(wrongImports(files), []);
});

Deno.test("wrongImports() catches a schedule that sees a session, types included", () => {
  const wrong = planted("src/schedule/slot.ts", `import type { Session } from "../session/session.ts";`);
  assert.deepEqual(wrongImports(wrong), [
    "src/schedule/slot.ts imports src/session/session.ts: src/schedule may not import src/session",
  ]);
  assert.deepEqual(
    wrongImports(planted("src/schedule/slot.ts", `import { assert } from "../base/mod.ts";`)),
    [],
  );
});

Deno.test("wrongImports() catches the library binding, packages and builtins in the wrong folder", () => {
  const lines = [
    ["src/tunnel/a.ts", `import { openShim } from "../../ffi/mod.ts";`],
    ["src/cli/a.ts", `import { gcm } from "@noble/ciphers/aes.js";`],
    ["src/wire/a.ts", `import fs from "node:fs";`],
    ["src/config/a.ts", `import { x } from "../../bench/main.ts";`],
    ["bench/a.ts", `import { x } from "../tests/e2e/harness.ts";`],
    ["src/unknown/a.ts", ``],
  ];
  for (const [path, text] of lines) assert.equal(wrongImports(planted(path, text)).length, 1, path);
});

Deno.test("schedule/ reaches nothing that has seen user data", () => {
  const reached = reachedFrom(files, "src/schedule");
  assert.ok(reached.size > 1);
  assert.deepEqual([...reached].filter((path) => !/^src\/(?:schedule|base)\//.test(path)), []);
});

Deno.test("reachedFrom() follows imports through other folders", () => {
  const chain = new Map([
    ["src/schedule/a.ts", `import "../base/b.ts";`],
    ["src/base/b.ts", `export type { S } from "../session/c.ts";`],
    ["src/session/c.ts", ``],
    ["src/session/d.ts", ``],
  ]);
  assert.deepEqual([...reachedFrom(chain, "src/schedule")].map(folderOf), [
    "src/schedule",
    "src/base",
    "src/session",
  ]);
});

Deno.test("coreReachingOut() finds no clock, timer, file, chance or promise in the core", () => {
  assert.deepEqual(coreReachingOut(files), []);
});

Deno.test("coreReachingOut() catches each of them, but not in strings and comments", () => {
  for (
    const text of [
      "Deno.readFile(x)",
      "Date.now()",
      "setTimeout(f)",
      "crypto.subtle.x",
      "await f()",
      "Math.random()",
    ]
  ) {
    assert.equal(coreReachingOut(planted("src/session/a.ts", `const x = ${text};`)).length, 1, text);
    assert.deepEqual(coreReachingOut(planted("src/session/a.ts", `const x = "${text}"; // ${text}`)), []);
    assert.deepEqual(coreReachingOut(planted("src/cli/a.ts", `const x = ${text};`)), []);
    const inSocks = coreReachingOut(planted("src/socks/a.ts", `const x = ${text};`));
    assert.equal(inSocks.length, text.startsWith("await") ? 0 : 1, text);
  }
});

Deno.test("the client's side of proxy and forwards has no way to a resolver of names", () => {
  const resolving = (start: string) =>
    [...reachedFrom(files, start)].filter((path) => !path.startsWith("src/ports/"))
      .filter((path) =>
        /\bResolver\b|\blookup\b|\bresolveDns\b/.test(withoutComments(files.get(path) ?? ""))
      );
  assert.deepEqual(resolving("src/socks/client_side.ts"), []);
  assert.ok(resolving("src/socks/server_side.ts").length > 0);
});

Deno.test("strayLibraries() finds Deno.dlopen in ffi/ alone", () => {
  assert.deepEqual(strayLibraries(files), []);
  assert.deepEqual(strayLibraries(planted("src/cli/a.ts", `Deno.dlopen(path, {});`)), ["src/cli/a.ts"]);
});

Deno.test("forbiddenText() finds no unfinished place, registry or path of one machine", () => {
  assert.deepEqual(forbiddenText(files), []);
});

Deno.test("forbiddenText() catches each kind", () => {
  const bad = [
    "// TO" + "DO: later",
    "https://registry." + "npmjs.org/x",
    `"/ro` + `ot/.cache"`,
    "cd /ho" + "me/me/x",
  ];
  for (const line of bad) assert.equal(forbiddenText(planted("src/a.ts", line)).length, 1, line);
});

Deno.test("strayVersions() finds package versions in deno.json alone", () => {
  assert.deepEqual(strayVersions(files), []);
  assert.deepEqual(strayVersions(planted("src/a.ts", `import "n` + `pm:x@1";`)), ["src/a.ts"]);
});

Deno.test("longFiles() finds no source that should be two", () => {
  assert.deepEqual(longFiles(files, LINES_MAX), []);
  assert.deepEqual(longFiles(planted("src/a/b.ts", "\n".repeat(LINES_MAX)), LINES_MAX), [
    "src/a/b.ts: 601 lines",
  ]);
});

Deno.test("unboundSymbols() finds every function of c/i405.h in ffi/symbols.ts", () => {
  assert.deepEqual(unboundSymbols(files), []);
});

Deno.test("unboundSymbols() catches a function without a row and a row without a function", () => {
  const two = new Map([
    ["c/i405.h", "I405_EXPORT int32_t i405_a(void);\nI405_EXPORT void *i405_b(uint32_t x,\n  int y);"],
    ["ffi/symbols.ts", "export const symbols = {\n  // i405_a: x\n  i405_b: {},\n  i405_c: {},\n};"],
  ]);
  assert.deepEqual(unboundSymbols(two), [
    "i405_a: no row in ffi/symbols.ts",
    "i405_c: not exported by c/i405.h",
  ]);
});

Deno.test("README.md shows the two commands, docs/architecture.md every folder", () => {
  const readme = files.get("README.md") ?? "";
  assert.match(readme, /^\.\/compile\.sh && sudo \.\/i405 demo$/m);
  assert.match(readme, /^\.\/compile\.sh test$/m);
  assert.match(files.get(".ci/run") ?? "", /\.\/compile\.sh test\b/);
  const map = files.get("docs/architecture.md") ?? "";
  const folders = new Set([...files.keys()].filter((path) => path.endsWith(".ts")).map(folderOf));
  for (const folder of folders) {
    assert.ok(map.includes(`\`${folder}`), `docs/architecture.md has no row for ${folder}`);
  }
});
