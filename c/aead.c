/* Record protection over OpenSSL's EVP, or over gcm.c where that can do it: RFC 9147 section 4 (payload, number encryption), RFC 8446 section 5.3 (nonce).
 * Contexts are made once per key; a record only sets the nonce. All that OpenSSL allocates lies in the secret heap. */
#include "internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define TAG_LEN 16u
#define NONCE_LEN 12u
#define KEY_MAX (1 << 15)

enum owner { OWNER_NONE, OWNER_SEAL_BATCH, OWNER_RING };

struct shim_key {
  struct shim_gcm *gcm; /* NULL: the contexts do it */
  EVP_CIPHER_CTX *aead; /* NULL, like `mask`, beside gcm */
  EVP_CIPHER_CTX *mask;
  uint32_t suite;
  uint8_t iv[NONCE_LEN];
  atomic_int owner; /* who alone counts the numbers of sealed records */
  atomic_int held;  /* 1 while a ring has it */
};

static struct {
  pthread_mutex_t lock; /* guards changes of `table`; never taken by the pacer */
  _Atomic(struct shim_key *) table[KEY_MAX];
  int32_t next;
  EVP_CIPHER *gcm_128, *gcm_256, *chacha_poly, *ecb_128, *ecb_256, *chacha;
  atomic_int wide; /* whether new keys are for gcm.c */
} keys = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *heap_alloc(size_t len, const char *file, int line) {
  (void)file, (void)line;
  return shim_secret_alloc(len);
}
static void *heap_realloc(void *block, size_t len, const char *file, int line) {
  (void)file, (void)line;
  return shim_secret_realloc(block, len);
}
static void heap_free(void *block, const char *file, int line) {
  (void)file, (void)line;
  shim_secret_free(block);
}

int shim_aead_init(void) {
  if (CRYPTO_set_mem_functions(heap_alloc, heap_realloc, heap_free) != 1) return -EPROTO;
  /* No configuration file of the machine has a say; no exit handler, since the pacer may still be sealing then. */
  if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1) return -EPROTO;
  keys.gcm_128 = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
  keys.gcm_256 = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  keys.chacha_poly = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
  keys.ecb_128 = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
  keys.ecb_256 = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
  keys.chacha = EVP_CIPHER_fetch(NULL, "ChaCha20", NULL);
  atomic_store(&keys.wide, shim_gcm_supported());
  bool all = keys.gcm_128 && keys.gcm_256 && keys.chacha_poly && keys.ecb_128 && keys.ecb_256 && keys.chacha;
  return all ? 0 : -EPROTO;
}

static void key_destroy(struct shim_key *key) {
  if (key == NULL) return;
  EVP_CIPHER_CTX_free(key->aead);
  EVP_CIPHER_CTX_free(key->mask);
  shim_secret_free(key->gcm);
  shim_secret_free(key);
}

int32_t i405_aead_wide(int32_t on) {
  if (on >= 0) atomic_store(&keys.wide, on != 0 && shim_gcm_supported());
  return atomic_load(&keys.wide);
}

static struct shim_key *key_create(const struct i405_key_material *material) {
  const EVP_CIPHER *aead, *mask;
  switch (material->suite) {
    case I405_AES_128_GCM: aead = keys.gcm_128, mask = keys.ecb_128; break;
    case I405_AES_256_GCM: aead = keys.gcm_256, mask = keys.ecb_256; break;
    default: aead = keys.chacha_poly, mask = keys.chacha; break;
  }
  struct shim_key *key = shim_secret_alloc(sizeof *key);
  if (key == NULL) return NULL;
  key->suite = material->suite;
  memcpy(key->iv, material->iv, NONCE_LEN);
  bool made;
  if (material->suite != I405_CHACHA20_POLY1305 && atomic_load(&keys.wide) != 0) {
    made = (key->gcm = shim_secret_alloc(sizeof *key->gcm)) != NULL;
    if (made) shim_gcm_init(key->gcm, material->key, material->sn, material->suite == I405_AES_128_GCM ? 16 : 32);
  } else {
    static const uint8_t zeros[16];
    key->aead = EVP_CIPHER_CTX_new();
    key->mask = EVP_CIPHER_CTX_new();
    made = key->aead != NULL && key->mask != NULL &&
      EVP_CipherInit_ex(key->aead, aead, NULL, material->key, zeros, 1) == 1 &&
      EVP_CipherInit_ex(key->mask, mask, NULL, material->sn, mask == keys.chacha ? zeros : NULL, 1) == 1 &&
      EVP_CIPHER_CTX_set_padding(key->mask, 0) == 1;
  }
  if (made) return key;
  key_destroy(key);
  return NULL;
}

int32_t i405_key_new(uint32_t off) {
  int checked = shim_check(off, sizeof(struct i405_key_material), 4);
  if (checked != 0) return checked;
  struct i405_key_material *material = shim_at(off);
  uint32_t suite = material->suite;
  bool known = suite == I405_AES_128_GCM || suite == I405_AES_256_GCM || suite == I405_CHACHA20_POLY1305;
  struct shim_key *key = known ? key_create(material) : NULL;
  explicit_bzero(material, sizeof *material);
  if (key == NULL) return known ? -ENOMEM : -EINVAL;
  int32_t id = -ENOSPC;
  pthread_mutex_lock(&keys.lock);
  /* Round robin, so that an id just freed is not the next one given. */
  for (int32_t tries = 0; tries < KEY_MAX && id < 0; tries++) {
    int32_t index = keys.next;
    keys.next = (keys.next + 1) % KEY_MAX;
    if (atomic_load_explicit(&keys.table[index], memory_order_relaxed) != NULL) continue;
    atomic_store_explicit(&keys.table[index], key, memory_order_release);
    id = index + 1;
  }
  pthread_mutex_unlock(&keys.lock);
  if (id < 0) key_destroy(key);
  return id;
}

static struct shim_key *key_find(int32_t id) {
  if (id <= 0 || id > KEY_MAX) return NULL;
  return atomic_load_explicit(&keys.table[id - 1], memory_order_acquire);
}

int32_t i405_key_free(int32_t id) {
  int32_t result = 0;
  pthread_mutex_lock(&keys.lock);
  struct shim_key *key = key_find(id);
  if (key == NULL) {
    result = -EINVAL;
  } else if (atomic_load(&key->held) != 0) {
    result = -EBUSY;
  } else {
    atomic_store_explicit(&keys.table[id - 1], NULL, memory_order_release);
    key_destroy(key);
  }
  pthread_mutex_unlock(&keys.lock);
  return result;
}

struct shim_key *shim_key_hold(int32_t id, int *error) {
  pthread_mutex_lock(&keys.lock);
  struct shim_key *key = key_find(id);
  int none = OWNER_NONE;
  if (key == NULL) {
    *error = -EINVAL;
  } else if (!atomic_compare_exchange_strong(&key->owner, &none, OWNER_RING)) {
    *error = -EALREADY;
    key = NULL;
  } else {
    atomic_store(&key->held, 1);
  }
  pthread_mutex_unlock(&keys.lock);
  return key;
}

void shim_key_release(struct shim_key *key) {
  if (key != NULL) atomic_store(&key->held, 0);
}

/* RFC 9147 section 4.2.3: the mask of the first 16 bytes of ciphertext. ChaCha20 takes the first four as block
 * counter (little-endian) and the rest as nonce, which is how EVP wants its 16 bytes of IV. */
static int xor_number(struct shim_key *key, const uint8_t *sample, uint8_t *number, uint32_t seq_len) {
  uint8_t mask[16] = {0};
  int len = 0;
  if (seq_len == 0) return 0;
  if (key->gcm != NULL) {
    shim_gcm_mask(key->gcm, sample, mask);
  } else if (key->suite == I405_CHACHA20_POLY1305) {
    if (EVP_CipherInit_ex(key->mask, NULL, NULL, NULL, sample, 1) != 1) return -EIO;
    if (EVP_EncryptUpdate(key->mask, mask, &len, mask, sizeof mask) != 1) return -EIO;
  } else if (EVP_EncryptUpdate(key->mask, mask, &len, sample, 16) != 1) {
    return -EIO;
  }
  for (uint32_t i = 0; i < seq_len; i++) number[i] ^= mask[i];
  return 0;
}

/* RFC 8446 section 5.3: the 64-bit number, padded to the left, xor the iv. */
static void make_nonce(const struct shim_key *key, uint64_t seq, uint8_t nonce[16]) {
  memcpy(nonce, key->iv, NONCE_LEN);
  for (uint32_t i = 0; i < 8; i++) nonce[NONCE_LEN - 1 - i] ^= (uint8_t)(seq >> (8 * i));
}

int shim_seal(struct shim_key *key, const struct shim_seal *job) {
  uint8_t nonce[16];
  uint8_t *cipher = job->record + job->hdr_len;
  int len = 0;
  make_nonce(key, job->seq, nonce);
  if (key->gcm != NULL) {
    shim_gcm_seal(key->gcm, nonce, job->record, job->hdr_len, job->plain, cipher, job->plain_len);
    return xor_number(key, cipher, job->record + job->seq_off, job->seq_len);
  }
  if (EVP_CipherInit_ex(key->aead, NULL, NULL, NULL, nonce, 1) != 1) return -EIO;
  if (job->hdr_len > 0 && EVP_CipherUpdate(key->aead, NULL, &len, job->record, (int)job->hdr_len) != 1) {
    return -EIO;
  }
  if (job->plain_len > 0 && EVP_CipherUpdate(key->aead, cipher, &len, job->plain, (int)job->plain_len) != 1) {
    return -EIO;
  }
  if (EVP_CipherFinal_ex(key->aead, cipher + job->plain_len, &len) != 1) return -EIO;
  if (EVP_CIPHER_CTX_ctrl(key->aead, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, cipher + job->plain_len) != 1) return -EIO;
  return xor_number(key, cipher, job->record + job->seq_off, job->seq_len);
}

static int open_one(struct shim_key *key, const struct i405_record *record) {
  uint8_t nonce[16], tag[TAG_LEN];
  uint8_t *src = shim_at(record->src), *dst = shim_at(record->dst);
  uint32_t plain_len = record->len - record->hdr_len - TAG_LEN;
  int len = 0;
  make_nonce(key, (uint64_t)record->seq_hi << 32 | record->seq_lo, nonce);
  if (key->gcm != NULL) {
    if (shim_gcm_open(key->gcm, nonce, src, record->hdr_len, src + record->hdr_len, dst, plain_len)) return (int)plain_len;
    explicit_bzero(dst, plain_len);
    return -EBADMSG;
  }
  memcpy(tag, src + record->hdr_len + plain_len, TAG_LEN);
  bool good = EVP_CipherInit_ex(key->aead, NULL, NULL, NULL, nonce, 0) == 1 &&
    EVP_CIPHER_CTX_ctrl(key->aead, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
    (record->hdr_len == 0 || EVP_CipherUpdate(key->aead, NULL, &len, src, record->hdr_len) == 1) &&
    (plain_len == 0 || EVP_CipherUpdate(key->aead, dst, &len, src + record->hdr_len, (int)plain_len) == 1) &&
    EVP_CipherFinal_ex(key->aead, dst + plain_len, &len) == 1;
  if (good) return (int)plain_len;
  explicit_bzero(dst, plain_len); /* nobody reads what was not authenticated */
  return -EBADMSG;
}

/* 0 if the descriptor may be worked on, else its result. */
static int check_record(const struct i405_record *record, bool with_dst) {
  if (record->len < record->hdr_len + TAG_LEN) return -EBADMSG;
  if (record->seq_len > 2 || record->seq_off + record->seq_len > record->hdr_len) return -EINVAL;
  int checked = shim_check(record->src, record->len, 1);
  if (checked != 0 || !with_dst) return checked;
  uint32_t plain_len = record->len - record->hdr_len - TAG_LEN;
  if (plain_len == 0) return 0;
  checked = shim_check(record->dst, plain_len, 1);
  if (checked != 0) return checked;
  bool apart = record->dst >= record->src + record->len || record->src >= record->dst + plain_len;
  return apart ? 0 : -EINVAL;
}

static int unmask_one(struct shim_key *key, const struct i405_record *record) {
  uint8_t *src = shim_at(record->src);
  return xor_number(key, src + record->hdr_len, src + record->seq_off, record->seq_len);
}

static int seal_one(struct shim_key *key, const struct i405_record *record) {
  int none = OWNER_NONE;
  bool ours = atomic_compare_exchange_strong(&key->owner, &none, OWNER_SEAL_BATCH) || none == OWNER_SEAL_BATCH;
  if (!ours) return -EBUSY;
  struct shim_seal job = {
    .record = shim_at(record->src),
    .hdr_len = record->hdr_len,
    .seq_off = record->seq_off,
    .seq_len = record->seq_len,
    .plain = shim_at(record->dst),
    .plain_len = record->len - record->hdr_len - TAG_LEN,
    .seq = (uint64_t)record->seq_hi << 32 | record->seq_lo,
  };
  int sealed = shim_seal(key, &job);
  return sealed != 0 ? sealed : (int)record->len;
}

static int32_t batch(uint32_t records, uint32_t count, bool with_dst,
                     int (*one)(struct shim_key *, const struct i405_record *)) {
  int checked = shim_check(records, (uint64_t)count * sizeof(struct i405_record), 4);
  if (checked != 0) return checked;
  struct i405_record *record = shim_at(records);
  int32_t done = 0;
  for (uint32_t i = 0; i < count; i++, record++) {
    struct shim_key *key = key_find(record->key);
    int result = key == NULL ? -EINVAL : check_record(record, with_dst);
    /* A ring's key is the pacer's own: its context may be in use this very moment. */
    if (result == 0 && atomic_load_explicit(&key->owner, memory_order_relaxed) == OWNER_RING) result = -EBUSY;
    if (result == 0) result = one(key, record);
    record->result = result;
    done += result >= 0;
  }
  return done;
}

int32_t i405_unmask_batch(uint32_t records, uint32_t count) { return batch(records, count, false, unmask_one); }

int32_t i405_open_batch(uint32_t records, uint32_t count) { return batch(records, count, true, open_one); }

int32_t i405_seal_batch(uint32_t records, uint32_t count) { return batch(records, count, true, seal_one); }
