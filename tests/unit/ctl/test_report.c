/* `report`: one document, a file that is never overwritten, nobody's name in it. */
#include "scripted.h"

#include "common/version.h"
#include "ipc/ctl/system_info.h"

#include <sys/stat.h>

#define STATUS                                                                                     \
    "{\"version\":\"" DEVTRUST_VERSION "\",\"users\":[{\"id\":\"u-zebediah\",\"name\":"            \
    "\"zebediah\",\"state\":\"installed\",\"stores\":[{\"path\":\"/home/zebediah/.pki/"            \
    "nssdb\"}]}]}"
#define CHECKS                                                                                     \
    "{\"checks\":[{\"id\":\"user\",\"user\":\"zebediah\",\"result\":\"failure\",\"code\":"         \
    "\"no-agent\",\"text\":\"zebediah@example.com is away.\",\"remedy\":\"Call him.\"}]}"

#define LOG                                                                                        \
    "{\"entries\":[{\"time_us\":1,\"level\":\"warning\",\"message_id\":\"00\",\"text\":"           \
    "\"Zebediah's store is full\",\"fields\":{\"USER_ID\":\"u-zebediah\",\"ERRNO\":28}}]}"

static char path[256];

static void refuse_debug(void) {
    scripted.of[2].error = "org.varlink.service.PermissionDenied";
    scripted.of[2].answer = NULL;
    scripted.of[3].error = scripted.of[2].error;
    scripted.of[3].answer = NULL;
    scripted.of[4].error = "org.varlink.service.MethodNotFound"; /* an older daemon */
    scripted.of[4].answer = "{\"method\":\"x\"}";
}

static int set_up(void **state) {
    scripted_setup(state);
    scripted.of[0].method = "GetStatus";
    scripted.of[0].answer = STATUS;
    scripted.of[1].method = "Diagnose";
    scripted.of[1].answer = CHECKS;
    scripted.of[2].method = "GetLog";
    scripted.of[2].answer = LOG;
    scripted.of[3].method = "ListConnections";
    scripted.of[3].answer = "{\"connections\":[{\"id\":1,\"uid\":1000}],\"limit_per_uid\":16}";
    scripted.of[4].method = "GetStatistics";
    scripted.of[4].answer = "{\"uptime_s\":7,\"methods\":[]}";
    snprintf(path, sizeof path, "%s/report.json", scripted.directory);
    return 0;
}

static int tear_down(void **state) {
    (void)unlink(path);
    return scripted_teardown(state);
}

static struct result report(const char *file, const char *more) {
    char line[512];
    snprintf(line, sizeof line, "report %s%s --socket @", file, more);
    return run(line);
}

/* free() it */
static char *file_text(void) {
    char *text = calloc(1, 65536);
    FILE CLEANUP_FCLOSE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    return text;
}

static const char *text_at(struct json_object *object, const char *member) {
    struct json_object *value = json_object_object_get(object, member);
    return value ? json_object_get_string(value) : "";
}

static void test_the_document(void **state) {
    struct stat status;
    (void)state;
    struct result CLEANUP_RESULT result = report(path, "");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.err, "");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    char CLEANUP_FREE *text = file_text();
    assert_null(strcasestr(text, "zebediah"));
    struct json_object CLEANUP_JSON *document = parsed(text);
    assert_string_equal(text_at(document, "format"), "devtrust-report");
    assert_int_equal(json_object_get_int(json_object_object_get(document, "version")), 1);
    assert_int_equal(
        json_object_get_int64(json_object_object_get(document, "created")), SCRIPTED_NOW);
    assert_string_equal(
        text_at(json_object_object_get(document, "versions"), "devtrustctl"), DEVTRUST_VERSION);
    assert_string_equal(
        text_at(json_object_object_get(document, "versions"), "devtrustd"), DEVTRUST_VERSION);
    assert_true(strlen(text_at(json_object_object_get(document, "system"), "kernel")) > 0);

    struct json_object *doctor = json_object_object_get(document, "doctor");
    struct json_object *check =
        json_object_array_get_idx(json_object_object_get(doctor, "checks"), 2);
    assert_string_equal(text_at(check, "id"), "user");
    assert_string_equal(text_at(check, "user"), "user-1");
    assert_string_equal(text_at(check, "code"), "no-agent");
    assert_string_equal(text_at(check, "text"), "mail-1 is away.");
    struct json_object *user = json_object_array_get_idx(
        json_object_object_get(json_object_object_get(document, "status"), "users"), 0);
    assert_string_equal(text_at(user, "id"), "person-1");
    assert_string_equal(text_at(user, "name"), "user-1");
    assert_non_null(strstr(text, "/home/user-1/.pki/nssdb")); /* no account, so no home of his */

    struct json_object *entry = json_object_array_get_idx(
        json_object_object_get(json_object_object_get(document, "log"), "entries"), 0);
    assert_string_equal(text_at(entry, "text"), "user-1's store is full");
    assert_string_equal(text_at(json_object_object_get(entry, "fields"), "USER_ID"), "person-1");
    assert_string_equal(text_at(json_object_object_get(document, "statistics"), "uptime_s"), "7");
    assert_non_null(json_object_object_get(document, "connections"));
    assert_int_equal(json_object_array_length(json_object_object_get(document, "missing")), 0);
    assert_fits(result.out);
    assert_non_null(strstr(
        result.out,
        "In it       system, doctor, status, log, connections, statistics, versions\n"));
    assert_null(strstr(result.out, "Not in it"));
}

/* What this daemon does not have is named, and why. */
static void test_what_is_not_there(void **state) {
    (void)state;
    refuse_debug();
    struct result CLEANUP_RESULT result = report(path, "");
    char CLEANUP_FREE *text = file_text();
    struct json_object CLEANUP_JSON *document = parsed(text);
    struct json_object *missing = json_object_object_get(document, "missing");
    assert_int_equal(json_object_array_length(missing), 3);
    assert_string_equal(text_at(json_object_array_get_idx(missing, 0), "part"), "log");
    assert_string_equal(text_at(json_object_array_get_idx(missing, 0), "why"), "not-permitted");
    assert_fits(result.out);
    assert_non_null(strstr(result.out, "In it       system, doctor, status, versions\n"));
    assert_non_null(strstr(
        result.out, "Not in it   log (not-permitted), connections (not-permitted), statistics\n"
                    "            (not-known)\n"));
    assert_non_null(strstr(
        result.out, "1 user name, 0 home directories, 1 person at the server, 1 "
                    "mail\n            address;"));
}

static void test_it_is_never_overwritten(void **state) {
    (void)state;
    FILE *file = fopen(path, "we");
    fputs("precious", file);
    fclose(file);
    struct result CLEANUP_RESULT result = report(path, "");
    assert_int_equal(result.status, CTL_USAGE);
    assert_non_null(strstr(result.err, "The file exists already"));
    assert_string_equal(scripted.method, ""); /* nothing was asked for in vain */
    char CLEANUP_FREE *text = file_text();
    assert_string_equal(text, "precious");
    (void)unlink(path);
    assert_int_equal(symlink("/nowhere/at/all", path), 0);
    struct result CLEANUP_RESULT link = report(path, "");
    assert_int_equal(link.status, CTL_USAGE);
    struct result CLEANUP_RESULT nowhere = report("/nowhere/at/all", "");
    assert_int_equal(nowhere.status, CTL_USAGE);
    assert_non_null(strstr(nowhere.err, "No such file or directory"));
    struct result CLEANUP_RESULT none = run("report --socket @");
    assert_int_equal(none.status, CTL_USAGE);
}

static void test_standard_output(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = report("-", "");
    assert_int_equal(result.status, 0);
    struct json_object CLEANUP_JSON *document = parsed(result.out);
    assert_string_equal(text_at(document, "format"), "devtrust-report");
    assert_non_null(strstr(result.err, "Replaced"));
    struct result CLEANUP_RESULT json = report("-", " --json");
    assert_string_equal(json.err, "");
    struct json_object CLEANUP_JSON *again = parsed(json.out);
    assert_string_equal(text_at(again, "format"), "devtrust-report");
}

static void test_json(void **state) {
    (void)state;
    refuse_debug();
    struct result CLEANUP_RESULT result = report(path, " --json");
    struct json_object CLEANUP_JSON *object = parsed(result.out);
    assert_string_equal(text_at(object, "file"), path);
    assert_int_equal(json_object_array_length(json_object_object_get(object, "missing")), 3);
    assert_int_equal(
        json_object_get_int(
            json_object_object_get(json_object_object_get(object, "replaced"), "mail_addresses")),
        1);
}

/* That is when a report is wanted most. */
static void test_nobody_answers(void **state) {
    char line[512];
    (void)state;
    snprintf(line, sizeof line, "report %s --socket /nowhere/at/all", path);
    struct result CLEANUP_RESULT result = run(line);
    assert_int_equal(result.status, 0);
    char CLEANUP_FREE *text = file_text();
    struct json_object CLEANUP_JSON *document = parsed(text);
    struct json_object *doctor = json_object_object_get(document, "doctor");
    assert_int_equal(json_object_get_int(json_object_object_get(doctor, "failures")), 1);
    assert_int_equal(json_object_array_length(json_object_object_get(document, "missing")), 4);
    assert_non_null(strstr(result.out, "status (daemon-unreachable)"));
}

static void test_a_daemon_that_refuses(void **state) {
    (void)state;
    scripted.of[1].error = "org.varlink.service.MethodNotFound";
    scripted.of[1].answer = "{\"method\":\"Diagnose\"}";
    struct result CLEANUP_RESULT result = report(path, "");
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(result.out, "checks of devtrustd (org.varlink.service.MethodNotFound)"));
    char CLEANUP_FREE *text = file_text();
    struct json_object CLEANUP_JSON *document = parsed(text);
    assert_non_null(json_object_object_get(document, "status"));
}

static void test_what_machine_it_is(void **state) {
    (void)state;
    FILE *file = fopen(path, "we");
    fputs(
        "# comment\nNAME=\"Other\"\nPRETTY_NAME=\"Example OS 12 (worm)\"\nID=example\n"
        "VERSION_ID='12'\nno equals sign\nHOME_URL=x\nPRETTY\n",
        file);
    fclose(file);
    struct json_object CLEANUP_JSON *info = system_info(path);
    assert_string_equal(text_at(info, "os"), "Example OS 12 (worm)");
    assert_string_equal(text_at(info, "os_id"), "example");
    assert_string_equal(text_at(info, "os_version"), "12");
    assert_int_equal(json_object_object_length(info), 5); /* and kernel, machine: no name of it */
    struct json_object CLEANUP_JSON *none = system_info("/nowhere");
    assert_int_equal(json_object_object_length(none), 2);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_document),
        TEST(test_what_is_not_there),
        TEST(test_it_is_never_overwritten),
        TEST(test_standard_output),
        TEST(test_json),
        TEST(test_nobody_answers),
        TEST(test_a_daemon_that_refuses),
        TEST(test_what_machine_it_is),
    };
    return cmocka_run_group_tests_name("ctl report", tests, NULL, NULL);
}
