/** What the tests of TCP mode share: a web server beyond the tunnel's server, downloads through the client's proxy. */
import assert from "node:assert/strict";
import { type Ends, noise, PROXY } from "./ends.ts";
import { type Lab, SERVER } from "./lab.ts";
import type { Program } from "./process.ts";

export const WEB = `http://${SERVER}:8080/`;
export const BY_SOCKS = ["--socks5-hostname", PROXY];
export const BY_HTTP = ["-x", `http://${PROXY}`, "-p"];

/** Serves `len` reproducible bytes at WEB. */
export async function serve(lab: Lab, len: number): Promise<Program> {
  await lab.file("served", noise(len));
  const script = new URL("tools/serve_file.ts", import.meta.url).pathname;
  const http = lab.start("server", [Deno.execPath(), "run", "-A", "--no-check", script, "served", "8080"]);
  await http.waitFor(/serving/);
  return http;
}

export interface Download {
  readonly bytesPerS: number;
  readonly firstByteS: number;
}

/** Downloads what is served through the proxy, and asserts that it is equal. */
export async function download(
  lab: Lab,
  by: readonly string[] = BY_SOCKS,
  name = "got",
  timeoutMs = 120_000,
): Promise<Download> {
  const format = "%{speed_download} %{time_starttransfer}";
  const command = ["curl", "-sS", "-o", name, "-w", format, ...by, WEB];
  const { code, stdout, stderr } = await lab.run("client", command, { timeoutMs });
  assert.equal(code, 0, `curl ended with ${code}: ${stderr}`);
  await lab.must("client", ["cmp", "served", name]);
  const [bytesPerS, firstByteS] = stdout.split(" ").map(Number);
  return { bytesPerS, firstByteS };
}

/** Has the router treat the tunnel's segments by `verdict`, both ways, until the returned function is called. */
export async function interfere(lab: Lab, verdict: string): Promise<() => Promise<void>> {
  await lab.shell(
    "router",
    `nft -f - <<END
table inet trouble {
  chain forward {
    type filter hook forward priority 0
    tcp dport 1405 ${verdict}
    tcp sport 1405 ${verdict}
  }
}
END`,
  );
  return async () => void await lab.must("router", ["nft", "delete", "table", "inet", "trouble"]);
}

/** Of client and server together, bytes. */
export async function rss(ends: Ends): Promise<number> {
  let sum = 0;
  for (const { pid } of [ends.client, ends.server]) {
    const [, pages] = (await Deno.readTextFile(`/proc/${pid}/statm`)).split(" ").map(Number);
    sum += pages * 4096;
  }
  return sum;
}
