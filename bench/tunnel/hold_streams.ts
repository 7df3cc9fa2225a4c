/** hold_streams.ts take ADDRESS PORT: takes connections there and keeps them.
 * hold_streams.ts open PROXY COUNT ADDRESS PORT: holds COUNT connections through the SOCKS5 proxy at PROXY, HOST:PORT. */

const AT_ONCE = 50;

async function take(hostname: string, port: number): Promise<void> {
  const listener = Deno.listen({ hostname, port });
  console.log("taking");
  for await (const connection of listener) {
    connection.read(new Uint8Array(1)).catch(() => null).finally(() => connection.close());
  }
}

async function readExactly(connection: Deno.Conn, len: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(len);
  for (let at = 0; at < len;) {
    const more = await connection.read(bytes.subarray(at));
    if (more === null) throw new Error("the proxy has ended a connection");
    at += more;
  }
  return bytes;
}

async function open(proxy: string, count: number, address: string, port: number): Promise<void> {
  const greeting = Uint8Array.of(5, 1, 0);
  const request = Uint8Array.of(5, 1, 0, 1, ...address.split(".").map(Number), port >> 8, port);
  const kept: Deno.Conn[] = [];
  const [hostname, proxyPort] = proxy.split(":");
  const one = async () => {
    const connection = await Deno.connect({ hostname, port: Number(proxyPort) });
    await connection.write(greeting);
    await readExactly(connection, 2);
    await connection.write(request); // not before: some proxies lose what comes early
    const answer = await readExactly(connection, 10);
    if (answer[1] !== 0) throw new Error(`the proxy answers ${answer[1]}`);
    kept.push(connection);
  };
  while (kept.length < count) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - kept.length) }, one));
  }
  console.log(`holding ${kept.length}`);
  setInterval(() => {}, 1 << 30); // until it is ended
}

const [what, ...args] = Deno.args;
if (what === "take") await take(args[0], Number(args[1]));
else await open(args[0], Number(args[1]), args[2], Number(args[3]));
