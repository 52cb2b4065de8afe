/* The members `enrolment` and `push` of io.devtrust.Device, from what the parts of the server link
 * know. */
#pragma once

#include "common/reason.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

/* As in ipc/io.devtrust.Device.varlink, type Enrolment. */
enum enrolment_state {
    ENROLMENT_NONE,
    ENROLMENT_ENROLLING,
    ENROLMENT_ENROLLED,
    ENROLMENT_CLONED,
    ENROLMENT_REMOVED,
    ENROLMENT_HELD,
};

struct enrolment_status {
    enum enrolment_state state;
    const char *url, *device_uuid; /* NULL: left out */
    int64_t not_after;             /* 0: left out */
    enum reason reason;            /* NONE: code, text and remedy are left out */
};

struct push_status {
    bool connected;
    int64_t last_event_s; /* 0: left out */
    enum reason reason;
};

/** The caller owns the result. Return 0 or -ENOMEM. */
int server_status_enrolment(const struct enrolment_status *status, struct json_object **ret);
int server_status_push(const struct push_status *status, struct json_object **ret);
