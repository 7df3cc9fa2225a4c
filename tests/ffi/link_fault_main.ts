/** Run by fault_test.ts with a library that was built with faults: a stream ring that does not ask the socket for room,
 * towards a peer that reads late. Prints counts as one JSON line. */

import { FAULT_SYMBOLS } from "../../ffi/symbols.ts";
import { RING } from "../../src/ports/mod.ts";
import { CONFIG, message } from "./pacer_support.ts";
import { libraryPath, ringF64, shim, submit, waitUntil } from "./support.ts";
import {
  connectPair,
  link,
  linkKey,
  openStream,
  Poller,
  startStreamRing,
  streams,
} from "./stream_support.ts";

const FAULT_ROOM = 6;

Deno.dlopen(libraryPath(), FAULT_SYMBOLS).symbols.i405_fault(FAULT_ROOM);
shim.pacer.start(CONFIG);
const poller = new Poller();
const pair = connectPair(poller);
const ring = startStreamRing(4000, 200e3, { timesCount: 4096 });
const key = linkKey();
link(ring, pair.client, key);
let given = 0;
const feed = () => {
  if (submit(ring, given, message(1 + given % 250))) given++;
};
for (let rounds = 1; rounds <= 3; rounds++) {
  waitUntil("a refused record", () => (feed(), ringF64(ring, RING.shortWrites) >= rounds));
  streams.mode(pair.server, "flow");
  poller.until(() => poller.records(2).length > ringF64(ring, RING.records) - 50);
  streams.mode(pair.server, "paused");
}
streams.mode(pair.server, "flow");
const end = ringF64(ring, RING.slots) + 50;
poller.until(() => ringF64(ring, RING.slots) > end);
shim.pacer.stop();
poller.until(() => poller.records(2).length >= ringF64(ring, RING.records));
const opened = openStream(poller.records(2), key.bytes).filter((plain) => plain !== undefined).length;
console.log(JSON.stringify({
  records: ringF64(ring, RING.records),
  received: poller.records(2).length,
  shortWrites: ringF64(ring, RING.shortWrites),
  opened,
}));
Deno.exit(0);
