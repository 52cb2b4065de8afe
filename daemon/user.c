/* Moves one managed user: events, storage, then the work that follows from the state. */
#include "daemon/user.h"

#include "daemon/user_machine.h"
#include "daemon/user_posting.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STORAGE_RETRY_S 30
#define MAX_STEPS 8 /* of one advance: the longest way is restart, waiting, requested */

static int64_t now_s(const struct user *user) {
    return clock_wall_s(user->services->clock);
}

int user_new(
    const struct user_services *services, const struct user_orders *orders,
    const struct user_record *record, struct user **ret) {
    struct user *user = calloc(1, sizeof(*user));
    if (!user)
        return -ENOMEM;
    int r = user_record_copy(record, &user->record);
    if (r < 0) {
        free(user);
        return r;
    }
    user->services = services;
    user->orders = orders;
    user->account_uid = USER_UID_NONE;
    *ret = user;
    return 0;
}

struct user *user_free(struct user *user) {
    if (!user)
        return NULL;
    user_posting_cancel(user);
    user_lookup_cancel(user->lookup);
    user_record_deinit(&user->record);
    free(user);
    return NULL;
}

/* ---- what applies ---- */

int64_t user_uid(const struct user *user) {
    if (user->record.uid != USER_UID_NONE)
        return user->record.uid;
    return user->account == ACCOUNT_FOUND && user->listed ? user->account_uid : USER_UID_NONE;
}

bool user_serves(const struct user *user, int64_t uid) {
    if (uid == USER_UID_NONE)
        return false;
    return user_uid(user) == uid || (user->record.state == USER_REMOVING &&
                                     user->account == ACCOUNT_FOUND && user->account_uid == uid);
}

bool user_account_changed(const struct user *user) {
    const struct user_record *record = &user->record;
    if (record->uid == USER_UID_NONE)
        return false;
    if (user->listed && strcmp(record->name, user->listed_name) != 0)
        return true;
    return user->account == ACCOUNT_FOUND && user->account_uid != record->uid;
}

bool user_is_needed(const struct user *user) {
    return user->listed || user->record.held || user->record.state != USER_ABSENT ||
           user->problem != REASON_NONE;
}

static bool is_unwanted(const struct user *user, const struct user_record *record) {
    const struct desired_state *state = user->orders->state;
    if (record->held || user->orders->held)
        return true;
    if (!state)
        return false;
    if (!state->enrolled)
        return true;
    if (state->distribution == DISTRIBUTION_PAUSED)
        return false;
    return state->distribution == DISTRIBUTION_OFF || !user->listed;
}

static bool is_wanted(const struct user *user, const struct user_record *record) {
    const struct desired_state *state = user->orders->state;
    return !record->held && !user->orders->held && state && state->enrolled &&
           state->distribution == DISTRIBUTION_ON && user->listed && !user->blocked &&
           user->problem == REASON_NONE && user->account == ACCOUNT_FOUND &&
           !user_account_changed(user);
}

bool user_is_undecided(const struct user *user) {
    return user->problem == REASON_NONE && !user->record.held && !user->orders->held &&
           (!user->orders->state || (user->listed && user->account == ACCOUNT_UNVERIFIED));
}

bool user_is_wanted(const struct user *user) {
    return is_wanted(user, &user->record);
}

bool user_ordered_key_type(const struct user *user, enum key_type *ret) {
    const struct desired_state *state = user->orders->state;
    if (state && state->enrolled && state->key_type_known) {
        *ret = state->key_type;
        return true;
    }
    if (!user->record.installed.serial[0])
        return false;
    *ret = user->record.installed.key_type; /* a newer server's type: renew with the old one */
    return true;
}

static bool agent_attached(const struct user *user) {
    const struct user_services *services = user->services;
    if (services->agent_attached(user_uid(user), services->userdata))
        return true;
    return user->record.state == USER_REMOVING && user->account == ACCOUNT_FOUND &&
           services->agent_attached(user->account_uid, services->userdata);
}

void user_input_init(const struct user *user, struct user_input *ret) {
    const struct user_services *services = user->services;
    const struct desired_state *state = user->orders->state;
    *ret = (struct user_input){
        .clock = services->clock,
        .random = services->random,
        .requests_per_hour = services->requests_per_hour,
        .request_deadline_s = services->request_deadline_s,
        .splay_s = state && state->enrolled ? state->splay_s : 0,
        .uid_name = user->listed_name,
        .uid = user->account_uid,
    };
    (void)user_ordered_key_type(user, &ret->key_type);
}

static int64_t effective_deadline(const struct user *user, const struct user_record *record) {
    /* twice the time: a clock that is corrected by seconds is no reason to end a request */
    int64_t now = now_s(user), longest = 2 * user->services->request_deadline_s;
    int64_t deadline = user_effective_due(record->request.deadline, now, longest);
    int64_t grace = user_effective_due(user->agent_grace_until, now, longest);
    return record->state == USER_DELIVERED && grace > deadline ? grace : deadline;
}

static int64_t effective_due(const struct user *user, const struct user_record *record) {
    return user_effective_due(record->due, now_s(user), DESIRED_STATE_MAX_SPLAY_S);
}

static bool storage_rests(const struct user *user) {
    return user_effective_due(user->storage_retry_at, now_s(user), STORAGE_RETRY_S) > now_s(user);
}

static int64_t request_possible_at(const struct user *user, const struct user_record *record) {
    int64_t now = now_s(user);
    int64_t wait = rate_limit_wait(&record->rate, user->services->requests_per_hour, now);
    int64_t due = effective_due(user, record);
    return due > now + wait ? due : now + wait;
}

static bool deadline_passed(const struct user *user, const struct user_record *record) {
    if (record->state == USER_DELIVERED && !agent_attached(user))
        return false; /* it may have installed already: only its report tells */
    return now_s(user) >= effective_deadline(user, record);
}

static bool key_type_differs(const struct user *user, enum key_type type) {
    const struct desired_state *state = user->orders->state;
    return state->key_type_known && state->key_type != type;
}

/* Enrolled anew: the certificate in the stores is another device's. */
static bool device_differs(const struct user *user, const struct user_record *record) {
    X509 *root, *issuer;
    const char *device_uuid;
    return user->services->trust(&root, &issuer, &device_uuid, user->services->userdata) &&
           record->device_uuid[0] && strcmp(record->device_uuid, device_uuid) != 0;
}

/* An order that was taken back before this device heard of it has ended the certificate. */
static bool is_revoked(const struct user *user, const struct user_record *record) {
    for (size_t i = 0; i < user->revoked_count; i++)
        if (strcmp(user->revoked[i], record->installed.serial) == 0)
            return true;
    return false;
}

static bool generation_differs(const struct user *user, const struct user_record *record) {
    const struct desired_state *state = user->orders->state;
    return strcmp(state->epoch, record->refused_epoch) != 0 ||
           state->generation != record->refused_generation;
}

static bool is_due(const struct user *user, const struct user_record *record) {
    int64_t since;
    enum key_type type;
    return now_s(user) >= request_possible_at(user, record) && agent_attached(user) &&
           user_ordered_key_type(user, &type) &&
           user->services->policy_ready(&since, user->services->userdata);
}

/* The event that the state of things amounts to, or USER_EVENT_COUNT_. */
static enum user_event wanted_event(const struct user *user, const struct user_record *record) {
    int64_t since;
    switch (record->state) {
    case USER_ABSENT:
        /* the policy first, so that browsers have taken it up when the certificate comes */
        (void)user->services->policy_ready(&since, user->services->userdata);
        return USER_EVENT_MANAGED;
    case USER_WAITING:
        return is_due(user, record) ? USER_EVENT_DUE : USER_EVENT_COUNT_;
    case USER_REQUESTED:
        return key_type_differs(user, record->request.key_type) ? USER_EVENT_CHANGED
                                                                : USER_EVENT_COUNT_;
    case USER_SIGNING:
        return user->restarted ? USER_EVENT_RESTART : USER_EVENT_COUNT_;
    case USER_INSTALLED:
        return key_type_differs(user, record->installed.key_type) || device_differs(user, record) ||
                       is_revoked(user, record)
                   ? USER_EVENT_CHANGED
                   : USER_EVENT_COUNT_;
    case USER_REFUSED:
        return generation_differs(user, record) ? USER_EVENT_GENERATION : USER_EVENT_COUNT_;
    default:
        return USER_EVENT_COUNT_;
    }
}

static enum user_event next_event(const struct user *user, const struct user_record *record) {
    if (user->problem != REASON_NONE)
        return USER_EVENT_COUNT_;
    if (is_unwanted(user, record))
        return record->state == USER_ABSENT || record->state == USER_REMOVING
                   ? USER_EVENT_COUNT_
                   : USER_EVENT_UNMANAGED;
    if ((record->state == USER_REQUESTED || record->state == USER_DELIVERED) &&
        deadline_passed(user, record))
        return USER_EVENT_DEADLINE;
    return is_wanted(user, record) ? wanted_event(user, record) : USER_EVENT_COUNT_;
}

/* ---- storing ---- */

static int store(struct user *user, const struct user_record *record) {
    struct user_store *users = user->services->store;
    bool empty = record->state == USER_ABSENT && !record->held;
    int r = 0;
    if (!empty)
        r = user_store_write(users, record);
    else if (user->stored)
        r = user_store_remove(users, record->id);
    if (r < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE, reason_text(REASON_STORAGE),
            LOG_TEXT("USER_ID", user->record.id), LOG_ERRNO(r),
            LOG_TEXT("REMEDY", reason_remedy(REASON_STORAGE)));
        user->storage_retry_at = now_s(user) + STORAGE_RETRY_S;
        return r;
    }
    user->stored = !empty;
    user->storage_retry_at = 0;
    return 0;
}

bool user_may_log(struct user *user) {
    return log_limit_take(&user->provoked, clock_monotonic_ms(user->services->clock), NULL);
}

/* A reason alone can change as often as an agent reports another one. */
static void log_move(struct user *user, const struct user_record *to, enum user_event why) {
    const struct user_record *from = &user->record;
    if (from->state == to->state && (from->reason == to->reason || !user_may_log(user)))
        return;
    enum log_level level = to->reason == REASON_NONE ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
    const char *name = to->name[0] ? to->name : from->name;
    const char *request = to->request.id, *id = to->id;
    log_event(
        level, MSG_USER_STATE,
        to->reason == REASON_NONE ? "User moves on" : reason_text(to->reason),
        LOG_TEXT("USER_ID", id), LOG_TEXT("USER_NAME", name),
        LOG_TEXT("FROM", user_state_name(from->state)), LOG_TEXT("TO", user_state_name(to->state)),
        LOG_TEXT("EVENT", why == USER_EVENT_COUNT_ ? NULL : user_event_name(why)),
        LOG_TEXT("REQUEST_ID", request), LOG_TEXT("REASON", reason_code(to->reason)));
}

/* ---- answering ---- */

void user_answer_submit(struct user *user, const struct user_answer *answer) {
    user_submitted submitted = user->submitted;
    if (!submitted)
        return;
    user->submitted = NULL;
    submitted(answer, user->submitted_userdata);
}

static const char *open_request_id(const struct user_record *record) {
    bool open = record->state == USER_REQUESTED || record->state == USER_SIGNING ||
                record->state == USER_DELIVERED;
    return open ? record->request.id : NULL;
}

static void answer_waiting_submit(struct user *user) {
    const struct user_record *record = &user->record;
    struct user_answer answer = {.kind = ANSWER_STALE, .current = open_request_id(record)};
    if (!user->submitted)
        return;
    if (record->state == USER_DELIVERED) {
        answer = (struct user_answer){.kind = ANSWER_BUNDLE, .request = &record->request};
    } else if (record->state == USER_REFUSED) {
        answer = (struct user_answer){.kind = ANSWER_REFUSED, .reason = record->reason};
    } else if (record->state == USER_SIGNING) {
        int64_t now = now_s(user), due = effective_due(user, record);
        int64_t until = user_effective_due(user->submitted_until, now, USER_SUBMIT_WAIT_S);
        if ((user->in_flight || user->sign_busy) && now < until)
            return;
        answer =
            (struct user_answer){.kind = ANSWER_RETRY, .retry_after_s = due > now ? due - now : 1};
    }
    user_answer_submit(user, &answer);
}

/* ---- moving ---- */

/* Pins an account where the record lost its own (a file that was broken). */
static bool pin(const struct user *user, struct user_record *record) {
    if (record->uid != USER_UID_NONE || record->state == USER_ABSENT || !is_wanted(user, record))
        return false;
    memcpy(record->name, user->listed_name, sizeof(record->name));
    record->uid = user->account_uid;
    return true;
}

/* *why: the first step's event, where there was none before. */
static int step_through(struct user *user, struct user_record *record, enum user_event *why) {
    int moved = pin(user, record) ? 1 : 0;
    for (int i = 0; i < MAX_STEPS; i++) {
        struct user_input input;
        enum user_event event = next_event(user, record);
        if (event == USER_EVENT_COUNT_)
            break;
        user_input_init(user, &input);
        if (event == USER_EVENT_DEADLINE)
            input.reason = REASON_AGENT_TIMEOUT;
        int r = user_machine_step(record, event, &input);
        if (event == USER_EVENT_RESTART)
            user->restarted = false;
        if (r < 0)
            return r;
        if (r == 0)
            break;
        moved = 1;
        if (*why == USER_EVENT_COUNT_)
            *why = event;
    }
    return moved;
}

/* Does what the stored state asks for. Idempotent. */
static void act(struct user *user, int64_t old_uid) {
    const struct user_services *services = user->services;
    int64_t uid = user_uid(user);
    user_posting_keep(user);
    answer_waiting_submit(user);
    if (uid != USER_UID_NONE)
        services->changed(uid, services->userdata);
    if (old_uid != USER_UID_NONE && old_uid != uid)
        services->changed(old_uid, services->userdata);
    if (user->account == ACCOUNT_FOUND && user->account_uid != uid && user->account_uid != old_uid)
        services->changed(user->account_uid, services->userdata);
    services->settled(services->settled_userdata);
}

static int move(struct user *user, int event, const struct user_input *input) {
    struct user_record next CLEANUP_USER_RECORD = {0};
    int64_t old_uid = user_uid(user);
    (void)rate_limit_settle(&user->record.rate, now_s(user)); /* stored with the next change */
    int r = user_record_copy(&user->record, &next);
    if (r < 0)
        return r;
    int taken =
        event == USER_EVENT_COUNT_ ? 0 : user_machine_step(&next, (enum user_event)event, input);
    if (taken < 0)
        return taken;
    enum user_event why = taken ? (enum user_event)event : USER_EVENT_COUNT_;
    int followed = step_through(user, &next, &why);
    if (followed < 0)
        return followed;
    if (taken || followed) {
        r = store(user, &next);
        if (r < 0)
            return r;
        log_move(user, &next, why);
        struct user_record old = user->record;
        user->record = next;
        next = old;
    }
    act(user, old_uid);
    return taken;
}

int user_event(struct user *user, int event, struct user_input *input) {
    if (user->problem != REASON_NONE)
        return 0;
    return move(user, event, input);
}

void user_advance(struct user *user) {
    if (storage_rests(user))
        return;
    user->storage_retry_at = 0;
    (void)move(user, USER_EVENT_COUNT_, NULL);
}

int user_hold(struct user *user, bool hold) {
    if (user->problem != REASON_NONE)
        return -EPROTO;
    if (user->record.held == hold)
        return 0;
    user->record.held = hold;
    int r = store(user, &user->record);
    if (r < 0) {
        user->record.held = !hold;
        return r;
    }
    user_advance(user);
    return 0;
}

void user_agent_attached(struct user *user) {
    user->agent_grace_until = now_s(user) + user->services->request_deadline_s;
    user_advance(user);
}

int64_t user_next_due(const struct user *user) {
    const struct user_record *record = &user->record;
    int64_t due = INT64_MAX;

    if (user->problem != REASON_NONE)
        return INT64_MAX;
    if (user->storage_retry_at > 0)
        return user_effective_due(user->storage_retry_at, now_s(user), STORAGE_RETRY_S);
    if (record->state == USER_WAITING && is_wanted(user, record) && agent_attached(user))
        due = request_possible_at(user, record);
    if (record->state == USER_REQUESTED ||
        (record->state == USER_DELIVERED && agent_attached(user)))
        due = effective_deadline(user, record);
    if (record->state == USER_SIGNING && is_wanted(user, record) && !user->in_flight) {
        int64_t possible = user_posting_possible_at(user);
        due = effective_due(user, record);
        if (possible > due)
            due = possible;
    }
    /* what could have been done already waits for something else than time: policy, account */
    if (record->state == USER_WAITING && due <= now_s(user))
        due = INT64_MAX;
    int64_t until = user_effective_due(user->submitted_until, now_s(user), USER_SUBMIT_WAIT_S);
    if (user->submitted && until < due)
        due = until;
    return due;
}
