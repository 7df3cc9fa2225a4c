/** hold_streams.ts take ADDRESS PORT: takes connections there and keeps them.
 * hold_streams.ts open PROXY_PORT COUNT ADDRESS PORT: holds COUNT connections through the SOCKS5 proxy at 127.0.0.1. */

const AT_ONCE = 50;

async function take(hostname: string, port: number): Promise<void> {
  const listener = Deno.listen({ hostname, port });
  console.log("taking");
  for await (const connection of listener) {
    connection.read(new Uint8Array(1)).catch(() => null).finally(() => connection.close());
  }
}

async function open(proxyPort: number, count: number, address: string, port: number): Promise<void> {
  const request = Uint8Array.of(5, 1, 0, 5, 1, 0, 1, ...address.split(".").map(Number), port >> 8, port);
  const kept: Deno.Conn[] = [];
  const one = async () => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: proxyPort });
    await connection.write(request);
    const answer = new Uint8Array(12);
    for (let len = 0; len < answer.length;) {
      const more = await connection.read(answer.subarray(len));
      if (more === null) throw new Error("the proxy has ended a connection");
      len += more;
    }
    if (answer[3] !== 0) throw new Error(`the proxy answers ${answer[3]}`);
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
else await open(Number(args[0]), Number(args[1]), args[2], Number(args[3]));
