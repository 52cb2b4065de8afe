/* `status --page`: what stands in the file, who may read it, and what happens where it cannot be.
 */
#include "scripted.h"

#include "common/base64.h"
#include "ipc/ctl/person_page.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>

static char opened[4096], runtime[4096];
static int open_result;

static int open_stub(const char *path) {
    snprintf(opened, sizeof opened, "%s", path);
    return open_result;
}

static bool none_installed(const struct browser_family *family) {
    (void)family;
    return false;
}

#define ANSWER(name_, stores_)                                                                     \
    "{\"version\":\"0.1.0\",\"now\":1795000000,\"enrolment\":{\"state\":\"enrolled\"},"            \
    "\"push\":{\"connected\":true},\"desired\":{\"distribution\":\"on\",\"organisation\":"         \
    "\"Rock & Roll\"},\"policies\":[],\"users\":[{\"id\":\"u1\",\"name\":\"" name_                 \
    "\",\"state\":\"installed\",\"agent_attached\":true,\"serial\":\"5f3c9a10aabbccdd\","          \
    "\"not_after\":1797505600,\"stores\":[" stores_ "]}]}"

static int setup(void **state) {
    scripted_setup(state);
    snprintf(runtime, sizeof runtime, "%s/runtime", scripted.directory);
    opened[0] = '\0';
    open_result = 0;
    return mkdir(runtime, 0700);
}

static int teardown(void **state) {
    DIR *directory = opendir(runtime);
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(runtime);
    return scripted_teardown(state);
}

/* As somebody who is not root, wherever the test runs: the directory is given to him. */
static struct result page(const char *command_line) {
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.own_uid = geteuid() == 0 ? 1000 : geteuid();
    ctl.browser_installed = none_installed;
    ctl.runtime_directory = runtime;
    ctl.open_file = open_stub;
    if (geteuid() == 0)
        assert_int_equal(chown(runtime, 1000, 1000), 0);
    return run_with(&ctl, command_line);
}

static char *contents(void) {
    char path[4200];
    static char text[65536];
    snprintf(path, sizeof path, "%s/devtrust-status.html", runtime);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void test_the_page(void **state) {
    struct stat status;
    char path[4200];
    (void)state;
    scripted.answer =
        ANSWER("<script>&", "{\"kind\":\"nss_firefox\",\"path\":\"/x/a.<b>\\u001b\",\"ok\":true}");
    struct result CLEANUP_RESULT result = page("status --page --socket @");
    assert_int_equal(result.status, CTL_GOOD);
    snprintf(path, sizeof path, "%s/devtrust-status.html", runtime);
    assert_string_equal(opened, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    const char *text = contents();
    assert_non_null(
        strstr(text, "<title>Trusted until 2026-12-17 12:06 CET (in 29 days).</title>"));
    assert_non_null(
        strstr(text, "<h1>Trusted until <span>2026-12-17</span> 12:06 CET (in 29 days).</h1>"));
    assert_non_null(strstr(text, "&lt;script&gt;&amp; (u1)"));
    assert_non_null(strstr(text, "Firefox, profile &lt;b&gt;\\x1b: installed"));
    assert_non_null(strstr(text, "Rock &amp; Roll"));
    assert_non_null(strstr(text, "<main class=\"good\">"));
    assert_non_null(strstr(text, "As of <span>2026-11-18</span> 12:06 CET;"));
    assert_null(strstr(text, "<script"));
    assert_null(strchr(text, 27));
}

/* What the browser lets through is what the page carries. */
static void test_the_style_is_the_one_of_the_hash(void **state) {
    uint8_t hash[SHA256_DIGEST_LENGTH];
    char base64[BASE64_TEXT_SIZE(SHA256_DIGEST_LENGTH)], directive[128];
    (void)state;
    scripted.answer = ANSWER("alice", "");
    struct result CLEANUP_RESULT result = page("status --page --socket @");
    assert_int_equal(result.status, CTL_GOOD);
    const char *text = contents(), *begin = strstr(text, "<style>"),
               *end = strstr(text, "</style>");
    assert_true(begin && end);
    begin += strlen("<style>");
    SHA256((const uint8_t *)begin, (size_t)(end - begin), hash);
    base64_encode(hash, sizeof hash, base64);
    snprintf(directive, sizeof directive, "default-src 'none'; style-src 'sha256-%s';", base64);
    assert_non_null(strstr(text, directive));
}

static void test_a_link_in_its_place_is_not_followed(void **state) {
    char link[4200], target[4200];
    struct stat status;
    (void)state;
    scripted.answer = ANSWER("alice", "");
    snprintf(link, sizeof link, "%s/devtrust-status.html", runtime);
    snprintf(target, sizeof target, "%s/other", runtime);
    close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(symlink(target, link), 0);
    struct result CLEANUP_RESULT result = page("status --page --socket @");
    assert_int_equal(result.status, CTL_GOOD);
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

static void test_a_directory_of_others(void **state) {
    (void)state;
    scripted.answer = ANSWER("alice", "");
    assert_int_equal(chmod(runtime, 0755), 0);
    struct result CLEANUP_RESULT open_to_all = page("status --page --socket @");
    assert_int_equal(open_to_all.status, CTL_NO);
    assert_non_null(strstr(open_to_all.err, "The page cannot be written"));
    assert_string_equal(opened, "");
    assert_int_equal(chmod(runtime, 0700), 0);
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.own_uid = 4711;
    ctl.runtime_directory = runtime;
    ctl.open_file = open_stub;
    struct result CLEANUP_RESULT of_others = run_with(&ctl, "status --page --socket @");
    assert_int_equal(of_others.status, CTL_NO);
    ctl.runtime_directory = NULL;
    struct result CLEANUP_RESULT none = run_with(&ctl, "status --page --socket @");
    assert_int_equal(none.status, CTL_NO);
    assert_string_equal(opened, "");
}

/* The entry of the desktop has no terminal: what is wrong must be on the page. */
static void test_the_daemon_is_away(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = page("status --page --socket /nowhere/at/all");
    assert_int_equal(result.status, CTL_UNREACHABLE);
    assert_string_not_equal(opened, "");
    const char *text = contents();
    assert_non_null(strstr(text, "<h1>It is not known whether this device is trusted.</h1>"));
    assert_non_null(strstr(text, "<main class=\"bad\">"));
    assert_non_null(strstr(text, "<h2>What to do</h2>"));
    assert_null(strstr(text, "devtrustctl status: "));
}

static void test_an_answer_of_another_shape(void **state) {
    (void)state;
    scripted.answer = "{}";
    struct result CLEANUP_RESULT result = page("status --page --socket @");
    assert_int_equal(result.status, CTL_NO);
    assert_non_null(strstr(contents(), "It is not known whether"));
}

static void test_nothing_opens_it(void **state) {
    (void)state;
    scripted.answer = ANSWER("alice", "");
    open_result = -ENOENT;
    struct result CLEANUP_RESULT result = page("status --page --socket @");
    assert_int_equal(result.status, CTL_NO);
    assert_non_null(strstr(result.err, "No program opens the page"));
}

static void test_what_it_is_not_for(void **state) {
    (void)state;
    struct result CLEANUP_RESULT root = run("status --page --socket @");
    assert_int_equal(root.status, CTL_USAGE);
    struct result CLEANUP_RESULT json = page("status --page --json --socket @");
    assert_int_equal(json.status, CTL_USAGE);
}

static void fill(char text[PERSON_TEXT_SIZE], const char *with) {
    for (size_t i = 0; i < PERSON_TEXT_SIZE - 1; i++)
        text[i] = with[i % strlen(with)];
}

static void expect_fits(const char *with) {
    struct person *person = person_new();
    struct buffer CLEANUP_BUFFER html = BUFFER_INIT(PERSON_PAGE_MAX);
    person->tone = TEXT_BAD;
    person->count = PERSON_MAX_ROWS;
    fill(person->headline, with);
    fill(person->reason, with);
    for (size_t i = 0; i < PERSON_MAX_ROWS; i++) {
        person->rows[i].label = "";
        fill(person->rows[i].text, with);
    }
    assert_int_equal(person_page_render(person, "now", &html), 0);
    free(person);
}

/* Every row at its longest, and every character one of those that are escaped, or every word one
 * that is kept whole. */
static void test_the_largest_page_fits(void **state) {
    (void)state;
    expect_fits("\"");
    expect_fits("a-b ");
    expect_fits("\"a-b\" ");
}

/* What is wrapped at blanks alone. */
static void test_words_that_stay_whole(void **state) {
    struct person *person = person_new();
    struct buffer CLEANUP_BUFFER html = BUFFER_INIT(PERSON_PAGE_MAX);
    (void)state;
    person->tone = TEXT_WARN;
    person->count = 1;
    person->rows[0] = (struct person_row){
        .section = PERSON_TO_DO,
        .label = "",
        .text =
            "run devtrust-server: [store-password] -x a-  b - -- /home/a/a-path-that-is-too-long",
    };
    assert_int_equal(person_page_render(person, "now", &html), 0);
    assert_int_equal(buffer_append(&html, "", 1), 0);
    assert_non_null(strstr(
        (const char *)html.data,
        ">run <span>devtrust-server:</span> <span>[store-password]</span> -x a-  b - -- "
        "/home/a/a-path-that-is-too-long</li>"));
    free(person);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_page),
        TEST(test_the_style_is_the_one_of_the_hash),
        TEST(test_a_link_in_its_place_is_not_followed),
        TEST(test_a_directory_of_others),
        TEST(test_the_daemon_is_away),
        TEST(test_an_answer_of_another_shape),
        TEST(test_nothing_opens_it),
        TEST(test_what_it_is_not_for),
        cmocka_unit_test(test_the_largest_page_fits),
        cmocka_unit_test(test_words_that_stay_whole),
    };
    return cmocka_run_group_tests_name("ctl status --page", tests, NULL, NULL);
}
