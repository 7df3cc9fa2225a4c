/* A packet socket for an observer: what passes an interface, with the kernel's own time stamps. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define OBSERVE_BATCH 64u
/* Of some 2.5 KB a frame, however short: two seconds of 50,000 frames/s that nobody reads. */
#define BUFFER_LEN (256 << 20)
#define HEAD_LEN sizeof(((struct i405_seen *)0)->head)

static int interface_index(int fd, const char *name) {
  struct ifreq request = {0};
  memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
  return ioctl(fd, SIOCGIFINDEX, &request) != 0 ? -errno : request.ifr_ifindex;
}

int32_t i405_observe_open(uint32_t name, uint32_t incoming) {
  int result = shim_check(name, IFNAMSIZ, 1);
  if (result != 0) return result;
  const char *text = shim_at(name);
  if (memchr(text, 0, IFNAMSIZ) == NULL) return -EINVAL;
  /* Protocol 0 until bound: nothing of other interfaces comes in between. */
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int on = 1, buffer_len = BUFFER_LEN;
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  result = interface_index(fd, text);
  if (result < 0) goto cleanup;
  address.sll_ifindex = result;
  result = -EPROTO;
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) goto cleanup;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_len, sizeof buffer_len) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_len, sizeof buffer_len);
  }
  if (incoming != 0) setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  result = -errno;
cleanup:
  close(fd);
  return result;
}

static double stamp_of(struct msghdr *message, int64_t wall_base) {
  for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_TIMESTAMPNS) continue;
    struct timespec at;
    memcpy(&at, CMSG_DATA(head), sizeof at);
    return (double)((int64_t)at.tv_sec * 1000000000 + at.tv_nsec - wall_base);
  }
  return 0;
}

int32_t i405_observe_read(int32_t fd, uint32_t out, uint32_t max, uint32_t timeout_ms) {
  int checked = shim_check(out, (uint64_t)max * sizeof(struct i405_seen), 8);
  if (checked != 0) return checked;
  if (max == 0) return -EINVAL;
  if (max > OBSERVE_BATCH) max = OBSERVE_BATCH;
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  int ready = poll(&wanted, 1, timeout_ms > 60000 ? 60000 : (int)timeout_ms);
  if (ready <= 0) return ready == 0 || errno == EINTR ? 0 : -errno;
  struct i405_seen *seen = shim_at(out);
  struct mmsghdr messages[OBSERVE_BATCH];
  struct iovec parts[OBSERVE_BATCH];
  struct sockaddr_ll from[OBSERVE_BATCH];
  _Alignas(struct cmsghdr) uint8_t control[OBSERVE_BATCH][64];
  for (uint32_t i = 0; i < max; i++) {
    memset(&seen[i], 0, sizeof seen[i]);
    parts[i] = (struct iovec){.iov_base = seen[i].head, .iov_len = HEAD_LEN};
    messages[i].msg_hdr = (struct msghdr){
      .msg_name = &from[i],
      .msg_namelen = sizeof from[i],
      .msg_iov = &parts[i],
      .msg_iovlen = 1,
      .msg_control = control[i],
      .msg_controllen = sizeof control[i],
    };
  }
  int got = recvmmsg(fd, messages, max, MSG_DONTWAIT | MSG_TRUNC, NULL);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
  int64_t wall_base = shim_wall_base();
  for (int i = 0; i < got; i++) {
    seen[i].time_ns = stamp_of(&messages[i].msg_hdr, wall_base);
    seen[i].len = messages[i].msg_len;
    seen[i].direction = from[i].sll_pkttype;
  }
  return got;
}
