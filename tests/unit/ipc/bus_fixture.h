/* A real dbus-daemon of the test's own, whose policy allows everything, and peers on it that stand
 * for services (and for whoever pretends to be one). Whatever is waited for has a deadline. */
#pragma once

#include "ipc/bus.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cmocka.h>

#define BUS_PATIENCE_MS 60000

struct bus_fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    bool late;
    char directory[64], address[128];
    pid_t daemon;
};

#define BUS_MUST(call_)                                                                            \
    do {                                                                                           \
        int result_ = (call_);                                                                     \
        if (result_ < 0)                                                                           \
            fail_msg("%s: %s", #call_, strerror(-result_));                                        \
    } while (0)

static inline void bus_fixture_late(uv_timer_t *timer) {
    ((struct bus_fixture *)timer->data)->late = true;
}

/* Runs the loop until `condition_`, which is looked at after each turn. */
#define BUS_UNTIL(fixture_, condition_)                                                            \
    do {                                                                                           \
        uv_update_time(&(fixture_)->loop);                                                         \
        uv_timer_start(&(fixture_)->deadline, bus_fixture_late, BUS_PATIENCE_MS, 0);               \
        while (!(condition_) && !(fixture_)->late)                                                 \
            uv_run(&(fixture_)->loop, UV_RUN_ONCE);                                                \
        uv_timer_stop(&(fixture_)->deadline);                                                      \
        if ((fixture_)->late)                                                                      \
            fail_msg("%s:%d: not in time: %s", __FILE__, __LINE__, #condition_);                   \
    } while (0)

/* Starts the bus, and returns when it listens. */
static inline void bus_fixture_start(struct bus_fixture *fixture) {
    char path[128], said[256];
    int pipes[2];
    snprintf(path, sizeof path, "%s/bus.conf", fixture->directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(
        file,
        "<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth><policy "
        "context='default'><allow send_destination='*'/><allow send_type='signal'/>"
        "<allow receive_type='method_call'/><allow receive_type='method_return'/>"
        "<allow receive_type='error'/><allow receive_type='signal'/><allow own='*'/><allow "
        "user='*'/>"
        "</policy></busconfig>\n",
        fixture->address);
    fclose(file);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fixture->daemon = fork();
    if (fixture->daemon == 0) {
        char config[160];
        snprintf(config, sizeof config, "--config-file=%s", path);
        dup2(pipes[1], STDOUT_FILENO);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("dbus-daemon", "dbus-daemon", config, "--nofork", "--print-address=1", NULL);
        _exit(127);
    }
    close(pipes[1]);
    assert_true(read(pipes[0], said, sizeof said) > 0); /* its end is an end, too */
    close(pipes[0]);
}

static inline void bus_fixture_stop(struct bus_fixture *fixture) {
    if (fixture->daemon <= 0)
        return;
    kill(fixture->daemon, SIGKILL);
    waitpid(fixture->daemon, NULL, 0);
    fixture->daemon = 0;
    unlink(strchr(fixture->address, '/'));
}

static inline void bus_fixture_open(struct bus_fixture *fixture) {
    *fixture = (struct bus_fixture){.directory = "/tmp/devtrust-bus-XXXXXX"};
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->address, sizeof fixture->address, "unix:path=%s/bus", fixture->directory);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    uv_timer_init(&fixture->loop, &fixture->deadline);
    fixture->deadline.data = fixture;
}

/* The loop must be empty but for what `deadline` is: nothing was forgotten. */
static inline void bus_fixture_close(struct bus_fixture *fixture) {
    char path[128];
    uv_close((uv_handle_t *)&fixture->deadline, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    bus_fixture_stop(fixture);
    snprintf(path, sizeof path, "%s/bus.conf", fixture->directory);
    unlink(path);
    rmdir(fixture->directory);
}

/* Peers that answer calls do it when the loop runs. */
struct bus_fixture_server {
    uv_poll_t poll;
    sd_bus *peer;
};

static inline void bus_fixture_turn(uv_poll_t *poll, int status, int events) {
    struct bus_fixture_server *server = poll->data;
    (void)status;
    (void)events;
    while (sd_bus_process(server->peer, NULL) > 0)
        ;
}

static inline void bus_fixture_serve(
    uv_loop_t *loop, struct bus_fixture_server *server, sd_bus *peer,
    sd_bus_message_handler_t handler, void *userdata) {
    server->peer = peer;
    BUS_MUST(sd_bus_add_filter(peer, NULL, handler, userdata));
    assert_int_equal(uv_poll_init(loop, &server->poll, sd_bus_get_fd(peer)), 0);
    server->poll.data = server;
    assert_int_equal(uv_poll_start(&server->poll, UV_READABLE, bus_fixture_turn), 0);
    BUS_MUST(sd_bus_flush(peer));
}

static inline void bus_fixture_serve_no_more(struct bus_fixture_server *server) {
    uv_close((uv_handle_t *)&server->poll, NULL);
    server->peer = sd_bus_flush_close_unref(server->peer);
    uv_run(server->poll.loop, UV_RUN_NOWAIT); /* the handle is free for the next one */
}

/* A peer; it has `name` unless that is NULL. Calls of this connection may block. */
static inline sd_bus *bus_fixture_peer(struct bus_fixture *fixture, const char *name) {
    sd_bus *peer = NULL;
    BUS_MUST(sd_bus_new(&peer));
    BUS_MUST(sd_bus_set_address(peer, fixture->address));
    BUS_MUST(sd_bus_set_bus_client(peer, 1));
    BUS_MUST(sd_bus_start(peer));
    if (name)
        BUS_MUST(sd_bus_request_name(peer, name, 0));
    return peer;
}
