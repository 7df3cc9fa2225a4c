/* Datagrams of the UDP sockets. A burst that one call has sent may come in one piece (UDP_GRO): it is received into one
 * buffer and told datagram by datagram, over several polls if the caller takes fewer at a time. */
#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#define CONTROL_LEN 128u

/* What one call has received. */
struct piece {
  struct i405_addr from, to;
  double time_ns;
  uint32_t off, left, step; /* what is still to be told; length of each datagram but the last */
  uint32_t which;           /* socket */
  uint32_t ecn;             /* of the IP header, the same of all in the piece */
};

/* Behind the buffers. */
struct received {
  uint32_t count; /* buffers that are in use, or were in this poll */
  uint32_t next;  /* the first that is not told to its end */
  struct piece pieces[I405_RECEIVE_COUNT];
};
_Static_assert(sizeof(struct received) <= I405_RECEIVE_LEN - I405_RECEIVE_COUNT * I405_RECEIVE_STRIDE, "the state has room");
_Static_assert((I405_RECEIVE_COUNT * I405_RECEIVE_STRIDE) % 8 == 0, "the state is aligned");

static struct received *received_of(const struct i405_io *io) {
  return io->rx_whole != 0 ? shim_at(io->rx_whole + I405_RECEIVE_COUNT * I405_RECEIVE_STRIDE) : NULL;
}

void shim_receive_begin(const struct i405_io *io) {
  struct received *received = received_of(io);
  if (received != NULL && received->next == received->count) received->next = received->count = 0;
}

/* The address that a datagram was sent to (family 0 if the kernel did not say), and how long each in the piece is. */
static void read_control(struct msghdr *message, struct piece *piece) {
  struct i405_addr *to = &piece->to;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
    if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(head), sizeof info);
      to->family = 4;
      memcpy(to->ip, &info.ipi_addr, 4);
    } else if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo info;
      memcpy(&info, CMSG_DATA(head), sizeof info);
      to->family = 6;
      memcpy(to->ip, &info.ipi6_addr, 16);
      if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) to->scope = info.ipi6_ifindex;
    } else if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_TOS) {
      piece->ecn = *CMSG_DATA(head) & 3;
    } else if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_TCLASS) {
      int class;
      memcpy(&class, CMSG_DATA(head), sizeof class);
      piece->ecn = (uint32_t)class & 3;
    } else if (head->cmsg_level == IPPROTO_UDP && head->cmsg_type == UDP_GRO) {
      int step;
      memcpy(&step, CMSG_DATA(head), sizeof step);
      if (step > 0) piece->step = (uint32_t)step;
    }
  }
}

/* Tells what has been received, as far as there is room. An empty datagram is one too. */
static void tell(struct i405_io *io, struct received *received) {
  while (received->next < received->count && io->rx_count < io->rx_max) {
    struct piece *piece = &received->pieces[received->next];
    uint32_t len = piece->left < piece->step ? piece->left : piece->step;
    struct i405_rx *rx = (struct i405_rx *)shim_at(io->rx_descs) + io->rx_count++;
    *rx = (struct i405_rx){
      .off = piece->off, .len = len < I405_RX_STRIDE ? len : I405_RX_STRIDE,
      .flags = (len > I405_RX_STRIDE ? 1u : 0u) | piece->ecn << I405_RX_ECN_SHIFT | piece->which << 8,
      .from = piece->from, .to = piece->to, .time_ns = piece->time_ns,
    };
    shim_find_peer(rx);
    piece->off += len;
    piece->left -= len;
    if (piece->left == 0) received->next++;
  }
}

/* Fills up to `max` buffers; returns how many, 0 when there is nothing or the call failed. */
static uint32_t receive_some(struct i405_io *io, struct received *received, uint32_t which, uint32_t max) {
  struct mmsghdr messages[I405_RECEIVE_COUNT];
  struct iovec parts[I405_RECEIVE_COUNT];
  struct sockaddr_storage from[I405_RECEIVE_COUNT];
  _Alignas(struct cmsghdr) uint8_t control[I405_RECEIVE_COUNT][CONTROL_LEN];
  uint32_t first = io->rx_whole + received->count * I405_RECEIVE_STRIDE;
  for (uint32_t i = 0; i < max; i++) {
    parts[i] = (struct iovec){.iov_base = shim_at(first + i * I405_RECEIVE_STRIDE), .iov_len = 65536};
    messages[i].msg_hdr = (struct msghdr){
      .msg_name = &from[i],
      .msg_namelen = sizeof from[i],
      .msg_iov = &parts[i],
      .msg_iovlen = 1,
      .msg_control = control[i],
      .msg_controllen = CONTROL_LEN,
    };
  }
  int got = recvmmsg(io->udp_fd[which], messages, max, MSG_DONTWAIT, NULL);
  if (got <= 0) {
    if (got < 0 && errno != EAGAIN && errno != EINTR) io->rx_errors++;
    return 0;
  }
  double now_ns = (double)shim_now();
  for (int i = 0; i < got; i++) {
    struct piece *piece = &received->pieces[received->count++];
    uint32_t len = messages[i].msg_len;
    *piece = (struct piece){.time_ns = now_ns, .off = first + (uint32_t)i * I405_RECEIVE_STRIDE, .left = len, .step = len, .which = which};
    shim_addr_of(&from[i], &piece->from);
    read_control(&messages[i].msg_hdr, piece);
  }
  return (uint32_t)got;
}

/* Both sockets share rx_max; which comes first alternates, so neither can starve the other. */
void shim_receive(struct i405_io *io) {
  static _Thread_local uint32_t turn;
  struct received *received = received_of(io);
  if (received == NULL) return;
  tell(io, received);
  turn ^= 1;
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t which = i ^ turn, got, max;
    if (io->udp_fd[which] < 0) continue;
    do {
      uint32_t room = io->rx_max - io->rx_count, free = I405_RECEIVE_COUNT - received->count;
      max = received->next < received->count ? 0 : room < free ? room : free;
      got = max > 0 ? receive_some(io, received, which, max) : 0;
      tell(io, received);
    } while (got > 0 && got == max);
  }
}
