/** Programs that people use, through the proxy: every byte as it was. */

import { deepEqual, equal, match, ok } from "node:assert/strict";
import { systemResolver } from "../../src/cli/sockets.ts";
import { must, Program, run } from "./process.ts";
import { bytesOf, Origin, PAGE, pageSum, sumOf } from "./proxy_origin.ts";
import { sshPlace } from "./proxy_ssh.ts";
import { ProxyLab, type ProxyLabOptions, rule } from "./proxy_lab.ts";

/** A name that only the far end can look up. */
const SITE = "site.i405.test";
const LEN = 5_000_001;
const resolver = {
  lookup: (name: string) =>
    name === SITE ? Promise.resolve([Uint8Array.of(127, 0, 0, 1)]) : systemResolver.lookup(name),
};

interface Place {
  readonly lab: ProxyLab;
  readonly origin: Origin;
  readonly folder: string;
}

async function inLab(body: (place: Place) => Promise<void>, options: ProxyLabOptions = {}): Promise<void> {
  const origin = new Origin();
  const folder = await Deno.makeTempDir({ prefix: "i405-test-" });
  const lab = await ProxyLab.open({ resolver, ...options });
  try {
    await body({ lab, origin, folder });
  } finally {
    lab.close();
    await origin.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Nothing is left open a moment after the last program has gone. */
async function closesAll({ lab }: Place): Promise<void> {
  for (let i = 0; i < 100 && lab.client.open.connections + lab.server.open > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  deepEqual([lab.client.open, lab.server.open], [{ streams: 0, connections: 0 }, 0]);
}

const CURLS: [name: string, args: (proxy: string) => string[]][] = [
  ["--socks5-hostname", (proxy) => ["--socks5-hostname", proxy]],
  ["--socks4a", (proxy) => ["--socks4a", proxy]],
  ["-x http://", (proxy) => ["-x", `http://${proxy}`]],
  ["-p -x http://", (proxy) => ["-p", "-x", `http://${proxy}`]],
];

for (const [name, args] of CURLS) {
  Deno.test(`curl ${name} downloads and uploads, names looked up at the far end`, () =>
    inLab(async (place) => {
      const { lab, origin, folder } = place;
      const curl = (...rest: string[]) => must(["curl", "-sS", "-m", "30", ...args(lab.proxy), ...rest]);
      const site = `http://${SITE}:${origin.port}`;
      const [down, up] = [`${folder}/down`, `${folder}/up`];
      await curl("-o", down, `${site}/bytes?seed=1&len=${LEN}`);
      ok(equalBytes(await Deno.readFile(down), bytesOf(1, LEN)));
      const sent = bytesOf(2, LEN);
      await Deno.writeFile(up, sent);
      equal(await curl("-T", up, `${site}/sum`), await sumOf(sent));
      equal(await curl("-H", "Transfer-Encoding: chunked", "-T", up, `${site}/sum`), await sumOf(sent));
      deepEqual(origin.requests, [
        `GET ${SITE}:${origin.port} /bytes`,
        `PUT ${SITE}:${origin.port} /sum`,
        `PUT ${SITE}:${origin.port} /sum`,
      ]);
      await closesAll(place);
    }));
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

Deno.test("curl --socks5 and --socks4 connect to addresses, IPv6 too, and several requests share a connection", () =>
  inLab(async (place) => {
    const { lab, origin } = place;
    const six = Deno.listen({ hostname: "::1", port: 0 });
    const answering = (async () => {
      const connection = await six.accept();
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsix"));
      connection.close();
      six.close();
    })();
    const { port } = six.addr as Deno.NetAddr;
    equal(await must(["curl", "-sS", "-m", "9", "--socks5", lab.proxy, `http://[::1]:${port}/`]), "six");
    await answering;
    const url = `http://127.0.0.1:${origin.port}/sum`;
    const sum = await sumOf(new Uint8Array());
    for (const way of ["--socks5", "--socks4"]) {
      equal(await must(["curl", "-sS", "-m", "9", way, lab.proxy, url, url, url]), sum.repeat(3));
    }
    equal(lab.serverCounts.get("dials"), 3);
    await closesAll(place);
  }));

Deno.test("curl is told what has happened: refused, not allowed, no such name, wrong password", () =>
  inLab(async ({ lab }) => {
    const status = async (url: string) => {
      const args = [
        "-sS",
        "-m",
        "20",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-x",
        `http://${lab.proxy}`,
        url,
      ];
      return (await run(["curl", ...args])).stdout;
    };
    const socks = async (url: string) =>
      (await run(["curl", "-sS", "-m", "20", "--socks5-hostname", lab.proxy, url])).stderr;
    const cases: [url: string, status: string, reply: number][] = [
      ["http://127.0.0.1:1/", "502", 5],
      ["http://10.1.2.3/", "403", 2],
      ["http://[::ffff:10.1.2.3]/", "403", 2],
      ["http://nowhere.invalid/", "502", 4],
    ];
    for (const [url, code, reply] of cases) {
      equal(await status(url), code, url);
      match(await socks(url), new RegExp(`\\(${reply}\\)\\s*$`), url);
    }
  }));

Deno.test("curl logs in by SOCKS5 and by HTTP, at a unix socket too, and is refused with a wrong password", async () => {
  const users = {
    accepts: (user: Uint8Array, password: Uint8Array) =>
      new TextDecoder().decode(user) === "ann" && new TextDecoder().decode(password) === "p:w",
  };
  const folder = await Deno.makeTempDir({ prefix: "i405-test-" });
  const path = `${folder}/proxy`;
  const listen = [
    { kind: "tcp", ip: Uint8Array.of(127, 0, 0, 1), port: 0 },
    { kind: "unix", path },
  ] as const;
  await inLab(async ({ lab, origin }) => {
    const url = `http://${SITE}:${origin.port}/bytes?seed=1&len=3`;
    const curl = (...args: string[]) => run(["curl", "-sS", "-m", "9", "-o", "/dev/null", ...args, url]);
    for (const way of ["socks5h://", "http://"]) {
      equal((await curl("-x", `${way}${lab.proxy}`, "-U", "ann:p:w")).code, 0);
      const wrong = await curl("-f", "-x", `${way}${lab.proxy}`, "-U", "ann:no");
      ok(wrong.code !== 0, way);
    }
    equal((await curl("-x", `socks5h://localhost${path}`, "-U", "ann:p:w")).code, 0);
    equal(lab.clientCounts.get("requests_refused_password"), 2);
    equal(Deno.statSync(path).mode! & 0o777, 0o600);
  }, { client: { users, listen } });
  await Deno.remove(folder);
});

Deno.test("wget downloads through the HTTP proxy", () =>
  inLab(async (place) => {
    const { lab, origin, folder } = place;
    const out = `${folder}/down`;
    await must([
      ...[
        "wget",
        "-q",
        "-T",
        "20",
        "-t",
        "1",
        "-e",
        "use_proxy=yes",
        "-e",
        `http_proxy=http://${lab.proxy}/`,
      ],
      ...["-O", out, `http://${SITE}:${origin.port}/bytes?seed=3&len=${LEN}`],
    ]);
    ok(equalBytes(await Deno.readFile(out), bytesOf(3, LEN)));
    await closesAll(place);
  }));

Deno.test("200 downloads at once each get their own bytes", () =>
  inLab(async (place) => {
    const { lab, origin, folder } = place;
    const lines = Array.from({ length: 200 }, (_, seed) =>
      `url = "http://${SITE}:${origin.port}/bytes?seed=${seed}&len=${
        100_000 + seed
      }"\noutput = "${folder}/${seed}"\n`);
    await Deno.writeTextFile(`${folder}/list`, lines.join(""));
    const limits = ["--parallel", "--parallel-immediate", "--parallel-max", "200", "-m", "60"];
    await must(["curl", "-sS", ...limits, "--socks5-hostname", lab.proxy, "-K", `${folder}/list`]);
    for (let seed = 0; seed < 200; seed++) {
      ok(
        equalBytes(await Deno.readFile(`${folder}/${seed}`), bytesOf(seed, 100_000 + seed)),
        `download ${seed}`,
      );
    }
    await closesAll(place);
  }));

Deno.test("with one record in a hundred lost, no byte is wrong, also while other downloads are broken off", () =>
  inLab(async (place) => {
    const { lab, origin, folder } = place;
    const url = (seed: number, len: number) => `http://${SITE}:${origin.port}/bytes?seed=${seed}&len=${len}`;
    const curl = (...args: string[]) => ["curl", "-sS", "-m", "100", "--socks5-hostname", lab.proxy, ...args];
    const lines = Array.from(
      { length: 100 },
      (_, seed) => `url = "${url(seed, 200_000 + seed)}"\noutput = "${folder}/${seed}"\n`,
    );
    await Deno.writeTextFile(`${folder}/list`, lines.join(""));
    const many = must(
      curl("--parallel", "--parallel-immediate", "--parallel-max", "100", "-K", `${folder}/list`),
    );
    const large = must(curl("-o", `${folder}/large`, url(1000, 10_000_000)));
    for (let i = 0; i < 10; i++) {
      // Ten seconds of reading, of which its own time-out (28) allows 0.2 s: it leaves in the middle.
      const reading = ["-m", "0.2", "--limit-rate", "1M", "-o", "/dev/null"];
      equal((await run(curl(...reading, url(2000 + i, 10_000_000)))).code, 28);
    }
    await Promise.all([many, large]);
    for (let seed = 0; seed < 100; seed++) {
      ok(
        equalBytes(await Deno.readFile(`${folder}/${seed}`), bytesOf(seed, 200_000 + seed)),
        `download ${seed}`,
      );
    }
    ok(equalBytes(await Deno.readFile(`${folder}/large`), bytesOf(1000, 10_000_000)));
    await closesAll(place);
  }, { carrier: { carrier: "datagrams", lossRatio: 0.01 } }));

Deno.test("a UDP client gets its datagrams back through UDP ASSOCIATE, large ones too", () =>
  inLab(async (place) => {
    const { lab } = place;
    const echo = await lab.sockets.packets({ ip: Uint8Array.of(127, 0, 0, 1), port: 0 });
    const answering = (async () => {
      for (let came = await echo.receive(); came !== undefined; came = await echo.receive()) {
        await echo.send(came.data, came.from);
      }
    })();
    const script = new URL("./tools/socks_udp.py", import.meta.url).pathname;
    for (const [count, len] of [[100, 300], [20, 60_000]]) {
      const args = [
        "127.0.0.1",
        String(lab.ports[0]),
        SITE,
        String(echo.address.port),
        String(count),
        String(len),
      ];
      equal(await must(["python3", script, ...args]), `whole ${count}\nended\n`);
    }
    echo.close();
    await answering;
    await closesAll(place);
  }));

Deno.test("ssh through nc -X 5 and git clone over it", () =>
  inLab(async (place) => {
    const { lab, folder } = place;
    using free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr as Deno.NetAddr;
    free.close();
    await using server = await sshPlace(folder, (command) => new Program(command), "127.0.0.1", port);
    const { user } = server;
    const ssh = [...server.ssh, "-o", `ProxyCommand=nc -X 5 -x ${lab.proxy} %h %p`];
    equal(await must([...ssh, `${user}@${SITE}`, "printf", "there"]), "there");

    const repository = `${folder}/repository`;
    const git = (...args: string[]) =>
      must(["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", ...args]);
    await must(["git", "init", "-q", repository]);
    await Deno.writeFile(`${repository}/data`, bytesOf(4, 2_000_000));
    await git("add", ".");
    await git("commit", "-q", "-m", "data");
    const quoted = ssh.map((word) => /^[\w./=-]+$/.test(word) ? word : `'${word}'`).join(" ");
    await must([
      ...["git", "-c", `core.sshCommand=${quoted}`, "clone", "-q"],
      ...[`ssh://${user}@${SITE}${repository}`, `${folder}/clone`],
    ], { timeoutMs: 60_000 });
    ok(equalBytes(await Deno.readFile(`${folder}/clone/data`), bytesOf(4, 2_000_000)));
    await closesAll(place);
  }));

for (const scheme of ["socks5", "http"]) {
  Deno.test(`Chromium loads a page with ${PAGE.count} parallel resources by ${scheme}://`, () =>
    inLab(async (place) => {
      const { lab, origin, folder } = place;
      const browser = new Program([
        ...["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        ...[`--user-data-dir=${folder}/profile`, `--proxy-server=${scheme}://${lab.proxy}`],
        ...["--remote-debugging-port=0", `http://${SITE}:${origin.port}/page`],
      ]);
      try {
        equal(await withTimeout(origin.done, 60_000), String(pageSum(PAGE.count, PAGE.len)));
      } finally {
        await browser.stop("SIGKILL");
      }
      equal(origin.requests.filter((line) => line.endsWith(" /bytes")).length, PAGE.count);
      await closesAll(place);
    }));
}

async function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: number | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came in ${ms} ms`)), ms);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

Deno.test("forwards lead from here to there and from there to here", async () => {
  const folder = await Deno.makeTempDir({ prefix: "i405-test-" });
  const origin = new Origin();
  using free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const remotePort = (free.addr as Deno.NetAddr).port;
  free.close();
  const loopback = Uint8Array.of(127, 0, 0, 1);
  const lab = await ProxyLab.open({
    resolver,
    client: {
      localForwards: [
        { listen: { kind: "tcp", ip: loopback, port: 0 }, to: { host: SITE, port: origin.port } },
        { listen: { kind: "unix", path: `${folder}/forward` }, to: { host: SITE, port: origin.port } },
      ],
      remoteForwards: [
        { listen: { ip: loopback, port: remotePort }, to: { kind: "tcp", ip: loopback, port: origin.port } },
      ],
    },
    allow: [rule("127.0.0.0/8")],
  });
  try {
    const ways = [
      [`http://127.0.0.1:${lab.ports[1]}`],
      ["--unix-socket", `${folder}/forward`, "http://forward"],
      ["--retry", "5", "--retry-connrefused", "--retry-delay", "1", `http://127.0.0.1:${remotePort}`],
    ];
    for (const way of ways) {
      const url = `${way.at(-1)}/bytes?seed=5&len=${LEN}`;
      await must(["curl", "-sS", "-m", "20", "-o", `${folder}/out`, ...way.slice(0, -1), url]);
      ok(equalBytes(await Deno.readFile(`${folder}/out`), bytesOf(5, LEN)), url);
    }
    match(lab.lines.join("\n"), /the server listens for this client .*127\.0\.0\.1/);
  } finally {
    lab.close();
    await origin.close();
    await Deno.remove(folder, { recursive: true });
  }
});
