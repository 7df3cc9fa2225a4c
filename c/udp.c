/* UDP sockets whose outer header fields are constants, and addresses. */
#include "internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef IPV6_AUTOFLOWLABEL
#define IPV6_AUTOFLOWLABEL 70
#endif
/* What comes is read in bursts of the data Worker: at 60,000 datagrams/s this holds 0.4 s of a flood with the records of
 * sessions among it. */
#define RECEIVE_BUFFER_LEN (32 << 20)
#define SEND_BUFFER_LEN (4 << 20)
#define OUTER_TTL 64
#define ECT0 2 /* RFC 3168 section 5 */

socklen_t shim_sockaddr_of(const struct i405_addr *addr, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (addr->family == 4) {
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(addr->port);
    memcpy(&in->sin_addr, addr->ip, 4);
    return sizeof *in;
  }
  if (addr->family == 6) {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(addr->port);
    in6->sin6_scope_id = addr->scope;
    memcpy(&in6->sin6_addr, addr->ip, 16);
    return sizeof *in6;
  }
  return 0;
}

void shim_addr_of(const struct sockaddr_storage *from, struct i405_addr *out) {
  memset(out, 0, sizeof *out);
  if (from->ss_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)from;
    out->family = 4;
    out->port = ntohs(in->sin_port);
    memcpy(out->ip, &in->sin_addr, 4);
  } else if (from->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    out->family = 6;
    out->port = ntohs(in6->sin6_port);
    out->scope = in6->sin6_scope_id;
    memcpy(out->ip, &in6->sin6_addr, 16);
  }
}

size_t shim_pktinfo(const struct i405_addr *from, void *control) {
  struct cmsghdr *head = control;
  if (from->family == 4) {
    struct in_pktinfo info = {0};
    memcpy(&info.ipi_spec_dst, from->ip, 4);
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(head), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }
  if (from->family == 6) {
    struct in6_pktinfo info = {0};
    memcpy(&info.ipi6_addr, from->ip, 16);
    info.ipi6_ifindex = from->scope;
    head->cmsg_level = IPPROTO_IPV6;
    head->cmsg_type = IPV6_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(head), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }
  return 0;
}

static int set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) != 0 ? -errno : 0;
}

/* As much as the machine grants: with the right to exceed its limit, else up to it. */
static void enlarge_buffers(int fd) {
  if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_LEN) != 0) set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_LEN);
  if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_LEN) != 0) set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_LEN);
}

static int set_options(int fd, bool v6, int tos) {
  enlarge_buffers(fd);
  set(fd, IPPROTO_UDP, UDP_GRO, 1); /* Linux 5.0; without it datagrams come one by one */
  int failed = 0;
  if (v6) {
    failed |= set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    failed |= set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    failed |= set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
    failed |= set(fd, IPPROTO_IPV6, IPV6_RECVERR, 0);
    failed |= set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, OUTER_TTL);
    failed |= set(fd, IPPROTO_IPV6, IPV6_TCLASS, tos);
    failed |= set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    failed |= set(fd, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0);
    failed |= set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  } else {
    failed |= set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE); /* DF, and the path's claims are not believed */
    failed |= set(fd, IPPROTO_IP, IP_RECVERR, 0);
    failed |= set(fd, IPPROTO_IP, IP_TTL, OUTER_TTL);
    failed |= set(fd, IPPROTO_IP, IP_TOS, tos);
    failed |= set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    failed |= set(fd, IPPROTO_IP, IP_PKTINFO, 1);
  }
  set(fd, SOL_SOCKET, SO_PRIORITY, SHIM_OUTER_PRIORITY); /* after the type of service, which sets another one */
  return failed != 0 ? -ENOPROTOOPT : 0;
}

int32_t i405_udp_open(uint32_t addr_off, uint32_t flags) {
  int result = shim_check(addr_off, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct i405_addr *addr = shim_at(addr_off);
  struct sockaddr_storage bound;
  socklen_t len = shim_sockaddr_of(addr, &bound);
  if (len == 0 || (flags & ~1u) != 0) return -EINVAL;
  int fd = socket(bound.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  result = set_options(fd, addr->family == 6, (flags & 1) != 0 ? ECT0 : 0);
  if (result != 0) goto cleanup;
  result = -EINVAL;
  if (bind(fd, (struct sockaddr *)&bound, len) != 0 || getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
    result = -errno;
    goto cleanup;
  }
  shim_addr_of(&bound, addr);
  shim_stamps_socket(fd);
  return fd;
cleanup:
  close(fd);
  return result;
}

int32_t i405_udp_drops(int32_t fd) {
  uint32_t info[SK_MEMINFO_VARS] = {0};
  socklen_t len = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0) return -errno;
  return (int32_t)(info[SK_MEMINFO_DROPS] & INT32_MAX);
}

int32_t i405_udp_send(int32_t fd, uint32_t off, uint32_t len, uint32_t to, uint32_t src) {
  int checked = shim_check(off, len, 1);
  if (checked == 0) checked = shim_check(to, sizeof(struct i405_addr), 4);
  if (checked == 0 && src != 0) checked = shim_check(src, sizeof(struct i405_addr), 4);
  if (checked != 0) return checked;
  struct sockaddr_storage dest;
  socklen_t dest_len = shim_sockaddr_of(shim_at(to), &dest);
  if (dest_len == 0) return -EINVAL;
  _Alignas(struct cmsghdr) uint8_t control[SHIM_CONTROL_LEN] = {0};
  size_t control_len = src != 0 ? shim_pktinfo(shim_at(src), control) : 0;
  struct iovec part = {.iov_base = shim_at(off), .iov_len = len};
  struct msghdr message = {
    .msg_name = &dest,
    .msg_namelen = dest_len,
    .msg_iov = &part,
    .msg_iovlen = 1,
    .msg_control = control_len > 0 ? control : NULL,
    .msg_controllen = control_len,
  };
  ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EBADF) {
    int pending;
    socklen_t pending_len = sizeof pending;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &pending_len); /* reading clears it */
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  return sent < 0 ? -errno : (int32_t)sent;
}

/* MTU of the device that has this address, or 0. The kernel's own answer, IP_MTU, is what ICMP has told it, too. */
static int device_mtu(int fd, const struct i405_addr *local) {
  struct ifaddrs *all = NULL;
  int mtu = 0;
  if (getifaddrs(&all) != 0) return 0;
  for (const struct ifaddrs *one = all; one != NULL && mtu == 0; one = one->ifa_next) {
    struct sockaddr_storage name = {0};
    struct i405_addr addr;
    if (one->ifa_addr == NULL) continue;
    int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    memcpy(&name, one->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    shim_addr_of(&name, &addr);
    if (addr.family != local->family || memcmp(addr.ip, local->ip, sizeof addr.ip) != 0) continue;
    struct ifreq request = {0};
    memcpy(request.ifr_name, one->ifa_name, strnlen(one->ifa_name, IFNAMSIZ - 1));
    if (ioctl(fd, SIOCGIFMTU, &request) == 0) mtu = request.ifr_mtu;
  }
  freeifaddrs(all);
  return mtu;
}

int32_t i405_route_probe(uint32_t to, uint32_t out) {
  int checked = shim_check(to, sizeof(struct i405_addr), 4);
  if (checked == 0) checked = shim_check(out, sizeof(struct i405_addr), 4);
  if (checked != 0) return checked;
  struct sockaddr_storage dest;
  socklen_t len = shim_sockaddr_of(shim_at(to), &dest);
  if (len == 0) return -EINVAL;
  int fd = socket(dest.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int mtu = 0, result;
  socklen_t mtu_len = sizeof mtu;
  bool v6 = dest.ss_family == AF_INET6;
  if (connect(fd, (struct sockaddr *)&dest, len) != 0 || getsockname(fd, (struct sockaddr *)&dest, &len) != 0 ||
      getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &mtu_len) != 0) {
    result = -errno;
  } else {
    struct i405_addr *local = shim_at(out);
    shim_addr_of(&dest, local);
    local->port = 0;
    result = device_mtu(fd, local);
    if (result == 0) result = mtu;
  }
  close(fd);
  return result;
}

int32_t i405_close(int32_t fd) {
  if (fd < 0) return -EBADF;
  if (shim_fd_in_ring(fd)) return -EBUSY;
  shim_stamps_forget(fd);
  return close(fd) != 0 ? -errno : 0;
}

int32_t i405_event_open(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int32_t i405_event_signal(int32_t fd) {
  return eventfd_write(fd, 1) != 0 ? -errno : 0;
}
