/* Shows a managed user to its agent and to people. */
#include "daemon/user_view.h"

#include "daemon/policy.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <string.h>

bool user_view_trust(
    const struct user_services *services, char ret_issuer_spki[SHA256_HEX_SIZE],
    char ret_root_spki[SHA256_HEX_SIZE], const char **ret_device_uuid) {
    uint8_t hash[SHA256_SIZE];
    X509 *root = NULL, *issuer = NULL;
    const char *device_uuid = NULL;

    if (!services->trust(&root, &issuer, &device_uuid, services->userdata) ||
        x509_cert_spki_sha256(issuer, hash) < 0)
        return false;
    hex_encode(hash, sizeof(hash), ret_issuer_spki);
    if (x509_cert_spki_sha256(root, hash) < 0)
        return false;
    hex_encode(hash, sizeof(hash), ret_root_spki);
    *ret_device_uuid = device_uuid;
    return true;
}

static bool agent_attached(const struct user *user) {
    const struct user_services *services = user->services;
    return services->agent_attached(user_uid(user), services->userdata);
}

/* Why there is nobody to talk to. */
static enum reason absence_reason(const struct user *user) {
    const struct user_services *services = user->services;
    return services->login(user_uid(user), services->userdata) == LOGIN_NO ? REASON_NOT_SIGNED_IN
                                                                           : REASON_NO_AGENT;
}

static enum reason account_reason(const struct user *user) {
    if (user->listed && user->account == ACCOUNT_MISSING)
        return REASON_USER_UNKNOWN;
    if (user->listed && user->account == ACCOUNT_REFUSED)
        return REASON_USER_REFUSED;
    if (user_account_changed(user))
        return REASON_USER_CHANGED;
    return user->blocked && user->listed ? REASON_USER_REFUSED : REASON_NONE;
}

static enum reason orders_reason(const struct user *user) {
    const struct desired_state *state = user->orders->state;
    if (user->record.held || user->orders->held)
        return REASON_HELD;
    if (!state)
        return REASON_NOT_ENROLLED;
    if (!state->enrolled)
        return REASON_DEVICE_REMOVED;
    if (state->distribution == DISTRIBUTION_PAUSED)
        return REASON_DISTRIBUTION_PAUSED;
    if (state->distribution == DISTRIBUTION_OFF)
        return REASON_DISTRIBUTION_OFF;
    return user->listed ? REASON_NONE : REASON_NOT_MANAGED;
}

static enum reason progress_reason(const struct user *user) {
    const struct user_record *record = &user->record;
    const struct user_services *services = user->services;
    int64_t now = clock_wall_s(services->clock), since;

    if (record->reason != REASON_NONE)
        return record->reason;
    if (record->state == USER_INSTALLED)
        return record->installed.not_after > 0 && record->installed.not_after < now ? REASON_EXPIRED
                                                                                    : REASON_NONE;
    if (!agent_attached(user))
        return absence_reason(user);
    if (record->state == USER_WAITING && record->due <= now) {
        if (rate_limit_wait(&record->rate, services->requests_per_hour, now) > 0)
            return REASON_RATE_LIMITED;
        if (!services->policy_ready(&since, services->userdata))
            return REASON_POLICY_DIRECTORY;
    }
    return REASON_NONE;
}

enum reason user_view_reason(const struct user *user) {
    if (user->problem != REASON_NONE)
        return user->problem;
    if (user->storage_retry_at > 0)
        return REASON_STORAGE;
    if (user->record.state == USER_REMOVING)
        return !agent_attached(user)                ? absence_reason(user)
               : user->record.reason != REASON_NONE ? user->record.reason
                                                    : orders_reason(user);
    enum reason reason = orders_reason(user);
    if (reason == REASON_NONE)
        reason = account_reason(user);
    if (reason == REASON_NONE)
        reason = progress_reason(user);
    /* all is well, but nothing new could be stored */
    if (reason == REASON_NONE && !user_store_is_writable(user->services->store))
        reason = REASON_STORAGE;
    return reason;
}

/* ---- for the agent ---- */

static const char *mode_of(const struct user *user) {
    if (!user || user->problem != REASON_NONE)
        return "idle";
    if (user->record.state == USER_REMOVING)
        return "remove";
    enum reason reason = orders_reason(user);
    if (reason == REASON_NONE)
        reason = account_reason(user);
    return reason != REASON_NONE || user->record.state == USER_ABSENT ? "idle" : "certificate";
}

static int add_settings(const struct user *user, bool removing, struct json_object *snapshot) {
    const struct user_record *record = &user->record;
    const struct desired_state *state = user->orders->state;
    char issuer_spki[SHA256_HEX_SIZE], root_spki[SHA256_HEX_SIZE];
    const char *device_uuid;
    struct json_object *settings CLEANUP_JSON = json_object_new_object();
    struct json_object *applications CLEANUP_JSON = json_object_new_array();
    int64_t firefox_since = user->services->firefox_since(user->services->userdata);

    if (!settings || !applications)
        return -1;
    /* what is removed is what was delivered, even if the device has been enrolled elsewhere since
     */
    if (removing && record->device_uuid[0]) {
        memcpy(issuer_spki, record->issuer_spki, sizeof(issuer_spki));
        memcpy(root_spki, record->root_spki, sizeof(root_spki));
        device_uuid = record->device_uuid;
    } else if (!user_view_trust(user->services, issuer_spki, root_spki, &device_uuid)) {
        return 0;
    }
    for (size_t i = 0; state && state->enrolled && i < state->trusted_application_count; i++) {
        struct json_object *text = json_object_new_string(state->trusted_applications[i]);
        if (!text || json_object_array_add(applications, text) < 0)
            return -1;
    }
    if (json_fields_add_string(settings, "issuer_spki_sha256", issuer_spki) < 0 ||
        json_fields_add_string(settings, "root_spki_sha256", root_spki) < 0 ||
        json_fields_add_string(settings, "device_uuid", device_uuid) < 0 ||
        json_fields_add_int(
            settings, "renew_after_s", state && state->enrolled ? state->renew_after_s : 0) < 0 ||
        json_fields_add(settings, "trusted_applications", TAKE_PTR(applications)) < 0 ||
        (firefox_since > 0 &&
         json_fields_add_int(settings, "firefox_policy_since", firefox_since) < 0))
        return -1;
    return json_fields_add(snapshot, "settings", TAKE_PTR(settings));
}

static int add_request(const struct user *user, struct json_object *snapshot) {
    const struct user_request *open = &user->record.request;
    enum user_state state = user->record.state;
    int64_t since = 0;

    if (state != USER_REQUESTED && state != USER_SIGNING && state != USER_DELIVERED)
        return 0;
    (void)user->services->policy_ready(&since, user->services->userdata);
    struct json_object *request CLEANUP_JSON = json_object_new_object();
    if (!request || json_fields_add_string(request, "id", open->id) < 0 ||
        json_fields_add_string(request, "subject_uid", user->record.id) < 0 ||
        json_fields_add_string(request, "key_type", key_type_name(open->key_type)) < 0 ||
        json_fields_add_string(request, "reason", request_reason_name(open->reason)) < 0 ||
        json_fields_add_int(request, "deadline", open->deadline) < 0 ||
        json_fields_add_int(
            request, "install_not_before", since > 0 ? since + POLICY_SETTLE_S : 0) < 0)
        return -1;
    return json_fields_add(snapshot, "request", TAKE_PTR(request));
}

static int add_expiry(const struct user *user, struct json_object *snapshot) {
    const struct user_services *services = user->services;
    const struct user_installed *installed = &user->record.installed;
    int64_t since = services->unreachable_since(services->userdata);
    int64_t left = installed->not_after - clock_wall_s(services->clock);

    if (since <= 0 || !installed->serial[0] || left > USER_VIEW_EXPIRY_S ||
        (installed->renew_at > 0 && left > (installed->not_after - installed->renew_at) / 2))
        return 0;
    struct json_object *expiry CLEANUP_JSON = json_object_new_object();
    if (!expiry || json_fields_add_int(expiry, "not_after", installed->not_after) < 0 ||
        json_fields_add_int(expiry, "unreachable_since", since) < 0)
        return -1;
    return json_fields_add(snapshot, "expiry", TAKE_PTR(expiry));
}

struct json_object *user_view_snapshot(const struct user *user) {
    struct json_object *snapshot CLEANUP_JSON = json_object_new_object();
    const char *mode = mode_of(user);
    bool removing = strcmp(mode, "remove") == 0, certificate = strcmp(mode, "certificate") == 0;

    if (!snapshot || json_fields_add_string(snapshot, "mode", mode) < 0 ||
        ((removing || certificate) && add_settings(user, removing, snapshot) < 0) ||
        (certificate && (add_request(user, snapshot) < 0 || add_expiry(user, snapshot) < 0)))
        return NULL;
    return TAKE_PTR(snapshot);
}

/* ---- for people ---- */

static int add_installed(const struct user_record *record, struct json_object *object) {
    const struct user_installed *installed = &record->installed;
    if (!installed->serial[0])
        return 0;
    int r = json_fields_add_string(object, "serial", installed->serial);
    if (r == 0)
        r = json_fields_add_int(object, "not_after", installed->not_after);
    if (r == 0 && installed->renew_at > 0)
        r = json_fields_add_int(object, "renew_at", installed->renew_at);
    return r;
}

static int add_open(const struct user_record *record, struct json_object *object) {
    bool open = record->state == USER_REQUESTED || record->state == USER_SIGNING ||
                record->state == USER_DELIVERED;
    bool waits = record->state == USER_WAITING || record->state == USER_SIGNING;
    int r = open ? json_fields_add_string(object, "request_id", record->request.id) : 0;
    if (r == 0 && waits && record->due > 0)
        r = json_fields_add_int(object, "retry_at", record->due);
    return r;
}

static int add_login(const struct user *user, struct json_object *object) {
    enum login login = user->services->login(user_uid(user), user->services->userdata);
    return login == LOGIN_UNKNOWN ? 0
                                  : json_fields_add_bool(object, "signed_in", login == LOGIN_YES);
}

struct json_object *user_view_status(const struct user *user) {
    const struct user_record *record = &user->record;
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    enum reason reason = user_view_reason(user);
    const char *name = user->listed ? user->listed_name : record->name;
    int64_t uid = user_uid(user);

    if (!object || json_fields_add_string(object, "id", record->id) < 0 ||
        json_fields_add_string(object, "name", name) < 0 ||
        (uid != USER_UID_NONE && json_fields_add_int(object, "uid", uid) < 0) ||
        json_fields_add_string(object, "state", user_state_name(record->state)) < 0 ||
        json_fields_add_bool(object, "agent_attached", agent_attached(user)) < 0 ||
        add_login(user, object) < 0 || add_installed(record, object) < 0 ||
        add_open(record, object) < 0 ||
        json_fields_add(
            object, "stores",
            record->stores ? json_object_get(record->stores) : json_object_new_array()) < 0)
        return NULL;
    if (reason != REASON_NONE &&
        (json_fields_add_string(object, "code", reason_code(reason)) < 0 ||
         json_fields_add_string(object, "text", reason_text(reason)) < 0 ||
         json_fields_add_string(object, "remedy", reason_remedy(reason)) < 0))
        return NULL;
    return TAKE_PTR(object);
}

struct json_object *user_view_machine(const struct user *user) {
    return user_record_to_json(&user->record);
}
