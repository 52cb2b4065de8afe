/* `explain`: what a code means and what to do, from the one table of reasons; without a daemon, so
 * that a help desk can look it up anywhere. A reference from a portal's page carries its code. */
#include "ipc/ctl/similar.h"
#include "ipc/ctl/text.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/reference.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define CODE_INDENT 22

#define LABEL 13

/* `reference` NULL: the code itself was asked for. */
static int reason_object(enum reason reason, const char *reference, struct json_object **ret) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    if (!object || json_fields_add_string(object, "reference", reference) < 0 ||
        json_fields_add_string(object, "code", reason_code(reason)) < 0 ||
        json_fields_add_string(object, "text", reason_text(reason)) < 0 ||
        json_fields_add_string(object, "remedy", reason_remedy(reason)) < 0 ||
        json_fields_add_int(object, "exit_status", reason_exit_status(reason)) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(object);
    return 0;
}

static int explain_one(struct ctl *ctl, enum reason reason, const char *reference) {
    struct json_object CLEANUP_JSON *object = NULL;
    char status[16];
    if (reason_object(reason, reference, &object) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    if (ctl->json) {
        ctl_print_json(ctl, object);
        return CTL_GOOD;
    }
    snprintf(status, sizeof status, "%d", reason_exit_status(reason));
    if (reference)
        text_paragraph(ctl, ctl->out, "Reference", LABEL, reference, TEXT_BOLD);
    text_paragraph(ctl, ctl->out, "Code", LABEL, reason_code(reason), TEXT_BOLD);
    text_paragraph(ctl, ctl->out, "Meaning", LABEL, reason_text(reason), TEXT_PLAIN);
    if (*reason_remedy(reason))
        text_paragraph(ctl, ctl->out, "What to do", LABEL, reason_remedy(reason), TEXT_PLAIN);
    if (reference)
        text_paragraph(
            ctl, ctl->out, "", LABEL,
            "If it stays so, give this reference to your help desk; the server knows more of it "
            "(devtrust-server explain REFERENCE).",
            TEXT_PLAIN);
    text_paragraph(ctl, ctl->out, "Exit status", LABEL, status, TEXT_PLAIN);
    return CTL_GOOD;
}

static int explain_all_as_json(struct ctl *ctl) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct json_object *list = json_object_new_array();
    if (!object || json_fields_add(object, "reasons", list) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    for (int i = 0; i < REASON_COUNT_; i++) {
        struct json_object CLEANUP_JSON *entry = NULL;
        if (reason_object((enum reason)i, NULL, &entry) < 0 ||
            json_object_array_add(list, entry) < 0)
            return ctl_fail(ctl, REASON_NO_MEMORY);
        TAKE_PTR(entry);
    }
    ctl_print_json(ctl, object);
    return CTL_GOOD;
}

static int explain_all(struct ctl *ctl) {
    if (ctl->json)
        return explain_all_as_json(ctl);
    fprintf(
        ctl->out, "%s%-*s%s%s\n", text_begin(ctl, TEXT_BOLD), CODE_INDENT, "CODE", "MEANING",
        text_end(ctl, TEXT_BOLD));
    for (int i = 0; i < REASON_COUNT_; i++)
        if (i != REASON_NONE)
            text_paragraph(
                ctl, ctl->out, reason_code((enum reason)i), CODE_INDENT,
                reason_text((enum reason)i), TEXT_PLAIN);
    return CTL_GOOD;
}

static int explain_unknown(struct ctl *ctl, const char *code) {
    static const char all[] = "All of them: devtrustctl explain.";
    struct similar similar = {0};
    char remedy[SIMILAR_LIST_SIZE + sizeof all + 32];
    for (int i = 0; i < REASON_COUNT_; i++)
        similar_consider(&similar, code, reason_code((enum reason)i));
    snprintf(
        remedy, sizeof remedy, "%s%s%s%s", similar.count ? "Did you mean: " : "", similar.list,
        similar.count ? "? " : "", all);
    return ctl_fail_with(
        ctl, CTL_NO, reason_code(REASON_OTHER), "This version knows no such code:", code, remedy);
}

static int explain_reference(struct ctl *ctl, const char *text) {
    char reference[REFERENCE_SIZE];
    enum reason reason = REASON_OTHER;
    int r = reference_parse(text, reference, &reason);
    if (r == -EINVAL || r == -EBADMSG)
        return ctl_fail_with(
            ctl, CTL_NO, reason_code(REASON_OTHER),
            r == -EINVAL ? "A reference looks like DT-01-7K3QX9F; this is none:"
                         : "A character is wrong, or in the wrong place:",
            text, "Read it once more from the page; O is 0, I and L are 1.");
    return explain_one(ctl, reason, reference); /* of a newer server: "other" */
}

int ctl_explain(struct ctl *ctl, const struct ctl_arguments *arguments) {
    if (arguments->operand_count == 0)
        return explain_all(ctl);
    const char *code = arguments->operands[0];
    if (reference_is_meant(code))
        return explain_reference(ctl, code);
    enum reason reason = reason_from_code(code);
    /* every code that is not known reads as "other" */
    if (reason == REASON_OTHER && strcmp(code, reason_code(REASON_OTHER)) != 0)
        return explain_unknown(ctl, code);
    return explain_one(ctl, reason, NULL);
}
