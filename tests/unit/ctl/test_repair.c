/* `repair`: what was done and what could not be, the wait until it has taken effect, what is left.
 */
#include "scripted.h"

#include "common/version.h"

#define STATUS "{\"version\":\"" DEVTRUST_VERSION "\",\"users\":[]}"
#define PUSH_DONE "{\"id\":\"push\",\"text\":\"The push channel is being opened.\"}"
#define AGENT_AWAY                                                                                 \
    "{\"id\":\"agent\",\"user\":\"alice\",\"code\":\"no-agent\",\"text\":\"No agent is "           \
    "attached.\"}"
#define WELL "{\"checks\":[{\"id\":\"push\",\"result\":\"ok\",\"text\":\"Open.\"}]}"
#define PUSH_DOWN                                                                                  \
    "{\"checks\":[{\"id\":\"push\",\"result\":\"failure\",\"code\":\"push-down\",\"text\":"        \
    "\"Closed.\",\"remedy\":\"Run: devtrustctl repair.\"}]}"
#define AGENT_DOWN                                                                                 \
    "{\"checks\":[{\"id\":\"agent\",\"user\":\"alice\",\"result\":\"failure\",\"code\":"           \
    "\"no-agent\",\"text\":\"Away.\",\"remedy\":\"Sign in.\"}]}"

static struct result repair(const char *actions, const char *checks, const char *more) {
    char line[256];
    scripted.of[0].method = "GetStatus";
    scripted.of[0].answer = STATUS;
    scripted.of[1].method = "Repair";
    scripted.of[1].answer = actions;
    scripted.of[2].method = "Diagnose";
    scripted.of[2].answer = checks;
    snprintf(line, sizeof line, "repair%s --socket @", more);
    return run(line);
}

static void test_done_and_well(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = repair("{\"actions\":[" PUSH_DONE "]}", WELL, "");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.err, "");
    assert_string_equal(
        result.out, "done      push                The push channel is being opened.\n"
                    "\n"
                    "3 ok, 0 warnings, 0 failures.\n");
    assert_string_equal(scripted.parameters, "{\"all\":true}"); /* root looks at everybody */
}

static void test_what_could_not_be_done(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result =
        repair("{\"actions\":[" AGENT_AWAY "]}", AGENT_DOWN, " --user alice");
    assert_int_equal(result.status, CTL_NO);
    assert_string_equal(
        result.out, "not done  agent               alice: No agent is attached. [no-agent]\n"
                    "\n"
                    "What is left:\n"
                    "\n"
                    "User alice\n"
                    "FAILURE  agent               Away. [no-agent]\n"
                    "                             Sign in.\n"
                    "\n"
                    "2 ok, 0 warnings, 1 failure.\n"
                    "Codes:   no-agent\n"
                    "Next:    Do what stands under each, then run this again. What a code means,\n"
                    "         anywhere: devtrustctl explain CODE.\n");
    assert_string_equal(scripted.parameters, "{\"user\":\"alice\"}");
    assert_int_equal(scripted.calls, 3); /* what was not done is not waited for */
}

static void test_nothing_to_do(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = repair("{\"actions\":[]}", WELL, "");
    assert_int_equal(result.status, 0);
    assert_memory_equal(result.out, "There was nothing to repair.\n", 29);
}

/* The daemon's word changes while the tool waits: from a thread of the test's own. */
static void *mend(void *userdata) {
    (void)userdata;
    while (strcmp(scripted.method, "io.devtrust.Device.Diagnose") != 0)
        usleep(1000);
    scripted.of[2].answer = WELL;
    return NULL;
}

static void test_it_waits_until_it_has_taken_effect(void **state) {
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, mend, NULL), 0);
    struct result CLEANUP_RESULT result = repair("{\"actions\":[" PUSH_DONE "]}", PUSH_DOWN, "");
    pthread_join(thread, NULL);
    assert_int_equal(result.status, 0);
    assert_null(strstr(result.out, "What is left"));
}

/* What nothing was done about is not waited for: the doctor is asked once. */
static void test_it_waits_for_nothing_else(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = repair("{\"actions\":[" PUSH_DONE "]}", AGENT_DOWN, "");
    assert_int_equal(result.status, CTL_NO);
    assert_int_equal(scripted.calls, 3); /* Repair, GetStatus, Diagnose */
}

static void test_json(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result =
        repair("{\"actions\":[" AGENT_AWAY "]}", AGENT_DOWN, " --json");
    assert_int_equal(result.status, CTL_NO);
    struct json_object CLEANUP_JSON *object = parsed(result.out);
    struct json_object CLEANUP_JSON *expected = parsed("[" AGENT_AWAY "]");
    assert_true(json_object_equal(json_object_object_get(object, "actions"), expected));
    assert_int_equal(json_object_get_int(json_object_object_get(object, "failures")), 1);
    assert_int_equal(json_object_array_length(json_object_object_get(object, "checks")), 3);
}

static void test_refusals_and_other_shapes(void **state) {
    static const char *const answers[] = {
        "{}",
        "{\"actions\":1}",
        "{\"actions\":[1]}",
        "{\"actions\":[{\"id\":\"x\"}]}",
        "{\"actions\":[{\"text\":\"x\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct result CLEANUP_RESULT result = repair(answers[i], WELL, "");
        assert_int_equal(result.status, CTL_NO);
        assert_string_equal(result.out, "");
    }
    scripted.of[1].error = "io.devtrust.Device.Failed";
    struct result CLEANUP_RESULT refused = repair(
        "{\"code\":\"no-such-user\",\"text\":\"Nobody.\",\"remedy\":\"Run: devtrustctl status.\"}",
        WELL, " --user nobody");
    assert_int_equal(refused.status, CTL_NO);
    assert_string_equal(
        refused.err, "devtrustctl repair: Nobody. [no-such-user]\nRun: devtrustctl status.\n");
    struct result CLEANUP_RESULT away = run("repair --socket /nowhere/at/all");
    assert_int_equal(away.status, CTL_UNREACHABLE);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_done_and_well),
        TEST(test_what_could_not_be_done),
        TEST(test_nothing_to_do),
        TEST(test_it_waits_until_it_has_taken_effect),
        TEST(test_it_waits_for_nothing_else),
        TEST(test_json),
        TEST(test_refusals_and_other_shapes),
    };
    return cmocka_run_group_tests_name("ctl repair", tests, NULL, NULL);
}
