/* From states, codes and paths to sentences. */
#include "ipc/ctl/person.h"

#include "common/browser_store.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LABEL 14 /* columns of the labels on the left */
#define SERIAL_SHOWN 8

struct person *person_new(void) {
    return calloc(1, sizeof(struct person));
}

__attribute__((format(printf, 5, 6))) static void add(
    struct person *person, enum person_section section, const char *label, enum text_colour colour,
    const char *format, ...) {
    if (person->count == PERSON_MAX_ROWS)
        return;
    struct person_row *row = &person->rows[person->count++];
    va_list arguments;
    row->section = section;
    row->label = label;
    row->colour = colour;
    va_start(arguments, format);
    vsnprintf(row->text, sizeof row->text, format, arguments);
    va_end(arguments);
}

/* A step once, however many things ask for it. */
static void add_step(struct person *person, const char *subject, const char *remedy) {
    char text[PERSON_TEXT_SIZE];
    if (!*remedy)
        return;
    snprintf(text, sizeof text, "%s%s%s", subject, *subject ? ": " : "", remedy);
    for (size_t i = 0; i < person->count; i++)
        if (person->rows[i].section == PERSON_TO_DO && strcmp(person->rows[i].text, text) == 0)
            return;
    add(person, PERSON_TO_DO, "", TEXT_PLAIN, "%s", text);
}

/* The first trouble is the reason; each has its step. */
static void add_trouble(struct person *person, const struct status_trouble *trouble) {
    if (!status_trouble_is_set(trouble))
        return;
    if (!*person->reason)
        snprintf(
            person->reason, sizeof person->reason, "%s [%s]", status_trouble_text(trouble),
            trouble->code);
    add_step(person, "", status_trouble_remedy(trouble));
}

static void add_reason(struct person *person, enum reason reason) {
    const struct status_trouble trouble = {.code = reason_code(reason)};
    add_trouble(person, &trouble);
}

static void say(struct person *person, enum text_colour tone, const char *headline) {
    person->tone = tone;
    snprintf(person->headline, sizeof person->headline, "%s", headline);
}

/* ---- the headline: the outermost thing that is in the way, else the certificate ---- */

struct saying {
    const char *state, *headline;
    enum text_colour tone;
};

static const struct saying of_enrolment[] = {
    {"none", "Not trusted: this device is not enrolled.", TEXT_BAD},
    {"enrolling", "Not trusted yet: this device is being enrolled.", TEXT_WARN},
    {"cloned", "Not trusted: this device is a copy of another one.", TEXT_BAD},
    {"removed", "Not trusted: the server has removed this device.", TEXT_BAD},
    {"held", "Not trusted: root has removed devtrust's certificates here.", TEXT_BAD},
};

static const struct saying of_distribution[] = {
    {"off", "Not trusted: certificate distribution is off.", TEXT_BAD},
    {"paused", "Not trusted at the moment: certificate distribution is paused.", TEXT_WARN},
};

static const struct saying of_user[] = {
    {"absent", "Not trusted: you have no certificate.", TEXT_BAD},
    {"waiting", "Not trusted yet: your certificate is on its way.", TEXT_WARN},
    {"requested", "Not trusted yet: your key is being made.", TEXT_WARN},
    {"signing", "Not trusted yet: the server is asked for your certificate.", TEXT_WARN},
    {"delivered", "Not trusted yet: your certificate is being installed.", TEXT_WARN},
    {"installed", "Not trusted: your certificate is no longer there.", TEXT_BAD},
    {"refused", "Not trusted: the server refuses a certificate for you.", TEXT_BAD},
    {"removing", "Not trusted any more: your certificate is being removed.", TEXT_WARN},
};

/* NULL: a newer daemon's. */
static const struct saying *find_saying(
    const struct saying *sayings, size_t count, const char *state) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(sayings[i].state, state) == 0)
            return &sayings[i];
    return NULL;
}

/* `unknown`: what stands before a state that has no words here. */
static void say_state(
    struct person *person, const struct saying *sayings, size_t count, const char *state,
    const char *unknown) {
    const struct saying *saying = find_saying(sayings, count, state);
    char text[PERSON_TEXT_SIZE];
    snprintf(text, sizeof text, "Not trusted: %s%s.", unknown, state);
    say(person, saying ? saying->tone : TEXT_BAD, saying ? saying->headline : text);
}

static bool is_removing(const struct status_user *user) {
    return strcmp(user->state, "removing") == 0;
}

static bool is_distributing(const struct status *status) {
    const char *distribution = status->desired.distribution;
    return !distribution || strcmp(distribution, "on") == 0;
}

static bool is_trusted(const struct status *status, const struct status_user *user) {
    return status_is_enrolled(status) && is_distributing(status) && user && !is_removing(user) &&
           status_has_certificate(user, status->now);
}

static void say_of_user(
    struct person *person, const struct status *status, const struct status_user *user) {
    char when[2 * TEXT_TIME_SIZE], text[PERSON_TEXT_SIZE];
    if (!user) {
        say(person, TEXT_BAD, "Not trusted: you are not managed on this device.");
        add_reason(person, REASON_NOT_MANAGED);
        return;
    }
    if (is_removing(user) || !user->serial) {
        say_state(person, of_user, ARRAY_LENGTH(of_user), user->state, "");
        return;
    }
    text_time_and_distance(user->not_after, status->now, when);
    if (is_trusted(status, user)) {
        snprintf(text, sizeof text, "Trusted until %s.", when);
        say(person, TEXT_GOOD, text);
        return;
    }
    snprintf(text, sizeof text, "Not trusted: your certificate expired %s.", when);
    say(person, TEXT_BAD, text);
    if (!status_trouble_is_set(&user->trouble))
        add_reason(person, REASON_EXPIRED);
}

static void say_all(
    struct person *person, const struct status *status, const struct status_user *user) {
    const char *distribution = status->desired.distribution;
    if (!status_is_enrolled(status))
        say_state(person, of_enrolment, ARRAY_LENGTH(of_enrolment), status->enrolment.state, "");
    else if (!is_distributing(status)) {
        say_state(
            person, of_distribution, ARRAY_LENGTH(of_distribution), distribution,
            "certificate distribution is ");
        if (strcmp(distribution, "off") == 0)
            add_reason(person, REASON_DISTRIBUTION_OFF);
        if (strcmp(distribution, "paused") == 0)
            add_reason(person, REASON_DISTRIBUTION_PAUSED);
    } else
        say_of_user(person, status, user);
    add_trouble(person, &status->enrolment.trouble);
}

/* ---- facts ---- */

static void add_user(
    struct person *person, const struct status *status, const struct status_user *user) {
    char when[TEXT_TIME_SIZE];
    if (strcmp(user->name, user->id) == 0)
        add(person, PERSON_FACTS, "For", TEXT_PLAIN, "%s", user->name);
    else
        add(person, PERSON_FACTS, "For", TEXT_PLAIN, "%s (%s)", user->name, user->id);
    if (user->serial)
        add(person, PERSON_FACTS, "Certificate", TEXT_PLAIN, "its name ends in %.*s", SERIAL_SHOWN,
            user->serial);
    if (is_trusted(status, user) && user->renew_at > 0)
        add(person, PERSON_FACTS, "Renewal", TEXT_PLAIN, "by itself, %s",
            user->renew_at > status->now ? text_distance(user->renew_at, status->now, when)
                                         : "any moment");
    if (!find_saying(of_user, ARRAY_LENGTH(of_user), user->state))
        add(person, PERSON_FACTS, "State", TEXT_PLAIN, "%s", user->state); /* a newer daemon's */
    if (user->retry_at > status->now)
        add(person, PERSON_FACTS, "Next try", TEXT_PLAIN, "%s",
            text_distance(user->retry_at, status->now, when));
}

static void add_surroundings(
    struct person *person, const struct status *status, const struct status_user *user) {
    if (status->desired.organisation)
        add(person, PERSON_FACTS, "Organisation", TEXT_PLAIN, "%s", status->desired.organisation);
    if (!status_is_enrolled(status))
        return;
    if (status->push.connected)
        add(person, PERSON_FACTS, "Server", TEXT_PLAIN, "connected");
    else
        add(person, PERSON_FACTS, "Server", TEXT_WARN, "not reached at the moment%s",
            is_trusted(status, user) ? "; what is trusted stays so" : "");
}

/* ---- browsers ---- */

/* What a store that is in order holds; NULL: nothing. */
static const char *held_by_stores(
    const struct status *status, const struct status_user *user, enum text_colour *ret_colour) {
    *ret_colour = TEXT_WARN;
    if (is_removing(user))
        return "being removed";
    if (!user->serial)
        return NULL;
    bool valid = status_has_certificate(user, status->now);
    *ret_colour = valid ? TEXT_GOOD : TEXT_BAD;
    return valid ? "installed" : "expired";
}

static void add_store(
    struct person *person, const struct ctl *ctl, const struct status_store *store,
    const char *held, enum text_colour colour) {
    char name[BROWSER_STORE_NAME_SIZE];
    bool firefox = strcmp(store->kind, "nss_firefox") == 0;
    if (!firefox && strcmp(store->kind, "nss_chromium") != 0)
        snprintf(name, sizeof name, "%.200s", store->path); /* a newer kind */
    else
        browser_store_name(
            store->path, firefox ? BROWSER_FIREFOX : BROWSER_CHROMIUM, ctl->browser_installed,
            name);
    if (store->ok) {
        if (held)
            add(person, PERSON_BROWSERS, "", colour, "%s: %s", name, held);
        return;
    }
    const char *code = store->code ? store->code : "store-error";
    char text[TEXT_SAFE_SIZE];
    add(person, PERSON_BROWSERS, "", TEXT_BAD, "%s: not installed. %s", name,
        text_reason(code, text));
    add_step(person, name, reason_remedy(reason_from_code(code)));
}

/* A browser whose policy is not in order asks which certificate to present. */
static void add_policy(struct person *person, const struct status_policy *policy) {
    const struct browser_family *family = browser_family_find(policy->family);
    const char *name = family ? family->name : policy->family;
    if (!status_trouble_is_set(&policy->trouble))
        return;
    add(person, PERSON_BROWSERS, "", TEXT_WARN, "%s: may ask which certificate to present. %s [%s]",
        name, status_trouble_text(&policy->trouble), policy->trouble.code);
    add_step(person, name, status_trouble_remedy(&policy->trouble));
}

static void add_browsers(
    struct person *person, const struct ctl *ctl, const struct status *status,
    const struct status_user *user) {
    size_t before = person->count;
    enum text_colour colour;
    const char *held = held_by_stores(status, user, &colour);
    for (size_t i = 0; i < json_object_array_length(user->stores); i++) {
        struct status_store store;
        if (status_store_read(user, i, &store) == 0)
            add_store(person, ctl, &store, held, colour);
    }
    if (person->count == before)
        add(person, PERSON_BROWSERS, "", TEXT_WARN, "none");
    for (size_t i = 0; i < json_object_array_length(status->policies); i++) {
        struct status_policy policy;
        if (status_policy_read(status, i, &policy) == 0)
            add_policy(person, &policy);
    }
}

/* ---- all of it ---- */

/* Its agent is what makes, renews and removes a certificate. */
static void add_agent(struct person *person, const struct status_user *user) {
    bool needed = strcmp(user->state, "absent") != 0 || user->serial;
    if (!needed || user->agent_attached || status_trouble_is_set(&user->trouble))
        return;
    add_reason(person, REASON_NO_AGENT);
}

void person_fill(
    struct person *person, const struct ctl *ctl, const struct status *status,
    const struct status_user *user) {
    say_all(person, status, user);
    if (status_is_enrolled(status) && user) {
        add_trouble(person, &user->trouble);
        add_agent(person, user);
        add_user(person, status, user);
    }
    add_surroundings(person, status, user);
    if (status_is_enrolled(status) && user)
        add_browsers(person, ctl, status, user);
    for (size_t i = 0; i < person->count; i++)
        if (person->rows[i].section == PERSON_TO_DO)
            return;
    static const char *const otherwise[] = {
        [TEXT_GOOD] = "Nothing.",
        [TEXT_WARN] = "Nothing; it goes on by itself.",
        [TEXT_BAD] = "See what devtrustctl doctor finds.",
    };
    add(person, PERSON_TO_DO, "", TEXT_PLAIN, "%s", otherwise[person->tone]);
}

int person_fill_answer(
    struct person *person, const struct ctl *ctl, struct json_object *answer, int *ret_exit) {
    struct status status = {0};
    size_t count = 0;
    if (status_read(answer, &status) < 0)
        return -EINVAL;
    struct status_user CLEANUP_FREE *users = status_users_read(&status, &count);
    if (!users)
        return -EINVAL;
    person_fill(person, ctl, &status, count > 0 ? &users[0] : NULL);
    *ret_exit = status_exit(&status, users, count);
    return 0;
}

void person_fill_unknown(struct person *person, const char *text, const char *remedy) {
    say(person, TEXT_BAD, "It is not known whether this device is trusted.");
    snprintf(person->reason, sizeof person->reason, "%s", text);
    add_step(person, "", remedy);
}

/* ---- on the terminal ---- */

void person_show(const struct ctl *ctl, const struct person *person) {
    static const char *const labels[PERSON_SECTION_COUNT_] = {
        [PERSON_FACTS] = "", [PERSON_BROWSERS] = "Browsers", [PERSON_TO_DO] = "What to do"};
    text_paragraph(ctl, ctl->out, "", 0, person->headline, person->tone);
    if (*person->reason)
        text_paragraph(ctl, ctl->out, "", 0, person->reason, TEXT_PLAIN);
    fputc('\n', ctl->out);
    for (int section = 0; section < PERSON_SECTION_COUNT_; section++) {
        const char *label = labels[section];
        for (size_t i = 0; i < person->count; i++) {
            const struct person_row *row = &person->rows[i];
            if ((int)row->section != section)
                continue;
            text_paragraph(
                ctl, ctl->out, section == PERSON_FACTS ? row->label : label, LABEL, row->text,
                row->colour);
            label = "";
        }
    }
}
