/* What happens to the machine around the daemon: it wakes from sleep, its network comes back,
 * people sign in and out, its accounts change. On Linux the system bus tells (logind,
 * NetworkManager, systemd-networkd, whichever are there) and /etc/passwd. All of it only brings
 * forward what is done anyway: where nobody tells, everything works, later. */
#pragma once

#include "daemon/logins.h"

#include "common/random.h"

#include <uv.h>

/* Between two hints of a kind: a network that flaps, a tool that writes many accounts. */
#define MACHINE_EVENTS_REST_MS 1000

struct machine_events;

struct machine_events_options {
    uv_loop_t *loop;
    const struct random_source *random;
    const char *bus_address;  /* borrowed */
    const char *accounts_dir; /* where passwd is; borrowed */
    void (*resumed)(void *userdata);
    /** At once; what comes within the rest follows when it is over. */
    void (*network_back)(void *userdata);
    /** Somebody has signed in or out; uid -1: it may be anybody. */
    void (*login_changed)(int64_t uid, void *userdata);
    /** Local accounts may be others: when the rest is over, since writing them takes a moment. */
    void (*accounts_changed)(void *userdata);
    void *userdata;
};

/** Callbacks come from the loop. Returns 0 or a negative errno. */
int machine_events_new(const struct machine_events_options *options, struct machine_events **ret);

/** No callback any more; the loop frees the rest. NULL is allowed. */
void machine_events_close(struct machine_events *events);

/** Whether this uid is signed in (lingering counts: its agent runs then, too). */
enum login machine_events_login(const struct machine_events *events, int64_t uid);
