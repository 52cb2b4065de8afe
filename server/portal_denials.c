/* Two rings; a look through one is far cheaper than the handshake that every denial costs. */
#include "server/portal_denials.h"

#include "common/cleanup.h"

#include <openssl/sha.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 8 /* at another random reference; a clash is one in half a million */

struct entry {
    struct portal_denial denial;
    bool has_session;
    uint8_t session[SHA256_DIGEST_LENGTH]; /* a hash: the cookie itself is nobody's business */
};

struct ring {
    struct entry *entries;
    size_t next, count;
};

struct portal_denials {
    const struct random_source *random;
    const struct clock_source *clock;
    struct ring strangers, ours;
};

int portal_denials_new(
    const struct random_source *random, const struct clock_source *clock,
    struct portal_denials **ret) {
    struct portal_denials *denials = calloc(1, sizeof(*denials));

    if (!denials)
        return -ENOMEM;
    denials->random = random;
    denials->clock = clock;
    denials->strangers.entries = calloc(PORTAL_DENIALS_MAX, sizeof(struct entry));
    denials->ours.entries = calloc(PORTAL_DENIALS_MAX, sizeof(struct entry));
    if (!denials->strangers.entries || !denials->ours.entries) {
        portal_denials_free(denials);
        return -ENOMEM;
    }
    *ret = denials;
    return 0;
}

struct portal_denials *portal_denials_free(struct portal_denials *denials) {
    if (!denials)
        return NULL;
    free(denials->strangers.entries);
    free(denials->ours.entries);
    free(denials);
    return NULL;
}

/* A clock that went back must not keep an entry for ever: the ring still ends it. */
static bool is_over(const struct portal_denials *denials, const struct entry *entry) {
    return clock_wall_s(denials->clock) - entry->denial.last_s > PORTAL_DENIALS_LIFE_S;
}

static const struct portal_denial *find_in(
    const struct portal_denials *denials, const struct ring *ring, const char *reference) {
    for (size_t i = 0; i < ring->count; i++)
        if (strcmp(ring->entries[i].denial.reference, reference) == 0)
            return is_over(denials, &ring->entries[i]) ? NULL : &ring->entries[i].denial;
    return NULL;
}

const struct portal_denial *portal_denials_find(
    const struct portal_denials *denials, const char *reference) {
    const struct portal_denial *found = find_in(denials, &denials->ours, reference);

    return found ? found : find_in(denials, &denials->strangers, reference);
}

/* Whoever presents one of our certificates is known by it; anybody else only by his session. */
static bool is_same(const struct entry *a, const struct entry *b) {
    const struct portal_denial *one = &a->denial, *other = &b->denial;

    if (one->reason != other->reason || one->presented != other->presented ||
        memcmp(one->fingerprint, other->fingerprint, SHA256_SIZE) != 0)
        return false;
    return one->serial[0] != '\0' || (a->has_session && b->has_session &&
                                      memcmp(a->session, b->session, sizeof(a->session)) == 0);
}

static struct entry *find_same(
    const struct portal_denials *denials, const struct ring *ring, const struct entry *wanted) {
    for (size_t i = 0; i < ring->count; i++)
        if (is_same(&ring->entries[i], wanted) && !is_over(denials, &ring->entries[i]))
            return &ring->entries[i];
    return NULL;
}

static int make_reference(
    const struct portal_denials *denials, enum reason reason, char ret[REFERENCE_SIZE]) {
    for (int i = 0; i < ATTEMPTS; i++) {
        int r = reference_make(denials->random, reason, ret);

        if (r < 0)
            return r;
        if (!portal_denials_find(denials, ret))
            return 0;
    }
    return -EIO;
}

int portal_denials_note(
    struct portal_denials *denials, const char *session, const struct portal_denial *denial,
    char ret[REFERENCE_SIZE]) {
    struct ring *ring = denial->serial[0] != '\0' ? &denials->ours : &denials->strangers;
    struct entry entry = {.denial = *denial, .has_session = session != NULL};
    struct entry *same;
    int r;

    if (session)
        SHA256((const uint8_t *)session, strlen(session), entry.session);
    entry.denial.first_s = entry.denial.last_s = clock_wall_s(denials->clock);
    same = find_same(denials, ring, &entry);
    if (same) {
        same->denial.last_s = entry.denial.last_s;
        same->denial.browser = denial->browser;
        memcpy(ret, same->denial.reference, REFERENCE_SIZE);
        return 0;
    }
    r = make_reference(denials, denial->reason, entry.denial.reference);
    if (r < 0)
        return r;
    memcpy(ret, entry.denial.reference, REFERENCE_SIZE);
    ring->entries[ring->next] = entry;
    ring->next = (ring->next + 1) % PORTAL_DENIALS_MAX;
    if (ring->count < PORTAL_DENIALS_MAX)
        ring->count++;
    return 0;
}
