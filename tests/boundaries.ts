/** The rules that hold between files, as functions over a map of path to text: `boundaries_test.ts` applies them
 * to the project and to planted violations. Paths are relative to the project, with `/`. */

export type Files = ReadonlyMap<string, string>;

/** What each folder may import beside itself. Type-only imports count as any other. The reasons stand in
 * docs/architecture.md; a folder that is not listed may import nothing and may not exist. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "src/base": [],
  "src/ports": ["src/base"],
  "src/schedule": ["src/base"],
  "src/wire": ["src/base"],
  "src/bond": ["src/base", "src/wire"],
  "src/crypto": ["src/base", "src/ports"],
  "src/record": ["src/base", "src/ports", "src/wire", "src/crypto"],
  "src/handshake": ["src/base", "src/wire", "src/crypto"],
  "src/framing": ["src/base", "src/wire"],
  "src/flight": ["src/base", "src/wire", "src/crypto", "src/record", "src/handshake"],
  "src/session": [
    "src/base",
    "src/ports",
    "src/wire",
    "src/crypto",
    "src/framing",
    "src/record",
    "src/handshake",
  ],
  "src/circuit": ["src/base", "src/session"],
  "src/carrier": ["src/base", "src/ports", "src/wire", "src/crypto", "src/handshake"],
  "src/mux": ["src/base", "src/ports", "src/wire"],
  "src/socks": ["src/base", "src/ports", "src/wire", "src/mux"],
  "src/status": ["src/base"],
  "src/config": ["src/base", "src/wire", "src/schedule", "src/carrier"],
  "src/host": ["src/base", "src/wire", "src/config"],
  "src/demo": ["src/base", "src/ports", "src/schedule", "src/config", "src/status"],
  "src/audit": ["src/base", "src/ports", "src/schedule", "src/config", "src/status", "src/demo"],
  "src/doctor": ["src/base", "src/ports", "src/schedule", "src/config", "src/status"],
  "src/tunnel": [
    ...["base", "ports", "schedule", "wire", "bond", "crypto", "record", "handshake", "framing", "flight"],
    ...["session", "circuit", "carrier", "mux", "socks", "status", "config", "host"],
  ].map((name) => `src/${name}`),
  "src/cli": [
    ...["base", "ports", "wire", "crypto", "handshake", "config", "tunnel", "host", "status"],
    ...["demo", "audit", "doctor", "socks"],
  ].map((name) => `src/${name}`).concat("ffi", "deno.json"),
  "ffi": ["src/base", "src/ports"],
  "mod.ts": ["src/cli"],
};

/** Packages of the import map, and who may use them. Tests and benchmarks may use all. */
const PACKAGE_USERS: Readonly<Record<string, readonly string[]>> = {
  "@noble/ciphers/": ["src/crypto"],
  "@noble/curves/": ["src/crypto"],
  "@noble/hashes/": ["src/crypto"],
  "@noble/post-quantum/": ["src/crypto"],
  "smol-toml": ["src/config"],
  "commander": ["src/cli"],
  "fast-check": [],
};

/** Folders that do no I/O, read no clock and no random source: all of that comes in through their arguments. */
const CORE = [
  ...["base", "ports", "schedule", "wire", "bond", "crypto", "record", "handshake", "framing", "flight"],
  ...["session", "circuit", "mux"],
].map((name) => `src/${name}`);

/** The same, but they wait for promises of what comes in: they live in the main isolate. */
const ASYNC_CORE = ["src/socks"];

/** Text without comments; strings stay. Good for our own formatted sources, not for any TypeScript. */
export function withoutComments(text: string): string {
  return text.replace(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\/\*[^]*?\*\/|\/\/[^\n]*/g,
    (_, quoted) => quoted ?? " ",
  );
}

/** Every module specifier that `text` names: static, type-only, dynamic, re-exports, and `new URL` of a module. */
export function specifiersOf(text: string): string[] {
  const found: string[] = [];
  const forms = [
    /\b(?:import|export)\b[^"'`;()]*?\bfrom\s*["']([^"']+)["']/g,
    /\bimport\s*["']([^"']+)["']/g,
    /\bimport\s*\(\s*["'`]([^"'`]+)["'`]/g,
    /\bnew URL\(\s*["']([^"']+\.ts)["']\s*,\s*import\.meta\.url/g,
    /\bimport\.meta\.resolve\(\s*["']([^"']+)["']/g,
  ];
  const code = withoutComments(text);
  for (const form of forms) for (const match of code.matchAll(form)) found.push(match[1]);
  return found;
}

/** The folder of the table that `path` belongs to: "src/wire", "ffi", "tests", "mod.ts". */
export function folderOf(path: string): string {
  const parts = path.split("/");
  return parts[0] === "src" ? parts.slice(0, 2).join("/") : parts[0];
}

/** `specifier`, named in `path`, as a path of the project; undefined for packages and builtins. */
function resolve(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

const anything = (folder: string) => folder === "tests" || folder === "bench";

function wrongModule(path: string, target: string): string | undefined {
  const from = folderOf(path);
  const to = folderOf(target);
  if (from === to) return undefined;
  if (from === "tests" || (from === "bench" && to !== "tests")) return undefined;
  if (MAY_IMPORT[from]?.includes(to)) return undefined;
  return `${path} imports ${target}: ${from} may not import ${to}`;
}

function wrongPackage(path: string, specifier: string): string | undefined {
  const from = folderOf(path);
  if (specifier.startsWith("node:")) {
    return [...CORE, ...ASYNC_CORE].includes(from)
      ? `${path} imports ${specifier}: the core does no I/O`
      : undefined;
  }
  if (anything(from)) return undefined;
  const name = Object.keys(PACKAGE_USERS).find((key) =>
    key.endsWith("/") ? specifier.startsWith(key) : specifier === key
  );
  if (name !== undefined && PACKAGE_USERS[name].includes(from)) return undefined;
  return `${path} imports ${specifier}: not for ${from}`;
}

/** Imports that the tables above do not allow, one line each. */
export function wrongImports(files: Files): string[] {
  const wrong: string[] = [];
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue;
    const folder = folderOf(path);
    if (!anything(folder) && !(folder in MAY_IMPORT)) {
      wrong.push(`${path}: ${folder} is not in the table of folders`);
    }
    for (const specifier of specifiersOf(text)) {
      const target = resolve(path, specifier);
      const problem = target === undefined ? wrongPackage(path, specifier) : wrongModule(path, target);
      if (problem !== undefined) wrong.push(problem);
    }
  }
  return wrong;
}

/** All modules of the project that a folder, or a file, reaches through imports of any kind, itself included. */
export function reachedFrom(files: Files, start: string): Set<string> {
  const reached = new Set<string>();
  const waiting = [...files.keys()].filter((path) =>
    path === start || (path.endsWith(".ts") && folderOf(path) === start)
  );
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const specifier of specifiersOf(files.get(path) ?? "")) {
      const target = resolve(path, specifier);
      if (target !== undefined) waiting.push(target);
    }
  }
  return reached;
}

/** Places where the core reaches for the outside world by itself: files, clocks, timers, chance, promises of a
 * Worker that never settle. */
export function coreReachingOut(files: Files): string[] {
  const outside =
    /\bDeno\.|\bDate\.now\b|\bnew Date\b|\bperformance\.|\bset(?:Timeout|Interval|Immediate)\b|\bMath\.random\b|\bcrypto\.(?:subtle|getRandomValues)\b|\bfetch\(/;
  const waiting = /\bawait\b|\basync\b/;
  const found: string[] = [];
  for (const [path, text] of files) {
    const isAsync = ASYNC_CORE.includes(folderOf(path));
    if (!(isAsync || CORE.includes(folderOf(path))) || !path.endsWith(".ts")) continue;
    for (const line of withoutComments(text).split("\n")) {
      const code = line.replace(/"(?:[^"\\]|\\.)*"/g, '""');
      if (outside.test(code) || (!isAsync && waiting.test(code))) found.push(`${path}: ${line.trim()}`);
    }
  }
  return found;
}

/** Files that open a dynamic library outside ffi/. */
export function strayLibraries(files: Files): string[] {
  return [...files].filter(([path, text]) =>
    path.endsWith(".ts") && folderOf(path) !== "ffi" && !anything(folderOf(path)) &&
    /\bDeno\.dlopen\b/.test(withoutComments(text))
  ).map(([path]) => path);
}

/** Lines that hold something which has no place in a published project. */
export function forbiddenText(files: Files): string[] {
  // Put together from pieces, so that this file passes its own check.
  const unfinished = new RegExp(`\\b(?:${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);
  const hosts = [["registry", "npmjs"], ["jsr", "io"], ["files", "pythonhosted"], ["pypi", "org"], [
    "crates",
    "io",
  ]]
    .map((parts) => parts.join("\\."));
  const registry = new RegExp(`\\b(?:${hosts.join("|")})\\b`);
  const machine = new RegExp(`(?:^|[\\s"'\`=(:])/(?:${["wo" + "rk", "ro" + "ot", "ho" + "me"].join("|")})/`);
  const found: string[] = [];
  for (const [path, text] of files) {
    text.split("\n").forEach((line, index) => {
      for (const [kind, pattern] of Object.entries({ unfinished, registry, machine })) {
        if (pattern.test(line)) found.push(`${path}:${index + 1} (${kind}) ${line.trim().slice(0, 100)}`);
      }
    });
  }
  return found;
}

/** Module specifiers with a registry's scheme anywhere but in the import map (and the lock file made from it). */
export function strayVersions(files: Files): string[] {
  const pattern = new RegExp(`["'\`](?:${["n" + "pm", "j" + "sr"].join("|")}):`);
  return [...files].filter(([path, text]) =>
    path !== "deno.json" && path !== "deno.lock" && pattern.test(text)
  )
    .map(([path]) => path);
}

/** Source files longer than `linesMax`. */
export function longFiles(files: Files, linesMax: number): string[] {
  return [...files].filter(([path, text]) =>
    /^(?:src|ffi|c|tests)\/.*\.(?:ts|c|h)$/.test(path) && text.split("\n").length > linesMax
  ).map(([path, text]) => `${path}: ${text.split("\n").length} lines`);
}

/** Functions of c/i405.h without a row in ffi/symbols.ts, and rows without a function. */
export function unboundSymbols(files: Files): string[] {
  const header = [...(files.get("c/i405.h") ?? "").matchAll(/^I405_EXPORT\s+[\w\s]+?[\s*](i405_\w+)\s*\(/gm)];
  const rows = [...withoutComments(files.get("ffi/symbols.ts") ?? "").matchAll(/^\s*(i405_\w+)\s*:/gm)];
  const exported = new Set(header.map((match) => match[1]));
  const bound = new Set(rows.map((match) => match[1]));
  return [
    ...[...exported].filter((name) => !bound.has(name)).map((name) => `${name}: no row in ffi/symbols.ts`),
    ...[...bound].filter((name) => !exported.has(name)).map((name) => `${name}: not exported by c/i405.h`),
  ];
}
