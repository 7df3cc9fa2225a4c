/** Opening devices and sockets, with a remedy for each refusal. */

import type { Shim } from "../../ffi/mod.ts";
import { ShimError } from "../../ffi/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import { OperatorError } from "./exit.ts";
import { endpointText } from "./network.ts";

/** The TUN device's fd. `persistent` tells the remedy for a missing right. */
export function openTunDevice(shim: Shim, name: string): number {
  try {
    return shim.tunOpen(name).fd;
  } catch (error) {
    if (!(error instanceof ShimError)) throw error;
    throw new OperatorError(`Cannot open the TUN device ${name}: ${tunRemedy(error.errnoName, name)}`);
  }
}

function tunRemedy(errno: string, name: string): string {
  switch (errno) {
    case "EPERM":
      return `no right to do so; run as root, or once: sudo i405 tun add --user "$USER" --name ${name}`;
    case "EACCES":
      return "/dev/net/tun is closed to this user; run as root, or once: sudo chmod 666 /dev/net/tun " +
        `(what may be done with it is decided by sudo i405 tun add --user "$USER" --name ${name})`;
    case "EBUSY":
      return "another program uses it; end that, or choose another name with --tun-name";
    case "EINVAL":
      return "a device of that name and another kind is there; choose another name with --tun-name";
    case "ENOENT":
    case "ENODEV":
    case "ENXIO":
      return "this system has no /dev/net/tun; load it with: modprobe tun";
    default:
      return errno;
  }
}

/** A UDP socket bound to `address`, and where it really is. */
export function openUdpSocket(
  shim: Shim,
  address: EndpointAddress,
  ecn: boolean,
): { fd: number; address: EndpointAddress } {
  try {
    return shim.udpOpen(address, ecn);
  } catch (error) {
    if (!(error instanceof ShimError)) throw error;
    throw new OperatorError(`Cannot listen on ${endpointText(address)}: ${listenRemedy(error.errnoName)}`);
  }
}

/** What to do when an address cannot be listened on. */
export function listenRemedy(errno: string): string {
  switch (errno) {
    case "EADDRINUSE":
      return "another program has that port; end it (ss -tulpn shows it) or choose another port in server.listen";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address; use one of `ip addr`, or 0.0.0.0";
    case "EACCES":
    case "EPERM":
      return "no right to use that port; run as root or choose a port above 1023";
    case "EAFNOSUPPORT":
      return "this system has no such address family";
    default:
      return errno;
  }
}
