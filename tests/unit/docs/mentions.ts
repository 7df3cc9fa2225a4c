/** What a document mentions, and whether it is there: paths in code marks, tests in “quotation marks”. */

export interface Source {
  readonly path: string;
  readonly text: string;
}

/** Paths of the project in `document` that `exists` does not know, each once. */
export function missingPaths(document: string, exists: (path: string) => boolean): string[] {
  const paths = document.matchAll(/`((?:src|tests|c|ffi|docs|bench)\/[\w./-]+)`/g);
  return [...new Set([...paths].map((match) => match[1]))].filter((path) => !exists(path));
}

/** Names of tests in `document` that no source has. An ellipsis stands for what a template string fills in; whatever
 * else stands in such a place must be a string of that source. */
export function missingTests(document: string, sources: readonly Source[]): string[] {
  const known = sources.flatMap(({ text }) => namesIn(text).map((parts) => ({ parts, text })));
  const names = [...document.matchAll(/“([^”]+)”/g)].map((match) => match[1].replaceAll(/\s+/g, " "));
  return [...new Set(names)].filter((name) => !known.some(({ parts, text }) => isName(name, parts, text)));
}

/** The cells of all table rows of `document`. */
export function tableRows(document: string): string[][] {
  return document.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.slice(1, line.lastIndexOf("|")).split(" | ").map((cell) => cell.trim())
  );
}

/** Each name as the parts that are fixed, between those that a template fills in. */
function namesIn(text: string): string[][] {
  const call = /\b(?:Deno\.test|interop)\(\s*(?:\{\s*name:\s*)?(?:"((?:\\.|[^"\\])*)"|`((?:\\.|[^`\\])*)`)/g;
  return [...text.matchAll(call)].map(([, plain, template]) =>
    plain !== undefined ? [plain.replaceAll('\\"', '"')] : template.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/)
  );
}

function isName(name: string, parts: readonly string[], text: string): boolean {
  if (parts.length === 1) return name === parts[0];
  if (parts.every((part) => part.trim() === "")) return false;
  const escaped = parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const match = name.match(new RegExp(`^${escaped.join("(.+?)")}$`));
  if (match === null) return false;
  return match.slice(1).every((value) => value === "…" || text.includes(`"${value}"`));
}
