/* The TUN device: opening, persistence, writing. Reading is batch.c's. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
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

int32_t i405_tun_write_batch(int32_t fd, uint32_t descs, uint32_t count) {
  struct desc {
    uint32_t off, len;
  };
  int checked = shim_check(descs, (uint64_t)count * sizeof(struct desc), 4);
  if (checked != 0) return checked;
  const struct desc *desc = shim_at(descs);
  struct virtio_net_hdr plain = {0};
  int32_t taken = 0;
  for (uint32_t i = 0; i < count; i++, desc++) {
    if (desc->len == 0 || shim_check(desc->off, desc->len, 1) != 0) continue;
    struct iovec parts[2] = {
      {.iov_base = &plain, .iov_len = sizeof plain},
      {.iov_base = shim_at(desc->off), .iov_len = desc->len},
    };
    /* A packet that the kernel refuses is dropped; those behind it still have their chance. */
    taken += writev(fd, parts, 2) > 0;
  }
  return taken;
}
