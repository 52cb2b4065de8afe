/* Tells the person at the screen, by the desktop's notifications (org.freedesktop.Notifications,
 * the Desktop Notifications Specification), what only he can do. Each cause is told once: it is
 * replaced when its words change, withdrawn when it is over, and not told again within a rest,
 * however often it comes and goes, whether he has closed it or nobody was there to show it. */
#pragma once

#include "common/random.h"

#include <stdint.h>
#include <uv.h>

/* A cause must have stood so long before anybody is bothered. */
#define NOTIFIER_SETTLE_MS (60 * 1000)
/* Between two notifications of one cause. */
#define NOTIFIER_REST_MS (6 * 3600 * 1000)
/* Of a body, with NUL; markup included. */
#define NOTIFIER_TEXT_SIZE 1024

enum notice {
    NOTICE_BROWSER_RESTART, /* a running browser read its policy too early */
    NOTICE_SIGN_IN,         /* the home came too late */
    NOTICE_EXPIRY,          /* the certificate ends and the server is away */
    NOTICE_COUNT_
};

struct notifier;

struct notifier_options {
    uv_loop_t *loop;
    const struct random_source *random;
    const char *bus_address;     /* borrowed */
    uint64_t settle_ms, rest_ms; /* 0: the defaults */
};

/** Returns 0 or a negative errno; without a bus, or anybody who shows notifications, it waits. */
int notifier_new(const struct notifier_options *options, struct notifier **ret);

/** What is shown stays, except what is over; the loop frees the rest. NULL is allowed. */
void notifier_close(struct notifier *notifier);

/** The cause stands (again, or still). Plain text in valid UTF-8, copied, cut at
 * NOTIFIER_TEXT_SIZE; what would be markup is escaped where the desktop reads markup. NULL is
 * allowed for `notifier`. */
void notifier_set(
    struct notifier *notifier, enum notice notice, const char *summary, const char *body);

/** The cause is over. */
void notifier_clear(struct notifier *notifier, enum notice notice);
