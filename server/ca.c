/* Opens the two issuing CAs and issues leaves. What is the same in every leaf of a kind is built
 * once, because building extensions costs as much as the signature. */
#include "server/ca.h"

#include "common/atomic_file.h"
#include "common/random.h"
#include "server/ca_files.h"
#include "server/signer.h"
#include "server/x509_build.h"

#include <openssl/objects.h>
#include <openssl/x509_vfy.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define UUID_PREFIX "urn:uuid:"

struct issuer {
    X509 *certificate, *root;
    STACK_OF(X509) * chain; /* certificate, root */
    struct signer signer;
    X509 *template; /* carries the extensions that all leaves share */
    int64_t not_after_s;
};

struct ca {
    struct issuer issuers[CA_KIND_COUNT_];
    char tls_pin[SHA256_HEX_SIZE];
};

static const struct {
    const char *what, *root_file, *ca_file, *key_file, *policy;
} kinds[CA_KIND_COUNT_] = {
    [CA_TRUST] =
        {"trust", CA_FILE_TRUST_ROOT, CA_FILE_TRUST_CA, CA_FILE_TRUST_KEY, X509_POLICY_USER},
    [CA_DEVICE] =
        {"device", CA_FILE_DEVICE_ROOT, CA_FILE_DEVICE_CA, CA_FILE_DEVICE_KEY, X509_POLICY_DEVICE},
};

__attribute__((format(printf, 4, 5))) static int fail(
    int error, char *ret_error, size_t size, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(ret_error, size, format, arguments);
    va_end(arguments);
    return error;
}

/* --- opening --- */

static int make_template(X509 *issuer, const char *policy, const char *crl_url, X509 **ret) {
    static const int client_auth[] = {NID_client_auth};
    CLEANUP_X509 X509 *template = X509_new();
    int r = template ? x509_build_basic_constraints(template, X509_BUILD_LEAF) : -ENOMEM;

    if (r == 0)
        r = x509_build_key_usage(template, KU_DIGITAL_SIGNATURE);
    if (r == 0)
        r = x509_build_extended_key_usage(template, client_auth, ARRAY_LENGTH(client_auth));
    if (r == 0)
        r = x509_build_policy(template, policy);
    if (r == 0)
        r = x509_build_authority_key_id(template, issuer);
    if (r == 0 && crl_url)
        r = x509_build_crl_point(template, crl_url);
    if (r == 0)
        *ret = TAKE_PTR(template);
    return r;
}

static bool is_issuing_ca_of(X509 *certificate, X509 *root) {
    EVP_PKEY *root_key = X509_get0_pubkey(root);

    return root_key && X509_self_signed(root, 1) == 1 && X509_check_ca(root) == 1 &&
           X509_check_ca(certificate) == 1 && X509_get_pathlen(certificate) == 0 &&
           X509_verify(certificate, root_key) == 1 && X509_self_signed(certificate, 0) == 0;
}

static int read_certificate(
    int dir_fd, const char *name, X509 **ret, char *ret_error, size_t error_size) {
    int r = ca_file_read_certificate(dir_fd, name, ret);

    if (r == -ENOENT)
        return fail(
            r, ret_error, error_size,
            "%s is missing in the state directory; run devtrust-server init, or restore a backup",
            name);
    if (r < 0)
        return fail(
            r, ret_error, error_size,
            "%s cannot be read as a PEM certificate (%s); restore it from a backup", name,
            strerror(-r));
    return 0;
}

static int read_key(
    int dir_fd, const char *name, struct signer *ret, char *ret_error, size_t error_size) {
    int r = signer_file_open(dir_fd, name, ret);

    if (r == -EPERM)
        return fail(
            r, ret_error, error_size,
            "%s is open to others or belongs to another user; make it this service's own, mode "
            "0600",
            name);
    if (r < 0)
        return fail(
            r, ret_error, error_size,
            "%s cannot be read as an unencrypted PEM key (%s); restore it from a backup", name,
            strerror(-r));
    return 0;
}

static int issuer_check(
    const struct issuer *issuer, enum ca_kind kind, int64_t now_s, char *ret_error,
    size_t error_size) {
    if (!is_issuing_ca_of(issuer->certificate, issuer->root))
        return fail(
            -EBADMSG, ret_error, error_size,
            "%s is no issuing CA (pathlen 0) under %s; restore both from one backup",
            kinds[kind].ca_file, kinds[kind].root_file);
    if (EVP_PKEY_eq(X509_get0_pubkey(issuer->certificate), signer_public_key(&issuer->signer)) != 1)
        return fail(
            -EBADMSG, ret_error, error_size,
            "%s is not the key of %s; restore both from one backup", kinds[kind].key_file,
            kinds[kind].ca_file);
    if (issuer->not_after_s <= now_s)
        return fail(
            -EKEYEXPIRED, ret_error, error_size,
            "%s has expired; set the clock, or make a new issuing CA from the exported root key",
            kinds[kind].ca_file);
    return 0;
}

static int issuer_open(
    struct issuer *issuer, enum ca_kind kind, int dir_fd, const char *crl_url, int64_t now_s,
    char *ret_error, size_t error_size) {
    int r = read_certificate(dir_fd, kinds[kind].root_file, &issuer->root, ret_error, error_size);

    if (r == 0)
        r = read_certificate(
            dir_fd, kinds[kind].ca_file, &issuer->certificate, ret_error, error_size);
    if (r == 0)
        r = read_key(dir_fd, kinds[kind].key_file, &issuer->signer, ret_error, error_size);
    if (r < 0)
        return r;
    if (x509_not_after(issuer->certificate, &issuer->not_after_s) < 0)
        return fail(-EBADMSG, ret_error, error_size, "%s has no valid end", kinds[kind].ca_file);
    r = issuer_check(issuer, kind, now_s, ret_error, error_size);
    if (r < 0)
        return r;
    r = make_template(issuer->certificate, kinds[kind].policy, crl_url, &issuer->template);
    if (r < 0)
        return fail(
            r, ret_error, error_size,
            "the leaf profile of the %s CA cannot be built (%s); check the CRL address %s",
            kinds[kind].what, strerror(-r), crl_url ? crl_url : "(none)");
    issuer->chain = sk_X509_new_null();
    if (!issuer->chain ||
        X509_add_cert(issuer->chain, issuer->certificate, X509_ADD_FLAG_UP_REF) != 1 ||
        X509_add_cert(issuer->chain, issuer->root, X509_ADD_FLAG_UP_REF) != 1)
        return fail(-ENOMEM, ret_error, error_size, "memory is out");
    return 0;
}

static void issuer_deinit(struct issuer *issuer) {
    X509_free(issuer->certificate);
    X509_free(issuer->root);
    X509_free(issuer->template);
    sk_X509_pop_free(issuer->chain, X509_free);
    signer_deinit(&issuer->signer);
}

static void read_tls_pin(int dir_fd, char ret[SHA256_HEX_SIZE]) {
    CLEANUP_X509 X509 *certificate = NULL;
    uint8_t hash[SHA256_SIZE];

    ret[0] = '\0';
    if (ca_file_read_certificate(dir_fd, CA_FILE_TLS_CA, &certificate) == 0 &&
        x509_cert_spki_sha256(certificate, hash) == 0)
        hex_encode(hash, sizeof(hash), ret);
}

static void ca_free_ptr(struct ca **ca) {
    ca_free(*ca);
}

int ca_open(
    const struct ca_options *options, int64_t now_s, struct ca **ret, char *ret_error,
    size_t error_size) {
    CLEANUP_CLOSE int dir_fd = atomic_file_open_dir(options->dir);
    CLEANUP(ca_free_ptr) struct ca *ca = calloc(1, sizeof(*ca));

    if (dir_fd < 0)
        return fail(
            dir_fd, ret_error, error_size,
            "%s cannot be opened (%s); run devtrust-server init first", options->dir,
            strerror(-dir_fd));
    if (!ca)
        return fail(-ENOMEM, ret_error, error_size, "memory is out");
    for (int kind = 0; kind < CA_KIND_COUNT_; kind++) {
        int r = issuer_open(
            &ca->issuers[kind], (enum ca_kind)kind, dir_fd, options->crl_url[kind], now_s,
            ret_error, error_size);

        if (r < 0)
            return r;
    }
    read_tls_pin(dir_fd, ca->tls_pin);
    *ret = TAKE_PTR(ca);
    return 0;
}

struct ca *ca_free(struct ca *ca) {
    if (!ca)
        return NULL;
    for (int kind = 0; kind < CA_KIND_COUNT_; kind++)
        issuer_deinit(&ca->issuers[kind]);
    free(ca);
    return NULL;
}

/* --- issuing --- */

/* Copies the SubjectPublicKeyInfo as it stands: decoding and encoding the key again costs more than
 * the signature. */
static int copy_public_key(X509 *certificate, X509_REQ *request) {
    ASN1_OBJECT *algorithm, *copy;
    X509_ALGOR *identifier;
    const unsigned char *bits;
    const void *parameter;
    unsigned char *bits_copy;
    void *parameter_copy = NULL;
    int size, type;

    if (X509_PUBKEY_get0_param(
            &algorithm, &bits, &size, &identifier, X509_REQ_get_X509_PUBKEY(request)) != 1)
        return -EINVAL;
    X509_ALGOR_get0(NULL, &type, &parameter, identifier);
    if (type != V_ASN1_OBJECT && type != V_ASN1_NULL)
        return -EINVAL; /* x509_csr_check() lets nothing else pass */
    if (type == V_ASN1_OBJECT && !(parameter_copy = OBJ_dup(parameter)))
        return -ENOMEM;
    copy = OBJ_dup(algorithm);
    bits_copy = OPENSSL_memdup(bits, (size_t)size);
    if (!copy || !bits_copy ||
        X509_PUBKEY_set0_param(
            X509_get_X509_PUBKEY(certificate), copy, type, parameter_copy, bits_copy, size) != 1) {
        ASN1_OBJECT_free(copy);
        ASN1_OBJECT_free(parameter_copy);
        OPENSSL_free(bits_copy);
        return -ENOMEM;
    }
    return 0;
}

static int begin_leaf(
    const struct issuer *issuer, int64_t now_s, int64_t lifetime_s, X509_REQ *request, X509 **ret) {
    CLEANUP_X509 X509 *certificate = NULL;
    struct x509_build_validity validity = {.not_before_s = now_s - X509_PROFILE_BACKDATE_S};
    int r;

    if (lifetime_s <= 0 || now_s >= issuer->not_after_s)
        return -EINVAL;
    validity.not_after_s =
        lifetime_s < issuer->not_after_s - now_s ? now_s + lifetime_s : issuer->not_after_s;
    r = x509_build_begin(&validity, X509_get_subject_name(issuer->certificate), &certificate);
    if (r == 0)
        r = copy_public_key(certificate, request);
    if (r < 0)
        return r;
    for (int i = 0; i < X509_get_ext_count(issuer->template); i++)
        if (X509_add_ext(certificate, X509_get_ext(issuer->template, i), -1) != 1)
            return -ENOMEM;
    r = x509_build_subject_key_id(certificate);
    if (r == 0)
        *ret = TAKE_PTR(certificate);
    return r;
}

static int finish_leaf(
    const struct issuer *issuer, X509 *certificate, GENERAL_NAMES *names, X509 **ret) {
    int r = x509_build_extension(certificate, NID_subject_alt_name, false, names);

    if (r == 0)
        r = signer_sign_certificate(&issuer->signer, certificate);
    if (r == 0)
        *ret = certificate;
    return r;
}

static int add_device(GENERAL_NAMES *names, const char *device_uuid) {
    char uri[64];

    if (!random_uuid_is_valid(device_uuid) ||
        x509_profile_device_uri(device_uuid, uri, sizeof(uri)) < 0)
        return -EINVAL;
    return x509_build_general_name(names, GEN_URI, uri);
}

static int user_names(const struct ca_user_leaf *leaf, GENERAL_NAMES *names) {
    char uri[160];
    int r = add_device(names, leaf->device_uuid);

    if (r < 0)
        return r;
    if (leaf->user_id[0] == '\0' || x509_profile_user_uri(leaf->user_id, uri, sizeof(uri)) < 0)
        return -EINVAL;
    r = x509_build_general_name(names, GEN_URI, uri);
    if (r == 0 && leaf->mail)
        r = x509_build_general_name(names, GEN_EMAIL, leaf->mail);
    if (r == 0 && leaf->upn)
        r = x509_build_upn(names, leaf->upn);
    return r;
}

static int set_user_subject(X509 *certificate, const char *organisation) {
    char cn[X509_PROFILE_CN_SIZE];
    const uint8_t *serial = ASN1_STRING_get0_data(X509_get0_serialNumber(certificate));
    int r = x509_profile_user_cn(organisation, serial, cn, sizeof(cn));

    return r < 0 ? r : x509_build_name(X509_get_subject_name(certificate), NID_commonName, cn);
}

int ca_issue_user(
    const struct ca *ca, const struct ca_user_leaf *leaf, X509_REQ *request, X509 **ret) {
    const struct issuer *issuer = &ca->issuers[CA_TRUST];
    CLEANUP_X509 X509 *certificate = NULL;
    CLEANUP_GENERAL_NAMES GENERAL_NAMES *names = GENERAL_NAMES_new();
    int r = names ? user_names(leaf, names) : -ENOMEM;

    if (r == 0)
        r = begin_leaf(issuer, leaf->now_s, leaf->lifetime_s, request, &certificate);
    if (r == 0)
        r = set_user_subject(certificate, leaf->organisation);
    if (r == 0)
        r = finish_leaf(issuer, certificate, names, ret);
    if (r == 0)
        certificate = NULL;
    return r;
}

int ca_issue_device(
    const struct ca *ca, const struct ca_device_leaf *leaf, X509_REQ *request, X509 **ret) {
    const struct issuer *issuer = &ca->issuers[CA_DEVICE];
    CLEANUP_X509 X509 *certificate = NULL;
    CLEANUP_GENERAL_NAMES GENERAL_NAMES *names = GENERAL_NAMES_new();
    int r = names ? add_device(names, leaf->device_uuid) : -ENOMEM;

    if (r == 0)
        r = begin_leaf(issuer, leaf->now_s, leaf->lifetime_s, request, &certificate);
    if (r == 0)
        r = x509_build_name(X509_get_subject_name(certificate), NID_commonName, leaf->device_uuid);
    if (r == 0)
        r = finish_leaf(issuer, certificate, names, ret);
    if (r == 0)
        certificate = NULL;
    return r;
}

/* --- what others ask --- */

STACK_OF(X509) * ca_chain(const struct ca *ca, enum ca_kind kind) {
    return ca->issuers[kind].chain;
}

X509 *ca_issuer(const struct ca *ca, enum ca_kind kind) {
    return ca->issuers[kind].certificate;
}

X509 *ca_root(const struct ca *ca, enum ca_kind kind) {
    return ca->issuers[kind].root;
}

const struct signer *ca_signer(const struct ca *ca, enum ca_kind kind) {
    return &ca->issuers[kind].signer;
}

const char *ca_tls_pin(const struct ca *ca) {
    return ca->tls_pin;
}

static bool is_leaf_of(const struct issuer *issuer, const char *policy, X509 *certificate) {
    const ASN1_OCTET_STRING *authority = X509_get0_authority_key_id(certificate);
    const ASN1_OCTET_STRING *own = X509_get0_subject_key_id(issuer->certificate);

    /* every leaf of ours names its authority's key: that spares the signature check of the other
     * kind */
    if (!authority || !own || ASN1_OCTET_STRING_cmp(authority, own) != 0)
        return false;
    return X509_check_ca(certificate) == 0 && x509_has_policy(certificate, policy) &&
           X509_verify(certificate, X509_get0_pubkey(issuer->certificate)) == 1;
}

enum ca_leaf_kind ca_leaf_kind(const struct ca *ca, X509 *certificate) {
    if (is_leaf_of(&ca->issuers[CA_TRUST], kinds[CA_TRUST].policy, certificate))
        return CA_LEAF_USER;
    if (is_leaf_of(&ca->issuers[CA_DEVICE], kinds[CA_DEVICE].policy, certificate))
        return CA_LEAF_DEVICE;
    return CA_LEAF_FOREIGN;
}

int ca_leaf_device_uuid(X509 *certificate, char ret[37]) {
    const size_t prefix = sizeof(UUID_PREFIX) - 1;
    CLEANUP_GENERAL_NAMES GENERAL_NAMES *names =
        X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    char uuid[37] = "";

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const char *text;

        if (name->type != GEN_URI ||
            ASN1_STRING_length(name->d.uniformResourceIdentifier) != (int)prefix + 36)
            continue;
        text = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        if (memcmp(text, UUID_PREFIX, prefix) != 0)
            continue;
        if (uuid[0] != '\0')
            return -ENOENT; /* two devices are none */
        memcpy(uuid, text + prefix, 36);
        uuid[36] = '\0';
    }
    if (!random_uuid_is_valid(uuid))
        return -ENOENT;
    memcpy(ret, uuid, sizeof(uuid));
    return 0;
}
