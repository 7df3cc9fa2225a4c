/* What arrives at an interface, by the kernel's own time stamps: datagrams to one port, held against the grid that they
 * were sent on.
 *   receiver INTERFACE PORT INTERVAL_US SECONDS
 * The grid is fitted: a packet's number is the nearest multiple of the interval, and a line goes through the medians of
 * the first and of the last third. Prints one line of JSON when the time is up, times in ns: `p50` ...
 * `max` of |arrival - grid|, `gaps` longer than 5 ms plus an interval, `missing` numbers. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <math.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define GAP_NS 5000000.0
#define STAMPS_NS 300000000 /* so long after it was asked to, the kernel has begun to stamp */

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int open_at(const char *interface) {
  int fd = socket(AF_PACKET, SOCK_DGRAM, 0), on = 1, buffer_len = 64 << 20;
  struct sockaddr_ll address = {
    .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex(interface)};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_len, sizeof buffer_len) != 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    perror(interface);
    exit(1);
  }
  return fd;
}

/* Somebody there, so that the kernel answers nothing to what comes; who has the port already does as well. */
static void occupy(uint16_t port) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
  bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&any, sizeof any);
}

/* Time stamp of the next datagram to `port` that came in, 0 when it is another one; UINT64_MAX: nothing there. */
static uint64_t next(int fd, uint16_t port) {
  uint8_t head[64];
  _Alignas(struct cmsghdr) uint8_t control[64];
  struct sockaddr_ll from;
  struct iovec part = {.iov_base = head, .iov_len = sizeof head};
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
                           .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(fd, &message, MSG_DONTWAIT) < 28) return UINT64_MAX;
  size_t header_len = 4 * (head[0] & 15u);
  if (from.sll_pkttype == PACKET_OUTGOING || head[9] != 17 || header_len > 60) return 0;
  if (((uint16_t)head[header_len + 2] << 8 | head[header_len + 3]) != port) return 0;
  struct cmsghdr *stamp = CMSG_FIRSTHDR(&message);
  struct timespec at;
  if (stamp == NULL || stamp->cmsg_type != SCM_TIMESTAMPNS) return 0;
  memcpy(&at, CMSG_DATA(stamp), sizeof at);
  return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static double median(const double *values, size_t count) {
  double *copy = malloc(count * sizeof *copy);
  memcpy(copy, values, count * sizeof *copy);
  qsort(copy, count, sizeof *copy, compare);
  double middle = copy[count / 2];
  free(copy);
  return middle;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int fd = open_at(argv[1]);
  uint16_t port = (uint16_t)atoi(argv[2]);
  occupy(port);
  double interval = atof(argv[3]) * 1000;
  int64_t begin = now() + STAMPS_NS, end = now() + (int64_t)(atof(argv[4]) * 1e9);
  size_t cap = (size_t)(atof(argv[4]) * 1e9 / interval * 1.1) + 1000, count = 0, gaps = 0;
  double *offset = calloc(cap, sizeof *offset), *number = calloc(cap, sizeof *number), gap_max = 0, missing = 0, drift = 0;
  if (offset == NULL || number == NULL) return 1;
  uint64_t first = 0, last = 0;
  printf("ready\n");
  fflush(stdout);
  for (int64_t left; (left = end - now()) > 0 && count < cap;) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    poll(&wanted, 1, (int)(left / 1000000) + 1);
    for (uint64_t at; count < cap && (at = next(fd, port)) != UINT64_MAX;) {
      if (at == 0 || now() < begin) continue;
      if (first == 0) first = last = at;
      double gap = (double)(int64_t)(at - last), since = (double)(int64_t)(at - first);
      /* The grid of all packets so far is slow to move: one that is late does not take its successors with it. */
      number[count] = fmax(round((since - drift) / interval), count == 0 ? 0 : number[count - 1]);
      offset[count] = since - number[count] * interval;
      drift += (offset[count] - drift) / 1024;
      if (count > 0) missing += fmax(0, number[count] - number[count - 1] - 1);
      gaps += gap > GAP_NS + interval;
      gap_max = fmax(gap_max, gap);
      last = at;
      count++;
    }
  }
  if (count < 30) {
    printf("{\"packets\":%zu}\n", count);
    return 0;
  }
  size_t third = count / 3;
  double low = median(offset, third), high = median(offset + count - third, third);
  double slope = (high - low) / (median(number + count - third, third) - median(number, third));
  double middle = median(number, third);
  for (size_t i = 0; i < count; i++) offset[i] = fabs(offset[i] - low - slope * (number[i] - middle));
  qsort(offset, count, sizeof *offset, compare);
  printf("{\"packets\":%zu,\"missing\":%.0f,\"gaps\":%zu,\"gap_max\":%.0f,\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f,"
         "\"p999\":%.0f,\"max\":%.0f}\n",
         count, missing, gaps, gap_max, offset[count / 2], offset[count * 9 / 10], offset[count * 99 / 100],
         offset[count * 999 / 1000], offset[count - 1]);
  return 0;
}
