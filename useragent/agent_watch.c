/* Follows the stores of the home: after a change the list of stores is made anew, and where it is
 * another the machine's own check sees what is to be done. */
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/agent_internal.h"

/* A browser that starts for the first time makes its database by itself; an update moves several
 * things. What was begun is finished by then. */
#define SETTLE_MS 3000

static void queue_scan(struct agent *agent) {
    if (agent->scanning)
        return;
    agent->scanning = true;
    store_watch_begin(agent->watch);
    agent_jobs_queue(agent, JOB_WATCH);
}

static void settled(uv_timer_t *timer) {
    queue_scan(timer->data);
}

static void on_event(uv_poll_t *poll, int status, int events) {
    struct agent *agent = poll->data;

    (void)status;
    (void)events;
    /* not put off by what comes meanwhile: a directory that is never quiet is looked at too */
    if (store_watch_read(agent->watch) && !uv_is_active((uv_handle_t *)&agent->watch_timer))
        (void)uv_timer_start(
            &agent->watch_timer, settled,
            agent->options.settle_ms > 0 ? agent->options.settle_ms : SETTLE_MS, 0);
}

int agent_watch_start(struct agent *agent) {
    int r = uv_timer_init(agent->options.loop, &agent->watch_timer);

    if (r < 0)
        return r;
    agent->watch_timer.data = agent;
    r = store_watch_new(&agent->watch);
    if (r < 0) {
        log_event(
            LOG_LEVEL_NOTICE, MSG_AGENT,
            "New browsers are noticed only now and then: directories cannot be watched; raise "
            "fs.inotify.max_user_instances.",
            LOG_ERRNO(r));
        return 0;
    }
    r = uv_poll_init(agent->options.loop, &agent->watch_poll, store_watch_fd(agent->watch));
    if (r < 0)
        return r;
    agent->watch_poll.data = agent;
    r = uv_poll_start(&agent->watch_poll, UV_READABLE, on_event);
    if (r >= 0)
        queue_scan(agent);
    return r;
}

void agent_watch_scan(struct agent *agent) {
    agent->scan_result =
        store_watch_scan(agent->watch, &agent->options.dirs, &agent->scan_table, &agent->scan_mark);
}

void agent_watch_scanned(struct agent *agent) {
    agent->scanning = false;
    if (agent->scan_result < 0)
        log_event(
            LOG_LEVEL_NOTICE, MSG_AGENT,
            "Not every place of browsers can be watched; raise fs.inotify.max_user_watches.",
            LOG_ERRNO(agent->scan_result));
    if (agent->scan_table) {
        /* nothing was seen yet: the check at the start is still to come */
        if (agent->work.stores_seen != 0 && agent->work.stores_seen != agent->scan_mark)
            agent->check_needed = true;
    }
    store_watch_take(agent->watch, agent->scan_table);
    agent->scan_table = NULL;
}

void agent_watch_stop(struct agent *agent) {
    uv_close((uv_handle_t *)&agent->watch_timer, NULL);
    if (agent->watch)
        uv_close((uv_handle_t *)&agent->watch_poll, NULL);
}

void agent_watch_free(struct agent *agent) {
    store_watch_table_free(agent->scan_table);
    agent->watch = store_watch_free(agent->watch);
}
