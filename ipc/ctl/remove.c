/* `remove`: asks devtrustd to remove, and with --everywhere sees it through to every user. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/table.h"
#include "ipc/ctl/text.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>

#define POLL_MS 100
#define AGENT_TIMEOUT_MS 30000 /* of one user's agent */
#define USERS_MAX 1024         /* as many as devtrustd has */
#define AGENT_PROGRAM "devtrust-agent"
#define AGENT_SAID_SIZE 8192

/* ---- who is left ---- */

struct left {
    const char *name, *state;
    int64_t uid; /* -1: unknown */
    bool agent_attached;
};

static const struct json_field left_table[] = {
    JSON_FIELD(struct left, name, "name", JSON_FIELD_STRING, true, 1, 256),
    JSON_FIELD(struct left, state, "state", JSON_FIELD_STRING, true, 1, 64),
    JSON_FIELD(struct left, uid, "uid", JSON_FIELD_INT, false, 0, UINT32_MAX - 1),
    JSON_FIELD(struct left, agent_attached, "agent_attached", JSON_FIELD_BOOL, true, 0, 0),
};

/* Users whose removal is not over; `only` NULL: all. Borrowed from `status`. Returns their number,
 * or -1. */
static int left_read(struct json_object *status, const char *only, struct left ret[USERS_MAX]) {
    struct json_object *users = NULL;
    int count = 0;
    if (!json_object_object_get_ex(status, "users", &users) ||
        !json_object_is_type(users, json_type_array))
        return -1;
    if (json_object_array_length(users) > USERS_MAX)
        return -1;
    for (size_t i = 0; i < json_object_array_length(users); i++) {
        struct left left = {.uid = -1};
        if (json_fields_read(
                json_object_array_get_idx(users, i), left_table, ARRAY_LENGTH(left_table), &left,
                NULL) < 0)
            return -1;
        if (strcmp(left.state, "absent") != 0 && (!only || strcmp(only, left.name) == 0))
            ret[count++] = left;
    }
    return count;
}

static bool any_attached(const struct left *left, int count) {
    for (int i = 0; i < count; i++)
        if (left[i].agent_attached)
            return true;
    return false;
}

/* Waits until no attached agent has anything left to remove, or the time is over. */
static int wait_for_agents(
    struct ctl *ctl, const char *only, struct json_object **ret_status, struct left left[USERS_MAX],
    int *ret_count) {
    for (int waited_ms = 0;; waited_ms += POLL_MS) {
        struct json_object CLEANUP_JSON *status = NULL;
        int result = ctl_call(ctl, "io.devtrust.Device.GetStatus", NULL, &status);
        if (result != CTL_GOOD)
            return result;
        int count = left_read(status, only, left);
        if (count < 0)
            return ctl_fail(ctl, REASON_OTHER);
        if (!any_attached(left, count) || (ctl->timeout_ms >= 0 && waited_ms >= ctl->timeout_ms)) {
            *ret_status = TAKE_PTR(status);
            *ret_count = count;
            return CTL_GOOD;
        }
        (void)poll(NULL, 0, POLL_MS);
    }
}

/* ---- users who are not signed in ---- */

/* The agent's own words, line by line. They come from the user's side: nothing in them may act on
 * the terminal. */
static void said_print(struct ctl *ctl, char *said) {
    char safe[TEXT_SAFE_SIZE], *rest = said, *line;
    while ((line = strsep(&rest, "\n")))
        if (*line)
            fprintf(ctl->err, "%s\n", text_safe(line, safe));
}

static enum reason remove_as(struct ctl *ctl, const struct left *left) {
    if (left->agent_attached)
        return REASON_AGENT_TIMEOUT;
    if (left->uid <= 0)
        return REASON_USER_UNKNOWN;
    const char *const arguments[] = {"--remove", "--socket", ctl->socket_path, NULL};
    char said[AGENT_SAID_SIZE];
    int r = ctl->run_as(
        left->name, (uid_t)left->uid, AGENT_PROGRAM, arguments, AGENT_TIMEOUT_MS, said,
        sizeof said);
    said_print(ctl, said);
    switch (r) {
    case 0:
        return REASON_NONE;
    case -ESTALE:
        return REASON_USER_CHANGED;
    case -ETIMEDOUT:
        return REASON_AGENT_TIMEOUT;
    default:
        return REASON_STORE_NONE; /* the agent has said which and why */
    }
}

static int outcome_add(struct json_object *outcomes, const struct left *left, enum reason reason) {
    struct json_object CLEANUP_JSON *one = json_object_new_object();
    if (!one || json_fields_add_string(one, "user", left->name) < 0 ||
        json_fields_add_bool(one, "removed", reason == REASON_NONE) < 0 ||
        (reason != REASON_NONE && json_fields_add_string(one, "code", reason_code(reason)) < 0) ||
        json_object_array_add(outcomes, one) < 0)
        return -ENOMEM;
    one = NULL;
    return 0;
}

static void outcome_print(struct ctl *ctl, const struct left *left, enum reason reason) {
    char text[TEXT_SAFE_SIZE];
    if (ctl->json)
        return;
    text_paragraph(
        ctl, ctl->out, left->name, 16,
        reason == REASON_NONE ? "removed" : text_reason(reason_code(reason), text),
        reason == REASON_NONE ? TEXT_GOOD : TEXT_BAD);
    if (reason != REASON_NONE)
        text_paragraph(ctl, ctl->out, "", 16, reason_remedy(reason), TEXT_PLAIN);
}

static int see_through(struct ctl *ctl, const char *only) {
    struct json_object CLEANUP_JSON *status = NULL;
    struct json_object CLEANUP_JSON *answer = json_object_new_object();
    struct json_object *outcomes = json_object_new_array();
    struct left left[USERS_MAX];
    int count = 0, result = CTL_GOOD;
    if (json_fields_add(answer, "users", outcomes) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    int waited = wait_for_agents(ctl, only, &status, left, &count);
    if (waited != CTL_GOOD)
        return waited;
    for (int i = 0; i < count; i++) {
        enum reason reason = remove_as(ctl, &left[i]);
        outcome_print(ctl, &left[i], reason);
        if (outcome_add(outcomes, &left[i], reason) < 0)
            return ctl_fail(ctl, REASON_NO_MEMORY);
        if (reason != REASON_NONE)
            result = CTL_NO;
    }
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else if (result == CTL_GOOD)
        fprintf(
            ctl->out, "Everything of ours is gone from %s.\n",
            only ? "this user's stores" : "every user's stores");
    return result;
}

int ctl_remove(struct ctl *ctl, const struct ctl_arguments *arguments) {
    const char *user = arguments->options[CTL_OPTION_USER];
    char safe[TEXT_SAFE_SIZE];
    struct json_object CLEANUP_JSON *answer = NULL;
    int status = ctl_call_with_user(ctl, "io.devtrust.Device.Remove", arguments, &answer);
    if (status != CTL_GOOD)
        return status;
    if (arguments->options[CTL_OPTION_EVERYWHERE])
        return see_through(ctl, user);
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else
        fprintf(
            ctl->out,
            "Removal has begun for %s; an agent that is away removes when it comes back.\n"
            "It stays so until: devtrustctl renew%s%s (as root), or an enrolment.\n",
            user ? text_safe(user, safe) : "every managed user", user ? " --user " : "",
            user ? text_safe(user, safe) : "");
    return CTL_GOOD;
}
