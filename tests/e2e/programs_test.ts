/** Programs that people use, through two executables in namespaces: the client's proxy, the tunnel, the server's dialling.
 * Topology: lab.ts. The server's network is where all the destinations are. */

import { equal, match, ok } from "node:assert/strict";
import { Ends, PROXY } from "./ends.ts";
import { isRoot, Lab, SERVER } from "./lab.ts";
import { sleep } from "./process.ts";
import { PAGE, pageSum } from "./proxy_origin.ts";
import { sshPlace } from "./proxy_ssh.ts";
import { serve } from "./tcp_lab.ts";

const ignore = !isRoot;
const FAST = { up: { interval: "230 us" }, down: { interval: "230 us" } };

/** A tunnel whose server may connect to itself, so that a name that means another machine there can be told. */
async function tunnel(lab: Lab, mode: "tcp" | "udp"): Promise<Ends> {
  const allow = ["10.61.0.0/16", "fd61::/16", "127.0.0.0/8"];
  return await Ends.start(lab, { mode, client: FAST, server: { client: { allow } } });
}

for (const mode of ["tcp", "udp"] as const) {
  Deno.test({ name: `wget, ssh through nc -X 5, and git clone over it: mode ${mode}`, ignore }, async () => {
    await using lab = await Lab.create();
    await tunnel(lab, mode);
    await serve(lab, 700_001);
    const http = [
      "wget",
      "-q",
      "-T",
      "20",
      "-t",
      "1",
      "-e",
      "use_proxy=yes",
      "-e",
      `http_proxy=http://${PROXY}/`,
    ];
    await lab.must("client", [...http, "-O", "got", `http://${SERVER}:8080/`]);
    await lab.must("client", ["cmp", "served", "got"]);

    await using place = await sshPlace(lab.dir, (command) => lab.start("server", command), SERVER, 2222);
    const { ssh, user } = place;
    const byProxy = [...ssh, "-o", `ProxyCommand=nc -X 5 -x ${PROXY} %h %p`];
    equal(await lab.must("client", [...byProxy, `${user}@${SERVER}`, "printf", "there"]), "there");
    await lab.shell(
      "server",
      `git init -q repository && cp served repository/data && cd repository
       git add . && git -c user.name=a -c user.email=a@b commit -qm data`,
    );
    const command = byProxy.map((word) => /^[\w./=-]+$/.test(word) ? word : `'${word}'`).join(" ");
    const clone = ["clone", "-q", `ssh://${user}@${SERVER}${lab.dir}/repository`, "clone"];
    await lab.must("client", ["git", "-c", `core.sshCommand=${command}`, ...clone], { timeoutMs: 90_000 });
    await lab.must("client", ["cmp", "served", "clone/data"]);
  });

  Deno.test({ name: `a UDP client gets its datagrams back: mode ${mode}`, ignore }, async () => {
    await using lab = await Lab.create();
    await tunnel(lab, mode);
    const echo = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 7777)); print("bound", flush=True)
while True: s.sendto(*s.recvfrom(65535))`;
    await lab.start("server", ["python3", "-c", echo]).waitFor(/bound/);
    const script = new URL("./tools/socks_udp.py", import.meta.url).pathname;
    const [host, port] = PROXY.split(":");
    for (const [count, len] of [["50", "300"], ["5", "8000"]]) {
      equal(
        await lab.must("client", ["python3", script, host, port, SERVER, "7777", count, len]),
        `whole ${count}\nended\n`,
      );
    }
  });

  Deno.test(
    { name: `names are looked up at the server, and by nobody at the client: mode ${mode}`, ignore },
    async () => {
      await using lab = await Lab.create();
      await tunnel(lab, mode);
      await serve(lab, 1000);
      const dns = lab.start("client", ["tcpdump", "-l", "-n", "-i", "any", "port", "53"]);
      await dns.waitFor(/listening on/);
      const curl = ["curl", "-sS", "-m", "25", "-o", "got"];
      const named = "http://localhost:8080/"; // at the server that is the server
      for (
        const by of [["--socks5-hostname", PROXY], ["-x", `http://${PROXY}`], ["-p", "-x", `http://${PROXY}`]]
      ) {
        // curl itself would not send localhost elsewhere.
        await lab.must("client", [...curl, "--noproxy", "", ...by, named]);
        await lab.must("client", ["cmp", "served", "got"]);
        ok(
          (await lab.run("client", [...curl, ...by, "http://nobody.invalid/x"])).code !== 0 || by[0] === "-x",
        );
      }
      await sleep(500);
      await dns.stop("SIGINT");
      equal(dns.lines.filter((line) => / > .*\.53: /.test(line)).length, 0, dns.lines.join("\n"));
      match(dns.lines.join("\n"), /0 packets captured/);
    },
  );

  Deno.test(
    { name: `Chromium loads a page with ${PAGE.count} parallel resources: mode ${mode}`, ignore },
    async () => {
      await using lab = await Lab.create();
      await tunnel(lab, mode);
      const script = new URL("./proxy_origin.ts", import.meta.url).pathname;
      const origin = lab.start("server", [
        Deno.execPath(),
        "run",
        "-A",
        "--no-check",
        script,
        SERVER,
        "8081",
      ]);
      await origin.waitFor(/serving/);
      const browser = lab.start("client", [
        ...["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        ...[
          `--user-data-dir=${lab.dir}/profile`,
          `--proxy-server=socks5://${PROXY}`,
          "--remote-debugging-port=0",
        ],
        `http://${SERVER}:8081/page`,
      ]);
      await origin.waitFor(new RegExp(`done ${pageSum(PAGE.count, PAGE.len)}$`), { timeoutMs: 90_000 });
      await browser.stop("SIGKILL");
    },
  );
}
