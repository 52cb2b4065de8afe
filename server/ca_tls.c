/* Makes and renews the listeners' certificate. Its key stays when it is renewed: one file changes
 * then, so that a crash cannot leave a certificate without its key. */
#include "server/ca_tls.h"

#include "common/atomic_file.h"
#include "server/ca_files.h"
#include "server/signer.h"
#include "server/x509_build.h"

#include <openssl/objects.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define TLS_CA_LIFETIME_S (10LL * 366 * 86400)
#define TLS_LIFETIME_S                                                                             \
    (397LL * 86400) /* the most that browsers take from a public CA; habit makes it wise here */

static int make_ca(const char *organisation, int64_t now_s, struct signer *ret_signer, X509 **ret) {
    static const int server_auth[] = {NID_server_auth};
    const struct x509_build_validity validity = {
        now_s - X509_PROFILE_BACKDATE_S, now_s + TLS_CA_LIFETIME_S};
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_X509 X509 *certificate = NULL;
    X509_NAME *subject;
    char cn[X509_PROFILE_CN_SIZE];
    int r = x509_key_generate(KEY_TYPE_P256, &key);

    if (r == 0)
        r = x509_profile_name(organisation, " devtrust TLS CA", cn, sizeof(cn));
    if (r == 0)
        r = x509_build_begin(&validity, NULL, &certificate);
    if (r != 0)
        return r;
    subject = X509_get_subject_name(certificate);
    r = x509_build_name(subject, NID_commonName, cn);
    if (r == 0 &&
        (X509_set_issuer_name(certificate, subject) != 1 || X509_set_pubkey(certificate, key) != 1))
        r = -EIO;
    if (r == 0)
        r = x509_build_basic_constraints(certificate, 0);
    if (r == 0)
        r = x509_build_key_usage(certificate, KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    if (r == 0)
        r = x509_build_extended_key_usage(certificate, server_auth, ARRAY_LENGTH(server_auth));
    if (r == 0)
        r = x509_build_subject_key_id(certificate);
    if (r == 0)
        r = signer_from_key(key, ret_signer);
    if (r != 0)
        return r;
    r = signer_sign_certificate(ret_signer, certificate);
    if (r == 0)
        *ret = TAKE_PTR(certificate);
    return r;
}

/* A host is an address or a DNS name; no wildcard comes from the command line. */
static int add_host(GENERAL_NAMES *names, const char *host) {
    uint8_t address[16];

    if (inet_pton(AF_INET, host, address) == 1)
        return x509_build_ip(names, address, 4);
    if (inet_pton(AF_INET6, host, address) == 1)
        return x509_build_ip(names, address, 16);
    if (host[0] == '.' || host[0] == '-' ||
        host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] !=
            '\0')
        return -EINVAL;
    return x509_build_general_name(names, GEN_DNS, host);
}

static int fail(int error, const char *what, const char *value, char *ret_error, size_t size) {
    snprintf(ret_error, size, "%.300s%s%.128s", value, *value ? ": " : "", what);
    return error;
}

static int make_names(
    const struct ca_init_options *options, GENERAL_NAMES *names, char *ret_error,
    size_t error_size) {
    char wildcard[256];
    int r;

    if (!options->hosts[0])
        return fail(
            -EINVAL, "name at least one host for the listeners' certificate", "", ret_error,
            error_size);
    for (size_t i = 0; options->hosts[i]; i++) {
        if (i >= CA_MAX_HOSTS)
            return fail(
                -EINVAL, "too many hosts; name 16 at most", options->hosts[i], ret_error,
                error_size);
        r = add_host(names, options->hosts[i]);
        if (r < 0)
            return fail(
                r, "is no host name and no IP address", options->hosts[i], ret_error, error_size);
    }
    if (!options->check_domain)
        return 0;
    if (options->check_domain[0] == '\0' ||
        options->check_domain[strspn(
            options->check_domain, "abcdefghijklmnopqrstuvwxyz0123456789.-")] != '\0')
        return fail(
            -EINVAL,
            "is no domain name; give it in lower case, without wildcard, such as check.example.com",
            options->check_domain, ret_error, error_size);
    if (snprintf(wildcard, sizeof(wildcard), "*.%s", options->check_domain) >=
        (int)sizeof(wildcard))
        return fail(-EINVAL, "is too long", options->check_domain, ret_error, error_size);
    return x509_build_general_name(names, GEN_DNS, wildcard);
}

static int make_server_certificate(
    X509 *ca, const struct signer *signer, EVP_PKEY *key, GENERAL_NAMES *names, const char *cn,
    int64_t now_s, X509 **ret) {
    static const int server_auth[] = {NID_server_auth};
    const struct x509_build_validity validity = {
        now_s - X509_PROFILE_BACKDATE_S, now_s + TLS_LIFETIME_S};
    CLEANUP_X509 X509 *certificate = NULL;
    int r = x509_build_begin(&validity, X509_get_subject_name(ca), &certificate);

    if (r < 0)
        return r;
    r = x509_build_name(X509_get_subject_name(certificate), NID_commonName, cn);
    if (r == 0 && X509_set_pubkey(certificate, key) != 1)
        r = -EIO;
    if (r == 0)
        r = x509_build_basic_constraints(certificate, X509_BUILD_LEAF);
    if (r == 0)
        r = x509_build_key_usage(certificate, KU_DIGITAL_SIGNATURE);
    if (r == 0)
        r = x509_build_extended_key_usage(certificate, server_auth, ARRAY_LENGTH(server_auth));
    if (r == 0)
        r = x509_build_subject_key_id(certificate);
    if (r == 0)
        r = x509_build_authority_key_id(certificate, ca);
    if (r == 0)
        r = x509_build_extension(certificate, NID_subject_alt_name, false, names);
    if (r == 0)
        r = signer_sign_certificate(signer, certificate);
    if (r == 0)
        *ret = TAKE_PTR(certificate);
    return r;
}

int ca_tls_init(
    int dir_fd, const struct ca_init_options *options, char *ret_error, size_t error_size) {
    CLEANUP_SIGNER struct signer signer = {0};
    CLEANUP_X509 X509 *ca = NULL, *certificate = NULL;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_GENERAL_NAMES GENERAL_NAMES *names = GENERAL_NAMES_new();
    char cn[X509_PROFILE_CN_SIZE];
    int r;

    if (!names)
        return fail(-ENOMEM, "memory is out", "", ret_error, error_size);
    r = make_names(options, names, ret_error, error_size);
    if (r < 0)
        return r;
    r = make_ca(options->organisation, options->now_s, &signer, &ca);
    if (r == 0)
        r = x509_key_generate(KEY_TYPE_P256, &key);
    if (r == 0)
        r = x509_profile_name(options->organisation, " devtrust server", cn, sizeof(cn));
    if (r == 0)
        r = make_server_certificate(ca, &signer, key, names, cn, options->now_s, &certificate);
    if (r == 0)
        r = ca_file_write_key(dir_fd, CA_FILE_TLS_KEY_CA, signer_public_key(&signer));
    if (r == 0)
        r = ca_file_write_certificates(dir_fd, CA_FILE_TLS_CA, &ca, 1);
    if (r == 0)
        r = ca_file_write_key(dir_fd, CA_FILE_TLS_KEY, key);
    if (r == 0)
        r = ca_file_write_certificates(
            dir_fd, CA_FILE_TLS_CHAIN, (X509 *const[]){certificate, ca}, 2);
    return r < 0 ? fail(
                       r, "the listeners' certificate cannot be made", strerror(-r), ret_error,
                       error_size)
                 : 0;
}

/* --- renewal --- */

static bool is_due(X509 *certificate, int64_t now_s) {
    int64_t not_before, not_after;

    if (x509_not_before(certificate, &not_before) < 0 ||
        x509_not_after(certificate, &not_after) < 0)
        return false;
    return not_after - now_s < (not_after - not_before) / 3;
}

static int renew(int dir_fd, X509 *old, int64_t now_s) {
    CLEANUP_SIGNER struct signer signer = {0};
    CLEANUP_X509 X509 *ca = NULL, *certificate = NULL;
    CLEANUP_GENERAL_NAMES GENERAL_NAMES *names =
        X509_get_ext_d2i(old, NID_subject_alt_name, NULL, NULL);
    CLEANUP_FREE char *cn = NULL;
    int r = ca_file_read_certificate(dir_fd, CA_FILE_TLS_CA, &ca);

    if (r == 0)
        r = signer_file_open(dir_fd, CA_FILE_TLS_KEY_CA, &signer);
    if (r == 0)
        r = x509_subject_text(old, NID_commonName, &cn);
    if (r != 0)
        return r;
    if (!names || X509_verify(old, X509_get0_pubkey(ca)) != 1)
        return -EBADMSG;
    r = make_server_certificate(ca, &signer, X509_get0_pubkey(old), names, cn, now_s, &certificate);
    if (r == 0)
        r = ca_file_write_certificates(
            dir_fd, CA_FILE_TLS_CHAIN, (X509 *const[]){certificate, ca}, 2);
    return r;
}

int ca_tls_renew(const char *dir, int64_t now_s) {
    CLEANUP_CLOSE int dir_fd = atomic_file_open_dir(dir);
    CLEANUP_X509 X509 *old = NULL;
    int r;

    if (dir_fd < 0)
        return dir_fd;
    r = ca_file_read_certificate(dir_fd, CA_FILE_TLS_CHAIN, &old);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (!is_due(old, now_s))
        return 0;
    r = renew(dir_fd, old, now_s);
    return r < 0 ? r : 1;
}
