/** Reads small files, and those that hold secrets only when nobody else can read them. */

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { heapSecrets, type SecretFile, type SecretMemory } from "../base/mod.ts";

/** A file that cannot be used, told with the remedy. */
export class FileError extends Error {
  override readonly name = "FileError";
}

export interface ReadFile {
  readonly text: string;
  /** Why a secret must not be kept in this file, with the remedy; undefined when it may. */
  readonly exposed: string | undefined;
}

const STDIN = 0;
/** What it counts as: its user has chosen it. */
const STANDARD_INPUT = { isFile: true, mode: 0o600, uid: 0 };

/** Reads all of `path`, "-" being standard input, as text. Throws FileError with the remedy: no such file, not to be
 * read, too long. */
export function readSmallFile(path: string, lenMax: number): ReadFile {
  const read: Read = (name, block) => readByEngine(name, block, constants.O_RDONLY);
  return withFile(path, lenMax, heapSecrets, read, (bytes, exposed) => {
    try {
      return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), exposed };
    } catch {
      throw new FileError(`${nameOf(path)} is not UTF-8 text; is it the right file?`);
    }
  });
}

/** Reads all of the file at `path` that holds a secret into `secrets`, hands it to `use` and wipes it. Throws FileError
 * as readSmallFile, and for a symbolic link or a file that others can read or own. */
export function readSecretFile<T>(
  path: string,
  lenMax: number,
  secrets: SecretMemory,
  use: (bytes: Uint8Array) => T,
): T {
  // The engine of a compiled program resolves links before it opens a file, whatever flags say: the shim does not.
  const read: Read = secrets.readFile ??
    ((name, block) => readByEngine(name, block, constants.O_RDONLY | constants.O_NOFOLLOW));
  return withFile(path, lenMax, secrets, read, (bytes, exposed) => {
    if (exposed !== undefined) throw new FileError(exposed);
    return use(bytes);
  });
}

type Read = (path: string, block: Uint8Array) => SecretFile;

/** What is checked is the file that was opened, not its name, so it cannot be exchanged in between. */
function withFile<T>(
  path: string,
  lenMax: number,
  secrets: SecretMemory,
  read: Read,
  use: (bytes: Uint8Array, exposed: string | undefined) => T,
): T {
  const block = secrets.take(lenMax + 1);
  try {
    const file = path === "-" ? { ...STANDARD_INPUT, len: readAll(STDIN, block) } : found(path, block, read);
    if (!file.isFile) throw new FileError(`${path} is not a file; name a plain file`);
    if (file.len > lenMax) {
      throw new FileError(`${nameOf(path)} is longer than ${lenMax} bytes; is it the right file?`);
    }
    return use(block.subarray(0, file.len), path === "-" ? undefined : exposure(path, file));
  } finally {
    secrets.give(block);
  }
}

function nameOf(path: string): string {
  return path === "-" ? "standard input" : path;
}

function found(path: string, block: Uint8Array, read: Read): SecretFile {
  try {
    return read(path, block);
  } catch (error) {
    throw new FileError(openProblem(path, error as Error & { code?: string }));
  }
}

/** A FIFO without a writer does not hold the opening up. */
function readByEngine(path: string, block: Uint8Array, flags: number): SecretFile {
  const fd = openSync(path, flags | constants.O_NONBLOCK);
  try {
    const info = fstatSync(fd);
    const isFile = info.isFile();
    return { isFile, mode: info.mode & 0o7777, uid: info.uid, len: isFile ? readAll(fd, block) : 0 };
  } finally {
    closeSync(fd);
  }
}

function openProblem(path: string, error: Error & { code?: string }): string {
  switch (error.code) {
    case "ENOENT":
      return `there is no file ${path}; check the path (relative ones start at the configuration's folder)`;
    case "EACCES":
      return `${path} cannot be read by this user; run as its owner or as root`;
    case "ELOOP":
      return `${path} is a symbolic link; name the file itself`;
    default:
      return `${path} cannot be opened: ${error.message}`;
  }
}

/** Fills `block` as far as there is something to read. */
function readAll(fd: number, block: Uint8Array): number {
  let len = 0;
  while (len < block.length) {
    const count = readSync(fd, block, len, block.length - len, null);
    if (count === 0) break;
    len += count;
  }
  return len;
}

/** A secret belongs to who runs the program, to root, or to who has called sudo; and nobody else reads it. */
function exposure(path: string, info: SecretFile): string | undefined {
  if ((info.mode & 0o077) !== 0) {
    const octal = (info.mode & 0o777).toString(8).padStart(4, "0");
    return `${path} can be read by others (mode ${octal}); make it private with: chmod 600 ${path}`;
  }
  const me = Deno.uid();
  if (me === null || info.uid === me || info.uid === 0) return undefined;
  if (me === 0 && String(info.uid) === Deno.env.get("SUDO_UID")) return undefined;
  return `${path} belongs to another user (uid ${info.uid}); make it yours with: chown ${me} ${path}`;
}
