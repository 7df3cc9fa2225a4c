/** An HTTP origin whose bytes a test can foretell. */

import { SeededRandom, seedOf } from "../../src/base/random.ts";

/** `len` bytes that belong to `seed`. */
export function bytesOf(seed: number, len: number): Uint8Array<ArrayBuffer> {
  const random = new SeededRandom(seedOf(seed));
  const words = new Uint32Array(Math.ceil(len / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.u32();
  return new Uint8Array(words.buffer).slice(0, len);
}

export async function sumOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return digest.toHex();
}

/** A page that loads `count` resources at once and tells /done the sum of all their bytes. */
function page(count: number, len: number): string {
  return `<!doctype html><title>parts</title><link rel="icon" href="data:,"><script type="module">
const parts = await Promise.all(Array.from({ length: ${count} }, async (_, seed) => {
  const answer = await fetch("/bytes?seed=" + seed + "&len=${len}", { cache: "no-store" });
  return new Uint8Array(await answer.arrayBuffer());
}));
let sum = 0;
for (const part of parts) for (const byte of part) sum = (sum * 31 + byte) % 1000000007;
await fetch("/done?sum=" + sum, { method: "POST", body: "x".repeat(100000) });
</script>`;
}

/** What `page` tells when every byte has come. */
export function pageSum(count: number, len: number): number {
  let sum = 0;
  for (let seed = 0; seed < count; seed++) {
    for (const byte of bytesOf(seed, len)) sum = (sum * 31 + byte) % 1_000_000_007;
  }
  return sum;
}

export const PAGE = { count: 150, len: 40_000 } as const;

export class Origin {
  readonly port: number;
  /** Settles with the sum that the page has told. */
  readonly done: Promise<string>;
  /** `method host path` of each request. */
  readonly requests: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #tell!: (sum: string) => void;

  constructor(hostname = "127.0.0.1", port = 0) {
    this.done = new Promise((resolve) => this.#tell = resolve);
    const options = { hostname, port, onListen: () => {} };
    this.#server = Deno.serve(options, (request) => this.#answer(request));
    this.port = this.#server.addr.port;
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    this.requests.push(`${request.method} ${request.headers.get("host")} ${url.pathname}`);
    const number = (name: string) => Number(url.searchParams.get(name));
    switch (url.pathname) {
      case "/bytes":
        return new Response(bytesOf(number("seed"), number("len")));
      case "/sum":
        return new Response(await sumOf(new Uint8Array(await request.arrayBuffer())));
      case "/page":
        return new Response(page(PAGE.count, PAGE.len), { headers: { "content-type": "text/html" } });
      case "/done":
        await request.arrayBuffer();
        this.#tell(url.searchParams.get("sum") ?? "");
        return new Response("ok");
      default:
        return new Response("none", { status: 404 });
    }
  }

  async close(): Promise<void> {
    await this.#server.shutdown();
  }
}

// proxy_origin.ts ADDRESS PORT: prints "serving", and "done SUM" when the page has loaded.
if (import.meta.main) {
  const origin = new Origin(Deno.args[0], Number(Deno.args[1]));
  console.log("serving");
  console.log(`done ${await origin.done}`);
}
