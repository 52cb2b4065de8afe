/* PUT /v1/report: what became of a certificate on the device. Idempotent: a device sends a report
 * until it is answered. */
#include "server/state_handlers.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/random.h"
#include "server/certificate.h"
#include "server/server.h"
#include "server/user.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum outcome { OUTCOME_INSTALLED, OUTCOME_FAILED, OUTCOME_REMOVED };

struct report {
    struct http_request *request;
    char device[SERVER_UUID_SIZE];
    char user[SERVER_USER_ID_SIZE];
    char request_id[SERVER_UUID_SIZE]; /* "": none */
    char serial[X509_SERIAL_HEX_SIZE]; /* "": none */
    enum outcome outcome;
    enum reason code;
    int64_t now_s;
    bool conflict; /* no such certificate of this device and user */
    int changed;
};

static int confirm(struct db *db, struct report *report) {
    int64_t id;
    int r = certificate_find_by_serial(db, report->serial, report->device, report->user, &id);
    if (r == -ENOENT) {
        report->conflict = true;
        return 0;
    }
    return r < 0 ? r : certificate_confirm(db, id, true, report->now_s);
}

static int run_report(struct db *db, void *data) {
    struct report *report = data;
    int r = 0;
    if (report->outcome == OUTCOME_INSTALLED)
        r = confirm(db, report);
    else if (report->outcome == OUTCOME_REMOVED)
        /* a report that comes late, after the user was managed again, must not reach the newer
         * certificate */
        r = certificate_revoke_all(
            db,
            &(struct certificate_filter){
                .device = report->device,
                .user_id = report->user,
                .up_to_request = report->request_id[0] ? report->request_id : NULL},
            CRL_REASON_CESSATION, report->now_s);
    report->changed = r;
    return r < 0 ? r : 0;
}

static void log_report(const struct report *report) {
    static const char *const texts[] = {
        [OUTCOME_INSTALLED] = "A certificate is installed.",
        [OUTCOME_FAILED] = "A certificate could not be installed; the code says why.",
        [OUTCOME_REMOVED] = "A user's certificates were removed from the device.",
    };
    log_event(
        report->outcome == OUTCOME_FAILED ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
        report->outcome == OUTCOME_REMOVED ? MSG_REVOKED : MSG_USER_STATE, texts[report->outcome],
        LOG_TEXT("DEVICE", &report->device[0]), LOG_TEXT("USER", &report->user[0]),
        LOG_TEXT("SERIAL", &report->serial[0]), LOG_TEXT("CODE", reason_code(report->code)),
        LOG_NUMBER("CHANGED", report->changed));
}

static void on_reported(int result, void *data) {
    struct report *report = data;
    if (result < 0)
        http_send_error(report->request, result);
    else if (report->conflict)
        http_send_problem(
            report->request, 409, REASON_NO_CERTIFICATE,
            "No certificate of this serial was issued to this device and user.");
    else {
        log_report(report);
        http_send(report->request, 204, NULL, NULL, 0);
    }
    free(report);
}

/* --- reading --- */

struct fields {
    const char *user, *request_id, *outcome, *serial, *code;
};

static const struct json_field field_table[] = {
    JSON_FIELD(struct fields, user, "user", JSON_FIELD_STRING, true, 1, SERVER_USER_ID_SIZE - 1),
    JSON_FIELD(struct fields, request_id, "request_id", JSON_FIELD_STRING, false, 0, 36),
    JSON_FIELD(struct fields, outcome, "outcome", JSON_FIELD_STRING, true, 1, 16),
    JSON_FIELD(
        struct fields, serial, "serial", JSON_FIELD_STRING, false, 0, X509_SERIAL_HEX_SIZE - 1),
    JSON_FIELD(struct fields, code, "code", JSON_FIELD_STRING, false, 0, 64),
};

static int take_outcome(const char *name, enum outcome *ret) {
    static const char *const names[] = {"installed", "failed", "removed"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum outcome)i;
            return 0;
        }
    return -EINVAL;
}

static int take_serial(const char *text, char ret[X509_SERIAL_HEX_SIZE]) {
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return -EINVAL;
        ret[i] = (char)tolower((unsigned char)text[i]);
    }
    ret[length] = '\0';
    return 0;
}

/* Returns 0, or -EINVAL with the field that is wrong (NULL: the body as a whole). */
static int read_report(
    struct http_request *request, struct report *report, const char **ret_field) {
    CLEANUP_JSON struct json_object *object = NULL;
    struct fields fields = {.request_id = "", .serial = "", .code = "none"};
    size_t size;
    const char *body = http_request_body(request, &size);
    *ret_field = NULL;
    if (json_gate_parse(body, size, &object) < 0 || !json_object_is_type(object, json_type_object))
        return -EINVAL;
    int r = json_fields_read(object, field_table, ARRAY_LENGTH(field_table), &fields, ret_field);
    if (r < 0)
        return r;
    *ret_field = "user";
    if (!user_id_is_valid(fields.user))
        return -EINVAL;
    *ret_field = "request_id";
    if (fields.request_id[0] && !random_uuid_is_valid(fields.request_id))
        return -EINVAL;
    *ret_field = "outcome";
    if (take_outcome(fields.outcome, &report->outcome) < 0)
        return -EINVAL;
    *ret_field = "serial";
    if (take_serial(fields.serial, report->serial) < 0 ||
        (report->outcome == OUTCOME_INSTALLED && !report->serial[0]))
        return -EINVAL;
    snprintf(report->user, sizeof(report->user), "%s", fields.user);
    snprintf(report->request_id, sizeof(report->request_id), "%s", fields.request_id);
    report->code = reason_from_code(fields.code);
    return 0;
}

static void handle_report(struct http_request *request, struct server *server) {
    struct report *report = calloc(1, sizeof(*report));
    if (!report) {
        http_send_error(request, -ENOMEM);
        return;
    }
    const char *field;
    if (read_report(request, report, &field) < 0) {
        char detail[96];
        snprintf(
            detail, sizeof(detail), "The report is not valid: %s.",
            field ? field : "no JSON object");
        http_send_problem(request, 400, REASON_OTHER, detail);
        free(report);
        return;
    }
    report->request = request;
    report->now_s = clock_wall_s(server->clock);
    snprintf(report->device, sizeof(report->device), "%s", http_request_device(request));
    const struct db_job job = {.run = run_report, .done = on_reported, .data = report};
    int r = db_writer_submit(server->writer, &job);
    if (r < 0) {
        http_send_error(request, r);
        free(report);
    }
}

const struct http_route report_routes[] = {
    {"PUT", "/v1/report", HTTP_LISTENER_DEVICES, HTTP_IDENTITY_DEVICE_REMOVED, handle_report},
    {.method = NULL},
};
