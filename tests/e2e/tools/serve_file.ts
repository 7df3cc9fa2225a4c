/** serve_file.ts FILE PORT: answers the HTTP request of each connection, on any address, with that file's bytes, or with
 * their head alone. Bytes are written as they lie in memory: `new Response(bytes)` would copy all of them for each request,
 * also for a HEAD, and then whoever measures measures that. */
const PIECE_LEN = 65_536;
const bytes = Deno.readFileSync(Deno.args[0]);
const fields =
  `Content-Type: application/octet-stream\r\nContent-Length: ${bytes.length}\r\nConnection: close\r\n`;
const head = new TextEncoder().encode(`HTTP/1.1 200 OK\r\n${fields}\r\n`);

/** The request's first bytes, once all of it has come. */
async function request(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(4096);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error("no request");
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text;
}

async function write(connection: Deno.Conn, all: Uint8Array): Promise<void> {
  for (let at = 0; at < all.length;) at += await connection.write(all.subarray(at, at + PIECE_LEN));
}

async function answer(connection: Deno.TcpConn): Promise<void> {
  try {
    connection.setNoDelay();
    const isHead = (await request(connection)).startsWith("HEAD ");
    await write(connection, head);
    if (!isHead) await write(connection, bytes);
    await connection.closeWrite();
    while (await connection.read(new Uint8Array(4096)) !== null) { /* until the other side is done */ }
  } catch {
    // The other side has gone.
  }
  connection.close();
}

const listener = Deno.listen({ hostname: "::", port: Number(Deno.args[1]) });
console.log("serving");
for await (const connection of listener) void answer(connection);
