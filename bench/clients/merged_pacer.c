/* The plainest pacer in C for many schedules at once, to judge ours by: all times of all of them are drawn and sorted
 * first; then sleep to T - lead, spin to T, send.
 *   merged_pacer SCHEDULES INTERVAL_US LEAD_US SECONDS LEN CPU ADDRESS PORT
 * Each schedule is a grid of its own phase with a jitter of 12 %. Prints one line of JSON, times in ns. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "../pacing/plain.h"

int main(int argc, char **argv) {
  if (argc != 9) return 2;
  int64_t schedules = atoi(argv[1]), lead = atof(argv[3]) * 1000, skipped = 0, late = 0, sent = 0;
  double interval = atof(argv[2]) * 1000;
  int64_t each = atof(argv[4]) * 1e9 / interval, count = schedules * each;
  int len = atoi(argv[5]), cpu = atoi(argv[6]), fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(argv[7]), .sin_port = htons(atoi(argv[8]))};
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) return 1;
  int64_t *times = calloc(count, sizeof *times), *deviation = calloc(count, sizeof *deviation);
  static uint8_t datagram[2048];
  if (times == NULL || deviation == NULL || len > (int)sizeof datagram) return 2;
  for (int64_t i = 0; i < schedules; i++) {
    double phase = drand48();
    for (int64_t k = 0; k < each; k++) {
      double jitter = (drand48() + drand48() + drand48() + drand48() - 2) * 0.12 * 1.73;
      times[i * each + k] = (k + phase + 0.5 + jitter) * interval;
    }
  }
  qsort(times, count, sizeof *times, compare);
  int fifo = be_real_time(cpu);
  int64_t start = now() + 10000000;
  for (int64_t slot = 0; slot < count; slot++) {
    int64_t time = start + times[slot], at = now();
    if (at >= time + (int64_t)interval) {
      skipped++;
      continue;
    }
    at = wait_until(time, lead, at);
    send(fd, datagram, len, MSG_DONTWAIT);
    deviation[sent++] = at - time;
    late += at - time > 100000;
  }
  qsort(deviation, sent, sizeof *deviation, compare);
  printf("{\"fifo\":%d,\"slots\":%lld,\"skipped\":%lld,\"late\":%lld,\"p50\":%lld,\"p99\":%lld,\"p999\":%lld,\"max\":%lld}\n", fifo,
         (long long)count, (long long)skipped, (long long)late, (long long)deviation[sent / 2],
         (long long)deviation[sent * 99 / 100], (long long)deviation[sent * 999 / 1000], (long long)deviation[sent - 1]);
  return 0;
}
