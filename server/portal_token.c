/* All three tokens have one shape: contents, then HMAC-SHA-256 over a label and the contents. The
 * label keeps one kind from passing as another. */
#include "server/portal_token.h"

#include "common/cleanup.h"
#include "common/secret.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <errno.h>
#include <string.h>

#define RANDOM_SIZE 16
#define TIME_SIZE 8
#define MAC_SIZE 32
#define STAMP_SIZE (RANDOM_SIZE + TIME_SIZE + MAC_SIZE) /* session and nonce */
#define ANSWER_CONTENTS (STAMP_SIZE + 1 + SHA256_SIZE)
#define ANSWER_SIZE (ANSWER_CONTENTS + MAC_SIZE)
#define BUCKETS 4096

_Static_assert(2 * STAMP_SIZE + 1 == PORTAL_SESSION_SIZE, "hex of a session");
_Static_assert(2 * STAMP_SIZE + 1 == PORTAL_NONCE_SIZE, "hex of a nonce");
_Static_assert(2 * ANSWER_SIZE + 1 == PORTAL_ANSWER_SIZE, "hex of an answer");

/* Used nonces, oldest first in a ring; chains by index through the buckets. */
struct used {
    uint8_t id[RANDOM_SIZE];
    int64_t until_s;
    uint32_t next; /* index + 1 in the bucket's chain; 0: end */
};

struct portal_tokens {
    const struct random_source *random;
    const struct clock_source *clock;
    int64_t nonce_s, session_s;
    struct secret *key;
    struct used *used;
    size_t first, count;
    uint32_t buckets[BUCKETS];
};

int portal_tokens_new(
    const struct random_source *random, const struct clock_source *clock, int64_t nonce_s,
    int64_t session_s, struct portal_tokens **ret) {
    struct portal_tokens *tokens = calloc(1, sizeof(*tokens));
    int r;

    if (!tokens)
        return -ENOMEM;
    tokens->random = random;
    tokens->clock = clock;
    tokens->nonce_s = nonce_s;
    /* a session outlives the nonces that are bound to it */
    tokens->session_s = session_s > 2 * nonce_s ? session_s : 2 * nonce_s;
    tokens->used = calloc(PORTAL_MAX_USED, sizeof(*tokens->used));
    r = tokens->used ? secret_new(MAC_SIZE, &tokens->key) : -ENOMEM;
    if (r == 0)
        r = random->bytes(secret_data(tokens->key), MAC_SIZE, random->userdata);
    if (r < 0) {
        portal_tokens_free(tokens);
        return r;
    }
    *ret = tokens;
    return 0;
}

struct portal_tokens *portal_tokens_free(struct portal_tokens *tokens) {
    if (!tokens)
        return NULL;
    secret_free(tokens->key);
    free(tokens->used);
    free(tokens);
    return NULL;
}

/* --- sealing --- */

static void put_time(uint8_t *ret, int64_t seconds) {
    for (int i = 0; i < TIME_SIZE; i++)
        ret[i] = (uint8_t)((uint64_t)seconds >> (8 * (TIME_SIZE - 1 - i)));
}

static int64_t get_time(const uint8_t *data) {
    uint64_t seconds = 0;

    for (int i = 0; i < TIME_SIZE; i++)
        seconds = seconds << 8 | data[i];
    return (int64_t)seconds;
}

/* HMAC over label, context (a session's text, may be empty) and contents; each ends where it must,
 * for label and context are ASCII with their NUL. */
static int seal(
    struct portal_tokens *tokens, const char *label, const char *context, const uint8_t *contents,
    size_t size, uint8_t ret[MAC_SIZE]) {
    uint8_t message[16 + PORTAL_SESSION_SIZE + ANSWER_CONTENTS];
    size_t label_size = strlen(label) + 1, context_size = strlen(context) + 1;
    unsigned mac_size = MAC_SIZE;

    if (label_size + context_size + size > sizeof(message))
        return -EBADMSG;
    memcpy(message, label, label_size);
    memcpy(message + label_size, context, context_size);
    memcpy(message + label_size + context_size, contents, size);
    return HMAC(
               EVP_sha256(), secret_data(tokens->key), MAC_SIZE, message,
               label_size + context_size + size, ret, &mac_size)
               ? 0
               : -EIO;
}

static bool is_sealed(
    struct portal_tokens *tokens, const char *label, const char *context, const uint8_t *data,
    size_t contents_size) {
    uint8_t mac[MAC_SIZE];

    return seal(tokens, label, context, data, contents_size, mac) == 0 &&
           CRYPTO_memcmp(mac, data + contents_size, MAC_SIZE) == 0;
}

/* Random, time, MAC: a session or a nonce. */
static int make_stamp(
    struct portal_tokens *tokens, const char *label, const char *context, int64_t time_s,
    char *ret) {
    uint8_t stamp[STAMP_SIZE];
    int r = tokens->random->bytes(stamp, RANDOM_SIZE, tokens->random->userdata);

    if (r < 0)
        return r;
    put_time(stamp + RANDOM_SIZE, time_s);
    r = seal(
        tokens, label, context, stamp, RANDOM_SIZE + TIME_SIZE, stamp + RANDOM_SIZE + TIME_SIZE);
    if (r == 0)
        hex_encode(stamp, sizeof(stamp), ret);
    return r;
}

/* --- session and nonce --- */

int portal_session_make(struct portal_tokens *tokens, char ret[PORTAL_SESSION_SIZE]) {
    return make_stamp(tokens, "session", "", clock_wall_s(tokens->clock) + tokens->session_s, ret);
}

int portal_session_check(struct portal_tokens *tokens, const char *session, bool for_nonce) {
    uint8_t stamp[STAMP_SIZE];
    int64_t needed_s = clock_wall_s(tokens->clock) + (for_nonce ? tokens->nonce_s : 0);

    if (hex_decode(session, stamp, sizeof(stamp)) < 0 ||
        !is_sealed(tokens, "session", "", stamp, RANDOM_SIZE + TIME_SIZE))
        return -EBADMSG;
    return get_time(stamp + RANDOM_SIZE) >= needed_s ? 0 : -ETIME;
}

int portal_nonce_make(
    struct portal_tokens *tokens, const char *session, char ret[PORTAL_NONCE_SIZE]) {
    return make_stamp(tokens, "nonce", session, clock_wall_s(tokens->clock) + tokens->nonce_s, ret);
}

/* --- answers --- */

int portal_answer_make(
    struct portal_tokens *tokens, const char *nonce, const uint8_t fingerprint[SHA256_SIZE],
    char ret[PORTAL_ANSWER_SIZE]) {
    uint8_t answer[ANSWER_SIZE] = {0};
    int r;

    if (hex_decode(nonce, answer, STAMP_SIZE) < 0)
        return -EBADMSG;
    /* whether the nonce is ours is seen when the answer comes back with its session; a forged one
     * is worth nothing then */
    if (get_time(answer + RANDOM_SIZE) <= clock_wall_s(tokens->clock))
        return -ETIME;
    answer[STAMP_SIZE] = fingerprint ? 1 : 0;
    if (fingerprint)
        memcpy(answer + STAMP_SIZE + 1, fingerprint, SHA256_SIZE);
    r = seal(tokens, "answer", "", answer, ANSWER_CONTENTS, answer + ANSWER_CONTENTS);
    if (r == 0)
        hex_encode(answer, sizeof(answer), ret);
    return r;
}

static uint32_t *bucket_of(struct portal_tokens *tokens, const uint8_t id[RANDOM_SIZE]) {
    /* the id is random: any bits of it are a hash */
    return &tokens->buckets[((uint32_t)id[0] << 8 | id[1]) % BUCKETS];
}

static void forget_first(struct portal_tokens *tokens) {
    struct used *old = &tokens->used[tokens->first];
    uint32_t *link = bucket_of(tokens, old->id);

    while (*link != tokens->first + 1)
        link = &tokens->used[*link - 1].next;
    *link = old->next;
    tokens->first = (tokens->first + 1) % PORTAL_MAX_USED;
    tokens->count--;
}

/* Each nonce's end is at most nonce_s ahead, so what is first in the ring ends first, or so nearly
 * that nothing is kept for long. */
static int use_once(struct portal_tokens *tokens, const uint8_t id[RANDOM_SIZE], int64_t until_s) {
    int64_t now_s = clock_wall_s(tokens->clock);
    uint32_t *bucket = bucket_of(tokens, id);
    size_t index;

    while (tokens->count > 0 && tokens->used[tokens->first].until_s <= now_s)
        forget_first(tokens);
    for (uint32_t i = *bucket; i != 0; i = tokens->used[i - 1].next)
        if (memcmp(tokens->used[i - 1].id, id, RANDOM_SIZE) == 0)
            return -EALREADY;
    if (tokens->count == PORTAL_MAX_USED)
        return -EBUSY;
    index = (tokens->first + tokens->count++) % PORTAL_MAX_USED;
    memcpy(tokens->used[index].id, id, RANDOM_SIZE);
    tokens->used[index].until_s = until_s;
    tokens->used[index].next = *bucket;
    *bucket = (uint32_t)index + 1;
    return 0;
}

int portal_answer_take(
    struct portal_tokens *tokens, const char *session, const char *text, struct portal_proof *ret) {
    uint8_t answer[ANSWER_SIZE];
    int64_t until_s;
    int r;

    if (hex_decode(text, answer, sizeof(answer)) < 0 ||
        !is_sealed(tokens, "answer", "", answer, ANSWER_CONTENTS) ||
        !is_sealed(tokens, "nonce", session, answer, RANDOM_SIZE + TIME_SIZE))
        return -EBADMSG;
    until_s = get_time(answer + RANDOM_SIZE);
    if (until_s <= clock_wall_s(tokens->clock))
        return -ETIME;
    r = use_once(tokens, answer, until_s);
    if (r < 0)
        return r;
    ret->presented = answer[STAMP_SIZE] == 1;
    memcpy(ret->fingerprint, answer + STAMP_SIZE + 1, SHA256_SIZE);
    return 0;
}
