/* TCP sockets whose behaviour is the same for everybody: what the kernel adds follows from slots and path alone. */
#include "internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef IPV6_AUTOFLOWLABEL
#define IPV6_AUTOFLOWLABEL 70
#endif
enum { MEMINFO_SNDBUF = 3, MEMINFO_WMEM_QUEUED = 5, MEMINFO_COUNT = 9 };
#define BACKLOG 128
#define OUTER_TTL 64
/* Unsent bytes beyond which the kernel takes no more: a record. Whoever misread the socket could not queue a second. */
#define NOTSENT_MAX 2048
/* The kernel gives up a peer that acknowledges nothing; silence is noticed earlier, by missing slots. */
#define USER_TIMEOUT_MS 60000

static int set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) != 0 ? -errno : 0;
}

/* Loss decides, and nothing stands between send and the wire: BBR would hold segments back by a timer of its own.
 * CUBIC where it is allowed, else Reno, which always is. */
static void set_congestion(int fd) {
  static const char *const names[] = {"cubic", "reno"};
  for (int i = 0; i < 2; i++) {
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, names[i], (socklen_t)strlen(names[i])) == 0) return;
  }
}

/* SO_SNDBUF and SO_RCVBUF stay the kernel's: it keeps twice the congestion window of the one, and a window that
 * grows with what has come of the other, up to limits that an ordinary user's fixed buffer would stay below.
 * SO_LINGER stays off: what was sealed is not thrown away by close. */
static int set_options(int fd, bool v6) {
  set_congestion(fd);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 0); /* slots are the sign of life */
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
  int failed = 0;
  failed |= set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  failed |= set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_MAX);
  if (v6) {
    failed |= set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, OUTER_TTL);
    failed |= set(fd, IPPROTO_IPV6, IPV6_TCLASS, 0);
    failed |= set(fd, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0);
  } else {
    failed |= set(fd, IPPROTO_IP, IP_TTL, OUTER_TTL);
    failed |= set(fd, IPPROTO_IP, IP_TOS, 0);
  }
  set(fd, SOL_SOCKET, SO_PRIORITY, SHIM_OUTER_PRIORITY); /* after the type of service, which sets another one */
  return failed != 0 ? -ENOPROTOOPT : 0;
}

static int open_socket(const struct sockaddr_storage *addr) {
  int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int failed = set_options(fd, addr->ss_family == AF_INET6);
  if (failed == 0) return fd;
  close(fd);
  return failed;
}

int32_t i405_tcp_listen(uint32_t addr_off) {
  int result = shim_check(addr_off, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct i405_addr *addr = shim_at(addr_off);
  struct sockaddr_storage bound;
  socklen_t len = shim_sockaddr_of(addr, &bound);
  if (len == 0) return -EINVAL;
  int fd = open_socket(&bound);
  if (fd < 0) return fd;
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (addr->family == 6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (bind(fd, (struct sockaddr *)&bound, len) != 0 || listen(fd, BACKLOG) != 0 ||
      getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
    result = -errno;
    close(fd);
    return result;
  }
  shim_addr_of(&bound, addr);
  return fd;
}

int32_t i405_tcp_accept(int32_t listener, uint32_t from, uint32_t to) {
  int result = shim_check(from, sizeof(struct i405_addr), 4);
  if (result == 0) result = shim_check(to, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct sockaddr_storage peer, local;
  socklen_t peer_len = sizeof peer, local_len = sizeof local;
  int fd = accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return -errno;
  /* Options are inherited from the listener. */
  if (getsockname(fd, (struct sockaddr *)&local, &local_len) != 0) {
    result = -errno;
    close(fd);
    return result;
  }
  shim_addr_of(&peer, shim_at(from));
  shim_addr_of(&local, shim_at(to));
  return fd;
}

int32_t i405_tcp_connect(uint32_t to) {
  int result = shim_check(to, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct sockaddr_storage dest;
  socklen_t len = shim_sockaddr_of(shim_at(to), &dest);
  if (len == 0) return -EINVAL;
  int fd = open_socket(&dest);
  if (fd < 0) return fd;
  if (connect(fd, (struct sockaddr *)&dest, len) == 0 || errno == EINPROGRESS) return fd;
  result = -errno;
  close(fd);
  return result;
}

int32_t i405_tcp_send(int32_t fd, uint32_t off, uint32_t len) {
  int checked = shim_check(off, len, 1);
  if (checked != 0) return checked;
  ssize_t sent = send(fd, shim_at(off), len, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -errno : (int32_t)sent;
}

bool shim_tcp_room(int fd, uint32_t len) {
  int unsent = 0;
  uint32_t memory[MEMINFO_COUNT] = {0};
  socklen_t size = sizeof memory;
  if (ioctl(fd, SIOCOUTQNSD, &unsent) != 0 || unsent != 0) return false;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) != 0) return false;
  /* The kernel counts a segment's buffer with its own overhead; twice the record and a page is more than that. */
  return (uint64_t)memory[MEMINFO_WMEM_QUEUED] + 2 * (uint64_t)len + 4096 <= memory[MEMINFO_SNDBUF];
}

/* The kernel advertises the room that is left in its buffer, so each record that is not read yet would show in a header:
 * how fast this process reads, hence how busy it is. It never advertises more than the clamp. With that at three
 * quarters of the room, as many records as fill the rest may wait and nothing shows. The kernel sets the clamp to all of
 * the room whenever it lets the buffer grow with the path's product of rate and delay, of which it holds twice. */
void shim_tcp_steady_window(int fd, int32_t *clamp) {
  int now = 0;
  socklen_t len = sizeof now;
  if (getsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &now, &len) != 0 || now <= 0 || now == *clamp) return;
  *clamp = now / 4 * 3;
  set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, *clamp);
}

int32_t i405_tcp_state(int32_t fd, uint32_t out) {
  int checked = shim_check(out, sizeof(struct i405_tcp_state), 4);
  if (checked != 0) return checked;
  struct tcp_info info;
  socklen_t len = sizeof info;
  int unacked = 0, unsent = 0;
  memset(&info, 0, sizeof info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) return -errno;
  if (ioctl(fd, SIOCOUTQ, &unacked) != 0 || ioctl(fd, SIOCOUTQNSD, &unsent) != 0) return -errno;
  *(struct i405_tcp_state *)shim_at(out) = (struct i405_tcp_state){
    .mss = info.tcpi_snd_mss,
    .timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0,
    .sack = (info.tcpi_options & TCPI_OPT_SACK) != 0,
    .rtt_us = info.tcpi_rtt,
    .window = info.tcpi_snd_cwnd,
    .retransmits = info.tcpi_total_retrans,
    .unacked = (uint32_t)unacked,
    .unsent = (uint32_t)unsent,
  };
  return 0;
}
