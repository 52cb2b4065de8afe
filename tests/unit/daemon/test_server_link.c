/* The whole server's side of the daemon against a test peer: enrolment with every bad answer,
 * restarts, the desired state, signing, reports, renewal, clones, clocks. */
#include "daemon/server_link.h"
#include "daemon/server_status.h"

#include "tests/unit/daemon/server_peer.h"
#include "tests/unit/daemon/state_dir.h"

#include "common/cleanup.h"
#include "common/http_date.h"
#include "common/json_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#define TOKEN "abcdef.0123456789abcdef"
#define MACHINE "0123456789abcdef0123456789abcdef\n"

/* The wall timer's descriptor; it tells of a clock that was set when the test says so. */
static int timer_fd = -1;
static bool timer_tells_clock_set;

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old) {
    timer_fd = fd;
    return (int)syscall(SYS_timerfd_settime, fd, flags, when, old);
}

ssize_t read(int fd, void *data, size_t size) {
    ssize_t n = syscall(SYS_read, fd, data, size);
    if (fd != timer_fd || !timer_tells_clock_set)
        return n;
    timer_tells_clock_set = false;
    errno = ECANCELED;
    return -1;
}

static void tell_clock_set(void) {
    const struct itimerspec past = {.it_value = {.tv_sec = 1}};
    timer_tells_clock_set = true;
    assert_int_equal(syscall(SYS_timerfd_settime, timer_fd, TFD_TIMER_ABSTIME, &past, NULL), 0);
}

struct fixture {
    uv_loop_t loop;
    struct state_dir dir;
    char state_path[128], machine_id[128], enroll_config[128];
    struct server_peer *server;
    struct server_link *link;
    struct clock_source clock;
    int64_t clock_offset_s;

    int64_t monotonic_offset_ms;

    bool enrolled, taken, changed, signed_, closed, probed;
    enum reason reason;
    char uuid[37];
    int taken_count;
    enum sign_outcome outcome;
    int64_t retry_after_ms;
    int certificates;
};

static int64_t shifted_wall_s(void *userdata) {
    return clock_wall_s(&clock_system) + ((struct fixture *)userdata)->clock_offset_s;
}

static int64_t shifted_monotonic_ms(void *userdata) {
    return clock_monotonic_ms(&clock_system) + ((struct fixture *)userdata)->monotonic_offset_ms;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    uv_loop_init(&f->loop);
    state_dir_make(&f->dir);
    snprintf(f->state_path, sizeof(f->state_path), "%s/state", f->dir.path);
    snprintf(f->machine_id, sizeof(f->machine_id), "%s/machine-id", f->dir.path);
    snprintf(f->enroll_config, sizeof(f->enroll_config), "%s/enroll.conf", f->dir.path);
    state_dir_write(&f->dir, "machine-id", MACHINE, strlen(MACHINE));
    f->clock = (struct clock_source){shifted_wall_s, shifted_monotonic_ms, f};
    f->server = server_peer_start();
    *state = f;
    return 0;
}

static void close_link(struct fixture *f) {
    f->closed = false;
    server_link_close(TAKE_PTR(f->link), peer_set_true, &f->closed);
    peer_run_until(&f->loop, &f->closed);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->link)
        close_link(f);
    peer_loop_end(&f->loop);
    server_peer_stop(f->server);
    state_dir_remove(&f->dir);
    free(f);
    return 0;
}

static void on_state(const struct desired_state *state, void *userdata) {
    struct fixture *f = userdata;
    assert_ptr_equal(state, server_link_state(f->link));
    f->taken = true;
    f->taken_count++;
}

static void on_changed(void *userdata) {
    ((struct fixture *)userdata)->changed = true;
}

static void on_enrolled(enum reason reason, const char *uuid, void *userdata) {
    struct fixture *f = userdata;
    f->enrolled = true;
    f->reason = reason;
    snprintf(f->uuid, sizeof(f->uuid), "%s", uuid ? uuid : "");
}

static void open_link(struct fixture *f) {
    const struct server_link_options options = {
        .loop = &f->loop,
        .clock = &f->clock,
        .random = &random_system,
        .state_dir = f->state_path,
        .enroll_config_path = f->enroll_config,
        .machine_id_path = f->machine_id,
        .state_poll_s = 3600,
        .state_changed = on_state,
        .status_changed = on_changed,
        .userdata = f,
    };
    f->taken = false;
    assert_int_equal(server_link_new(&options, &f->link), 0);
    assert_false(f->taken); /* never from inside the call */
}

static struct secret *make_token(void) {
    struct secret *token = NULL;
    assert_int_equal(secret_new(strlen(TOKEN), &token), 0);
    memcpy(secret_data(token), TOKEN, strlen(TOKEN));
    return token;
}

static void start_enrolling_at(struct fixture *f, const char *url, const char *pin) {
    f->enrolled = false;
    assert_int_equal(server_link_enroll(f->link, url, make_token(), pin, on_enrolled, f), 0);
    assert_false(f->enrolled);
}

static enum reason enroll(struct fixture *f) {
    start_enrolling_at(f, peer_url(f->server->peer), f->server->pin);
    peer_run_until(&f->loop, &f->enrolled);
    return f->reason;
}

static void wait_for_state(struct fixture *f) {
    f->taken = false;
    peer_run_until(&f->loop, &f->taken);
}

#define RUN_UNTIL(condition) PEER_RUN_UNTIL(&f->loop, condition)

/* A member of one of the two status objects; "" if there is none. */
static const char *status_text(struct fixture *f, bool push, const char *name) {
    static char text[512];
    CLEANUP_JSON struct json_object *enrolment_object = NULL, *push_object = NULL;
    struct json_object *value;
    assert_int_equal(server_link_status(f->link, &enrolment_object, &push_object), 0);
    bool has = json_object_object_get_ex(push ? push_object : enrolment_object, name, &value);
    snprintf(text, sizeof(text), "%s", has ? json_object_get_string(value) : "");
    return text;
}

static void expect_status(struct fixture *f, const char *state, const char *code) {
    assert_string_equal(status_text(f, false, "state"), state);
    assert_string_equal(status_text(f, false, "code"), code);
    if (code[0])
        assert_true(strlen(status_text(f, false, "remedy")) > 0);
}

static bool state_has(struct fixture *f, const char *name) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", f->state_path, name);
    return access(path, F_OK) == 0;
}

static void set_state(
    struct fixture *f, const char *epoch, long long generation, const char *more) {
    char text[4096];
    snprintf(
        text, sizeof(text),
        "{\"epoch\":\"%s\",\"generation\":%lld,\"enrolled\":true,\"organisation\":\"Example\","
        "\"device\":\"%s\",\"distribution\":\"on\",\"key_type\":\"p256\",\"lifetime_s\":1000,"
        "\"renew_after_s\":500,\"users\":[]%s}",
        epoch, generation, f->uuid, more);
    server_peer_set_state(f->server, text);
}

static void give_state(struct fixture *f) {
    set_state(f, SERVER_PEER_EPOCH, 5, "");
    server_link_refresh(f->link);
    RUN_UNTIL(server_link_state(f->link) && server_link_state(f->link)->generation == 5);
}

/* Enrolled, with a state of generation 5 taken, and the stream open. */
static void get_going(struct fixture *f) {
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    give_state(f);
    RUN_UNTIL(strcmp(status_text(f, true, "connected"), "true") == 0);
    f->taken_count = 0;
}

static void push_hint(struct fixture *f, const char *epoch, long long generation) {
    char event[256];
    snprintf(
        event, sizeof(event),
        "event: state\ndata: "
        "{\"epoch\":\"%s\",\"generation\":%lld,\"splay_s\":0,\"ping_s\":30}\n\n",
        epoch, generation);
    server_peer_push(f->server, event);
}

/* --- enrolment --- */

static void it_enrols(void **state) {
    struct fixture *f = *state;
    open_link(f);
    expect_status(f, "none", "not-enrolled");
    assert_null(server_link_trust_root(f->link));
    assert_int_equal(enroll(f), REASON_NONE);
    assert_int_equal(strlen(f->uuid), 36);
    assert_string_equal(server_link_device_uuid(f->link), f->uuid);
    assert_string_equal(server_link_url(f->link), peer_url(f->server->peer));
    assert_int_equal(
        X509_cmp(server_link_trust_root(f->link), f->server->trust_root.certificate), 0);
    assert_int_equal(
        X509_cmp(server_link_trust_issuer(f->link), f->server->trust_issuer.certificate), 0);
    assert_string_equal(f->server->authorization, "Basic YWJjZGVmOjAxMjM0NTY3ODlhYmNkZWY=");
    assert_false(state_has(f, "pending.json") || state_has(f, "pending.key"));
    assert_false(state_has(f, "pending.token"));
    wait_for_state(f);
    assert_false(server_link_state(f->link)->enrolled);
    assert_int_not_equal(f->server->last_state_client, 0);
}

static void a_lost_answer_is_asked_for_again(void **state) {
    struct fixture *f = *state;
    server_peer_set_fault(f->server, FAULT_LOST, 2);
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    assert_int_equal(f->server->csr_count, 3);
    assert_string_equal(f->server->csrs[0], f->server->csrs[1]);
    assert_string_equal(f->server->csrs[0], f->server->csrs[2]);
}

static void overload_and_pending_are_waited_for(void **state) {
    struct fixture *f = *state;
    open_link(f);
    server_peer_set_fault(f->server, FAULT_503, 1);
    assert_int_equal(enroll(f), REASON_NONE);
    assert_int_equal(f->server->csr_count, 2);
    server_peer_set_fault(f->server, FAULT_202, 1);
    assert_int_equal(enroll(f), REASON_NONE); /* enrolling again is a new device */
    assert_int_equal(f->server->csr_count, 4);
}

static void refusals_end_it(void **state) {
    struct fixture *f = *state;
    const struct {
        enum est_fault fault;
        enum reason reason;
        const char *code;
    } cases[] = {
        {FAULT_401, REASON_TOKEN_REFUSED, "token-refused"},
        {FAULT_403, REASON_DEVICE_SUSPENDED, "device-suspended"},
        {FAULT_400, REASON_CSR_KEY, "csr-key"},
    };
    open_link(f);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        server_peer_set_fault(f->server, cases[i].fault, 1);
        assert_int_equal(enroll(f), cases[i].reason);
        expect_status(f, "none", cases[i].code);
        assert_false(state_has(f, "pending.token") || state_has(f, "pending.json"));
        assert_null(server_link_device_uuid(f->link));
    }
    assert_int_equal(enroll(f), REASON_NONE); /* and a good token mends it */
}

static void bad_answers_are_told_and_tried_again(void **state) {
    struct fixture *f = *state;
    const struct {
        enum est_fault fault;
        enum reason reason;
    } cases[] = {
        {FAULT_HTML, REASON_SERVER_ANSWER},     {FAULT_TRUNCATED, REASON_BUNDLE_INVALID},
        {FAULT_HUGE, REASON_SERVER_ANSWER},     {FAULT_OTHER_KEY, REASON_LEAF_KEY},
        {FAULT_OTHER_DEVICE, REASON_LEAF_NAME}, {FAULT_TRUST_LEAF, REASON_LEAF_CHAIN},
        {FAULT_CA, REASON_LEAF_USAGE},
    };
    open_link(f);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int before = f->server->csr_count;
        server_peer_set_fault(f->server, cases[i].fault, 1);
        assert_int_equal(enroll(f), cases[i].reason);
        assert_string_equal(status_text(f, false, "state"), "enrolling");
        assert_string_equal(status_text(f, false, "code"), reason_code(cases[i].reason));
        server_link_refresh(f->link);
        RUN_UNTIL(strcmp(status_text(f, false, "state"), "enrolling") != 0);
        assert_int_equal(f->server->csr_count, before + 2);
        assert_string_equal(f->server->csrs[before], f->server->csrs[before + 1]);
        f->server->csr_count = 0;
    }
}

static void a_mistake_ends_it_at_once(void **state) {
    struct fixture *f = *state;
    char wrong[SHA256_HEX_SIZE];
    open_link(f);
    memset(wrong, 'a', sizeof(wrong) - 1);
    wrong[sizeof(wrong) - 1] = '\0';
    start_enrolling_at(f, peer_url(f->server->peer), wrong);
    peer_run_until(&f->loop, &f->enrolled);
    assert_int_equal(f->reason, REASON_SERVER_TLS);
    expect_status(f, "none", "server-tls");
    assert_int_equal(f->server->cacerts, 0);
    assert_false(state_has(f, "pending.token"));
    start_enrolling_at(f, "http://127.0.0.1", NULL);
    peer_run_until(&f->loop, &f->enrolled);
    assert_int_equal(f->reason, REASON_URL_INVALID);
    start_enrolling_at(f, peer_url(f->server->peer), "xyz");
    peer_run_until(&f->loop, &f->enrolled);
    assert_int_equal(f->reason, REASON_PIN_INVALID);
}

static void one_enrolment_at_a_time(void **state) {
    struct fixture *f = *state;
    open_link(f);
    start_enrolling_at(f, peer_url(f->server->peer), f->server->pin);
    assert_int_equal(
        server_link_enroll(f->link, "https://x", make_token(), NULL, on_enrolled, f), -EBUSY);
    peer_run_until(&f->loop, &f->enrolled);
    assert_int_equal(f->reason, REASON_NONE);
}

static void a_restart_sends_the_same_csr(void **state) {
    struct fixture *f = *state;
    server_peer_set_fault(f->server, FAULT_LOST, 1);
    open_link(f);
    start_enrolling_at(f, peer_url(f->server->peer), f->server->pin);
    RUN_UNTIL(f->server->csr_count == 1);
    close_link(f);
    assert_true(state_has(f, "pending.token"));
    open_link(f);
    RUN_UNTIL(server_link_device_uuid(f->link));
    assert_int_equal(f->server->csr_count, 2);
    assert_string_equal(f->server->csrs[0], f->server->csrs[1]);
    assert_false(state_has(f, "pending.token"));
}

static void write_config(struct fixture *f, const char *token) {
    char text[512];
    snprintf(
        text, sizeof(text), "[enroll]\nurl = %s\ntoken = %s\nca_pin = %s\n",
        peer_url(f->server->peer), token, f->server->pin);
    state_dir_write(&f->dir, "enroll.conf", text, strlen(text));
}

static void the_file_of_an_image_is_used_once(void **state) {
    struct fixture *f = *state;
    write_config(f, TOKEN);
    open_link(f);
    assert_false(state_dir_has(&f->dir, "enroll.conf"));
    RUN_UNTIL(server_link_device_uuid(f->link));
    close_link(f);
    write_config(f, TOKEN); /* a management tool puts it there again */
    open_link(f);
    assert_false(state_dir_has(&f->dir, "enroll.conf"));
    wait_for_state(f);
    assert_int_equal(f->server->csr_count, 1);
    close_link(f);
    write_config(f, "another.token");
    open_link(f);
    RUN_UNTIL(f->server->csr_count == 2);
}

static void a_broken_file_stays_and_shows(void **state) {
    struct fixture *f = *state;
    state_dir_write(&f->dir, "enroll.conf", "[enroll]\nurl = x\n", 17);
    open_link(f);
    expect_status(f, "none", "config");
    assert_true(state_dir_has(&f->dir, "enroll.conf"));
    close_link(f);
    write_config(f, "no-dot");
    open_link(f);
    expect_status(f, "none", "token-invalid");
    assert_true(state_dir_has(&f->dir, "enroll.conf"));
}

static void a_failed_enrolment_keeps_the_identity(void **state) {
    struct fixture *f = *state;
    char uuid[37];
    get_going(f);
    memcpy(uuid, f->uuid, sizeof(uuid));
    server_peer_set_fault(f->server, FAULT_401, 1);
    assert_int_equal(enroll(f), REASON_TOKEN_REFUSED);
    assert_string_equal(server_link_device_uuid(f->link), uuid);
    expect_status(f, "enrolled", "token-refused");
    close_link(f);
    open_link(f);
    assert_string_equal(server_link_device_uuid(f->link), uuid);
    expect_status(f, "enrolled", "");
}

static void another_enrolment_that_goes_on_is_not_the_devices_state(void **state) {
    struct fixture *f = *state;
    char uuid[37];
    get_going(f);
    memcpy(uuid, f->uuid, sizeof(uuid));
    /* nobody listens there: it is tried again and again, also after a restart */
    start_enrolling_at(f, "https://127.0.0.1:1", f->server->pin);
    expect_status(f, "enrolled", "");
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "server-unreachable") == 0);
    expect_status(f, "enrolled", "server-unreachable");
    assert_string_equal(status_text(f, false, "url"), peer_url(f->server->peer));
    assert_string_equal(status_text(f, false, "device_uuid"), uuid);
    assert_true(state_has(f, "pending.token"));
    close_link(f);
    open_link(f);
    expect_status(f, "enrolled", "");
    assert_int_equal(server_link_hold(f->link, false), 0);
}

static void an_enrolment_that_goes_on_does_not_cost_a_renewal(void **state) {
    struct fixture *f = *state;
    get_going(f);
    start_enrolling_at(f, "https://127.0.0.1:1", f->server->pin);
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "server-unreachable") == 0);
    close_link(f);
    open_link(f); /* nobody waits for it any more, and nothing is due yet: it goes on */
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "server-unreachable") == 0);
    assert_true(state_has(f, "pending.token"));
    close_link(f);
    f->clock_offset_s = 65000; /* of a life of a day */
    open_link(f);
    RUN_UNTIL(f->server->renewals == 1 && !state_has(f, "pending.json"));
    assert_false(state_has(f, "pending.token"));
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "") == 0);
}

/* --- the identity --- */

static void a_clone_is_not_used(void **state) {
    struct fixture *f = *state;
    get_going(f);
    close_link(f);
    state_dir_write(&f->dir, "machine-id", "f123456789abcdef0123456789abcdef\n", 33);
    open_link(f);
    expect_status(f, "cloned", "cloned");
    assert_null(server_link_device_uuid(f->link));
    assert_null(server_link_state(f->link));
    assert_int_equal(enroll(f), REASON_NONE); /* on its own */
    assert_int_equal(f->server->csr_count, 2);
    set_state(
        f, SERVER_PEER_EPOCH, 1, ""); /* a smaller generation: the old device's is no measure */
    server_link_refresh(f->link);
    wait_for_state(f);
    assert_int_equal(server_link_state(f->link)->generation, 1);
}

static void no_machine_id_is_told(void **state) {
    struct fixture *f = *state;
    state_dir_write(&f->dir, "machine-id", "uninitialized\n", 14);
    open_link(f);
    expect_status(f, "none", "machine-id");
    assert_int_equal(enroll(f), REASON_MACHINE_ID);
    state_dir_write(&f->dir, "machine-id", MACHINE, strlen(MACHINE));
    assert_int_equal(enroll(f), REASON_NONE);
}

static void a_broken_identity_is_set_aside(void **state) {
    struct fixture *f = *state;
    char path[256];
    get_going(f);
    close_link(f);
    snprintf(path, sizeof(path), "%s/device.json", f->state_path);
    assert_int_equal(truncate(path, 100), 0);
    open_link(f);
    expect_status(f, "none", "broken-state");
    assert_true(state_has(f, "device.json.broken"));
}

static void the_hold_survives(void **state) {
    struct fixture *f = *state;
    open_link(f);
    assert_int_equal(server_link_hold(f->link, true), -ENOTCONN);
    close_link(f);
    get_going(f);
    assert_int_equal(server_link_hold(f->link, true), 0);
    expect_status(f, "held", "held");
    assert_int_equal(server_link_sign(f->link, (const uint8_t *)"x", 1, NULL, NULL), -ENOTCONN);
    close_link(f);
    open_link(f);
    assert_true(server_link_is_held(f->link));
    assert_int_equal(server_link_hold(f->link, false), 0);
    expect_status(f, "enrolled", "");
    assert_int_equal(server_link_hold(f->link, true), 0);
    assert_int_equal(enroll(f), REASON_NONE);
    assert_false(server_link_is_held(f->link));
}

static void it_renews_with_a_fresh_key(void **state) {
    struct fixture *f = *state;
    f->server->leaf_begin_s = -1000; /* past two thirds of its life when it is issued */
    f->server->leaf_end_s = 300;
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    f->server->leaf_begin_s = 0;
    f->server->leaf_end_s = 0;
    CLEANUP_FREE char *old_key = NULL;
    char path[256];
    snprintf(path, sizeof(path), "%s", f->state_path);
    int fd = atomic_file_open_dir(path);
    size_t size;
    assert_int_equal(atomic_file_read(fd, "device.key", 4096, &old_key, &size), 0);
    long first = 0;
    RUN_UNTIL((first = f->server->last_state_client) != 0);
    RUN_UNTIL(f->server->renewals == 1 && !state_has(f, "pending.json"));
    RUN_UNTIL(f->server->last_state_client != first);
    CLEANUP_FREE char *new_key = NULL;
    assert_int_equal(atomic_file_read(fd, "device.key", 4096, &new_key, &size), 0);
    assert_string_not_equal(old_key, new_key);
    assert_int_equal(f->server->csr_count, 2);
    close(fd);
    give_state(f);
    close_link(f);
    open_link(f); /* and loads */
    assert_string_equal(server_link_device_uuid(f->link), f->uuid);
    expect_status(f, "enrolled", "");
}

static void a_failed_renewal_keeps_the_old_one(void **state) {
    struct fixture *f = *state;
    f->server->leaf_begin_s = -1000;
    f->server->leaf_end_s = 300;
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    server_peer_set_fault(f->server, FAULT_403, 1);
    give_state(f);
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "device-suspended") == 0);
    expect_status(f, "enrolled", "device-suspended");
    close_link(f);
    server_peer_set_fault(f->server, FAULT_OTHER_KEY, 1);
    open_link(f); /* the same CSR, and this time another key's certificate */
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "leaf-key") == 0);
    assert_string_equal(f->server->csrs[1], f->server->csrs[2]);
    assert_string_equal(server_link_device_uuid(f->link), f->uuid);
}

static void a_wrong_clock_is_shown_and_harms_nothing(void **state) {
    struct fixture *f = *state;
    get_going(f);
    pthread_mutex_lock(&f->server->lock);
    snprintf(
        f->server->headers, sizeof(f->server->headers), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    pthread_mutex_unlock(&f->server->lock);
    set_state(f, SERVER_PEER_EPOCH, 6, "");
    server_link_refresh(f->link);
    RUN_UNTIL(server_link_state(f->link)->generation == 6);
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "clock") == 0);
    expect_status(f, "enrolled", "clock");
}

static void the_servers_date_makes_a_renewal_due(void **state) {
    struct fixture *f = *state;
    const int64_t day = 86400;
    char date[HTTP_DATE_SIZE];
    f->clock_offset_s = -365 * day; /* and stays so */
    f->server->leaf_begin_s = -70 * day;
    f->server->leaf_end_s = 20 * day;
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    f->server->leaf_begin_s = 0;
    f->server->leaf_end_s = 0;
    give_state(f);
    assert_int_equal(f->server->renewals, 0);
    http_date_format(clock_wall_s(&clock_system), date);
    pthread_mutex_lock(&f->server->lock);
    snprintf(f->server->headers, sizeof(f->server->headers), "Date: %s\r\n", date);
    pthread_mutex_unlock(&f->server->lock);
    server_link_refresh(f->link);
    RUN_UNTIL(f->server->renewals == 1 && !state_has(f, "pending.json"));
    expect_status(f, "enrolled", "clock");
}

static void a_clock_that_is_set_right_shows_at_once(void **state) {
    struct fixture *f = *state;
    char date[HTTP_DATE_SIZE];
    get_going(f);
    f->clock_offset_s = 86400;
    http_date_format(clock_wall_s(&clock_system), date);
    pthread_mutex_lock(&f->server->lock);
    snprintf(f->server->headers, sizeof(f->server->headers), "Date: %s\r\n", date);
    pthread_mutex_unlock(&f->server->lock);
    set_state(f, SERVER_PEER_EPOCH, 6, "");
    push_hint(f, SERVER_PEER_EPOCH, 6); /* once it is taken, nothing more is fetched */
    RUN_UNTIL(server_link_state(f->link)->generation == 6);
    expect_status(f, "enrolled", "clock");
    int before = f->server->state_requests;
    f->clock_offset_s = 0;
    tell_clock_set();
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "") == 0);
    assert_int_equal(f->server->state_requests, before + 1);
    tell_clock_set(); /* it was right: nobody asks for that */
    RUN_UNTIL(!timer_tells_clock_set);
    assert_int_equal(f->server->state_requests, before + 1);
}

/* --- the desired state --- */

static void hints_bring_the_state(void **state) {
    struct fixture *f = *state;
    get_going(f);
    set_state(f, SERVER_PEER_EPOCH, 6, "");
    push_hint(f, SERVER_PEER_EPOCH, 6);
    RUN_UNTIL(server_link_state(f->link)->generation == 6);
    /* out of order: an older event brings the newest state all the same */
    set_state(f, SERVER_PEER_EPOCH, INT64_MAX, "");
    push_hint(f, SERVER_PEER_EPOCH, 3);
    RUN_UNTIL(server_link_state(f->link)->generation == INT64_MAX);
    /* another epoch is taken as it is */
    set_state(f, "ffffffff-51a4-4d4b-9a3f-0d2f1c9b7a11", 1, "");
    push_hint(f, "ffffffff-51a4-4d4b-9a3f-0d2f1c9b7a11", 1);
    RUN_UNTIL(server_link_state(f->link)->generation == 1);
    assert_int_equal(f->taken_count, 3);
    assert_true(atoll(status_text(f, true, "last_event_s")) > 0);
}

static void nothing_bad_changes_the_state(void **state) {
    struct fixture *f = *state;
    static const char *const bodies[] = {
        "{\"epoch\":",
        "<html></html>",
        "",
        "{\"epoch\":\"" SERVER_PEER_EPOCH "\",\"generation\":9,\"generation\":9,"
        "\"enrolled\":false}",
        "{\"epoch\":\"" SERVER_PEER_EPOCH "\",\"generation\":\"9\",\"enrolled\":false}",
        "{\"epoch\":\"" SERVER_PEER_EPOCH "\",\"generation\":9}",
    };
    static const int statuses[] = {401, 403, 404, 500, 503, 302, 204};
    get_going(f);
    for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
        int before = f->server->state_requests;
        server_peer_set_state(f->server, bodies[i]);
        server_link_refresh(f->link);
        RUN_UNTIL(
            f->server->state_requests > before &&
            strcmp(status_text(f, true, "code"), "state-invalid") == 0);
        set_state(f, SERVER_PEER_EPOCH, 5, "");
        server_link_refresh(f->link);
        RUN_UNTIL(strcmp(status_text(f, true, "code"), "") == 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(statuses); i++) {
        f->server->state_status = statuses[i];
        server_link_refresh(f->link);
        RUN_UNTIL(strcmp(status_text(f, true, "code"), "") != 0);
        assert_int_equal(server_link_state(f->link)->generation, 5);
        f->server->state_status = 200;
        server_link_refresh(f->link);
        RUN_UNTIL(strcmp(status_text(f, true, "code"), "") == 0);
    }
    assert_true(server_link_state(f->link)->enrolled);
}

static void what_is_not_this_devices_is_refused(void **state) {
    struct fixture *f = *state;
    get_going(f);
    char uuid[37];
    memcpy(uuid, f->uuid, sizeof(uuid));
    memset(f->uuid, '9', 8);
    set_state(f, SERVER_PEER_EPOCH, 9, "");
    memcpy(f->uuid, uuid, sizeof(uuid));
    server_link_refresh(f->link);
    RUN_UNTIL(strcmp(status_text(f, true, "code"), "state-invalid") == 0);
    assert_int_equal(server_link_state(f->link)->generation, 5);
}

static void an_older_generation_is_passed_over(void **state) {
    struct fixture *f = *state;
    get_going(f);
    int before = f->server->state_requests;
    set_state(f, SERVER_PEER_EPOCH, 4, "");
    push_hint(f, SERVER_PEER_EPOCH, 4);
    RUN_UNTIL(f->server->state_requests > before);
    set_state(f, SERVER_PEER_EPOCH, 7, "");
    push_hint(f, SERVER_PEER_EPOCH, 7);
    RUN_UNTIL(server_link_state(f->link)->generation == 7);
    assert_int_equal(f->taken_count, 1);
}

static void the_tombstone_removes(void **state) {
    struct fixture *f = *state;
    get_going(f);
    server_peer_set_state(
        f->server, "{\"epoch\":\"" SERVER_PEER_EPOCH "\",\"generation\":6,\"enrolled\":false}");
    push_hint(f, SERVER_PEER_EPOCH, 6);
    wait_for_state(f);
    assert_false(server_link_state(f->link)->enrolled);
    expect_status(f, "removed", "device-removed");
    assert_non_null(server_link_trust_root(f->link)); /* what is to be removed is known by it */
}

static void the_state_is_known_without_a_server(void **state) {
    struct fixture *f = *state;
    get_going(f);
    close_link(f);
    f->server->state_status = 503;
    f->server->events_status = 503;
    open_link(f);
    wait_for_state(f);
    assert_int_equal(server_link_state(f->link)->generation, 5);
    RUN_UNTIL(strcmp(status_text(f, true, "code"), "server-error") == 0);
    close_link(f);
    f->server->state_status = 200;
    f->server->events_status = 200;
    int before = f->server->not_modified;
    open_link(f);
    RUN_UNTIL(f->server->not_modified > before);
    assert_int_equal(server_link_state(f->link)->generation, 5);
}

/* --- for a diagnosis --- */

static void on_probe(const struct server_probe_answer *answer, void *userdata) {
    struct fixture *f = userdata;
    f->probed = true;
    f->reason = answer->reason;
}

static void it_is_probed_and_told_as_facts(void **state) {
    struct fixture *f = *state;
    struct server_facts facts;
    open_link(f);
    assert_int_equal(server_link_probe(f->link, on_probe, f), -ENOTCONN);
    server_status_facts(f->link, &facts);
    assert_int_equal(facts.state, ENROLMENT_NONE);
    assert_null(facts.url);
    assert_null(facts.device_uuid);
    close_link(f);
    get_going(f);
    assert_int_equal(server_link_probe(f->link, on_probe, f), 0);
    peer_run_until(&f->loop, &f->probed);
    assert_int_equal(f->reason, REASON_NONE);
    server_status_facts(f->link, &facts);
    assert_int_equal(facts.state, ENROLMENT_ENROLLED);
    assert_string_equal(facts.device_uuid, f->uuid);
    assert_true(facts.has_pin && facts.push_used && facts.push_connected);
    assert_true(facts.push_silent_ms >= 0);
    assert_true(facts.not_before < facts.now && facts.now < facts.renew_at);
    assert_true(facts.renew_at < facts.not_after);
    assert_int_equal(facts.current->generation, 5);
    f->probed = false;
    assert_int_equal(server_link_probe(f->link, on_probe, f), 0);
    close_link(f); /* and nobody is told */
    assert_false(f->probed);
}

static void a_repair_hurries_a_failed_renewal_once(void **state) {
    struct fixture *f = *state;
    f->server->leaf_begin_s = -1000;
    f->server->leaf_end_s = 300;
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    server_peer_set_fault(f->server, FAULT_403, 1); /* followed by ten minutes of rest */
    give_state(f);
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "device-suspended") == 0);
    assert_int_equal(f->server->renewals, 1);
    server_peer_set_fault(f->server, FAULT_400, 1); /* so is this one */
    assert_true(server_link_repair(f->link));
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "csr-key") == 0);
    assert_int_equal(f->server->renewals, 2);
    int before = f->server->state_requests;
    f->monotonic_offset_ms = SERVER_LINK_REFRESH_REST_MS;
    assert_false(server_link_repair(f->link)); /* fetches, but asks for nothing */
    RUN_UNTIL(f->server->state_requests > before);
    assert_int_equal(f->server->renewals, 2);
    f->monotonic_offset_ms += SERVER_LINK_REPAIR_REST_MS;
    assert_true(server_link_repair(f->link));
    RUN_UNTIL(f->server->renewals == 3 && strcmp(status_text(f, false, "code"), "") == 0);
}

static void a_wake_keeps_to_what_the_server_ordered(void **state) {
    struct fixture *f = *state;
    f->server->leaf_begin_s = -1000;
    f->server->leaf_end_s = 300;
    open_link(f);
    assert_int_equal(enroll(f), REASON_NONE);
    server_peer_set_fault(f->server, FAULT_403, 1); /* followed by ten minutes of rest */
    give_state(f);
    RUN_UNTIL(strcmp(status_text(f, false, "code"), "device-suspended") == 0);
    int before = f->server->state_requests;
    server_link_wake(f->link);
    RUN_UNTIL(f->server->state_requests > before); /* the state is fetched all the same */
    assert_int_equal(f->server->renewals, 1);
    f->clock_offset_s = 10 * 60 + 1; /* it has slept so long */
    server_link_wake(f->link);
    RUN_UNTIL(f->server->renewals == 2);
}

/* --- signing and reports --- */

static void on_signed(
    enum sign_outcome outcome, STACK_OF(X509) * certificates, int64_t retry_after_ms,
    enum reason reason, void *userdata) {
    struct fixture *f = userdata;
    f->signed_ = true;
    f->outcome = outcome;
    f->reason = reason;
    f->retry_after_ms = retry_after_ms;
    f->certificates = certificates ? sk_X509_num(certificates) : 0;
}

static void sign(struct fixture *f, enum est_fault fault) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    CLEANUP_FREE uint8_t *der = NULL;
    size_t size;
    const struct x509_csr_subject subject = {.uid = "u1", .serial_number = "r1"};
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    assert_int_equal(x509_csr_create(key, &subject, &der, &size), 0);
    /* libcurl itself asks again, at most five times, where kept-alive connections are closed
     * without an answer */
    server_peer_set_fault(f->server, fault, fault == FAULT_LOST ? 8 : 1);
    f->server->csr_count = 0;
    f->signed_ = false;
    assert_int_equal(server_link_sign(f->link, der, size, on_signed, f), 0);
    assert_false(f->signed_);
    peer_run_until(&f->loop, &f->signed_);
}

static void signing_has_four_outcomes(void **state) {
    struct fixture *f = *state;
    open_link(f);
    assert_int_equal(server_link_sign(f->link, (const uint8_t *)"x", 1, on_signed, f), -ENOTCONN);
    close_link(f);
    get_going(f);
    sign(f, FAULT_NONE);
    assert_int_equal(f->outcome, SIGN_ISSUED);
    assert_int_equal(f->certificates, 3);
    sign(f, FAULT_503);
    assert_int_equal(f->outcome, SIGN_RETRY);
    assert_int_equal(f->retry_after_ms, 1000);
    sign(f, FAULT_202);
    assert_int_equal(f->outcome, SIGN_RETRY);
    assert_int_equal(f->reason, REASON_NONE);
    sign(f, FAULT_LOST);
    assert_int_equal(f->outcome, SIGN_RETRY);
    assert_int_equal(f->reason, REASON_SERVER_UNREACHABLE);
    sign(f, FAULT_403);
    assert_int_equal(f->outcome, SIGN_REFUSED);
    assert_int_equal(f->reason, REASON_DEVICE_SUSPENDED);
    sign(f, FAULT_EXPIRED); /* the device's renewal mends it, not an administrator */
    assert_int_equal(f->outcome, SIGN_RETRY);
    assert_int_equal(f->reason, REASON_EXPIRED);
    sign(f, FAULT_400);
    assert_int_equal(f->outcome, SIGN_FAILED);
    assert_int_equal(f->reason, REASON_CSR_KEY);
    sign(f, FAULT_HTML);
    assert_int_equal(f->outcome, SIGN_FAILED);
    sign(f, FAULT_TRUNCATED);
    assert_int_equal(f->outcome, SIGN_FAILED);
    assert_int_equal(f->reason, REASON_BUNDLE_INVALID);
}

static void what_the_server_orders_and_what_it_leaves_out(void **state) {
    struct fixture *f = *state;
    char now[HTTP_DATE_SIZE], then[HTTP_DATE_SIZE];
    get_going(f);
    snprintf(f->server->fault_headers, sizeof(f->server->fault_headers), "Retry-After: 7200\r\n");
    sign(f, FAULT_202);
    assert_int_equal(f->retry_after_ms, 7200 * 1000);
    snprintf(f->server->fault_headers, sizeof(f->server->fault_headers), "Retry-After: 86400\r\n");
    sign(f, FAULT_503);
    assert_int_equal(f->retry_after_ms, 6 * 3600 * 1000);
    /* a date counts from the server's own, here in another year */
    http_date_format(1000000000, now);
    http_date_format(1000007200, then);
    snprintf(
        f->server->fault_headers, sizeof(f->server->fault_headers),
        "Date: %s\r\nRetry-After: %s\r\n", now, then);
    sign(f, FAULT_503);
    assert_int_equal(f->outcome, SIGN_RETRY);
    assert_int_equal(f->retry_after_ms, 7200 * 1000);
    snprintf(f->server->fault_headers, sizeof(f->server->fault_headers), "X-None: 1\r\n");
    sign(f, FAULT_503);
    assert_int_equal(f->retry_after_ms, 0);
    sign(f, FAULT_HALF);
    assert_int_equal(f->outcome, SIGN_RETRY);
    assert_int_equal(f->reason, REASON_SERVER_UNREACHABLE);
    sign(f, FAULT_401);
    assert_int_equal(f->outcome, SIGN_REFUSED);
}

static void signing_is_bounded_and_cancelled(void **state) {
    struct fixture *f = *state;
    int other;
    get_going(f);
    f->signed_ = false;
    for (int i = 0; i < 64; i++)
        assert_int_equal(
            server_link_sign(f->link, (const uint8_t *)"csr", 3, on_signed, i < 63 ? f : NULL), 0);
    assert_int_equal(server_link_sign(f->link, (const uint8_t *)"csr", 3, on_signed, f), -EBUSY);
    server_link_cancel(f->link, f);
    server_link_cancel(f->link, NULL);
    assert_int_equal(server_link_sign(f->link, (const uint8_t *)"csr", 3, on_signed, &other), 0);
    server_link_cancel(f->link, &other);
    push_hint(f, SERVER_PEER_EPOCH, 6);
    set_state(f, SERVER_PEER_EPOCH, 6, "");
    RUN_UNTIL(server_link_state(f->link)->generation == 6);
    assert_false(f->signed_);
}

static struct json_object *make_outcome(
    const char *user, const char *request_id, const char *outcome) {
    struct json_object *report = json_object_new_object();
    json_object_object_add(report, "user", json_object_new_string(user));
    json_object_object_add(report, "request_id", json_object_new_string(request_id));
    json_object_object_add(report, "outcome", json_object_new_string(outcome));
    return report;
}

static struct json_object *make_report(const char *user, const char *serial) {
    struct json_object *report = make_outcome(user, "r1", "installed");
    json_object_object_add(report, "serial", json_object_new_string(serial));
    return report;
}

static int count_reports(struct fixture *f) {
    char path[256];
    int count = 0;
    snprintf(path, sizeof(path), "%s/reports", f->state_path);
    CLEANUP_CLOSEDIR DIR *dir = opendir(path);
    const struct dirent *item;
    while ((item = readdir(dir)))
        count += item->d_name[0] != '.';
    return count;
}

static void reports_outlive_the_daemon(void **state) {
    struct fixture *f = *state;
    get_going(f);
    f->server->report_status = 500;
    assert_int_equal(server_link_report(f->link, make_report("u1", "01")), 0);
    assert_int_equal(count_reports(f), 1);
    RUN_UNTIL(f->server->reports >= 1);
    close_link(f);
    assert_int_equal(count_reports(f), 1);
    f->server->report_status = 204;
    open_link(f);
    RUN_UNTIL(count_reports(f) == 0);
    assert_non_null(strstr(f->server->report, "\"serial\":\"01\""));
}

static void reports_are_bounded_and_unique(void **state) {
    struct fixture *f = *state;
    char user[16];
    open_link(f); /* not enrolled: they wait */
    assert_int_equal(server_link_report(f->link, make_report("u1", "01")), 0);
    assert_int_equal(server_link_report(f->link, make_report("u1", "02")), 0);
    assert_int_equal(count_reports(f), 1);
    assert_int_equal(server_link_report(f->link, make_outcome("x1", "r1", "failed")), 0);
    assert_int_equal(server_link_report(f->link, make_outcome("x1", "r2", "failed")), 0);
    assert_int_equal(count_reports(f), 2);
    for (int i = 2; i < 1024; i++) {
        snprintf(user, sizeof(user), "x%d", i);
        assert_int_equal(server_link_report(f->link, make_report(user, "03")), 0);
    }
    assert_int_equal(server_link_report(f->link, make_report("one-more", "04")), -ENOBUFS);
    assert_int_equal(server_link_report(f->link, json_object_new_object()), -EINVAL);
    assert_int_equal(count_reports(f), 1024);
}

static void a_report_that_is_refused_holds_up_no_other(void **state) {
    struct fixture *f = *state;
    get_going(f);
    f->server->report_status = 409; /* final */
    assert_int_equal(server_link_report(f->link, make_report("u1", "01")), 0);
    RUN_UNTIL(count_reports(f) == 0);
    f->server->report_status = 400;
    assert_int_equal(server_link_report(f->link, make_report("u1", "01")), 0);
    assert_int_equal(server_link_report(f->link, make_report("u2", "02")), 0);
    RUN_UNTIL(strstr(f->server->report, "\"u2\""));
    f->server->report_status = 204;
    RUN_UNTIL(count_reports(f) == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_enrols),
        TEST(a_lost_answer_is_asked_for_again),
        TEST(overload_and_pending_are_waited_for),
        TEST(refusals_end_it),
        TEST(bad_answers_are_told_and_tried_again),
        TEST(a_mistake_ends_it_at_once),
        TEST(one_enrolment_at_a_time),
        TEST(a_restart_sends_the_same_csr),
        TEST(the_file_of_an_image_is_used_once),
        TEST(a_broken_file_stays_and_shows),
        TEST(a_failed_enrolment_keeps_the_identity),
        TEST(an_enrolment_that_goes_on_does_not_cost_a_renewal),
        TEST(another_enrolment_that_goes_on_is_not_the_devices_state),
        TEST(a_clone_is_not_used),
        TEST(no_machine_id_is_told),
        TEST(a_broken_identity_is_set_aside),
        TEST(the_hold_survives),
        TEST(it_renews_with_a_fresh_key),
        TEST(a_failed_renewal_keeps_the_old_one),
        TEST(a_wrong_clock_is_shown_and_harms_nothing),
        TEST(the_servers_date_makes_a_renewal_due),
        TEST(a_clock_that_is_set_right_shows_at_once),
        TEST(hints_bring_the_state),
        TEST(nothing_bad_changes_the_state),
        TEST(what_is_not_this_devices_is_refused),
        TEST(an_older_generation_is_passed_over),
        TEST(the_tombstone_removes),
        TEST(the_state_is_known_without_a_server),
        TEST(it_is_probed_and_told_as_facts),
        TEST(a_repair_hurries_a_failed_renewal_once),
        TEST(a_wake_keeps_to_what_the_server_ordered),
        TEST(signing_has_four_outcomes),
        TEST(what_the_server_orders_and_what_it_leaves_out),
        TEST(signing_is_bounded_and_cancelled),
        TEST(reports_outlive_the_daemon),
        TEST(reports_are_bounded_and_unique),
        TEST(a_report_that_is_refused_holds_up_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
