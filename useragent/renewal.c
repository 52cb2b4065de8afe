/* Plans renewals; every delay is jittered and capped. */
#include "useragent/renewal.h"

#define JITTER_PERCENT 10
#define LATEST_PERCENT 90 /* of the certificate's life */
#define CLOCK_TOLERANCE_S 3600

void renewal_init(struct renewal *renewal) {
    *renewal = (struct renewal){
        .backoff =
            {.base_ms = RENEWAL_BACKOFF_BASE_S * INT64_C(1000),
             .cap_ms = RENEWAL_MAX_INTERVAL_S * INT64_C(1000)},
    };
}

int64_t renewal_draw(
    int64_t installed_s, int64_t renew_after_s, int64_t not_before_s, int64_t not_after_s,
    const struct random_source *random) {
    int64_t width =
        renew_after_s / 100 * 2 * JITTER_PERCENT + renew_after_s % 100 * 2 * JITTER_PERCENT / 100;
    int64_t due = installed_s + renew_after_s - width / 2 +
                  (int64_t)random_below(random, (uint64_t)width + 1);
    int64_t latest = not_before_s + (not_after_s - not_before_s) / 100 * LATEST_PERCENT +
                     (not_after_s - not_before_s) % 100 * LATEST_PERCENT / 100;

    if (due > latest)
        due = latest;
    if (due <= installed_s)
        due = installed_s +
              (renew_after_s > RENEWAL_MIN_INTERVAL_S ? renew_after_s : RENEWAL_MIN_INTERVAL_S);
    return due;
}

bool renewal_correct_installed(int64_t now_s, int64_t not_before_s, int64_t *installed_s) {
    if (*installed_s > now_s + CLOCK_TOLERANCE_S)
        *installed_s = now_s;
    else if (*installed_s < not_before_s - CLOCK_TOLERANCE_S && now_s >= not_before_s)
        *installed_s = not_before_s;
    else
        return false;
    return true;
}

void renewal_plan(struct renewal *renewal, int64_t due_s) {
    renewal->due_s = due_s;
}

bool renewal_is_due(const struct renewal *renewal, int64_t now_s) {
    return renewal->due_s > 0 && now_s >= renewal->due_s;
}

/* More than the longest wait that renewal_asked() ever sets means that the clock was set back. */
static int64_t allowed_from(const struct renewal *renewal, int64_t now_s) {
    const int64_t longest = 2 * RENEWAL_MAX_INTERVAL_S + RENEWAL_MIN_INTERVAL_S;

    return renewal->not_before_s - now_s > longest ? 0 : renewal->not_before_s;
}

bool renewal_may_ask(const struct renewal *renewal, int64_t now_s) {
    return now_s >= allowed_from(renewal, now_s);
}

void renewal_asked(
    struct renewal *renewal, int64_t now_s, int64_t retry_after_s,
    const struct random_source *random) {
    int64_t floor_s = retry_after_s;

    if (floor_s < RENEWAL_MIN_INTERVAL_S)
        floor_s = RENEWAL_MIN_INTERVAL_S;
    if (floor_s > RENEWAL_MAX_INTERVAL_S)
        floor_s = RENEWAL_MAX_INTERVAL_S;
    renewal->not_before_s =
        now_s + (backoff_next(&renewal->backoff, random, floor_s * 1000) + 999) / 1000;
}

void renewal_postpone(struct renewal *renewal, int64_t now_s, const struct random_source *random) {
    const int64_t earliest = RENEWAL_MAX_INTERVAL_S / 6;

    if (renewal->not_before_s > now_s)
        return;
    renewal->not_before_s =
        now_s + earliest + (int64_t)random_below(random, RENEWAL_MAX_INTERVAL_S - earliest);
}

void renewal_hurry(struct renewal *renewal) {
    renewal->not_before_s = 0;
}

void renewal_succeeded(struct renewal *renewal, int64_t now_s, int64_t due_s) {
    renewal->due_s = due_s;
    renewal->not_before_s = now_s + RENEWAL_MIN_INTERVAL_S;
    backoff_reset(&renewal->backoff);
}

int64_t renewal_wake_at(const struct renewal *renewal, int64_t now_s, bool wanted) {
    const int64_t allowed = allowed_from(renewal, now_s);

    if (wanted)
        return allowed > 0 ? allowed : 1;
    if (renewal->due_s == 0)
        return 0;
    return renewal->due_s > allowed ? renewal->due_s : allowed;
}
