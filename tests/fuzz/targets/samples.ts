/** Real handshakes to take samples from. */

import assert from "node:assert/strict";
import { splitDatagram } from "../../../src/record/handshake_records.ts";
import { parseClientHello } from "../../../src/wire/client_hello.ts";
import { HANDSHAKE_HEADER_LEN } from "../../../src/wire/handshake_header.ts";
import { CLEAN, GROUPS, Pipe } from "../../unit/flight/pipe.ts";

export interface Recorded {
  readonly toServer: readonly Uint8Array[];
  readonly toClient: readonly Uint8Array[];
}

/** Every datagram of one good handshake, per direction. */
export function recorded(datagramLen: number, groups: readonly number[] = GROUPS): Recorded {
  const pipe = new Pipe(CLEAN, { datagramLen, groups }, { groups });
  pipe.run(1e9);
  assert.equal(pipe.client.phase, "connected");
  const of = (toServer: boolean) =>
    pipe.trace.filter((entry) => entry.toServer === toServer).map(({ datagram }) => datagram);
  return { toServer: of(true), toClient: of(false) };
}

/** The bodies of the messages in the clear that are whole in one fragment. */
export function clearBodies(datagrams: readonly Uint8Array[]): Uint8Array[] {
  return datagrams.flatMap((datagram) => splitDatagram(datagram)).flatMap((record) =>
    record.kind === "plaintext" && record.contentType === 22
      ? [record.content.slice(HANDSHAKE_HEADER_LEN)]
      : []
  );
}

/** Bodies of the extensions of this type in two ClientHellos: without and with share, cookie. */
export function clientExtensions(type: number): Uint8Array[] {
  return [GROUPS, [0x17]].flatMap((groups) => clearBodies(recorded(0, groups).toServer)).flatMap((body) =>
    parseClientHello("dtls", body)!.extensions.filter((extension) => extension.type === type)
      .map((extension) => extension.body.slice())
  );
}
