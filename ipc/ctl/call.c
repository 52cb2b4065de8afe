/* See call.h. */
#include "ipc/ctl/call.h"

#include "ipc/varlink_server.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#define BRIDGE_LAST_WORDS_MS 1000 /* from the end of its output to its own */

/* ---- through a program ---- */

int ctl_open_bridge(struct ctl *ctl, int *ret_fd) {
    bridge_program_end(&ctl->bridge_program); /* that of the connection before */
    int r = bridge_program_start(&ctl->bridge_program, ctl->bridge, ret_fd);
    if (r == -EINVAL || r == -E2BIG)
        return ctl_usage(
            ctl, "--bridge takes up to 32 words without quotes, for no shell reads them; not",
            ctl->bridge);
    if (r == -ENOMEM)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    if (r < 0)
        return ctl_fail_with(
            ctl, CTL_UNREACHABLE, reason_code(REASON_DAEMON_UNREACHABLE),
            "The program of --bridge cannot be run:", strerror(-r),
            "It is found by PATH, and by no shell.");
    return CTL_GOOD;
}

static int bridge_connect(struct ctl *ctl, struct varlink_stream **ret) {
    int fd = -1;
    int status = ctl_open_bridge(ctl, &fd);
    if (status != CTL_GOOD)
        return status;
    if (varlink_stream_open_fd(fd, ctl->timeout_ms, ret) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    return CTL_GOOD;
}

static int bridge_explain_end(struct ctl *ctl) {
    static const char by_hand[] = "Run it by hand and see; at the far end: devtrustctl ipc bridge.";
    char text[96];
    int status = 0;
    bool ended = bridge_program_has_ended(&ctl->bridge_program, BRIDGE_LAST_WORDS_MS);
    if (ended)
        status = ctl->bridge_program.status;
    if (ended && WIFSIGNALED(status))
        snprintf(text, sizeof text, "The bridge was ended by signal %d.", WTERMSIG(status));
    else if (ended)
        snprintf(text, sizeof text, "The bridge ended with status %d.", WEXITSTATUS(status));
    else
        snprintf(text, sizeof text, "The bridge closed its output.");
    return ctl_fail_with(
        ctl, CTL_UNREACHABLE, reason_code(REASON_DAEMON_UNREACHABLE), text, NULL, by_hand);
}

static int bridge_explain_loss(struct ctl *ctl, int r) {
    const char *code = reason_code(REASON_DAEMON_UNREACHABLE);
    if (r == -ETIMEDOUT)
        return ctl_fail_with(
            ctl, CTL_UNREACHABLE, code, "Nothing came through the bridge in time.", NULL,
            "Run it by hand and see, or wait longer: --timeout SECONDS.");
    if (r == -EBADMSG)
        return ctl_fail_with(
            ctl, CTL_UNREACHABLE, code, "What comes through the bridge is not Varlink.", NULL,
            "The program must relay and print nothing of its own; at the far end: devtrustctl ipc "
            "bridge.");
    return bridge_explain_end(ctl);
}

/* ---- to the socket ---- */

int ctl_explain_connect(struct ctl *ctl, int r) {
    if (r == -EPERM)
        return ctl_fail(ctl, REASON_DAEMON_NOT_ROOT);
    if (r == -ENAMETOOLONG || r == -EINVAL)
        return ctl_usage(ctl, "This is no path for a socket:", ctl->socket_path);
    if (r == -ENOENT || r == -ECONNREFUSED)
        return ctl_fail(ctl, REASON_DAEMON_UNREACHABLE);
    return ctl_fail_with(
        ctl, CTL_UNREACHABLE, reason_code(REASON_DAEMON_UNREACHABLE),
        reason_text(REASON_DAEMON_UNREACHABLE), strerror(-r),
        reason_remedy(REASON_DAEMON_UNREACHABLE));
}

int ctl_connect(struct ctl *ctl, struct varlink_stream **ret) {
    if (ctl->bridge)
        return bridge_connect(ctl, ret);
    int r = varlink_stream_open(ctl->socket_path, ctl->daemon_uid, ctl->timeout_ms, ret);
    return r == 0 ? CTL_GOOD : ctl_explain_connect(ctl, r);
}

int ctl_explain_loss(struct ctl *ctl, int r) {
    const char *code = reason_code(REASON_DAEMON_UNREACHABLE);
    if (r == -EMSGSIZE)
        return ctl_fail_with(
            ctl, CTL_USAGE, "usage", "The message is too large.", NULL,
            "A call may have 64 KiB, its answer 1 MiB.");
    if (r == -ENOMEM)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    if (ctl->bridge)
        return bridge_explain_loss(ctl, r);
    if (r == -ETIMEDOUT)
        return ctl_fail_with(
            ctl, CTL_UNREACHABLE, code, "devtrustd did not answer in time.", NULL,
            "Look at its log (journalctl -u devtrustd), or wait longer: --timeout SECONDS.");
    if (r == -EBADMSG)
        return ctl_fail_with(
            ctl, CTL_UNREACHABLE, code, "What answers does not speak Varlink.", NULL,
            "Check --socket; it is /run/devtrust/io.devtrust by default.");
    return ctl_fail_with(
        ctl, CTL_UNREACHABLE, code, "devtrustd closed the connection without an answer.", NULL,
        "Look at its log: journalctl -u devtrustd.");
}

/* io.devtrust.Device.Failed says everything itself; only the exit status comes from our table. */
static int explain_failed(struct ctl *ctl, struct json_object *parameters) {
    struct failure {
        const char *code, *text, *remedy;
    } failure = {0};
    static const struct json_field table[] = {
        JSON_FIELD(struct failure, code, "code", JSON_FIELD_STRING, true, 1, 64),
        JSON_FIELD(struct failure, text, "text", JSON_FIELD_STRING, true, 0, 0),
        JSON_FIELD(struct failure, remedy, "remedy", JSON_FIELD_STRING, true, 0, 0),
    };
    if (json_fields_read(parameters, table, ARRAY_LENGTH(table), &failure, NULL) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    enum reason reason = reason_from_code(failure.code);
    if (reason == REASON_NOT_MANAGED && ctl->own_uid == 0) /* and never will be */
        failure.remedy = "Root is nobody's user: name one with --user NAME.";
    return ctl_fail_with(
        ctl, reason_exit_status(reason), failure.code, failure.text, NULL, failure.remedy);
}

static const char *string_member(struct json_object *object, const char *name) {
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, name, &value) ||
        !json_object_is_type(value, json_type_string))
        return "";
    return json_object_get_string(value);
}

int ctl_explain_error(struct ctl *ctl, const char *error, struct json_object *parameters) {
    static const char update[] = "Install the same version of devtrustd and devtrustctl.";
    if (strcmp(error, "io.devtrust.Device.Failed") == 0)
        return explain_failed(ctl, parameters);
    if (strcmp(error, "org.varlink.service.PermissionDenied") == 0)
        return ctl_fail(ctl, REASON_NOT_PERMITTED);
    if (strcmp(error, "org.varlink.service.InvalidParameter") == 0)
        return ctl_fail_with(
            ctl, CTL_USAGE, "usage",
            "devtrustd does not accept this:", string_member(parameters, "parameter"),
            "Mend it and try again.");
    if (strcmp(error, "org.varlink.service.MethodNotFound") == 0)
        return ctl_fail_with(
            ctl, CTL_NO, "other", "devtrustd does not know the method",
            string_member(parameters, "method"), update);
    if (strcmp(error, "org.varlink.service.InterfaceNotFound") == 0)
        return ctl_fail_with(
            ctl, CTL_NO, "other", "devtrustd does not know the interface",
            string_member(parameters, "interface"), "Those that it knows: devtrustctl ipc info.");
    if (strcmp(error, VARLINK_ERROR_TIMEOUT) == 0)
        return ctl_fail_with(
            ctl, CTL_NO, "internal", "devtrustd did not finish in its time.", NULL,
            "Run: devtrustctl status. It may go on by itself.");
    if (strcmp(error, VARLINK_ERROR_NO_MEMORY) == 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    return ctl_fail_with(ctl, CTL_NO, "other", "devtrustd answered with the error", error, update);
}

static int call_finish(struct ctl *ctl, struct varlink_stream *stream, struct json_object **ret) {
    struct json_object CLEANUP_JSON *answer = NULL;
    char CLEANUP_FREE *error = NULL;
    bool continues = false;
    int r = varlink_stream_receive(stream, &answer, &error, &continues);
    if (r == 0 && continues)
        r = -EBADMSG;
    if (r < 0)
        return ctl_explain_loss(ctl, r);
    if (error)
        return ctl_explain_error(ctl, error, answer);
    *ret = TAKE_PTR(answer);
    return CTL_GOOD;
}

int ctl_call_on(
    struct ctl *ctl, struct varlink_stream *stream, const char *method,
    struct json_object *parameters, struct json_object **ret) {
    int r = varlink_stream_send(stream, method, parameters, false, false);
    if (r < 0)
        return ctl_explain_loss(ctl, r);
    return call_finish(ctl, stream, ret);
}

int ctl_call(
    struct ctl *ctl, const char *method, struct json_object *parameters, struct json_object **ret) {
    struct json_object CLEANUP_JSON *owned = parameters;
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    int status = ctl_connect(ctl, &stream);
    if (status != CTL_GOOD)
        return status;
    return ctl_call_on(ctl, stream, method, TAKE_PTR(owned), ret);
}

int ctl_call_secret(struct ctl *ctl, const struct secret *message, struct json_object **ret) {
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    int status = ctl_connect(ctl, &stream);
    if (status != CTL_GOOD)
        return status;
    int r = varlink_stream_send_secret(stream, message);
    if (r < 0)
        return ctl_explain_loss(ctl, r);
    return call_finish(ctl, stream, ret);
}
