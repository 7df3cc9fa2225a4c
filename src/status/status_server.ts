/** A socket in the file system that answers each connection with one JSON document, and its reader. Only the user who
 * runs the tunnel (and root) may connect. */

import type { Log } from "./log.ts";
import { listenPrivately, type PrivateSocket } from "./private_socket.ts";

// Chosen here.
const CONNECTIONS_MAX = 8;
const CONNECTION_MS = 5000;
const DOCUMENT_LEN_MAX = 1 << 24;

/** A status socket that cannot be had or reached, told with the remedy. */
export class StatusError extends Error {
  override readonly name = "StatusError";
}

export class StatusServer {
  readonly #listener: Deno.UnixListener;
  readonly #socket: PrivateSocket;
  readonly #document: () => unknown;
  readonly #log: Log;
  readonly #connections = new Set<Deno.UnixConn>();
  readonly #done: Promise<void>;

  /** Listens at `path`; what a killed run has left there is replaced. `document` is asked at each connection; its
   * result becomes JSON. Throws StatusError when the path is taken or cannot be used. */
  static async open(path: string, document: () => unknown, log: Log): Promise<StatusServer> {
    try {
      return new StatusServer(await listenPrivately(path), document, log);
    } catch (error) {
      const text = textOf(error);
      throw new StatusError(`Cannot use the status socket ${path}: ${text}, or choose another status.socket`);
    }
  }

  private constructor(socket: PrivateSocket, document: () => unknown, log: Log) {
    this.#socket = socket;
    this.#listener = socket.listener;
    this.#document = document;
    this.#log = log;
    this.#done = this.#accept();
  }

  /** Ends all connections and removes the socket. */
  async close(): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) closeQuietly(connection);
    await this.#done;
    const problem = this.#socket.remove();
    if (problem !== undefined) this.#log.warn("the status socket could not be removed", { reason: problem });
  }

  async #accept(): Promise<void> {
    for (;;) {
      let connection: Deno.UnixConn;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
        this.#log.warn("the status socket has failed", { reason: textOf(error) });
        return;
      }
      if (this.#connections.size >= CONNECTIONS_MAX) closeQuietly(connection);
      else this.#answer(connection);
    }
  }

  /** Writes the document and closes. A reader that does not read holds one of a few places for a few seconds. */
  async #answer(connection: Deno.UnixConn): Promise<void> {
    this.#connections.add(connection);
    const timer = setTimeout(() => closeQuietly(connection), CONNECTION_MS);
    try {
      const bytes = new TextEncoder().encode(`${JSON.stringify(this.#document())}\n`);
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    } catch (error) {
      this.#log.debug("a status connection ended early", { reason: textOf(error) });
    } finally {
      clearTimeout(timer);
      this.#connections.delete(connection);
      closeQuietly(connection);
    }
  }
}

/** The document that the socket at `path` gives. Throws StatusError. */
export async function readStatus(path: string): Promise<unknown> {
  let text = "";
  try {
    const connection = await Deno.connect({ transport: "unix", path });
    const decoder = new TextDecoder();
    for await (const part of connection.readable) {
      text += decoder.decode(part, { stream: true });
      if (text.length > DOCUMENT_LEN_MAX) break;
    }
  } catch (error) {
    const remedy = error instanceof Deno.errors.PermissionDenied
      ? "only the user who runs the tunnel may ask; use sudo"
      : "is the tunnel running, with `socket` in its [status]?";
    throw new StatusError(`Cannot ask the status socket ${path}: ${textOf(error)}; ${remedy}`);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new StatusError(`The answer of the status socket ${path} is not JSON; is it another program's?`);
  }
}

function closeQuietly(connection: Deno.UnixConn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
