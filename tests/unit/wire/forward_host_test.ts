import { deepEqual, equal } from "node:assert/strict";
import {
  incomingHost,
  listenHost,
  parseIncomingHost,
  parseListenHost,
} from "../../../src/wire/forward_host.ts";
import { checkedHost } from "../../../src/wire/host_port.ts";
import { parseIp } from "../../../src/wire/ip_address.ts";

Deno.test("hosts of remote forwards read back, and are neither names nor addresses", () => {
  for (const text of ["127.0.0.1", "::1", "0.0.0.0"]) {
    const host = listenHost(parseIp(text)!);
    deepEqual(parseListenHost(host), parseIp(text));
    equal(checkedHost(host), undefined);
  }
  for (const id of [1, 4, Number.MAX_SAFE_INTEGER]) {
    equal(parseIncomingHost(incomingHost(id)), id);
    equal(checkedHost(incomingHost(id)), undefined);
  }
  for (const host of ["", "@listen/", "@listen/a", "@incoming/1", "127.0.0.1"]) {
    equal(parseListenHost(host), undefined);
  }
  for (const host of ["", "@incoming/", "@incoming/0", "@incoming/01", "@incoming/1x", "@incoming/-1", "1"]) {
    equal(parseIncomingHost(host), undefined);
  }
});
