/* What Deno's sockets lack: a reset, so that whoever reads a cut stream cannot take it for a whole one. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool same(const struct sockaddr_storage *found, const struct i405_addr *wanted) {
  struct i405_addr addr;
  shim_addr_of(found, &addr);
  return addr.family == wanted->family && addr.port == wanted->port && memcmp(addr.ip, wanted->ip, 16) == 0;
}

static bool is_between(int fd, const struct i405_addr *local, const struct i405_addr *remote) {
  struct sockaddr_storage name;
  socklen_t len = sizeof name;
  memset(&name, 0, sizeof name);
  if (getpeername(fd, (struct sockaddr *)&name, &len) != 0 || !same(&name, remote)) return false;
  len = sizeof name;
  return getsockname(fd, (struct sockaddr *)&name, &len) == 0 && same(&name, local);
}

/* The only way from a connection to its fd that needs none of Deno's insides; its cost is one system call for each
 * open file. */
static int find(const struct i405_addr *local, const struct i405_addr *remote) {
  DIR *files = opendir("/proc/self/fd");
  if (files == NULL) return -errno;
  int found = -ENOENT;
  for (struct dirent *file; found < 0 && (file = readdir(files)) != NULL;) {
    int fd = atoi(file->d_name); /* "." and ".." give 0, which is no such connection */
    if (fd > 2 && is_between(fd, local, remote)) found = fd;
  }
  closedir(files);
  return found;
}

int32_t i405_socket_abort(uint32_t local, uint32_t remote) {
  int result = shim_check(local, sizeof(struct i405_addr), 4);
  if (result == 0) result = shim_check(remote, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  int fd = find(shim_at(local), shim_at(remote));
  if (fd < 0) return fd;
  /* SO_LINGER would do for close(), but Deno calls shutdown() before that. */
  const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  return connect(fd, &nowhere, sizeof nowhere) != 0 ? -errno : 0;
}
