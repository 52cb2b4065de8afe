/* The yardstick: sd-bus on both sides of a socket pair, no broker between them. */
#include "ipc_bench.h"

#include <string.h>
#include <systemd/sd-bus.h>

#define INTERFACE "io.devtrust.Bench"

static int sdbus_echo(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    const char *text;
    (void)userdata;
    (void)error;
    IPC_BENCH_CHECK(sd_bus_message_read(message, "s", &text) > 0);
    return sd_bus_reply_method_return(message, "s", text);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Echo", "s", "s", sdbus_echo, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static void sdbus_serve(const struct ipc_bench_link *link, size_t size) {
    sd_bus *bus = NULL;
    sd_id128_t id;
    (void)size;
    IPC_BENCH_CHECK(sd_id128_randomize(&id) >= 0 && sd_bus_new(&bus) >= 0);
    IPC_BENCH_CHECK(sd_bus_set_fd(bus, link->server_fd, link->server_fd) >= 0);
    IPC_BENCH_CHECK(sd_bus_set_server(bus, 1, id) >= 0 && sd_bus_set_anonymous(bus, 1) >= 0);
    IPC_BENCH_CHECK(sd_bus_start(bus) >= 0);
    IPC_BENCH_CHECK(sd_bus_add_object_vtable(bus, NULL, "/", INTERFACE, vtable, NULL) >= 0);
    for (;;) {
        int r = sd_bus_process(bus, NULL);
        IPC_BENCH_CHECK(r >= 0);
        if (r == 0)
            IPC_BENCH_CHECK(sd_bus_wait(bus, UINT64_MAX) >= 0);
    }
}

static void *sdbus_connect(const struct ipc_bench_link *link) {
    sd_bus *bus = NULL;
    IPC_BENCH_CHECK(sd_bus_new(&bus) >= 0);
    IPC_BENCH_CHECK(sd_bus_set_fd(bus, link->client_fd, link->client_fd) >= 0);
    IPC_BENCH_CHECK(sd_bus_set_anonymous(bus, 1) >= 0 && sd_bus_start(bus) >= 0);
    return bus;
}

static void sdbus_check(sd_bus_message *reply, const char *expected) {
    const char *text = "";
    IPC_BENCH_CHECK(sd_bus_message_read(reply, "s", &text) > 0 && strcmp(text, expected) == 0);
}

static void sdbus_call(void *peer, const char *text) {
    sd_bus_message *reply = NULL;
    IPC_BENCH_CHECK(
        sd_bus_call_method(peer, NULL, "/", INTERFACE, "Echo", NULL, &reply, "s", text) >= 0);
    sdbus_check(reply, text);
    sd_bus_message_unref(reply);
}

struct sdbus_pipeline {
    const char *text;
    unsigned answered;
};

static int sdbus_answered(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
    struct sdbus_pipeline *pipeline = userdata;
    (void)error;
    sdbus_check(reply, pipeline->text);
    pipeline->answered++;
    return 0;
}

static void sdbus_pipeline(void *peer, const char *text, unsigned calls) {
    struct sdbus_pipeline pipeline = {.text = text};
    unsigned sent = 0;
    while (pipeline.answered < calls) {
        unsigned more = IPC_BENCH_REFILL(sent - pipeline.answered);
        for (; sent < calls && more > 0; sent++, more--)
            IPC_BENCH_CHECK(
                sd_bus_call_method_async(
                    peer, NULL, NULL, "/", INTERFACE, "Echo", sdbus_answered, &pipeline, "s",
                    text) >= 0);
        int r = sd_bus_process(peer, NULL);
        IPC_BENCH_CHECK(r >= 0);
        if (r == 0)
            IPC_BENCH_CHECK(sd_bus_wait(peer, UINT64_MAX) >= 0);
    }
}

const struct ipc_bench_side ipc_bench_sdbus = {
    .name = "sdbus",
    .open = ipc_bench_open_pair,
    .serve = sdbus_serve,
    .connect = sdbus_connect,
    .call = sdbus_call,
    .pipeline = sdbus_pipeline,
};
