/* Listening sockets. */
#include "server/listener.h"

#include "common/cleanup.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* "host:port" and "[v6]:port"; `host` as large as `address`. */
static int split(const char *address, char *host, const char **ret_port) {
    const char *colon = strrchr(address, ':');
    if (!colon || !colon[1])
        return -EINVAL;
    size_t length = (size_t)(colon - address);
    if (address[0] == '[') {
        if (length < 3 || address[length - 1] != ']')
            return -EINVAL;
        address++;
        length -= 2;
    } else if (memchr(address, ':', length))
        return -EINVAL;
    memcpy(host, address, length);
    host[length] = '\0';
    *ret_port = colon + 1;
    return 0;
}

/* Numeric only: a listener's address is never asked of DNS. */
static int resolve(const char *address, struct addrinfo **ret) {
    static const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };
    char host[64];
    const char *port;
    if (strlen(address) >= sizeof(host) || split(address, host, &port) < 0)
        return -EINVAL;
    return getaddrinfo(host[0] ? host : NULL, port, &hints, ret) == 0 ? 0 : -EINVAL;
}

int listener_open_tcp(const char *address) {
    struct addrinfo *info = NULL;
    int r = resolve(address, &info);
    if (r < 0)
        return r;
    static const int on = 1;
    CLEANUP_CLOSE int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
        bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, LISTENER_BACKLOG) < 0)
        r = -errno;
    freeaddrinfo(info);
    return r < 0 ? r : TAKE_FD(fd);
}

/* A socket file stays behind a killed server; one that still answers is another server's. */
static int remove_stale(const struct sockaddr_un *address) {
    struct stat info;
    if (lstat(address->sun_path, &info) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(info.st_mode))
        return -EADDRINUSE;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
        return -EADDRINUSE;
    return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int listener_open_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);
    int r = remove_stale(&address);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* the mode holds from the first moment: the socket file is made with it */
    mode_t mask = umask(0177);
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0)
        return r;
    if (listen(fd, LISTENER_BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int listener_name(int fd, char *ret, size_t size) {
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    char host[64], port[16];
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    if (getnameinfo(
            (struct sockaddr *)&address, length, host, sizeof(host), port, sizeof(port),
            NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -EINVAL;
    snprintf(ret, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}
