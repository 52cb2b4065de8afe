/* Reads the server's desired state: by table, bounded and clamped, all or nothing, so that no half
 * of a bad answer ever reaches the users' machines. */
#include "daemon/desired_state.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/random.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_EST_LABEL "user"
#define MAX_USER_ID 64
#define MAX_USER_NAME 32
#define MAX_ORGANISATION_CHARACTERS 64
#define MAX_PATTERN 256
#define MAX_LABEL 64
#define MAX_APPLICATIONS 32
#define MAX_APPLICATION 256
#define MAX_LIFETIME_S ((int64_t)10 * 366 * 24 * 3600)
#define RENEW_MIN_PERCENT 10
#define RENEW_MAX_PERCENT 80

#define ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static const char *const distribution_names[] = {
    [DISTRIBUTION_OFF] = "off",
    [DISTRIBUTION_PAUSED] = "paused",
    [DISTRIBUTION_ON] = "on",
};

/* The text as it stands; every pointer is borrowed from the JSON object. */
struct raw_head {
    const char *epoch;
    int64_t generation;
    bool enrolled;
};

struct raw_body {
    const char *organisation, *device, *distribution, *key_type, *est_label;
    int64_t splay_s, lifetime_s, renew_after_s;
    struct json_object *portal_patterns, *users, *trusted_applications;
};

struct raw_user {
    const char *id, *name;
    struct json_object *revoked;
};

static const struct json_field head_fields[] = {
    JSON_FIELD(struct raw_head, epoch, "epoch", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(struct raw_head, generation, "generation", JSON_FIELD_INT, true, 0, INT64_MAX),
    JSON_FIELD(struct raw_head, enrolled, "enrolled", JSON_FIELD_BOOL, true, 0, 0),
};

static const struct json_field body_fields[] = {
    JSON_FIELD(
        struct raw_body, organisation, "organisation", JSON_FIELD_STRING, true, 1,
        4 * MAX_ORGANISATION_CHARACTERS),
    JSON_FIELD(struct raw_body, device, "device", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(struct raw_body, distribution, "distribution", JSON_FIELD_STRING, true, 1, 16),
    JSON_FIELD(struct raw_body, key_type, "key_type", JSON_FIELD_STRING, true, 1, 64),
    JSON_FIELD(struct raw_body, est_label, "est_label", JSON_FIELD_STRING, false, 1, MAX_LABEL),
    JSON_FIELD(struct raw_body, splay_s, "splay_s", JSON_FIELD_INT, false, 0, INT64_MAX),
    JSON_FIELD(struct raw_body, lifetime_s, "lifetime_s", JSON_FIELD_INT, true, 1, INT64_MAX),
    JSON_FIELD(struct raw_body, renew_after_s, "renew_after_s", JSON_FIELD_INT, true, 0, INT64_MAX),
    JSON_FIELD(
        struct raw_body, portal_patterns, "portal_patterns", JSON_FIELD_ARRAY, false, 0,
        DESIRED_STATE_MAX_PATTERNS),
    JSON_FIELD(struct raw_body, users, "users", JSON_FIELD_ARRAY, true, 0, DESIRED_STATE_MAX_USERS),
    JSON_FIELD(
        struct raw_body, trusted_applications, "trusted_applications", JSON_FIELD_ARRAY, false, 0,
        MAX_APPLICATIONS),
};

static const struct json_field user_fields[] = {
    JSON_FIELD(struct raw_user, id, "id", JSON_FIELD_STRING, true, 1, MAX_USER_ID),
    JSON_FIELD(struct raw_user, name, "name", JSON_FIELD_STRING, true, 1, MAX_USER_NAME),
    JSON_FIELD(struct raw_user, revoked, "revoked", JSON_FIELD_ARRAY, false, 0, 0),
};

const char *distribution_name(enum distribution distribution) {
    return distribution_names[distribution];
}

static int distribution_from_name(const char *name, enum distribution *ret) {
    for (size_t i = 0; i < ARRAY_LENGTH(distribution_names); i++)
        if (strcmp(name, distribution_names[i]) == 0) {
            *ret = (enum distribution)i;
            return 0;
        }
    return -EINVAL;
}

static int64_t clamp(int64_t value, int64_t minimum, int64_t maximum) {
    if (value < minimum)
        return minimum;
    return value > maximum ? maximum : value;
}

static bool consists_of(const char *text, const char *characters) {
    return text[strspn(text, characters)] == '\0';
}

static bool is_printable(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
            return false;
    return true;
}

/* A local name is compared with the system's byte for byte; this keeps out only what can never be
 * one. */
static bool is_user_name(const char *name) {
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c <= ' ' || *c == 0x7f || *c == ':' || *c == '/' || *c == ',')
            return false;
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_organisation(const char *text) {
    size_t characters = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < ' ' || *c == 0x7f)
            return false;
        characters += (*c & 0xc0) != 0x80;
    }
    return characters <= MAX_ORGANISATION_CHARACTERS;
}

/* Copies an array of strings; -EINVAL for an element that is no printable string of at most
 * `maximum` bytes. */
static int copy_strings(
    struct json_object *array, size_t maximum, bool (*is_valid)(const char *), char ***ret,
    size_t *ret_count) {
    size_t count = array ? json_object_array_length(array) : 0;
    if (count == 0)
        return 0;
    char **strings = calloc(count, sizeof(*strings));
    if (!strings)
        return -ENOMEM;
    *ret = strings; /* owned by the state from here on, however far the copying gets */
    for (size_t i = 0; i < count; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        if (!json_object_is_type(item, json_type_string))
            return -EINVAL;
        const char *text = json_object_get_string(item);
        size_t size = (size_t)json_object_get_string_len(item);
        if (size == 0 || size > maximum || !is_valid(text))
            return -EINVAL;
        strings[i] = strdup(text);
        if (!strings[i])
            return -ENOMEM;
        *ret_count = i + 1;
    }
    return 0;
}

/* Two assignments of one local account, or one server user twice, have no meaning that could be
 * served. */
static bool is_assigned(const struct desired_state *state, const struct raw_user *user) {
    for (size_t i = 0; i < state->user_count; i++)
        if (strcmp(state->users[i].id, user->id) == 0 ||
            strcmp(state->users[i].name, user->name) == 0)
            return true;
    return false;
}

static int copy_revoked(struct json_object *array, struct desired_user *user) {
    size_t count = array ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < count && i < DESIRED_STATE_MAX_REVOKED; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        const char *serial =
            json_object_is_type(item, json_type_string) ? json_object_get_string(item) : "";
        size_t size = strlen(serial);
        if (size == 0 || size >= X509_SERIAL_HEX_SIZE || !consists_of(serial, "0123456789abcdef"))
            return -EINVAL;
        memcpy(user->revoked[user->revoked_count++], serial, size + 1);
    }
    return 0;
}

static int copy_users(struct json_object *array, struct desired_state *state) {
    size_t count = json_object_array_length(array);
    state->user_count = 0;
    if (count == 0)
        return 0;
    state->users = calloc(count, sizeof(*state->users));
    if (!state->users)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        struct raw_user raw = {0};
        if (!json_object_is_type(item, json_type_object) ||
            json_fields_read(item, user_fields, ARRAY_LENGTH(user_fields), &raw, NULL) < 0 ||
            !consists_of(raw.id, ID_CHARACTERS "@") || !is_user_name(raw.name) ||
            is_assigned(state, &raw))
            return -EINVAL;
        struct desired_user user = {0};
        if (copy_revoked(raw.revoked, &user) < 0)
            return -EINVAL;
        user.id = strdup(raw.id);
        user.name = strdup(raw.name);
        if (!user.id || !user.name) {
            free(user.id);
            free(user.name);
            return -ENOMEM;
        }
        state->users[state->user_count++] = user;
    }
    return 0;
}

static int copy_texts(const struct raw_body *raw, struct desired_state *state) {
    state->organisation = strdup(raw->organisation);
    state->device = strdup(raw->device);
    state->est_label = strdup(raw->est_label);
    return state->organisation && state->device && state->est_label ? 0 : -ENOMEM;
}

static void take_numbers(const struct raw_body *raw, struct desired_state *state) {
    state->splay_s = clamp(raw->splay_s, 0, DESIRED_STATE_MAX_SPLAY_S);
    state->lifetime_s = clamp(raw->lifetime_s, 1, MAX_LIFETIME_S);
    state->renew_after_s = clamp(
        raw->renew_after_s, state->lifetime_s * RENEW_MIN_PERCENT / 100,
        state->lifetime_s * RENEW_MAX_PERCENT / 100);
    state->key_type_known = key_type_from_name(raw->key_type, &state->key_type) == 0;
}

static int fail_field(const char *field, int error, const char **ret_field) {
    if (error == -EINVAL && ret_field)
        *ret_field = field;
    return error;
}

static int parse_body(
    struct json_object *object, struct desired_state *state, const char **ret_field) {
    struct raw_body raw = {.est_label = DEFAULT_EST_LABEL};
    const char *field = NULL;
    if (json_fields_read(object, body_fields, ARRAY_LENGTH(body_fields), &raw, &field) < 0)
        return fail_field(field, -EINVAL, ret_field);
    if (!is_organisation(raw.organisation))
        return fail_field("organisation", -EINVAL, ret_field);
    if (!random_uuid_is_valid(raw.device))
        return fail_field("device", -EINVAL, ret_field);
    if (distribution_from_name(raw.distribution, &state->distribution) < 0)
        return fail_field("distribution", -EINVAL, ret_field);
    if (!consists_of(raw.est_label, ID_CHARACTERS) || raw.est_label[0] == '.')
        return fail_field("est_label", -EINVAL, ret_field);
    take_numbers(&raw, state);
    int r = copy_texts(&raw, state);
    if (r < 0)
        return r;
    r = copy_strings(
        raw.portal_patterns, MAX_PATTERN, is_printable, &state->portal_patterns,
        &state->portal_pattern_count);
    if (r < 0)
        return fail_field("portal_patterns", r, ret_field);
    r = copy_users(raw.users, state);
    if (r < 0)
        return fail_field("users", r, ret_field);
    r = copy_strings(
        raw.trusted_applications, MAX_APPLICATION, is_printable, &state->trusted_applications,
        &state->trusted_application_count);
    return fail_field("trusted_applications", r, ret_field);
}

DEFINE_CLEANUP(struct desired_state *, desired_state_free);

int desired_state_parse(
    const char *text, size_t size, struct desired_state **ret, const char **ret_field) {
    if (size > DESIRED_STATE_MAX_SIZE)
        return -EBADMSG;
    CLEANUP_JSON struct json_object *object = NULL;
    int r = json_gate_parse(text, size, &object);
    if (r < 0)
        return r;
    if (!json_object_is_type(object, json_type_object))
        return -EBADMSG;

    struct raw_head head = {0};
    const char *field = NULL;
    if (json_fields_read(object, head_fields, ARRAY_LENGTH(head_fields), &head, &field) < 0)
        return fail_field(field, -EINVAL, ret_field);
    if (!random_uuid_is_valid(head.epoch))
        return fail_field("epoch", -EINVAL, ret_field);

    CLEANUP(desired_state_free_ptr)
    struct desired_state *state = calloc(1, sizeof(*state));
    if (!state)
        return -ENOMEM;
    memcpy(state->epoch, head.epoch, sizeof(state->epoch));
    state->generation = head.generation;
    state->enrolled = head.enrolled;
    if (state->enrolled) {
        r = parse_body(object, state, ret_field);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(state);
    return 0;
}

static void free_strings(char **strings, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
    free(strings);
}

struct desired_state *desired_state_free(struct desired_state *state) {
    if (!state)
        return NULL;
    for (size_t i = 0; i < state->user_count; i++) {
        free(state->users[i].id);
        free(state->users[i].name);
    }
    free(state->users);
    free_strings(state->portal_patterns, state->portal_pattern_count);
    free_strings(state->trusted_applications, state->trusted_application_count);
    free(state->organisation);
    free(state->device);
    free(state->est_label);
    free(state);
    return NULL;
}

bool desired_state_is_newer(const struct desired_state *current, const struct desired_state *next) {
    return !current || strcmp(current->epoch, next->epoch) != 0 ||
           next->generation >= current->generation;
}
