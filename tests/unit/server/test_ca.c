/* The CAs from init to leaf, CRL and renewal of the listeners' certificate; what they issue is
 * judged by the same check that devices use. */
#include "common/cleanup.h"
#include "common/x509_csr.h"
#include "server/ca.h"
#include "server/crl.h"

#include <errno.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define NOW 1800000000LL
#define DEVICE "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11"
#define PASSPHRASE "correct horse battery"

struct fixture {
    char dir[64], export_dir[80];
    struct ca *ca;
};

static struct secret *passphrase(const char *text) {
    struct secret *secret;

    assert_int_equal(secret_new(strlen(text), &secret), 0);
    memcpy(secret_data(secret), text, strlen(text));
    return secret;
}

static int init(
    const struct fixture *fixture, const char *organisation, const char *const *hosts,
    const char *check_domain, const char *phrase, char *error) {
    struct secret *secret = passphrase(phrase);
    const struct ca_init_options options = {
        .dir = fixture->dir,
        .root_export_dir = fixture->export_dir,
        .passphrase = secret,
        .organisation = organisation,
        .hosts = hosts,
        .check_domain = check_domain,
        .now_s = NOW,
    };
    int r = ca_init(&options, error, CA_ERROR_SIZE);

    secret_free(secret);
    return r;
}

static const char *const hosts[] = {"portal.example.com", "127.0.0.1", "::1", NULL};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup_empty(void **state) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcpy(fixture->dir, "/tmp/devtrust-ca-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->export_dir, sizeof(fixture->export_dir), "%s/roots", fixture->dir);
    *state = fixture;
    return 0;
}

static int open_ca(struct fixture *fixture, int64_t now_s, char *error) {
    const struct ca_options options = {
        .dir = fixture->dir, .crl_url = {"http://crl.example.com/crl/trust.crl", NULL}};

    return ca_open(&options, now_s, &fixture->ca, error, CA_ERROR_SIZE);
}

static int setup(void **state) {
    char error[CA_ERROR_SIZE] = "";

    setup_empty(state);
    assert_int_equal(init(*state, "Example", hosts, "check.example.com", PASSPHRASE, error), 0);
    assert_int_equal(open_ca(*state, NOW, error), 0);
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;

    ca_free(fixture->ca);
    nftw(fixture->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

static X509_REQ *request(EVP_PKEY *key) {
    uint8_t *der;
    size_t size;
    X509_REQ *ret;
    enum reason reason;

    assert_int_equal(
        x509_csr_create(key, &(struct x509_csr_subject){"u1", "request"}, &der, &size), 0);
    assert_int_equal(
        x509_csr_check(
            der, size, &(struct x509_csr_expectation){.any_key_type = true}, &ret, &reason),
        0);
    free(der);
    return ret;
}

static const struct ca_user_leaf user_leaf = {
    .device_uuid = DEVICE,
    .user_id = "u1",
    .organisation = "Example",
    .mail = "u1@example.com",
    .upn = "u1@corp.example.com",
    .lifetime_s = 86400,
    .now_s = NOW,
};

/* What the device decodes. */
static X509 *as_received(X509 *certificate) {
    unsigned char *der = NULL;
    const unsigned char *p;
    int size = i2d_X509(certificate, &der);
    X509 *ret;

    p = der;
    ret = d2i_X509(NULL, &p, size);
    assert_non_null(ret);
    OPENSSL_free(der);
    X509_free(certificate);
    return ret;
}

static void check_user_leaf(struct ca *ca, enum key_type type) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_X509_REQ X509_REQ *csr = NULL;
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    uint8_t spki[SHA256_SIZE], root[SHA256_SIZE];
    enum reason reason = REASON_NONE;
    X509 *leaf;
    STACK_OF(X509) *certificates = X509_chain_up_ref(ca_trust_chain(ca));

    assert_int_equal(x509_key_generate(type, &key), 0);
    csr = request(key);
    assert_int_equal(ca_issue_user(ca, &user_leaf, csr, &leaf), 0);
    leaf = as_received(leaf);
    sk_X509_push(certificates, leaf);
    x509_key_spki_sha256(key, spki);
    x509_cert_spki_sha256(ca_root(ca, CA_TRUST), root);
    const struct x509_leaf_expectation expectation = {
        .spki_sha256 = spki,
        .device_uuid = DEVICE,
        .user_id = "u1",
        .policy_oid = X509_POLICY_USER,
        .root_spki_sha256 = root,
        .min_lifetime_s = 86400 + X509_PROFILE_BACKDATE_S,
        .max_lifetime_s = 86400 + X509_PROFILE_BACKDATE_S,
        .now_s = NOW,
    };
    assert_int_equal(x509_bundle_check(certificates, NULL, &expectation, &bundle, &reason), 0);
    assert_int_equal(ca_leaf_kind(ca, leaf), CA_LEAF_USER);
    assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(leaf)), 16);
    assert_int_equal(X509_get_ext_by_NID(leaf, NID_crl_distribution_points, -1) >= 0, 1);
    sk_X509_pop_free(certificates, X509_free);
}

static void test_user_leaf_passes_the_device_check(void **state) {
    struct fixture *fixture = *state;

    check_user_leaf(fixture->ca, KEY_TYPE_P256);
    check_user_leaf(fixture->ca, KEY_TYPE_P384);
    check_user_leaf(fixture->ca, KEY_TYPE_RSA2048);
}

static void test_san_holds_mail_and_upn(void **state) {
    struct fixture *fixture = *state;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_X509_REQ X509_REQ *csr = NULL;
    CLEANUP_X509 X509 *leaf = NULL;
    GENERAL_NAMES *names;
    int mails = 0, upns = 0;

    x509_key_generate(KEY_TYPE_P256, &key);
    csr = request(key);
    assert_int_equal(ca_issue_user(fixture->ca, &user_leaf, csr, &leaf), 0);
    names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 4);
    for (int i = 0; i < 4; i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        mails += name->type == GEN_EMAIL;
        if (name->type == GEN_OTHERNAME) {
            upns++;
            assert_int_equal(OBJ_obj2nid(name->d.otherName->type_id), NID_ms_upn);
            assert_string_equal(
                (const char *)ASN1_STRING_get0_data(name->d.otherName->value->value.utf8string),
                "u1@corp.example.com");
        }
    }
    assert_int_equal(mails, 1);
    assert_int_equal(upns, 1);
    GENERAL_NAMES_free(names);
}

static void test_device_leaf_is_of_its_own_kind(void **state) {
    struct fixture *fixture = *state;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_X509_REQ X509_REQ *csr = NULL;
    CLEANUP_X509 X509 *leaf = NULL;
    char uuid[37], *cn;
    const struct ca_device_leaf record = {DEVICE, 90 * 86400, NOW};

    x509_key_generate(KEY_TYPE_P256, &key);
    csr = request(key);
    assert_int_equal(ca_issue_device(fixture->ca, &record, csr, &leaf), 0);
    assert_int_equal(ca_leaf_kind(fixture->ca, leaf), CA_LEAF_DEVICE);
    assert_int_equal(ca_leaf_device_uuid(leaf, uuid), 0);
    assert_string_equal(uuid, DEVICE);
    assert_int_equal(x509_subject_text(leaf, NID_commonName, &cn), 0);
    assert_string_equal(cn, DEVICE);
    free(cn);
    assert_int_equal(X509_verify(leaf, X509_get0_pubkey(ca_issuer(fixture->ca, CA_TRUST))), 0);
}

static void test_leaf_never_outlives_its_issuer(void **state) {
    struct fixture *fixture = *state;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_X509_REQ X509_REQ *csr = NULL;
    CLEANUP_X509 X509 *leaf = NULL;
    struct ca_user_leaf record = user_leaf;
    int64_t leaf_end, ca_end;

    record.lifetime_s = INT64_MAX - 1;
    x509_key_generate(KEY_TYPE_P256, &key);
    csr = request(key);
    assert_int_equal(ca_issue_user(fixture->ca, &record, csr, &leaf), 0);
    x509_not_after(leaf, &leaf_end);
    x509_not_after(ca_issuer(fixture->ca, CA_TRUST), &ca_end);
    assert_int_equal(leaf_end, ca_end);
}

static void test_records_that_do_not_fit_are_refused(void **state) {
    struct fixture *fixture = *state;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_X509_REQ X509_REQ *csr = NULL;
    X509 *leaf = NULL;
    struct ca_user_leaf record;

    x509_key_generate(KEY_TYPE_P256, &key);
    csr = request(key);
    for (int i = 0; i < 6; i++) {
        record = user_leaf;
        if (i == 0)
            record.device_uuid = "not-a-uuid";
        if (i == 1)
            record.user_id = "";
        if (i == 2)
            record.mail = "two words";
        if (i == 3)
            record.organisation = "\x01";
        if (i == 4)
            record.lifetime_s = 0;
        if (i == 5)
            record.upn = "";
        assert_int_equal(ca_issue_user(fixture->ca, &record, csr, &leaf), -EINVAL);
        assert_null(leaf);
    }
}

static X509 *read_pem(const struct fixture *fixture, const char *name) {
    char path[128];
    FILE *file;
    X509 *certificate;

    snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    file = fopen(path, "re");
    assert_non_null(file);
    certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(certificate);
    return certificate;
}

static void test_issuing_cas_are_limited(void **state) {
    struct fixture *fixture = *state;

    for (int kind = 0; kind < CA_KIND_COUNT_; kind++) {
        X509 *issuer = ca_issuer(fixture->ca, (enum ca_kind)kind);

        assert_int_equal(X509_get_pathlen(issuer), 0);
        assert_int_equal(X509_get_extended_key_usage(issuer), XKU_SSL_CLIENT | XKU_OCSP_SIGN);
    }
    assert_int_not_equal(
        X509_cmp(ca_root(fixture->ca, CA_TRUST), ca_root(fixture->ca, CA_DEVICE)), 0);
}

static void test_listener_certificate_names_its_hosts(void **state) {
    struct fixture *fixture = *state;
    CLEANUP_X509 X509 *certificate = read_pem(fixture, CA_FILE_TLS_CHAIN);
    CLEANUP_X509 X509 *ca = read_pem(fixture, CA_FILE_TLS_CA);

    assert_int_equal(X509_check_host(certificate, "portal.example.com", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(certificate, "abcd.check.example.com", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(certificate, "other.example.com", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "::1", 0), 1);
    assert_int_equal(X509_verify(certificate, X509_get0_pubkey(ca)), 1);
    assert_int_equal(strlen(ca_tls_pin(fixture->ca)), 64);
}

static void test_listener_certificate_renews_late(void **state) {
    struct fixture *fixture = *state;
    CLEANUP_X509 X509 *before = read_pem(fixture, CA_FILE_TLS_CHAIN);
    CLEANUP_X509 X509 *after = NULL;
    const int64_t day = 86400;

    assert_int_equal(ca_tls_renew(fixture->dir, NOW + 200 * day), 0);
    assert_int_equal(ca_tls_renew(fixture->dir, NOW + 300 * day), 1);
    after = read_pem(fixture, CA_FILE_TLS_CHAIN);
    assert_int_not_equal(X509_cmp(before, after), 0);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(before), X509_get0_pubkey(after)), 1);
    assert_int_equal(X509_check_host(after, "abcd.check.example.com", 0, 0, NULL), 1);
    assert_int_equal(ca_tls_renew(fixture->dir, NOW + 300 * day), 0);
}

static int give_passphrase(char *buffer, int size, int writing, void *userdata) {
    (void)writing;
    return snprintf(buffer, (size_t)size, "%s", (const char *)userdata);
}

static void test_root_keys_are_exported_encrypted(void **state) {
    struct fixture *fixture = *state;
    char path[160], line[64];
    struct stat st;
    FILE *file;
    EVP_PKEY *key;

    snprintf(path, sizeof(path), "%s/%s", fixture->export_dir, CA_FILE_TRUST_ROOT_KEY);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    file = fopen(path, "re");
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    rewind(file);
    assert_null(PEM_read_PrivateKey(file, NULL, give_passphrase, (void *)"wrong passphrase"));
    rewind(file);
    key = PEM_read_PrivateKey(file, NULL, give_passphrase, (void *)PASSPHRASE);
    assert_non_null(key);
    assert_int_equal(EVP_PKEY_eq(key, X509_get0_pubkey(ca_root(fixture->ca, CA_TRUST))), 1);
    EVP_PKEY_free(key);
    fclose(file);
    snprintf(path, sizeof(path), "%s/%s", fixture->dir, CA_FILE_TRUST_ROOT_KEY);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_init_refuses_a_second_time(void **state) {
    struct fixture *fixture = *state;
    char error[CA_ERROR_SIZE] = "";
    CLEANUP_X509 X509 *root = NULL;

    assert_int_equal(init(fixture, "Example", hosts, NULL, PASSPHRASE, error), -EEXIST);
    assert_non_null(strstr(error, "initialised"));
    root = read_pem(fixture, CA_FILE_TRUST_ROOT);
    assert_int_equal(X509_cmp(root, ca_root(fixture->ca, CA_TRUST)), 0);
}

static void test_init_leaves_nothing_after_an_error(void **state) {
    struct fixture *fixture = *state;
    char error[CA_ERROR_SIZE] = "";
    static const char *const bad_hosts[] = {"portal.example.com", "*.example.com", NULL};
    char sixty_five[66];

    assert_int_equal(init(fixture, "Example", bad_hosts, NULL, PASSPHRASE, error), -EINVAL);
    assert_non_null(strstr(error, "*.example.com"));
    assert_int_equal(init(fixture, "Example", hosts, "*.check", PASSPHRASE, error), -EINVAL);
    assert_int_equal(init(fixture, "Example", hosts, NULL, "short", error), -EINVAL);
    memset(sixty_five, 'x', 65);
    sixty_five[65] = '\0';
    assert_int_equal(init(fixture, sixty_five, hosts, NULL, PASSPHRASE, error), -EINVAL);
    assert_int_equal(init(fixture, "Exa\nmple", hosts, NULL, PASSPHRASE, error), -EINVAL);
    /* all of it was undone: a good one succeeds */
    sixty_five[64] = '\0';
    assert_int_equal(init(fixture, sixty_five, hosts, NULL, PASSPHRASE, error), 0);
}

static void test_open_names_what_is_wrong(void **state) {
    struct fixture *fixture = *state;
    char path[128], other[128], error[CA_ERROR_SIZE] = "";

    fixture->ca = ca_free(fixture->ca);
    snprintf(path, sizeof(path), "%s/%s", fixture->dir, CA_FILE_TRUST_KEY);
    chmod(path, 0640);
    assert_int_equal(open_ca(fixture, NOW, error), -EPERM);
    assert_non_null(strstr(error, CA_FILE_TRUST_KEY));
    chmod(path, 0600);
    assert_int_equal(open_ca(fixture, NOW + 4000LL * 86400, error), -EKEYEXPIRED);
    snprintf(other, sizeof(other), "%s/%s", fixture->dir, CA_FILE_DEVICE_KEY);
    assert_int_equal(rename(other, path), 0); /* the other CA's key */
    assert_int_equal(open_ca(fixture, NOW, error), -EBADMSG);
    assert_non_null(strstr(error, CA_FILE_TRUST_KEY));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_ca(fixture, NOW, error), -ENOENT);
}

static void test_crl_lists_what_it_is_given(void **state) {
    struct fixture *fixture = *state;
    const struct crl_entry entries[] = {
        {"7f00000000000000000000000000000a", NOW - 10, CRL_REASON_CESSATION},
        {"01", NOW - 20, CRL_REASON_UNSPECIFIED},
    };
    uint8_t *der;
    size_t size;
    const unsigned char *p;
    X509_CRL *crl;
    X509_REVOKED *revoked;
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_ENUMERATED *reason;

    assert_int_equal(crl_build(fixture->ca, CA_TRUST, entries, 2, 5, NOW, 3600, &der, &size), 0);
    p = der;
    crl = d2i_X509_CRL(NULL, &p, (long)size);
    assert_non_null(crl);
    assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(ca_issuer(fixture->ca, CA_TRUST))), 1);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 2);
    ASN1_INTEGER_set(serial, 1);
    assert_int_equal(X509_CRL_get0_by_serial(crl, &revoked, serial), 1);
    assert_int_equal(X509_REVOKED_get_ext_count(revoked), 0);
    revoked = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(crl), 1);
    reason = X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, NULL, NULL);
    assert_int_equal(ASN1_ENUMERATED_get(reason), CRL_REASON_CESSATION);
    ASN1_ENUMERATED_free(reason);
    ASN1_INTEGER_free(serial);
    X509_CRL_free(crl);
    free(der);
}

static void test_crl_may_be_empty_but_not_broken(void **state) {
    struct fixture *fixture = *state;
    const struct crl_entry bad[] = {
        {"", NOW, 0},
        {"zz", NOW, 0},
        {"123", NOW, 0},
        {"0102030405060708090a0b0c0d0e0f101112131415", NOW, 0}};
    uint8_t *der = NULL;
    size_t size;

    assert_int_equal(crl_build(fixture->ca, CA_DEVICE, NULL, 0, 1, NOW, 60, &der, &size), 0);
    free(der);
    der = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(
            crl_build(fixture->ca, CA_TRUST, &bad[i], 1, 1, NOW, 60, &der, &size), -EINVAL);
        assert_null(der);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_user_leaf_passes_the_device_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_san_holds_mail_and_upn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_leaf_is_of_its_own_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaf_never_outlives_its_issuer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records_that_do_not_fit_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_issuing_cas_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listener_certificate_names_its_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listener_certificate_renews_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_keys_are_exported_encrypted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_init_refuses_a_second_time, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_init_leaves_nothing_after_an_error, setup_empty, teardown),
        cmocka_unit_test_setup_teardown(test_open_names_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crl_lists_what_it_is_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crl_may_be_empty_but_not_broken, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
