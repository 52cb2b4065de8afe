/* The identity on disk, and the requests on their way to one: every crash between two steps, a
 * copied disk, broken files. */
#include "daemon/device_identity.h"

#include "daemon/device_key.h"
#include "daemon/file_wipe.h"
#include "daemon/machine_binding.h"
#include "daemon/pending_request.h"
#include "daemon/trust_chain.h"

#include "tests/unit/daemon/pki.h"
#include "tests/unit/daemon/state_dir.h"

#include "common/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define UUID "11111111-2222-4333-8444-555555555555"
#define BINDING "0123456789abcdef0123456789abcdef"
#define OTHER_BINDING "f123456789abcdef0123456789abcdef"
#define TOKEN "abcdef.0123456789abcdef"

struct fixture {
    struct state_dir dir;
    struct pki_entity root, issuer, trust_root, trust_issuer, device;
    struct device_identity identity; /* borrows the certificates */
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    enum reason reason;
    state_dir_make(&f->dir);
    f->root = pki_ca("device root", NULL);
    f->issuer = pki_ca("device issuer", &f->root);
    f->trust_root = pki_ca("trust root", NULL);
    f->trust_issuer = pki_ca("trust issuer", &f->trust_root);
    f->device = pki_device(&f->issuer, UUID, NULL, 0, 0);
    f->identity = (struct device_identity){
        .uuid = UUID,
        .key = f->device.key,
        .certificate = f->device.certificate,
        .device_issuer = f->issuer.certificate,
        .device_root = f->root.certificate,
        .trust_issuer = f->trust_issuer.certificate,
        .trust_root = f->trust_root.certificate,
        .held = true,
        .token_sha256 = {1, 2, 3},
    };
    assert_int_equal(
        server_address_parse(
            "https://Trust.Example.com:8443/",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", &f->identity.server,
            &reason),
        0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    state_dir_remove(&f->dir);
    pki_free(&f->root);
    pki_free(&f->issuer);
    pki_free(&f->trust_root);
    pki_free(&f->trust_issuer);
    pki_free(&f->device);
    free(f);
    return 0;
}

static void save(struct fixture *f) {
    assert_int_equal(device_identity_save(f->dir.fd, BINDING, &f->identity), 0);
}

static struct device_identity *load(struct fixture *f) {
    struct device_identity *identity = NULL;
    enum reason reason;
    assert_int_equal(device_identity_load(f->dir.fd, BINDING, &identity, &reason), 0);
    return identity;
}

static void cannot_load(struct fixture *f, const char *binding, int error, enum reason expected) {
    struct device_identity *identity = NULL;
    enum reason reason = REASON_NONE;
    assert_int_equal(device_identity_load(f->dir.fd, binding, &identity, &reason), error);
    assert_null(identity);
    assert_int_equal(reason, expected);
}

static void what_is_saved_is_loaded(void **state) {
    struct fixture *f = *state;
    cannot_load(f, BINDING, -ENOENT, REASON_NONE);
    save(f);
    CLEANUP_IDENTITY struct device_identity *identity = load(f);
    assert_string_equal(identity->uuid, UUID);
    assert_string_equal(identity->server.url, "https://trust.example.com:8443");
    assert_true(identity->server.has_pin && identity->held);
    assert_memory_equal(identity->server.ca_pin, f->identity.server.ca_pin, SHA256_SIZE);
    assert_memory_equal(identity->token_sha256, f->identity.token_sha256, SHA256_SIZE);
    assert_int_equal(X509_cmp(identity->certificate, f->device.certificate), 0);
    assert_int_equal(X509_cmp(identity->trust_root, f->trust_root.certificate), 0);
    assert_int_equal(X509_cmp(identity->trust_issuer, f->trust_issuer.certificate), 0);
    assert_int_equal(X509_cmp(identity->device_root, f->root.certificate), 0);
    assert_int_equal(EVP_PKEY_eq(identity->key, f->device.key), 1);
    assert_int_equal(state_dir_mode(&f->dir, DEVICE_KEY_FILE), 0600);
    assert_int_equal(state_dir_mode(&f->dir, "device.json"), 0600);
}

static void another_machine_is_a_clone(void **state) {
    struct fixture *f = *state;
    save(f);
    cannot_load(f, OTHER_BINDING, -EXDEV, REASON_CLONED);
    device_identity_free(load(f)); /* nothing was changed */
}

static void broken_and_newer_files(void **state) {
    struct fixture *f = *state;
    save(f);
    char *text = state_dir_read(&f->dir, "device.json");
    state_dir_write(&f->dir, "device.json", text, strlen(text) / 2);
    cannot_load(f, BINDING, -EBADMSG, REASON_BROKEN_STATE);
    char *version = strstr(text, "\"version\"");
    version[strcspn(version, "1")] = '9';
    state_dir_write(&f->dir, "device.json", text, strlen(text));
    cannot_load(f, BINDING, -EPROTO, REASON_NEWER_STATE);
    free(text);
}

static void without_its_key_it_is_broken(void **state) {
    struct fixture *f = *state;
    save(f);
    state_dir_write(&f->dir, DEVICE_KEY_FILE, "nonsense", 8);
    cannot_load(f, BINDING, -EBADMSG, REASON_BROKEN_STATE);
    unlinkat(f->dir.fd, DEVICE_KEY_FILE, 0);
    cannot_load(f, BINDING, -EBADMSG, REASON_BROKEN_STATE);
}

/* Killed between device.json and device.key: the new key is found in the pending file and moved. */
static void an_interrupted_change_of_keys_is_finished(void **state) {
    struct fixture *f = *state;
    save(f);
    struct pki_entity next = pki_device(&f->issuer, UUID, NULL, 0, 0);
    assert_int_equal(device_key_write(f->dir.fd, DEVICE_NEXT_KEY_FILE, next.key), 0);
    char *old_key = state_dir_read(&f->dir, DEVICE_KEY_FILE);
    f->identity.key = next.key;
    f->identity.certificate = next.certificate;
    save(f);
    state_dir_write(&f->dir, DEVICE_KEY_FILE, old_key, strlen(old_key)); /* as the kill left it */
    free(old_key);
    CLEANUP_IDENTITY struct device_identity *identity = load(f);
    assert_int_equal(EVP_PKEY_eq(identity->key, next.key), 1);
    unlinkat(f->dir.fd, DEVICE_NEXT_KEY_FILE, 0);
    device_identity_free(load(f)); /* device.key is the new one by now */
    pki_free(&next);
}

static void renewal_is_at_two_thirds(void **state) {
    struct fixture *f = *state;
    struct pki_entity device = pki_device(&f->issuer, UUID, NULL, -1000, 89000);
    struct device_identity identity = {.certificate = device.certificate};
    int64_t begin, at = device_identity_renew_at(&identity);
    x509_not_before(device.certificate, &begin);
    assert_true(at >= begin + 60000);
    assert_true(at <= begin + 63000);
    assert_int_equal(at, device_identity_renew_at(&identity)); /* the same draw each time */
    pki_free(&device);
}

/* --- pending requests --- */

static struct secret *make_token(const char *text) {
    struct secret *token = NULL;
    assert_int_equal(secret_new(strlen(text), &token), 0);
    memcpy(secret_data(token), text, strlen(text));
    return token;
}

static struct pending_request *enrol(struct fixture *f) {
    struct pending_request *pending = NULL;
    assert_int_equal(
        pending_request_enrol(
            f->dir.fd, BINDING, &random_system, &f->identity.server, make_token(TOKEN), &pending),
        0);
    return pending;
}

static int load_pending(
    struct fixture *f, const char *binding, const struct device_identity *identity,
    struct pending_request **ret) {
    *ret = NULL;
    return pending_request_load(f->dir.fd, binding, identity, ret);
}

static void assert_clear(struct fixture *f) {
    assert_false(state_dir_has(&f->dir, "pending.json"));
    assert_false(state_dir_has(&f->dir, "pending.key"));
    assert_false(state_dir_has(&f->dir, "pending.token"));
}

static void the_same_csr_after_a_restart(void **state) {
    struct fixture *f = *state;
    CLEANUP_PENDING struct pending_request *first = enrol(f), *again = NULL;
    assert_false(first->resumed || first->renew);
    assert_int_equal(state_dir_mode(&f->dir, "pending.token"), 0600);
    assert_int_equal(state_dir_mode(&f->dir, "pending.key"), 0600);
    assert_int_equal(load_pending(f, BINDING, NULL, &again), 0);
    assert_true(again->resumed);
    assert_string_equal(again->uuid, first->uuid);
    assert_int_equal(again->csr_size, first->csr_size);
    assert_memory_equal(again->csr, first->csr, first->csr_size);
    assert_int_equal(EVP_PKEY_eq(again->key, first->key), 1);
    assert_int_equal(secret_size(again->token), strlen(TOKEN));
    assert_memory_equal(secret_data(again->token), TOKEN, strlen(TOKEN));
    assert_int_equal(pending_request_clear(f->dir.fd), 0);
    assert_clear(f);
}

static void halves_of_a_request_are_wiped(void **state) {
    struct fixture *f = *state;
    static const char *const files[] = {"pending.json", "pending.key", "pending.token"};
    struct pending_request *pending;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        pending_request_free(enrol(f));
        unlinkat(f->dir.fd, files[i], 0);
        assert_int_equal(load_pending(f, BINDING, NULL, &pending), -ENOENT);
        assert_clear(f);
    }
    /* the key of another request */
    pending_request_free(enrol(f));
    assert_int_equal(device_key_write(f->dir.fd, "pending.key", f->device.key), 0);
    assert_int_equal(load_pending(f, BINDING, NULL, &pending), -ENOENT);
    assert_clear(f);
}

static void another_machines_request_is_wiped(void **state) {
    struct fixture *f = *state;
    struct pending_request *pending;
    pending_request_free(enrol(f));
    assert_int_equal(load_pending(f, OTHER_BINDING, NULL, &pending), -ENOENT);
    assert_clear(f);
}

static void a_renewal_goes_through_its_moves(void **state) {
    struct fixture *f = *state;
    CLEANUP_PENDING struct pending_request *pending = NULL, *again = NULL, *third = NULL;
    assert_int_equal(pending_request_renew(f->dir.fd, BINDING, &f->identity, &pending), 0);
    assert_true(pending->renew);
    assert_int_equal(EVP_PKEY_eq(pending->key, f->identity.key), 0);
    assert_int_equal(load_pending(f, BINDING, &f->identity, &again), 0);
    assert_null(again->certificate);
    struct pki_entity next = pki_device(&f->issuer, UUID, pending->key, 0, 0);
    assert_int_equal(
        pending_request_answered(
            f->dir.fd, BINDING, again, next.certificate, f->issuer.certificate),
        0);
    assert_int_equal(load_pending(f, BINDING, &f->identity, &third), 0);
    assert_int_equal(X509_cmp(third->certificate, next.certificate), 0);
    /* done: the identity has this key, but the kill came before the files went */
    struct device_identity renewed = f->identity;
    renewed.key = next.key;
    renewed.certificate = next.certificate;
    struct pending_request *none;
    assert_int_equal(load_pending(f, BINDING, &renewed, &none), -ENOENT);
    assert_clear(f);
    pki_free(&next);
}

static void a_renewal_needs_its_identity(void **state) {
    struct fixture *f = *state;
    struct pending_request *pending = NULL;
    assert_int_equal(pending_request_renew(f->dir.fd, BINDING, &f->identity, &pending), 0);
    pending_request_free(pending);
    assert_int_equal(load_pending(f, BINDING, NULL, &pending), -ENOENT);
    assert_clear(f);
}

static void tokens_have_a_form(void **state) {
    (void)state;
    static const char *const wrong[] = {"x",     ".",     "a.",    ".b",
                                        "a b.c", "a:b.c", "a.b\n", "a.\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        struct secret *token = make_token(wrong[i]), *basic = NULL;
        assert_int_equal(pending_request_basic(token, &basic), -EINVAL);
        secret_free(token);
    }
    struct secret *token = make_token("id.se.cret"), *basic = NULL;
    assert_int_equal(pending_request_basic(token, &basic), 0);
    assert_memory_equal(secret_data(basic), "id:se.cret", 10);
    secret_free(token);
    secret_free(basic);
}

/* --- the machine --- */

static int binding_of(struct fixture *f, const char *text, char *ret) {
    char path[512];
    state_dir_write(&f->dir, "machine-id", text, strlen(text));
    snprintf(path, sizeof(path), "%s/machine-id", f->dir.path);
    return machine_binding_read(path, ret);
}

static void the_binding_is_the_machines(void **state) {
    struct fixture *f = *state;
    char one[MACHINE_BINDING_SIZE], two[MACHINE_BINDING_SIZE];
    assert_int_equal(binding_of(f, "0123456789abcdef0123456789abcdef\n", one), 0);
    /* HMAC-SHA256(key = machine id, application id) by another implementation */
    assert_string_equal(one, "1c3f06986d3e4941a3a7af43b1cfff96");
    assert_int_equal(binding_of(f, "0123456789abcdef0123456789abcdee\n", two), 0);
    assert_string_not_equal(one, two);
    static const char *const wrong[] = {
        "",
        "uninitialized\n",
        "0123\n",
        "00000000000000000000000000000000\n",
        "0123456789abcdef0123456789abcdefg\n",
        "0123456789abcdef0123456789abcdeg\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_int_equal(binding_of(f, wrong[i], two), -EINVAL);
    assert_int_equal(machine_binding_read("/nonexistent/machine-id", two), -ENOENT);
}

/* --- addresses, chains, wiping --- */

static void addresses_have_a_form(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "http://a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example/x",
        "https://a.example?x=1",
        "https://a.example#x",
        "a.example:443",
        "ftp://a.example",
        "https://a.example:99999",
        "https://a b.example",
        ""};
    struct server_address address;
    enum reason reason = REASON_NONE;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        assert_int_equal(server_address_parse(wrong[i], NULL, &address, &reason), -EINVAL);
        assert_int_equal(reason, REASON_URL_INVALID);
    }
    assert_int_equal(server_address_parse("https://[::1]:8443", "", &address, &reason), 0);
    assert_string_equal(address.url, "https://[::1]:8443");
    assert_false(address.has_pin);
    assert_int_equal(server_address_parse("https://a.example", "12", &address, &reason), -EINVAL);
    assert_int_equal(reason, REASON_PIN_INVALID);
}

static int pick(X509 *a, X509 *b, X509 *c) {
    STACK_OF(X509) *list = sk_X509_new_null();
    X509 *root = NULL, *issuer = NULL;
    X509 *all[] = {a, b, c};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        if (all[i])
            sk_X509_push(list, all[i]);
    int r = trust_chain_pick(list, &root, &issuer);
    sk_X509_free(list);
    X509_free(root);
    X509_free(issuer);
    return r;
}

static void chains_are_checked_before_they_are_pinned(void **state) {
    struct fixture *f = *state;
    assert_int_equal(pick(f->issuer.certificate, f->root.certificate, NULL), 0);
    assert_int_equal(pick(f->root.certificate, f->issuer.certificate, NULL), 0);
    assert_int_equal(pick(f->root.certificate, NULL, NULL), -EBADMSG);
    assert_int_equal(pick(f->issuer.certificate, NULL, NULL), -EBADMSG);
    assert_int_equal(pick(f->root.certificate, f->trust_issuer.certificate, NULL), -EBADMSG);
    assert_int_equal(pick(f->root.certificate, f->device.certificate, NULL), -EBADMSG);
    assert_int_equal(
        pick(f->root.certificate, f->issuer.certificate, f->trust_root.certificate), -EBADMSG);
    /* the name of the root, but not its signature */
    struct pki_entity impostor = pki_ca("device root", NULL);
    struct pki_entity forged = pki_ca("device issuer", &impostor);
    assert_int_equal(pick(f->root.certificate, forged.certificate, NULL), -EBADMSG);
    pki_free(&forged);
    pki_free(&impostor);
}

static void wiping_overwrites(void **state) {
    struct fixture *f = *state;
    state_dir_write(&f->dir, "token", "secret", 6);
    int fd = openat(f->dir.fd, "token", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_wipe(f->dir.fd, "token"), 0);
    char left[8] = "xxxxxxx";
    assert_int_equal(read(fd, left, sizeof(left)), 6);
    assert_memory_equal(left, "\0\0\0\0\0\0", 6);
    close(fd);
    assert_false(state_dir_has(&f->dir, "token"));
    assert_int_equal(file_wipe(f->dir.fd, "token"), 0);
    assert_int_equal(symlinkat("elsewhere", f->dir.fd, "link"), 0);
    assert_int_equal(file_wipe(f->dir.fd, "link"), -ELOOP);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_saved_is_loaded),
        TEST(another_machine_is_a_clone),
        TEST(broken_and_newer_files),
        TEST(without_its_key_it_is_broken),
        TEST(an_interrupted_change_of_keys_is_finished),
        TEST(renewal_is_at_two_thirds),
        TEST(the_same_csr_after_a_restart),
        TEST(halves_of_a_request_are_wiped),
        TEST(another_machines_request_is_wiped),
        TEST(a_renewal_goes_through_its_moves),
        TEST(a_renewal_needs_its_identity),
        TEST(tokens_have_a_form),
        TEST(the_binding_is_the_machines),
        TEST(addresses_have_a_form),
        TEST(chains_are_checked_before_they_are_pinned),
        TEST(wiping_overwrites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
