import { type Command, InvalidArgumentError } from "commander";
import { addPersistentTun, hostRunner, removePersistentTun } from "../../host/mod.ts";
import { stderrLog } from "../../status/log.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../../wire/ip_address.ts";

const EXAMPLES = `
Examples:
  sudo i405 tun add --user "$USER" --address 10.140.5.2/24
  i405 client client.toml
  sudo i405 tun remove

The addresses are those that the server has for this client.`;

const NAME_DEFAULT = "i405";
const MTU_MIN = 576;
const MTU_MAX = 1900;

interface AddOptions {
  readonly user: string;
  readonly name: string;
  readonly address?: readonly IpPrefix[];
  readonly mtu?: number;
}

function name(text: string): string {
  if (!/^[A-Za-z][A-Za-z0-9._-]{0,14}$/.test(text)) {
    throw new InvalidArgumentError("Expected 1 to 15 letters, digits and . _ -, starting with a letter.");
  }
  return text;
}

function user(text: string): string {
  if (!/^(?:\d{1,10}|[A-Za-z_][A-Za-z0-9._-]{0,31}\$?)$/.test(text)) {
    throw new InvalidArgumentError("Expected the name or the number of a user.");
  }
  return text;
}

function addresses(text: string, before: readonly IpPrefix[] = []): IpPrefix[] {
  const prefix = text.includes("/") ? parsePrefix(text) : undefined;
  if (prefix === undefined) {
    throw new InvalidArgumentError("Expected an address with its prefix length, such as 10.140.5.2/24.");
  }
  return [...before, prefix];
}

function mtu(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value < MTU_MIN || value > MTU_MAX) {
    throw new InvalidArgumentError(`Expected a number from ${MTU_MIN} to ${MTU_MAX}.`);
  }
  return value;
}

/** `i405 tun add|remove`. */
export function addTun(program: Command): void {
  const tun = program.command("tun").summary("make a TUN device for clients without root")
    .description("Makes and removes a TUN device that a client without root may use.")
    .addHelpText("after", EXAMPLES);
  const run = hostRunner(() => {});
  tun.command("add").summary("make a device, as root")
    .description("Makes a TUN device that stays until it is removed or the machine restarts.")
    .requiredOption("--user <user>", "who may use it, by name or number", user)
    .option("--name <name>", "name of the device", name, NAME_DEFAULT)
    .option("--address <prefix>", "address with its prefix length, may be repeated", addresses)
    .option("--mtu <number>", "MTU (default: 1280)", mtu)
    .addHelpText("after", EXAMPLES)
    .action(async (options: AddOptions) => {
      const list = options.address ?? [];
      await addPersistentTun(run, {
        name: options.name,
        user: options.user,
        addresses: list,
        mtu: options.mtu,
      });
      stderrLog("info", "plain").info("TUN device made", {
        name: options.name,
        user: options.user,
        addresses: list.map(formatPrefix).join(","),
      });
    });
  tun.command("remove").summary("remove a device, as root")
    .description("Removes a TUN device that `i405 tun add` has made.")
    .option("--name <name>", "name of the device", name, NAME_DEFAULT)
    .addHelpText("after", EXAMPLES)
    .action(async (options: { name: string }) => {
      await removePersistentTun(run, options.name);
      stderrLog("info", "plain").info("TUN device removed", { name: options.name });
    });
}
