/** A server's configuration, from TOML and flags. */

import { formatIp, formatPrefix, type IpPrefix, prefixHolds } from "../wire/ip_address.ts";
import { commonOf, cryptoOf, type FileContext, identityOf, keyOf } from "./common.ts";
import { checkServerV0, passwordV0Of } from "./v0.ts";
import { networkOf, prefixesOverlap } from "./prefixes.ts";
import { isTable, type Override, type Overrides, Problems, Reading } from "./reading.ts";
import { SERVER_CLIENT_SETTINGS, SERVER_SETTINGS } from "./settings.ts";
import { dialOf } from "./streams.ts";
import type { TomlSource } from "./toml_source.ts";
import type { ServerClientConfig, ServerConfig, TunnelMode } from "./types.ts";

const CLIENTS_MAX = 1024;
const SPEED_MAX_DEFAULT_BITS_PER_S = 100e6;
const LISTEN_DEFAULT = Object.freeze([
  Object.freeze({ ip: Uint8Array.of(0, 0, 0, 0), port: 1405, text: "0.0.0.0:1405" }),
]);

type ClientReading = Reading<typeof SERVER_CLIENT_SETTINGS>;

/** Throws ConfigError with all that is wrong. */
export function serverConfig(source: TomlSource, overrides: Overrides, context: FileContext): ServerConfig {
  const problems = new Problems();
  const reading = new Reading(SERVER_SETTINGS, source, problems);
  reading.table(source.values, ["client"]);
  const { own, ofClients } = split(overrides);
  for (const [key, override] of own) reading.override(key, override);
  const { values } = reading;
  const addresses = values["tun.addresses"] ?? [];
  const modes = modesOf(reading, values["server.modes"] ?? ["tun"]);
  if (addresses.length === 0 && modes.includes("tun") && !problems.any) {
    reading.problem(
      "tun.addresses",
      `there is no inner address; write addresses = ["10.140.5.1/24"] in [tun]`,
    );
  }
  const clients = clientsOf(source, ofClients, problems, reading, context, addresses, modes);
  const crypto = cryptoOf(reading, "server", values["server.suites"], values["server.groups"]);
  const countV0 = clients.filter(({ protocol }) => protocol === "v0").length;
  checkServerV0(reading, countV0, crypto.suites, crypto.groups);
  if (values["server.listen"]?.length === 0) {
    reading.problem("server.listen", `expected one address at least, such as "0.0.0.0:1405"`, []);
  }
  const common = commonOf(values, reading, context);
  problems.throwIfAny();
  return Object.freeze<ServerConfig>({
    role: "server",
    file: source.file,
    listen: values["server.listen"] ?? LISTEN_DEFAULT,
    modes,
    tun: Object.freeze({
      name: values["tun.name"] ?? "i405s",
      addresses,
      mtu: values["tun.mtu"],
      clampMss: values["tun.clamp_mss"] ?? true,
    }),
    clients: Object.freeze(clients),
    ecn: values["server.ecn"] ?? false,
    betweenClients: values["server.between_clients"] ?? false,
    nat: Object.freeze({ masquerade: values["nat.masquerade"] ?? false }),
    ...crypto,
    ...common,
    warnings: Object.freeze(context.warnings),
  });
}

function modesOf(
  reading: Reading<typeof SERVER_SETTINGS>,
  modes: readonly TunnelMode[],
): readonly TunnelMode[] {
  if (modes.length === 0) reading.problem("server.modes", `expected one at least of "tun", "tcp", "udp"`, []);
  return Object.freeze([...new Set(modes)]);
}

/** Overrides of the server's own keys, and those of its clients by name: "client.laptop.max_speed". */
function split(overrides: Overrides) {
  const own: [string, Override][] = [];
  const ofClients = new Map<string, [string, Override][]>();
  for (const [key, override] of overrides) {
    const match = /^client\.(.+)\.([^.]+)$/.exec(key);
    if (match === null) own.push([key, override]);
    else ofClients.set(match[1], [...ofClients.get(match[1]) ?? [], [match[2], override]]);
  }
  return { own, ofClients };
}

function clientsOf(
  source: TomlSource,
  overrides: ReadonlyMap<string, readonly [string, Override][]>,
  problems: Problems,
  server: Reading<typeof SERVER_SETTINGS>,
  context: FileContext,
  networks: readonly IpPrefix[],
  modes: readonly TunnelMode[],
): ServerClientConfig[] {
  const tables = tablesOf(source, problems, server);
  const clients: ServerClientConfig[] = [];
  const readings = new Map<ServerClientConfig, ClientReading>();
  const left = new Map(overrides);
  for (const [index, table] of tables.entries()) {
    const reading = new Reading(SERVER_CLIENT_SETTINGS, source, problems, `client[${index}]`);
    reading.table(table);
    const name = reading.values.name;
    for (const [key, override] of left.get(name ?? "") ?? []) reading.override(key, override);
    left.delete(name ?? "");
    const client = clientOf(reading, context, networks, modes.includes("tun"));
    if (client === undefined) continue;
    checkAgainst(client, reading, clients, networks);
    clients.push(client);
    readings.set(client, reading);
  }
  for (const [name, entries] of left) {
    const message = `there is no [[client]] with name = "${name}"; add one or correct the name`;
    for (const [, { flag }] of entries) problems.add({ place: { flag }, key: `client.${name}`, message });
  }
  return clients;
}

function tablesOf(source: TomlSource, problems: Problems, server: Reading<typeof SERVER_SETTINGS>) {
  const given = source.values.client;
  const remedy = "write one [[client]] with name, key_file and addresses for each client";
  if (given === undefined || (Array.isArray(given) && given.length === 0)) {
    server.problem("client", `there are no clients; ${remedy}`);
    return [];
  }
  if (!Array.isArray(given) || !given.every(isTable)) {
    server.problem("client", `expected tables; ${remedy}`);
    return [];
  }
  if (given.length > CLIENTS_MAX) {
    const place = { file: source.file, line: source.lineOf(`client[${CLIENTS_MAX}]`) };
    problems.add({
      place,
      key: "client",
      message: `a server has at most ${CLIENTS_MAX} clients; start a second one`,
    });
    return [];
  }
  return given;
}

function clientOf(
  reading: ClientReading,
  context: FileContext,
  networks: readonly IpPrefix[],
  needsAddresses: boolean,
): ServerClientConfig | undefined {
  const { values } = reading;
  for (const [key, example] of [["name", `"laptop"`], ["addresses", `["10.140.5.2"]`]] as const) {
    if (reading.place(key) === undefined && (key === "name" || needsAddresses)) {
      reading.problem(key, `there is no ${key}; write ${key} = ${example}`);
    }
  }
  if (values.addresses?.length === 0 && needsAddresses) {
    reading.problem("addresses", "expected one address at least", []);
  }
  const protocol = values.protocol ?? "v1";
  const key = keyFor(reading, context);
  const addresses = values.addresses ?? (needsAddresses ? undefined : []);
  if (key === undefined || values.name === undefined || addresses === undefined) return undefined;
  return Object.freeze<ServerClientConfig>({
    name: values.name,
    protocol,
    key,
    identity: identityOf(reading, "", values.identity, protocol === "v0"),
    addresses,
    given: Object.freeze(addresses.map((address) => givenOf(address, networks))),
    routes: Object.freeze((values.routes ?? []).map(networkOf)),
    maxSpeedBitsPerS: values.max_speed ?? SPEED_MAX_DEFAULT_BITS_PER_S,
    dial: dialOf(values),
  });
}

function keyFor(reading: ClientReading, context: FileContext) {
  const { values } = reading;
  const acceptsGuessing = values.i_accept_guessing ?? false;
  if (values.protocol === "v0") return passwordV0Of(reading, "", values, acceptsGuessing, context);
  if (reading.place("i_accept_guessing") !== undefined) {
    reading.problem("i_accept_guessing", "it belongs to version 0; leave it out");
  }
  return keyOf(reading, "", values, context);
}

function givenOf({ ip, prefixLen }: IpPrefix, networks: readonly IpPrefix[]): IpPrefix {
  const network = networks.find((network) => prefixHolds(network, ip, 0, ip.length));
  return { ip, prefixLen: network?.prefixLen ?? prefixLen };
}

/** Whose a packet is must be plain: no name, key or address belongs to two. */
function checkAgainst(
  client: ServerClientConfig,
  reading: ClientReading,
  others: readonly ServerClientConfig[],
  networks: readonly IpPrefix[],
): void {
  for (const other of others) {
    if (other.name === client.name) {
      reading.problem("name", "another [[client]] has this name; choose one that is free", client.name);
    }
    if (other.key.equals(client.key)) {
      const key = ["key", "password", "password_file"].find((name) => reading.place(name)) ?? "key_file";
      reading.problem(key, `client "${other.name}" has the same key; make each its own with \`i405 keygen\``);
    }
  }
  const taken = others.flatMap((other) =>
    [...other.addresses, ...other.routes].map((prefix) => ({ prefix, owner: `client "${other.name}"` }))
  );
  for (const { ip } of networks) {
    taken.push({ prefix: { ip, prefixLen: ip.length * 8 }, owner: "the server" });
  }
  for (const [key, prefixes] of [["addresses", client.addresses], ["routes", client.routes]] as const) {
    for (const prefix of prefixes) {
      const clash = taken.find((one) => prefixesOverlap(one.prefix, prefix));
      if (clash === undefined) continue;
      const text = key === "addresses" ? formatIp(prefix.ip) : formatPrefix(prefix);
      reading.problem(key, `${text} belongs to ${clash.owner} already; choose one that is free`);
    }
  }
}
