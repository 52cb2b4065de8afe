/* Judges what is about to be pinned at enrolment. */
#include "daemon/trust_chain.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

static bool is_ca(X509 *certificate) {
    return X509_check_ca(certificate) == 1 &&
           (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) != 0;
}

static bool is_root(X509 *certificate) {
    return is_ca(certificate) && X509_self_signed(certificate, 1) == 1;
}

static bool is_signed_by(X509 *certificate, X509 *root) {
    return is_ca(certificate) && X509_check_issued(root, certificate) == X509_V_OK &&
           X509_verify(certificate, X509_get0_pubkey(root)) == 1;
}

int trust_chain_pick(STACK_OF(X509) * certificates, X509 **ret_root, X509 **ret_issuer) {
    X509 *root = NULL, *issuer = NULL;
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        if (!is_root(certificate))
            continue;
        if (root)
            return -EBADMSG;
        root = certificate;
    }
    if (!root)
        return -EBADMSG;
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        if (certificate == root || !is_signed_by(certificate, root))
            continue;
        if (issuer)
            return -EBADMSG;
        issuer = certificate;
    }
    if (!issuer)
        return -EBADMSG;
    X509_up_ref(root);
    X509_up_ref(issuer);
    *ret_root = root;
    *ret_issuer = issuer;
    return 0;
}
