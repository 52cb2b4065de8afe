/* `status`: what the daemon knows, in plain words, with what to do next. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/table.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define LABEL 14 /* columns of the labels on the left */

/* ---- the answer of GetStatus as structs; strings are borrowed from the JSON ---- */

struct trouble {
    const char *code, *text, *remedy; /* NULL: none */
};

struct enrolment {
    const char *state, *url, *device_uuid;
    int64_t not_after;
    struct trouble trouble;
};

struct push {
    bool connected;
    int64_t last_event_s;
    struct trouble trouble;
};

struct desired {
    const char *distribution, *organisation;
    int64_t generation;
};

struct policy {
    const char *family, *path;
    bool installed;
    struct trouble trouble;
};

struct user {
    const char *id, *name, *state, *serial;
    bool agent_attached;
    int64_t not_after, renew_at, retry_at;
    struct json_object *stores;
    struct trouble trouble;
};

struct status {
    const char *version;
    int64_t now;
    struct json_object *enrolment_object, *push_object, *desired_object, *policies, *users;
    struct enrolment enrolment;
    struct push push;
    struct desired desired;
};

#define STRING(struct_, member_, required_)                                                        \
    JSON_FIELD(struct struct_, member_, #member_, JSON_FIELD_STRING, required_, 0, 4096)
#define INT(struct_, member_)                                                                      \
    JSON_FIELD(struct struct_, member_, #member_, JSON_FIELD_INT, false, 0, 0)
#define BOOL(struct_, member_)                                                                     \
    JSON_FIELD(struct struct_, member_, #member_, JSON_FIELD_BOOL, true, 0, 0)
#define TROUBLE(struct_)                                                                           \
    JSON_FIELD(struct struct_, trouble.code, "code", JSON_FIELD_STRING, false, 0, 0),              \
        JSON_FIELD(struct struct_, trouble.text, "text", JSON_FIELD_STRING, false, 0, 0),          \
        JSON_FIELD(struct struct_, trouble.remedy, "remedy", JSON_FIELD_STRING, false, 0, 0)

static const struct json_field status_table[] = {
    STRING(status, version, true),
    JSON_FIELD(struct status, now, "now", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct status, enrolment_object, "enrolment", JSON_FIELD_OBJECT, true, 0, 0),
    JSON_FIELD(struct status, push_object, "push", JSON_FIELD_OBJECT, true, 0, 0),
    JSON_FIELD(struct status, desired_object, "desired", JSON_FIELD_OBJECT, true, 0, 0),
    JSON_FIELD(struct status, policies, "policies", JSON_FIELD_ARRAY, true, 0, 64),
    JSON_FIELD(struct status, users, "users", JSON_FIELD_ARRAY, true, 0, 4096),
};

static const struct json_field enrolment_table[] = {
    STRING(enrolment, state, true),
    STRING(enrolment, url, false),
    STRING(enrolment, device_uuid, false),
    INT(enrolment, not_after),
    TROUBLE(enrolment),
};

static const struct json_field push_table[] = {
    BOOL(push, connected),
    INT(push, last_event_s),
    TROUBLE(push),
};

static const struct json_field desired_table[] = {
    STRING(desired, distribution, false),
    STRING(desired, organisation, false),
    INT(desired, generation),
};

static const struct json_field policy_table[] = {
    STRING(policy, family, true),
    STRING(policy, path, true),
    BOOL(policy, installed),
    TROUBLE(policy),
};

static const struct json_field user_table[] = {
    STRING(user, id, true),
    STRING(user, name, true),
    STRING(user, state, true),
    STRING(user, serial, false),
    BOOL(user, agent_attached),
    INT(user, not_after),
    INT(user, renew_at),
    INT(user, retry_at),
    JSON_FIELD(struct user, stores, "stores", JSON_FIELD_ARRAY, true, 0, 0),
    TROUBLE(user),
};

#define READ(object_, table_, ret_)                                                                \
    json_fields_read((object_), (table_), ARRAY_LENGTH(table_), (ret_), NULL)

static int status_read(struct json_object *answer, struct status *ret) {
    int r = READ(answer, status_table, ret);
    if (r == 0)
        r = READ(ret->enrolment_object, enrolment_table, &ret->enrolment);
    if (r == 0)
        r = READ(ret->push_object, push_table, &ret->push);
    if (r == 0)
        r = READ(ret->desired_object, desired_table, &ret->desired);
    return r;
}

/* NULL when memory is out or a user is not as the interface says. */
static struct user *users_read(const struct status *status, size_t *ret_count) {
    size_t count = json_object_array_length(status->users);
    struct user CLEANUP_FREE *users = calloc(count + 1, sizeof *users);
    if (!users)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct json_object *user = json_object_array_get_idx(status->users, i);
        if (!json_object_is_type(user, json_type_object) || READ(user, user_table, &users[i]) < 0)
            return NULL;
    }
    *ret_count = count;
    return TAKE_PTR(users);
}

/* ---- words ---- */

struct word {
    const char *state, *word;
    enum text_colour colour;
};

static const struct word enrolment_words[] = {
    {"none", "not enrolled", TEXT_BAD},
    {"enrolling", "being enrolled", TEXT_WARN},
    {"enrolled", "enrolled", TEXT_GOOD},
    {"cloned", "a copy of another machine; its identity is not used", TEXT_BAD},
    {"removed", "removed by the server", TEXT_BAD},
    {"held", "removed by the local administrator", TEXT_WARN},
};

static const struct word distribution_words[] = {
    {"on", "on", TEXT_GOOD},
    {"paused", "paused: this device counts as unmanaged, nothing is changed", TEXT_WARN},
    {"off", "off: this device is unmanaged", TEXT_BAD},
};

static const struct word user_words[] = {
    {"absent", "no certificate", TEXT_BAD},
    {"waiting", "waiting", TEXT_WARN},
    {"requested", "requested of the agent", TEXT_WARN},
    {"signing", "at the server", TEXT_WARN},
    {"delivered", "being installed", TEXT_WARN},
    {"installed", "installed", TEXT_GOOD},
    {"refused", "refused", TEXT_BAD},
    {"removing", "being removed", TEXT_WARN},
};

/* A newer daemon's state stands for itself. */
static struct word word_for(const struct word *words, size_t count, const char *state) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i].state, state) == 0)
            return words[i];
    return (struct word){state, state, TEXT_PLAIN};
}
#define WORD(words_, state_) word_for((words_), ARRAY_LENGTH(words_), (state_))

static bool is_enrolled(const struct status *status) {
    return strcmp(status->enrolment.state, "enrolled") == 0;
}

static bool has_certificate(const struct user *user, int64_t now) {
    return user->serial && user->not_after > now;
}

static bool trouble_is_set(const struct trouble *trouble) {
    return trouble->code && reason_from_code(trouble->code) != REASON_NONE;
}

/* ---- exit status ---- */

/* In a status, "the server refuses" is the one thing worse than "no". */
static int trouble_exit(const struct trouble *trouble) {
    return reason_exit_status(reason_from_code(trouble->code)) == CTL_REFUSED ? CTL_REFUSED
                                                                              : CTL_NO;
}

static int status_exit(const struct status *status, const struct user *users, size_t count) {
    if (!is_enrolled(status) || trouble_exit(&status->enrolment.trouble) == CTL_REFUSED)
        return trouble_exit(&status->enrolment.trouble);
    if (status->desired.distribution && strcmp(status->desired.distribution, "on") != 0)
        return CTL_NO;
    int result = count > 0 ? CTL_GOOD : CTL_NO;
    for (size_t i = 0; i < count; i++) {
        /* whatever else is wrong, a valid certificate is the answer "yes": offline is no failure */
        int one =
            has_certificate(&users[i], status->now) ? CTL_GOOD : trouble_exit(&users[i].trouble);
        if (one > result)
            result = one;
    }
    return result;
}

/* ---- for people ---- */

static void line(
    const struct ctl *ctl, const char *label, const char *text, enum text_colour colour) {
    text_paragraph(ctl, ctl->out, label, LABEL, text, colour);
}

/* The sentence, its code for the manual, and what to do. */
static void trouble_print(const struct ctl *ctl, const char *label, const struct trouble *trouble) {
    if (!trouble_is_set(trouble))
        return;
    enum reason reason = reason_from_code(trouble->code);
    const char *remedy = trouble->remedy ? trouble->remedy : reason_remedy(reason);
    char text[TEXT_SAFE_SIZE];
    snprintf(
        text, sizeof text, "%s [%s]", trouble->text ? trouble->text : reason_text(reason),
        trouble->code);
    line(ctl, label, text, TEXT_BAD);
    if (*remedy)
        line(ctl, "", remedy, TEXT_PLAIN);
}

static void enrolment_print(const struct ctl *ctl, const struct status *status) {
    const struct enrolment *enrolment = &status->enrolment;
    struct word word = WORD(enrolment_words, enrolment->state);
    char when[2 * TEXT_TIME_SIZE];
    line(ctl, "Device", word.word, word.colour);
    if (enrolment->device_uuid)
        line(ctl, "", enrolment->device_uuid, TEXT_PLAIN);
    if (enrolment->not_after > 0) {
        bool expired = enrolment->not_after <= status->now;
        line(ctl, "Identity", expired ? "expired" : "valid", expired ? TEXT_BAD : TEXT_GOOD);
        line(
            ctl, "  until", text_time_and_distance(enrolment->not_after, status->now, when),
            TEXT_PLAIN);
    }
    if (trouble_is_set(&enrolment->trouble) &&
        reason_from_code(enrolment->trouble.code) == REASON_NOT_ENROLLED)
        line(ctl, "", reason_remedy(REASON_NOT_ENROLLED), TEXT_PLAIN); /* the rest was just said */
    else
        trouble_print(ctl, "", &enrolment->trouble);
}

static void push_print(const struct ctl *ctl, const struct status *status) {
    char when[TEXT_TIME_SIZE], text[TEXT_TIME_SIZE + 32];
    if (!status->enrolment.url)
        return;
    line(ctl, "Server", status->enrolment.url, TEXT_PLAIN);
    line(
        ctl, "", status->push.connected ? "connected" : "not connected; certificates stay good",
        status->push.connected ? TEXT_GOOD : TEXT_WARN);
    if (status->push.last_event_s > 0) {
        snprintf(
            text, sizeof text, "last event %s",
            text_distance(status->push.last_event_s, status->now, when));
        line(ctl, "", text, TEXT_PLAIN);
    }
    trouble_print(ctl, "", &status->push.trouble);
}

static void desired_print(const struct ctl *ctl, const struct status *status) {
    const struct desired *desired = &status->desired;
    if (desired->organisation)
        line(ctl, "Organisation", desired->organisation, TEXT_PLAIN);
    if (!desired->distribution)
        return;
    struct word word = WORD(distribution_words, desired->distribution);
    line(ctl, "Distribution", word.word, word.colour);
}

static void policies_print(const struct ctl *ctl, const struct status *status) {
    size_t count = json_object_array_length(status->policies), printed = 0;
    for (size_t i = 0; i < count; i++) {
        struct policy policy = {0};
        struct json_object *object = json_object_array_get_idx(status->policies, i);
        if (!json_object_is_type(object, json_type_object) ||
            READ(object, policy_table, &policy) < 0)
            continue;
        if (!policy.installed && !is_enrolled(status) && !trouble_is_set(&policy.trouble))
            continue; /* nothing is there, and nothing should be */
        char text[TEXT_SAFE_SIZE];
        snprintf(
            text, sizeof text, "%s: %s", policy.family,
            policy.installed ? "installed" : "not installed");
        line(
            ctl, printed++ == 0 ? "Browsers" : "", text, policy.installed ? TEXT_GOOD : TEXT_PLAIN);
        line(ctl, "", policy.path, TEXT_PLAIN);
        trouble_print(ctl, "", &policy.trouble);
    }
}

struct user_texts {
    char serial[16], expires[2 * TEXT_TIME_SIZE], renews[TEXT_TIME_SIZE];
};

static void user_row(
    const struct user *user, int64_t now, struct user_texts *texts, struct table_row *ret) {
    struct word word = WORD(user_words, user->state);
    bool valid = has_certificate(user, now);
    snprintf(texts->serial, sizeof texts->serial, "%.8s", user->serial ? user->serial : "-");
    snprintf(texts->expires, sizeof texts->expires, "-");
    snprintf(texts->renews, sizeof texts->renews, "-");
    if (user->serial && user->not_after > 0)
        text_time_and_distance(user->not_after, now, texts->expires);
    if (user->serial && user->renew_at > 0)
        text_distance(user->renew_at, now, texts->renews);
    *ret = (struct table_row){{
        {user->name, TEXT_PLAIN},
        {word.word, word.colour},
        {texts->serial, TEXT_PLAIN},
        {texts->expires, valid || !user->serial ? TEXT_PLAIN : TEXT_BAD},
        {texts->renews, TEXT_PLAIN},
    }};
}

static void store_print(const struct ctl *ctl, const char *label, struct json_object *object) {
    struct store {
        const char *kind, *path, *code;
        bool ok;
    } store = {0};
    static const struct json_field table[] = {
        STRING(store, kind, true),
        STRING(store, path, true),
        STRING(store, code, false),
        BOOL(store, ok),
    };
    if (!json_object_is_type(object, json_type_object) || READ(object, table, &store) < 0 ||
        store.ok)
        return;
    enum reason reason = reason_from_code(store.code ? store.code : "store-error");
    line(ctl, label, store.path, TEXT_WARN);
    line(ctl, "", reason_text(reason), TEXT_BAD);
    line(ctl, "", reason_remedy(reason), TEXT_PLAIN);
}

/* Only what needs a word: trouble, an agent that is away, a store that is not well, a retry. */
static void user_details(const struct ctl *ctl, const struct user *user, int64_t now) {
    bool absent = strcmp(user->state, "absent") == 0;
    bool away = !user->agent_attached && !absent && !trouble_is_set(&user->trouble);
    struct trouble no_agent = {.code = reason_code(REASON_NO_AGENT)};
    char when[TEXT_TIME_SIZE], text[TEXT_TIME_SIZE + 32];
    trouble_print(ctl, user->name, away ? &no_agent : &user->trouble);
    if (user->retry_at > now) {
        snprintf(text, sizeof text, "next try %s", text_distance(user->retry_at, now, when));
        line(ctl, "", text, TEXT_PLAIN);
    }
    for (size_t i = 0; i < json_object_array_length(user->stores); i++)
        store_print(ctl, user->name, json_object_array_get_idx(user->stores, i));
}

static int users_print(
    const struct ctl *ctl, const struct status *status, const struct user *users, size_t count) {
    static const char *const header[] = {"USER", "STATE", "SERIAL", "EXPIRES", "RENEWS"};
    if (count == 0) {
        line(
            ctl, "Users",
            ctl->own_uid == 0 ? "No user is managed on this device."
                              : reason_text(REASON_NOT_MANAGED),
            TEXT_WARN);
        line(ctl, "", reason_remedy(REASON_NOT_MANAGED), TEXT_PLAIN);
        return 0;
    }
    struct table_row CLEANUP_FREE *rows = calloc(count, sizeof *rows);
    struct user_texts CLEANUP_FREE *texts = calloc(count, sizeof *texts);
    if (!rows || !texts)
        return -1;
    for (size_t i = 0; i < count; i++)
        user_row(&users[i], status->now, &texts[i], &rows[i]);
    fputc('\n', ctl->out);
    table_print(ctl, ctl->out, header, rows, count, ARRAY_LENGTH(header));
    for (size_t i = 0; i < count; i++)
        user_details(ctl, &users[i], status->now);
    return 0;
}

int ctl_status(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct status status = {0};
    size_t count = 0;
    (void)arguments;
    int result = ctl_call(ctl, "io.devtrust.Device.GetStatus", NULL, &answer);
    if (result != CTL_GOOD)
        return result;
    if (status_read(answer, &status) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    struct user CLEANUP_FREE *users = users_read(&status, &count);
    if (!users)
        return ctl_fail(ctl, REASON_OTHER);
    if (ctl->json) {
        ctl_print_json(ctl, answer);
        return status_exit(&status, users, count);
    }
    enrolment_print(ctl, &status);
    push_print(ctl, &status);
    desired_print(ctl, &status);
    policies_print(ctl, &status);
    if (is_enrolled(&status) && users_print(ctl, &status, users, count) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    return status_exit(&status, users, count);
}
