/* `ipc call|info|introspect`: the daemon's interfaces by hand. */
#include "ipc/ctl/service_info.h"
#include "ipc/ctl/text.h"

#include "ipc/varlink_message.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/utf8.h"

#include <json-c/json.h>
#include <string.h>

/* ---- call ---- */

/* {"error": name, "parameters": {…}}: the exit status says the kind, the text says all. */
static int print_error(struct ctl *ctl, const char *error, struct json_object *parameters) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    if (!object || json_fields_add_string(object, "error", error) < 0 ||
        json_fields_add(object, "parameters", json_object_get(parameters)) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    ctl_print_json(ctl, object);
    if (strcmp(error, "org.varlink.service.PermissionDenied") == 0)
        return CTL_NOT_PERMITTED;
    if (strcmp(error, "org.varlink.service.ExpectedMore") == 0 && !ctl->json)
        fputs("This method is a stream: add --more.\n", ctl->err);
    struct json_object *code = NULL;
    if (strcmp(error, "io.devtrust.Device.Failed") == 0 &&
        json_object_object_get_ex(parameters, "code", &code) &&
        json_object_is_type(code, json_type_string))
        return reason_exit_status(reason_from_code(json_object_get_string(code)));
    return CTL_NO;
}

static int print_replies(struct ctl *ctl, struct varlink_stream *stream) {
    for (bool continues = true; continues;) {
        struct json_object CLEANUP_JSON *answer = NULL;
        char CLEANUP_FREE *error = NULL;
        int r = varlink_stream_receive(stream, &answer, &error, &continues);
        if (r < 0)
            return ctl_explain_loss(ctl, r);
        if (error)
            return print_error(ctl, error, answer);
        ctl_print_json(ctl, answer);
        fflush(ctl->out); /* a stream may be quiet for long */
    }
    return CTL_GOOD;
}

static int parse_parameters(struct ctl *ctl, const char *text, struct json_object **ret) {
    struct json_object CLEANUP_JSON *parameters = NULL;
    if (!text)
        return CTL_GOOD;
    if (json_gate_parse(text, strlen(text), &parameters) < 0 ||
        !json_object_is_type(parameters, json_type_object))
        return ctl_usage(ctl, "The parameters are not a JSON object:", text);
    *ret = TAKE_PTR(parameters);
    return CTL_GOOD;
}

int ctl_ipc_call(struct ctl *ctl, const struct ctl_arguments *arguments) {
    const char *method = arguments->operands[0];
    bool more = arguments->options[CTL_OPTION_MORE] != NULL;
    bool oneway = arguments->options[CTL_OPTION_ONEWAY] != NULL;
    struct json_object CLEANUP_JSON *parameters = NULL;
    if (!varlink_name_is_valid(method, NULL))
        return ctl_usage(ctl, "This is no method name (io.devtrust.Device.GetStatus):", method);
    if (more && oneway)
        return ctl_usage(ctl, "--more and --oneway exclude each other.", NULL);
    int status = parse_parameters(ctl, arguments->operands[1], &parameters);
    if (status != CTL_GOOD)
        return status;
    if (more && !arguments->options[CTL_OPTION_TIMEOUT])
        ctl->timeout_ms = -1; /* a stream speaks when there is something to say */
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    status = ctl_connect(ctl, &stream);
    if (status != CTL_GOOD)
        return status;
    int r = varlink_stream_send(stream, method, TAKE_PTR(parameters), more, oneway);
    if (r < 0)
        return ctl_explain_loss(ctl, r);
    return oneway ? CTL_GOOD : print_replies(ctl, stream);
}

/* ---- info ---- */

int ctl_ipc_info(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct service_info info = {0};
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    (void)arguments;
    int status = ctl_connect(ctl, &stream);
    if (status == CTL_GOOD)
        status = service_info_get(ctl, stream, &answer, &info);
    if (status != CTL_GOOD)
        return status;
    if (ctl->json) {
        ctl_print_json(ctl, answer);
        return CTL_GOOD;
    }
    text_paragraph(ctl, ctl->out, "Vendor", 12, info.vendor, TEXT_PLAIN);
    text_paragraph(ctl, ctl->out, "Product", 12, info.product, TEXT_PLAIN);
    text_paragraph(ctl, ctl->out, "Version", 12, info.version, TEXT_PLAIN);
    if (*info.url)
        text_paragraph(ctl, ctl->out, "URL", 12, info.url, TEXT_PLAIN);
    for (size_t i = 0; i < service_info_interface_count(&info); i++)
        text_paragraph(
            ctl, ctl->out, i == 0 ? "Interfaces" : "", 12, service_info_interface(&info, i),
            TEXT_PLAIN);
    return CTL_GOOD;
}

/* ---- introspect ---- */

/* Bytes of its first character, and whether it shows something or moves on as plain text does. */
static size_t first_character(const char *text, bool *ret_is_plain) {
    uint32_t code = 0;
    int size = utf8_decode(text, strlen(text), &code);
    *ret_is_plain = size > 1 ? !utf8_is_deceptive(code)
                             : code == '\n' || code == '\t' || (code >= 0x20 && code < 0x7f);
    return size > 0 ? (size_t)size : 1;
}

/* Foreign text of many lines: line ends stay, whatever else could steer a terminal goes. */
static void print_lines(FILE *file, const char *text) {
    while (*text) {
        bool is_plain;
        size_t size = first_character(text, &is_plain);
        if (is_plain)
            fwrite(text, 1, size, file);
        else
            fputc('?', file);
        text += size;
    }
}

static int introspect_one(
    struct ctl *ctl, struct varlink_stream *stream, const char *interface,
    struct json_object *collected) {
    struct json_object CLEANUP_JSON *description = NULL;
    int status = service_info_describe(ctl, stream, interface, &description);
    if (status != CTL_GOOD)
        return status;
    if (!ctl->json)
        print_lines(ctl->out, json_object_get_string(description));
    else if (json_fields_add(collected, interface, TAKE_PTR(description)) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    return CTL_GOOD;
}

static int introspect_all(
    struct ctl *ctl, struct varlink_stream *stream, struct json_object *collected) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct service_info info = {0};
    int status = service_info_get(ctl, stream, &answer, &info);
    if (status != CTL_GOOD)
        return status;
    for (size_t i = 0; status == CTL_GOOD && i < service_info_interface_count(&info); i++) {
        if (i > 0 && !ctl->json)
            fputc('\n', ctl->out);
        status = introspect_one(ctl, stream, service_info_interface(&info, i), collected);
    }
    return status;
}

/* With --json: {interface: description}. */
int ctl_ipc_introspect(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct json_object CLEANUP_JSON *collected = json_object_new_object();
    if (!collected)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    int status = ctl_connect(ctl, &stream);
    if (status == CTL_GOOD)
        status = arguments->operand_count > 0
                     ? introspect_one(ctl, stream, arguments->operands[0], collected)
                     : introspect_all(ctl, stream, collected);
    if (status == CTL_GOOD && ctl->json)
        ctl_print_json(ctl, collected);
    return status;
}
