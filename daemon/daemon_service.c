/* Every way to a socket that is refused says what to do about it. */
#include "daemon/daemon_service.h"

#include "daemon/daemon_methods.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/version.h"
#include "ipc/transport.h"
#include "ipc/varlink_observer.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#define OTHER_DESCRIPTORS 64 /* files, the server, the bus */
#define LEAST_CONNECTIONS 64

static unsigned service_connections(void) {
    struct rlimit limit;
    unsigned wanted = varlink_limits_default.connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted + OTHER_DESCRIPTORS)
        return wanted;
    if (limit.rlim_cur < LEAST_CONNECTIONS + OTHER_DESCRIPTORS)
        return LEAST_CONNECTIONS;
    return (unsigned)limit.rlim_cur - OTHER_DESCRIPTORS;
}

struct varlink_server_options daemon_service_options(void) {
    struct varlink_server_options options = {
        .vendor = "devtrust",
        .product = "devtrustd",
        .version = DEVTRUST_VERSION,
        .url = "", /* a private service has no page of its own */
        .interfaces = daemon_interfaces,
        .interface_count = daemon_interface_count,
        .methods = daemon_methods,
        .method_count = daemon_method_count,
        .limits = varlink_limits_default,
    };
    options.limits.connections = service_connections();
    return options;
}

/* ---- listening ---- */

static const struct {
    int error;
    const char *text;
} listen_texts[] = {
    {-EADDRINUSE, "Another devtrustd listens on the socket; stop it first"},
    {-ELOOP, "The socket's directory is a symbolic link; make it a directory of root's"},
    {-ENOTDIR, "What should be the socket's directory is none; move it away"},
    {-EPERM, "The socket's directory belongs to another user; make it root's"},
    {-EUCLEAN, "The socket's directory can be written by others; make its mode 0755"},
    {-EEXIST, "What sits at the socket's path (or that path with .lock) is none; move it away"},
    {-ENAMETOOLONG, "The socket's path is too long; a shorter one goes into [paths] socket"},
    {-EINVAL, "The socket's path names no file; correct [paths] socket"},
    {-ENOENT, "The directory above the socket's is missing; make it"},
    {-ENOTSOCK, "What the service manager passed on is no listening Unix stream socket; correct "
                "ListenStream= in the socket unit"},
    {-E2BIG, "The service manager passed on more than one socket; keep one ListenStream="},
};

static const char *listen_text(int error) {
    for (size_t i = 0; i < ARRAY_LENGTH(listen_texts); i++)
        if (listen_texts[i].error == error)
            return listen_texts[i].text;
    return "The socket cannot be opened";
}

static int service_passed_on(int count) {
    if (count > 1)
        return -E2BIG;
    int r = sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_STREAM, 1);
    if (r == 0)
        return -ENOTSOCK;
    return r < 0 ? r : SD_LISTEN_FDS_START;
}

int daemon_service_listen(const char *path) {
    int count = sd_listen_fds(1);
    int fd = count > 0 ? service_passed_on(count) : transport_listen(path);
    if (fd < 0)
        log_event(LOG_LEVEL_ERROR, MSG_IPC, listen_text(fd), LOG_TEXT("PATH", path), LOG_ERRNO(fd));
    return fd;
}

/* ---- exec: ---- */

bool daemon_service_is_exec(void) {
    return sd_listen_fds(0) == 1 && sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_STREAM, 0) > 0;
}

static void exec_observe(const struct varlink_event *event, void *userdata) {
    if (event->kind == VARLINK_EVENT_CLOSED)
        uv_stop(userdata);
}

int daemon_service_exec(void) {
    struct varlink_server_options options = daemon_service_options();
    struct varlink_server *server;
    uv_loop_t loop;
    options.introspection_only = true;
    (void)sd_listen_fds(1); /* what is started from here would take it for its own */
    int r = uv_loop_init(&loop);
    if (r < 0)
        return r;
    r = varlink_server_new(&loop, &options, &server);
    if (r == 0) {
        varlink_server_set_observer(server, exec_observe, &loop);
        r = varlink_server_add_connection_fd(server, SD_LISTEN_FDS_START);
        if (r == 0)
            uv_run(&loop, UV_RUN_DEFAULT);
        varlink_server_close(server, NULL, NULL);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return r;
}
