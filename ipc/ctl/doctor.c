/* `doctor`: whether this device and this user are well, and if not, what to do. */
#include "ipc/ctl/doctor.h"

#include "ipc/ctl/call.h"
#include "ipc/ctl/daemon_checks.h"
#include "ipc/ctl/text.h"
#include "ipc/ctl/whom.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- asking ---- */

void doctor_answer_deinit(struct doctor_answer *answer) {
    json_object_put(answer->status);
    free(answer->error);
    json_object_put(answer->error_parameters);
    *answer = (struct doctor_answer){0};
}

/* One call on a connection that stands. Returns 0 and the answer or, in `refusal`, an error; a
 * negative errno where the daemon is lost. Owns `parameters`. */
static int ask_one(
    struct varlink_stream *stream, const char *method, struct json_object *parameters,
    struct json_object **ret, struct doctor_answer *refusal) {
    struct json_object CLEANUP_JSON *answer = NULL;
    bool continues = false;
    int r = varlink_stream_send(stream, method, parameters, false, false);
    if (r == 0)
        r = varlink_stream_receive(stream, &answer, &refusal->error, &continues);
    if (r == 0 && continues)
        r = -EBADMSG;
    if (r < 0)
        return r;
    if (refusal->error)
        refusal->error_parameters = TAKE_PTR(answer);
    else
        *ret = TAKE_PTR(answer);
    return 0;
}

static const char *version_of(struct json_object *status) {
    struct json_object *version = NULL;
    if (!json_object_object_get_ex(status, "version", &version) ||
        !json_object_is_type(version, json_type_string))
        return "?";
    return json_object_get_string(version);
}

/* Returns 0, -EPROTO (not of the shape that the interface says), -ENOMEM. */
static int take_checks(struct json_object *answer, struct findings *findings) {
    struct json_object *checks = NULL;
    if (!json_object_object_get_ex(answer, "checks", &checks) ||
        !json_object_is_type(checks, json_type_array))
        return -EPROTO;
    int r = findings_take(findings, checks);
    return r == -EINVAL ? -EPROTO : r;
}

static int ask_on(
    struct ctl *ctl, struct varlink_stream *stream, struct json_object *parameters,
    struct findings *findings, struct doctor_answer *ret) {
    struct json_object CLEANUP_JSON *owned = parameters;
    struct json_object CLEANUP_JSON *answer = NULL;
    int r = ask_one(stream, "io.devtrust.Device.GetStatus", NULL, &ret->status, ret);
    if (r == 0 && !ret->error)
        r = ask_one(stream, "io.devtrust.Device.Diagnose", TAKE_PTR(owned), &answer, ret);
    if (r < 0)
        return r;
    if (ret->status)
        r = daemon_checks_answered(ctl, version_of(ret->status), findings);
    return r < 0 || ret->error ? r : take_checks(answer, findings);
}

int doctor_ask(
    struct ctl *ctl, struct json_object *parameters, struct findings *findings,
    struct doctor_answer *ret) {
    struct json_object CLEANUP_JSON *owned = parameters;
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    int r = varlink_stream_open(ctl->socket_path, ctl->daemon_uid, ctl->timeout_ms, &stream);
    if (r == -ENAMETOOLONG || r == -EINVAL)
        return ctl_usage(ctl, "This is no path for a socket:", ctl->socket_path);
    if (r == 0)
        r = ask_on(ctl, stream, TAKE_PTR(owned), findings, ret);
    if (r == -EPROTO)
        return ctl_fail(ctl, REASON_OTHER);
    if (r < 0 && r != -ENOMEM)
        r = daemon_checks_failed(ctl, r, findings);
    return r < 0 ? ctl_fail(ctl, REASON_NO_MEMORY) : CTL_GOOD;
}

/* ---- showing ---- */

static int print_as_json(struct ctl *ctl, const struct findings *findings) {
    struct json_object CLEANUP_JSON *object = findings_to_json(findings);
    if (!object)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    ctl_print_json(ctl, object);
    return findings_status(findings);
}

static bool names_users(const struct ctl_arguments *arguments) {
    return arguments->options[CTL_OPTION_USER] || arguments->options[CTL_OPTION_CONSOLE_USER] ||
           arguments->options[CTL_OPTION_ALL_USERS];
}

/* An older daemon checks nothing itself: what was found from here is shown all the same. */
static bool is_of_an_older_daemon(const struct doctor_answer *answer) {
    return answer->status && answer->error &&
           strcmp(answer->error, "org.varlink.service.MethodNotFound") == 0;
}

static int show_without_daemon(
    struct ctl *ctl, const struct findings *findings, const struct doctor_answer *answer) {
    if (ctl->json) {
        (void)print_as_json(
            ctl, findings); /* the check of the versions says why there is no more */
        return CTL_NO;
    }
    findings_print(ctl, findings, false);
    findings_print_summary(ctl, findings);
    return ctl_explain_error(ctl, answer->error, answer->error_parameters);
}

int ctl_doctor(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct findings CLEANUP_FINDINGS findings = {0};
    struct doctor_answer CLEANUP_DOCTOR_ANSWER answer = {0};
    struct json_object CLEANUP_JSON *parameters = NULL;
    int status = whom_parameters(ctl, arguments, &parameters);
    if (status == CTL_GOOD)
        status = doctor_ask(ctl, TAKE_PTR(parameters), &findings, &answer);
    if (status != CTL_GOOD)
        return status;
    if (is_of_an_older_daemon(&answer))
        return show_without_daemon(ctl, &findings, &answer);
    if (answer.error)
        return ctl_explain_error(ctl, answer.error, answer.error_parameters);
    if (ctl->json)
        return print_as_json(ctl, &findings);
    findings_print(ctl, &findings, false);
    findings_print_summary(ctl, &findings);
    if (ctl->own_uid == 0 && !names_users(arguments) && findings.status == CTL_GOOD)
        text_paragraph(
            ctl, ctl->out, "Users:", 9,
            "not looked at. With --all-users, or --user NAME, they are.", TEXT_PLAIN);
    return findings_status(&findings);
}
