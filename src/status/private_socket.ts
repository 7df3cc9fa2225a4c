/** A listening socket in the file system that only its user (and root) may connect to. */

export interface PrivateSocket {
  readonly listener: Deno.UnixListener;
  /** Removes the file unless another run has put its own there; says why it could not. */
  remove(): string | undefined;
}

/** Listens at `path`; what a killed run has left there is replaced. Throws Error, with the remedy, when the path is taken
 * or cannot be used. */
export async function listenPrivately(path: string): Promise<PrivateSocket> {
  await removeStale(path);
  const listener = listen(path);
  const { ino } = Deno.lstatSync(path);
  return { listener, remove: () => remove(path, ino) };
}

function listen(path: string): Deno.UnixListener {
  const mask = Deno.umask(0o177); // mode 0600 from the first moment on
  try {
    return Deno.listen({ transport: "unix", path });
  } finally {
    Deno.umask(mask);
  }
}

/** Removes a socket that nobody listens at any more. Anything else at `path` stays. */
async function removeStale(path: string): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (!info.isSocket) throw new Error("there is something else; remove it");
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    Deno.removeSync(path);
    return;
  }
  throw new Error("another program answers there; end it");
}

function remove(path: string, inode: number | null): string | undefined {
  try {
    if (Deno.lstatSync(path).ino === inode) Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      return error instanceof Error ? error.message : String(error);
    }
  }
  return undefined;
}
