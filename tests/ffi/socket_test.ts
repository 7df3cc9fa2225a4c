import { equal, rejects } from "node:assert/strict";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import { parseIp } from "../../src/wire/ip_address.ts";
import { shim } from "./support.ts";

const endpoint = (address: Deno.Addr): EndpointAddress => {
  const { hostname, port } = address as Deno.NetAddr;
  return { ip: parseIp(hostname)!, port };
};

for (const hostname of ["127.0.0.1", "::1"]) {
  Deno.test(`socketAbort() resets one connection of Deno's and no other (${hostname})`, async () => {
    using listener = Deno.listen({ hostname, port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const pairs: [Deno.TcpConn, Deno.TcpConn][] = [];
    for (let i = 0; i < 3; i++) {
      const accepted = listener.accept();
      pairs.push([await Deno.connect({ hostname, port }), await accepted]);
    }
    const buffer = new Uint8Array(4);
    const [, aborted] = pairs[1];
    equal(shim.socketAbort(endpoint(aborted.localAddr), endpoint(aborted.remoteAddr)), true);
    aborted.close();
    await rejects(pairs[1][0].read(buffer), Deno.errors.ConnectionReset);
    for (const [near, far] of [pairs[0], pairs[2]]) {
      await far.write(Uint8Array.of(7));
      equal(await near.read(buffer), 1);
      far.close();
      equal(await near.read(buffer), null);
    }
    equal(shim.socketAbort(endpoint(listener.addr), { ip: parseIp(hostname)!, port: 1 }), false);
    for (const [near] of pairs) near.close();
  });
}
