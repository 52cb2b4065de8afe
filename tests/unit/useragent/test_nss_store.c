/* The NSS store on real databases: what it puts in, NSS's own tools see; what is not ours stays; a
 * bad database is named and left alone. */
#include "useragent/credential_key.h"
#include "useragent/nss_database.h"
#include "useragent/nss_headers.h"
#include "useragent/nss_store.h"
#include "useragent/store.h"

#include "home.h"
#include "pki.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>

#include <cmocka.h>

#define NOBODY 65534

struct fixture {
    struct user_dirs dirs;
    struct store_location location;
    struct pki pki;
    struct ours ours;
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct store_location list[STORE_MAX];
    size_t count;

    home_make(&fixture->dirs);
    store_list(&fixture->dirs, list, &count);
    assert_int_equal(count, 1);
    fixture->location = list[0];
    pki_init(&fixture->pki, "Example");
    assert_int_equal(ours_add_device(&fixture->ours, PKI_DEVICE), 0);
    assert_int_equal(ours_add_issuer_key(&fixture->ours, fixture->pki.issuer_spki), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;

    store_unload();
    home_remove(&fixture->dirs);
    pki_deinit(&fixture->pki);
    ours_deinit(&fixture->ours);
    free(fixture);
    return 0;
}

static const struct store_ops *const ops = &nss_store_chromium;

struct credential {
    struct credential_key *key;
    struct secret *pkcs8;
    X509 *leaf;
    char label[STORE_KEY_LABEL_SIZE];
};

static EVP_PKEY *public_of(const struct credential_key *key) {
    struct secret *pkcs8 = NULL;
    const unsigned char *data;
    EVP_PKEY *result;

    assert_int_equal(credential_key_export(key, &pkcs8), 0);
    data = secret_data(pkcs8);
    result = d2i_AutoPrivateKey(NULL, &data, (long)secret_size(pkcs8));
    secret_free(pkcs8);
    assert_non_null(result);
    return result;
}

static void credential_make(
    struct credential *credential, const struct pki *pki, enum key_type type, const char *device,
    const char *request_id) {
    EVP_PKEY *key;

    assert_int_equal(credential_key_new(type, PKI_USER, request_id, &credential->key), 0);
    assert_int_equal(credential_key_export(credential->key, &credential->pkcs8), 0);
    assert_int_equal(store_key_label(device, request_id, credential->label), 0);
    key = public_of(credential->key);
    credential->leaf = pki_leaf(pki, key, device, PKI_USER, time(NULL) - 300, 30 * 86400);
    EVP_PKEY_free(key);
}

static void credential_free(struct credential *credential) {
    credential_key_free(credential->key);
    secret_free(credential->pkcs8);
    X509_free(credential->leaf);
}

static struct store_material material_of(const struct pki *pki, struct credential *credential) {
    return (struct store_material){
        .intermediate = pki->issuer,
        .leaf = credential->leaf,
        .key = credential->pkcs8,
        .key_label = credential->label};
}

static struct store *open_store(struct fixture *fixture, bool create) {
    struct store *store = NULL;
    enum reason reason = REASON_NONE;

    assert_int_equal(ops->open(&fixture->location, create, &store, &reason), 0);
    return store;
}

static void install(struct fixture *fixture, struct store *store, struct credential *credential) {
    struct store_material material = material_of(&fixture->pki, credential);
    enum reason reason = REASON_NONE;
    bool found = true;

    assert_int_equal(ops->install(store, &material, &found, &reason), 0);
    assert_int_equal(ops->verify(store, credential->leaf, &reason), 0);
}

static void certutil(struct fixture *fixture, const char *option, char *ret, size_t size) {
    (void)home_certutil(option, fixture->location.path, ret, size);
}

static void test_install_is_seen_by_certutil(void **state) {
    struct fixture *fixture = *state;
    static const enum key_type types[] = {KEY_TYPE_P256, KEY_TYPE_P384, KEY_TYPE_RSA2048};
    char text[8192];

    for (unsigned i = 0; i < 3; i++) {
        struct credential credential;
        struct store *store;
        enum reason reason;

        credential_make(&credential, &fixture->pki, types[i], PKI_DEVICE, "request-1");
        store = open_store(fixture, true);
        install(fixture, store, &credential);
        ops->close(store);
        store_unload();

        certutil(fixture, "-L", text, sizeof text);
        assert_int_equal(home_count(text, "Device Trust Certificate - "), 1);
        assert_int_equal(home_count(text, "u,u,u"), 1);
        assert_int_equal(home_count(text, "Example Trust Issuing CA"), 1);
        assert_int_equal(home_count(text, ",,  "), 1); /* no trust on the issuer */
        certutil(fixture, "-K", text, sizeof text);
        assert_int_equal(home_count(text, "devtrust " PKI_DEVICE " request-1"), 1);

        store = open_store(fixture, false);
        assert_int_equal(ops->sweep(store, &fixture->ours, NULL, false, &reason), 0);
        ops->close(store);
        store_unload();
        certutil(fixture, "-K", text, sizeof text);
        assert_non_null(strstr(text, "no keys found"));
        certutil(fixture, "-L", text, sizeof text);
        assert_null(strstr(text, "Example"));
        credential_free(&credential);
    }
}

static void test_place_of_the_database(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];
    struct store_location list[STORE_MAX];
    size_t count = 0;

    assert_non_null(strstr(fixture->location.path, "/.local/share/pki/nssdb"));
    ops->close(open_store(fixture, true));
    assert_int_equal(user_dirs_join(fixture->dirs.home, ".pki", path), 0);
    assert_int_equal(access(path, F_OK), -1);
    /* an empty ~/.pki/nssdb wins, and is filled */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(user_dirs_join(fixture->dirs.home, ".pki/nssdb", path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    store_list(&fixture->dirs, list, &count);
    assert_int_equal(count, 1);
    assert_string_equal(list[0].path, path);
    fixture->location = list[0];
    ops->close(open_store(fixture, true));
    assert_int_equal(user_dirs_join(fixture->dirs.home, ".pki/nssdb/key4.db", path), 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_modes_of_a_new_database(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];
    struct stat status;

    ops->close(open_store(fixture, true));
    assert_int_equal(stat(fixture->location.path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(user_dirs_join(fixture->location.path, "key4.db", path), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_odd_path(void **state) {
    struct fixture *fixture = *state;
    struct credential credential;
    struct store *store;
    struct store_certificates found;
    enum reason reason;

    user_dirs_join(fixture->dirs.home, "a 'b' \"c\" \\d <e> [f]=g,h/nssdb", fixture->location.path);
    credential_make(&credential, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "r");
    store = open_store(fixture, true);
    install(fixture, store, &credential);
    ops->close(store);
    store = open_store(fixture, false);
    assert_int_equal(ops->list(store, &fixture->ours, &found, &reason), 0);
    assert_int_equal(found.count, 1);
    assert_true(found.items[0].verified);
    assert_string_equal(found.items[0].request_id, "r");
    store_certificates_deinit(&found);
    ops->close(store);
    assert_int_equal(access(fixture->location.path, F_OK), 0);
    credential_free(&credential);
}

static void import_foreign(
    struct fixture *fixture, const struct pki *pki, const char *nickname, const char *device,
    const char *directory) {
    char certificate_path[USER_DIRS_PATH_MAX], p12[USER_DIRS_PATH_MAX],
        key_path[USER_DIRS_PATH_MAX];
    char spec[USER_DIRS_PATH_MAX + 8], text[4096];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *leaf = pki_leaf(pki, key, device, PKI_USER, time(NULL) - 300, 30 * 86400);
    FILE *file;

    user_dirs_join(fixture->dirs.home, "foreign.pem", certificate_path);
    user_dirs_join(fixture->dirs.home, "foreign.key", key_path);
    user_dirs_join(fixture->dirs.home, "foreign.p12", p12);
    file = fopen(certificate_path, "w");
    PEM_write_X509(file, leaf);
    fclose(file);
    file = fopen(key_path, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    snprintf(spec, sizeof spec, "sql:%s", directory);
    {
        const char *argv[] = {"openssl", "pkcs12", "-export", "-in",    certificate_path,
                              "-inkey",  key_path, "-name",   nickname, "-passout",
                              "pass:",   "-out",   p12,       NULL};
        assert_int_equal(home_run(argv, text, sizeof text), 0);
    }
    {
        const char *argv[] = {"pk12util", "-i", p12, "-d", spec, "-W", "", "-K", "", NULL};
        assert_int_equal(home_run(argv, text, sizeof text), 0);
    }
    unlink(certificate_path);
    unlink(key_path);
    unlink(p12);
    X509_free(leaf);
    EVP_PKEY_free(key);
}

static void test_foreign_things_stay(void **state) {
    struct fixture *fixture = *state;
    struct pki other;
    struct credential credential, orphan;
    struct store *store;
    struct store_material material;
    enum reason reason;
    bool found;
    char certificates_before[8192], keys_before[8192], text[8192];

    pki_init(&other, "Example"); /* the same names, other keys */
    ops->close(open_store(fixture, true));
    store_unload();
    import_foreign(fixture, &other, "Mine", PKI_DEVICE, fixture->location.path);
    certutil(fixture, "-L", certificates_before, sizeof certificates_before);
    certutil(fixture, "-K", keys_before, sizeof keys_before);
    assert_int_equal(home_count(certificates_before, "u,u,u"), 1);

    credential_make(&credential, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    credential_make(&orphan, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-2");
    store = open_store(fixture, true);
    install(fixture, store, &credential);
    install(fixture, store, &orphan);
    /* an orphan key, as a crash of somebody else's making would leave it */
    material = material_of(&fixture->pki, &orphan);
    assert_int_equal(ops->sweep(store, &fixture->ours, NULL, false, &reason), 0);
    assert_int_equal(ops->install(store, &material, &found, &reason), 0);
    ops->close(store);
    store_unload();
    {
        char spec[USER_DIRS_PATH_MAX + 8];
        char *name = NULL;
        const char *argv[] = {"certutil", "-D", "-d", spec, "-n", NULL, NULL};

        assert_int_equal(x509_subject_text(orphan.leaf, NID_commonName, &name), 0);
        argv[5] = name;
        snprintf(spec, sizeof spec, "sql:%s", fixture->location.path);
        assert_int_equal(home_run(argv, text, sizeof text), 0);
        free(name);
    }
    certutil(fixture, "-K", text, sizeof text);
    assert_int_equal(home_count(text, PKI_DEVICE " request-2"), 1);
    certutil(fixture, "-L", text, sizeof text);
    assert_int_equal(home_count(text, "u,u,u"), 1);

    store = open_store(fixture, false);
    assert_int_equal(ops->sweep(store, &fixture->ours, NULL, false, &reason), 0);
    ops->close(store);
    store_unload();
    certutil(fixture, "-L", text, sizeof text);
    assert_string_equal(text, certificates_before);
    certutil(fixture, "-K", text, sizeof text);
    assert_string_equal(text, keys_before);
    credential_free(&credential);
    credential_free(&orphan);
    pki_deinit(&other);
}

/* A home that two devices share: the other one's leaf stays, and so does the issuer that it needs.
 */
static void test_another_device_in_the_same_database(void **state) {
    struct fixture *fixture = *state;
    struct credential credential;
    struct store *store;
    enum reason reason;
    char text[8192];

    ops->close(open_store(fixture, true));
    store_unload();
    import_foreign(
        fixture, &fixture->pki, "Another device", PKI_OTHER_DEVICE, fixture->location.path);
    credential_make(&credential, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    store = open_store(fixture, true);
    install(fixture, store, &credential);
    assert_int_equal(ops->sweep(store, &fixture->ours, NULL, false, &reason), 0);
    ops->close(store);
    store_unload();
    certutil(fixture, "-L", text, sizeof text);
    assert_int_equal(home_count(text, "u,u,u"), 1);
    assert_int_equal(home_count(text, "Another device"), 1);
    assert_int_equal(home_count(text, "Example Trust Issuing CA"), 1);
    credential_free(&credential);
}

static void test_supersede_keeps_the_new_one(void **state) {
    struct fixture *fixture = *state;
    struct credential old, new;
    struct store_certificates found;
    struct store *store;
    enum reason reason;

    credential_make(&old, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    credential_make(&new, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-2");
    store = open_store(fixture, true);
    install(fixture, store, &old);
    install(fixture, store, &new);
    assert_int_equal(ops->list(store, &fixture->ours, &found, &reason), 0);
    assert_int_equal(found.count, 2);
    store_certificates_deinit(&found);
    assert_int_equal(
        ops->sweep(store, &fixture->ours, credential_key_spki(new.key), false, &reason), 0);
    assert_int_equal(ops->list(store, &fixture->ours, &found, &reason), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(X509_cmp(found.items[0].leaf, new.leaf), 0);
    assert_int_equal(X509_cmp(found.items[0].issuer, fixture->pki.issuer), 0);
    assert_true(found.items[0].verified);
    assert_string_equal(found.items[0].request_id, "request-2");
    store_certificates_deinit(&found);
    assert_int_equal(ops->verify(store, old.leaf, &reason), -EBADMSG);
    assert_int_equal(reason, REASON_STORE_VERIFY);
    ops->close(store);
    credential_free(&old);
    credential_free(&new);
}

/* Takes NSS's place: a certificate's id cannot be read. */
static bool ids_are_unreadable;

SECItem *PK11_GetLowLevelKeyIDForCert(
    PK11SlotInfo *slot, CERTCertificate *certificate, void *wincx) {
    SECItem *(*real)(PK11SlotInfo *, CERTCertificate *, void *);

    if (ids_are_unreadable)
        return NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "PK11_GetLowLevelKeyIDForCert");
    return real(slot, certificate, wincx);
}

/* A key that nothing seems to name is no orphan then. */
static void test_nothing_is_given_up_for_what_is_not_seen(void **state) {
    struct fixture *fixture = *state;
    struct credential current, other;
    struct store *store;
    enum reason reason;

    credential_make(&current, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    credential_make(&other, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-2");
    store = open_store(fixture, true);
    install(fixture, store, &current);
    ids_are_unreadable = true;
    assert_int_equal(
        ops->sweep(store, &fixture->ours, credential_key_spki(current.key), false, &reason), -EIO);
    assert_int_equal(
        ops->discard(store, &fixture->ours, credential_key_spki(other.key), false, &reason), -EIO);
    ids_are_unreadable = false;
    assert_int_equal(ops->verify(store, current.leaf, &reason), 0);
    /* nor where the one that is to stay has gone since it was seen */
    assert_int_equal(
        ops->sweep(store, &fixture->ours, credential_key_spki(other.key), false, &reason),
        -EBADMSG);
    assert_int_equal(reason, REASON_STORE_VERIFY);
    assert_int_equal(ops->verify(store, current.leaf, &reason), 0);
    ops->close(store);
    credential_free(&current);
    credential_free(&other);
}

static void test_issuer_of_somebody_else_stays(void **state) {
    struct fixture *fixture = *state;
    struct credential credential;
    struct store_material material;
    struct store *store;
    char text[8192], path[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8];
    enum reason reason;
    bool found = false;
    FILE *file;
    const char *argv[] = {"certutil", "-A",  "-d", spec, "-n", "company CA",
                          "-t",       "T,,", "-i", path, NULL};

    ops->close(open_store(fixture, true));
    store_unload();
    user_dirs_join(fixture->dirs.home, "ca.pem", path);
    snprintf(spec, sizeof spec, "sql:%s", fixture->location.path);
    file = fopen(path, "w");
    PEM_write_X509(file, fixture->pki.issuer);
    fclose(file);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    credential_make(&credential, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    material = material_of(&fixture->pki, &credential);
    store = open_store(fixture, true);
    assert_int_equal(ops->install(store, &material, &found, &reason), 0);
    assert_true(found);
    /* even where the record that it was found is lost: its trust tells */
    assert_int_equal(ops->sweep(store, &fixture->ours, NULL, false, &reason), 0);
    ops->close(store);
    store_unload();
    certutil(fixture, "-L", text, sizeof text);
    assert_int_equal(home_count(text, "company CA"), 1);
    assert_int_equal(home_count(text, "T,,"), 1);
    assert_int_equal(home_count(text, "Device Trust Certificate"), 0);
    credential_free(&credential);
}

static void test_recorded_key_is_ours_with_a_foreign_ca(void **state) {
    struct fixture *fixture = *state;
    struct pki other;
    struct credential credential;
    struct store_material material;
    struct store_certificates found;
    struct store *store;
    enum reason reason;
    bool issuer_found;

    pki_init(&other, "Foreign");
    credential_make(&credential, &other, KEY_TYPE_P256, PKI_OTHER_DEVICE, "request-1");
    material = material_of(&other, &credential);
    store = open_store(fixture, true);
    assert_int_equal(ops->install(store, &material, &issuer_found, &reason), 0);
    assert_int_equal(ops->list(store, &fixture->ours, &found, &reason), 0);
    assert_int_equal(found.count, 0);
    assert_int_equal(ours_add_key(&fixture->ours, credential_key_spki(credential.key)), 0);
    assert_int_equal(ops->list(store, &fixture->ours, &found, &reason), 0);
    assert_int_equal(found.count, 1);
    assert_null(found.items[0].issuer);
    store_certificates_deinit(&found);
    assert_int_equal(ops->sweep(store, &fixture->ours, NULL, false, &reason), 0);
    assert_int_equal(ops->list(store, &fixture->ours, &found, &reason), 0);
    assert_int_equal(found.count, 0);
    ops->close(store);
    credential_free(&credential);
    pki_deinit(&other);
}

/* ---- bad days ---- */

static void expect_refusal(struct fixture *fixture, enum reason expected) {
    struct store *store = NULL;
    enum reason reason = REASON_NONE;

    assert_true(ops->open(&fixture->location, true, &store, &reason) < 0);
    assert_null(store);
    assert_string_equal(reason_code(reason), reason_code(expected));
    store_unload();
}

static void test_master_password(void **state) {
    struct fixture *fixture = *state;
    char password[USER_DIRS_PATH_MAX], empty[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8],
        text[4096];
    const char *argv[] = {"certutil", "-W", "-d", spec, "-f", empty, "-@", password, NULL};
    char before[4096];
    FILE *file;

    ops->close(open_store(fixture, true));
    store_unload();
    user_dirs_join(fixture->dirs.home, "password", password);
    user_dirs_join(fixture->dirs.home, "no-password", empty);
    file = fopen(empty, "w");
    fputs("\n", file);
    fclose(file);
    snprintf(spec, sizeof spec, "sql:%s", fixture->location.path);
    file = fopen(password, "w");
    fputs("correct horse\n", file);
    fclose(file);
    if (home_run(argv, text, sizeof text) != 0)
        fail_msg("%s", text);
    certutil(fixture, "-L", before, sizeof before);
    expect_refusal(fixture, REASON_STORE_PASSWORD);
    certutil(fixture, "-L", text, sizeof text);
    assert_string_equal(text, before);
}

static void damage(
    struct fixture *fixture, const char *name, off_t at, const char *data, size_t size,
    bool truncate_it) {
    char path[USER_DIRS_PATH_MAX];
    int fd;

    user_dirs_join(fixture->location.path, name, path);
    fd = open(path, O_WRONLY | (truncate_it ? O_TRUNC : 0));
    assert_true(fd >= 0);
    if (size > 0)
        assert_int_equal(pwrite(fd, data, size, at), size);
    close(fd);
}

static off_t size_of(struct fixture *fixture, const char *name) {
    char path[USER_DIRS_PATH_MAX];
    struct stat status;

    user_dirs_join(fixture->location.path, name, path);
    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

static void test_corrupt(void **state) {
    struct fixture *fixture = *state;
    static char garbage[8192];

    memset(garbage, 0x5a, sizeof garbage);
    ops->close(open_store(fixture, true));
    store_unload();
    /* the header stands, the pages do not */
    damage(fixture, "key4.db", 100, garbage, sizeof garbage, false);
    expect_refusal(fixture, REASON_STORE_CORRUPT);
    /* the header is gone */
    damage(fixture, "cert9.db", 0, garbage, 64, false);
    expect_refusal(fixture, REASON_STORE_CORRUPT);
    /* a file of zero length must not be made anew in silence */
    damage(fixture, "cert9.db", 0, NULL, 0, true);
    expect_refusal(fixture, REASON_STORE_CORRUPT);
    assert_int_equal(size_of(fixture, "cert9.db"), 0);
}

/* A database that another program holds for longer than NSS waits is no broken one. */
static void test_locked_by_another(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];
    int ready[2], status;
    char byte;

    ops->close(open_store(fixture, true));
    store_unload();
    assert_false(nss_database_is_locked(fixture->location.path));
    user_dirs_join(fixture->location.path, "key4.db", path);
    assert_int_equal(pipe(ready), 0);
    pid_t other = fork();
    if (other == 0) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};
        if (fcntl(open(path, O_RDWR), F_SETLK, &lock) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(nss_database_is_locked(fixture->location.path));
    kill(other, SIGKILL);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_false(nss_database_is_locked(fixture->location.path));
    close(ready[0]);
    close(ready[1]);
}

static void test_empty_key_file(void **state) {
    struct fixture *fixture = *state;

    ops->close(open_store(fixture, true));
    store_unload();
    damage(fixture, "key4.db", 0, NULL, 0, true);
    expect_refusal(fixture, REASON_STORE_CORRUPT);
    assert_int_equal(size_of(fixture, "key4.db"), 0);
}

static void test_missing_home(void **state) {
    struct fixture *fixture = *state;
    enum reason reason = REASON_NONE;

    home_remove(&fixture->dirs);
    assert_int_equal(store_precheck(&fixture->location, &fixture->dirs, &reason), -ENOENT);
    assert_int_equal(reason, REASON_STORE_MISSING);
}

static void become_nobody(struct fixture *fixture) {
    const char *argv[] = {"chown", "-R", "65534", fixture->dirs.home, NULL};
    char text[256];

    assert_int_equal(home_run(argv, text, sizeof text), 0);
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        abort();
}

/* Runs `body` in a child as an ordinary user where the test runs as root: permissions mean nothing
 * to root. */
static void as_ordinary_user(struct fixture *fixture, void (*body)(struct fixture *)) {
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (getuid() == 0)
            become_nobody(fixture);
        body(fixture);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void expect_read_only(struct fixture *fixture) {
    struct store *store = NULL;
    enum reason reason = REASON_NONE;

    CHECK(ops->open(&fixture->location, true, &store, &reason) < 0);
    CHECK(reason == REASON_STORE_READ_ONLY);
    CHECK(store_precheck(&fixture->location, &fixture->dirs, &reason) < 0);
}

static void body_read_only(struct fixture *fixture) {
    char path[USER_DIRS_PATH_MAX];

    user_dirs_join(fixture->location.path, "cert9.db", path);
    CHECK(chmod(path, 0400) == 0);
    expect_read_only(fixture);
    CHECK(chmod(path, 0600) == 0);
    CHECK(chmod(fixture->location.path, 0500) == 0);
    expect_read_only(fixture);
    CHECK(chmod(fixture->location.path, 0700) == 0);
}

static void test_read_only(void **state) {
    struct fixture *fixture = *state;

    ops->close(open_store(fixture, true));
    store_unload();
    as_ordinary_user(fixture, body_read_only);
}

static void body_unmakeable(struct fixture *fixture) {
    CHECK(chmod(fixture->dirs.home, 0500) == 0);
    expect_read_only(fixture);
    CHECK(chmod(fixture->dirs.home, 0700) == 0);
}

static void test_home_that_takes_no_directory(void **state) {
    as_ordinary_user(*state, body_unmakeable);
}

static void fill(const char *directory) {
    char path[USER_DIRS_PATH_MAX];
    static const char block[4096];
    int fd;

    user_dirs_join(directory, "ballast", path);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        continue;
    CHECK(errno == ENOSPC);
    close(fd);
}

/* In a mount namespace of its own: home is a file system of 512 KiB. */
static void body_full(struct fixture *fixture) {
    struct credential credential;
    struct store_material material;
    struct store *store = NULL;
    enum reason reason = REASON_NONE;
    bool found;

    CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHECK(mount("tmpfs", fixture->dirs.home, "tmpfs", 0, "size=512k,mode=700") == 0);
    credential_make(&credential, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    material = material_of(&fixture->pki, &credential);
    /* a database that stands, and then no space for what goes in */
    CHECK(ops->open(&fixture->location, true, &store, &reason) == 0);
    fill(fixture->dirs.home);
    CHECK(ops->install(store, &material, &found, &reason) < 0);
    CHECK(reason == REASON_STORE_FULL);
    ops->close(store);
    store_unload();
    /* no space for a new one: nothing half-made is left in its place */
    {
        const char *argv[] = {"rm", "-r", fixture->location.path, NULL};
        char text[256];

        CHECK(home_run(argv, text, sizeof text) == 0);
    }
    fill(fixture->dirs.home);
    CHECK(ops->open(&fixture->location, true, &store, &reason) < 0);
    CHECK(reason == REASON_STORE_FULL);
    CHECK(access(fixture->location.path, F_OK) < 0);
    _exit(0);
}

static void test_full(void **state) {
    struct fixture *fixture = *state;
    int status = 0;
    pid_t pid;

    if (getuid() != 0) {
        print_message("needs root to mount a small file system\n");
        skip();
    }
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        CHECK(unshare(CLONE_NEWNS) == 0);
        body_full(fixture);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_leftovers_of_a_killed_creation(void **state) {
    struct fixture *fixture = *state;
    char parent[USER_DIRS_PATH_MAX], left[USER_DIRS_PATH_MAX], file[USER_DIRS_PATH_MAX];
    int fd;

    user_dirs_join(fixture->dirs.home, ".local", parent);
    mkdir(parent, 0700);
    mkdir(fixture->dirs.data, 0700);
    user_dirs_join(fixture->dirs.data, "pki", parent);
    mkdir(parent, 0700);
    user_dirs_join(parent, ".devtrust-nssdb-abcdef", left);
    assert_int_equal(mkdir(left, 0700), 0);
    user_dirs_join(left, "cert9.db", file);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    ops->close(open_store(fixture, true));
    assert_int_equal(access(left, F_OK), -1);
}

/* ---- killed in the middle ---- */

enum step { STEP_INTERMEDIATE, STEP_LEAF, STEP_KEY, STEP_COUNT };

/* The child dies right after a step as kill -9 would let it: nothing is closed, nothing flushed. */
static void die_after(struct fixture *fixture, enum step step, struct credential *old) {
    struct credential new;
    struct store *store = NULL;
    struct store_material material;
    enum reason reason;
    bool found;

    (void)old;
    credential_make(&new, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-2");
    material = material_of(&fixture->pki, &new);
    CHECK(ops->open(&fixture->location, true, &store, &reason) == 0);
    if (step < STEP_KEY) {
        /* a material that fails at the next step stops there */
        static char nothing[] = "";
        struct secret *broken = NULL;

        (void)nothing;
        CHECK(secret_new(8, &broken) == 0);
        material.key = broken;
        if (step == STEP_INTERMEDIATE)
            material.leaf = material.intermediate;
        CHECK(ops->install(store, &material, &found, &reason) < 0);
    } else {
        CHECK(ops->install(store, &material, &found, &reason) == 0);
    }
    _exit(0);
}

static void test_killed_after_each_step(void **state) {
    struct fixture *fixture = *state;
    struct credential old;
    struct store *store;
    char before_certificates[8192], before_keys[8192], text[8192];

    credential_make(&old, &fixture->pki, KEY_TYPE_P256, PKI_DEVICE, "request-1");
    store = open_store(fixture, true);
    install(fixture, store, &old);
    ops->close(store);
    store_unload();
    certutil(fixture, "-L", before_certificates, sizeof before_certificates);
    certutil(fixture, "-K", before_keys, sizeof before_keys);
    for (enum step step = STEP_INTERMEDIATE; step < STEP_COUNT; step++) {
        enum reason reason;
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            die_after(fixture, step, &old);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        if (step == STEP_KEY) {
            certutil(fixture, "-K", text, sizeof text);
            assert_int_equal(home_count(text, PKI_DEVICE), 2);
        }
        store = open_store(fixture, false);
        assert_int_equal(
            ops->sweep(store, &fixture->ours, credential_key_spki(old.key), false, &reason), 0);
        assert_int_equal(ops->verify(store, old.leaf, &reason), 0);
        ops->close(store);
        store_unload();
        certutil(fixture, "-L", text, sizeof text);
        assert_string_equal(text, before_certificates);
        certutil(fixture, "-K", text, sizeof text);
        assert_string_equal(text, before_keys);
    }
    credential_free(&old);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_install_is_seen_by_certutil),
        TEST(test_place_of_the_database),
        TEST(test_modes_of_a_new_database),
        TEST(test_odd_path),
        TEST(test_foreign_things_stay),
        TEST(test_another_device_in_the_same_database),
        TEST(test_supersede_keeps_the_new_one),
        TEST(test_nothing_is_given_up_for_what_is_not_seen),
        TEST(test_issuer_of_somebody_else_stays),
        TEST(test_recorded_key_is_ours_with_a_foreign_ca),
        TEST(test_master_password),
        TEST(test_corrupt),
        TEST(test_locked_by_another),
        TEST(test_empty_key_file),
        TEST(test_missing_home),
        TEST(test_read_only),
        TEST(test_home_that_takes_no_directory),
        TEST(test_full),
        TEST(test_leftovers_of_a_killed_creation),
        TEST(test_killed_after_each_step),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
