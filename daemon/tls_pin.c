/* The verification callback behind a CA pin (RFC 7469's hash, of a CA that the administrator
 * names). */
#include "daemon/tls_pin.h"

#include <openssl/crypto.h>
#include <openssl/x509_vfy.h>

static X509 *find_pinned(STACK_OF(X509) * chain, const uint8_t pin[SHA256_SIZE]) {
    for (int i = 0; i < sk_X509_num(chain); i++) {
        uint8_t hash[SHA256_SIZE];
        X509 *certificate = sk_X509_value(chain, i);
        if (x509_cert_spki_sha256(certificate, hash) == 0 &&
            CRYPTO_memcmp(hash, pin, SHA256_SIZE) == 0)
            return certificate;
    }
    return NULL;
}

/* SSL_CTX_set_cert_verify_callback(3): 1 for a good chain, 0 for a bad one with its error set. */
static int verify(X509_STORE_CTX *context, void *userdata) {
    X509 *pinned = find_pinned(X509_STORE_CTX_get0_untrusted(context), userdata);
    if (!pinned) {
        X509_STORE_CTX_set_error(context, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        return 0;
    }
    STACK_OF(X509) *anchors = sk_X509_new_reserve(NULL, 1);
    if (!anchors) {
        X509_STORE_CTX_set_error(context, X509_V_ERR_OUT_OF_MEM);
        return 0;
    }
    sk_X509_push(anchors, pinned);
    X509_STORE_CTX_set0_trusted_stack(context, anchors);
    /* The pinned one may stand below its own root: it ends the chain all the same. */
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    int verified = X509_verify_cert(context);
    X509_STORE_CTX_set0_trusted_stack(context, NULL);
    sk_X509_free(anchors); /* the certificates are the connection's */
    return verified == 1;
}

void tls_pin_install(SSL_CTX *context, const uint8_t pin[SHA256_SIZE]) {
    /* OpenSSL hands the pointer back as it got it; verify() only reads. */
    SSL_CTX_set_cert_verify_callback(context, verify, (void *)(uintptr_t)pin);
}
