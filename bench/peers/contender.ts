/** What is compared: a tunnel between the two places of the lab, whoever makes it. */

import type { Child } from "../../src/demo/child.ts";
import type { Lab, Place } from "../tunnel/ends.ts";

export interface Contender {
  readonly name: string;
  readonly version: string;
  /** What of the measurements this one is for. */
  readonly parts: "all" | "paced";
  /** Brings the tunnel up; it answers pings when this returns. */
  start(lab: Lab): Promise<Running>;
}

export interface Running {
  /** The server's address inside. */
  readonly address: string;
  readonly ends: Readonly<Record<Place, Child>>;
  /** Mbit/s of payload that fit at most; undefined: as much as goes. */
  readonly limitMbitPerS?: number;
  /** Share of slots that were not sent so far. */
  skippedRatio?(): Promise<number>;
  stop(): Promise<void>;
}

const ANSWER_TRIES = 50;

/** A tunnel of two programs, once the server answers at `address`. Throws with what the programs have said. */
export async function whenAnswering(lab: Lab, address: string, ends: Running["ends"]): Promise<Running> {
  await answers(lab, address, ends);
  return {
    address,
    ends,
    async stop() {
      await ends.client.stop();
      await ends.server.stop();
    },
  };
}

async function answers(lab: Lab, address: string, ends: Running["ends"]): Promise<void> {
  for (let tries = 0; tries < ANSWER_TRIES; tries++) {
    const { code } = await lab.output("client", "ping", "-n", "-c", "1", "-W", "1", address);
    if (code === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the tunnel does not answer:\n${ends.client.tail()}\n${ends.server.tail()}`);
}
