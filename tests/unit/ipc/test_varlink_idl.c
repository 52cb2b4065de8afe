/* The scanner of interface texts, on small texts and on our own. */
#include "play.h"

#include "ipc/interfaces.h"
#include "ipc/varlink_idl.h"

static int collect(enum varlink_idl_kind kind, const char *name, size_t length, void *userdata) {
    char *joined = userdata;
    sprintf(joined + strlen(joined), "%c:%.*s ", "TME"[kind], (int)length, name);
    return 0;
}

static void test_declarations_in_order(void **state) {
    char joined[512] = "";
    (void)state;
    assert_int_equal(varlink_idl_read(play_interface, "io.test.Play", collect, joined), 0);
    assert_string_equal(
        joined,
        "T:Thing M:Echo M:Later M:Silent M:Small M:Count M:Mute M:Slow M:Dear M:Managed M:Root "
        "M:Close M:Fields M:Keep E:Wrong ");
}

static void test_comments_and_nesting(void **state) {
    static const char text[] = "# a comment (with a parenthesis\n"
                               "interface a.b # method X() -> ()\n"
                               "method M(a: (b: int, # )\n c: (d, e))) # ->\n -> (x: []string)\n"
                               "error E(a: ?string)";
    char joined[64] = "";
    (void)state;
    assert_int_equal(varlink_idl_read(text, "a.b", collect, joined), 0);
    assert_string_equal(joined, "M:M E:E ");
    assert_true(varlink_idl_has(text, "a.b", VARLINK_IDL_METHOD, "M"));
    assert_true(varlink_idl_has(text, "a.b", VARLINK_IDL_ERROR, "E"));
    assert_false(varlink_idl_has(text, "a.b", VARLINK_IDL_METHOD, "E"));
    assert_false(varlink_idl_has(text, "a.b", VARLINK_IDL_METHOD, "X"));
}

static void test_what_is_no_interface(void **state) {
    static const char *const bad[] = {
        "",
        "interface",
        "interface a.c",
        "interfac a.b",
        "interface a.b\nmethod",
        "interface a.b\nmethod M",
        "interface a.b\nmethod M()",
        "interface a.b\nmethod M() ->",
        "interface a.b\nmethod M() -> (",
        "interface a.b\ntype T(",
        "interface a.b\ntype t()",
        "interface a.b\ntype T.U()",
        "interface a.b\nfoo F()",
        "interface a.b\n)",
        "interface a.b\nmethod M(# ) \n",
        "interface a.b\nerror E"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        print_message("%s\n", bad[i]);
        assert_int_equal(varlink_idl_read(bad[i], "a.b", NULL, NULL), -EINVAL);
    }
}

static void test_name_length_at_the_limit_and_one_past(void **state) {
    char name[VARLINK_IDL_NAME_MAX + 2], text[512];
    (void)state;
    memset(name, 'M', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(text, sizeof text, "interface a.b\ntype %s()", name + 1);
    assert_int_equal(varlink_idl_read(text, "a.b", NULL, NULL), 0);
    snprintf(text, sizeof text, "interface a.b\ntype %s()", name);
    assert_int_equal(varlink_idl_read(text, "a.b", NULL, NULL), -EINVAL);
}

static void test_our_own(void **state) {
    (void)state;
    assert_true(varlink_idl_has(
        interface_io_devtrust_Agent, "io.devtrust.Agent", VARLINK_IDL_METHOD, "Submit"));
    assert_true(varlink_idl_has(
        interface_io_devtrust_Device, "io.devtrust.Device", VARLINK_IDL_ERROR, "Failed"));
    assert_true(varlink_idl_has(
        interface_io_devtrust_Debug, "io.devtrust.Debug", VARLINK_IDL_TYPE, "Connection"));
    assert_true(varlink_idl_has(
        interface_org_varlink_service, "org.varlink.service", VARLINK_IDL_ERROR, "ExpectedMore"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declarations_in_order),
        cmocka_unit_test(test_comments_and_nesting),
        cmocka_unit_test(test_what_is_no_interface),
        cmocka_unit_test(test_name_length_at_the_limit_and_one_past),
        cmocka_unit_test(test_our_own),
    };
    return cmocka_run_group_tests_name("varlink_idl", tests, NULL, NULL);
}
