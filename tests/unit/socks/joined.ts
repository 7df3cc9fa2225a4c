/** Two local sides joined back to back, without a multiplexer: what one writes the other gets, with credit. */

import { ok } from "node:assert/strict";
import { SEND_CREDIT, type StreamCommands, type StreamEvents } from "../../../src/ports/streams.ts";

const WINDOW = 65_536;

/** One side's commands become the other side's events, later, in order. */
export class Wire implements StreamCommands {
  /** How much this side may still write, by stream. */
  readonly credit = new Map<number, number>();
  to!: StreamEvents;
  back!: StreamEvents;
  other!: Wire;

  #later(run: () => void): void {
    queueMicrotask(run);
  }

  open(...[id, kind, target]: Parameters<StreamCommands["open"]>): void {
    ok(!this.credit.has(id), "no id is used twice");
    this.credit.set(id, SEND_CREDIT);
    this.other.credit.set(id, SEND_CREDIT);
    this.#later(() => this.to.opening(id, kind, target));
  }

  accept(...[id, bound]: Parameters<StreamCommands["accept"]>): void {
    this.#later(() => this.to.accepted(id, bound));
    this.other.grant(id, WINDOW - SEND_CREDIT);
    this.grant(id, WINDOW - SEND_CREDIT);
  }

  /** `count` more bytes for this side. */
  grant(id: number, count: number): void {
    this.#later(() => {
      this.credit.set(id, (this.credit.get(id) ?? 0) + count);
      this.back.sent(id, count);
    });
  }

  reset(id: number, reason: number): void {
    this.#later(() => this.to.reset(id, reason));
  }

  write(id: number, bytes: Uint8Array, off: number, len: number): void {
    const left = (this.credit.get(id) ?? 0) - len;
    ok(left >= 0 && len > 0, "what is written has credit");
    this.credit.set(id, left);
    const copy = bytes.slice(off, off + len);
    this.#later(() => this.to.data(id, copy, 0, len));
  }

  finish(id: number): void {
    this.#later(() => this.to.finished(id));
  }

  consumed(id: number, count: number): void {
    this.other.grant(id, count);
  }

  datagram(...[id, address, bytes, off, len]: Parameters<StreamCommands["datagram"]>): void {
    const copy = bytes.slice(off, off + len);
    this.#later(() => this.to.datagram(id, address, copy, 0, len));
  }
}

/** Makes both sides with the commands of each, and joins them. */
export function join<
  Client extends { readonly events: StreamEvents },
  Server extends { readonly events: StreamEvents },
>(
  makeClient: (commands: StreamCommands) => Client,
  makeServer: (commands: StreamCommands) => Server,
): { readonly client: Client; readonly server: Server } {
  const [fromClient, fromServer] = [new Wire(), new Wire()];
  const client = makeClient(fromClient);
  const server = makeServer(fromServer);
  Object.assign(fromClient, { to: server.events, back: client.events, other: fromServer });
  Object.assign(fromServer, { to: client.events, back: server.events, other: fromClient });
  return { client, server };
}
