/* The table of states, and what each row does to the record. */
#include "daemon/user_machine.h"

#include "common/backoff.h"
#include "common/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Between two attempts at a certificate that failed for good, and between two posts of one request.
 */
#define ATTEMPT_BASE_MS 10000
#define ATTEMPT_CAP_MS ((int64_t)6 * 3600 * 1000)
#define POST_BASE_MS 2000
#define POST_CAP_MS ((int64_t)15 * 60 * 1000)

typedef bool (*guard_function)(const struct user_record *, const struct user_input *);
typedef int (*action_function)(struct user_record *, const struct user_input *);

static const char *const event_names[USER_EVENT_COUNT_] = {
    "managed",        "unmanaged", "due",        "submit",    "deadline",         "restart",
    "issued",         "retry",     "bad-answer", "forbidden", "report-installed", "report-failed",
    "report-removed", "renew",     "changed",    "generation"};

const char *user_event_name(enum user_event event) {
    return event_names[event];
}

/* ---- guards ---- */

static bool may_request(const struct user_record *record, const struct user_input *input) {
    return rate_limit_wait(&record->rate, input->requests_per_hour, clock_wall_s(input->clock)) ==
           0;
}

static bool something_delivered(
    const struct user_record *record, const struct user_input *input __attribute__((unused))) {
    return record->uid != USER_UID_NONE && (record->delivered || record->installed.serial[0]);
}

static bool same_text(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

static bool is_offered(const struct user_record *record, const struct user_input *input) {
    return record->request.serial[0] && same_text(record->request.serial, input->serial) &&
           same_text(record->request.id, input->request_id);
}

static bool is_installed(const struct user_record *record, const struct user_input *input) {
    return record->installed.serial[0] && same_text(record->installed.serial, input->serial);
}

static bool is_open_request(const struct user_record *record, const struct user_input *input) {
    return same_text(record->request.id, input->request_id);
}

/* ---- actions ---- */

static void set_text(char *ret, size_t size, const char *text) {
    size_t length = text ? strnlen(text, size - 1) : 0;
    if (length > 0)
        memcpy(ret, text, length);
    ret[length] = '\0';
}
#define SET_TEXT(array_, text_) set_text((array_), sizeof(array_), (text_))

static void set_stores(struct user_record *record, const struct user_input *input) {
    if (!input->stores)
        return;
    json_object_put(record->stores);
    record->stores = json_object_get(input->stores);
}

static int64_t jittered_s(
    int64_t base_ms, int64_t cap_ms, const struct user_record *record,
    const struct user_input *input, int64_t floor_s) {
    struct backoff backoff = {.base_ms = base_ms, .cap_ms = cap_ms, .attempt = record->attempt};
    int64_t delay_s = (backoff_next(&backoff, input->random, floor_s * 1000) + 999) / 1000;
    return delay_s > 0 ? delay_s : 1; /* never at once */
}

static int begin(struct user_record *record, const struct user_input *input) {
    SET_TEXT(record->name, input->uid_name);
    record->uid = input->uid;
    record->reason = REASON_NONE;
    record->attempt = 0;
    record->next_reason = REQUEST_FIRST;
    record->due_ordered = false;
    record->due =
        clock_wall_s(input->clock) +
        (input->splay_s > 0 ? (int64_t)random_below(input->random, (uint64_t)input->splay_s + 1)
                            : 0);
    return 0;
}

static int splay_again(struct user_record *record, const struct user_input *input) {
    record->reason = REASON_NONE;
    record->attempt = 0;
    record->due_ordered = false;
    record->due =
        clock_wall_s(input->clock) +
        (input->splay_s > 0 ? (int64_t)random_below(input->random, (uint64_t)input->splay_s + 1)
                            : 0);
    return 0;
}

static int order_change(struct user_record *record, const struct user_input *input) {
    if (record->installed.serial[0])
        record->next_reason = REQUEST_CHANGED;
    return splay_again(record, input);
}

static int make_request(struct user_record *record, const struct user_input *input) {
    char id[37];
    int r = random_uuid(input->random, id);
    if (r < 0)
        return r;
    int64_t now = clock_wall_s(input->clock);
    user_request_clear(&record->request);
    memcpy(record->request.id, id, sizeof(id));
    record->request.reason = record->next_reason;
    record->request.key_type = input->key_type;
    record->request.deadline = now + input->request_deadline_s;
    record->due = 0;
    rate_limit_count(&record->rate, now);
    return 0;
}

static int renew_request(struct user_record *record, const struct user_input *input) {
    record->next_reason = input->request_reason;
    record->attempt = 0;
    return make_request(record, input);
}

static int replace_text(char **text, const char *value) {
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static int take_csr(struct user_record *record, const struct user_input *input) {
    user_request_clear(&record->request);
    int r = replace_text(&record->request.csr, input->csr);
    if (r < 0)
        return r;
    hex_encode(input->spki, SHA256_SIZE, record->request.spki);
    user_record_add_key(record, input->spki);
    SET_TEXT(record->issuer_spki, input->issuer_spki);
    SET_TEXT(record->root_spki, input->root_spki);
    SET_TEXT(record->device_uuid, input->device_uuid);
    record->due = clock_wall_s(input->clock);
    record->due_ordered = false;
    return 0;
}

/* another key for the same request costs another certificate: it counts */
static int replace_csr(struct user_record *record, const struct user_input *input) {
    rate_limit_count(&record->rate, clock_wall_s(input->clock));
    return take_csr(record, input);
}

/* After a restart nobody knows what became of the post: the same one is due at once, unless the
 * server has ordered the wait. */
static int post_again(struct user_record *record, const struct user_input *input) {
    if (record->due_ordered)
        return 0;
    record->due = clock_wall_s(input->clock);
    return 0;
}

static int post_later(struct user_record *record, const struct user_input *input) {
    record->due = clock_wall_s(input->clock) +
                  jittered_s(POST_BASE_MS, POST_CAP_MS, record, input, input->retry_after_s);
    record->due_ordered = input->retry_after_s > 0;
    record->reason = input->reason;
    if (record->attempt < 64)
        record->attempt++;
    return 0;
}

static int take_bundle(struct user_record *record, const struct user_input *input) {
    struct user_request *request = &record->request;
    int r = replace_text(&request->root, input->root);
    if (r == 0)
        r = replace_text(&request->intermediate, input->intermediate);
    if (r == 0)
        r = replace_text(&request->leaf, input->leaf);
    if (r < 0)
        return r;
    SET_TEXT(request->serial, input->serial);
    request->not_after = input->not_after;
    request->deadline = clock_wall_s(input->clock) + input->request_deadline_s;
    record->delivered = true;
    record->reason = REASON_NONE;
    record->attempt = 0;
    record->due = 0;
    return 0;
}

/* The request's id and serial stay, should its report come late. */
static int back_off(struct user_record *record, const struct user_input *input) {
    record->due =
        clock_wall_s(input->clock) + jittered_s(ATTEMPT_BASE_MS, ATTEMPT_CAP_MS, record, input, 0);
    record->due_ordered = false;
    record->reason = input->reason;
    record->next_reason = record->request.reason;
    if (record->attempt < 64)
        record->attempt++;
    set_stores(record, input);
    return 0;
}

static int refuse(struct user_record *record, const struct user_input *input) {
    record->reason = input->reason;
    record->due = 0;
    SET_TEXT(record->refused_epoch, input->epoch);
    record->refused_generation = input->generation;
    record->next_reason = record->request.reason;
    return 0;
}

static int take_installed(struct user_record *record, const struct user_input *input) {
    struct user_installed *installed = &record->installed;
    memcpy(installed->serial, record->request.serial, sizeof(installed->serial));
    memcpy(installed->request_id, record->request.id, sizeof(installed->request_id));
    installed->not_after = record->request.not_after;
    installed->renew_at = input->renew_at;
    installed->key_type = record->request.key_type;
    user_request_clear(&record->request);
    record->reason = REASON_NONE;
    record->attempt = 0;
    record->due = 0;
    record->delivered = true;
    set_stores(record, input);
    return 0;
}

static int refresh_installed(struct user_record *record, const struct user_input *input) {
    if (input->renew_at > 0)
        record->installed.renew_at = input->renew_at;
    set_stores(record, input);
    return 0;
}

static int cancel_request(struct user_record *record, const struct user_input *input) {
    (void)input;
    user_request_clear(&record->request);
    record->request.id[0] = '\0';
    record->reason = REASON_NONE;
    record->attempt = 0;
    record->due = 0;
    return 0;
}

/* The id that stays is that of the newest certificate which may be in a store: the report of the
 * removal names it, so that a report which comes late does not end what was issued since. */
static int begin_removal(struct user_record *record, const struct user_input *input) {
    char id[sizeof(record->request.id)];
    memcpy(
        id, record->request.serial[0] ? record->request.id : record->installed.request_id,
        sizeof(id));
    int r = cancel_request(record, input);
    memcpy(record->request.id, id, sizeof(id));
    return r;
}

/* The removal goes on; why it has not succeeded yet is for status to show. */
static int note_failure(struct user_record *record, const struct user_input *input) {
    record->reason = input->reason;
    set_stores(record, input);
    return 0;
}

static int forget(struct user_record *record, const struct user_input *input) {
    cancel_request(record, input);
    record->installed = (struct user_installed){.serial = ""};
    record->delivered = false;
    json_object_put(record->stores);
    record->stores = NULL;
    /* the next assignment pins anew */
    record->name[0] = '\0';
    record->uid = USER_UID_NONE;
    return 0;
}

/* ---- the table ---- */

#define IN(state_) (1U << USER_##state_)
#define OPEN (IN(REQUESTED) | IN(SIGNING) | IN(DELIVERED))
#define LIVING (IN(WAITING) | OPEN | IN(INSTALLED) | IN(REFUSED))
#define SAME USER_STATE_COUNT_ /* next: the state stays */

struct row {
    unsigned states;
    enum user_event event;
    guard_function guard; /* NULL: always */
    action_function action;
    enum user_state next;
};

static const struct row table[] = {
    {IN(ABSENT), USER_EVENT_MANAGED, NULL, begin, USER_WAITING},
    {IN(WAITING), USER_EVENT_DUE, may_request, make_request, USER_REQUESTED},
    {IN(WAITING) | IN(INSTALLED), USER_EVENT_RENEW, may_request, renew_request, USER_REQUESTED},
    {IN(REQUESTED), USER_EVENT_SUBMIT, NULL, take_csr, USER_SIGNING},
    {IN(SIGNING) | IN(DELIVERED), USER_EVENT_SUBMIT, may_request, replace_csr, USER_SIGNING},
    {IN(REQUESTED) | IN(DELIVERED), USER_EVENT_DEADLINE, NULL, back_off, USER_WAITING},
    {IN(SIGNING), USER_EVENT_RESTART, NULL, post_again, SAME},
    {IN(SIGNING), USER_EVENT_RETRY, NULL, post_later, SAME},
    {IN(SIGNING), USER_EVENT_ISSUED, NULL, take_bundle, USER_DELIVERED},
    {IN(SIGNING), USER_EVENT_BAD_ANSWER, NULL, back_off, USER_WAITING},
    {IN(SIGNING), USER_EVENT_FORBIDDEN, NULL, refuse, USER_REFUSED},
    {IN(DELIVERED) | IN(WAITING), USER_EVENT_REPORT_INSTALLED, is_offered, take_installed,
     USER_INSTALLED},
    {LIVING, USER_EVENT_REPORT_INSTALLED, is_installed, refresh_installed, SAME},
    {OPEN, USER_EVENT_REPORT_FAILED, is_open_request, back_off, USER_WAITING},
    {IN(INSTALLED) | IN(REQUESTED), USER_EVENT_CHANGED, NULL, order_change, USER_WAITING},
    {IN(REFUSED), USER_EVENT_GENERATION, NULL, splay_again, USER_WAITING},
    {LIVING, USER_EVENT_UNMANAGED, something_delivered, begin_removal, USER_REMOVING},
    {LIVING, USER_EVENT_UNMANAGED, NULL, forget, USER_ABSENT},
    {IN(REMOVING), USER_EVENT_REPORT_FAILED, NULL, note_failure, SAME},
    {IN(REMOVING), USER_EVENT_REPORT_REMOVED, NULL, forget, USER_ABSENT},
};

int user_machine_step(
    struct user_record *record, enum user_event event, const struct user_input *input) {
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        const struct row *row = &table[i];
        if (!(row->states & (1U << record->state)) || row->event != event ||
            (row->guard && !row->guard(record, input)))
            continue;
        int r = row->action(record, input);
        if (r < 0)
            return r;
        if (row->next != SAME)
            record->state = row->next;
        return 1;
    }
    return 0;
}

bool user_machine_has_row(enum user_state state, enum user_event event) {
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++)
        if ((table[i].states & (1U << state)) && table[i].event == event)
            return true;
    return false;
}
