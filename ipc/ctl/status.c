/* `status`: what the daemon knows, in plain words, with what to do next: tables for root, one page
 * for the person who asks for himself (person.h). */
#include "ipc/ctl/call.h"
#include "ipc/ctl/person.h"
#include "ipc/ctl/status_answer.h"
#include "ipc/ctl/table.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define LABEL 14 /* columns of the labels on the left */

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

/* ---- tables ---- */

static void line(
    const struct ctl *ctl, const char *label, const char *text, enum text_colour colour) {
    text_paragraph(ctl, ctl->out, label, LABEL, text, colour);
}

/* The sentence, its code for the manual, and what to do. */
static void trouble_print(
    const struct ctl *ctl, const char *label, const struct status_trouble *trouble) {
    if (!status_trouble_is_set(trouble))
        return;
    const char *remedy = status_trouble_remedy(trouble);
    char text[TEXT_SAFE_SIZE];
    snprintf(text, sizeof text, "%s [%s]", status_trouble_text(trouble), trouble->code);
    line(ctl, label, text, TEXT_BAD);
    if (*remedy)
        line(ctl, "", remedy, TEXT_PLAIN);
}

static void enrolment_print(const struct ctl *ctl, const struct status *status) {
    const struct status_enrolment *enrolment = &status->enrolment;
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
    if (status_trouble_is_set(&enrolment->trouble) &&
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
    const struct status_desired *desired = &status->desired;
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
        struct status_policy policy;
        if (status_policy_read(status, i, &policy) < 0)
            continue;
        if (!policy.installed && !status_is_enrolled(status) &&
            !status_trouble_is_set(&policy.trouble))
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
    const struct status_user *user, int64_t now, struct user_texts *texts, struct table_row *ret) {
    struct word word = WORD(user_words, user->state);
    bool valid = status_has_certificate(user, now);
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

static void store_print(
    const struct ctl *ctl, const char *label, const struct status_store *store) {
    if (store->ok)
        return;
    const char *code = store->code ? store->code : "store-error";
    char text[TEXT_SAFE_SIZE];
    line(ctl, label, store->path, TEXT_WARN);
    line(ctl, "", text_reason(code, text), TEXT_BAD);
    line(ctl, "", reason_remedy(reason_from_code(code)), TEXT_PLAIN);
}

/* Only what needs a word: trouble, an agent that is away, a store that is not well, a retry. */
static void user_details(const struct ctl *ctl, const struct status_user *user, int64_t now) {
    bool absent = strcmp(user->state, "absent") == 0;
    bool away = !user->agent_attached && !absent && !status_trouble_is_set(&user->trouble);
    struct status_trouble no_agent = {.code = reason_code(REASON_NO_AGENT)};
    char when[TEXT_TIME_SIZE], text[TEXT_TIME_SIZE + 32];
    trouble_print(ctl, user->name, away ? &no_agent : &user->trouble);
    if (user->retry_at > now) {
        snprintf(text, sizeof text, "next try %s", text_distance(user->retry_at, now, when));
        line(ctl, "", text, TEXT_PLAIN);
    }
    for (size_t i = 0; i < json_object_array_length(user->stores); i++) {
        struct status_store store;
        if (status_store_read(user, i, &store) == 0)
            store_print(ctl, user->name, &store);
    }
}

static int users_print(
    const struct ctl *ctl, const struct status *status, const struct status_user *users,
    size_t count) {
    static const char *const header[] = {"USER", "STATE", "SERIAL", "EXPIRES", "RENEWS"};
    if (count == 0) {
        line(ctl, "Users", "No user is managed on this device.", TEXT_WARN);
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

/* As root: device, server, browsers and every managed user, as tables. */
static int tables_print(
    const struct ctl *ctl, const struct status *status, const struct status_user *users,
    size_t count) {
    enrolment_print(ctl, status);
    push_print(ctl, status);
    desired_print(ctl, status);
    policies_print(ctl, status);
    return status_is_enrolled(status) ? users_print(ctl, status, users, count) : 0;
}

/* For himself: what it means to this person. */
static int person_print(
    struct ctl *ctl, const struct status *status, const struct status_user *users, size_t count) {
    struct person CLEANUP_FREE *person = person_new();
    if (!person)
        return -1;
    person_fill(person, ctl, status, count > 0 ? &users[0] : NULL);
    person_show(ctl, person);
    return 0;
}

int ctl_status(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct status status = {0};
    size_t count = 0;
    if (arguments->options[CTL_OPTION_PAGE])
        return ctl_status_page(ctl);
    int result = ctl_call(ctl, "io.devtrust.Device.GetStatus", NULL, &answer);
    if (result != CTL_GOOD)
        return result;
    if (status_read(answer, &status) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    struct status_user CLEANUP_FREE *users = status_users_read(&status, &count);
    if (!users)
        return ctl_fail(ctl, REASON_OTHER);
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else if (
        (ctl->own_uid == 0 ? tables_print(ctl, &status, users, count)
                           : person_print(ctl, &status, users, count)) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    return status_exit(&status, users, count);
}
