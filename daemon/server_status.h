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

/** All that a diagnosis judges of the link, as it is at one moment. Strings and states are borrowed
 * until the loop goes on. */
struct server_facts {
    enum enrolment_state state;
    enum reason reason;            /* as in the status: why not enrolled, or what hinders */
    const char *url, *device_uuid; /* NULL: none */
    bool has_pin;                  /* else the system's CAs decide */
    int64_t now;                   /* seconds since 1970, as all that follow */
    int64_t not_before, not_after, renew_at; /* of the device certificate; 0: there is none */
    enum reason renewal_reason;              /* of the last attempt */

    bool push_used, push_connected;
    enum reason push_reason;
    int64_t push_silent_ms; /* since the last line; -1: none has come */
    int64_t push_ping_s;

    const struct desired_state *current; /* NULL: none was taken */
    enum reason sync_reason;             /* of the last fetch */
};

struct server_link;
void server_status_facts(struct server_link *link, struct server_facts *ret);

/** The caller owns the result. Return 0 or -ENOMEM. */
int server_status_enrolment(const struct enrolment_status *status, struct json_object **ret);
int server_status_push(const struct push_status *status, struct json_object **ret);
