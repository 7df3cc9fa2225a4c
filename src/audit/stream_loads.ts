/** Loads that begin connections of their own, as programs behind a proxy do; and connections through a proxy. */

// Chosen here.
const SOCKS_REPLY_LEN = 10; // with an IPv4 address, which ours always has
const READ_LEN = 2048;
const READ_PAUSE_MS = 25;
const REQUEST_LEN_MAX = 4000;
const REQUEST_PAUSE_MS = 40;

export type Stream = Pick<Deno.TcpConn, "read" | "write">;
/** A new connection to the sink, of this kind (one byte). */
export type Dial = (kind: string) => Promise<Deno.TcpConn>;

/** Connects to IPv4 address and port, by the SOCKS5 proxy at `proxy` ("ADDRESS:PORT") if there is one. */
export function dialer(hostname: string, port: number, proxy?: string): Dial {
  return async (kind) => {
    const connection = proxy === undefined
      ? await Deno.connect({ hostname, port })
      : await connectBySocks(proxy, hostname, port);
    connection.setNoDelay(true);
    await writeAll(connection, new TextEncoder().encode(kind));
    return connection;
  };
}

/** RFC 1928 §3 to §6, without authentication. */
async function connectBySocks(proxy: string, hostname: string, port: number): Promise<Deno.TcpConn> {
  const [proxyHost, proxyPort] = proxy.split(":");
  const connection = await Deno.connect({ hostname: proxyHost, port: Number(proxyPort) });
  await writeAll(connection, Uint8Array.of(5, 1, 0));
  await readExactly(connection, 2);
  const address = hostname.split(".").map(Number);
  await writeAll(connection, Uint8Array.of(5, 1, 0, 1, ...address, port >> 8, port & 255));
  const reply = (await readExactly(connection, SOCKS_REPLY_LEN))[1];
  if (reply === 0) return connection;
  connection.close();
  throw new Error(`the proxy answered ${reply}`);
}

/** One turn: a connection for one small request. */
export function requestShort(dial: Dial): () => Promise<void> {
  return async () => {
    const connection = await dial("R");
    await request(connection, Math.ceil(Math.random() * REQUEST_LEN_MAX));
    connection.close();
    await pause(Math.random() * REQUEST_PAUSE_MS);
  };
}

/** One turn: a connection that gets as much as it takes and is read slowly, for as long as `isOn`. */
export function readSlowly(dial: Dial, isOn: () => boolean): () => Promise<void> {
  return async () => {
    const connection = await dial("F");
    const bytes = new Uint8Array(READ_LEN);
    while (isOn() && await connection.read(bytes) !== null) await pause(READ_PAUSE_MS);
    connection.close(); // with bytes unread, so as a reset: what is under way comes to nothing
  };
}

/** Asks a sink of kind R for `len` bytes and takes them. */
export async function request(stream: Stream, len: number): Promise<void> {
  const asked = new Uint8Array(4);
  new DataView(asked.buffer).setUint32(0, len);
  await writeAll(stream, asked);
  await readExactly(stream, len);
}

export async function readExactly(stream: Stream, len: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(len);
  for (let at = 0; at < len;) {
    const count = await stream.read(bytes.subarray(at));
    if (count === null) throw new Error("the other side has ended");
    at += count;
  }
  return bytes;
}

export async function writeAll(stream: Stream, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await stream.write(bytes.subarray(at));
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
