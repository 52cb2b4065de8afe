/* All stores of a home together, on real databases: Chromium's and several Firefox profiles, some
 * of them in a bad way. What happens in one must not be felt in another. */
#include "useragent/store_set.h"

#include "useragent/credential_key.h"
#include "useragent/nss_database.h"

#include "home.h"
#include "pki.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/vfs.h>

#include <cmocka.h>

static struct user_dirs dirs;
static struct pki pki;
static struct ours ours;
static struct agent_record record;
static struct store_set set;
static char root[USER_DIRS_PATH_MAX]; /* ~/.mozilla/firefox */

/* ---- a home ---- */

/* Takes libc's place: the directory of this inode lies on NFS. */
static ino_t network_inode;

int fstatfs(int fd, struct statfs *status) {
    struct stat st;

    memset(status, 0, sizeof *status);
    status->f_type = fstat(fd, &st) == 0 && network_inode && st.st_ino == network_inode
                         ? NFS_SUPER_MAGIC
                         : EXT4_SUPER_MAGIC;
    return 0;
}

static void run(const char *const argv[]) {
    char text[4096];

    if (home_run(argv, text, sizeof text) != 0)
        fail_msg("%s: %s", argv[0], text);
}

static void profile_path(unsigned number, char ret[USER_DIRS_PATH_MAX]) {
    char name[32];

    snprintf(name, sizeof name, "abcd.p%u", number);
    assert_int_equal(user_dirs_join(root, name, ret), 0);
}

/* `count` profiles that Firefox has never started: a directory with its time stamp. */
static void make_profiles(unsigned count) {
    char path[USER_DIRS_PATH_MAX], ini[USER_DIRS_PATH_MAX], text[4096] = "";
    FILE *file;

    for (unsigned i = 0; i < count; i++) {
        profile_path(i, path);
        run((const char *const[]){"mkdir", "-p", path, NULL});
        assert_int_equal(user_dirs_join(path, "times.json", ini), 0);
        file = fopen(ini, "we");
        fputs("{}", file);
        fclose(file);
        snprintf(
            text + strlen(text), sizeof text - strlen(text),
            "[Profile%u]\nIsRelative=1\nPath=abcd.p%u\n", i, i);
    }
    assert_int_equal(user_dirs_join(root, "profiles.ini", ini), 0);
    file = fopen(ini, "we");
    fputs(text, file);
    fclose(file);
}

static int setup(void **state) {
    (void)state;
    home_make(&dirs);
    assert_int_equal(user_dirs_join(dirs.home, ".mozilla/firefox", root), 0);
    pki_init(&pki, "Example");
    assert_int_equal(ours_add_device(&ours, PKI_DEVICE), 0);
    assert_int_equal(ours_add_issuer_key(&ours, pki.issuer_spki), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    store_set_close(&set);
    set = (struct store_set){0};
    agent_record_deinit(&record);
    record = (struct agent_record){0};
    home_remove(&dirs);
    pki_deinit(&pki);
    ours_deinit(&ours);
    ours = (struct ours){0};
    network_inode = 0;
    return 0;
}

/* ---- a credential ---- */

struct credential {
    struct credential_key *key;
    struct secret *pkcs8;
    X509 *leaf;
    char label[STORE_KEY_LABEL_SIZE];
};

static void credential_make(struct credential *credential, const char *request_id) {
    const unsigned char *data;
    EVP_PKEY *key;

    assert_int_equal(credential_key_new(KEY_TYPE_P256, PKI_USER, request_id, &credential->key), 0);
    assert_int_equal(credential_key_export(credential->key, &credential->pkcs8), 0);
    assert_int_equal(store_key_label(PKI_DEVICE, request_id, credential->label), 0);
    data = secret_data(credential->pkcs8);
    key = d2i_AutoPrivateKey(NULL, &data, (long)secret_size(credential->pkcs8));
    credential->leaf = pki_leaf(&pki, key, PKI_DEVICE, PKI_USER, time(NULL) - 300, 30 * 86400);
    EVP_PKEY_free(key);
}

static void credential_free(struct credential *credential) {
    credential_key_free(credential->key);
    secret_free(credential->pkcs8);
    X509_free(credential->leaf);
}

static size_t install(struct credential *credential) {
    const struct store_material material = {
        .intermediate = pki.issuer,
        .leaf = credential->leaf,
        .key = credential->pkcs8,
        .key_label = credential->label};

    return store_set_install(&set, &material, &ours, credential_key_spki(credential->key), false);
}

/* ---- what is there ---- */

static struct store_set_item *item(const char *path) {
    for (size_t i = 0; i < set.count; i++)
        if (strcmp(set.items[i].location.path, path) == 0)
            return &set.items[i];
    return NULL;
}

static struct store_set_item *profile(unsigned number) {
    char path[USER_DIRS_PATH_MAX];

    profile_path(number, path);
    assert_non_null(item(path));
    return item(path);
}

static void expect(const char *path, unsigned leaves, unsigned keys) {
    char text[8192];

    (void)home_certutil("-L", path, text, sizeof text);
    if (home_count(text, "Device Trust Certificate - ") != leaves)
        fail_msg("%s: not %u certificates: %s", path, leaves, text);
    (void)home_certutil("-K", path, text, sizeof text);
    if (home_count(text, "devtrust " PKI_DEVICE) != keys)
        fail_msg("%s: not %u keys: %s", path, keys, text);
}

static void list(void) {
    store_set_list(&set, &dirs, &record);
}

/* ---- the tests ---- */

static void test_chromium_and_each_profile(void **state) {
    (void)state;
    make_profiles(2);
    list();
    assert_int_equal(set.count, 3);
    assert_int_equal(set.items[0].location.kind, STORE_NSS_CHROMIUM);
    assert_int_equal(profile(0)->location.kind, STORE_NSS_FIREFOX);
    assert_int_equal(profile(1)->location.kind, STORE_NSS_FIREFOX);
    assert_true(profile(1)->listed);
}

/* Each family whose home is its own has one store more once it was used; before, none. */
static void test_every_confined_browser(void **state) {
    char path[USER_DIRS_PATH_MAX];
    size_t count = 1;

    (void)state;
    for (const struct browser_family *family = browser_families; family->id; family++) {
        const struct browser_place *last = family->stores;

        if (family->kind != BROWSER_CHROMIUM || !family->process_prefix)
            continue;
        list();
        assert_int_equal(set.count, count);
        assert_int_equal(user_dirs_place(&dirs, &family->data, path), 0);
        run((const char *const[]){"mkdir", "-p", path, NULL});
        list();
        assert_int_equal(set.count, ++count);
        /* what it would make itself, and what is there before that */
        while (last[1].path)
            last++;
        assert_int_equal(user_dirs_place(&dirs, last, path), 0);
        assert_non_null(item(path));
        if (family->stores[0].base == BROWSER_HOME &&
            strncmp(family->stores[0].path, ".pki", 4) == 0)
            continue; /* the user's own */
        assert_int_equal(user_dirs_place(&dirs, &family->stores[0], path), 0);
        run((const char *const[]){"mkdir", "-p", path, NULL});
        list();
        assert_int_equal(set.count, count);
        assert_non_null(item(path));
    }
    assert_int_equal(count, 11);
}

/* Other Chromium-family browsers have a place of their own only once they were used. */
static void test_snap_chromium(void **state) {
    char path[USER_DIRS_PATH_MAX];

    (void)state;
    list();
    assert_int_equal(set.count, 1);
    assert_int_equal(user_dirs_join(dirs.home, "snap/chromium/1234", path), 0);
    run((const char *const[]){"mkdir", "-p", path, NULL});
    assert_int_equal(user_dirs_join(dirs.home, "snap/chromium/current", path), 0);
    assert_int_equal(symlink("1234", path), 0);
    list();
    assert_int_equal(set.count, 2);
    assert_non_null(strstr(set.items[1].location.path, "current/.local/share/pki/nssdb"));
    assert_int_equal(user_dirs_join(dirs.home, "snap/chromium/current/.pki/nssdb", path), 0);
    run((const char *const[]){"mkdir", "-p", path, NULL});
    list();
    assert_int_equal(set.count, 2);
    assert_string_equal(set.items[1].location.path, path);
}

static void test_most_stores_and_one_more(void **state) {
    struct credential credential;

    (void)state;
    make_profiles(STORE_MAX - 1);
    list();
    assert_int_equal(set.count, STORE_MAX);
    assert_int_equal(store_set_precheck(&set, &dirs), STORE_MAX);
    assert_int_equal(store_set_open(&set, true), STORE_MAX);
    credential_make(&credential, "request-1");
    assert_int_equal(install(&credential), STORE_MAX);
    for (size_t i = 0; i < set.count; i++)
        set.items[i].recorded = true;
    assert_true(store_set_sweep(&set, &ours, credential_key_spki(credential.key)));
    store_set_close(&set);
    for (size_t i = 0; i < set.count; i++)
        expect(set.items[i].location.path, 1, 1);
    make_profiles(STORE_MAX);
    list();
    assert_int_equal(set.count, STORE_MAX);
    credential_free(&credential);
}

/* What holds something of ours is not pushed out by what is new. */
static void test_recorded_stores_keep_their_place(void **state) {
    struct agent_record_store *known = &record.stores[record.store_count++];

    (void)state;
    known->location.kind = STORE_NSS_FIREFOX;
    assert_int_equal(user_dirs_join(dirs.home, "old profile", known->location.path), 0);
    make_profiles(STORE_MAX);
    list();
    assert_int_equal(set.count, STORE_MAX);
    assert_non_null(item(known->location.path));
    assert_true(item(known->location.path)->recorded);
    assert_false(item(known->location.path)->listed);
}

/* The same certificate in two open databases: NSS knows it once, and must delete it only where it
 * is told to. */
static void test_sweeping_one_leaves_the_other(void **state) {
    struct credential old, new;

    (void)state;
    make_profiles(2);
    list();
    assert_int_equal(store_set_open(&set, true), 3);
    credential_make(&old, "request-1");
    credential_make(&new, "request-2");
    assert_int_equal(install(&old), 3);
    store_set_close(&set);
    list();
    assert_int_equal(store_set_open(&set, true), 3);
    assert_int_equal(install(&new), 3);
    for (size_t i = 0; i < set.count; i++)
        set.items[i].recorded = true;
    /* the new one does not work there, let us say */
    profile(1)->verified = false;
    assert_false(store_set_sweep(&set, &ours, credential_key_spki(new.key)));
    store_set_close(&set);
    expect(set.items[0].location.path, 1, 1);
    expect(profile(0)->location.path, 1, 1);
    expect(profile(1)->location.path, 2, 2);
    /* all gone, but from one that is not swept */
    list();
    assert_int_equal(store_set_open(&set, true), 3);
    for (size_t i = 0; i < set.count; i++)
        set.items[i].verified = set.items[i].recorded = i != 0;
    {
        enum reason reason = REASON_NONE;

        for (size_t i = 1; i < set.count; i++)
            assert_int_equal(
                set.items[i].ops->sweep(set.items[i].store, &ours, NULL, false, &reason), 0);
    }
    store_set_close(&set);
    expect(set.items[0].location.path, 1, 1);
    expect(profile(0)->location.path, 0, 0);
    expect(profile(1)->location.path, 0, 0);
    {
        char text[8192];

        (void)home_certutil("-L", set.items[0].location.path, text, sizeof text);
        assert_int_equal(home_count(text, "Example Trust Issuing CA"), 1);
    }
    credential_free(&old);
    credential_free(&new);
}

static void expect_reason(const char *path, enum reason reason) {
    assert_string_equal(reason_code(item(path)->reason), reason_code(reason));
}

static void make_database(const char *path, const char *password) {
    char file[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8];

    snprintf(spec, sizeof spec, "sql:%s", path);
    assert_int_equal(user_dirs_join(dirs.home, "password", file), 0);
    FILE *stream = fopen(file, "we");
    fprintf(stream, "%s\n", password);
    fclose(stream);
    run((const char *const[]){"certutil", "-N", "-d", spec, "-f", file, NULL});
}

/* Each bad one is named and left alone, the good ones are served. */
static void test_bad_ones_beside_good_ones(void **state) {
    char locked[USER_DIRS_PATH_MAX], broken[USER_DIRS_PATH_MAX], remote[USER_DIRS_PATH_MAX];
    char file[USER_DIRS_PATH_MAX];
    struct credential credential;
    struct stat status;

    (void)state;
    make_profiles(4);
    profile_path(0, locked);
    profile_path(1, broken);
    profile_path(2, remote);
    make_database(locked, "correct horse");
    assert_int_equal(user_dirs_join(broken, "cert9.db", file), 0);
    FILE *stream = fopen(file, "we");
    fputs("this is no database any more", stream);
    fclose(stream);
    assert_int_equal(stat(remote, &status), 0);
    network_inode = status.st_ino;

    list();
    assert_int_equal(set.count, 5);
    assert_int_equal(store_set_precheck(&set, &dirs), 3); /* a password shows only when opened */
    assert_int_equal(store_set_open(&set, true), 2);
    expect_reason(locked, REASON_STORE_PASSWORD);
    expect_reason(broken, REASON_STORE_CORRUPT);
    expect_reason(remote, REASON_STORE_NETWORK);
    credential_make(&credential, "request-1");
    assert_int_equal(install(&credential), 2);
    assert_true(profile(3)->verified);
    store_set_close(&set);
    expect(profile(3)->location.path, 1, 1);
    expect(set.items[0].location.path, 1, 1);
    assert_int_equal(user_dirs_join(remote, "cert9.db", file), 0);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(user_dirs_join(broken, "key4.db", file), 0);
    assert_int_equal(access(file, F_OK), -1);
    credential_free(&credential);
}

/* What was put there before the home moved to the network is still taken away. */
static void test_removal_on_a_network_file_system(void **state) {
    struct credential credential;
    struct stat status;

    (void)state;
    make_profiles(1);
    list();
    assert_int_equal(store_set_open(&set, true), 2);
    credential_make(&credential, "request-1");
    assert_int_equal(install(&credential), 2);
    store_set_close(&set);
    assert_int_equal(stat(profile(0)->location.path, &status), 0);
    network_inode = status.st_ino;
    list();
    assert_int_equal(store_set_open(&set, true), 1);
    store_set_close(&set);
    list();
    assert_int_equal(store_set_open(&set, false), 2);
    assert_true(store_set_sweep(&set, &ours, NULL));
    store_set_close(&set);
    expect(profile(0)->location.path, 0, 0);
    credential_free(&credential);
}

static unsigned entries(const char *path) {
    DIR *dir = opendir(path);
    unsigned count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

/* A profile that was never started gets its two files; nothing else changes there. */
static void test_database_in_a_directory_with_other_things(void **state) {
    char file[USER_DIRS_PATH_MAX], left[USER_DIRS_PATH_MAX];
    struct stat status;

    (void)state;
    make_profiles(1);
    list();
    assert_int_equal(user_dirs_join(profile(0)->location.path, ".devtrust-nssdb-left", left), 0);
    assert_int_equal(mkdir(left, 0700), 0);
    assert_int_equal(store_set_open(&set, true), 2);
    store_set_close(&set);
    assert_int_equal(entries(profile(0)->location.path), 3);
    assert_int_equal(user_dirs_join(profile(0)->location.path, "key4.db", file), 0);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    /* killed between the two files */
    assert_int_equal(unlink(file), 0);
    list();
    assert_int_equal(store_set_open(&set, true), 2);
    store_set_close(&set);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(entries(profile(0)->location.path), 3);
}

/* Looking makes nothing. */
static void test_missing_database_is_not_made_by_looking(void **state) {
    char path[USER_DIRS_PATH_MAX];

    (void)state;
    make_profiles(1);
    list();
    assert_int_equal(store_set_open(&set, false), 0);
    profile_path(0, path);
    expect_reason(path, REASON_STORE_MISSING);
    assert_int_equal(entries(path), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_chromium_and_each_profile),
        TEST(test_every_confined_browser),
        TEST(test_snap_chromium),
        TEST(test_most_stores_and_one_more),
        TEST(test_recorded_stores_keep_their_place),
        TEST(test_sweeping_one_leaves_the_other),
        TEST(test_bad_ones_beside_good_ones),
        TEST(test_removal_on_a_network_file_system),
        TEST(test_database_in_a_directory_with_other_things),
        TEST(test_missing_database_is_not_made_by_looking),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
