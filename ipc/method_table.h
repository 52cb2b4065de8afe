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
    uint32_t deadline_ms;   /* the server cancels and answers VARLINK_ERROR_TIMEOUT after it; of a
                               stream: if nothing was answered yet; 0: none, streams only */
    size_t max_parameters;  /* bytes of the whole message as it came; past it InvalidParameter; 0:
                               the server's limit */
    unsigned messages;      /* as how many a call counts for its uid's rate, where its handler does
                               more work than others; 0: as one */
    method_handler handler; /* never NULL */
    const char *const *secrets; /* parameters that no tool may show, then NULL; NULL: none */
};

/* Rows for the methods of the .varlink files. A row is a constant named <interface>_<Method>, and a
 * table is made by expanding METHODS_OF_<interface>(METHOD_ROW_OF) of the generated
 * ipc/interface_methods.h: a method without a row, a row without a method, and a row without a
 * handler, a permission or a deadline do not compile. */

/** permission: ANYONE, MANAGED or ROOT. Further arguments are further members: `.secrets = …`. */
#define METHOD_CALL(face_, method_, permission_, deadline_ms_, max_parameters_, handler_, ...)     \
    _Static_assert((deadline_ms_) > 0, #method_ " needs a deadline");                              \
    METHOD_ROW_(                                                                                   \
        face_, method_, permission_, max_parameters_, handler_, .deadline_ms = (deadline_ms_),     \
        __VA_ARGS__)

/** One that is answered more than once. It may be silent unless it has a `.deadline_ms = …`, for
 * its first answer. */
#define METHOD_STREAM(face_, method_, permission_, max_parameters_, handler_, ...)                 \
    METHOD_ROW_(face_, method_, permission_, max_parameters_, handler_, .stream = true, __VA_ARGS__)

/* `&handler_`: there is no address of NULL */
#define METHOD_ROW_(face_, method_, permission_, max_parameters_, handler_, ...)                   \
    static const struct method face_##_##method_ = {                                               \
        .name = NAME_OF_##face_##_##method_,                                                       \
        .access = METHOD_##permission_,                                                            \
        .max_parameters = (max_parameters_),                                                       \
        .handler = &handler_,                                                                      \
        __VA_ARGS__}

/** A member of a table: `const struct method *const table[] = {METHODS_OF_…(METHOD_ROW_OF)}`. */
#define METHOD_ROW_OF(face_, method_) &face_##_##method_,

/** A member of a table that has no generated list, for services in tests. */
#define METHOD_ROW(name_, access_, stream_, deadline_ms_, max_parameters_, handler_)               \
    &(const struct method) {                                                                       \
        .name = (name_), .access = (access_), .stream = (stream_), .deadline_ms = (deadline_ms_),  \
        .max_parameters = (max_parameters_), .handler = (handler_)                                 \
    }
