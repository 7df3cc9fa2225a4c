/** wireguard-go and boringtun: one protocol, one control socket. */

import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import type { Lab, Place } from "../tunnel/ends.ts";
import { OUTER } from "../tunnel/ends.ts";
import { type Contender, whenAnswering } from "./contender.ts";
import type { Installed } from "./install.ts";

const PORT = 51_820;
const MTU = 1420; // outer packets of 1500 bytes over IPv6, as wg-quick has it
const INNER: Readonly<Record<Place, string>> = { client: "10.141.0.2", server: "10.141.0.1" };
const SOCKET_WAIT_MS = 10_000;
const PLACES = ["client", "server"] as const;

function newKey(): { readonly secret: string; readonly open: string } {
  const { d, x } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const hex = (text: string) => Buffer.from(text, "base64url").toString("hex");
  return { secret: hex(d!), open: hex(x!) };
}

/** Sends a configuration over the cross-platform interface of wireguard.com/xplatform. */
async function configure(device: string, lines: readonly string[]): Promise<void> {
  const path = `/var/run/wireguard/${device}.sock`;
  for (const endMs = performance.now() + SOCKET_WAIT_MS;;) {
    try {
      const connection = await Deno.connect({ transport: "unix", path });
      await connection.write(new TextEncoder().encode(`set=1\n${lines.join("\n")}\n\n`));
      const answer = new Uint8Array(200);
      const len = await connection.read(answer) ?? 0;
      connection.close();
      const text = new TextDecoder().decode(answer.subarray(0, len));
      if (!text.includes("errno=0")) throw new Error(`${device} refuses its configuration: ${text}`);
      return;
    } catch (error) {
      const isEarly = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused;
      if (!isEarly || performance.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export function wireguard(name: string, { path, version }: Installed, args: readonly string[]): Contender {
  const device = (place: Place) => `i4b${place[0]}${Deno.pid}`;
  return {
    name,
    version,
    parts: "all",
    async start(lab: Lab) {
      const keys = { client: newKey(), server: newKey() };
      const start = (place: Place) => lab.start(name, place, [path, ...args, device(place)]);
      const ends = { client: start("client"), server: start("server") };
      for (const place of PLACES) {
        const other = place === "client" ? "server" : "client";
        await configure(device(place), [
          `private_key=${keys[place].secret}`,
          `listen_port=${PORT}`,
          `public_key=${keys[other].open}`,
          `endpoint=${OUTER[other]}:${PORT}`,
          `allowed_ip=${INNER[other]}/32`,
        ]);
        const run = (...command: string[]) => lab.run(place, "ip", ...command);
        await run("address", "add", `${INNER[place]}/24`, "dev", device(place));
        await run("link", "set", device(place), "mtu", String(MTU), "up");
      }
      return await whenAnswering(lab, INNER.server, ends);
    },
  };
}
