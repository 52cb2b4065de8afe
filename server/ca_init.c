/* Makes the two roots and their issuing CAs, once in the life of an installation. The root keys
 * leave this process encrypted and are never read again by any part of the server. */
#include "server/ca.h"

#include "common/atomic_file.h"
#include "server/ca_files.h"
#include "server/ca_tls.h"
#include "server/signer.h"
#include "server/x509_build.h"

#include <openssl/objects.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#define ROOT_LIFETIME_S (20LL * 366 * 86400)
#define CA_LIFETIME_S (10LL * 366 * 86400)
#define MIN_PASSPHRASE 12

struct authority {
    X509 *certificate;
    struct signer signer;
};

static const struct {
    const char *root_name, *ca_name; /* end of the common name */
    const char *root_file, *ca_file, *key_file, *root_key_file, *policy;
} kinds[CA_KIND_COUNT_] = {
    [CA_TRUST] =
        {" Device Trust Root", " Device Trust CA", CA_FILE_TRUST_ROOT, CA_FILE_TRUST_CA,
         CA_FILE_TRUST_KEY, CA_FILE_TRUST_ROOT_KEY, X509_POLICY_USER},
    [CA_DEVICE] =
        {" Device Identity Root", " Device Identity CA", CA_FILE_DEVICE_ROOT, CA_FILE_DEVICE_CA,
         CA_FILE_DEVICE_KEY, CA_FILE_DEVICE_ROOT_KEY, X509_POLICY_DEVICE},
};

static const char *const state_files[] = {
    CA_FILE_TRUST_ROOT, CA_FILE_TRUST_CA,   CA_FILE_TRUST_KEY, CA_FILE_DEVICE_ROOT,
    CA_FILE_DEVICE_CA,  CA_FILE_DEVICE_KEY, CA_FILE_TLS_CA,    CA_FILE_TLS_KEY_CA,
    CA_FILE_TLS_CHAIN,  CA_FILE_TLS_KEY};
static const char *const export_files[] = {CA_FILE_TRUST_ROOT_KEY, CA_FILE_DEVICE_ROOT_KEY};

__attribute__((format(printf, 4, 5))) static int fail(
    int error, char *ret_error, size_t size, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(ret_error, size, format, arguments);
    va_end(arguments);
    return error;
}

static void authority_deinit(struct authority *authority) {
    X509_free(authority->certificate);
    signer_deinit(&authority->signer);
}
#define CLEANUP_AUTHORITY CLEANUP(authority_deinit)

/* "<Organisation> Device Trust CA xxxxxxxx": digits of the key's hash, so that a successor has
 * another name and browsers can be told which one is meant. */
static int set_subject(
    X509 *certificate, const char *organisation, const char *middle, EVP_PKEY *key) {
    X509_NAME *subject = X509_get_subject_name(certificate);
    uint8_t hash[SHA256_SIZE];
    char digits[9], rest[64], cn[X509_PROFILE_CN_SIZE], o[X509_PROFILE_CN_SIZE];
    int r = x509_key_spki_sha256(key, hash);

    if (r < 0)
        return r;
    snprintf(rest, sizeof(rest), "%s %s", middle, hex_encode(hash, 4, digits));
    r = x509_profile_name(organisation, rest, cn, sizeof(cn));
    if (r == 0)
        r = x509_profile_name(organisation, "", o, sizeof(o));
    if (r == 0)
        r = x509_build_name(subject, NID_organizationName, o);
    return r < 0 ? r : x509_build_name(subject, NID_commonName, cn);
}

/* What a root and an issuing CA have in common; `parent` NULL makes a root. */
static int make_authority(
    const struct ca_init_options *options, enum ca_kind kind, const struct authority *parent,
    struct authority *ret) {
    static const int usages[] = {NID_client_auth, NID_OCSP_sign};
    const struct x509_build_validity validity = {
        options->now_s - X509_PROFILE_BACKDATE_S,
        options->now_s + (parent ? CA_LIFETIME_S : ROOT_LIFETIME_S)};
    CLEANUP_AUTHORITY struct authority authority = {0};
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    X509 *certificate, *issuer;
    int r = x509_key_generate(KEY_TYPE_P256, &key);

    if (r == 0)
        r = signer_from_key(key, &authority.signer);
    if (r == 0)
        r = x509_build_begin(&validity, NULL, &authority.certificate);
    if (r != 0)
        return r;
    certificate = authority.certificate;
    issuer = parent ? parent->certificate : certificate;
    r = set_subject(
        certificate, options->organisation, parent ? kinds[kind].ca_name : kinds[kind].root_name,
        key);
    if (r == 0 && (X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
                   X509_set_pubkey(certificate, key) != 1))
        r = -EIO;
    if (r == 0)
        r = x509_build_basic_constraints(certificate, parent ? 0 : -1);
    if (r == 0)
        r = x509_build_key_usage(certificate, KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    if (r == 0)
        r = x509_build_subject_key_id(certificate);
    if (r == 0 && parent) {
        r = x509_build_authority_key_id(certificate, issuer);
        if (r == 0)
            r = x509_build_extended_key_usage(certificate, usages, ARRAY_LENGTH(usages));
        if (r == 0)
            r = x509_build_policy(certificate, kinds[kind].policy);
    }
    if (r == 0)
        r = signer_sign_certificate(parent ? &parent->signer : &authority.signer, certificate);
    if (r == 0) {
        *ret = authority;
        authority = (struct authority){0};
    }
    return r;
}

static int make_kind(
    const struct ca_init_options *options, enum ca_kind kind, int dir_fd, int export_fd) {
    CLEANUP_AUTHORITY struct authority root = {0}, issuing = {0};
    int r = make_authority(options, kind, NULL, &root);

    if (r == 0)
        r = make_authority(options, kind, &root, &issuing);
    if (r == 0)
        r = ca_file_write_encrypted_key(
            export_fd, kinds[kind].root_key_file, signer_public_key(&root.signer),
            options->passphrase);
    if (r == 0)
        r = ca_file_write_certificates(dir_fd, kinds[kind].root_file, &root.certificate, 1);
    if (r == 0)
        r = ca_file_write_certificates(dir_fd, kinds[kind].ca_file, &issuing.certificate, 1);
    if (r == 0)
        r = ca_file_write_key(dir_fd, kinds[kind].key_file, signer_public_key(&issuing.signer));
    return r;
}

static int check_absent(
    int dir_fd, const char *dir, const char *const *names, size_t count, char *ret_error,
    size_t error_size) {
    for (size_t i = 0; i < count; i++) {
        if (faccessat(dir_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return fail(
                -EEXIST, ret_error, error_size,
                "%s/%s exists: this server is initialised; choose an empty directory, or keep it",
                dir, names[i]);
        if (errno != ENOENT)
            return fail(-errno, ret_error, error_size, "%s/%s: %s", dir, names[i], strerror(errno));
    }
    return 0;
}

static int check_options(
    const struct ca_init_options *options, char *ret_error, size_t error_size) {
    char name[X509_PROFILE_CN_SIZE];

    if (x509_profile_name(options->organisation, "", name, sizeof(name)) < 0 ||
        strcmp(name, options->organisation) != 0)
        return fail(
            -EINVAL, ret_error, error_size,
            "the organisation's name must have 1 to 64 characters, no control characters, and no "
            "blank at its end");
    if (!options->passphrase || secret_size(options->passphrase) < MIN_PASSPHRASE)
        return fail(
            -EINVAL, ret_error, error_size,
            "the passphrase of the root keys is too short; at least %d bytes are needed",
            MIN_PASSPHRASE);
    return 0;
}

static int open_dir(const char *path, int *ret_fd, char *ret_error, size_t error_size) {
    int r = atomic_file_make_dirs(path, 0700);

    if (r == 0) {
        r = atomic_file_open_dir(path);
        if (r >= 0) {
            *ret_fd = r;
            return 0;
        }
    }
    return fail(
        r, ret_error, error_size,
        "%s cannot be made or opened (%s); check its path and permissions", path, strerror(-r));
}

static void remove_all(int dir_fd, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        (void)atomic_file_remove(dir_fd, names[i]);
}

int ca_init(const struct ca_init_options *options, char *ret_error, size_t error_size) {
    CLEANUP_CLOSE int dir_fd = -1, export_fd = -1;
    int r = check_options(options, ret_error, error_size);

    if (r == 0)
        r = open_dir(options->dir, &dir_fd, ret_error, error_size);
    if (r == 0)
        r = open_dir(options->root_export_dir, &export_fd, ret_error, error_size);
    if (r == 0)
        r = check_absent(
            dir_fd, options->dir, state_files, ARRAY_LENGTH(state_files), ret_error, error_size);
    if (r == 0)
        r = check_absent(
            export_fd, options->root_export_dir, export_files, ARRAY_LENGTH(export_files),
            ret_error, error_size);
    if (r < 0)
        return r;
    for (int kind = 0; r == 0 && kind < CA_KIND_COUNT_; kind++) {
        r = make_kind(options, (enum ca_kind)kind, dir_fd, export_fd);
        if (r < 0)
            (void)fail(
                r, ret_error, error_size,
                "the CA files cannot be made (%s); check free space and permissions of %s and %s",
                strerror(-r), options->dir, options->root_export_dir);
    }
    if (r == 0 && options->hosts)
        r = ca_tls_init(dir_fd, options, ret_error, error_size);
    if (r < 0) {
        remove_all(dir_fd, state_files, ARRAY_LENGTH(state_files));
        remove_all(export_fd, export_files, ARRAY_LENGTH(export_files));
    }
    return r;
}
