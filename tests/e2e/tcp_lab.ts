/** What the tests of TCP mode share: a web server beyond the tunnel's server, downloads through the client's proxy. */
import assert from "node:assert/strict";
import { noise, PROXY } from "./ends.ts";
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
