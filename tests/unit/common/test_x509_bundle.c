/* Every bad leaf is named by its own fault, and only what is ours is ours. */
#include "x509_pki.h"

#include <errno.h>

struct fixture {
    struct pki_ca root, issuer, device_root, device_issuer;
    EVP_PKEY *key, *other_key;
    uint8_t spki[SHA256_SIZE], root_spki[SHA256_SIZE];
    struct x509_leaf_expectation expectation;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    f->root = pki_ca("Trust Root", "critical,CA:TRUE", NULL);
    f->issuer = pki_ca("Trust CA", "critical,CA:TRUE,pathlen:0", &f->root);
    f->device_root = pki_ca("Device Root", "critical,CA:TRUE", NULL);
    f->device_issuer = pki_ca("Device CA", "critical,CA:TRUE,pathlen:0", &f->device_root);
    f->key = pki_key(KEY_TYPE_P256);
    f->other_key = pki_key(KEY_TYPE_P256);
    x509_key_spki_sha256(f->key, f->spki);
    x509_cert_spki_sha256(f->root.certificate, f->root_spki);
    f->expectation = (struct x509_leaf_expectation){
        .spki_sha256 = f->spki,
        .device_uuid = PKI_DEVICE,
        .user_id = "u1",
        .policy_oid = X509_POLICY_USER,
        .root_spki_sha256 = f->root_spki,
        .min_lifetime_s = 3600,
        .max_lifetime_s = 40 * 86400,
        .now_s = PKI_NOW,
    };
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    pki_ca_free(&f->root);
    pki_ca_free(&f->issuer);
    pki_ca_free(&f->device_root);
    pki_ca_free(&f->device_issuer);
    EVP_PKEY_free(f->key);
    EVP_PKEY_free(f->other_key);
    free(f);
    return 0;
}

/* Leaf, issuing CA and root as an EST answer brings them; owns `leaf`. */
static STACK_OF(X509) * answer(X509 *leaf, const struct pki_ca *issuer, const struct pki_ca *root) {
    STACK_OF(X509) *certificates = sk_X509_new_null();

    sk_X509_push(certificates, leaf);
    if (issuer)
        X509_add_cert(certificates, issuer->certificate, X509_ADD_FLAG_UP_REF);
    if (root)
        X509_add_cert(certificates, root->certificate, X509_ADD_FLAG_UP_REF);
    return certificates;
}

static enum reason judge_stack(struct fixture *f, STACK_OF(X509) * certificates) {
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    enum reason reason = REASON_NONE;
    int r = x509_bundle_check(certificates, NULL, &f->expectation, &bundle, &reason);

    if (r < 0) {
        assert_int_equal(r, -EBADMSG);
        assert_int_not_equal(reason, REASON_NONE);
        assert_null(bundle.leaf);
        assert_null(bundle.root);
    } else {
        assert_non_null(bundle.leaf);
        assert_int_equal(X509_cmp(bundle.intermediate, f->issuer.certificate), 0);
        assert_int_equal(X509_cmp(bundle.root, f->root.certificate), 0);
    }
    sk_X509_pop_free(certificates, X509_free);
    return reason;
}

static enum reason judge(struct fixture *f, const struct pki_spec *spec) {
    return judge_stack(f, answer(pki_issue(spec, &f->issuer), &f->issuer, &f->root));
}

static void test_good_leaf(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);

    assert_int_equal(judge(f, &spec), REASON_NONE);
}

static void test_order_does_not_matter_and_strangers_do_no_harm(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);
    STACK_OF(X509) *certificates = sk_X509_new_null();

    X509_add_cert(certificates, f->root.certificate, X509_ADD_FLAG_UP_REF);
    X509_add_cert(certificates, f->device_root.certificate, X509_ADD_FLAG_UP_REF);
    X509_add_cert(certificates, f->issuer.certificate, X509_ADD_FLAG_UP_REF);
    sk_X509_push(certificates, pki_issue(&spec, &f->issuer));
    assert_int_equal(judge_stack(f, certificates), REASON_NONE);
}

static void test_missing_root_is_taken_from_the_known_ones(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);
    STACK_OF(X509) *certificates = answer(pki_issue(&spec, &f->issuer), &f->issuer, NULL);
    STACK_OF(X509) *known = answer(X509_dup(f->root.certificate), NULL, NULL);
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    enum reason reason = REASON_NONE;

    assert_int_equal(
        x509_bundle_check(certificates, NULL, &f->expectation, &bundle, &reason), -EBADMSG);
    assert_int_equal(reason, REASON_LEAF_CHAIN);
    assert_int_equal(x509_bundle_check(certificates, known, &f->expectation, &bundle, &reason), 0);
    sk_X509_pop_free(certificates, X509_free);
    sk_X509_pop_free(known, X509_free);
}

static void test_another_keys_certificate(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->other_key);

    assert_int_equal(judge(f, &spec), REASON_LEAF_KEY);
}

static void test_ca_certificates(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);

    spec.basic_constraints = "critical,CA:TRUE";
    spec.key_usage = "critical,keyCertSign,digitalSignature";
    assert_int_equal(judge(f, &spec), REASON_LEAF_USAGE);
    spec.key_usage = "critical,digitalSignature"; /* one that could not even sign */
    assert_int_equal(judge(f, &spec), REASON_LEAF_USAGE);
    spec.san = NULL; /* a CA's certificate has no names of ours, and still is one of usage */
    assert_int_equal(judge(f, &spec), REASON_LEAF_USAGE);
    /* nothing but the CA's own chain */
    assert_int_equal(
        judge_stack(f, answer(X509_dup(f->issuer.certificate), NULL, &f->root)), REASON_LEAF_USAGE);
}

static void test_from_the_device_ca(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);

    /* with the user's profile: another root */
    assert_int_equal(
        judge_stack(
            f, answer(pki_issue(&spec, &f->device_issuer), &f->device_issuer, &f->device_root)),
        REASON_LEAF_CHAIN);
    /* a proper device leaf: another type */
    spec.policy = X509_POLICY_DEVICE;
    spec.san = "URI:urn:uuid:" PKI_DEVICE;
    assert_int_equal(
        judge_stack(
            f, answer(pki_issue(&spec, &f->device_issuer), &f->device_issuer, &f->device_root)),
        REASON_LEAF_USAGE);
}

static void test_lifetimes(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);

    spec.not_before = PKI_NOW - 10 * 86400;
    spec.not_after = PKI_NOW;
    assert_int_equal(judge(f, &spec), REASON_LEAF_LIFETIME); /* over this second */
    spec.not_after = PKI_NOW + 1;
    assert_int_equal(judge(f, &spec), REASON_NONE);
    spec.not_after = PKI_NOW - 1;
    f->expectation.now_s = 0; /* a clock that nobody trusts */
    assert_int_equal(judge(f, &spec), REASON_NONE);
    f->expectation.now_s = PKI_NOW;
    /* one that begins tomorrow is a matter of clocks, not of the leaf */
    spec.not_before = PKI_NOW + 86400;
    spec.not_after = PKI_NOW + 20 * 86400;
    assert_int_equal(judge(f, &spec), REASON_NONE);
    spec.not_before = PKI_NOW;
    spec.not_after = PKI_NOW + 40 * 86400;
    assert_int_equal(judge(f, &spec), REASON_NONE); /* the maximum */
    spec.not_after++;
    assert_int_equal(judge(f, &spec), REASON_LEAF_LIFETIME);
    spec.not_after = PKI_NOW + 3600;
    assert_int_equal(judge(f, &spec), REASON_NONE); /* the minimum */
    spec.not_after--;
    assert_int_equal(judge(f, &spec), REASON_LEAF_LIFETIME);
}

static void test_usages(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *basic_constraints, *key_usage, *extended_key_usage, *policy;
    } bad[] = {
        {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth", X509_POLICY_USER},
        {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth,serverAuth",
         X509_POLICY_USER},
        {"critical,CA:FALSE", "critical,digitalSignature", "anyExtendedKeyUsage", X509_POLICY_USER},
        {"critical,CA:FALSE", "critical,digitalSignature", NULL, X509_POLICY_USER},
        {"critical,CA:FALSE", "critical,keyEncipherment", "clientAuth", X509_POLICY_USER},
        {"critical,CA:FALSE", "critical,digitalSignature,keyCertSign", "clientAuth",
         X509_POLICY_USER},
        {"critical,CA:FALSE", NULL, "clientAuth", X509_POLICY_USER},
        {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth", X509_POLICY_DEVICE},
        {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth", X509_POLICY_ARC},
        {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth", NULL},
        {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth", "2.5.29.32.0"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct pki_spec spec = pki_user_leaf(f->key);

        spec.basic_constraints = bad[i].basic_constraints;
        spec.key_usage = bad[i].key_usage;
        spec.extended_key_usage = bad[i].extended_key_usage;
        spec.policy = bad[i].policy;
        assert_int_equal(judge(f, &spec), REASON_LEAF_USAGE);
    }
}

static void test_names(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *cn, *san;
    } bad[] = {
        {"Example Device Trust Certificate - 5a010203", NULL},
        {"Example Device Trust Certificate - 5a010203",
         "URI:urn:uuid:" PKI_OTHER_DEVICE ",URI:urn:devtrust:user:u1"},
        {"Example Device Trust Certificate - 5a010203",
         "URI:urn:uuid:" PKI_DEVICE ",URI:urn:uuid:" PKI_OTHER_DEVICE ",URI:urn:devtrust:user:u1"},
        {"Example Device Trust Certificate - 5a010203",
         "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u2"},
        {"Example Device Trust Certificate - 5a010203",
         "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u11"},
        {"Example Device Trust Certificate - 5a010203",
         "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1,URI:urn:devtrust:user:u2"},
        {"Example Device Trust Certificate - 5a010203", "URI:urn:uuid:" PKI_DEVICE},
        {"Example Device Trust Certificate - 5a010203",
         "DNS:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1"},
        {"Example Device Trust Certificate - 5a010204",
         "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1"},
        {"Example - 5a010203", "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1"},
        {" Device Trust Certificate - 5a010203",
         "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1"},
        {"alice", "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct pki_spec spec = pki_user_leaf(f->key);

        spec.cn = bad[i].cn;
        spec.san = bad[i].san;
        assert_int_equal(judge(f, &spec), REASON_LEAF_NAME);
    }
}

static void test_device_leaf_names_no_user(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);

    f->expectation.user_id = NULL;
    f->expectation.policy_oid = X509_POLICY_DEVICE;
    spec.policy = X509_POLICY_DEVICE;
    spec.cn = PKI_DEVICE;
    assert_int_equal(judge(f, &spec), REASON_LEAF_NAME);
    spec.san = "URI:urn:uuid:" PKI_DEVICE;
    assert_int_equal(judge(f, &spec), REASON_NONE);
}

static void test_chains(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);
    struct pki_ca impostor = pki_ca("Trust Root", "critical,CA:TRUE", NULL);
    struct pki_ca below = pki_ca("Trust CA", "critical,CA:TRUE,pathlen:0", &impostor);
    struct pki_ca sub = pki_ca("Sub CA", "critical,CA:TRUE,pathlen:0", &f->issuer);
    struct pki_ca no_ca = pki_ca("No CA", "critical,CA:FALSE", &f->root);
    struct pki_ca direct = f->root;
    STACK_OF(X509) * certificates;

    /* the same names, other keys */
    assert_int_equal(
        judge_stack(f, answer(pki_issue(&spec, &below), &below, &impostor)), REASON_LEAF_CHAIN);
    /* the issuer is missing */
    assert_int_equal(
        judge_stack(f, answer(pki_issue(&spec, &f->issuer), NULL, &f->root)), REASON_LEAF_CHAIN);
    /* past the path length */
    certificates = answer(pki_issue(&spec, &sub), &sub, &f->root);
    X509_add_cert(certificates, f->issuer.certificate, X509_ADD_FLAG_UP_REF);
    assert_int_equal(judge_stack(f, certificates), REASON_LEAF_CHAIN);
    /* issued by something that is no CA */
    assert_int_equal(
        judge_stack(f, answer(pki_issue(&spec, &no_ca), &no_ca, &f->root)), REASON_LEAF_CHAIN);
    /* by the root itself */
    assert_int_equal(
        judge_stack(f, answer(pki_issue(&spec, &direct), NULL, &direct)), REASON_LEAF_CHAIN);
    pki_ca_free(&impostor);
    pki_ca_free(&below);
    pki_ca_free(&sub);
    pki_ca_free(&no_ca);
}

static void test_without_a_pin_the_root_is_taken_as_it_is(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);

    f->expectation.root_spki_sha256 = NULL;
    assert_int_equal(judge(f, &spec), REASON_NONE);
    assert_int_equal(
        judge_stack(f, answer(pki_issue(&spec, &f->issuer), &f->issuer, NULL)), REASON_LEAF_CHAIN);
}

static void test_too_many_or_none(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);
    STACK_OF(X509) *certificates = answer(pki_issue(&spec, &f->issuer), &f->issuer, &f->root);

    assert_int_equal(judge_stack(f, sk_X509_new_null()), REASON_BUNDLE_INVALID);
    while (sk_X509_num(certificates) < 8)
        sk_X509_push(certificates, X509_dup(f->device_root.certificate));
    assert_int_equal(judge_stack(f, X509_chain_up_ref(certificates)), REASON_NONE);
    sk_X509_push(certificates, X509_dup(f->device_root.certificate));
    assert_int_equal(judge_stack(f, certificates), REASON_BUNDLE_INVALID);
}

/* --- the rule of ours --- */

static void test_ours_needs_issuer_key_policy_and_device(void **state) {
    struct fixture *f = *state;
    struct pki_spec spec = pki_user_leaf(f->key);
    uint8_t pin[SHA256_SIZE], other[SHA256_SIZE];
    CLEANUP_X509 X509 *leaf = pki_issue(&spec, &f->issuer);
    struct pki_ca namesake = pki_ca("Trust CA", "critical,CA:TRUE", NULL);
    CLEANUP_X509 X509 *forged = pki_issue(&spec, &namesake);
    CLEANUP_X509 X509 *untyped = NULL, *elsewhere = NULL, *device_leaf = NULL;

    x509_cert_spki_sha256(f->issuer.certificate, pin);
    x509_cert_spki_sha256(namesake.certificate, other);
    assert_true(x509_is_ours(leaf, f->issuer.certificate, pin, PKI_DEVICE));
    assert_false(x509_is_ours(leaf, f->issuer.certificate, pin, PKI_OTHER_DEVICE));
    assert_false(x509_is_ours(leaf, f->issuer.certificate, other, PKI_DEVICE));
    assert_false(x509_is_ours(leaf, namesake.certificate, pin, PKI_DEVICE));
    assert_false(x509_is_ours(leaf, namesake.certificate, other, PKI_DEVICE));
    assert_false(x509_is_ours(forged, f->issuer.certificate, pin, PKI_DEVICE));
    assert_false(x509_is_ours(NULL, f->issuer.certificate, pin, PKI_DEVICE));
    assert_false(x509_is_ours(leaf, NULL, pin, PKI_DEVICE));
    spec.policy = NULL;
    untyped = pki_issue(&spec, &f->issuer);
    assert_false(x509_is_ours(untyped, f->issuer.certificate, pin, PKI_DEVICE));
    spec.policy = X509_POLICY_DEVICE;
    device_leaf = pki_issue(&spec, &f->issuer);
    assert_false(x509_is_ours(device_leaf, f->issuer.certificate, pin, PKI_DEVICE));
    spec.policy = X509_POLICY_USER;
    spec.san = NULL;
    elsewhere = pki_issue(&spec, &f->issuer);
    assert_false(x509_is_ours(elsewhere, f->issuer.certificate, pin, PKI_DEVICE));
    pki_ca_free(&namesake);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_good_leaf),
        TEST(test_order_does_not_matter_and_strangers_do_no_harm),
        TEST(test_missing_root_is_taken_from_the_known_ones),
        TEST(test_another_keys_certificate),
        TEST(test_ca_certificates),
        TEST(test_from_the_device_ca),
        TEST(test_lifetimes),
        TEST(test_usages),
        TEST(test_names),
        TEST(test_device_leaf_names_no_user),
        TEST(test_chains),
        TEST(test_without_a_pin_the_root_is_taken_as_it_is),
        TEST(test_too_many_or_none),
        TEST(test_ours_needs_issuer_key_policy_and_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
