import assert from "node:assert/strict";
import { IO } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { ClientSockets } from "../../../src/tunnel/client_sockets.ts";

const SECOND = 1e9;

function setup() {
  const memory = new HeapMemory(1 << 12);
  const io = memory.alloc(IO.size);
  const read = () => [memory.i32[(io + IO.udpFd0) >> 2], memory.i32[(io + IO.udpFd1) >> 2]];
  memory.i32.set([10, -1], (io + IO.udpFd0) >> 2);
  return { sockets: new ClientSockets(memory, io, 0.1 * SECOND), read };
}

Deno.test("ClientSockets.change() reads the new socket and the one before, until that was left long enough ago", () => {
  const { sockets, read } = setup();
  assert.equal(sockets.takeLeft(100 * SECOND), -1);
  assert.equal(sockets.change(11, 100 * SECOND), -1);
  assert.deepEqual(read(), [11, 10]);
  assert.equal(sockets.takeLeft(102.3 * SECOND), -1);
  assert.equal(sockets.takeLeft(102.4 * SECOND), 10);
  assert.deepEqual(read(), [11, -1]);
  assert.equal(sockets.takeLeft(200 * SECOND), -1);
});

Deno.test("ClientSockets.change() lets the one before the last go when a third comes soon", () => {
  const { sockets, read } = setup();
  sockets.change(11, SECOND);
  assert.equal(sockets.change(12, 2 * SECOND), 10);
  assert.deepEqual(read(), [12, 11]);
  assert.equal(sockets.takeLeft(3.4 * SECOND), -1, "its own time counts");
  assert.equal(sockets.takeLeft(4.4 * SECOND), 11);
});
