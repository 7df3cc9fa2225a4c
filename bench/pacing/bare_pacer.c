/* The plainest pacer in C, to judge ours by: the same grid, sleep to T - lead, spin to T, send.
 *   bare_pacer INTERVAL_US LEAD_US SECONDS LEN BURST CPU(-1: not pinned) [ADDRESS PORT]
 * A burst is one UDP_SEGMENT call. Sends to a loopback socket of its own that nobody reads, unless told where to. Prints
 * one line of JSON, times in ns. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../c/i405.h" /* the buckets alone */
#include "plain.h"

/* Connected to `to`; without an address to a socket of our own. */
static int open_socket(struct sockaddr_in to) {
  socklen_t len = sizeof to;
  int fd = socket(AF_INET, SOCK_DGRAM, 0), failed = fd < 0;
  if (to.sin_addr.s_addr == 0) {
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int sink = socket(AF_INET, SOCK_DGRAM, 0);
    failed |= bind(sink, (struct sockaddr *)&to, len) != 0 || getsockname(sink, (struct sockaddr *)&to, &len) != 0;
  }
  if (failed || connect(fd, (struct sockaddr *)&to, len) != 0) {
    perror("socket");
    exit(1);
  }
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 7 && argc != 9) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (argc == 9) {
    to.sin_addr.s_addr = inet_addr(argv[7]);
    to.sin_port = htons(atoi(argv[8]));
  }
  int64_t interval = atof(argv[1]) * 1000, lead = atof(argv[2]) * 1000;
  int64_t count = atof(argv[3]) * 1e9 / interval, sent = 0, skipped = 0, late = 0;
  int len = atoi(argv[4]), burst = atoi(argv[5]), cpu = atoi(argv[6]), fd = open_socket(to);
  static uint8_t datagrams[65536];
  int64_t *deviation = calloc(count, sizeof *deviation);
  if (len * burst > (int)sizeof datagrams || deviation == NULL) return 2;
  if (burst > 1 && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &len, sizeof len) != 0) return 2;
  int fifo = be_real_time(cpu);
  memset(deviation, 0, count * sizeof *deviation);
  int64_t start = now() + 10000000;
  for (int64_t slot = 0; slot < count; slot++) {
    int64_t time = start + slot * interval, at = now();
    if (at >= time + interval) {
      skipped++;
      continue;
    }
    at = wait_until(time, lead, at);
    send(fd, datagrams, len * burst, MSG_DONTWAIT);
    deviation[sent++] = at - time;
    late += at - time > 100000;
  }
  qsort(deviation, sent, sizeof *deviation, compare);
  uint32_t buckets[I405_HIST_BUCKETS] = {0};
  for (int64_t i = 0; i < sent; i++) buckets[i405_hist_bucket(deviation[i])]++;
  printf("{\"fifo\":%d,\"slots\":%lld,\"skipped\":%lld,\"late\":%lld,\"p50\":%lld,\"p90\":%lld,\"p99\":%lld,\"p999\":%lld,"
         "\"max\":%lld,\"histogram\":[",
         fifo, (long long)count, (long long)skipped, (long long)late, (long long)deviation[sent / 2],
         (long long)deviation[sent * 9 / 10], (long long)deviation[sent * 99 / 100],
         (long long)deviation[sent * 999 / 1000], (long long)deviation[sent - 1]);
  for (uint32_t i = 0; i < I405_HIST_BUCKETS; i++) printf(i == 0 ? "%u" : ",%u", buckets[i]);
  printf("]}\n");
  return 0;
}
