/** Reads small files, and those that hold secrets only when nobody else can read them. */

/** A file that cannot be used, told with the remedy. */
export class FileError extends Error {
  override readonly name = "FileError";
}

export interface ReadFile {
  readonly text: string;
  /** Why a secret must not be kept in this file, with the remedy; undefined when it may. */
  readonly exposed: string | undefined;
}

/** Reads all of `path`, "-" being standard input. What is checked is the file that was opened, not its name, so it
 * cannot be exchanged in between. Throws FileError with the remedy: no such file, not to be read, too long. */
export function readSmallFile(path: string, lenMax: number): ReadFile {
  if (path === "-") return { text: readText(Deno.stdin, "standard input", lenMax), exposed: undefined };
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path);
  } catch (error) {
    throw new FileError(openProblem(path, error));
  }
  try {
    const info = file.statSync();
    if (!info.isFile) throw new FileError(`${path} is not a file; name a plain file`);
    return { text: readText(file, path, lenMax), exposed: exposure(path, info) };
  } finally {
    file.close();
  }
}

function openProblem(path: string, error: unknown): string {
  if (error instanceof Deno.errors.NotFound) {
    return `there is no file ${path}; check the path (relative ones start at the configuration's folder)`;
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return `${path} cannot be read by this user; run as its owner or as root`;
  }
  return `${path} cannot be opened: ${error instanceof Error ? error.message : String(error)}`;
}

function readText(file: { readSync(out: Uint8Array): number | null }, name: string, lenMax: number): string {
  const bytes = new Uint8Array(lenMax + 1);
  let len = 0;
  for (;;) {
    const count = file.readSync(bytes.subarray(len));
    if (count === null || count === 0) break;
    len += count;
  }
  try {
    if (len > lenMax) throw new FileError(`${name} is longer than ${lenMax} bytes; is it the right file?`);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, len));
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(`${name} is not UTF-8 text; is it the right file?`);
  } finally {
    bytes.fill(0);
  }
}

/** A secret belongs to who runs the program, to root, or to who has called sudo; and nobody else reads it. */
function exposure(path: string, info: Deno.FileInfo): string | undefined {
  const mode = info.mode;
  if (mode !== null && (mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, "0");
    return `${path} can be read by others (mode ${octal}); make it private with: chmod 600 ${path}`;
  }
  const me = Deno.uid();
  if (info.uid === null || me === null || info.uid === me || info.uid === 0) return undefined;
  if (me === 0 && String(info.uid) === Deno.env.get("SUDO_UID")) return undefined;
  return `${path} belongs to another user (uid ${info.uid}); make it yours with: chown ${me} ${path}`;
}
