/* `cert show`: what is in the stores now. What is printed of a certificate is read from the
 * certificate itself. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/pkcs11_uri.h"
#include "ipc/ctl/text.h"
#include "ipc/ctl/whom.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <json-c/json.h>
#include <openssl/pem.h>
#include <string.h>

#define LABEL 14

/* What is printed of each certificate. */
enum form { FORM_PERSON, FORM_JSON, FORM_PEM, FORM_URI };

struct shown {
    const char *user, *der;
    bool verified;
    struct json_object *stores;
};

static const struct json_field shown_table[] = {
    JSON_FIELD(struct shown, user, "user", JSON_FIELD_STRING, true, 1, 0),
    JSON_FIELD(
        struct shown, der, "der", JSON_FIELD_STRING, true, 1, (int64_t)2 * X509_MAX_DER_SIZE),
    JSON_FIELD(struct shown, verified, "verified", JSON_FIELD_BOOL, true, 0, 0),
    JSON_FIELD(struct shown, stores, "stores", JSON_FIELD_ARRAY, true, 0, 0),
};

struct missing {
    const char *user, *code;
};

static const struct json_field missing_table[] = {
    JSON_FIELD(struct missing, user, "user", JSON_FIELD_STRING, true, 1, 0),
    JSON_FIELD(struct missing, code, "code", JSON_FIELD_STRING, true, 1, 64),
};

struct answer {
    struct json_object *certificates, *missing;
};

static const struct json_field answer_table[] = {
    JSON_FIELD(struct answer, certificates, "certificates", JSON_FIELD_ARRAY, true, 0, 0),
    JSON_FIELD(struct answer, missing, "missing", JSON_FIELD_ARRAY, true, 0, 0),
};

static int read_object(
    struct json_object *object, const struct json_field *table, size_t count, void *ret) {
    if (!json_object_is_type(object, json_type_object))
        return -EINVAL;
    return json_fields_read(object, table, count, ret, NULL);
}

/* ---- one certificate ---- */

static void print_store(const struct ctl *ctl, const char *label, struct json_object *object) {
    struct store {
        const char *kind, *path, *code;
        bool ok;
    } store = {0};
    static const struct json_field table[] = {
        JSON_FIELD(struct store, kind, "kind", JSON_FIELD_STRING, true, 1, 0),
        JSON_FIELD(struct store, path, "path", JSON_FIELD_STRING, true, 0, 4096),
        JSON_FIELD(struct store, code, "code", JSON_FIELD_STRING, false, 0, 64),
        JSON_FIELD(struct store, ok, "ok", JSON_FIELD_BOOL, true, 0, 0),
    };
    if (read_object(object, table, ARRAY_LENGTH(table), &store) < 0)
        return;
    char text[TEXT_SAFE_SIZE];
    snprintf(text, sizeof text, "%s (%s)", store.path, store.kind);
    text_paragraph(ctl, ctl->out, label, LABEL, text, TEXT_PLAIN);
    if (!store.ok)
        text_paragraph(
            ctl, ctl->out, "", LABEL, text_reason(store.code ? store.code : "store-error", text),
            TEXT_BAD);
}

static void print_names(const struct ctl *ctl, X509 *certificate) {
    char CLEANUP_FREE *subject = x509_name_text(X509_get_subject_name(certificate));
    char CLEANUP_FREE *issuer = x509_name_text(X509_get_issuer_name(certificate));
    char serial[X509_SERIAL_HEX_SIZE];
    text_paragraph(ctl, ctl->out, "  subject", LABEL, subject ? subject : "?", TEXT_PLAIN);
    text_paragraph(ctl, ctl->out, "  issuer", LABEL, issuer ? issuer : "?", TEXT_PLAIN);
    if (x509_serial_hex(certificate, serial) == 0)
        text_paragraph(ctl, ctl->out, "  serial", LABEL, serial, TEXT_PLAIN);
}

static void print_certificate(
    const struct ctl *ctl, const struct shown *shown, X509 *certificate, int64_t not_before,
    int64_t not_after) {
    char when[2 * TEXT_TIME_SIZE];
    int64_t now = ctl->now();
    text_paragraph(ctl, ctl->out, "", 0, shown->user, TEXT_BOLD);
    print_names(ctl, certificate);
    text_paragraph(
        ctl, ctl->out, "  not before", LABEL, text_time_and_distance(not_before, now, when),
        TEXT_PLAIN);
    text_paragraph(
        ctl, ctl->out, "  not after", LABEL, text_time_and_distance(not_after, now, when),
        not_after > now ? TEXT_GOOD : TEXT_BAD);
    text_paragraph(
        ctl, ctl->out, "  key", LABEL,
        shown->verified ? "in the store; a test signature was good"
                        : "not verified; look at the agent's log",
        shown->verified ? TEXT_GOOD : TEXT_BAD);
    for (size_t i = 0; i < json_object_array_length(shown->stores); i++)
        print_store(ctl, i == 0 ? "  stores" : "", json_object_array_get_idx(shown->stores, i));
}

static int print_uri(struct ctl *ctl, X509 *certificate) {
    char uri[PKCS11_URI_SIZE];

    if (pkcs11_uri(certificate, uri) < 0)
        return -EBADMSG;
    fprintf(ctl->out, "%s\n", uri);
    return 0;
}

/* Prints one in the form that is wanted. Returns an exit status. */
static int show(struct ctl *ctl, struct json_object *object, enum form form) {
    struct shown shown = {0};
    X509 CLEANUP_X509 *certificate = NULL;
    int64_t not_before, not_after;
    if (read_object(object, shown_table, ARRAY_LENGTH(shown_table), &shown) < 0 ||
        x509_cert_from_base64(shown.der, &certificate) < 0 ||
        x509_not_before(certificate, &not_before) < 0 ||
        x509_not_after(certificate, &not_after) < 0)
        return ctl_fail_with(
            ctl, CTL_NO, reason_code(REASON_BUNDLE_INVALID),
            "devtrustd has sent something that is no certificate.", NULL,
            "Install the same version of devtrustd, devtrust-agent and devtrustctl.");
    if (form == FORM_PERSON)
        print_certificate(ctl, &shown, certificate, not_before, not_after);
    if ((form == FORM_PEM && PEM_write_X509(ctl->out, certificate) != 1) ||
        (form == FORM_URI && print_uri(ctl, certificate) < 0))
        return ctl_fail(ctl, REASON_INTERNAL);
    return shown.verified && not_after > ctl->now() ? CTL_GOOD : CTL_NO;
}

/* ---- all ---- */

static int show_missing(struct ctl *ctl, struct json_object *object) {
    struct missing missing = {0};
    if (read_object(object, missing_table, ARRAY_LENGTH(missing_table), &missing) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    char text[TEXT_SAFE_SIZE];
    if (ctl->json)
        return CTL_NO;
    text_paragraph(ctl, ctl->err, "", 0, missing.user, TEXT_PLAIN);
    text_paragraph(ctl, ctl->err, "  missing", LABEL, text_reason(missing.code, text), TEXT_PLAIN);
    text_paragraph(
        ctl, ctl->err, "", LABEL, reason_remedy(reason_from_code(missing.code)), TEXT_PLAIN);
    return CTL_NO;
}

static int show_all(struct ctl *ctl, const struct answer *answer, enum form form) {
    size_t certificates = json_object_array_length(answer->certificates);
    size_t missing = json_object_array_length(answer->missing);
    int result = CTL_GOOD;
    for (size_t i = 0; i < certificates; i++) {
        if (i > 0 && form == FORM_PERSON)
            fputc('\n', ctl->out);
        int one = show(ctl, json_object_array_get_idx(answer->certificates, i), form);
        result = one > result ? one : result;
    }
    for (size_t i = 0; i < missing; i++) {
        int one = show_missing(ctl, json_object_array_get_idx(answer->missing, i));
        result = one > result ? one : result;
    }
    if (certificates + missing > 0)
        return result;
    return ctl->json ? CTL_NO : ctl_fail(ctl, REASON_NO_CERTIFICATE);
}

/* CTL_GOOD, or CTL_USAGE where more than one form is asked for. */
static int form_of(struct ctl *ctl, const struct ctl_arguments *arguments, enum form *ret) {
    bool pem = arguments->options[CTL_OPTION_PEM] != NULL;
    bool uri = arguments->options[CTL_OPTION_PKCS11_URI] != NULL;

    if (pem + uri + ctl->json > 1)
        return ctl_usage(ctl, "--pem, --pkcs11-uri and --json exclude each other.", NULL);
    *ret = pem ? FORM_PEM : uri ? FORM_URI : ctl->json ? FORM_JSON : FORM_PERSON;
    return CTL_GOOD;
}

int ctl_cert_show(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct json_object CLEANUP_JSON *parameters = NULL;
    struct json_object CLEANUP_JSON *reply = NULL;
    struct answer answer = {0};
    enum form form = FORM_PERSON;
    int status = form_of(ctl, arguments, &form);
    if (status == CTL_GOOD)
        status = whom_parameters(ctl, arguments, &parameters);
    if (status == CTL_GOOD)
        status = ctl_call(ctl, "io.devtrust.Device.GetCertificates", TAKE_PTR(parameters), &reply);
    if (status != CTL_GOOD)
        return status;
    if (read_object(reply, answer_table, ARRAY_LENGTH(answer_table), &answer) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    if (ctl->json)
        ctl_print_json(ctl, reply);
    return show_all(ctl, &answer, form);
}
