/** Where the shim lies. */

const LIBRARY = import.meta.dirname + "/../build/libi405.so";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 16;
const F_ADD_SEALS = 1033;
const SEALS = 1 | 2 | 4 | 8; // SEAL, SHRINK, GROW, WRITE

const LIBC_SYMBOLS = {
  // int memfd_create(const char *name, unsigned int flags);
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  // ssize_t write(int fd, const void *bytes, size_t len);
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // int fcntl(int fd, int command, int argument);
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
} as const;

let found: string | undefined;

/** The path to open the shim by: `I405_SHIM` if set, else build/libi405.so beside the project. In a compiled program
 * that file is a part of the executable and the variable says nothing, since an executable with capabilities must not
 * load what its caller names; it is loaded from sealed memory, so nothing is written to a disk.
 * Call this once, in the main thread, and tell the path to the Workers: another copy would be another arena. */
export function shimPath(): string {
  found ??= Deno.build.standalone ? inMemory(LIBRARY) : Deno.env.get("I405_SHIM") ?? LIBRARY;
  return found;
}

/** A sealed memory file with the bytes of `path`, as a path; `path` itself where the kernel has no such files. */
function inMemory(path: string): string {
  const libc = Deno.dlopen("libc.so.6", LIBC_SYMBOLS);
  try {
    const name = new TextEncoder().encode("libi405.so\0");
    let fd = libc.symbols.memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    // Kernels before 6.3 do not know MFD_EXEC and need none.
    if (fd < 0) fd = libc.symbols.memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return path;
    const bytes = Deno.readFileSync(path);
    for (let at = 0; at < bytes.length;) {
      const written = Number(libc.symbols.write(fd, bytes.subarray(at), BigInt(bytes.length - at)));
      if (written <= 0) return path;
      at += written;
    }
    return libc.symbols.fcntl(fd, F_ADD_SEALS, SEALS) === 0 ? `/proc/self/fd/${fd}` : path;
  } finally {
    libc.close();
  }
}
