/* See bridge.h; and the command around it. */
#include "ipc/ctl/bridge.h"

#include "ipc/ctl/call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* ---- one direction ---- */

struct flow {
    int from, to;
    bool ended;  /* nothing more will come */
    bool broken; /* nobody takes it any more: what still comes is thrown away */
    size_t begin, end;
    char buffer[BRIDGE_BUFFER_SIZE];
};

static bool flow_has_room(const struct flow *flow) {
    return !flow->ended && flow->end < sizeof flow->buffer;
}

static bool flow_has_bytes(const struct flow *flow) {
    return flow->begin < flow->end;
}

static bool is_temporary(int error) {
    return error == EAGAIN || error == EINTR;
}

static bool is_ending(int error) {
    return error == EPIPE || error == ECONNRESET;
}

static int flow_fill(struct flow *flow) {
    ssize_t size = read(flow->from, flow->buffer + flow->end, sizeof flow->buffer - flow->end);
    if (size < 0 && is_temporary(errno))
        return 0;
    if (size < 0 && !is_ending(errno))
        return -errno;
    if (size <= 0)
        flow->ended = true;
    else if (!flow->broken)
        flow->end += (size_t)size;
    return 0;
}

/* No more than PIPE_BUF at a time: that much a pipe, a socket or a terminal that polls as writable
 * takes without blocking. */
static int flow_drain(struct flow *flow) {
    size_t size = flow->end - flow->begin;
    ssize_t written =
        write(flow->to, flow->buffer + flow->begin, size < PIPE_BUF ? size : PIPE_BUF);
    if (written < 0 && is_temporary(errno))
        return 0;
    if (written < 0 && !is_ending(errno))
        return -errno;
    if (written < 0)
        flow->broken = true;
    else
        flow->begin += (size_t)written;
    if (flow->broken || flow->begin == flow->end)
        flow->begin = flow->end = 0;
    return 0;
}

/* ---- both ---- */

struct relay {
    struct flow up;   /* to the socket */
    struct flow down; /* from the socket */
    bool shut;        /* the end of `up` was passed on */
};

enum { FD_IN, FD_OUT, FD_SOCKET, FD_COUNT };

/* A descriptor that nothing is wanted of is left out, or its hang-up would wake us for ever; but
 * for `out`, whose hang-up is the end. */
static void relay_watch(const struct relay *relay, struct pollfd fds[FD_COUNT]) {
    short socket_events =
        (short)((flow_has_room(&relay->down) ? POLLIN : 0) | (flow_has_bytes(&relay->up) ? POLLOUT : 0));
    fds[FD_IN] =
        (struct pollfd){.fd = flow_has_room(&relay->up) ? relay->up.from : -1, .events = POLLIN};
    fds[FD_OUT] = (struct pollfd){
        .fd = relay->down.to, .events = (short)(flow_has_bytes(&relay->down) ? POLLOUT : 0)};
    fds[FD_SOCKET] =
        (struct pollfd){.fd = socket_events ? relay->up.to : -1, .events = socket_events};
}

static int relay_step(struct relay *relay, const struct pollfd fds[FD_COUNT]) {
    int r = 0;
    if (fds[FD_IN].revents)
        r = flow_fill(&relay->up);
    if (r == 0 && fds[FD_SOCKET].revents && flow_has_bytes(&relay->up))
        r = flow_drain(&relay->up);
    if (r == 0 && fds[FD_SOCKET].revents && flow_has_room(&relay->down))
        r = flow_fill(&relay->down);
    if (r == 0 && (fds[FD_OUT].revents & POLLOUT) && flow_has_bytes(&relay->down))
        r = flow_drain(&relay->down);
    else if (fds[FD_OUT].revents & (POLLERR | POLLHUP | POLLNVAL))
        relay->down.broken = true;
    if (r == 0 && relay->up.ended && !flow_has_bytes(&relay->up) && !relay->shut) {
        relay->shut = true;
        (void)shutdown(relay->up.to, SHUT_WR);
    }
    return r;
}

static int relay_run(struct relay *relay) {
    for (;;) {
        struct pollfd fds[FD_COUNT];
        if (relay->down.broken || (relay->down.ended && !flow_has_bytes(&relay->down)))
            return 0;
        relay_watch(relay, fds);
        if (poll(fds, FD_COUNT, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        int r = relay_step(relay, fds);
        if (r < 0)
            return r;
    }
}

int bridge_relay(int in, int out, int socket) {
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return -ENOMEM;
    relay->up.from = in;
    relay->up.to = relay->down.from = socket;
    relay->down.to = out;
    int r = relay_run(relay);
    explicit_bzero(relay, sizeof *relay); /* an enrolment token may have come through */
    free(relay);
    return r;
}

/* ---- the command ---- */

int ctl_ipc_bridge(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    (void)arguments;
    /* a closed one would be taken by the next descriptor that is opened: the socket */
    if (fcntl(fileno(ctl->in), F_GETFD) < 0 || fcntl(fileno(ctl->out), F_GETFD) < 0)
        return ctl_usage(ctl, "Standard input and output must be open.", NULL);
    if (isatty(fileno(ctl->in)))
        return ctl_fail_with(
            ctl, CTL_USAGE, reason_code(REASON_USAGE),
            "This is for programs, which speak Varlink on its standard input.", NULL,
            "By hand: devtrustctl ipc call METHOD.");
    int status = ctl_connect(ctl, &stream);
    if (status != CTL_GOOD)
        return status;
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an end like any other */
    fflush(ctl->out);
    int r = bridge_relay(fileno(ctl->in), fileno(ctl->out), varlink_stream_fd(stream));
    return r < 0 ? ctl_fail_with(
                       ctl, CTL_NO, reason_code(REASON_INTERNAL), "The relay failed:", strerror(-r),
                       "Check what its standard input and output are connected to.")
                 : CTL_GOOD;
}
