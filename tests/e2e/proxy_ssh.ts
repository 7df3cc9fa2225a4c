/** An sshd that takes one key, and the ssh that has it; both leave the user's own settings alone. */

import { must, type Program } from "./process.ts";

export interface SshPlace extends AsyncDisposable {
  /** ssh with its options; user@host and more are to follow. */
  readonly ssh: readonly string[];
  readonly user: string;
}

/** Keys and settings go into `folder`; `start` runs sshd where it is to be. */
export async function sshPlace(
  folder: string,
  start: (command: readonly string[]) => Program,
  address: string,
  port: number,
): Promise<SshPlace> {
  for (const name of ["host", "user"]) {
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${folder}/${name}`]);
  }
  await Deno.copyFile(`${folder}/user.pub`, `${folder}/authorized`);
  const settings = [
    `ListenAddress ${address}:${port}`,
    `HostKey ${folder}/host`,
    `AuthorizedKeysFile ${folder}/authorized`,
    ...["PidFile none", "StrictModes no", "UsePAM no", "PermitRootLogin yes"],
  ];
  await Deno.writeTextFile(`${folder}/sshd`, settings.join("\n") + "\n");
  const isMade = await Deno.mkdir("/run/sshd").then(() => true, () => false); // where sshd wants to be, as root
  const sshd = start(["/usr/sbin/sshd", "-D", "-e", "-f", `${folder}/sshd`]);
  await sshd.waitFor(/Server listening/);
  return {
    ssh: [
      ...["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", `UserKnownHostsFile=${folder}/known`],
      ...["-o", "LogLevel=ERROR", "-i", `${folder}/user`, "-o", "BatchMode=yes", "-p", String(port)],
    ],
    user: (await must(["id", "-un"])).trim(),
    async [Symbol.asyncDispose]() {
      await sshd.stop("SIGTERM");
      if (isMade) await Deno.remove("/run/sshd");
    },
  };
}
