/** The contenders of the streams benchmark, each a SOCKS5 proxy for the client's place that ends at the server's:
 *
 *   i405       client ══ TLS in slots ══ server ── web        microsocks   ──────────────── microsocks ── web
 *   ssh -D     ssh    ══════ ssh ═══════ sshd   ── web        stunnel      stunnel ══ TLS ══ stunnel ── microsocks ── web */

import type { Child } from "../../src/demo/child.ts";
import { type Lab, OUTER, PORT, program } from "./ends.ts";

export interface Running {
  /** Where curl finds the proxy. */
  readonly proxy: string;
  readonly children: readonly Child[];
}

export interface Need {
  readonly program: string;
  /** Debian's, which may be installed for a benchmark: it starts nothing by itself. Undefined: the operator's to install. */
  readonly package?: string;
}

const SOCKS_SERVER: Need = { program: "microsocks", package: "microsocks" };

export interface Contender {
  readonly name: string;
  /** Programs that have to be there. */
  readonly needs: readonly Need[];
  start(lab: Lab): Promise<Running>;
}

const WAIT_MS = 20_000;
const SOCKS_PORT = 1081;
const LOCAL = "127.0.0.1:1080";

async function listening(lab: Lab, place: "client" | "server", port: number): Promise<void> {
  for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
    const { stdout } = await lab.output(place, "ss", "-Htln", `sport = :${port}`);
    if (stdout.trim() !== "") return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nobody listens on ${port}`);
}

/** Our own at this interval between slots, both ways. */
export function i405(intervalUs: number): Contender {
  const direction = `interval = "${intervalUs} us"\n`;
  return {
    name: `i405 tcp, ${intervalUs} µs`,
    needs: [],
    async start(lab) {
      const server =
        `[server]\nlisten = ["${OUTER.server}:${PORT}"]\nmodes = ["tcp"]\n[[client]]\nname = "bench"\n` +
        `key_file = "server.key"\nmax_speed = "1 Gbit/s"\nallow = ["192.0.2.0/24"]\ndial_rate = 2000\n`;
      const client = `[tunnel]\npeer = "${OUTER.server}:${PORT}"\nmode = "tcp"\nkey_file = "client.key"\n` +
        `[up]\n${direction}[down]\n${direction}[socks]\nlisten = ["${LOCAL}"]\n`;
      await lab.write("server.toml", server);
      await lab.write("client.toml", client);
      const children = (["server", "client"] as const).map((role) =>
        lab.start(role, role, [...program(), role, `${lab.dir}/${role}.toml`])
      );
      await children[1].line(/tunnel up/, WAIT_MS);
      return { proxy: LOCAL, children };
    },
  };
}

export const ssh: Contender = {
  name: "ssh -D",
  needs: [{ program: "ssh" }, { program: "sshd" }, { program: "ssh-keygen" }],
  async start(lab) {
    for (const name of ["host", "user"]) {
      await lab.run("client", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${lab.dir}/${name}`);
    }
    await Deno.mkdir("/run/sshd", { recursive: true });
    await lab.write(
      "sshd_config",
      `HostKey ${lab.dir}/host\nListenAddress ${OUTER.server}:${PORT}\nAuthorizedKeysFile ${lab.dir}/user.pub\n` +
        `StrictModes no\nPermitRootLogin prohibit-password\nUsePAM no\nPidFile none\n`,
    );
    const path = (await lab.run("server", "sh", "-c", "command -v sshd")).trim();
    const server = lab.start("sshd", "server", [path, "-D", "-f", `${lab.dir}/sshd_config`]);
    await listening(lab, "server", PORT);
    const options = ["StrictHostKeyChecking=no", `UserKnownHostsFile=/dev/null`, "LogLevel=ERROR"];
    const client = lab.start("ssh", "client", [
      ...["ssh", "-N", "-D", LOCAL, "-i", `${lab.dir}/user`, "-p", String(PORT), "-F", "none"],
      ...options.flatMap((option) => ["-o", option]),
      `root@${OUTER.server}`,
    ]);
    await listening(lab, "client", 1080);
    return { proxy: LOCAL, children: [server, client] };
  },
};

function microsocksAt(lab: Lab, ip: string): Child {
  return lab.start("microsocks", "server", ["microsocks", "-i", ip, "-p", String(SOCKS_PORT)]);
}

export const microsocks: Contender = {
  name: "microsocks, no encryption",
  needs: [SOCKS_SERVER],
  async start(lab) {
    const server = microsocksAt(lab, OUTER.server);
    await listening(lab, "server", SOCKS_PORT);
    return { proxy: `${OUTER.server}:${SOCKS_PORT}`, children: [server] };
  },
};

export const stunnel: Contender = {
  name: "stunnel and microsocks",
  needs: [{ program: "stunnel", package: "stunnel4" }, SOCKS_SERVER],
  async start(lab) {
    await lab.write("psk", `bench:${"5a".repeat(32)}\n`);
    const common = `foreground = yes\npid =\nciphers = PSK\nPSKsecrets = ${lab.dir}/psk\n[socks]\n`;
    const server = `accept = ${OUTER.server}:${PORT}\nconnect = 127.0.0.1:${SOCKS_PORT}\n`;
    const client =
      `client = yes\naccept = ${LOCAL}\nconnect = ${OUTER.server}:${PORT}\nPSKidentity = bench\n`;
    await lab.write("stunnel-server.conf", common + server);
    await lab.write("stunnel-client.conf", common + client);
    const children = [
      microsocksAt(lab, "127.0.0.1"),
      lab.start("stunnel", "server", ["stunnel", `${lab.dir}/stunnel-server.conf`]),
      lab.start("stunnel", "client", ["stunnel", `${lab.dir}/stunnel-client.conf`]),
    ];
    await listening(lab, "server", PORT);
    await listening(lab, "client", 1080);
    return { proxy: LOCAL, children };
  },
};
