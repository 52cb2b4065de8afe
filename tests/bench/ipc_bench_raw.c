/* The floor: blocking reads and writes on a socket pair, of the text alone, without any protocol
 * around it. */
#include "ipc_bench.h"

#include <string.h>
#include <unistd.h>

struct raw {
    int fd;
    char *bytes;
};

static void raw_write(int fd, const char *bytes, size_t size) {
    IPC_BENCH_CHECK(write(fd, bytes, size) == (ssize_t)size);
}

static void raw_read(int fd, char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, bytes + done, size - done);
        IPC_BENCH_CHECK(n > 0);
        done += (size_t)n;
    }
}

static void raw_serve(const struct ipc_bench_link *link, size_t size) {
    char *bytes = malloc(size);
    IPC_BENCH_CHECK(bytes);
    for (;;) {
        raw_read(link->server_fd, bytes, size);
        raw_write(link->server_fd, bytes, size);
    }
}

static void *raw_connect(const struct ipc_bench_link *link) {
    struct raw *raw = calloc(1, sizeof *raw);
    IPC_BENCH_CHECK(raw);
    raw->fd = link->client_fd;
    return raw;
}

static void raw_call(void *peer, const char *text) {
    struct raw *raw = peer;
    size_t size = strlen(text);
    if (!raw->bytes)
        raw->bytes = malloc(size);
    raw_write(raw->fd, text, size);
    raw_read(raw->fd, raw->bytes, size);
}

const struct ipc_bench_side ipc_bench_raw = {
    .name = "raw",
    .open = ipc_bench_open_pair,
    .serve = raw_serve,
    .connect = raw_connect,
    .call = raw_call,
};
