/* A peer of DTLS 1.3 built on wolfSSL, for what its example programs cannot do: a key for each suite's hash, groups
 * with and without a share, connection ids, changes of keys and of the port at a word.
 *
 *   wolfssl_peer client|server PORT [NAME=VALUE...]
 *
 * A server with PORT 0 takes a free one and says which. Options:
 *   at=127.0.0.1                    the server's address
 *   suite=TLS13-AES128-GCM-SHA256   the only suite
 *   group=x25519                    the only group: x25519, secp256r1, x25519mlkem768
 *   share=0                         client: no share in the first hello, so that a HelloRetryRequest follows
 *   cookie=0                        server: no cookie, so that a hello with a share is answered at once
 *   cid=HEX                         offer or accept connection ids: the peer is to use this one, up to 10 bytes, or none
 *   key=HEX identity=TEXT           the external PSK; it is for the hash of the suite
 *   mtu=N timeout=MS tickets=1      datagrams at most so long; first retransmission; server: send a ticket
 *   echo=1 update=MS                send all application data back; so long after the handshake, a KeyUpdate
 * Words on standard input, one a line:
 *   send TEXT    application data            update    KeyUpdate, which asks for one in return
 *   move         client: another local port  close     close_notify, and the end
 * Lines on standard output:
 *   port N       bound                       connected SUITE GROUP RX TX    (connection ids in hex, - for none)
 *   data TEXT    application data, if any    cids RX TX                     (after a change)
 *   closed       close_notify came           error N TEXT                   and the end */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/error-ssl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 2048, TIMEOUT_MAX_MS = 1000, LIFE_MS = 60000 };

static struct {
  int is_server, port, share, cookie, cid_len, key_len, mtu, timeout_ms, tickets, echo, update_ms;
  const char *at, *suite, *group, *identity;
  unsigned char cid[10], key[64];
} options = { .share = 1, .cookie = 1, .cid_len = -1, .timeout_ms = 200, .at = "127.0.0.1",
              .suite = "TLS13-AES128-GCM-SHA256", .group = "x25519", .identity = "Client_identity" };

static int fd = -1, is_done;
static WOLFSSL *ssl;

static void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  printf("error ");
  vprintf(format, list);
  printf("\n");
  exit(1);
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int from_hex(const char *text, unsigned char *out, int most) {
  int len = (int)strlen(text) / 2;
  if (len > most) fail("0 more than %d bytes: %s", most, text);
  for (int i = 0; i < len; i++) {
    unsigned byte;
    if (sscanf(text + 2 * i, "%2x", &byte) != 1) fail("0 not hex: %s", text);
    out[i] = (unsigned char)byte;
  }
  return len;
}

static void read_options(int count, char **words) {
  options.key_len = from_hex("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", options.key, 32);
  for (int i = 0; i < count; i++) {
    char *value = strchr(words[i], '=');
    if (!value) fail("0 not NAME=VALUE: %s", words[i]);
    *value++ = 0;
    const char *name = words[i];
    if (!strcmp(name, "at")) options.at = value;
    else if (!strcmp(name, "echo")) options.echo = atoi(value);
    else if (!strcmp(name, "update")) options.update_ms = atoi(value);
    else if (!strcmp(name, "suite")) options.suite = value;
    else if (!strcmp(name, "group")) options.group = value;
    else if (!strcmp(name, "identity")) options.identity = value;
    else if (!strcmp(name, "share")) options.share = atoi(value);
    else if (!strcmp(name, "cookie")) options.cookie = atoi(value);
    else if (!strcmp(name, "mtu")) options.mtu = atoi(value);
    else if (!strcmp(name, "timeout")) options.timeout_ms = atoi(value);
    else if (!strcmp(name, "tickets")) options.tickets = atoi(value);
    else if (!strcmp(name, "cid")) options.cid_len = from_hex(value, options.cid, sizeof options.cid);
    else if (!strcmp(name, "key")) options.key_len = from_hex(value, options.key, sizeof options.key);
    else fail("0 unknown option: %s", name);
  }
}

static int group_id(void) {
  if (!strcmp(options.group, "x25519")) return WOLFSSL_ECC_X25519;
  if (!strcmp(options.group, "secp256r1")) return WOLFSSL_ECC_SECP256R1;
  if (!strcmp(options.group, "x25519mlkem768")) return WOLFSSL_X25519MLKEM768;
  fail("0 unknown group: %s", options.group);
  return -1;
}

static unsigned client_key(WOLFSSL *of, const char *hint, char *identity, unsigned identity_max,
                           unsigned char *key, unsigned key_max, const char **suite) {
  (void)of, (void)hint;
  if ((unsigned)options.key_len > key_max) return 0;
  snprintf(identity, identity_max, "%s", options.identity);
  memcpy(key, options.key, (size_t)options.key_len);
  *suite = options.suite;
  return (unsigned)options.key_len;
}

static unsigned server_key(WOLFSSL *of, const char *identity, unsigned char *key, unsigned key_max,
                           const char **suite) {
  (void)of;
  if ((unsigned)options.key_len > key_max || strcmp(identity, options.identity) != 0) return 0;
  memcpy(key, options.key, (size_t)options.key_len);
  *suite = options.suite;
  return (unsigned)options.key_len;
}

static struct sockaddr_in server_address(void) {
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port) };
  if (inet_pton(AF_INET, options.at, &at.sin_addr) != 1) fail("0 not an address: %s", options.at);
  return at;
}

static int open_socket(void) {
  struct sockaddr_in at = { .sin_family = AF_INET };
  if (options.is_server) at = server_address();
  socklen_t len = sizeof at;
  int made = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0 || bind(made, (struct sockaddr *)&at, len) != 0) fail("0 socket: %s", strerror(errno));
  getsockname(made, (struct sockaddr *)&at, &len);
  printf("port %d\n", ntohs(at.sin_port));
  return made;
}

/* A server answers whoever says the first good hello, and after that follows the address of what opens. */
static int receive(WOLFSSL *of, char *buffer, int size, void *context) {
  struct sockaddr_in from;
  socklen_t from_len = sizeof from;
  (void)context;
  ssize_t len = recvfrom(fd, buffer, (size_t)size, 0, (struct sockaddr *)&from, &from_len);
  if (len < 0) return errno == EAGAIN || errno == ECONNREFUSED ? WOLFSSL_CBIO_ERR_WANT_READ : WOLFSSL_CBIO_ERR_GENERAL;
  if (options.is_server && !wolfSSL_is_stateful(of)) wolfSSL_dtls_set_peer(of, &from, from_len);
  else if (options.is_server && options.cid_len >= 0) wolfSSL_dtls_set_pending_peer(of, &from, from_len);
  return (int)len;
}

static void print_ids(const char *name) {
  unsigned char id[255];
  unsigned len[2] = { 0, 0 };
  if (options.cid_len >= 0 && wolfSSL_dtls_cid_is_enabled(ssl)) {
    wolfSSL_dtls_cid_get_rx_size(ssl, &len[0]);
    wolfSSL_dtls_cid_get_tx_size(ssl, &len[1]);
  }
  printf("%s", name);
  for (int i = 0; i < 2; i++) {
    printf(len[i] ? " " : " -");
    if (len[i]) (i ? wolfSSL_dtls_cid_get_tx : wolfSSL_dtls_cid_get_rx)(ssl, id, sizeof id);
    for (unsigned k = 0; k < len[i]; k++) printf("%02x", id[k]);
  }
  printf("\n");
}

/* Says so when the peer's NewConnectionId has changed the id that is sent. */
static void watch_ids(void) {
  static unsigned char known[255];
  static unsigned known_len;
  unsigned char id[255];
  unsigned len = 0;
  if (options.cid_len < 0 || wolfSSL_dtls_cid_get_tx_size(ssl, &len) != WOLFSSL_SUCCESS || len > sizeof id) return;
  if (len) wolfSSL_dtls_cid_get_tx(ssl, id, sizeof id);
  if (known_len && (known_len != len || memcmp(known, id, len) != 0)) print_ids("cids");
  memcpy(known, id, known_len = len);
}

static void check(int result, const char *what) {
  if (result != WOLFSSL_SUCCESS) fail("%d %s", result, what);
}

static void make_ssl(void) {
  int group = group_id();
  WOLFSSL_CTX *context = wolfSSL_CTX_new(options.is_server ? wolfDTLSv1_3_server_method() : wolfDTLSv1_3_client_method());
  if (!context) fail("0 no context");
  wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
  wolfSSL_CTX_set_psk_client_tls13_callback(context, client_key);
  wolfSSL_CTX_set_psk_server_tls13_callback(context, server_key);
  wolfSSL_CTX_SetIORecv(context, receive);
  if (!options.tickets) wolfSSL_CTX_no_ticket_TLSv13(context);
  check(wolfSSL_CTX_set_cipher_list(context, options.suite), "cipher list");
  check(wolfSSL_CTX_set_groups(context, &group, 1), "groups");
  ssl = wolfSSL_new(context);
  if (!ssl) fail("0 no session");
  wolfSSL_CTX_free(context);
  wolfSSL_dtls_set_using_nonblock(ssl, 1);
  check(wolfSSL_set_fd(ssl, fd), "socket");
  if (options.mtu) check(wolfSSL_dtls_set_mtu(ssl, (unsigned short)options.mtu), "mtu");
  if (options.cid_len >= 0) {
    check(wolfSSL_dtls_cid_use(ssl), "connection ids");
    check(wolfSSL_dtls_cid_set(ssl, options.cid, (unsigned)options.cid_len), "connection id");
  }
  if (!options.is_server) {
    struct sockaddr_in to = server_address();
    check(wolfSSL_dtls_set_peer(ssl, &to, sizeof to), "peer");
    check(options.share ? wolfSSL_UseKeyShare(ssl, (word16)group) : wolfSSL_NoKeyShares(ssl), "share");
  } else {
    check(wolfSSL_dtls13_allow_ch_frag(ssl, 1), "fragmented hello");
    if (!options.cookie) check(wolfSSL_disable_hrr_cookie(ssl), "no cookie");
  }
}

static void judge(int result, const char *what) {
  int error = wolfSSL_get_error(ssl, result);
  char text[WOLFSSL_MAX_ERROR_SZ];
  if (error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE) return;
  if (error == WOLFSSL_ERROR_ZERO_RETURN) {
    printf("closed\n");
    is_done = 1;
    return;
  }
  fail("%d %s: %s", error, what, wolfSSL_ERR_error_string((unsigned long)error, text));
}

/* Takes in what has come; whether that was anything. */
static void read_all(void) {
  char text[TEXT_MAX + 1];
  for (;;) {
    int len = wolfSSL_read(ssl, text, TEXT_MAX);
    if (len <= 0) {
      judge(len, "read");
      return;
    }
    if (options.echo && wolfSSL_write(ssl, text, len) <= 0) judge(-1, "echo");
    while (len > 0 && text[len - 1] == 0) len--;
    text[len] = 0;
    if (len > 0) printf("data %s\n", text);
  }
}

/* Asks for one in return. */
static void update_keys(void) {
  int result = wolfSSL_update_keys(ssl);
  if (result != WOLFSSL_SUCCESS) judge(result, "update");
}

static void obey(char *line) {
  line[strcspn(line, "\n")] = 0;
  if (!strncmp(line, "send ", 5)) {
    int len = wolfSSL_write(ssl, line + 5, (int)strlen(line + 5));
    if (len <= 0) judge(len, "write");
  } else if (!strcmp(line, "update")) {
    update_keys();
  } else if (!strcmp(line, "move")) {
    close(fd);
    fd = open_socket();
    check(wolfSSL_set_fd(ssl, fd), "socket");
  } else if (!strcmp(line, "close")) {
    wolfSSL_shutdown(ssl);
    is_done = 1;
  } else {
    fail("0 unknown word: %s", line);
  }
}

/* The end of the input is none: whoever started this ends it, or its time does. */
static void read_words(struct pollfd *input) {
  static char words[TEXT_MAX];
  static size_t held;
  ssize_t len = read(0, words + held, sizeof words - 1 - held);
  if (len <= 0) {
    input->fd = -1;
    return;
  }
  words[held += (size_t)len] = 0;
  for (char *end; !is_done && (end = strchr(words, '\n'));) {
    *end = 0;
    obey(words);
    held -= (size_t)(end + 1 - words);
    memmove(words, end + 1, held + 1);
  }
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc < 3) fail("0 usage: wolfssl_peer client|server PORT [NAME=VALUE...]");
  options.is_server = !strcmp(argv[1], "server");
  options.port = atoi(argv[2]);
  read_options(argc - 3, argv + 3);
  wolfSSL_Init();
  fd = open_socket();
  make_ssl();
  int is_connected = 0, timeout = options.timeout_ms;
  int64_t ends_at = now_ms() + LIFE_MS, due = now_ms() + timeout, update_at = 0;
  struct pollfd polled[2] = { { fd, POLLIN, 0 }, { -1, POLLIN, 0 } };
  while (!is_done && now_ms() < ends_at) {
    if (!is_connected) {
      int result = options.is_server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);
      if (result == WOLFSSL_SUCCESS) {
        is_connected = 1;
        if (options.update_ms) update_at = now_ms() + options.update_ms;
        polled[1].fd = 0;
        printf("connected %s %s", wolfSSL_get_cipher_name(ssl), wolfSSL_get_curve_name(ssl));
        print_ids("");
      } else {
        judge(result, "handshake");
      }
    }
    if (is_connected) read_all();
    if (update_at && now_ms() >= update_at) {
      update_at = 0;
      update_keys();
    }
    watch_ids();
    if (is_done) break;
    polled[0].fd = fd;
    int64_t wait = due - now_ms();
    poll(polled, 2, wait < 0 ? 0 : (int)wait);
    if (is_connected && polled[1].revents != 0) read_words(&polled[1]);
    if (polled[0].revents != 0) timeout = options.timeout_ms;
    if (now_ms() < due) continue;
    /* wolfSSL counts whole seconds and gives up after a few; this goes on, by its own clock. */
    wolfSSL_dtls_set_timeout_init(ssl, 1);
    int result = wolfSSL_dtls_got_timeout(ssl);
    if (result != WOLFSSL_SUCCESS) judge(result, "timeout");
    timeout = timeout * 2 > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : timeout * 2;
    due = now_ms() + timeout;
  }
  wolfSSL_free(ssl);
  close(fd);
  return is_done ? 0 : 3;
}
