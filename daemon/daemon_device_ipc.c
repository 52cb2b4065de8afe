/* io.devtrust.Device: for people and tools. */
#include "daemon/daemon_methods.h"
#include "daemon/device_call.h"
#include "daemon/user_calls.h"
#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/version.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 512

/* ---- GetStatus ---- */

static struct json_object *desired_to_json(const struct desired_state *state) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    if (!object || !state)
        return TAKE_PTR(object);
    if (json_fields_add_string(object, "epoch", state->epoch) < 0 ||
        json_fields_add_int(object, "generation", state->generation) < 0)
        return NULL;
    if (state->enrolled &&
        (json_fields_add_string(object, "distribution", distribution_name(state->distribution)) <
             0 ||
         json_fields_add_string(object, "organisation", state->organisation) < 0))
        return NULL;
    return TAKE_PTR(object);
}

/* While distribution is off, and all is removed, nobody is managed: then a user sees no entry, root
 * why. */
static bool may_see(const struct varlink_call *call, const struct user *user) {
    if (device_call_is_root(call))
        return true;
    return user_serves(user, (int64_t)varlink_call_uid(call)) &&
           !(user->record.state == USER_ABSENT &&
             user_view_reason(user) == REASON_DISTRIBUTION_OFF);
}

static int add_agent_version(
    const struct daemon *daemon, const struct user *user, struct json_object *object) {
    return json_fields_add_string(
        object, "agent_version", agents_version(daemon->agents, user_uid(user)));
}

static struct json_object *users_to_json(struct daemon *daemon, const struct varlink_call *call) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    for (size_t i = 0; array && i < users_count(daemon->users); i++) {
        struct user *user = users_get(daemon->users, i);
        if (!may_see(call, user))
            continue;
        struct json_object *object = user_view_status(user);
        if (!object || add_agent_version(daemon, user, object) < 0 ||
            json_object_array_add(array, object) < 0) {
            json_object_put(object);
            return NULL;
        }
    }
    return TAKE_PTR(array);
}

void daemon_device_get_status(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct json_object *enrolment = NULL, *push = NULL;
    struct json_object *reply CLEANUP_JSON = json_object_new_object();

    if (server_link_status(daemon->link, &enrolment, &push) < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    int r = json_fields_add(reply, "enrolment", enrolment);
    if (json_fields_add(reply, "push", push) < 0)
        r = -ENOMEM;
    if (r < 0 || json_fields_add_string(reply, "version", DEVTRUST_VERSION) < 0 ||
        json_fields_add_int(reply, "now", clock_wall_s(&clock_system)) < 0 ||
        json_fields_add(reply, "desired", desired_to_json(server_link_state(daemon->link))) < 0 ||
        json_fields_add(reply, "policies", policy_status(daemon->policy)) < 0 ||
        json_fields_add(reply, "users", users_to_json(daemon, call)) < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    varlink_call_reply(call, TAKE_PTR(reply));
}

/* ---- GetCertificates ---- */

static enum reason missing_reason(const struct inspected_user *one) {
    switch (one->outcome) {
    case INSPECTION_NO_AGENT:
        return REASON_NO_AGENT;
    case INSPECTION_NOTHING:
        return REASON_NO_CERTIFICATE;
    case INSPECTION_TIMEOUT:
        return REASON_AGENT_TIMEOUT;
    default:
        return REASON_NONE;
    }
}

static struct json_object *missing_to_json(const struct inspection *inspection) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    for (size_t i = 0; array && i < inspection_count(inspection); i++) {
        const struct inspected_user *one = inspection_get(inspection, i);
        enum reason reason = missing_reason(one);
        if (reason == REASON_NONE)
            continue;
        struct json_object *object CLEANUP_JSON = json_object_new_object();
        if (!object || json_fields_add_string(object, "user", one->owner.name) < 0 ||
            json_fields_add_string(object, "code", reason_code(reason)) < 0 ||
            json_object_array_add(array, object) < 0)
            return NULL;
        object = NULL;
    }
    return TAKE_PTR(array);
}

struct certificates_call {
    struct varlink_call *call;
    struct inspection *inspection;
};

static void certificates_cancelled(
    struct varlink_call *call __attribute__((unused)), void *userdata) {
    struct certificates_call *state = userdata;
    inspection_end(state->inspection);
    free(state);
}

static void certificates_inspected(struct inspection *inspection, void *userdata) {
    struct certificates_call *state = userdata;
    struct varlink_call *call = state->call;
    struct json_object *reply CLEANUP_JSON = json_object_new_object();
    struct json_object *missing = missing_to_json(inspection);

    free(state);
    int r = json_fields_add(reply, "missing", missing);
    if (json_fields_add(
            reply, "certificates", json_object_get(inspection_certificates(inspection))) < 0)
        r = -ENOMEM;
    inspection_end(inspection);
    if (r < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    varlink_call_reply(call, TAKE_PTR(reply));
}

static void inspect(
    struct daemon *daemon, struct varlink_call *call, struct user *const *users, size_t count) {
    struct certificates_call *state = calloc(1, sizeof(*state));
    if (!state)
        return device_call_fail(call, REASON_NO_MEMORY);
    state->call = call;
    if (inspections_begin(
            daemon->inspections, users, count, AGENT_INSPECT_CERTIFICATES, certificates_inspected,
            state, &state->inspection) < 0) {
        free(state);
        return device_call_fail(call, REASON_NO_MEMORY);
    }
    varlink_call_on_cancel(call, certificates_cancelled, state);
    if (!inspection_is_open(state->inspection))
        certificates_inspected(state->inspection, state);
}

void daemon_device_get_certificates(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct device_call_whom whom = {0};
    struct user **list CLEANUP_FREE = NULL;
    size_t count = 0;

    if (device_call_read_whom(call, &whom) < 0)
        return;
    if (!whom.all) {
        struct user *user = device_call_user(daemon, call, whom.user);
        if (user)
            inspect(daemon, call, &user, 1);
        return;
    }
    if (device_call_all_users(daemon, call, &list, &count) == 0)
        inspect(daemon, call, list, count);
}

/* ---- Enroll ---- */

struct enroll_fields {
    const char *url, *token, *ca_pin;
};

static const struct json_field enroll_table[] = {
    JSON_FIELD(struct enroll_fields, url, "url", JSON_FIELD_STRING, true, 1, 1024),
    JSON_FIELD(struct enroll_fields, token, "token", JSON_FIELD_STRING, true, 1, TOKEN_MAX),
    JSON_FIELD(struct enroll_fields, ca_pin, "ca_pin", JSON_FIELD_STRING, false, 64, 64),
};

/* One enrolment at a time waits for its answer; it may outlive its call. */
static void enroll_cancelled(struct varlink_call *call __attribute__((unused)), void *userdata) {
    struct daemon *daemon = userdata;
    daemon->enroll_call = NULL;
}

static void enrolled(enum reason reason, const char *device_uuid, void *userdata) {
    struct daemon *daemon = userdata;
    struct varlink_call *call = TAKE_PTR(daemon->enroll_call);

    if (call && reason != REASON_NONE) {
        device_call_fail(call, reason);
    } else if (call) {
        struct json_object *reply = json_object_new_object();
        (void)json_fields_add_string(reply, "device_uuid", device_uuid);
        varlink_call_reply(call, reply);
    }
}

/* The token leaves the message as a secret, and no copy of it stays in the message. */
static int take_token(const char *text, struct secret **ret) {
    size_t length = strlen(text);
    int r = secret_new(length, ret);
    if (r == 0)
        memcpy(secret_data(*ret), text, length);
    OPENSSL_cleanse((char *)(uintptr_t)text, length);
    return r;
}

void daemon_device_enroll(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct enroll_fields fields = {0};
    struct secret *token = NULL;

    if (varlink_call_read_parameters(call, enroll_table, ARRAY_LENGTH(enroll_table), &fields) < 0)
        return;
    int r = take_token(fields.token, &token);
    if (r < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    r = server_link_enroll(daemon->link, fields.url, token, fields.ca_pin, enrolled, daemon);
    if (r == 0) { /* the answer comes from the loop */
        daemon->enroll_call = call;
        varlink_call_on_cancel(call, enroll_cancelled, daemon);
        return;
    }
    if (r == -EINVAL)
        return varlink_call_invalid_parameter(call, "url");
    device_call_fail(call, r == -EBUSY ? REASON_BUSY : REASON_STORAGE);
}

/* ---- Renew ---- */

static int add_id(struct json_object *ids, const char *id) {
    struct json_object *text = json_object_new_string(id);
    if (text && json_object_array_add(ids, text) == 0)
        return 0;
    json_object_put(text);
    return -ENOMEM;
}

static void reply_ids(struct varlink_call *call, struct json_object *ids) {
    struct json_object *reply = json_object_new_object();
    (void)json_fields_add(reply, "request_ids", json_object_get(ids));
    varlink_call_reply(call, reply);
}

static enum reason answer_reason(const struct user_answer *answer) {
    if (answer->kind == ANSWER_TOO_SOON)
        return REASON_RATE_LIMITED;
    return answer->reason != REASON_NONE ? answer->reason : REASON_BUSY;
}

/* Asks for one user's renewal. A user without an agent is not asked: nobody could answer. */
static enum reason renew_user(struct daemon *daemon, struct user *user, struct json_object *ids) {
    struct user_answer answer = {.reason = REASON_NONE};
    const char *id = NULL;

    if (user->record.state == USER_REMOVING)
        return REASON_NOT_MANAGED;
    if (user_is_wanted(user) && !agents_is_attached(daemon->agents, user_uid(user)))
        return REASON_NO_AGENT;
    int r = user_renew(user, REQUEST_USER, &id, &answer);
    if (r < 0)
        return REASON_STORAGE;
    if (r == 0)
        return answer_reason(&answer);
    return add_id(ids, id) < 0 ? REASON_NO_MEMORY : REASON_NONE;
}

static void renew_all(struct daemon *daemon, struct varlink_call *call) {
    struct json_object *ids CLEANUP_JSON = json_object_new_array();
    int r = server_link_hold(daemon->link, false);
    if (r == -ENOTCONN)
        return device_call_fail(call, REASON_NOT_ENROLLED);
    if (r < 0 || !ids)
        return device_call_fail(call, REASON_STORAGE);
    daemon_refresh_hold(daemon);
    for (size_t i = 0; i < users_count(daemon->users); i++) {
        struct user *user = users_get(daemon->users, i);
        if (user_hold(user, false) < 0)
            continue;
        (void)renew_user(daemon, user, ids); /* why not is in the status of each */
    }
    reply_ids(call, ids);
}

void daemon_device_renew(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct device_call_whom whom = {0};
    struct json_object *ids CLEANUP_JSON = json_object_new_array();

    if (device_call_read_whom(call, &whom) < 0)
        return;
    if (device_call_is_root(call) && !whom.user)
        return renew_all(daemon, call);
    struct user *user = device_call_user(daemon, call, whom.user);
    if (!user)
        return;
    bool was_held = user->record.held;
    if (was_held && device_call_is_root(call) && user_hold(user, false) < 0)
        return device_call_fail(call, REASON_STORAGE);
    enum reason reason = renew_user(daemon, user, ids);
    /* an ended hold is an answer, even if the request comes only after the removal */
    if (reason != REASON_NONE && !(was_held && device_call_is_root(call)))
        return device_call_fail(call, reason);
    reply_ids(call, ids);
}

/* ---- Remove ---- */

void daemon_device_remove(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct device_call_whom whom = {0};

    if (device_call_read_whom(call, &whom) < 0)
        return;
    if (whom.user) {
        struct user *user = device_call_user(daemon, call, whom.user);
        if (!user)
            return;
        int r = user_hold(user, true);
        if (r < 0)
            return device_call_fail(call, r == -EPROTO ? REASON_NEWER_STATE : REASON_STORAGE);
        return varlink_call_reply(call, NULL);
    }
    int r = server_link_hold(daemon->link, true);
    if (r == -ENOTCONN)
        return device_call_fail(call, REASON_NOT_ENROLLED);
    if (r < 0)
        return device_call_fail(call, REASON_STORAGE);
    log_event(
        LOG_LEVEL_NOTICE, MSG_USER_STATE, "Local root removes everything and holds it so",
        LOG_NUMBER("PEER_UID", varlink_call_uid(call)));
    daemon_refresh_hold(daemon);
    varlink_call_reply(call, NULL);
}
