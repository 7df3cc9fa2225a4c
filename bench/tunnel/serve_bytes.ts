/** serve_bytes.ts PORT: answers GET /N on any address with N bytes. */
const CHUNK = new Uint8Array(64 * 1024).fill(0x5a);

function body(len: number): ReadableStream<Uint8Array> {
  let left = len;
  return new ReadableStream({
    pull(controller) {
      if (left === 0) return controller.close();
      const now = Math.min(left, CHUNK.length);
      left -= now;
      controller.enqueue(CHUNK.subarray(0, now));
    },
  });
}

Deno.serve(
  { hostname: "0.0.0.0", port: Number(Deno.args[0]), onListen: () => console.log("serving") },
  (request) => new Response(body(Number(new URL(request.url).pathname.slice(1)))),
);
