/* `ipc call|info|introspect` against the real interfaces. */
#include "scripted.h"

static void test_call(void **state) {
    (void)state;
    scripted.answer = "{\"request_ids\":[\"a/b\"]}";
    struct result CLEANUP_RESULT text =
        run("ipc call io.devtrust.Device.Renew {\"user\":\"alice\"} --socket @");
    assert_int_equal(text.status, 0);
    assert_string_equal(text.out, "{\n  \"request_ids\": [\n    \"a/b\"\n  ]\n}\n");
    assert_string_equal(scripted.parameters, "{\"user\":\"alice\"}");
    struct result CLEANUP_RESULT json = run("ipc call io.devtrust.Device.Renew --json --socket @");
    assert_string_equal(json.out, "{\"request_ids\":[\"a/b\"]}\n");
    assert_string_equal(scripted.parameters, "{}");
}

static void test_call_errors(void **state) {
    (void)state;
    struct result CLEANUP_RESULT unknown = run("ipc call a.b.C --json --socket @");
    assert_int_equal(unknown.status, CTL_NO);
    assert_string_equal(
        unknown.out, "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                     "\"parameters\":{\"interface\":\"a.b\"}}\n");
    scripted.error = "org.varlink.service.PermissionDenied";
    struct result CLEANUP_RESULT denied =
        run("ipc call io.devtrust.Device.Remove --json --socket @");
    assert_int_equal(denied.status, CTL_NOT_PERMITTED);
    scripted.error = "io.devtrust.Device.Failed";
    scripted.answer = "{\"code\":\"server-refused\",\"text\":\"\",\"remedy\":\"\"}";
    struct result CLEANUP_RESULT refused = run("ipc call io.devtrust.Device.Renew --socket @");
    assert_int_equal(refused.status, CTL_REFUSED);
}

/* Escapes in JSON mean what they stand for: so nothing is lost by them. */
static void test_json_cannot_steer_the_terminal(void **state) {
    static const char hostile[] =
        "{\"a\\u009b\":\"\\u001b[2J\\u007f\\u009b2J\\u202e\\udb40\\udc41 é…\"}";
    (void)state;
    scripted.answer = hostile;
    struct json_object CLEANUP_JSON *meant = parsed(hostile);
    struct result CLEANUP_RESULT json = run("ipc call io.devtrust.Device.Renew --json --socket @");
    assert_string_equal(
        json.out, "{\"a\\u009b\":\"\\u001b[2J\\u007f\\u009b2J\\u202e\\udb40\\udc41 é…\"}\n");
    struct json_object CLEANUP_JSON *said = parsed(json.out);
    assert_true(json_object_equal(said, meant));
    struct result CLEANUP_RESULT text = run("ipc call io.devtrust.Device.Renew --socket @");
    assert_non_null(strstr(text.out, "\"a\\u009b\": \"\\u001b[2J\\u007f\\u009b2J\\u202e"));
}

static void test_stream(void **state) {
    (void)state;
    scripted.answer = "{\"revision\":1}\n{\"revision\":2}\n";
    struct result CLEANUP_RESULT stream =
        run("ipc call io.devtrust.Agent.Watch --more --json --socket @");
    assert_int_equal(stream.status, 0);
    assert_string_equal(stream.out, "{\"revision\":1}\n{\"revision\":2}\n{}\n");
    struct result CLEANUP_RESULT plain = run("ipc call io.devtrust.Agent.Watch --json --socket @");
    assert_int_equal(plain.status, CTL_NO);
    assert_string_equal(
        plain.out, "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}\n");
    assert_string_equal(plain.err, "");
    struct result CLEANUP_RESULT person = run("ipc call io.devtrust.Agent.Watch --socket @");
    assert_string_equal(person.err, "This method is a stream: add --more.\n");
}

static void test_oneway_does_not_wait(void **state) {
    (void)state;
    scripted.silent = true;
    struct result CLEANUP_RESULT result =
        run("ipc call io.devtrust.Device.GetStatus --oneway --socket @");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.out, "");
}

static void test_info(void **state) {
    (void)state;
    struct result CLEANUP_RESULT text = run("ipc info --socket @");
    assert_int_equal(text.status, 0);
    assert_string_equal(
        text.out, "Vendor      devtrust\n"
                  "Product     devtrustd\n"
                  "Version     9.9\n"
                  "URL         https://example.com\n"
                  "Interfaces  io.devtrust.Device\n"
                  "            io.devtrust.Agent\n"
                  "            io.devtrust.Debug\n"
                  "            org.varlink.service\n");
    struct result CLEANUP_RESULT json = run("ipc info --json --socket @");
    assert_string_equal(
        json.out, "{\"vendor\":\"devtrust\",\"product\":\"devtrustd\",\"version\":\"9.9\","
                  "\"url\":\"https://example.com\",\"interfaces\":[\"io.devtrust.Device\","
                  "\"io.devtrust.Agent\",\"io.devtrust.Debug\",\"org.varlink.service\"]}\n");
}

static void test_introspect(void **state) {
    (void)state;
    struct result CLEANUP_RESULT one = run("ipc introspect io.devtrust.Device --socket @");
    assert_int_equal(one.status, 0);
    assert_string_equal(one.out, interface_io_devtrust_Device);
    struct result CLEANUP_RESULT stray = run("ipc introspect a.b --socket @");
    assert_int_equal(stray.status, CTL_NO);
    assert_non_null(
        strstr(stray.err, "the interface a.b\nThose that it knows: devtrustctl ipc info"));
    struct result CLEANUP_RESULT all = run("ipc introspect --socket @");
    assert_int_equal(all.status, 0);
    assert_int_equal(
        strlen(all.out),
        strlen(interface_io_devtrust_Device) + strlen(interface_io_devtrust_Agent) +
            strlen(interface_io_devtrust_Debug) + strlen(interface_org_varlink_service) + 3);
    struct result CLEANUP_RESULT json = run("ipc introspect io.devtrust.Agent --json --socket @");
    struct json_object CLEANUP_JSON *object = parsed(json.out);
    struct json_object *text = NULL;
    assert_true(json_object_object_get_ex(object, "io.devtrust.Agent", &text));
    assert_string_equal(json_object_get_string(text), interface_io_devtrust_Agent);
    struct result CLEANUP_RESULT none = run("ipc introspect io.nobody --socket @");
    assert_int_equal(none.status, CTL_NO);
    assert_non_null(strstr(none.err, "does not know the interface io.nobody"));
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_call),
        TEST(test_call_errors),
        TEST(test_json_cannot_steer_the_terminal),
        TEST(test_stream),
        TEST(test_oneway_does_not_wait),
        TEST(test_info),
        TEST(test_introspect),
    };
    return cmocka_run_group_tests_name("ctl ipc", tests, NULL, NULL);
}
