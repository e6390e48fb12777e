/* bcrypt for up to LANES passwords at once in one thread (Provos and Mazieres, "A Future-Adaptable Password Scheme").
 *
 * One bcrypt waits most of its time: each step looks up a table at a place that the step before computed. Doing the
 * same step for several passwords in turn fills that time, and five take about as long as two. Nothing here is
 * faster for an attacker than what is known; it only lets the server do the same work in less time.
 *
 * Needs -O3: the lane count must be a constant that the compiler unrolls. Blowfish's start values are the digits of pi,
 * which the caller computes; passwords come as the 18 words of the cyclic key, salts as 4 words.
 */

#include <stdint.h>
#include <string.h>

#define LANES 5
#define ROUNDS 16
#define P_WORDS (ROUNDS + 2)
#define S_WORDS (4 * 256)
#define STATE_WORDS (P_WORDS + S_WORDS)

typedef struct {
    uint32_t p[P_WORDS];
    uint32_t s[S_WORDS];
} blowfish;

typedef struct {
    blowfish state[LANES];
    uint32_t left[LANES], right[LANES];
} work;

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t mix(const uint32_t *s, uint32_t x)
{
    return ((s[x >> 24] + s[256 + (x >> 16 & 255)]) ^ s[512 + (x >> 8 & 255)]) + s[768 + (x & 255)];
}

/* Encrypt each lane's two words with its own state. */
INLINE void encrypt(work *w, const int lanes)
{
    uint32_t l[LANES], r[LANES];
    int i, round;

    for (i = 0; i < lanes; i++) {
        l[i] = w->left[i] ^ w->state[i].p[0];
        r[i] = w->right[i];
    }
    for (round = 1; round <= ROUNDS; round += 2) {
        for (i = 0; i < lanes; i++)
            r[i] ^= mix(w->state[i].s, l[i]) ^ w->state[i].p[round];
        for (i = 0; i < lanes; i++)
            l[i] ^= mix(w->state[i].s, r[i]) ^ w->state[i].p[round + 1];
    }
    for (i = 0; i < lanes; i++) {
        w->left[i] = r[i] ^ w->state[i].p[ROUNDS + 1];
        w->right[i] = l[i];
    }
}

/* Blowfish's key schedule: fill the state with the encryptions of what was encrypted before. */
INLINE void expand(work *w, const int lanes)
{
    int i, word;

    memset(w->left, 0, sizeof w->left);
    memset(w->right, 0, sizeof w->right);
    for (word = 0; word < P_WORDS; word += 2) {
        encrypt(w, lanes);
        for (i = 0; i < lanes; i++) {
            w->state[i].p[word] = w->left[i];
            w->state[i].p[word + 1] = w->right[i];
        }
    }
    for (word = 0; word < S_WORDS; word += 2) {
        encrypt(w, lanes);
        for (i = 0; i < lanes; i++) {
            w->state[i].s[word] = w->left[i];
            w->state[i].s[word + 1] = w->right[i];
        }
    }
}

/* The same with the salt mixed into what is encrypted. */
INLINE void expand_with_salt(work *w, const int lanes, const uint32_t *salts)
{
    int i, word;

    memset(w->left, 0, sizeof w->left);
    memset(w->right, 0, sizeof w->right);
    for (word = 0; word < STATE_WORDS; word += 2) {
        for (i = 0; i < lanes; i++) {
            w->left[i] ^= salts[4 * i + (word & 2)];
            w->right[i] ^= salts[4 * i + (word & 2) + 1];
        }
        encrypt(w, lanes);
        for (i = 0; i < lanes; i++) {
            uint32_t *target = word < P_WORDS ? w->state[i].p + word : w->state[i].s + (word - P_WORDS);
            target[0] = w->left[i];
            target[1] = w->right[i];
        }
    }
}

INLINE void bcrypt(
    work *w, const int lanes, const uint32_t *pi, const uint32_t *keys, const uint32_t *salts, uint64_t iterations,
    uint32_t *hashes)
{
    static const uint32_t text[6] = {0x4f727068, 0x65616e42, 0x65686f6c, 0x64657253, 0x63727944, 0x6f756274};
    int i, word, time;

    for (i = 0; i < lanes; i++) {
        memcpy(w->state[i].p, pi, sizeof w->state[i].p);
        memcpy(w->state[i].s, pi + P_WORDS, sizeof w->state[i].s);
        for (word = 0; word < P_WORDS; word++)
            w->state[i].p[word] ^= keys[P_WORDS * i + word];
    }
    expand_with_salt(w, lanes, salts);
    while (iterations--) {
        for (i = 0; i < lanes; i++)
            for (word = 0; word < P_WORDS; word++)
                w->state[i].p[word] ^= keys[P_WORDS * i + word];
        expand(w, lanes);
        for (i = 0; i < lanes; i++)
            for (word = 0; word < P_WORDS; word++)
                w->state[i].p[word] ^= salts[4 * i + (word & 3)];
        expand(w, lanes);
    }
    for (word = 0; word < 6; word += 2) {
        for (i = 0; i < lanes; i++) {
            w->left[i] = text[word];
            w->right[i] = text[word + 1];
        }
        for (time = 0; time < 64; time++)
            encrypt(w, lanes);
        for (i = 0; i < lanes; i++) {
            hashes[6 * i + word] = w->left[i];
            hashes[6 * i + word + 1] = w->right[i];
        }
    }
}

/* `hashes` gets 6 words for each lane. Returns 0, or -1 for a number of lanes that there is no code for. */
int freehold_bcrypt(
    int lanes, const uint32_t *pi, const uint32_t *keys, const uint32_t *salts, uint64_t iterations, uint32_t *hashes)
{
    work w;
    volatile unsigned char *secret = (volatile unsigned char *)&w;
    size_t byte;

    switch (lanes) {
    case 1: bcrypt(&w, 1, pi, keys, salts, iterations, hashes); break;
    case 2: bcrypt(&w, 2, pi, keys, salts, iterations, hashes); break;
    case 3: bcrypt(&w, 3, pi, keys, salts, iterations, hashes); break;
    case 4: bcrypt(&w, 4, pi, keys, salts, iterations, hashes); break;
    case 5: bcrypt(&w, 5, pi, keys, salts, iterations, hashes); break;
    default: return -1;
    }
    for (byte = 0; byte < sizeof w; byte++)
        secret[byte] = 0;
    return 0;
}
