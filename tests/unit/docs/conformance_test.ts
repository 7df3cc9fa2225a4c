/* docs/conformance.md names files and tests. They exist, so that it cannot fall behind unseen. */

import assert from "node:assert/strict";
import { missingPaths, missingTests, type Source, tableRows } from "./mentions.ts";

const ROOT = new URL("../../../", import.meta.url);
const DOCUMENT = Deno.readTextFileSync(new URL("docs/conformance.md", ROOT));

function testSources(folder = "tests/"): Source[] {
  const sources: Source[] = [];
  for (const { name, isFile, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    const path = folder + name;
    if (isDirectory) sources.push(...testSources(path + "/"));
    if (isFile && name.endsWith("_test.ts")) {
      sources.push({ path, text: Deno.readTextFileSync(new URL(path, ROOT)) });
    }
  }
  return sources;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(path, ROOT));
    return true;
  } catch {
    return false;
  }
}

const sources = testSources();

Deno.test("docs/conformance.md mentions files that exist", () => {
  assert.deepEqual(missingPaths(DOCUMENT, exists), []);
});

Deno.test("docs/conformance.md mentions tests that exist", () => {
  assert.deepEqual(missingTests(DOCUMENT, sources), []);
});

Deno.test("docs/conformance.md says of each requirement where it is met and what shows it, or why neither", () => {
  const rows = tableRows(DOCUMENT).filter((cells) => cells.length === 5);
  assert.ok(rows.length > 100, `${rows.length} requirements`);
  for (const [section, level, requirement, met, shown] of rows) {
    const row = `§${section} ${requirement}`;
    assert.match(level, /^(?:MUST|SHOULD|level|-+)$/, row);
    if (level === "level" || /^-+$/.test(level)) continue;
    assert.match(met, /`(?:src|c|ffi)\/|^does not apply: |^\*\*not done\*\*: /, row);
    if (met.startsWith("`")) assert.match(shown, /“|`tests\/|^none: /, row);
  }
});

const planted: Source[] = [{
  path: "tests/x_test.ts",
  text: 'Deno.test("a works", f);\nfor (const n of ["one", "two"]) Deno.test(`b takes ${n}: ${m}`, f);\n' +
    "Deno.test({ name: `c of ${why}`, fn });\nDeno.test(\n  { name: \"d lasts\", ignore },\n  f);\ninterop('no', f);",
}];

Deno.test("missingTests() finds names that no test has", () => {
  const missing = (name: string) => missingTests(`text “${name}” text`, planted);
  for (const name of ["a works", "b takes one: …", "b takes two: …", "b takes …: …", "c of …", "d lasts"]) {
    assert.deepEqual(missing(name), [], name);
  }
  for (const name of ["a", "works", "a works not", "b takes three: …", "b takes", "c", "d", "…", "no"]) {
    assert.deepEqual(missing(name), [name]);
  }
});

Deno.test("missingPaths() finds paths that are not there, in code marks alone", () => {
  const isThere = (path: string) => path === "src/a.ts";
  assert.deepEqual(missingPaths("`src/a.ts` src/c.ts `src/b.ts` `src/a.ts`, `tests/x_test.ts`", isThere), [
    "src/b.ts",
    "tests/x_test.ts",
  ]);
});
