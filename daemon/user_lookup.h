/* Which local account an assigned name is: name → uid → name must come back byte for byte. Name
 * services block (LDAP, SSSD): so it is done on the loop's thread pool, with a deadline; a time-out
 * says nothing about the account. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define USER_LOOKUP_DEADLINE_MS 10000

/* Workers of the daemon's thread pool, which is the look-ups' alone: so many accounts may hang in
 * their name service before others have to wait for their turn. */
#define USER_LOOKUP_WORKERS "8"

enum user_lookup_result {
    USER_LOOKUP_FOUND,
    USER_LOOKUP_UNKNOWN, /* the name service says that there is no such name */
    USER_LOOKUP_REFUSED, /* root, nobody, a system account, or the round trip ends at another name
                          */
    USER_LOOKUP_LATER,   /* time-out or failure of the name service: nothing is known */
};

/** The name service, behind a table so that tests have their own accounts. Each may block; runs on
 * a worker thread. Returns 0, -ENOENT or another negative errno. */
struct user_database {
    int (*by_name)(const char *name, uid_t *ret_uid, char *ret_name, size_t name_size);
    int (*by_uid)(uid_t uid, char *ret_name, size_t name_size);
};
extern const struct user_database user_database_system;

/** The decision, blocking. */
enum user_lookup_result user_lookup_now(
    const struct user_database *database, const char *name, int64_t min_uid, uid_t *ret_uid);

struct user_lookup;
typedef void (*user_lookup_done)(enum user_lookup_result result, uid_t uid, void *userdata);

/** Starts one look-up; `done` runs once on the loop, after `deadline_ms` at the latest. Returns 0,
 * -EBUSY (an earlier one for this name, answered or cancelled, still blocks its worker: a second
 * would block another) or another negative errno. */
int user_lookup_start(
    uv_loop_t *loop, const struct user_database *database, const char *name, int64_t min_uid,
    uint64_t deadline_ms, user_lookup_done done, void *userdata, struct user_lookup **ret);

/** Ends it without the callback; NULL is allowed. The worker may still be blocked: it is left to
 * finish by itself. */
void user_lookup_cancel(struct user_lookup *lookup);
