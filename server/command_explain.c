/* `explain`: what the portal told the visitor whose page bears a reference, and how his certificate
 * stands now. */
#include "server/commands.h"

#include "common/json_fields.h"
#include "server/portal.h"
#include "server/portal_denials.h"

#include <errno.h>

/* How the certificate that was presented stands at this moment: "managed", or why not. */
static int add_now(struct command_call *call, const struct portal_denial *denial) {
    struct certificate_status status;
    int r;
    if (denial->serial[0] == '\0')
        return 0;
    r = certificate_status_by_fingerprint(
        call->db, denial->fingerprint, call->now_s, call->server->config.superseded_grace_s,
        &status);
    if (r < 0)
        return r;
    return json_fields_add_string(
        call->answer, "now", status.managed ? "managed" : reason_code(status.reason));
}

static int add_fingerprint(struct command_call *call, const struct portal_denial *denial) {
    char hex[SHA256_HEX_SIZE];
    return json_fields_add_string(
        call->answer, "fingerprint",
        denial->presented ? hex_encode(denial->fingerprint, SHA256_SIZE, hex) : NULL);
}

static const char *or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

static int add_denial(struct command_call *call, const struct portal_denial *denial) {
    struct json_object *answer = call->answer;
    if (json_fields_add_string(answer, "reference", denial->reference) < 0 ||
        json_fields_add_string(answer, "code", reason_code(denial->reason)) < 0 ||
        json_fields_add_string(answer, "text", reason_text(denial->reason)) < 0 ||
        json_fields_add_string(answer, "remedy", reason_remedy(denial->reason)) < 0 ||
        json_fields_add_int(answer, "first_at", denial->first_s) < 0 ||
        json_fields_add_int(answer, "last_at", denial->last_s) < 0 ||
        json_fields_add_string(answer, "browser", portal_browser_name(denial->browser)) < 0 ||
        json_fields_add_string(answer, "user", or_null(denial->user_id)) < 0 ||
        json_fields_add_string(answer, "device", or_null(denial->device)) < 0 ||
        json_fields_add_string(answer, "serial", or_null(denial->serial)) < 0)
        return -ENOMEM;
    int r = add_fingerprint(call, denial);
    return r < 0 ? r : add_now(call, denial);
}

static int explain_run(struct command_call *call) {
    char reference[REFERENCE_SIZE];
    enum reason reason = REASON_OTHER;
    int r = reference_parse(command_text(call, "reference"), reference, &reason);
    if (r == -EINVAL)
        return command_refuse(call, 400, "That is no reference; one looks like DT-01-7K3QX9F.");
    if (r == -EBADMSG)
        return command_refuse(
            call, 400, "A character of this reference is wrong or in the wrong place; ask again.");
    const struct portal_denial *denial =
        portal_denials_find(portal_denials_of(call->server->portal), reference);
    if (!denial)
        return command_refuse(
            call, 404,
            "%s is not remembered here: it is older than %d days, or than this server's start, or "
            "too many came after it. It stands for %s.",
            reference, PORTAL_DENIALS_LIFE_S / 86400, reason_code(reason));
    return add_denial(call, denial);
}

const struct command_entry command_explain[] = {
    {"explain", false, explain_run},
    {.name = NULL},
};
