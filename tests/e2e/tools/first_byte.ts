/** first_byte.ts PROXY_PORT HOST PORT COUNT: opens so many streams through a SOCKS5 proxy on loopback, one after the other,
 * and prints for each a line of milliseconds: connected to the proxy, greeted, granted, first byte of the answer to a
 * HEAD; each counted from the step before. */
const [proxyPort, host, port, count] = Deno.args;
const HEAD = new TextEncoder().encode(`HEAD / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
const GREETING = Uint8Array.of(5, 1, 0);
const REQUEST = Uint8Array.of(
  5,
  1,
  0,
  1,
  ...host.split(".").map(Number),
  Number(port) >> 8,
  Number(port) & 255,
);
const REPLY_LEN = 10;

async function once(): Promise<number[]> {
  const steps = [performance.now()];
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(proxyPort) });
  connection.setNoDelay();
  steps.push(performance.now());
  const answer = new Uint8Array(512);
  const ask = async (bytes: Uint8Array, len: number) => {
    await connection.write(bytes);
    for (let have = 0; have < len;) {
      const got = await connection.read(answer.subarray(have));
      if (got === null) throw new Error("the proxy has hung up");
      have += got;
    }
    steps.push(performance.now());
  };
  await ask(GREETING, 2);
  await ask(REQUEST, REPLY_LEN);
  await ask(HEAD, 1);
  return steps.slice(1).map((step, i) => step - steps[i]);
}

for (let i = 0; i < Number(count); i++) console.log((await once()).map((ms) => ms.toFixed(3)).join(" "));
