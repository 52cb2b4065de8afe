/* The set of managed users. */
#include "daemon/users.h"

#include "daemon/user_machine.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/wall_timer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUP_RETRY_BASE_MS 30000
#define LOOKUP_RETRY_CAP_MS 600000
#define LOOKUP_RETRY_LONGEST_S (LOOKUP_RETRY_CAP_MS / 1000 + 1)
#define LOOKUP_REST_S 1 /* between two that anybody on this machine can cause */

struct users {
    struct users_options options;
    struct user_orders orders;
    struct desired_state state; /* what orders.state points to: a copy without lists of users */
    struct user *list[USERS_MAX];
    size_t count;
    struct wall_timer *timer;
    uv_poll_t poll;
    uv_timer_t settle;
    int64_t armed_for;
    bool closing, settling;
    unsigned open_handles;
};

static int64_t now_s(const struct users *users) {
    return clock_wall_s(users->options.services.clock);
}

/* ---- which user comes first for an account ---- */

static int rank(const struct user *user) {
    if (user->record.state == USER_REMOVING)
        return 0;
    if (user->record.state != USER_ABSENT)
        return 1;
    return user->listed ? 2 : 3;
}

static bool comes_before(const struct user *a, const struct user *b) {
    if (rank(a) != rank(b))
        return rank(a) < rank(b);
    return strcmp(a->record.id, b->record.id) < 0;
}

static void mark_blocked(struct users *users) {
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        int64_t uid = user_uid(user);
        user->blocked = false;
        for (size_t j = 0; uid != USER_UID_NONE && j < users->count; j++)
            if (j != i && user_serves(users->list[j], uid) && rank(users->list[j]) < 3 &&
                comes_before(users->list[j], user))
                user->blocked = true;
    }
}

struct user *users_find_by_uid(struct users *users, int64_t uid) {
    struct user *best = NULL;
    for (size_t i = 0; i < users->count; i++)
        if (user_serves(users->list[i], uid) && (!best || comes_before(users->list[i], best)))
            best = users->list[i];
    return best;
}

struct user *users_find_by_name(struct users *users, const char *name) {
    struct user *best = NULL;
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        const char *own = user->listed ? user->listed_name : user->record.name;
        if (strcmp(own, name) == 0 && (!best || comes_before(user, best)))
            best = user;
    }
    return best;
}

static struct user *find_by_id(struct users *users, const char *id) {
    for (size_t i = 0; i < users->count; i++)
        if (strcmp(users->list[i]->record.id, id) == 0)
            return users->list[i];
    return NULL;
}

size_t users_count(const struct users *users) {
    return users->count;
}

struct user *users_get(const struct users *users, size_t index) {
    return users->list[index];
}

/* ---- the timer ---- */

static int64_t next_lookup(const struct users *users, const struct user *user) {
    if (user->lookup_retry_at == 0)
        return INT64_MAX;
    return user_effective_due(user->lookup_retry_at, now_s(users), LOOKUP_RETRY_LONGEST_S);
}

int64_t users_next_due(const struct users *users) {
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < users->count; i++) {
        const struct user *user = users->list[i];
        int64_t own = user_next_due(user);
        if (next_lookup(users, user) < own)
            own = next_lookup(users, user);
        if (own < due)
            due = own;
    }
    return due;
}

static void rearm(struct users *users) {
    int64_t due = users_next_due(users);
    /* what is due now and could not be done must not spin */
    if (due != INT64_MAX && due <= now_s(users))
        due = now_s(users) + 1;
    if (due == users->armed_for)
        return;
    int r = wall_timer_set(users->timer, due == INT64_MAX ? 0 : due);
    if (r < 0)
        log_event(LOG_LEVEL_ERROR, MSG_INTERNAL, "The timer cannot be set", LOG_ERRNO(r));
    else
        users->armed_for = due;
}

static void start_lookup(struct users *users, struct user *user);

static int64_t now_ms(const struct users *users) {
    return clock_monotonic_ms(users->options.services.clock);
}

static void timer_fired(
    uv_poll_t *poll, int status __attribute__((unused)), int events __attribute__((unused))) {
    struct users *users = poll->data;
    (void)wall_timer_read(users->timer);
    users->armed_for = -1;
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        if (next_lookup(users, user) <= now_s(users))
            start_lookup(users, user);
    }
    users_advance(users);
}

/* ---- settling ---- */

static bool needs_policy(const struct users *users) {
    for (size_t i = 0; i < users->count; i++)
        if (users->list[i]->record.state != USER_ABSENT)
            return true;
    return false;
}

static void reap(struct users *users) {
    size_t kept = 0;
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        if (user_is_needed(user))
            users->list[kept++] = user;
        else
            user_free(user);
    }
    users->count = kept;
}

void users_settle(struct users *users) {
    uv_timer_stop(&users->settle);
    users->settling =
        true; /* what moves here is looked at below: no next round, or a full link would spin */
    mark_blocked(users);
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        /* a place may be free at the server link; the user in front may have gone */
        if (user->sign_busy || (user->record.state == USER_ABSENT && user_is_wanted(user)))
            user_advance(user);
    }
    reap(users);
    users->options.policy_needed(needs_policy(users), users->options.userdata);
    rearm(users);
    users->settling = false;
}

static void settle_fired(uv_timer_t *timer) {
    users_settle(timer->data);
}

static void settled(void *userdata) {
    struct users *users = userdata;
    if (!users->closing && !users->settling && !uv_is_active((uv_handle_t *)&users->settle))
        uv_timer_start(&users->settle, settle_fired, 0, 0);
}

void users_advance(struct users *users) {
    mark_blocked(users);
    for (size_t i = 0; i < users->count; i++)
        user_advance(users->list[i]);
    settled(users);
}

/* ---- accounts ---- */

static void looked_up(enum user_lookup_result result, uid_t uid, void *userdata) {
    struct user *user = userdata;
    struct users *users = user->services->settled_userdata;
    enum user_account before = user->account;
    int64_t uid_before = user->account_uid;

    user->lookup = NULL;
    user->lookup_retry_at = 0;
    switch (result) {
    case USER_LOOKUP_FOUND:
        user->account = ACCOUNT_FOUND;
        user->account_uid = (int64_t)uid;
        break;
    case USER_LOOKUP_UNKNOWN:
        user->account = ACCOUNT_MISSING;
        break;
    case USER_LOOKUP_REFUSED:
        user->account = ACCOUNT_REFUSED;
        break;
    case USER_LOOKUP_LATER: {
        /* nothing is known: what was verified before stands */
        struct backoff backoff = {
            .base_ms = LOOKUP_RETRY_BASE_MS,
            .cap_ms = LOOKUP_RETRY_CAP_MS,
            .attempt = user->lookup_attempt};
        int64_t delay_ms = backoff_next(&backoff, user->services->random, 1000);
        user->lookup_retry_at = now_s(users) + (delay_ms + 999) / 1000;
        user->lookup_attempt = backoff.attempt;
        break;
    }
    }
    if (result != USER_LOOKUP_LATER)
        user->lookup_attempt = 0;
    user->looked_up_ms = now_ms(users);
    if (user->lookup_again)
        user->lookup_retry_at = now_s(users) + LOOKUP_REST_S;
    user->lookup_again = false;
    if (user->account != before &&
        (user->account == ACCOUNT_MISSING || user->account == ACCOUNT_REFUSED)) {
        enum reason reason =
            user->account == ACCOUNT_MISSING ? REASON_USER_UNKNOWN : REASON_USER_REFUSED;
        const char *id = user->record.id, *name = user->listed_name;
        log_event(
            LOG_LEVEL_WARNING, MSG_USER_REFUSED, reason_text(reason), LOG_TEXT("USER_ID", id),
            LOG_TEXT("USER_NAME", name), LOG_TEXT("REMEDY", reason_remedy(reason)));
    }
    if (user->account != before || user->account_uid != uid_before)
        mark_blocked(users);
    user_advance(user);
}

static const char *account_name(const struct user *user) {
    return user->listed ? user->listed_name : user->record.name;
}

static bool has_account(const struct user *user) {
    return account_name(user)[0] && user->problem == REASON_NONE;
}

static void start_lookup(struct users *users, struct user *user) {
    user->lookup_retry_at = 0;
    if (user->lookup || !has_account(user))
        return;
    int r = user_lookup_start(
        users->options.loop, users->options.database, account_name(user), users->options.min_uid,
        users->options.lookup_deadline_ms, looked_up, user, &user->lookup);
    if (r < 0)
        user->lookup_retry_at = now_s(users) + LOOKUP_RETRY_BASE_MS / 1000;
}

/* Accounts may be others than they were. Whoever signs in or runs an agent can be anybody: he must
 * not make the daemon ask for all who are not found as often as he likes. Returns whether the timer
 * must be set for it. */
static bool look_again(struct users *users, struct user *user) {
    bool rests = now_ms(users) - user->looked_up_ms < LOOKUP_REST_S * 1000;
    int64_t before = user->lookup_retry_at;
    if (user->lookup)
        user->lookup_again = true;
    else if (user->account == ACCOUNT_FOUND || !rests)
        start_lookup(users, user);
    else if (has_account(user))
        user->lookup_retry_at = now_s(users) + LOOKUP_REST_S;
    return user->lookup_retry_at != before;
}

void users_login_changed(struct users *users, int64_t uid) {
    for (size_t i = 0; i < users->count; i++)
        if (uid < 0 || user_serves(users->list[i], uid) || users->list[i]->account != ACCOUNT_FOUND)
            (void)look_again(users, users->list[i]);
    settled(users);
}

void users_accounts_changed(struct users *users) {
    for (size_t i = 0; i < users->count; i++)
        (void)look_again(users, users->list[i]);
    settled(users);
}

/* Agents of others come and go as they like, and cost no more than this look. */
static bool serves(const struct users *users, int64_t uid) {
    for (size_t i = 0; i < users->count; i++)
        if (user_serves(users->list[i], uid))
            return true;
    return false;
}

void users_agent_attached(struct users *users, int64_t uid) {
    bool settles = serves(users, uid);
    if (settles)
        mark_blocked(users);
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        /* the account may be younger than the last look, or may have changed since */
        if (user_serves(user, uid) || user->account != ACCOUNT_FOUND)
            settles = look_again(users, user) || settles;
        if (user_serves(user, uid))
            user_agent_attached(user);
    }
    if (settles)
        settled(users);
}

void users_agent_detached(struct users *users, int64_t uid) {
    if (serves(users, uid))
        settled(users);
}

/* ---- the desired state ---- */

static int add_user(struct users *users, const struct user_record *record, struct user **ret) {
    struct user *user = NULL;
    if (users->count == USERS_MAX)
        return -E2BIG;
    int r = user_new(&users->options.services, &users->orders, record, &user);
    if (r < 0)
        return r;
    users->list[users->count++] = user;
    *ret = user;
    return 0;
}

static void list_user(struct users *users, const struct desired_user *desired) {
    struct user *user = find_by_id(users, desired->id);
    if (!user) {
        struct user_record record CLEANUP_USER_RECORD = {0};
        if (!user_record_id_is_valid(desired->id))
            return;
        user_record_init(&record, desired->id);
        if (add_user(users, &record, &user) < 0) {
            log_event(
                LOG_LEVEL_ERROR, MSG_USER_REFUSED,
                "An assignment is not served: there are too many, or memory is out",
                LOG_TEXT("USER_ID", desired->id));
            return;
        }
    }
    if (strcmp(user->listed_name, desired->name) != 0) {
        user_lookup_cancel(user->lookup);
        user->lookup = NULL;
        user->account = ACCOUNT_UNVERIFIED;
        strncpy(user->listed_name, desired->name, sizeof(user->listed_name) - 1);
        user->listed_name[sizeof(user->listed_name) - 1] = '\0';
    }
    memcpy(user->revoked, desired->revoked, sizeof(user->revoked));
    user->revoked_count = desired->revoked_count;
    user->listed = true;
}

static void forget_state(struct users *users) {
    for (size_t i = 0; i < users->state.trusted_application_count; i++)
        free(users->state.trusted_applications[i]);
    free(users->state.trusted_applications);
    users->state = (struct desired_state){.generation = 0};
    users->orders.state = NULL;
}

/* The server link may drop its state when the device is enrolled elsewhere: so a copy is kept. */
static void keep_state(struct users *users, const struct desired_state *state) {
    struct desired_state *copy = &users->state;
    forget_state(users);
    if (!state)
        return;
    *copy = *state;
    copy->organisation = copy->device = copy->est_label = NULL;
    copy->portal_patterns = NULL;
    copy->users = NULL;
    copy->portal_pattern_count = copy->user_count = copy->trusted_application_count = 0;
    copy->trusted_applications =
        state->trusted_application_count
            ? calloc(state->trusted_application_count, sizeof(*copy->trusted_applications))
            : NULL;
    for (size_t i = 0; copy->trusted_applications && i < state->trusted_application_count; i++) {
        char *text = strdup(state->trusted_applications[i]);
        if (!text)
            break;
        copy->trusted_applications[copy->trusted_application_count++] = text;
    }
    users->orders.state = copy;
}

void users_set_state(struct users *users, const struct desired_state *state) {
    keep_state(users, state);
    for (size_t i = 0; state && i < users->count; i++)
        users->list[i]->listed = false;
    for (size_t i = 0; state && state->enrolled && i < state->user_count; i++)
        list_user(users, &state->users[i]);
    for (size_t i = 0; i < users->count; i++) {
        if (!users->list[i]->listed)
            users->list[i]->listed_name[0] = '\0';
        start_lookup(users, users->list[i]);
    }
    users_advance(users);
}

void users_set_held(struct users *users, bool held) {
    if (users->orders.held == held)
        return;
    users->orders.held = held;
    users_advance(users);
}

void users_server_back(struct users *users) {
    const struct user_services *services = &users->options.services;
    for (size_t i = 0; i < users->count; i++) {
        struct user *user = users->list[i];
        if (user->record.state != USER_SIGNING || user->in_flight || user->record.due_ordered)
            continue;
        /* in memory only: after a restart the request is posted at once anyway */
        user->post_not_before = 0;
        user->record.due =
            now_s(users) + (int64_t)random_below(services->random, USERS_SERVER_BACK_JITTER_S + 1);
    }
    users_advance(users);
}

void users_reach_changed(struct users *users) {
    const struct user_services *services = &users->options.services;
    for (size_t i = 0; i < users->count; i++)
        services->changed(user_uid(users->list[i]), services->userdata);
}

/* ---- beginning and end ---- */

static void loaded(const struct user_record *record, enum reason problem, void *userdata) {
    struct users *users = userdata;
    struct user *user = NULL;
    if (add_user(users, record, &user) < 0)
        return;
    user->problem = problem == REASON_NEWER_STATE ? problem : REASON_NONE;
    user->stored = problem != REASON_BROKEN_STATE;
    user->restarted = true;
}

static void handle_closed(uv_handle_t *handle) {
    struct users *users = handle->data;
    if (--users->open_handles > 0)
        return;
    wall_timer_free(users->timer);
    free(users);
}

static int open_handles(struct users *users) {
    int r = uv_timer_init(users->options.loop, &users->settle);
    if (r < 0)
        return r;
    users->settle.data = users;
    users->open_handles++;
    r = uv_poll_init(users->options.loop, &users->poll, wall_timer_fd(users->timer));
    if (r < 0)
        return r;
    users->poll.data = users;
    users->open_handles++;
    return uv_poll_start(&users->poll, UV_READABLE, timer_fired);
}

int users_new(const struct users_options *options, struct users **ret) {
    struct users *users = calloc(1, sizeof(*users));
    if (!users)
        return -ENOMEM;
    users->options = *options;
    users->options.services.settled = settled;
    users->options.services.settled_userdata = users;
    users->armed_for = -1;
    int r = wall_timer_new(&users->timer);
    if (r < 0) {
        free(users);
        return r;
    }
    r = open_handles(users);
    if (r == 0)
        r = user_store_load(options->services.store, loaded, users);
    if (r < 0) {
        users_close(users);
        return r;
    }
    *ret = users;
    return 0;
}

void users_close(struct users *users) {
    users->closing = true;
    for (size_t i = 0; i < users->count; i++)
        user_free(users->list[i]);
    users->count = 0;
    forget_state(users);
    if (users->open_handles == 0) {
        wall_timer_free(users->timer);
        free(users);
        return;
    }
    if (users->open_handles > 1)
        uv_close((uv_handle_t *)&users->poll, handle_closed);
    uv_close((uv_handle_t *)&users->settle, handle_closed);
}
