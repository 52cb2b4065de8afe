/* Desired state, events and reports, as a device sees them over TLS. */
#include "running.h"

static void short_ping(struct server_config *config) {
    config->ping_s = 1;
}

static int group_setup(void **state) {
    return running_setup(state, short_ping);
}

static struct json_object *member(struct json_object *object, const char *name) {
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, name, &value))
        fail_msg("no member %s in %s", name, json_object_get_string(object));
    return value;
}

static struct json_object *read_state(
    struct running *running, const struct client_identity *device) {
    CLEANUP_ANSWER struct answer answer;
    get_as(running, device, "/v1/state", &answer);
    assert_int_equal(answer.status, 200);
    return answer_json(&answer);
}

static int64_t generation_of(struct running *running, const struct client_identity *device) {
    CLEANUP_JSON struct json_object *state = read_state(running, device);
    return json_object_get_int64(member(state, "generation"));
}

static void test_state_says_everything(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    managed_setup(running, "st-all", &managed);
    CLEANUP_JSON struct json_object *object = read_state(running, &managed.device_identity);
    assert_true(random_uuid_is_valid(json_object_get_string(member(object, "epoch"))));
    assert_true(json_object_get_boolean(member(object, "enrolled")));
    assert_string_equal(json_object_get_string(member(object, "organisation")), "Example");
    assert_string_equal(json_object_get_string(member(object, "device")), managed.device);
    assert_string_equal(json_object_get_string(member(object, "distribution")), "on");
    assert_int_equal(json_object_get_int64(member(object, "splay_s")), 0);
    assert_string_equal(json_object_get_string(member(object, "key_type")), "p256");
    assert_int_equal(json_object_get_int64(member(object, "lifetime_s")), 30 * 86400);
    assert_int_equal(json_object_get_int64(member(object, "renew_after_s")), 14 * 86400);
    assert_string_equal(json_object_get_string(member(object, "est_label")), "user");
    assert_string_equal(
        json_object_to_json_string_ext(
            member(object, "portal_patterns"),
            JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        "[\"https://localhost\",\"https://[*.]check.localhost\"]");
    assert_string_equal(
        json_object_to_json_string_ext(member(object, "users"), JSON_C_TO_STRING_PLAIN),
        "[{\"id\":\"st-all\",\"name\":\"st-all\"}]");
    assert_int_equal(json_object_array_length(member(object, "trusted_applications")), 0);
    managed_teardown(&managed);
}

/* A device that saw neither "off" nor "on" must learn that its certificates ended in between. */
static void test_state_names_what_off_has_revoked(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char serial[X509_SERIAL_HEX_SIZE], expected[128];
    managed_setup(running, "st-revoked", &managed);
    x509_serial_hex(managed.user_identity.certificate, serial);
    must(running, "distribution", "{\"value\":\"off\"}");
    must(running, "distribution", "{\"value\":\"on\"}");
    CLEANUP_JSON struct json_object *object = read_state(running, &managed.device_identity);
    snprintf(
        expected, sizeof(expected),
        "[{\"id\":\"st-revoked\",\"name\":\"st-revoked\",\"revoked\":[\"%s\"]}]", serial);
    assert_string_equal(
        json_object_to_json_string_ext(member(object, "users"), JSON_C_TO_STRING_PLAIN), expected);
    managed_teardown(&managed);
}

static void copy_etag(const struct answer *answer, char ret[96]) {
    const char *etag = strcasestr((char *)answer->headers.data, "\r\nETag: ");
    assert_non_null(etag);
    assert_int_equal(sscanf(etag + 8, "%95[^\r]", ret), 1);
}

static void test_etag(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char etag[96], header[192];
    CLEANUP_ANSWER struct answer first, same, list, changed;
    managed_setup(running, "st-etag", &managed);
    struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .path = "/v1/state",
        .identity = &managed.device_identity,
        .headers = {header},
    };
    get_as(running, &managed.device_identity, "/v1/state", &first);
    copy_etag(&first, etag);
    snprintf(header, sizeof(header), "If-None-Match: %s", etag);
    client_call(running, &call, &same);
    assert_int_equal(same.status, 304);
    assert_int_equal(same.body.size, 0);
    snprintf(header, sizeof(header), "If-None-Match: \"other\", W/%s", etag);
    client_call(running, &call, &list);
    assert_int_equal(list.status, 304);
    must(running, "unassign", "{\"user\":\"st-etag\",\"device\":\"%s\"}", managed.device);
    client_call(running, &call, &changed);
    assert_int_equal(changed.status, 200);
    managed_teardown(&managed);
}

/* A generation grows with every change that concerns the device and with no other. */
static void test_generations(void **state) {
    struct running *running = *state;
    struct managed mine = {0}, other = {0};
    managed_setup(running, "st-mine", &mine);
    managed_setup(running, "st-other", &other);
    int64_t before = generation_of(running, &mine.device_identity);
    must(running, "unassign", "{\"user\":\"st-other\",\"device\":\"%s\"}", other.device);
    assert_int_equal(generation_of(running, &mine.device_identity), before);
    must(running, "distribution", "{\"value\":\"on\"}"); /* as it is: no change */
    assert_int_equal(generation_of(running, &mine.device_identity), before);
    must(running, "distribution", "{\"value\":\"paused\"}");
    int64_t paused = generation_of(running, &mine.device_identity);
    assert_true(paused > before);
    must(running, "distribution", "{\"value\":\"on\"}");
    assert_true(generation_of(running, &mine.device_identity) > paused);
    int64_t last = generation_of(running, &mine.device_identity);
    must(running, "user-remove", "{\"id\":\"st-mine\"}");
    assert_true(generation_of(running, &mine.device_identity) > last);
    managed_teardown(&mine);
    managed_teardown(&other);
}

/* --- events --- */

static void expect_event(
    struct running *running, struct event_stream *stream, const struct client_identity *device) {
    char data[64];
    snprintf(data, sizeof(data), "\"generation\":%lld,", (long long)generation_of(running, device));
    assert_true(event_stream_wait(stream, "event: state\nid: "));
    assert_true(event_stream_wait(stream, "\ndata: {\"epoch\":\""));
    assert_true(event_stream_wait(stream, data));
    assert_true(event_stream_wait(stream, "\"splay_s\":0,\"ping_s\":1}\n\n"));
}

static void test_events(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    struct event_stream stream;
    managed_setup(running, "ev-user", &managed);
    event_stream_open(running, &managed.device_identity, &stream);
    assert_true(event_stream_wait(&stream, "HTTP/1.1 200 OK\r\n"));
    assert_true(event_stream_wait(&stream, "Content-Type: text/event-stream\r\n"));
    expect_event(running, &stream, &managed.device_identity); /* at once */
    assert_true(event_stream_wait(&stream, ": ping\n\n"));
    assert_true(event_stream_wait(&stream, ": ping\n\n"));
    must(running, "distribution", "{\"value\":\"paused\"}");
    expect_event(running, &stream, &managed.device_identity);
    must(running, "distribution", "{\"value\":\"on\"}");
    expect_event(running, &stream, &managed.device_identity);
    must(running, "unassign", "{\"user\":\"ev-user\",\"device\":\"%s\"}", managed.device);
    expect_event(running, &stream, &managed.device_identity);
    /* a removed device hears of it, and then the stream ends */
    must(running, "device-remove", "{\"device\":\"%s\"}", managed.device);
    expect_event(running, &stream, &managed.device_identity);
    assert_false(event_stream_wait(&stream, "never"));
    event_stream_close(&stream);
    managed_teardown(&managed);
}

static void test_one_stream_per_device(void **state) {
    struct running *running = *state;
    char uuid[37];
    struct event_stream first, second;
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    event_stream_open(running, &device, &first);
    assert_true(event_stream_wait(&first, "event: state"));
    event_stream_open(running, &device, &second);
    assert_true(event_stream_wait(&second, "event: state"));
    assert_false(event_stream_wait(&first, "never"));
    assert_true(event_stream_wait(&second, ": ping"));
    event_stream_close(&first);
    event_stream_close(&second);
}

/* The server notices a peer that went away, in silence too. */
static void test_closed_streams_are_forgotten(void **state) {
    struct running *running = *state;
    char uuid[37];
    struct event_stream stream;
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    event_stream_open(running, &device, &stream);
    assert_true(event_stream_wait(&stream, "event: state"));
    event_stream_close(&stream);
    /* each try is a request to the server, which works off the closed connection meanwhile */
    for (int i = 0; i < 2000; i++) {
        CLEANUP_JSON struct json_object *status = command(running, "status", "{}", 200);
        if (json_object_get_int64(member(status, "connected")) == 0)
            return;
    }
    fail_msg("the stream was not forgotten");
}

/* --- reports --- */

__attribute__((format(printf, 3, 4))) static long report(
    struct running *running, const struct client_identity *device, const char *format, ...) {
    char body[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof(body), format, arguments);
    va_end(arguments);
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .method = "PUT",
        .path = "/v1/report",
        .body = body,
        .identity = device,
    };
    client_call(running, &call, &answer);
    return answer.status;
}

#define INSTALLED                                                                                  \
    "{\"user\":\"%s\",\"request_id\":\"%s\",\"outcome\":\"installed\",\"serial\":\"%s\"}"

static X509 *renew(struct running *running, struct managed *managed) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_ANSWER struct answer answer;
    random_uuid(&random_system, managed->request_id);
    post_user_request(
        running, &managed->device_identity, key, managed->user, managed->request_id, &answer);
    return answer_leaf(&answer);
}

static void test_reports_move_certificates(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char serial[X509_SERIAL_HEX_SIZE], upper[X509_SERIAL_HEX_SIZE];
    managed_setup(running, "rp-user", &managed);
    X509 *first = managed.user_identity.certificate;
    const struct client_identity *device = &managed.device_identity;
    x509_serial_hex(first, serial);
    assert_int_equal(status_of(running, first).state, CERTIFICATE_ISSUED);
    assert_int_equal(
        report(running, device, INSTALLED, "rp-user", managed.request_id, serial), 204);
    assert_int_equal(
        report(running, device, INSTALLED, "rp-user", managed.request_id, serial), 204);
    assert_int_equal(status_of(running, first).state, CERTIFICATE_INSTALLED);

    CLEANUP_X509 X509 *unconfirmed = renew(running, &managed);
    CLEANUP_X509 X509 *second = renew(running, &managed);
    x509_serial_hex(second, serial);
    for (size_t i = 0; i < sizeof(upper); i++)
        upper[i] = (char)(serial[i] >= 'a' ? serial[i] - 32 : serial[i]);
    assert_int_equal(report(running, device, INSTALLED, "rp-user", managed.request_id, upper), 204);
    assert_int_equal(status_of(running, second).state, CERTIFICATE_INSTALLED);
    assert_int_equal(status_of(running, first).state, CERTIFICATE_SUPERSEDED);
    assert_true(status_of(running, first).managed);
    assert_int_equal(status_of(running, unconfirmed).state, CERTIFICATE_REVOKED);

    assert_int_equal(
        report(
            running, device,
            "{\"user\":\"rp-user\",\"request_id\":\"%s\",\"outcome\":\"failed\",\"serial\":\"%s\","
            "\"code\":\"store-full\",\"stores\":[{\"kind\":\"nss_chromium\",\"path\":\"/x\","
            "\"ok\":false,\"code\":\"store-full\"}]}",
            managed.request_id, serial),
        204);
    assert_int_equal(status_of(running, second).state, CERTIFICATE_INSTALLED);
    assert_int_equal(
        report(running, device, "{\"user\":\"rp-user\",\"outcome\":\"removed\"}"), 204);
    assert_int_equal(status_of(running, second).state, CERTIFICATE_REVOKED);
    assert_int_equal(status_of(running, first).state, CERTIFICATE_REVOKED);
    managed_teardown(&managed);
}

static void test_late_removal_spares_the_newer(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char old_request[37];
    managed_setup(running, "rp-late", &managed);
    memcpy(old_request, managed.request_id, sizeof(old_request));
    CLEANUP_X509 X509 *newer = renew(running, &managed);
    assert_int_equal(
        report(
            running, &managed.device_identity,
            "{\"user\":\"rp-late\",\"request_id\":\"%s\",\"outcome\":\"removed\"}", old_request),
        204);
    assert_int_equal(
        status_of(running, managed.user_identity.certificate).state, CERTIFICATE_REVOKED);
    assert_true(status_of(running, newer).managed);
    managed_teardown(&managed);
}

static void test_reports_are_checked(void **state) {
    struct running *running = *state;
    struct managed managed = {0}, other = {0};
    char serial[X509_SERIAL_HEX_SIZE];
    managed_setup(running, "rp-check", &managed);
    managed_setup(running, "rp-foreign", &other);
    const struct client_identity *device = &managed.device_identity;
    /* another device's, another user's, nobody's */
    x509_serial_hex(other.user_identity.certificate, serial);
    assert_int_equal(
        report(running, device, INSTALLED, "rp-foreign", other.request_id, serial), 409);
    assert_int_equal(report(running, device, INSTALLED, "rp-check", other.request_id, serial), 409);
    assert_int_equal(report(running, device, INSTALLED, "rp-check", other.request_id, "00"), 409);
    assert_int_equal(status_of(running, other.user_identity.certificate).state, CERTIFICATE_ISSUED);
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"user\":\"rp-check\"}",
        "{\"user\":\"rp-check\",\"outcome\":\"gone\"}",
        "{\"user\":\"rp-check\",\"outcome\":\"installed\"}",
        "{\"user\":\"rp-check\",\"outcome\":\"installed\",\"serial\":\"xyz\"}",
        "{\"user\":7,\"outcome\":\"removed\"}",
        "{\"user\":\"a/b\",\"outcome\":\"removed\"}",
        "{\"user\":\"rp-check\",\"outcome\":\"removed\",\"request_id\":\"1\"}",
        "{\"user\":\"rp-check\",\"user\":\"rp-foreign\",\"outcome\":\"removed\"}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(report(running, device, "%s", bad[i]), 400);
    /* what is not known is passed over */
    assert_int_equal(
        report(
            running, device,
            "{\"user\":\"rp-check\",\"outcome\":\"failed\",\"colour\":[1],\"code\":\"new-code\"}"),
        204);
    managed_teardown(&managed);
    managed_teardown(&other);
}

/* A device that was removed may still say what it has removed. */
static void test_report_of_a_removed_device(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    managed_setup(running, "rp-removed", &managed);
    must(running, "device-remove", "{\"device\":\"%s\"}", managed.device);
    assert_int_equal(
        report(
            running, &managed.device_identity, "{\"user\":\"rp-removed\",\"outcome\":\"removed\"}"),
        204);
    managed_teardown(&managed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_says_everything),
        cmocka_unit_test(test_state_names_what_off_has_revoked),
        cmocka_unit_test(test_etag),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_one_stream_per_device),
        cmocka_unit_test(test_closed_streams_are_forgotten),
        cmocka_unit_test(test_reports_move_certificates),
        cmocka_unit_test(test_late_removal_spares_the_newer),
        cmocka_unit_test(test_reports_are_checked),
        cmocka_unit_test(test_report_of_a_removed_device),
    };
    return cmocka_run_group_tests(tests, group_setup, running_teardown);
}
