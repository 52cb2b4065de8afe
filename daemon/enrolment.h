/* The first enrolment of a device: cacerts of both kinds over the verified TLS, simpleenroll with
 * the token, and the identity written. Goes on by itself, with the same CSR, until the server has
 * answered; survives any restart. */
#pragma once

#include "daemon/device_identity.h"
#include "daemon/pending_request.h"

#include "common/clock.h"
#include "common/random.h"

#include <uv.h>

struct enrolment;

struct enrolment_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    const struct random_source *random;
    int dir_fd;          /* state directory; borrowed */
    const char *binding; /* this machine's; borrowed */
    /** An identity is on disk; the callee owns it. */
    void (*enrolled)(struct device_identity *identity, void *userdata);
    void (*changed)(void *userdata); /* active or reason may have changed */
    void (*date_seen)(int64_t server_s, void *userdata);
    void *userdata;
};

/** Returns 0 or a negative errno. */
int enrolment_new(const struct enrolment_options *options, struct enrolment **ret);

/** Stops (files stay) and frees when the loop holds nothing of it, then calls `closed`. NULL is
 * fine. */
void enrolment_close(struct enrolment *enrolment, void (*closed)(void *), void *userdata);

typedef void (*enrolment_done)(enum reason reason, const char *device_uuid, void *userdata);

/** Begins, in place of what was pending. Owns `token` in any case. `done` (may be NULL) once and
 * later: the first final result, or after 30 s what stands in the way while it goes on. With
 * `done`, an answer that tells of a wrong address or pin is final as long as nothing was sent.
 * Returns 0, -EBUSY (another `done` is waiting), or a negative errno. */
int enrolment_start(
    struct enrolment *enrolment, const char *url, const char *ca_pin, struct secret *token,
    enrolment_done done, void *userdata);

/** Tells `done` from the loop that nothing begins, and why. Returns 0 or -EBUSY. */
int enrolment_refuse(
    struct enrolment *enrolment, enum reason reason, enrolment_done done, void *userdata);

/** Goes on with one that was loaded; owns it. */
void enrolment_resume(struct enrolment *enrolment, struct pending_request *pending);

/** Gives up what is pending and wipes it. Returns 0 or a negative errno. */
int enrolment_abandon(struct enrolment *enrolment);

/** Tries now what waits for its next attempt. */
void enrolment_hurry(struct enrolment *enrolment);

bool enrolment_is_active(const struct enrolment *enrolment);
bool enrolment_is_awaited(const struct enrolment *enrolment); /* `done` has not been called yet */
enum reason enrolment_reason(const struct enrolment *enrolment); /* of the last attempt */
const char *enrolment_url(const struct enrolment *enrolment);    /* NULL: not active */
