/** What the kernel refuses, with its own name for it. */

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  24: "EMFILE",
  25: "ENOTTY",
  28: "ENOSPC",
  36: "ENAMETOOLONG",
  40: "ELOOP",
  71: "EPROTO",
  74: "EBADMSG",
  77: "EBADFD",
  90: "EMSGSIZE",
  92: "ENOPROTOOPT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  105: "ENOBUFS",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
  114: "EALREADY",
};

/** The kernel's name of an error number, as "EPERM"; "errno 123" for one not known here. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES[errno] ?? `errno ${errno}`;
}

/** A call that the machine refused: `errno` is positive, `errnoName` its name; the caller adds the remedy. */
export class ShimError extends Error {
  readonly errno: number;
  readonly errnoName: string;

  constructor(action: string, errno: number) {
    super(`Cannot ${action}: ${errnoName(errno)}`);
    this.name = "ShimError";
    this.errno = errno;
    this.errnoName = errnoName(errno);
  }
}

/** Returns `result` if it is a count, throws ShimError if it is -errno. */
export function checked(action: string, result: number): number {
  if (result < 0) throw new ShimError(action, -result);
  return result;
}
