/* All stores of this user as one: opened, written, verified and swept together, each with its own
 * outcome. Blocks: worker only. */
#pragma once

#include "useragent/agent_message.h"
#include "useragent/agent_record.h"
#include "useragent/store.h"

struct store_set_item {
    struct store_location location;
    const struct store_ops *ops;
    struct store *store;   /* open, or NULL */
    bool listed;           /* a browser reads it; otherwise only the record names it */
    bool recorded;         /* the record says that something of ours is there */
    bool current;          /* the record says that the current certificate is there */
    int64_t present_since; /* of the record (agent_record.h) */
    bool issuer_found;     /* the issuer was there before us */
    bool verified;         /* this job verified the certificate in question here */
    bool swept;            /* this job left nothing superseded here */
    enum reason reason;    /* why it could not be used; REASON_NONE: good */
};

struct store_set {
    struct store_set_item items[STORE_MAX];
    size_t count;
};

/** Closes every store and unloads the libraries. Safe on a zeroed one. */
void store_set_close(struct store_set *set);
bool store_set_is_open(const struct store_set *set);

/** Lists anew: what browsers read, and what the record names besides. Closes what is open. */
void store_set_list(
    struct store_set *set, const struct user_dirs *dirs, const struct agent_record *record);

/** Looks at the files of each; returns how many stores seem usable. */
size_t store_set_precheck(struct store_set *set, const struct user_dirs *dirs);

/** Opens what is not open yet. `create`: make what a browser would read and is missing; otherwise a
 * missing store is left closed with STORE_MISSING. Returns how many are open. */
size_t store_set_open(struct store_set *set, bool create);

/** The same for one of them. Returns whether it is open. */
bool store_set_open_one(struct store_set *set, size_t index, bool create);

/** Installs into each open store and verifies; where that fails it is undone. Returns how many
 * verified. `issuer_known`: the record knew the issuer already, so that finding it tells nothing
 * new. */
size_t store_set_install(
    struct store_set *set, const struct store_material *material, const struct ours *ours,
    const uint8_t spki[SHA256_SIZE], bool issuer_known);

/** Removes a certificate with its key from each open store. */
void store_set_discard(
    struct store_set *set, const struct ours *ours, const uint8_t spki[SHA256_SIZE]);

/** Sweeps each open store; with `keep` only those that verified. Returns whether nothing is left
 * where it should not be. */
bool store_set_sweep(struct store_set *set, const struct ours *ours, const uint8_t *keep);

/** Lists what is ours in each open store; `found` has STORE_MAX entries, released by
 * store_set_release(). */
void store_set_find(
    struct store_set *set, const struct ours *ours, struct store_certificates *ret_found);

/** The same for one of them, which is open: 0 or a negative errno, its reason set. */
int store_set_find_one(
    struct store_set *set, size_t index, const struct ours *ours,
    struct store_certificates *ret_found);
void store_set_release(struct store_certificates *found);

/** For reports and inspections: one result per store, in the set's order. */
void store_set_results(const struct store_set *set, struct agent_store_results *ret);
