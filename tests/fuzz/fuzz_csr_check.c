/* libs: common */
/* A signing request from a user's agent, as root reads it. */
#include "common/x509_csr.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct x509_csr_subject any = {NULL, NULL};
    const struct x509_csr_expectation expectation = {&any, true, KEY_TYPE_P256};
    CLEANUP_X509_REQ X509_REQ *request = NULL;
    CLEANUP_FREE char *uid = NULL, *serial_number = NULL;
    enum reason reason = REASON_NONE;

    if (x509_csr_check(data, size, &expectation, &request, &reason) < 0) {
        if (reason == REASON_NONE || request)
            abort();
        return 0;
    }
    /* what passed has exactly one form: it can be read, and it is what was sent */
    if (x509_csr_get_subject(request, &uid, &serial_number) < 0 || !serial_number)
        abort();
    unsigned char *der = NULL;
    int der_size = i2d_X509_REQ(request, &der);

    if (der_size < 0 || (size_t)der_size != size)
        abort();
    OPENSSL_free(der);
    return 0;
}
