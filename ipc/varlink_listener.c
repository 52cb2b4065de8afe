/* Takes connections, so many at a time and then none for a moment: libuv's own listener would go on
 * for as long as peers keep connecting, and a daemon that is kept busy is no longer run first when
 * somebody else calls. */
#include "ipc/varlink_connection.h"

#include "ipc/transport.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define ACCEPTS_AT_ONCE 64
#define MOMENT_MS 1  /* after so many at once */
#define PAUSE_MS 100 /* while there is no descriptor or no memory for one more */

static void listener_readable(uv_poll_t *poll, int status, int events);

static int listener_resume(struct varlink_listener *listener) {
    return uv_poll_start(&listener->poll, UV_READABLE, listener_readable);
}

static void listener_pause(struct varlink_listener *listener, uint64_t pause_ms) {
    uv_poll_stop(&listener->poll);
    varlink_server_set_deadline(listener->server, &listener->resume_deadline, pause_ms);
}

static void listener_fail(struct varlink_listener *listener, int error) {
    log_event(
        LOG_LEVEL_WARNING, MSG_IPC,
        "A local connection could not be accepted; raise LimitNOFILE= if descriptors are out.",
        LOG_ERRNO(error));
    listener_pause(listener, PAUSE_MS);
}

void varlink_listener_check_deadline(struct varlink_listener *listener, uint64_t now) {
    if (listener->resume_deadline == 0 || listener->resume_deadline > now)
        return;
    varlink_server_clear_deadline(listener->server, &listener->resume_deadline);
    int r = listener_resume(listener);
    if (r < 0)
        listener_fail(listener, r);
}

static void listener_readable(uv_poll_t *poll, int status, int events) {
    struct varlink_listener *listener = poll->data;
    (void)events;
    for (int i = 0; status == 0 && i < ACCEPTS_AT_ONCE; i++) {
        int fd = transport_accept(listener->fd);
        if (fd == -EAGAIN)
            return;
        if (fd == -ECONNABORTED || fd == -EINTR)
            continue;
        if (fd < 0)
            status = fd;
        else if (varlink_connection_open(listener->server, fd) == -ENOMEM)
            status = -ENOMEM;
    }
    if (status < 0)
        listener_fail(listener, status);
    else
        listener_pause(listener, MOMENT_MS);
}

static void listener_closed(uv_handle_t *handle) {
    struct varlink_listener *listener = handle->data;
    struct varlink_server *server = listener->server;
    close(listener->fd);
    free(listener);
    varlink_server_handle_closed(server);
}

void varlink_listener_close(struct varlink_listener *listener) {
    varlink_server_clear_deadline(listener->server, &listener->resume_deadline);
    uv_close((uv_handle_t *)&listener->poll, listener_closed);
}

int varlink_server_listen_fd(struct varlink_server *server, int fd) {
    int CLEANUP_CLOSE owned = fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    struct varlink_listener CLEANUP_FREE *listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    int r = uv_poll_init(server->loop, &listener->poll, fd);
    if (r < 0)
        return r;
    listener->server = server;
    listener->fd = TAKE_FD(owned);
    listener->poll.data = listener;
    server->open_handles++;
    r = listener_resume(listener);
    if (r < 0)
        varlink_listener_close(listener);
    else
        TAILQ_INSERT_TAIL(&server->listeners, listener, all);
    (void)TAKE_PTR(listener);
    return r;
}
