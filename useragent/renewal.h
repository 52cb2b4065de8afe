/* When to ask for the next certificate: a moment drawn once per certificate, kept in the record,
 * compared with the wall clock. Pure arithmetic; the timer is the agent's. */
#pragma once

#include "common/backoff.h"
#include "common/random.h"

#include <stdbool.h>
#include <stdint.h>

#define RENEWAL_MIN_INTERVAL_S 5 /* between two requests of our own, whatever happens */
#define RENEWAL_BACKOFF_BASE_S 60
#define RENEWAL_MAX_INTERVAL_S (6 * 3600) /* cap of the backoff */

struct renewal {
    int64_t due_s;        /* wall seconds; 0: nothing to renew */
    int64_t not_before_s; /* no request of our own before it (wall) */
    struct backoff backoff;
};

/** Nothing to renew. */
void renewal_init(struct renewal *renewal);

/** A moment `renew_after_s` ± 10 % after `installed_s`, before 90 % of the certificate's life
 * (notBefore to notAfter) have passed; but never in the past: where the clocks of device and server
 * disagree so far, the life is not looked at, or every new certificate would be due at once.
 * Seconds since 1970. */
int64_t renewal_draw(
    int64_t installed_s, int64_t renew_after_s, int64_t not_before_s, int64_t not_after_s,
    const struct random_source *random);

/** Whether the moment of the installation is not to be believed, by a clock of now: it lies ahead,
 * so that the clock was set back since; or before the certificate's beginning, so that the clock
 * was behind then, and is right now (each morning, where a battery is dead: a plan of the past
 * would be overdue each time). If so, *installed_s is the nearest moment that is, and the draw is
 * to be made again. */
bool renewal_correct_installed(int64_t now_s, int64_t not_before_s, int64_t *installed_s);

/** A certificate was installed, or found in the record. */
void renewal_plan(struct renewal *renewal, int64_t due_s);

/** Whether to ask now. */
bool renewal_is_due(const struct renewal *renewal, int64_t now_s);

/** Whether a request of our own may be sent now for any reason. A clock that went back by more than
 * the longest interval does not hold requests up. */
bool renewal_may_ask(const struct renewal *renewal, int64_t now_s);

/** A request was sent or refused; `retry_after_s` (0: none) from TooSoon. The next one comes after
 * a growing, jittered interval. */
void renewal_asked(
    struct renewal *renewal, int64_t now_s, int64_t retry_after_s,
    const struct random_source *random);

/** A request that may not be needed (another may be on its way): not before a random moment within
 * the next hours. */
void renewal_postpone(struct renewal *renewal, int64_t now_s, const struct random_source *random);

/** Somebody asks for it now: what was to be waited for is over. */
void renewal_hurry(struct renewal *renewal);

/** A new certificate was installed: the intervals start anew. */
void renewal_succeeded(struct renewal *renewal, int64_t now_s, int64_t due_s);

/** The wall second to wake up at: the due moment, or the next allowed one where it is past; 0:
 * none. `wanted`: a request is wanted for another reason. */
int64_t renewal_wake_at(const struct renewal *renewal, int64_t now_s, bool wanted);
