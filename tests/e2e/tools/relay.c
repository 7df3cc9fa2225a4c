/* A bad network in user space: relays UDP between whoever sends to LISTEN and TO, both ways alike.
 *
 *   relay LISTEN PORT TO PORT [loss=R] [dup=R] [corrupt=R] [delay=MS] [jitter=MS] [seed=N]
 *
 * R is a ratio 0..1. A delay drawn anew for each datagram from delay..delay+jitter reorders them. SIGUSR1: the
 * socket towards TO is made anew, so TO sees another source port (a NAT that forgot). SIGUSR2: everything is
 * dropped from now on, or no longer. SIGTERM: prints the counters as one line of JSON and ends. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_MAX = 8192, DATAGRAM_MAX = 2048 };

struct held {
  uint64_t due_ns;
  int direction; /* 0 towards TO, 1 back */
  int len;
  uint8_t bytes[DATAGRAM_MAX];
};

static struct held *heap[QUEUE_MAX]; /* a binary heap by due_ns */
static int held_count;
static struct { long in[2], out[2], lost[2], duplicated[2], corrupted[2], overflow, rebinds; } counters;
static double loss, dup_ratio, corrupt;
static uint64_t delay_ns, jitter_ns, random_state = 1;
static volatile sig_atomic_t ended, rebind_wanted, cut;

static void on_signal(int number) {
  if (number == SIGUSR1) rebind_wanted = 1;
  else if (number == SIGUSR2) cut = !cut;
  else ended = 1;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double chance(void) { /* xorshift64*, 0 <= x < 1 */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (double)((random_state * 2685821657736338717u) >> 11) / 9007199254740992.0;
}

static void swap(int a, int b) {
  struct held *kept = heap[a];
  heap[a] = heap[b];
  heap[b] = kept;
}

static void hold(int direction, const uint8_t *bytes, int len) {
  struct held *one = held_count < QUEUE_MAX ? malloc(sizeof *one) : NULL;
  if (!one) {
    counters.overflow++;
    return;
  }
  one->due_ns = now_ns() + delay_ns + (uint64_t)(chance() * (double)jitter_ns);
  one->direction = direction;
  one->len = len;
  memcpy(one->bytes, bytes, (size_t)len);
  if (chance() < corrupt) {
    one->bytes[(int)(chance() * len)] ^= (uint8_t)(1 + chance() * 255);
    counters.corrupted[direction]++;
  }
  int at = held_count++;
  heap[at] = one;
  for (; at > 0 && heap[(at - 1) / 2]->due_ns > heap[at]->due_ns; at = (at - 1) / 2) swap(at, (at - 1) / 2);
}

static struct held *take_first(void) {
  struct held *first = heap[0];
  heap[0] = heap[--held_count];
  for (int at = 0;;) {
    int least = at;
    for (int child = 2 * at + 1; child <= 2 * at + 2 && child < held_count; child++)
      if (heap[child]->due_ns < heap[least]->due_ns) least = child;
    if (least == at) return first;
    swap(at, least);
    at = least;
  }
}

static void arrived(int direction, const uint8_t *bytes, int len) {
  counters.in[direction]++;
  if (cut || chance() < loss) {
    counters.lost[direction]++;
    return;
  }
  hold(direction, bytes, len);
  if (chance() < dup_ratio) {
    counters.duplicated[direction]++;
    hold(direction, bytes, len);
  }
}

static struct addrinfo *resolve(const char *host, const char *port) {
  struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST }, *found;
  if (getaddrinfo(host, port, &hints, &found) != 0) {
    fprintf(stderr, "relay: not an address: %s %s\n", host, port);
    exit(2);
  }
  return found;
}

static int open_socket(const struct addrinfo *address, int to_bind) {
  int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  int size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (fd < 0 || (to_bind ? bind : connect)(fd, address->ai_addr, address->ai_addrlen) != 0) {
    perror("relay: socket");
    exit(1);
  }
  return fd;
}

static void options(int count, char **words) {
  for (int i = 0; i < count; i++) {
    char *value = strchr(words[i], '=');
    if (!value) { fprintf(stderr, "relay: not NAME=VALUE: %s\n", words[i]); exit(2); }
    *value++ = 0;
    if (!strcmp(words[i], "loss")) loss = atof(value);
    else if (!strcmp(words[i], "dup")) dup_ratio = atof(value);
    else if (!strcmp(words[i], "corrupt")) corrupt = atof(value);
    else if (!strcmp(words[i], "delay")) delay_ns = (uint64_t)(atof(value) * 1e6);
    else if (!strcmp(words[i], "jitter")) jitter_ns = (uint64_t)(atof(value) * 1e6);
    else if (!strcmp(words[i], "seed")) random_state = strtoull(value, NULL, 10) * 2 + 1;
    else { fprintf(stderr, "relay: unknown option: %s\n", words[i]); exit(2); }
  }
}

int main(int argc, char **argv) {
  if (argc < 5) { fprintf(stderr, "usage: relay LISTEN PORT TO PORT [NAME=VALUE...]\n"); return 2; }
  options(argc - 5, argv + 5);
  struct addrinfo *listen_at = resolve(argv[1], argv[2]), *to = resolve(argv[3], argv[4]);
  struct sockaddr_storage client;
  socklen_t client_len = 0;
  int fds[2] = { open_socket(listen_at, 1), open_socket(to, 0) };
  struct sigaction action = { .sa_handler = on_signal };
  for (int i = 0; i < 4; i++) sigaction((int[]){ SIGTERM, SIGINT, SIGUSR1, SIGUSR2 }[i], &action, NULL);
  printf("ready\n");
  fflush(stdout);
  while (!ended) {
    if (rebind_wanted) {
      rebind_wanted = 0;
      close(fds[1]);
      fds[1] = open_socket(to, 0);
      counters.rebinds++;
    }
    struct timespec wait = { 1, 0 };
    if (held_count > 0) {
      int64_t left = (int64_t)(heap[0]->due_ns - now_ns());
      wait = left <= 0 ? (struct timespec){ 0, 0 } : (struct timespec){ left / 1000000000, left % 1000000000 };
    }
    struct pollfd polled[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };
    ppoll(polled, 2, &wait, NULL);
    for (int direction = 0; direction < 2; direction++) {
      uint8_t bytes[DATAGRAM_MAX];
      for (int i = 0; i < 64; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        ssize_t len = recvfrom(fds[direction], bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_len);
        if (len <= 0) break; /* nothing more, or a reported ICMP error: both are no datagram */
        if (direction == 0) memcpy(&client, &from, client_len = from_len);
        arrived(direction, bytes, (int)len);
      }
    }
    while (held_count > 0 && heap[0]->due_ns <= now_ns()) {
      struct held *one = take_first();
      if (one->direction == 0) send(fds[1], one->bytes, (size_t)one->len, 0);
      else if (client_len) sendto(fds[0], one->bytes, (size_t)one->len, 0, (struct sockaddr *)&client, client_len);
      counters.out[one->direction]++;
      free(one);
    }
  }
  printf("{\"in\":[%ld,%ld],\"out\":[%ld,%ld],\"lost\":[%ld,%ld],\"duplicated\":[%ld,%ld],\"corrupted\":[%ld,%ld],"
         "\"overflow\":%ld,\"rebinds\":%ld}\n",
         counters.in[0], counters.in[1], counters.out[0], counters.out[1], counters.lost[0], counters.lost[1],
         counters.duplicated[0], counters.duplicated[1], counters.corrupted[0], counters.corrupted[1],
         counters.overflow, counters.rebinds);
  return 0;
}
