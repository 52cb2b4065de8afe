/* `repair`: does what remedies say where that is safe, waits until it has taken effect, and shows
 * what is left. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/doctor.h"
#include "ipc/ctl/text.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define ID_COLUMN 10
#define TEXT_COLUMN 30
#define MAX_LINE 8192

/* A renewal that is on its way takes the agent, the server and a running browser's settling time of
 * ten seconds; anything else has taken effect at once, or will not. */
#define WAIT_MS 25000
#define SETTLE_MS 5000
#define FIRST_PAUSE_MS 200
#define LONGEST_PAUSE_MS 2000

struct action {
    const char *id, *user, *code, *text;
};

#define STRING(member_, required_)                                                                 \
    JSON_FIELD(struct action, member_, #member_, JSON_FIELD_STRING, required_, 0, 4096)

static const struct json_field action_table[] = {
    STRING(id, true), STRING(user, false), STRING(code, false), STRING(text, true)};

static int read_action(struct json_object *actions, size_t index, struct action *ret) {
    struct json_object *object = json_object_array_get_idx(actions, index);
    if (!json_object_is_type(object, json_type_object))
        return -EINVAL;
    return json_fields_read(object, action_table, ARRAY_LENGTH(action_table), ret, NULL);
}

/* ---- asking ---- */

/* Repair's parameters, or Diagnose's for the same people. */
static int make_parameters(
    struct ctl *ctl, const struct ctl_arguments *arguments, bool diagnose,
    struct json_object **ret) {
    const char *user = arguments->options[CTL_OPTION_USER];
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    bool all = diagnose && !user && ctl->own_uid == 0;
    if (!parameters || json_fields_add_string(parameters, "user", user) < 0 ||
        (all && json_fields_add_bool(parameters, "all", true) < 0))
        return ctl_fail(ctl, REASON_NO_MEMORY);
    *ret = TAKE_PTR(parameters);
    return CTL_GOOD;
}

static int ask_for_repair(
    struct ctl *ctl, const struct ctl_arguments *arguments, struct json_object **ret_actions) {
    struct json_object CLEANUP_JSON *parameters = NULL;
    struct json_object CLEANUP_JSON *answer = NULL;
    struct json_object *actions = NULL;
    struct action action;
    int status = make_parameters(ctl, arguments, false, &parameters);
    if (status == CTL_GOOD)
        status = ctl_call(ctl, "io.devtrust.Device.Repair", TAKE_PTR(parameters), &answer);
    if (status != CTL_GOOD)
        return status;
    if (!json_object_object_get_ex(answer, "actions", &actions) ||
        !json_object_is_type(actions, json_type_array))
        return ctl_fail(ctl, REASON_OTHER);
    for (size_t i = 0; i < json_object_array_length(actions); i++) {
        action = (struct action){0};
        if (read_action(actions, i, &action) < 0)
            return ctl_fail(ctl, REASON_OTHER);
    }
    *ret_actions = json_object_get(actions);
    return CTL_GOOD;
}

/* ---- waiting ---- */

/* Whether a finding may yet go away by what was done. */
static bool is_awaited(struct json_object *actions, const struct finding *finding) {
    if (finding->result != FINDING_WARNING && finding->result != FINDING_FAILURE)
        return false;
    for (size_t i = 0; i < json_object_array_length(actions); i++) {
        struct action action = {0};
        if (read_action(actions, i, &action) < 0 || action.code)
            continue;
        bool same_user = action.user && finding->user && strcmp(action.user, finding->user) == 0;
        bool same_thing = !action.user && !finding->user && strcmp(action.id, finding->id) == 0;
        if (same_user || same_thing)
            return true;
    }
    return false;
}

static const char *text_of(struct json_object *object, const char *member) {
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, member, &value) ||
        !json_object_is_type(value, json_type_string))
        return "";
    return json_object_get_string(value);
}

/* Whether a certificate of this user's is on its way: the status names the state of each. */
static bool is_moving(struct json_object *status, const char *name) {
    static const char *const states[] = {"requested", "signing", "delivered"};
    struct json_object *users = NULL;
    if (!json_object_object_get_ex(status, "users", &users) ||
        !json_object_is_type(users, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(users); i++) {
        struct json_object *user = json_object_array_get_idx(users, i);
        for (size_t j = 0; j < ARRAY_LENGTH(states); j++)
            if (strcmp(text_of(user, "name"), name) == 0 &&
                strcmp(text_of(user, "state"), states[j]) == 0)
                return true;
    }
    return false;
}

/* How long to wait from the beginning; 0: for nothing. */
static int64_t patience_ms(
    struct json_object *actions, const struct findings *findings, struct json_object *status) {
    int64_t patience = 0;
    for (size_t i = 0; i < findings_length(findings); i++) {
        struct finding finding = findings_get(findings, i);
        if (!is_awaited(actions, &finding))
            continue;
        if (finding.user && is_moving(status, finding.user))
            return WAIT_MS;
        patience = SETTLE_MS;
    }
    return patience;
}

static int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(int64_t length) {
    const struct timespec time = {length / 1000, length % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* The doctor is asked again and again: the daemon has no stream of changes for everybody. */
static int wait_for_effect(
    struct ctl *ctl, const struct ctl_arguments *arguments, struct json_object *actions,
    struct findings *findings) {
    int64_t begun = monotonic_ms();
    for (int64_t length = FIRST_PAUSE_MS;; length *= 2) {
        struct json_object CLEANUP_JSON *parameters = NULL;
        struct doctor_answer CLEANUP_DOCTOR_ANSWER answer = {0};
        findings_deinit(findings);
        int status = make_parameters(ctl, arguments, true, &parameters);
        if (status == CTL_GOOD)
            status = doctor_ask(ctl, TAKE_PTR(parameters), findings, &answer);
        if (status == CTL_GOOD && answer.error)
            status = ctl_explain_error(ctl, answer.error, answer.error_parameters);
        if (status != CTL_GOOD || findings->status != CTL_GOOD)
            return status;
        if (monotonic_ms() + length - begun > patience_ms(actions, findings, answer.status))
            return CTL_GOOD;
        pause_ms(length);
        if (length > LONGEST_PAUSE_MS / 2)
            length = LONGEST_PAUSE_MS / 2;
    }
}

/* ---- showing ---- */

static void print_action(const struct ctl *ctl, const struct action *action) {
    char line[MAX_LINE], id[TEXT_SAFE_SIZE];
    const char *word = action->code ? "not done" : "done";
    enum text_colour colour = action->code ? TEXT_WARN : TEXT_GOOD;
    fprintf(
        ctl->out, "%s%s%s%*s%s", text_begin(ctl, colour), word, text_end(ctl, colour),
        (int)(ID_COLUMN - strlen(word)), "", text_safe(action->id, id));
    snprintf(
        line, sizeof line, "%s%s%s%s%s%s", action->user ? action->user : "",
        action->user ? ": " : "", action->text, action->code ? " [" : "",
        action->code ? action->code : "", action->code ? "]" : "");
    text_column(ctl, ctl->out, ID_COLUMN + text_columns(id), TEXT_COLUMN, line, TEXT_PLAIN);
}

static void print_actions(const struct ctl *ctl, struct json_object *actions) {
    size_t length = json_object_array_length(actions);
    for (size_t i = 0; i < length; i++) {
        struct action action = {0};
        if (read_action(actions, i, &action) == 0)
            print_action(ctl, &action);
    }
    if (length == 0)
        fputs("There was nothing to repair.\n", ctl->out);
    fflush(ctl->out); /* the rest may take a while */
}

static int print_as_json(
    struct ctl *ctl, struct json_object *actions, const struct findings *findings) {
    struct json_object CLEANUP_JSON *object = findings_to_json(findings);
    if (!object || json_fields_add(object, "actions", json_object_get(actions)) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    ctl_print_json(ctl, object);
    return findings_status(findings);
}

int ctl_repair(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct findings CLEANUP_FINDINGS findings = {0};
    struct json_object CLEANUP_JSON *actions = NULL;
    int status = ask_for_repair(ctl, arguments, &actions);
    if (status != CTL_GOOD)
        return status;
    if (!ctl->json)
        print_actions(ctl, actions);
    status = wait_for_effect(ctl, arguments, actions, &findings);
    if (status != CTL_GOOD)
        return status;
    if (ctl->json)
        return print_as_json(ctl, actions, &findings);
    if (findings.warnings + findings.failures > 0) {
        fputs("\nWhat is left:\n\n", ctl->out);
        findings_print(ctl, &findings, true);
    }
    findings_print_summary(ctl, &findings);
    return findings_status(&findings);
}
