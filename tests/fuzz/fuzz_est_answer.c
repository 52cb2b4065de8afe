/* libs: common */
/* What a server answers to an enrolment: body, then the judgement of whatever certificates were in
 * it. */
#include "common/est_message.h"
#include "common/x509_profile.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* With the first certificate's own key and root as what is expected, most of the judgement is
 * reached. */
static void judge(STACK_OF(X509) * certificates) {
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    uint8_t spki[SHA256_SIZE];
    enum reason reason = REASON_NONE;
    X509 *first = sk_X509_value(certificates, 0);
    char serial[X509_SERIAL_HEX_SIZE], *text;

    if (x509_cert_spki_sha256(first, spki) < 0)
        return;
    for (int kind = 0; kind < 2; kind++) {
        const struct x509_leaf_expectation expectation = {
            .spki_sha256 = spki,
            .device_uuid = "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11",
            .user_id = kind == 0 ? "u1" : NULL,
            .policy_oid = kind == 0 ? X509_POLICY_USER : X509_POLICY_DEVICE,
            .max_lifetime_s = INT64_MAX,
            .now_s = 1800000000,
        };

        if (x509_bundle_check(certificates, NULL, &expectation, &bundle, &reason) == 0)
            x509_bundle_deinit(&bundle);
        else if (reason == REASON_NONE)
            abort(); /* an error has a reason */
    }
    (void)x509_is_ours(first, first, spki, "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11");
    (void)x509_serial_hex(first, serial);
    text = x509_name_text(X509_get_subject_name(first));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP_CERTS STACK_OF(X509) *certificates = NULL;
    char value[64];
    size_t length = size < sizeof(value) - 1 ? size : sizeof(value) - 1;
    int64_t seconds;

    memcpy(value, data, length);
    value[length] = '\0';
    (void)est_is_pkcs7(value);
    if (est_retry_after(value, 1800000000, &seconds) == 0 && (seconds < 0 || seconds > 6 * 3600))
        abort();
    if (est_certs_decode((const char *)data, size, &certificates) == 0)
        judge(certificates);
    return 0;
}
