/* A service with the real interfaces that plays scripted answers from a thread, and devtrustctl run
 * against it with its output caught. */
#pragma once

#include "ipc/ctl/ctl.h"
#include "ipc/interface_methods.h"
#include "ipc/interfaces.h"
#include "ipc/transport.h"
#include "ipc/varlink_server.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRIPTED_NOW 1795000000 /* 2026-11-18 11:06:40 UTC */
#define DAY 86400

#define SCRIPTED_MAX 8

struct scripted {
    char *directory, *path;
    uv_loop_t loop;
    uv_async_t stop;
    struct varlink_server *server;
    pthread_t thread;
    /* what the next call gets; set while no call runs */
    const char *error;  /* NULL: a reply */
    const char *answer; /* JSON, or NULL: {}; several for a stream, one per line */
    const char *(*answer_for)(const char *method); /* NULL: `answer` */
    bool silent;                                   /* no answer at all */
    /* first of all: of a method, by the end of its name */
    struct {
        const char *method, *error, *answer;
    } of[SCRIPTED_MAX];
    /* what the last call was */
    char method[128];
    char parameters[8192];
    unsigned calls; /* so far */
};

struct result {
    int status;
    char *out, *err;
};

static struct scripted scripted;

static void scripted_answer(struct varlink_call *call, void *userdata) {
    (void)userdata;
    scripted.calls++;
    snprintf(scripted.method, sizeof scripted.method, "%s", varlink_call_method(call));
    snprintf(
        scripted.parameters, sizeof scripted.parameters, "%s",
        json_object_to_json_string_ext(
            varlink_call_parameters(call),
            JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    if (scripted.silent)
        return;
    const char *name = strrchr(scripted.method, '.') + 1, *error = scripted.error;
    const char *text =
        scripted.answer_for ? scripted.answer_for(varlink_call_method(call)) : scripted.answer;
    for (size_t i = 0; i < SCRIPTED_MAX && scripted.of[i].method; i++)
        if (strcmp(scripted.of[i].method, name) == 0) {
            text = scripted.of[i].answer;
            error = scripted.of[i].error;
        }
    struct json_object *answer = text ? json_tokener_parse(text) : NULL;
    if (error)
        varlink_call_error(call, error, answer);
    else
        varlink_call_reply(call, answer);
}

static void scripted_stream(struct varlink_call *call, void *userdata) {
    if (scripted.error) {
        scripted_answer(call, userdata);
        return;
    }
    snprintf(
        scripted.parameters, sizeof scripted.parameters, "%s",
        json_object_to_json_string_ext(varlink_call_parameters(call), JSON_C_TO_STRING_PLAIN));
    char CLEANUP_FREE *lines = strdup(scripted.answer);
    char *rest = lines;
    for (char *line = strsep(&rest, "\n"); line && rest; line = strsep(&rest, "\n"))
        varlink_call_notify(call, json_tokener_parse(line));
    varlink_call_reply(call, NULL);
}

#define ROW(name_) METHOD_ROW("io.devtrust." name_, METHOD_ANYONE, false, 60000, 0, scripted_answer)
#define DEVICE_ROW(face_, method_) ROW("Device." #method_),

static const struct method *const scripted_methods[] = {
    METHODS_OF_io_devtrust_Device(DEVICE_ROW)
        METHOD_ROW("io.devtrust.Agent.Watch", METHOD_ANYONE, true, 0, 0, scripted_stream),
    ROW("Agent.Submit"),
    ROW("Agent.Report"),
    ROW("Agent.Renew"),
    ROW("Agent.Inspected"),
    METHOD_ROW("io.devtrust.Debug.Monitor", METHOD_ANYONE, true, 0, 0, scripted_stream),
    ROW("Debug.ListConnections"),
    ROW("Debug.GetStatistics"),
    ROW("Debug.GetLog"),
    ROW("Debug.GetUserMachine"),
};

static void scripted_closed(void *userdata) {
    (void)userdata;
    uv_close((uv_handle_t *)&scripted.stop, NULL);
}

static void scripted_stop(uv_async_t *stop) {
    (void)stop;
    varlink_server_close(scripted.server, scripted_closed, NULL);
}

static void *scripted_run(void *userdata) {
    (void)userdata;
    uv_run(&scripted.loop, UV_RUN_DEFAULT);
    return NULL;
}

__attribute__((unused)) static int scripted_setup(void **state) {
    (void)state;
    static const struct varlink_interface interfaces[] = {
        {"io.devtrust.Device", interface_io_devtrust_Device},
        {"io.devtrust.Agent", interface_io_devtrust_Agent},
        {"io.devtrust.Debug", interface_io_devtrust_Debug}};
    const struct varlink_server_options options = {
        .vendor = "devtrust",
        .product = "devtrustd",
        .version = "9.9",
        .url = "https://example.com",
        .interfaces = interfaces,
        .interface_count = ARRAY_LENGTH(interfaces),
        .methods = scripted_methods,
        .method_count = ARRAY_LENGTH(scripted_methods),
        .limits = varlink_limits_default,
    };
    const char *base = getenv("TMPDIR");
    scripted = (struct scripted){0};
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    assert_true(asprintf(&scripted.directory, "%s/devtrust-ctl-XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(scripted.directory));
    assert_true(asprintf(&scripted.path, "%s/sock", scripted.directory) > 0);
    assert_int_equal(uv_loop_init(&scripted.loop), 0);
    assert_int_equal(varlink_server_new(&scripted.loop, &options, &scripted.server), 0);
    int fd = transport_listen(scripted.path);
    assert_true(fd >= 0);
    assert_int_equal(varlink_server_listen_fd(scripted.server, fd), 0);
    assert_int_equal(uv_async_init(&scripted.loop, &scripted.stop, scripted_stop), 0);
    assert_int_equal(pthread_create(&scripted.thread, NULL, scripted_run, NULL), 0);
    return 0;
}

__attribute__((unused)) static int scripted_teardown(void **state) {
    (void)state;
    char *lock = NULL;
    uv_async_send(&scripted.stop);
    pthread_join(scripted.thread, NULL);
    assert_int_equal(uv_loop_close(&scripted.loop), 0);
    assert_true(asprintf(&lock, "%s.lock", scripted.path) > 0);
    (void)unlink(scripted.path);
    (void)unlink(lock);
    assert_int_equal(rmdir(scripted.directory), 0);
    free(lock);
    free(scripted.path);
    free(scripted.directory);
    return 0;
}

static int64_t scripted_now(void) {
    return SCRIPTED_NOW;
}

static int64_t scripted_now_us(void) {
    return SCRIPTED_NOW * INT64_C(1000000);
}

static int scripted_nobody(uid_t *ret) {
    (void)ret;
    return -ENODATA;
}

__attribute__((unused)) static const struct ctl scripted_ctl = {
    .console_user = scripted_nobody,
    .now = scripted_now,
    .now_us = scripted_now_us,
};

__attribute__((unused)) static void result_free(struct result *result) {
    free(result->out);
    free(result->err);
}
#define CLEANUP_RESULT CLEANUP(result_free)

/** Runs a command line, words separated by spaces ("@" becomes the socket's path); `base`: NULL for
 * the usual surroundings. */
__attribute__((unused)) static struct result run_with(
    const struct ctl *base, const char *command_line) {
    struct result result = {0};
    size_t out_size, err_size;
    struct ctl ctl = base ? *base : scripted_ctl;
    if (!base) {
        ctl.own_uid = 0;
        ctl.daemon_uid = geteuid();
    }
    char CLEANUP_FREE *words = strdup(command_line);
    char program[] = "devtrustctl";
    char *argv[32] = {program};
    int argc = 1;
    for (char *rest = words, *word; (word = strsep(&rest, " "));)
        argv[argc++] = strcmp(word, "@") == 0 ? scripted.path : word;
    ctl.out = open_memstream(&result.out, &out_size);
    ctl.err = open_memstream(&result.err, &err_size);
    result.status = ctl_main(&ctl, argc, argv);
    fclose(ctl.out);
    fclose(ctl.err);
    return result;
}

__attribute__((unused)) static struct result run(const char *command_line) {
    return run_with(NULL, command_line);
}

/** Every line of output for people fits the screen. */
__attribute__((unused)) static void assert_fits(const char *text) {
    unsigned columns = 0;
    for (; *text; text++) {
        if (*text == '\n')
            columns = 0;
        else if (((unsigned char)*text & 0xc0) != 0x80)
            columns++;
        assert_true(columns <= CTL_WIDTH);
    }
}

__attribute__((unused)) static struct json_object *parsed(const char *text) {
    struct json_object *object = json_tokener_parse(text);
    assert_non_null(object);
    return object;
}
