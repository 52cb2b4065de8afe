/* The command line's commands over its socket: what they change, what they refuse, what they leave
 * in the audit log. */
#include "running.h"

#include "server/command_table.h"
#include "server/commands.h"

static int group_setup(void **state) {
    return running_setup(state, NULL);
}

static void refused(
    struct running *running, const char *name, const char *arguments, long status,
    const char *detail) {
    CLEANUP_JSON struct json_object *problem = command(running, name, arguments, status);
    struct json_object *value = NULL;
    assert_true(json_object_object_get_ex(problem, "detail", &value));
    if (!strstr(json_object_get_string(value), detail))
        fail_msg("\"%s\" is not in \"%s\"", detail, json_object_get_string(value));
}

/* The rows of a list that contain `text`. */
static size_t rows_with(
    struct running *running, const char *name, const char *arguments, const char *rows,
    const char *text) {
    CLEANUP_JSON struct json_object *answer = command(running, name, arguments, 200);
    struct json_object *list = NULL;
    size_t count = 0;
    assert_true(json_object_object_get_ex(answer, rows, &list));
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (strstr(json_object_get_string(json_object_array_get_idx(list, i)), text))
            count++;
    return count;
}

static void test_every_command_has_a_handler(void **state) {
    struct running *running = *state;
    const struct command_entry *const tables[] = {command_changes, command_lists, command_explain};
    size_t handlers = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++)
        for (const struct command_entry *entry = tables[i]; entry->name; entry++) {
            assert_non_null(command_find(entry->name));
            handlers++;
        }
    assert_int_equal(handlers, command_count);
    refused(running, "nothing", "{}", 404, "no such command");
}

static void test_arguments_are_checked(void **state) {
    struct running *running = *state;
    refused(running, "user-add", "", 400, "not a JSON object");
    refused(running, "user-add", "[]", 400, "not a JSON object");
    refused(running, "user-add", "{", 400, "not a JSON object");
    refused(running, "user-add", "{}", 400, "ID is missing");
    refused(running, "user-add", "{\"id\":7}", 400, "id: ");
    refused(running, "user-add", "{\"id\":\"\"}", 400, "id: ");
    refused(running, "user-add", "{\"id\":\"a b\"}", 400, "letters, digits");
    refused(running, "user-add", "{\"id\":\"../x\"}", 400, "letters, digits");
    refused(running, "user-add", "{\"id\":\"m\",\"mail\":\"nobody\"}", 400, "mail address");
    refused(running, "user-add", "{\"id\":\"m\",\"mail\":\"a@b@c\"}", 400, "mail address");
    refused(running, "user-add", "{\"id\":\"m\",\"upn\":\"a b@c\"}", 400, "principal");
    refused(running, "user-add", "{\"id\":\"m\",\"name\":\"a\\nb\"}", 400, "control");
    refused(running, "token-create", "{\"uses\":0}", 400, "uses");
    refused(running, "token-create", "{\"uses\":\"1\"}", 400, "uses");
    refused(running, "token-create", "{\"expires\":0}", 400, "expires");
    refused(running, "distribution", "{\"value\":\"maybe\"}", 400, "on, paused or off");
    refused(running, "device-remove", "{\"device\":\"x\"}", 400, "UUID");
    assert_int_equal(rows_with(running, "user-list", "{}", "users", "\"m\""), 0);
    char longest[SERVER_USER_ID_SIZE + 32];
    snprintf(longest, sizeof(longest), "{\"id\":\"%064d\"}", 1);
    must(running, "user-add", "%s", longest);
    snprintf(longest, sizeof(longest), "{\"id\":\"%065d\"}", 1);
    refused(running, "user-add", longest, 400, "id: ");
}

static void test_users(void **state) {
    struct running *running = *state;
    must(
        running, "user-add",
        "{\"id\":\"c-user\",\"name\":\"J\\u00f6rg\",\"mail\":\"j@example.com\",\"upn\":\"j@"
        "corp\"}");
    refused(running, "user-add", "{\"id\":\"c-user\"}", 409, "already");
    assert_int_equal(rows_with(running, "user-list", "{}", "users", "j@example.com"), 1);
    must(running, "user-remove", "{\"id\":\"c-user\"}");
    refused(running, "user-remove", "{\"id\":\"c-user\"}", 404, "no user c-user");
    assert_int_equal(rows_with(running, "user-list", "{}", "users", "c-user"), 0);
}

static void test_assignments(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char text[256];
    managed_setup(running, "c-one", &managed);
    must(running, "user-add", "{\"id\":\"c-two\"}");
#define ASSIGN(user, device, name)                                                                 \
    (snprintf(                                                                                     \
         text, sizeof(text), "{\"user\":\"%s\",\"device\":\"%s\",\"local_name\":\"%s\"}", user,    \
         device, name),                                                                            \
     text)
    refused(running, "assign", ASSIGN("c-one", managed.device, "other"), 409, "already");
    refused(running, "assign", ASSIGN("c-two", managed.device, "c-one"), 409, "already");
    refused(running, "assign", ASSIGN("c-nobody", managed.device, "x"), 404, "user add");
    refused(
        running, "assign", ASSIGN("c-two", "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11", "x"), 404,
        "no enrolled device");
    refused(running, "assign", ASSIGN("c-two", "here", "x"), 400, "UUID");
    static const char *const bad_names[] = {"-x",  "a/b",     "a b",
                                            "a:b", "\\u0007", "aaaaaaaaaabbbbbbbbbbccccccccccddd"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad_names); i++)
        refused(running, "assign", ASSIGN("c-two", managed.device, bad_names[i]), 400, "account");
    must(
        running, "assign", "%s",
        ASSIGN("c-two", managed.device, "aaaaaaaaaabbbbbbbbbbccccccccccdd"));
    snprintf(text, sizeof(text), "{\"device\":\"%s\"}", managed.device);
    assert_int_equal(rows_with(running, "assignment-list", text, "assignments", "c-"), 2);
    assert_int_equal(
        rows_with(running, "assignment-list", "{\"user\":\"c-two\"}", "assignments", "c-two"), 1);

    assert_true(status_of(running, managed.user_identity.certificate).managed);
    snprintf(text, sizeof(text), "{\"user\":\"c-one\",\"device\":\"%s\"}", managed.device);
    must(running, "unassign", "%s", text);
    assert_int_equal(
        status_of(running, managed.user_identity.certificate).reason, REASON_NOT_MANAGED);
    refused(running, "unassign", text, 404, "not assigned");
    managed_teardown(&managed);
}

static void test_most_users_of_a_device(void **state) {
    struct running *running = *state;
    char uuid[37], text[256];
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    for (int i = 0; i <= 256; i++) {
        must(running, "user-add", "{\"id\":\"many-%d\"}", i);
        snprintf(
            text, sizeof(text), "{\"user\":\"many-%d\",\"device\":\"%s\",\"local_name\":\"m%d\"}",
            i, uuid, i);
        if (i < 256)
            must(running, "assign", "%s", text);
        else
            refused(running, "assign", text, 409, "256 users");
    }
}

static void test_certificates(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char serial[X509_SERIAL_HEX_SIZE], text[128];
    managed_setup(running, "c-cert", &managed);
    x509_serial_hex(managed.user_identity.certificate, serial);
    assert_int_equal(
        rows_with(
            running, "certificate-list", "{\"user\":\"c-cert\"}", "certificates", "\"issued\""),
        1);
    snprintf(text, sizeof(text), "{\"device\":\"%s\"}", managed.device);
    assert_int_equal(
        rows_with(running, "certificate-list", text, "certificates", managed.device), 2);
    snprintf(text, sizeof(text), "{\"serial\":\"%s\"}", serial);
    must(running, "certificate-revoke", "%s", text);
    refused(running, "certificate-revoke", text, 404, "could be revoked");
    assert_int_equal(status_of(running, managed.user_identity.certificate).reason, REASON_REVOKED);
    assert_int_equal(
        rows_with(
            running, "certificate-list", "{\"user\":\"c-cert\"}", "certificates", "\"revoked\""),
        1);
    managed_teardown(&managed);
}

static void test_tokens(void **state) {
    struct running *running = *state;
    char token[64], text[96];
    make_token(running, "{\"uses\":3,\"expires\":3600}", token);
    token[8] = '\0';
    assert_int_equal(rows_with(running, "token-list", "{}", "tokens", token), 1);
    assert_int_equal(rows_with(running, "token-list", "{}", "tokens", token + 9), 0);
    snprintf(text, sizeof(text), "{\"id\":\"%s\"}", token);
    must(running, "token-revoke", "%s", text);
    refused(running, "token-revoke", text, 404, "could be revoked");
}

static int64_t audit_count(struct running *running, const char *like) {
    int64_t count;
    assert_int_equal(
        db_query_int(
            running->db, "SELECT count(*) FROM audit WHERE what LIKE ?", DB_VALUES(DB_TEXT(like)),
            &count),
        0);
    return count;
}

static void test_audit(void **state) {
    struct running *running = *state;
    char who[96], secret[64];
    must(running, "user-add", "{\"id\":\"c-audit\",\"name\":\"x\"}");
    assert_int_equal(audit_count(running, "user add id=c-audit name=x"), 1);
    refused(running, "user-add", "{\"id\":\"c-audit\"}", 409, "already");
    assert_int_equal(audit_count(running, "user add id=c-audit%"), 1);
    json_object_put(command(running, "user-list", "{}", 200));
    assert_int_equal(audit_count(running, "user list%"), 0);
    make_token(running, "{}", secret);
    snprintf(who, sizeof(who), "%%%s%%", secret + 9);
    assert_int_equal(audit_count(running, who), 0);
    snprintf(who, sizeof(who), "uid %d", (int)getuid());
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    assert_int_equal(
        db_query(running->db, "SELECT DISTINCT who FROM audit", DB_NO_VALUES, &row), 0);
    assert_int_equal(db_step(row), 1);
    assert_string_equal(db_column_text(row, 0), who);
    assert_int_equal(db_step(row), 0);
}

static void test_status(void **state) {
    struct running *running = *state;
    struct server *server = serving_server(running->serving);
    CLEANUP_JSON struct json_object *status = command(running, "status", "{}", 200);
    struct json_object *value = NULL;
    assert_true(json_object_object_get_ex(status, "ca_pin", &value));
    assert_string_equal(json_object_get_string(value), ca_tls_pin(server->ca));
    assert_int_equal(json_object_get_string_len(value), 64);
    static const char *const members[] = {
        "version",    "organisation", "url",   "portal_url", "epoch",
        "generation", "distribution", "users", "devices",    "certificates_installed",
        "connected",  "started_at"};
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++)
        assert_true(json_object_object_get_ex(status, members[i], &value));
}

/* --- the socket and the directory --- */

static void test_socket_is_private(void **state) {
    struct running *running = *state;
    struct stat info;
    assert_int_equal(stat(running->config.socket, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stat(running->config.state_dir, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
}

static void test_one_server_per_directory(void **state) {
    struct running *running = *state;
    const struct serve_options options = {
        .config = &running->config, .clock = &running_clock, .random = &random_system};
    struct serving *second = NULL;
    log_init("test", (enum log_level)0);
    assert_int_equal(serving_new(&options, &second), -EBUSY);
    log_init("test", LOG_LEVEL_ERROR);
    assert_null(second);
    json_object_put(command(running, "status", "{}", 200));
}

/* All that was acknowledged is there after a new start, and the old certificates are good. */
static void test_restart(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    CLEANUP_ANSWER struct answer answer;
    managed_setup(running, "c-restart", &managed);
    running_stop(running);
    assert_int_equal(running_start(running), 0);
    assert_true(status_of(running, managed.user_identity.certificate).managed);
    get_as(running, &managed.device_identity, "/v1/state", &answer);
    assert_int_equal(answer.status, 200);
    managed_teardown(&managed);
}

/* A change of server.conf that concerns devices is a new generation; a start without one is none.
 */
static void test_settings_change(void **state) {
    struct running *running = *state;
    int64_t before, same, after;
    settings_fleet_generation(running->db, &before);
    running_stop(running);
    assert_int_equal(running_start(running), 0);
    settings_fleet_generation(running->db, &same);
    assert_int_equal(same, before);
    running_stop(running);
    running->config.renew_after_s++;
    assert_int_equal(running_start(running), 0);
    settings_fleet_generation(running->db, &after);
    assert_true(after > before);
}

static void test_init_refuses_a_second_time(void **state) {
    struct running *running = *state;
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDERR_FILENO);
    int status = running_init(running);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(null);
    assert_int_equal(status, CLI_REFUSED);
    json_object_put(command(running, "status", "{}", 200));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command_has_a_handler),
        cmocka_unit_test(test_arguments_are_checked),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_assignments),
        cmocka_unit_test(test_most_users_of_a_device),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_audit),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_socket_is_private),
        cmocka_unit_test(test_one_server_per_directory),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_settings_change),
        cmocka_unit_test(test_init_refuses_a_second_time),
    };
    return cmocka_run_group_tests(tests, group_setup, running_teardown);
}
