/* The TUN device: opening, persistence, writing. Reading is batch.c's. */
#include "offload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

_Static_assert(sizeof(struct virtio_net_hdr) == 10, "the header before each packet of the TUN device");

int32_t i405_tun_open(uint32_t name, uint32_t flags) {
  int result = shim_check(name, IFNAMSIZ, 1);
  if (result != 0) return result;
  char *text = shim_at(name);
  if (memchr(text, 0, IFNAMSIZ) == NULL || (flags & ~1u) != 0) return -EINVAL;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  memcpy(request.ifr_name, text, IFNAMSIZ);
  int header_len = sizeof(struct virtio_net_hdr);
  if (ioctl(fd, TUNSETIFF, &request) != 0) goto failed;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_len) != 0) goto failed;
  if (ioctl(fd, TUNSETOFFLOAD, 0) != 0) goto failed;
  if ((flags & 1) != 0 && ioctl(fd, TUNSETPERSIST, 1) != 0) goto failed;
  memcpy(text, request.ifr_name, IFNAMSIZ);
  return fd;
failed:
  result = -errno;
  close(fd);
  return result;
}

int32_t i405_tun_persist(int32_t fd, int32_t on, int32_t owner) {
  if (owner >= 0 && ioctl(fd, TUNSETOWNER, (long)owner) != 0) return -errno;
  return ioctl(fd, TUNSETPERSIST, on != 0) != 0 ? -errno : 0;
}

int32_t i405_tun_offload(int32_t fd) {
  static const struct {
    unsigned long flags;
    int32_t offloads;
  } steps[] = {
    {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | SHIM_TUN_F_USO4 | SHIM_TUN_F_USO6,
     I405_TSO4 | I405_TSO6 | I405_USO4 | I405_USO6},
    {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, I405_TSO4 | I405_TSO6},
    {0, 0},
  };
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    if (ioctl(fd, TUNSETOFFLOAD, steps[i].flags) == 0) return steps[i].offloads;
  }
  return -errno;
}

static int put_in_device(void *where, const struct iovec *parts, int count) {
  return writev(*(const int32_t *)where, parts, count) > 0 ? 0 : -errno;
}

/* A packet that the kernel refuses is dropped; those behind it still have their chance. */
int32_t i405_tun_write_batch(int32_t fd, uint32_t descs, uint32_t count, uint32_t offloads) {
  int checked = shim_check(descs, (uint64_t)count * sizeof(struct i405_desc), 4);
  if (checked != 0) return checked;
  return (int32_t)shim_coalesce(shim_at(descs), count, offloads, put_in_device, &fd);
}
