/** The yardstick in plain C, relay.c. */

import { randomBytes } from "node:crypto";
import type { Lab, Place } from "../tunnel/ends.ts";
import { OUTER } from "../tunnel/ends.ts";
import { type Contender, whenAnswering } from "./contender.ts";
import type { Installed } from "./install.ts";

const PORT = "1406";
const MTU = 1500; // what the kernel hands over is cut anyhow
const INNER: Readonly<Record<Place, string>> = { client: "10.143.0.2", server: "10.143.0.1" };
const UP_TRIES = 50;

export function relay({ path, version }: Installed): Contender {
  return {
    name: "plain C relay",
    version,
    parts: "all",
    async start(lab: Lab) {
      const key = randomBytes(16).toString("hex");
      const start = (place: Place) => {
        const other = place === "client" ? "server" : "client";
        return lab.start("relay", place, [path, "i4relay", OUTER[place], OUTER[other], PORT, key]);
      };
      const ends = { client: start("client"), server: start("server") };
      for (const place of ["client", "server"] as const) {
        const ip = (...args: string[]) => lab.output(place, "ip", ...args);
        for (let tries = 0; (await ip("link", "show", "i4relay")).code !== 0 && tries < UP_TRIES; tries++) {
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        await lab.run(place, "ip", "address", "add", `${INNER[place]}/24`, "dev", "i4relay");
        await lab.run(place, "ip", "link", "set", "i4relay", "mtu", String(MTU), "up");
      }
      return await whenAnswering(lab, INNER.server, ends);
    },
  };
}
