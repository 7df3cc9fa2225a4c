/** What the simulation is there to find, it finds: each of these faults, planted into a tunnel, breaks a promise that the
 * players of stories hold it to. */

import assert from "node:assert/strict";
import { ClientControl } from "../../src/tunnel/client_control.ts";
import { Session } from "../../src/session/session.ts";
import { ReplayWindow } from "../../src/record/replay_window.ts";
import { play, playTwins } from "./play.ts";
import { PACER_FAULTS, type PacerFault } from "./sim_pacer.ts";
import { SimIo } from "./sim_io.ts";
import { type Mishap, type MishapKind, type Story, storyOf } from "./story.ts";
import type { World } from "./world.ts";

interface Fault {
  readonly name: string;
  /** What the players say of it. */
  readonly found: RegExp;
  /** What has to happen for it to matter. */
  readonly mishaps?: readonly MishapKind[];
  /** Only the comparison of traces can see it. */
  readonly twins?: true;
  /** Puts it into the world; returns what takes it out of the program again. */
  plant(world: World): () => void;
}

/** Puts `changed` in the place of a method; returns what undoes it. */
function patch<T extends object, K extends keyof T>(target: T, name: K, changed: (original: T[K]) => T[K]) {
  const original = target[name];
  target[name] = changed(original);
  return () => void (target[name] = original);
}

const pacer = (fault: PacerFault) => (world: World) => {
  world.setFault(fault);
  return () => {};
};

const FAULTS: readonly Fault[] = [
  { name: "a number is used twice under one key", found: /sealed once under a key/, plant: pacer("number") },
  ...PACER_FAULTS.map((fault): Fault => ({
    name: `a slot with data does what one without does not: ${fault}`,
    found: fault === "skip"
      ? /an observer sees data|no data/
      : /an observer sees data|no data|of packets each way/,
    twins: true,
    plant: pacer(fault),
  })),
  {
    name: "the replay window moves before a record is authentic",
    found: /no data|of packets each way/,
    plant: () =>
      patch(Session.prototype, "receiveEpochFor", (original) =>
        function (this: Session, bits: number) {
          const epoch = original.call(this, bits);
          const number = epoch === undefined ? 0 : epoch.expected + 10_000;
          if (epoch?.window.isFresh(number)) epoch.window.mark(number);
          return epoch;
        }),
  },
  {
    name: "a replay counts as fresh",
    found: /came (up|down) twice/,
    mishaps: ["weather"],
    plant: () => {
      const undo = patch(ReplayWindow.prototype, "check", () => () => "fresh");
      const undoMark = patch(ReplayWindow.prototype, "mark", () => () => {});
      return () => [undo, undoMark].forEach((each) => each());
    },
  },
  {
    name: "a packet is dropped silently",
    found: /of packets each way/,
    plant() {
      let count = 0;
      return patch(SimIo.prototype, "tunWriteBatch", (original) =>
        function (this: SimIo, descs, packets) {
          return count++ % 5 === 0 ? packets : original.call(this, descs, packets);
        });
    },
  },
  {
    name: "a byte of a packet is changed",
    found: /that was not sent/,
    plant: () =>
      patch(SimIo.prototype, "tunWriteBatch", (original) =>
        function (this: SimIo, descs, packets) {
          const written = original.call(this, descs, packets);
          this.tunWritten.at(-1)![20] ^= 1;
          return written;
        }),
  },
  {
    name: "a client does not notice that its server is gone",
    found: /no data/,
    mishaps: ["server restart"],
    plant: () =>
      patch(ClientControl.prototype, "handle", (original) =>
        function (this: ClientControl, event, nowNs) {
          if (event.type !== "silent") original.call(this, event, nowNs);
        }),
  },
  {
    name: "keys of a session are not given back",
    found: /keys are (left|alive)/,
    mishaps: ["client restart"],
    plant: () => patch(Session.prototype, "close", () => () => {}),
  },
];

/** A story of these mishaps alone, on an otherwise good network. */
function storyWith(seed: number, kinds: readonly MishapKind[]): Story {
  const story = storyOf(seed);
  const weather = { delayMeanNs: 5e6, duplicateRatio: 0.5 };
  const mishaps = kinds.map((kind): Mishap => ({ kind, strength: 0.5, durationNs: 3e9, weather }));
  const options = { ...story.options, network: { delayMeanNs: 5e6 }, groups: [0x1d] };
  return { ...story, options, mishaps, calm: { delayMeanNs: 5e6 } };
}

for (const { name, found, mishaps = [], twins, plant } of FAULTS) {
  Deno.test(`the simulation finds it when ${name}`, () => {
    const story = storyWith(7, mishaps);
    const run = (planted: (world: World) => void) => (twins ? playTwins : play)(story, {}, planted);
    run(() => {}); // without the fault nothing is found
    const undoes: (() => void)[] = [];
    try {
      assert.throws(() => run((world) => undoes.push(plant(world))), found);
    } finally {
      for (const undo of undoes.reverse()) undo();
    }
  });
}
