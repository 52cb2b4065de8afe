/* The answer of io.devtrust.Device.GetStatus as structs, for all who show it. Strings are borrowed
 * from the JSON. */
#pragma once

#include "ipc/ctl/ctl.h"

#include <stdbool.h>
#include <stdint.h>

struct status_trouble {
    const char *code, *text, *remedy; /* NULL: none */
};

struct status_enrolment {
    const char *state, *url, *device_uuid;
    int64_t not_after;
    struct status_trouble trouble;
};

struct status_push {
    bool connected;
    int64_t last_event_s;
    struct status_trouble trouble;
};

struct status_desired {
    const char *distribution, *organisation;
    int64_t generation;
};

struct status_policy {
    const char *family, *path;
    bool installed;
    struct status_trouble trouble;
};

struct status_user {
    const char *id, *name, *state, *serial;
    bool agent_attached;
    int64_t not_after, renew_at, retry_at;
    struct json_object *stores;
    struct status_trouble trouble;
};

struct status {
    const char *version;
    int64_t now;
    struct json_object *enrolment_object, *push_object, *desired_object, *policies, *users;
    struct status_enrolment enrolment;
    struct status_push push;
    struct status_desired desired;
};

struct status_store {
    const char *kind, *path, *code; /* code NULL: none */
    bool ok;
};

/** Reads an answer. Returns 0 or -EINVAL (not as the interface says). */
int status_read(struct json_object *answer, struct status *ret);

/** The users of a status; NULL when memory is out or a user is not as the interface says. free().
 */
struct status_user *status_users_read(const struct status *status, size_t *ret_count);

/** The i-th policy or store. Returns 0 or -EINVAL (not as the interface says: left out). */
int status_policy_read(const struct status *status, size_t i, struct status_policy *ret);
int status_store_read(const struct status_user *user, size_t i, struct status_store *ret);

bool status_is_enrolled(const struct status *status);

/** Whether the user holds a certificate that is good at `now`. */
bool status_has_certificate(const struct status_user *user, int64_t now);

/** Whether there is one; what it is; what to do (the daemon's words before the table's). */
bool status_trouble_is_set(const struct status_trouble *trouble);
const char *status_trouble_text(const struct status_trouble *trouble);
const char *status_trouble_remedy(const struct status_trouble *trouble);

/** The exit status: CTL_GOOD if these users all hold a good certificate, CTL_REFUSED if the server
 * refuses, else CTL_NO. */
int status_exit(const struct status *status, const struct status_user *users, size_t count);
