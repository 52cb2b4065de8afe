/* See live.h. */
#include "ipc/ctl/live.h"

#include "ipc/ctl/call.h"
#include "ipc/ctl/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};
#define SIGNAL_COUNT ARRAY_LENGTH(ending_signals)
#define SIGNAL_MS 100 /* within which a signal to a process group has reached all of it */

struct live_call {
    live_reply reply; /* NULL: this place is free */
    struct live *live;
    void *userdata;
};

struct live {
    struct ctl *ctl;
    struct live_call calls[LIVE_CALLS_MAX];
    uv_loop_t loop;
    uv_signal_t signals[SIGNAL_COUNT];
    uv_timer_t timer;
    uv_poll_t keys;
    uv_timer_t lost;
    struct varlink_client *client;
    bool stopped;
    int status;
    void (*tick)(void *);
    void *tick_userdata;
};

static void close_handle(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void live_stop(struct live *live, int status) {
    if (live->stopped)
        return;
    live->stopped = true;
    live->status = status;
    uv_stop(&live->loop);
}

static void interrupted(uv_signal_t *signal, int number) {
    (void)number;
    live_stop(signal->data, CTL_GOOD);
}

static void explain_lost(uv_timer_t *lost) {
    struct live *live = lost->data;
    terminal_leave(); /* what is said shall stay */
    live_stop(
        live, live->ctl->bridge
                  ? ctl_explain_loss(live->ctl, -ECONNRESET)
                  : ctl_fail_with(
                        live->ctl, CTL_UNREACHABLE, reason_code(REASON_DAEMON_UNREACHABLE),
                        "devtrustd has closed the connection: it was stopped, or it restarts.",
                        NULL, "Look at its log (journalctl -u devtrustd), then run this again."));
}

/* Ctrl-C ends the program of --bridge too, and its end may be here before our own signal. */
static void disconnected(struct varlink_client *client, void *userdata) {
    struct live *live = userdata;
    (void)client;
    if (live->stopped)
        return;
    live->lost.data = live;
    if (!live->ctl->bridge || uv_timer_init(&live->loop, &live->lost) < 0 ||
        uv_timer_start(&live->lost, explain_lost, SIGNAL_MS, 0) < 0)
        explain_lost(&live->lost);
}

/* ---- beginning ---- */

static int watch_signals(struct live *live) {
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        int r = uv_signal_init(&live->loop, &live->signals[i]);
        live->signals[i].data = live;
        if (r == 0)
            r = uv_signal_start(&live->signals[i], interrupted, ending_signals[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int connect_client(struct live *live) {
    struct ctl *ctl = live->ctl;
    int r, fd = -1;
    if (!ctl->bridge) {
        r = varlink_client_connect(
            &live->loop, ctl->socket_path, ctl->daemon_uid, disconnected, live, &live->client);
        return r == 0 ? CTL_GOOD : ctl_explain_connect(ctl, r);
    }
    int status = ctl_open_bridge(ctl, &fd);
    if (status != CTL_GOOD)
        return status;
    r = varlink_client_open_fd(&live->loop, fd, disconnected, live, &live->client);
    return r == 0 ? CTL_GOOD : ctl_fail(ctl, REASON_NO_MEMORY);
}

int live_new(struct ctl *ctl, struct live **ret) {
    struct live *live = calloc(1, sizeof *live);
    if (!live || uv_loop_init(&live->loop) < 0) {
        free(live);
        return ctl_fail(ctl, REASON_NO_MEMORY);
    }
    live->ctl = ctl;
    int status = connect_client(live);
    if (status == CTL_GOOD && watch_signals(live) < 0)
        status = ctl_fail(ctl, REASON_INTERNAL);
    if (status != CTL_GOOD)
        return live_run(live, status);
    *ret = live;
    return CTL_GOOD;
}

/* ---- calls ---- */

static void replied(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    struct live_call *call = userdata;
    live_reply reply = call->reply;
    (void)client;
    if (!continues)
        call->reply = NULL;
    if (error && strcmp(error, VARLINK_ERROR_DISCONNECTED) == 0)
        return; /* disconnected() says it */
    if (!call->live->stopped)
        reply(parameters, error, continues, call->userdata);
}

static struct live_call *free_call(struct live *live) {
    for (size_t i = 0; i < LIVE_CALLS_MAX; i++)
        if (!live->calls[i].reply)
            return &live->calls[i];
    return NULL;
}

int live_call(
    struct live *live, const char *method, struct json_object *parameters, bool more,
    live_reply reply, void *userdata) {
    struct live_call *call = free_call(live);
    if (!call) {
        json_object_put(parameters);
        return ctl_fail(live->ctl, REASON_INTERNAL);
    }
    int r = varlink_client_call(live->client, method, parameters, more, replied, call);
    if (r < 0)
        return ctl_explain_loss(live->ctl, r);
    *call = (struct live_call){reply, live, userdata};
    return CTL_GOOD;
}

/* ---- clock and keys ---- */

static void timer_fired(uv_timer_t *timer) {
    struct live *live = timer->data;
    live->tick(live->tick_userdata);
}

int live_every(
    struct live *live, uint64_t interval_ms, void (*tick)(void *userdata), void *userdata) {
    live->tick = tick;
    live->tick_userdata = userdata;
    live->timer.data = live;
    int r = uv_timer_init(&live->loop, &live->timer);
    return r < 0 ? r : uv_timer_start(&live->timer, timer_fired, interval_ms, interval_ms);
}

static void key_pressed(uv_poll_t *poll, int status, int events) {
    struct live *live = poll->data;
    char keys[64];
    (void)events;
    ssize_t size = status < 0 ? 0 : read(fileno(live->ctl->in), keys, sizeof keys);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0)
        uv_poll_stop(poll); /* the terminal is gone: a signal says so */
    else if (memchr(keys, 'q', (size_t)size) || memchr(keys, 'Q', (size_t)size))
        live_stop(live, CTL_GOOD);
}

int live_take_keys(struct live *live) {
    if (!terminal_has_keys())
        return 0;
    live->keys.data = live;
    int r = uv_poll_init(&live->loop, &live->keys, fileno(live->ctl->in));
    return r < 0 ? r : uv_poll_start(&live->keys, UV_READABLE, key_pressed);
}

/* ---- running ---- */

int live_run(struct live *live, int status) {
    if (status == CTL_GOOD && !live->stopped)
        uv_run(&live->loop, UV_RUN_DEFAULT);
    if (live->stopped)
        status = live->status;
    live->stopped = true;
    varlink_client_close(live->client);
    uv_walk(&live->loop, close_handle, NULL);
    uv_run(&live->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&live->loop);
    free(live);
    return status;
}
