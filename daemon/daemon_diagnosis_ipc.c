/* io.devtrust.Device.Diagnose and Repair: whom they are about, and the way of the answer back to
 * the call. */
#include "daemon/daemon_methods.h"
#include "daemon/device_call.h"
#include "daemon/diagnosis.h"
#include "daemon/repair.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdlib.h>

/* Ends the call with {name: value}; owns `value`, NULL: memory ran out. */
static void reply(struct varlink_call *call, const char *name, struct json_object *value) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    int r = value ? json_fields_add(object, name, value) : -ENOMEM;
    if (r < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    varlink_call_reply(call, TAKE_PTR(object));
}

/* Whom a call is about, where everybody may ask for the device's part. */
struct audience {
    struct user **users;
    struct user *one;
    size_t count;
    bool is_stranger;
};

static void audience_deinit(struct audience *audience) {
    if (audience->users != &audience->one)
        free(audience->users);
}

/* The caller, who need not be managed. Root is nobody's user. */
static void find_caller(
    struct daemon *daemon, const struct varlink_call *call, struct audience *ret) {
    if (device_call_is_root(call))
        return;
    ret->one = users_find_by_uid(daemon->users, (int64_t)varlink_call_uid(call));
    ret->users = &ret->one;
    ret->count = ret->one ? 1 : 0;
    ret->is_stranger = !ret->one;
}

/* Returns 0, or a negative errno after the call has been answered. */
static int find_audience(
    struct daemon *daemon, struct varlink_call *call, const struct device_call_whom *whom,
    struct audience *ret) {
    if (whom->all)
        return device_call_all_users(daemon, call, &ret->users, &ret->count);
    if (!whom->user) {
        find_caller(daemon, call, ret);
        return 0;
    }
    ret->one = device_call_user(daemon, call, whom->user);
    ret->users = &ret->one;
    ret->count = 1;
    return ret->one ? 0 : -1;
}

/* ---- Diagnose ---- */

static void diagnose_cancelled(struct varlink_call *call __attribute__((unused)), void *userdata) {
    diagnosis_cancel(userdata);
}

static void diagnosed(struct json_object *checks, void *userdata) {
    reply(userdata, "checks", checks);
}

void daemon_device_diagnose(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct device_call_whom whom = {0};
    struct audience audience CLEANUP(audience_deinit) = {0};
    struct diagnosis *diagnosis = NULL;

    if (device_call_read_whom(call, &whom) < 0 || find_audience(daemon, call, &whom, &audience) < 0)
        return;
    const struct diagnosis_whom about = {
        .users = audience.users,
        .count = audience.count,
        .own_uid = (int64_t)varlink_call_uid(call),
        .is_stranger = audience.is_stranger,
    };
    if (diagnosis_begin(daemon, &about, diagnosed, call, &diagnosis) < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    varlink_call_on_cancel(call, diagnose_cancelled, diagnosis);
    diagnosis_settle(diagnosis);
}

/* ---- Repair ---- */

static void repair_cancelled(struct varlink_call *call __attribute__((unused)), void *userdata) {
    repair_cancel(userdata);
}

static void repaired(struct json_object *actions, void *userdata) {
    reply(userdata, "actions", actions);
}

void daemon_device_repair(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct device_call_whom whom = {0};
    struct audience audience CLEANUP(audience_deinit) = {0};
    struct repair *repair = NULL;

    if (device_call_read_whom(call, &whom) < 0)
        return;
    whom.all = device_call_is_root(call) && !whom.user; /* as Renew */
    if (find_audience(daemon, call, &whom, &audience) < 0)
        return;
    const struct repair_whom about = {
        .users = audience.users,
        .count = audience.count,
        .is_root = device_call_is_root(call),
        .is_stranger = audience.is_stranger,
        .own_uid = (int64_t)varlink_call_uid(call),
    };
    if (repair_begin(daemon, &about, repaired, call, &repair) < 0)
        return device_call_fail(call, REASON_NO_MEMORY);
    varlink_call_on_cancel(call, repair_cancelled, repair);
    repair_settle(repair);
}
