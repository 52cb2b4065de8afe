/* The system calls of ours and nothing else: a service that waits in epoll_wait(2), as every loop
 * does, and reads with room for descriptors, so that it sees who sends some; both sides with an end
 * to every wait. What ours takes beyond this is ours to save; what this takes beyond the raw socket
 * is not. */
#include "ipc_bench.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMEOUT_MS 30000

struct bare {
    int fd;
    char *bytes;
};

static size_t bare_receive(int fd, char *bytes, size_t size) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    IPC_BENCH_CHECK(n > 0);
    return (size_t)n;
}

static void bare_serve(const struct ipc_bench_link *link, size_t size) {
    char *bytes = malloc(size);
    struct epoll_event event = {.events = EPOLLIN};
    int loop = epoll_create1(EPOLL_CLOEXEC);
    IPC_BENCH_CHECK(bytes && loop >= 0);
    IPC_BENCH_CHECK(epoll_ctl(loop, EPOLL_CTL_ADD, link->server_fd, &event) == 0);
    for (size_t done = 0;;) {
        IPC_BENCH_CHECK(epoll_wait(loop, &event, 1, TIMEOUT_MS) == 1);
        done += bare_receive(link->server_fd, bytes + done, size - done);
        if (done < size)
            continue;
        IPC_BENCH_CHECK(write(link->server_fd, bytes, size) == (ssize_t)size);
        done = 0;
    }
}

static void *bare_connect(const struct ipc_bench_link *link) {
    struct bare *bare = calloc(1, sizeof *bare);
    const struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000};
    IPC_BENCH_CHECK(bare);
    bare->fd = link->client_fd;
    IPC_BENCH_CHECK(setsockopt(bare->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
    return bare;
}

static void bare_call(void *peer, const char *text) {
    struct bare *bare = peer;
    size_t size = strlen(text);
    if (!bare->bytes)
        bare->bytes = malloc(size);
    IPC_BENCH_CHECK(bare->bytes && send(bare->fd, text, size, MSG_NOSIGNAL) == (ssize_t)size);
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(bare->fd, bare->bytes + done, size - done, 0);
        IPC_BENCH_CHECK(n > 0);
        done += (size_t)n;
    }
}

const struct ipc_bench_side ipc_bench_bare = {
    .name = "bare",
    .open = ipc_bench_open_pair,
    .serve = bare_serve,
    .connect = bare_connect,
    .call = bare_call,
};
