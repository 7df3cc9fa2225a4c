/** tcp_flood.ts HOST PORT COUNT: keeps COUNT connections open, each closed one replaced; some say nothing, some say what
 * is no TLS, some begin a record and stop. Prints "flooding" when the first round is there. */
const [hostname, port, count] = Deno.args;
const openings = [
  new Uint8Array(0),
  new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  Uint8Array.of(22, 3, 1, 4, 0, 1, 0, 3, 252), // a ClientHello that never comes
  Uint8Array.of(22, 3, 3, 0, 4, 1, 0, 0, 0), // an empty one
  Uint8Array.of(23, 3, 3, 0, 32, ...new Uint8Array(32)),
  new Uint8Array(600).fill(0xff),
];

async function hold(opening: Uint8Array): Promise<void> {
  const connection = await Deno.connect({ hostname, port: Number(port) });
  try {
    if (opening.length > 0) await connection.write(opening);
    while (await connection.read(new Uint8Array(256)) !== null) { /* until it is closed */ }
  } finally {
    connection.close();
  }
}

async function keep(index: number): Promise<never> {
  for (;; index++) {
    await hold(openings[index % openings.length]).catch(() => {}); // reset: the same
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const all = Array.from({ length: Number(count) }, (_, index) => keep(index));
setTimeout(() => console.log("flooding"), 1000);
await Promise.all(all);
