/* Linux's wall timer: a timerfd on CLOCK_REALTIME that the kernel cancels when somebody sets the
 * clock. */
#include "common/wall_timer.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Year 9999: armed, never due, so that clock changes are seen. */
#define FAR_FUTURE_S INT64_C(253402300799)

struct wall_timer {
    int fd;
    bool clock_was_set; /* noticed while arming; the next read tells it */
};

int wall_timer_new(struct wall_timer **ret) {
    CLEANUP_FREE struct wall_timer *timer = calloc(1, sizeof(*timer));
    if (!timer)
        return -ENOMEM;
    timer->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer->fd < 0)
        return -errno;
    *ret = TAKE_PTR(timer);
    return 0;
}

struct wall_timer *wall_timer_free(struct wall_timer *timer) {
    if (timer) {
        (void)close(timer->fd);
        free(timer);
    }
    return NULL;
}

int wall_timer_fd(const struct wall_timer *timer) {
    return timer->fd;
}

static int arm(const struct wall_timer *timer, int64_t wall_s) {
    const struct itimerspec when = {.it_value = {.tv_sec = wall_s}};
    if (timerfd_settime(timer->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL) < 0)
        return -errno;
    return 0;
}

int wall_timer_set(struct wall_timer *timer, int64_t wall_s) {
    if (wall_s < 0)
        return -EINVAL;

    int r = 0;
    if (!timer->clock_was_set) {
        r = arm(timer, wall_s == 0 || wall_s > FAR_FUTURE_S ? FAR_FUTURE_S : wall_s);
        if (r != -ECANCELED)
            return r;
    }

    /* The clock was set since the descriptor was made or last read; the kernel tells it once, here
     * (timerfd_settime(2)). The caller may have computed its time by the old clock, so it is told
     * through the descriptor: due at once, until it has read it. */
    timer->clock_was_set = true;
    r = arm(timer, 1);
    return r == -ECANCELED ? 0 : r; /* set once more in between: armed all the same */
}

enum wall_timer_event wall_timer_read(struct wall_timer *timer) {
    uint64_t expirations;
    ssize_t n;
    do
        n = read(timer->fd, &expirations, sizeof(expirations));
    while (n < 0 && errno == EINTR);

    const bool clock_was_set = timer->clock_was_set || (n < 0 && errno == ECANCELED);
    if (n < 0 && !clock_was_set)
        return WALL_TIMER_NOTHING;
    timer->clock_was_set = false;
    return clock_was_set ? WALL_TIMER_CLOCK_SET : WALL_TIMER_DUE;
}
