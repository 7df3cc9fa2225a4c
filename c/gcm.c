/* AES-GCM (NIST SP 800-38D) for processors that work on four blocks at once (VAES, VPCLMULQDQ, AVX-512): half of what a
 * tunnel of gigabits computes is this, and the library that is linked knows only the older instructions. No table, no
 * branch depends on a secret. Everything else, and every other processor, is the library's; both give the same bytes.
 *
 * GHASH is computed as POLYVAL on reversed blocks (RFC 8452 appendix A), so that products need no shift:
 *   GHASH(H, X...) = reverse(POLYVAL(x * reverse(H), reverse(X)...)).
 * Sixteen blocks are multiplied with sixteen powers of the key and reduced together. */
#include "internal.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq,aes,pclmul,sse4.1")))
#define WIDE_INLINE WIDE __attribute__((always_inline)) static inline

bool shim_gcm_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("vaes") && __builtin_cpu_supports("vpclmulqdq");
}

/* ---- keys ---- */

WIDE_INLINE uint32_t sub_word(uint32_t word) {
  return (uint32_t)_mm_cvtsi128_si32(_mm_aeskeygenassist_si128(_mm_set1_epi32((int)word), 0));
}

/* FIPS 197 section 5.2; words are little-endian, so a rotation is the other way round. */
WIDE static void expand(uint8_t round_keys[15][16], const uint8_t *key, uint32_t key_len) {
  uint32_t words[60], per_key = key_len / 4, count = 4 * (per_key + 7), rcon = 1;
  memcpy(words, key, key_len);
  for (uint32_t i = per_key; i < count; i++) {
    uint32_t word = words[i - 1];
    if (i % per_key == 0) {
      word = sub_word(word >> 8 | word << 24) ^ rcon;
      rcon = rcon << 1 ^ (rcon >> 7) * 0x11b;
    } else if (per_key > 6 && i % per_key == 4) {
      word = sub_word(word);
    }
    words[i] = words[i - per_key] ^ word;
  }
  memcpy(round_keys, words, 4 * count);
  explicit_bzero(words, sizeof words);
}

WIDE_INLINE __m128i load(const uint8_t *at) { return _mm_loadu_si128((const __m128i *)at); }

WIDE_INLINE __m128i encrypt_block(const uint8_t round_keys[15][16], uint32_t rounds, __m128i block) {
  block = _mm_xor_si128(block, load(round_keys[0]));
  for (uint32_t i = 1; i < rounds; i++) block = _mm_aesenc_si128(block, load(round_keys[i]));
  return _mm_aesenclast_si128(block, load(round_keys[rounds]));
}

WIDE_INLINE __m128i reverse(__m128i block) {
  return _mm_shuffle_epi8(block, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* ---- POLYVAL ---- */

/* Times x^-128 modulo x^128 + x^127 + x^126 + x^121 + 1. */
WIDE_INLINE __m128i reduce(__m128i low, __m128i middle, __m128i high) {
  const __m128i poly = _mm_set_epi32((int)0xc2000000, 0, 0, 1);
  low = _mm_xor_si128(low, _mm_slli_si128(middle, 8));
  high = _mm_xor_si128(high, _mm_srli_si128(middle, 8));
  low = _mm_xor_si128(_mm_shuffle_epi32(low, 78), _mm_clmulepi64_si128(low, poly, 0x10));
  low = _mm_xor_si128(_mm_shuffle_epi32(low, 78), _mm_clmulepi64_si128(low, poly, 0x10));
  return _mm_xor_si128(low, high);
}

WIDE_INLINE __m128i dot(__m128i a, __m128i b) {
  __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
  return reduce(_mm_clmulepi64_si128(a, b, 0x00), middle, _mm_clmulepi64_si128(a, b, 0x11));
}

/* Times x, without a branch. */
WIDE_INLINE __m128i times_x(__m128i a) {
  __m128i carry = _mm_srli_epi64(a, 63);
  __m128i top = _mm_sub_epi32(_mm_setzero_si128(), _mm_shuffle_epi32(carry, 0xaa)); /* all ones if bit 127 was set */
  __m128i shifted = _mm_or_si128(_mm_slli_epi64(a, 1), _mm_slli_si128(carry, 8));
  return _mm_xor_si128(shifted, _mm_and_si128(top, _mm_set_epi32((int)0xc2000000, 0, 0, 1)));
}

WIDE_INLINE __m128i fold(__m512i wide) {
  __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(wide), _mm512_extracti64x4_epi64(wide, 1));
  return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

struct product {
  __m512i low, middle, high;
};

WIDE_INLINE void multiply(struct product *sum, __m512i blocks, const uint8_t *powers) {
  __m512i with = _mm512_loadu_si512(powers);
  sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(blocks, with, 0x00));
  sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(blocks, with, 0x11));
  sum->middle = _mm512_ternarylogic_epi64(sum->middle, _mm512_clmulepi64_epi128(blocks, with, 0x01),
                                          _mm512_clmulepi64_epi128(blocks, with, 0x10), 0x96);
}

WIDE_INLINE __m512i reverse_each(__m512i blocks) {
  const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(order));
}

/* Takes in `count` blocks (1 .. 16), the last group of four filled up with zeros. */
WIDE_INLINE __m128i take(const struct shim_gcm *gcm, __m128i state, const __m512i *groups, uint32_t count) {
  struct product sum = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  const uint8_t *powers = gcm->powers[16 - count];
#pragma GCC unroll 5
  for (uint32_t i = 0; 4 * i < count; i++) {
    __m512i blocks = reverse_each(groups[i]);
    if (i == 0) blocks = _mm512_xor_si512(blocks, _mm512_zextsi128_si512(state));
    multiply(&sum, blocks, powers + 64 * i);
  }
  return reduce(fold(sum.low), fold(sum.middle), fold(sum.high));
}

WIDE void shim_gcm_init(struct shim_gcm *gcm, const uint8_t *key, const uint8_t *sn, uint32_t key_len) {
  gcm->rounds = key_len / 4 + 6;
  expand(gcm->round_keys, key, key_len);
  expand(gcm->sn_round_keys, sn, key_len);
  __m128i h = times_x(reverse(encrypt_block(gcm->round_keys, gcm->rounds, _mm_setzero_si128())));
  __m128i power = h;
  memset(gcm->powers, 0, sizeof gcm->powers);
  for (int i = 15; i >= 0; i--, power = dot(power, h)) _mm_storeu_si128((__m128i *)gcm->powers[i], power);
}

/* ---- counter mode ---- */

/* Four times four blocks at once: named one by one, so that they stay in registers. */
WIDE_INLINE void encrypt_groups(const struct shim_gcm *gcm, __m512i groups[4]) {
  __m512i round_key = _mm512_broadcast_i32x4(load(gcm->round_keys[0]));
  __m512i a = _mm512_xor_si512(groups[0], round_key), b = _mm512_xor_si512(groups[1], round_key);
  __m512i c = _mm512_xor_si512(groups[2], round_key), d = _mm512_xor_si512(groups[3], round_key);
  for (uint32_t round = 1; round < gcm->rounds; round++) {
    round_key = _mm512_broadcast_i32x4(load(gcm->round_keys[round]));
    a = _mm512_aesenc_epi128(a, round_key);
    b = _mm512_aesenc_epi128(b, round_key);
    c = _mm512_aesenc_epi128(c, round_key);
    d = _mm512_aesenc_epi128(d, round_key);
  }
  round_key = _mm512_broadcast_i32x4(load(gcm->round_keys[gcm->rounds]));
  groups[0] = _mm512_aesenclast_epi128(a, round_key);
  groups[1] = _mm512_aesenclast_epi128(b, round_key);
  groups[2] = _mm512_aesenclast_epi128(c, round_key);
  groups[3] = _mm512_aesenclast_epi128(d, round_key);
}

/* Key stream of the next sixteen blocks. `counters` has nonce and number of four blocks, numbers little-endian. */
WIDE_INLINE void key_stream(const struct shim_gcm *gcm, __m512i *counters, __m512i stream[4]) {
  const __m128i order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i orders = _mm512_broadcast_i32x4(order), four = _mm512_broadcast_i32x4(_mm_set_epi32(4, 0, 0, 0));
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    stream[i] = _mm512_shuffle_epi8(*counters, orders);
    *counters = _mm512_add_epi32(*counters, four);
  }
  encrypt_groups(gcm, stream);
}

WIDE_INLINE __m128i take_header(const struct shim_gcm *gcm, const uint8_t *header, uint32_t len) {
  __m128i state = _mm_setzero_si128(), h = load(gcm->powers[15]);
  for (uint32_t at = 0; at < len; at += 16) {
    uint8_t block[16] = {0};
    memcpy(block, header + at, len - at < 16 ? len - at : 16);
    state = dot(_mm_xor_si128(state, reverse(load(block))), h);
  }
  return state;
}

/* What is left behind the last sixteen whole blocks, then the lengths. */
WIDE_INLINE __m128i finish(const struct shim_gcm *gcm, __m128i state, const uint8_t *in, uint8_t *out, uint32_t left,
                           __m512i *counters, const uint64_t bits[2], bool seals) {
  __m512i stream[4], groups[5] = {0};
  uint32_t count = (left + 15) / 16;
  key_stream(gcm, counters, stream);
  for (uint32_t i = 0; i < 4; i++) {
    uint32_t len = left > 64 * i ? left - 64 * i : 0;
    __mmask64 mask = len >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << len) - 1;
    __m512i given = _mm512_maskz_loadu_epi8(mask, in + 64 * i);
    __m512i made = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(given, stream[i]));
    _mm512_mask_storeu_epi8(out + 64 * i, mask, made);
    groups[i] = seals ? made : given;
  }
  uint8_t blocks[5 * 64];
  memcpy(blocks, groups, sizeof blocks);
  for (int i = 0; i < 2; i++) {
    for (int byte = 0; byte < 8; byte++) blocks[16 * count + 8 * i + byte] = (uint8_t)(bits[i] >> (56 - 8 * byte));
  }
  memcpy(groups, blocks, sizeof blocks);
  return take(gcm, state, groups, count + 1);
}

WIDE_INLINE __m128i run(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                        const uint8_t *in, uint8_t *out, uint32_t len, bool seals) {
  uint8_t first[16] = {0};
  memcpy(first, nonce, 12);
  first[15] = 1;
  __m128i mask = encrypt_block(gcm->round_keys, gcm->rounds, load(first));
  first[15] = 0;
  __m512i counters = _mm512_add_epi32(
    _mm512_broadcast_i32x4(load(first)),
    _mm512_set_epi32(5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0));
  __m128i state = take_header(gcm, header, header_len);
  const uint64_t bits[2] = {8 * (uint64_t)header_len, 8 * (uint64_t)len};
  for (; len >= 256; len -= 256, in += 256, out += 256) {
    __m512i stream[4], groups[4];
    key_stream(gcm, &counters, stream);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      __m512i given = _mm512_loadu_si512(in + 64 * i);
      __m512i made = _mm512_xor_si512(given, stream[i]);
      _mm512_storeu_si512(out + 64 * i, made);
      groups[i] = seals ? made : given;
    }
    state = take(gcm, state, groups, 16);
  }
  /* Sixteen blocks and the lengths would be one too many: the last block of these goes by itself. */
  if (len > 240) {
    __m512i stream[4], groups[4];
    __m512i ahead = counters;
    key_stream(gcm, &ahead, stream);
    for (int i = 0; i < 4; i++) {
      __mmask64 whole = i < 3 ? ~UINT64_C(0) : (UINT64_C(1) << 48) - 1;
      __m512i given = _mm512_maskz_loadu_epi8(whole, in + 64 * i);
      __m512i made = _mm512_maskz_mov_epi8(whole, _mm512_xor_si512(given, stream[i]));
      _mm512_mask_storeu_epi8(out + 64 * i, whole, made);
      groups[i] = seals ? made : given;
    }
    state = take(gcm, state, groups, 15);
    in += 240, out += 240, len -= 240;
    counters = _mm512_add_epi32(counters, _mm512_broadcast_i32x4(_mm_set_epi32(15, 0, 0, 0)));
  }
  state = finish(gcm, state, in, out, len, &counters, bits, seals);
  return _mm_xor_si128(reverse(state), mask);
}

WIDE void shim_gcm_seal(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                        const uint8_t *plain, uint8_t *cipher, uint32_t len) {
  __m128i tag = run(gcm, nonce, header, header_len, plain, cipher, len, true);
  _mm_storeu_si128((__m128i *)(cipher + len), tag);
}

WIDE bool shim_gcm_open(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                        const uint8_t *cipher, uint8_t *plain, uint32_t len) {
  __m128i tag = run(gcm, nonce, header, header_len, cipher, plain, len, false);
  __m128i wrong = _mm_xor_si128(tag, load(cipher + len));
  return _mm_testz_si128(wrong, wrong) != 0;
}

WIDE void shim_gcm_mask(const struct shim_gcm *gcm, const uint8_t *sample, uint8_t mask[16]) {
  _mm_storeu_si128((__m128i *)mask, encrypt_block(gcm->sn_round_keys, gcm->rounds, load(sample)));
}

#else

bool shim_gcm_supported(void) { return false; }
void shim_gcm_init(struct shim_gcm *gcm, const uint8_t *key, const uint8_t *sn, uint32_t key_len) {
  (void)gcm, (void)key, (void)sn, (void)key_len;
}
void shim_gcm_seal(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                   const uint8_t *plain, uint8_t *cipher, uint32_t len) {
  (void)gcm, (void)nonce, (void)header, (void)header_len, (void)plain, (void)cipher, (void)len;
}
bool shim_gcm_open(const struct shim_gcm *gcm, const uint8_t nonce[12], const uint8_t *header, uint32_t header_len,
                   const uint8_t *cipher, uint8_t *plain, uint32_t len) {
  (void)gcm, (void)nonce, (void)header, (void)header_len, (void)cipher, (void)plain, (void)len;
  return false;
}
void shim_gcm_mask(const struct shim_gcm *gcm, const uint8_t *sample, uint8_t mask[16]) {
  (void)gcm, (void)sample, (void)mask;
}

#endif
