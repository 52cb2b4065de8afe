/* Who may call what: one row per method. The server looks a call up here before any handler sees
 * it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct varlink_call;

enum method_access {
    METHOD_ANYONE,  /* any local user */
    METHOD_MANAGED, /* a uid for which the server's `is_managed` says yes, and root */
    METHOD_ROOT,    /* uid 0 */
};

/** Answers now or later with exactly one varlink_call_reply() or varlink_call_error() (or a
 * stream). */
typedef void (*method_handler)(struct varlink_call *call, void *userdata);

struct method {
    const char *name; /* "io.devtrust.Agent.Submit" */
    enum method_access access;
    bool stream;            /* must be called with more */
    uint32_t deadline_ms;   /* the server cancels and answers VARLINK_ERROR_TIMEOUT after it; 0:
                               streams only */
    size_t max_parameters;  /* bytes of the whole message as it came; past it InvalidParameter; 0:
                               the server's limit */
    method_handler handler; /* never NULL */
};
