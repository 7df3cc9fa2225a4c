/** OpenVPN between two peers: TLS with certificates known by their fingerprints, AES-128-GCM, no kernel offload. */

import { runCommand } from "../../src/demo/child.ts";
import type { Lab, Place } from "../tunnel/ends.ts";
import { OUTER } from "../tunnel/ends.ts";
import { type Contender, whenAnswering } from "./contender.ts";
import type { Installed } from "./install.ts";

const PORT = 1194;
const INNER: Readonly<Record<Place, string>> = { client: "10.142.0.2", server: "10.142.0.1" };

/** Returns the certificate's fingerprint. */
async function newCertificate(lab: Lab, place: Place): Promise<string> {
  const base = `${lab.dir}/openvpn-${place}`;
  const usage = place === "server" ? "serverAuth" : "clientAuth";
  await runCommand(
    [
      ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-keyout", `${base}.key`, "-out", `${base}.crt`, "-days", "2", "-subj", `/CN=${place}`],
      ...["-addext", `extendedKeyUsage=${usage}`],
    ],
  );
  const text = await runCommand([
    "openssl",
    "x509",
    "-in",
    `${base}.crt`,
    "-noout",
    "-sha256",
    "-fingerprint",
  ]);
  return text.trim().split("=")[1];
}

export function openvpn({ path, version }: Installed): Contender {
  return {
    name: "OpenVPN",
    version,
    parts: "all",
    async start(lab: Lab) {
      const prints = {
        client: await newCertificate(lab, "client"),
        server: await newCertificate(lab, "server"),
      };
      const start = (place: Place) => {
        const other = place === "client" ? "server" : "client";
        const base = `${lab.dir}/openvpn-${place}`;
        return lab.start("openvpn", place, [
          ...[
            path,
            "--dev",
            `i4v${place[0]}`,
            "--dev-type",
            "tun",
            "--proto",
            "udp4",
            "--port",
            String(PORT),
          ],
          ...["--local", OUTER[place], "--ifconfig", INNER[place], INNER[other], "--disable-dco"],
          ...(place === "client"
            ? ["--remote", OUTER[other], "--tls-client"]
            : ["--tls-server", "--dh", "none"]),
          ...["--cert", `${base}.crt`, "--key", `${base}.key`, "--peer-fingerprint", prints[other]],
          ...["--data-ciphers", "AES-128-GCM", "--verb", "3"],
        ]);
      };
      const ends = { server: start("server"), client: start("client") };
      await ends.client.line(/Initialization Sequence Completed/, 20_000);
      return await whenAnswering(lab, INNER.server, ends);
    },
  };
}
