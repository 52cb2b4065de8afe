/* `enroll`, `renew`: what changes the device. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/text.h"

#include "common/buffer.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define TOKEN_MAX 512
#define PIN_HEX 64

/* ---- enroll ---- */

static bool is_hex_pin(const char *text) {
    return strlen(text) == PIN_HEX && strspn(text, "0123456789abcdefABCDEF") == PIN_HEX;
}

/* Visible ASCII that needs no escape in JSON; a token is never anything else. */
static bool token_is_plain(const struct secret *token) {
    const uint8_t *data = secret_data((struct secret *)token);
    for (size_t i = 0; i < secret_size(token); i++)
        if (data[i] <= ' ' || data[i] >= 0x7f || data[i] == '"' || data[i] == '\\')
            return false;
    return true;
}

static int read_token(struct ctl *ctl, const char *path, struct secret **ret) {
    struct secret CLEANUP_SECRET_LOCAL *token = NULL;
    int r = strcmp(path, "-") == 0 ? secret_read_fd(fileno(ctl->in), TOKEN_MAX, &token)
                                   : secret_read_file(path, TOKEN_MAX, &token);
    if (r == -ENODATA || (r == 0 && secret_size(token) == 0))
        return ctl_usage(ctl, "The token file is empty:", path);
    if (r == -EMSGSIZE || (r == 0 && !token_is_plain(token)))
        return ctl_usage(ctl, "This does not hold one token on one line:", path);
    if (r < 0)
        return ctl_fail_file(
            ctl, CTL_USAGE, "usage", "The token file cannot be read:", path, -r,
            "Check its name and permissions.");
    *ret = TAKE_PTR(token);
    return CTL_GOOD;
}

/* The call but for the token, which goes between `head` and `tail`. */
static int enroll_frame(const char *url, const char *pin, struct buffer *head) {
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    if (!parameters || json_fields_add_string(parameters, "url", url) < 0 ||
        json_fields_add_string(parameters, "ca_pin", pin) < 0)
        return -ENOMEM;
    const char *text = json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN);
    if (!text)
        return -ENOMEM;
    static const char call[] = "{\"method\":\"io.devtrust.Device.Enroll\",\"parameters\":";
    int r = buffer_append_string(head, call);
    if (r == 0)
        r = buffer_append(head, text, strlen(text) - 1); /* without the closing brace */
    if (r == 0)
        r = buffer_append_string(head, ",\"token\":\"");
    return r;
}

/* json-c would leave copies of the token in memory that nobody wipes; so the message is put
 * together here. */
static int enroll_message(
    const char *url, const char *pin, const struct secret *token, struct secret **ret) {
    static const char tail[] = "\"}}";
    struct buffer CLEANUP_BUFFER head = BUFFER_INIT((size_t)16 * 1024);
    struct secret CLEANUP_SECRET_LOCAL *message = NULL;
    int r = enroll_frame(url, pin, &head);
    size_t size = secret_size(token);
    if (r == 0)
        r = secret_new(head.size + size + strlen(tail), &message);
    if (r < 0)
        return r;
    memcpy(secret_data(message), head.data, head.size);
    memcpy(secret_data(message) + head.size, secret_data((struct secret *)token), size);
    memcpy(secret_data(message) + head.size + size, tail, strlen(tail));
    *ret = TAKE_PTR(message);
    return 0;
}

static int enroll_report(struct ctl *ctl, struct json_object *answer) {
    struct enrolled {
        const char *device_uuid;
    } enrolled = {NULL};
    static const struct json_field table[] = {
        JSON_FIELD(struct enrolled, device_uuid, "device_uuid", JSON_FIELD_STRING, true, 1, 64),
    };
    char safe[TEXT_SAFE_SIZE];
    if (json_fields_read(answer, table, 1, &enrolled, NULL) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else
        fprintf(
            ctl->out,
            "%sEnrolled%s as device %s.\n"
            "Managed users get their certificates by themselves; see: devtrustctl status\n",
            text_begin(ctl, TEXT_GOOD), text_end(ctl, TEXT_GOOD),
            text_safe(enrolled.device_uuid, safe));
    return CTL_GOOD;
}

int ctl_enroll(struct ctl *ctl, const struct ctl_arguments *arguments) {
    const char *url = arguments->operands[0];
    const char *pin = arguments->options[CTL_OPTION_CA_PIN];
    if (strncmp(url, "https://", 8) != 0 || strlen(url) == 8 || strlen(url) > 1024)
        return ctl_usage(ctl, "The URL must be https://HOST[:PORT]; not", url);
    if (pin && !is_hex_pin(pin))
        return ctl_usage(ctl, "--ca-pin takes 64 hex digits; not", pin);
    struct secret CLEANUP_SECRET_LOCAL *token = NULL;
    struct secret CLEANUP_SECRET_LOCAL *message = NULL;
    int status = read_token(ctl, arguments->options[CTL_OPTION_TOKEN_FILE], &token);
    if (status != CTL_GOOD)
        return status;
    if (enroll_message(url, pin, token, &message) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    struct json_object CLEANUP_JSON *answer = NULL;
    status = ctl_call_secret(ctl, message, &answer);
    return status == CTL_GOOD ? enroll_report(ctl, answer) : status;
}

/* ---- renew ---- */

int ctl_call_with_user(
    struct ctl *ctl, const char *method, const struct ctl_arguments *arguments,
    struct json_object **ret) {
    struct json_object *parameters = json_object_new_object();
    const char *user = arguments->options[CTL_OPTION_USER];
    if (!parameters || json_fields_add_string(parameters, "user", user) < 0) {
        json_object_put(parameters);
        return ctl_fail(ctl, REASON_NO_MEMORY);
    }
    return ctl_call(ctl, method, parameters, ret);
}

int ctl_renew(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct renewed {
        struct json_object *request_ids;
    } renewed = {NULL};
    static const struct json_field table[] = {
        JSON_FIELD(struct renewed, request_ids, "request_ids", JSON_FIELD_ARRAY, true, 0, 0),
    };
    struct json_object CLEANUP_JSON *answer = NULL;
    int status = ctl_call_with_user(ctl, "io.devtrust.Device.Renew", arguments, &answer);
    if (status != CTL_GOOD)
        return status;
    if (json_fields_read(answer, table, 1, &renewed, NULL) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    size_t count = json_object_array_length(renewed.request_ids);
    if (ctl->json)
        ctl_print_json(ctl, answer);
    else if (count == 0) /* the daemon took it all the same: it ends a hold even where nobody can
                            answer now */
        fputs(
            "No certificate was asked for now: nobody is managed, or no agent is attached.\n"
            "A local hold, if there was one, has ended. See: devtrustctl status\n",
            ctl->out);
    else
        fprintf(
            ctl->out,
            "Asked for %zu new certificate%s. The old one stays until the new one is in place.\n"
            "See: devtrustctl status\n",
            count, count == 1 ? "" : "s");
    return CTL_GOOD;
}
