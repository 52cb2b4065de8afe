/* Renewal of the device certificate while clocks jump, the machine sleeps, and the server answers
 * badly or not at all. The server is a test peer; the wall timer's descriptor is the kernel's, its
 * time is the test's. */
#include "daemon/device_renewal.h"
#include "daemon/http_client.h"

#include "tests/unit/daemon/server_peer.h"
#include "tests/unit/daemon/state_dir.h"

#include "common/cleanup.h"
#include "common/http_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#define DEVICE "11111111-2222-4333-8444-555555555555"
#define BINDING "0123456789abcdef0123456789abcdef"
#define DAY INT64_C(86400)
#define YEAR (365 * DAY)
#define HOUR_MS INT64_C(3600000)
#define MINUTE_MS INT64_C(60000) /* what may have passed before a wait is looked at */
#define NEVER_S INT64_C(253402300799)

/* ---- the wall timer ---- */

static int timer_fd, timer_sets;
static int64_t timer_armed_s; /* what the product has asked for */
static bool timer_tells_clock_set;
static const struct clock_source *timer_clock;

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old) {
    timer_fd = fd;
    timer_sets++;
    timer_armed_s = when->it_value.tv_sec;
    const bool due = timer_armed_s <= clock_wall_s(timer_clock);
    const struct itimerspec then = {.it_value = {.tv_sec = due ? 1 : NEVER_S}};
    return (int)syscall(SYS_timerfd_settime, fd, flags, &then, old);
}

ssize_t read(int fd, void *data, size_t size) {
    if (fd == timer_fd && timer_tells_clock_set) {
        timer_tells_clock_set = false;
        (void)syscall(SYS_read, fd, data, size);
        errno = ECANCELED;
        return -1;
    }
    return syscall(SYS_read, fd, data, size);
}

static void timer_fire(void) {
    const struct itimerspec past = {.it_value = {.tv_sec = 1}};
    assert_int_equal(syscall(SYS_timerfd_settime, timer_fd, TFD_TIMER_ABSTIME, &past, NULL), 0);
}

/* ---- the device ---- */

struct fixture {
    uv_loop_t loop;
    struct state_dir dir;
    struct server_peer *server;
    struct device_renewal *renewal;
    struct device_identity *identity;
    struct http_client *client;
    struct clock_source clock;
    int64_t wall_offset_s, boot_offset_ms;
    int renewed, changed, clock_sets;
    int clients; /* open */
    bool closed;
};

static int64_t shifted_wall_s(void *userdata) {
    return clock_wall_s(&clock_system) + ((struct fixture *)userdata)->wall_offset_s;
}

static int64_t shifted_monotonic_ms(void *userdata) {
    return clock_monotonic_ms(&clock_system) + ((struct fixture *)userdata)->boot_offset_ms;
}

static X509 *reference(X509 *certificate) {
    X509_up_ref(certificate);
    return certificate;
}

/* As it stands on disk after an enrolment, valid from `begin_s` to `end_s`, relative to now. */
static void make_identity(struct fixture *f, int64_t begin_s, int64_t end_s) {
    struct server_peer *server = f->server;
    struct pki_entity leaf = pki_device(&server->device_issuer, DEVICE, NULL, begin_s, end_s);
    struct device_identity *identity = calloc(1, sizeof(*identity));
    snprintf(identity->uuid, sizeof(identity->uuid), "%s", DEVICE);
    enum reason reason;
    assert_int_equal(
        server_address_parse(peer_url(server->peer), server->pin, &identity->server, &reason), 0);
    identity->key = leaf.key;
    identity->certificate = leaf.certificate;
    identity->device_issuer = reference(server->device_issuer.certificate);
    identity->device_root = reference(server->device_root.certificate);
    identity->trust_issuer = reference(server->trust_issuer.certificate);
    identity->trust_root = reference(server->trust_root.certificate);
    assert_int_equal(device_identity_save(f->dir.fd, BINDING, identity), 0);
    f->identity = identity;
}

static void on_client_closed(void *userdata) {
    ((struct fixture *)userdata)->clients--;
}

static void use(struct fixture *f, struct device_identity *identity, struct http_client *client) {
    if (client)
        f->clients++;
    device_renewal_watch(f->renewal, identity, client, NULL);
    if (f->client)
        http_client_retire(f->client, on_client_closed, f);
    if (f->identity != identity)
        device_identity_free(f->identity);
    f->identity = identity;
    f->client = client;
}

static void on_renewed(
    struct device_identity *identity, struct http_client *client, void *userdata) {
    struct fixture *f = userdata;
    f->renewed++;
    use(f, identity, client);
}

static void on_clock_set(void *userdata) {
    ((struct fixture *)userdata)->clock_sets++;
}

static void on_changed(void *userdata) {
    ((struct fixture *)userdata)->changed++;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    timer_sets = 0;
    timer_tells_clock_set = false;
    uv_loop_init(&f->loop);
    state_dir_make(&f->dir);
    f->clock = (struct clock_source){shifted_wall_s, shifted_monotonic_ms, f};
    timer_clock = &f->clock;
    f->server = server_peer_start();
    *state = f;
    return 0;
}

static void open_renewal(struct fixture *f) {
    const struct device_renewal_options options = {
        .loop = &f->loop,
        .clock = &f->clock,
        .random = &random_system,
        .dir_fd = f->dir.fd,
        .binding = BINDING,
        .renewed = on_renewed,
        .changed = on_changed,
        .clock_set = on_clock_set,
        .userdata = f,
    };
    assert_int_equal(device_renewal_new(&options, &f->renewal), 0);
}

static void watch(struct fixture *f) {
    const struct http_client_options options = {
        .loop = &f->loop,
        .ca_pin = f->identity->server.ca_pin,
        .certificate = f->identity->certificate,
        .issuer = f->identity->device_issuer,
        .key = f->identity->key,
    };
    struct http_client *client;
    assert_int_equal(http_client_new(&options, &client), 0);
    use(f, f->identity, client);
}

static void close_renewal(struct fixture *f) {
    f->closed = false;
    device_renewal_close(TAKE_PTR(f->renewal), peer_set_true, &f->closed);
    peer_run_until(&f->loop, &f->closed);
}

/* As after a restart: with what is on disk. */
static void restart(struct fixture *f) {
    struct pending_request *pending = NULL;
    close_renewal(f);
    open_renewal(f);
    assert_int_equal(pending_request_load(f->dir.fd, BINDING, f->identity, &pending), 0);
    device_renewal_watch(f->renewal, f->identity, f->client, pending);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->renewal)
        close_renewal(f);
    if (f->client)
        http_client_close(TAKE_PTR(f->client), on_client_closed, f);
    device_identity_free(f->identity);
    peer_loop_end(&f->loop);
    assert_int_equal(f->clients, 0);
    server_peer_stop(f->server);
    state_dir_remove(&f->dir);
    free(f);
    return 0;
}

/* Certificates of `life_s`, `age_s` old when the test begins, from then on new. */
static void begin(struct fixture *f, int64_t age_s, int64_t life_s) {
    make_identity(f, -age_s, life_s - age_s);
    f->server->leaf_begin_s = -60;
    f->server->leaf_end_s = life_s - 60;
    open_renewal(f);
    watch(f);
}

#define RUN_UNTIL(condition) PEER_RUN_UNTIL(&f->loop, condition)

/* Everything that can happen without time passing. */
static void let_it_run(struct fixture *f) {
    for (int i = 0; i < 100; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void find_longest(uv_handle_t *handle, void *userdata) {
    uint64_t *longest_ms = userdata;
    if (handle->type != UV_TIMER || !uv_is_active(handle))
        return;
    uint64_t due_ms = uv_timer_get_due_in((uv_timer_t *)handle);
    if (due_ms > *longest_ms)
        *longest_ms = due_ms;
}

/* What the loop waits for: the next attempt. */
static int64_t longest_wait_ms(struct fixture *f) {
    uint64_t longest_ms = 0;
    uv_walk(&f->loop, find_longest, &longest_ms);
    return (int64_t)longest_ms;
}

/* ---- when ---- */

static void it_waits_for_two_thirds_of_the_life(void **state) {
    struct fixture *f = *state;
    begin(f, 10 * DAY, 90 * DAY);
    let_it_run(f);
    assert_int_equal(f->server->renewals, 0);
    assert_int_equal(timer_armed_s, device_identity_renew_at(f->identity));
    const int64_t ahead = timer_armed_s - clock_wall_s(&f->clock);
    assert_true(ahead > 49 * DAY && ahead < 54 * DAY);
    f->wall_offset_s = ahead; /* suspended all the while, or not */
    timer_fire();
    RUN_UNTIL(f->renewed == 1);
    assert_false(state_dir_has(&f->dir, "pending.json"));
}

static void switched_off_for_sixty_days(void **state) {
    struct fixture *f = *state;
    begin(f, 100 * DAY, 90 * DAY); /* expired ten days ago */
    RUN_UNTIL(f->renewed == 1);
    assert_int_equal(f->server->renewals, 1);
    let_it_run(f);
    assert_int_equal(f->server->renewals, 1);
}

/* A clock a year ahead makes each new certificate look due. */
static void a_clock_that_runs_ahead_does_not_spin(void **state) {
    struct fixture *f = *state;
    f->wall_offset_s = YEAR;
    begin(f, DAY, 90 * DAY);
    RUN_UNTIL(f->renewed == 1);
    const int sets = timer_sets;
    timer_fire();
    let_it_run(f);
    assert_int_equal(f->server->renewals, 1);
    assert_true(timer_sets <= sets + 2);
    /* and wakes up for the next one after a quarter of the life */
    const int64_t rest = timer_armed_s - clock_wall_s(&f->clock);
    assert_true(rest > 20 * DAY && rest <= 23 * DAY);
}

/* The rest is not awake time: a laptop that sleeps most of the day would come too late. */
static void the_rest_passes_while_the_machine_sleeps(void **state) {
    struct fixture *f = *state;
    f->wall_offset_s = YEAR;
    begin(f, DAY, 90 * DAY);
    RUN_UNTIL(f->renewed == 1);
    f->wall_offset_s += 23 * DAY;
    f->boot_offset_ms += 23 * DAY * 1000;
    timer_fire();
    RUN_UNTIL(f->renewed == 2);
}

static void the_servers_clock_decides(void **state) {
    struct fixture *f = *state;
    f->wall_offset_s = -YEAR;
    begin(f, 70 * DAY, 90 * DAY);
    let_it_run(f);
    assert_int_equal(f->server->renewals, 0);
    device_renewal_clock_differs(f->renewal, -YEAR - 2);
    RUN_UNTIL(f->renewed == 1);
    /* the next one by the server's clock, too */
    const int64_t ahead = timer_armed_s - clock_wall_s(&f->clock);
    assert_true(ahead > 59 * DAY && ahead < 64 * DAY);
    const int sets = timer_sets;
    device_renewal_clock_differs(f->renewal, -YEAR + 5); /* each answer says so */
    assert_int_equal(timer_sets, sets);
    /* the clock is set right: nobody knows of a difference any more */
    f->wall_offset_s = 0;
    timer_tells_clock_set = true;
    timer_fire();
    let_it_run(f);
    assert_int_equal(f->server->renewals, 1);
    assert_int_equal(timer_armed_s, device_identity_renew_at(f->identity));
}

static void a_year_ahead_of_the_server_is_not_due(void **state) {
    struct fixture *f = *state;
    f->wall_offset_s = YEAR;
    make_identity(f, -DAY, 89 * DAY);
    open_renewal(f);
    device_renewal_clock_differs(f->renewal, YEAR);
    watch(f);
    let_it_run(f);
    assert_int_equal(f->server->renewals, 0);
    assert_int_equal(timer_armed_s, device_identity_renew_at(f->identity) + YEAR);
}

/* The clock is set back a year and stays wrong, forward, and right again. */
static void a_clock_that_jumps_costs_nothing(void **state) {
    struct fixture *f = *state;
    static const int64_t offsets[] = {-YEAR, 0, -60 * DAY, 0};
    begin(f, 10 * DAY, 90 * DAY);
    for (size_t i = 0; i < ARRAY_LENGTH(offsets); i++) {
        f->wall_offset_s = offsets[i];
        timer_tells_clock_set = true;
        timer_fire();
        let_it_run(f);
        assert_int_equal(timer_armed_s, device_identity_renew_at(f->identity));
    }
    assert_int_equal(f->server->renewals, 0);
    assert_int_equal(f->clock_sets, ARRAY_LENGTH(offsets));
    assert_true(state_dir_has(&f->dir, "device.json") && state_dir_has(&f->dir, "device.key"));
}

/* ---- what the server answers ---- */

struct answer {
    enum est_fault fault;
    const char *headers; /* NULL: the usual ones */
    enum reason reason;
    int64_t least_ms, most_ms; /* until the next attempt */
};

#define RETRY_2H "Retry-After: 7200\r\n"

static void expect_answer(struct fixture *f, const struct answer *answer) {
    CLEANUP_FREE char *key = state_dir_read(&f->dir, "device.key");
    CLEANUP_FREE char *identity = state_dir_read(&f->dir, "device.json");
    const int asked = f->server->renewals, renewed = f->renewed, csrs = f->server->csr_count;
    snprintf(
        f->server->fault_headers, sizeof(f->server->fault_headers), "%s",
        answer->headers ? answer->headers : "");
    /* libcurl asks again by itself where a kept connection ends without an answer */
    server_peer_set_fault(f->server, answer->fault, answer->fault == FAULT_LOST ? 8 : 1);
    const int changed = f->changed;
    timer_fire();
    RUN_UNTIL(f->changed > changed);
    assert_int_equal(device_renewal_reason(f->renewal), answer->reason);
    assert_in_range(longest_wait_ms(f), answer->least_ms, answer->most_ms);
    let_it_run(f);
    assert_true(f->server->renewals > asked);
    assert_int_equal(f->renewed, renewed);
    /* the credential that works is what it was */
    CLEANUP_FREE char *key_after = state_dir_read(&f->dir, "device.key");
    CLEANUP_FREE char *identity_after = state_dir_read(&f->dir, "device.json");
    assert_string_equal(key, key_after);
    assert_string_equal(identity, identity_after);
    /* a restart repeats the same request, and a good answer ends it */
    server_peer_set_fault(f->server, FAULT_NONE, 0);
    restart(f);
    RUN_UNTIL(f->renewed == renewed + 1);
    assert_string_equal(f->server->csrs[csrs], f->server->csrs[f->server->csr_count - 1]);
    f->server->csr_count = 0;
    assert_int_equal(device_renewal_reason(f->renewal), REASON_NONE);
}

/* Due whenever the timer fires, so that one device can be told everything in turn. */
static void next_is_due(struct fixture *f) {
    f->wall_offset_s += 91 * DAY;
    f->boot_offset_ms += 91 * DAY * 1000;
}

static void bad_answers_cost_nothing_and_are_asked_again(void **state) {
    struct fixture *f = *state;
    static const struct answer answers[] = {
        {FAULT_503, RETRY_2H, REASON_SERVER_ERROR, 2 * HOUR_MS - MINUTE_MS, 3 * HOUR_MS},
        {FAULT_202, RETRY_2H, REASON_NONE, 2 * HOUR_MS - MINUTE_MS, 3 * HOUR_MS},
        {FAULT_503, "Retry-After: 99999999\r\n", REASON_SERVER_ERROR, 6 * HOUR_MS - MINUTE_MS,
         7 * HOUR_MS},
        {FAULT_503, "X-None: 1\r\n", REASON_SERVER_ERROR, 0, HOUR_MS},
        {FAULT_401, NULL, REASON_TOKEN_REFUSED, HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS},
        {FAULT_403, NULL, REASON_DEVICE_SUSPENDED, HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS},
        {FAULT_400, NULL, REASON_CSR_KEY, HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS},
        {FAULT_HTML, NULL, REASON_SERVER_ANSWER, HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS},
        {FAULT_TRUNCATED, NULL, REASON_BUNDLE_INVALID, HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS},
        {FAULT_OTHER_KEY, NULL, REASON_LEAF_KEY, 0, HOUR_MS},
        {FAULT_TRUST_LEAF, NULL, REASON_LEAF_CHAIN, 0, HOUR_MS},
        {FAULT_LOST, NULL, REASON_SERVER_UNREACHABLE, 0, HOUR_MS},
        {FAULT_HALF, NULL, REASON_SERVER_UNREACHABLE, 0, HOUR_MS},
    };
    begin(f, DAY, 90 * DAY);
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        next_is_due(f);
        expect_answer(f, &answers[i]);
    }
}

/* The date is the server's, so its own clock is what it counts from: here it is a year behind. */
static void a_date_to_come_back_is_the_servers(void **state) {
    struct fixture *f = *state;
    char now[HTTP_DATE_SIZE], then[HTTP_DATE_SIZE], headers[160];
    const int64_t server_s = clock_wall_s(&clock_system) - YEAR;
    http_date_format(server_s, now);
    http_date_format(server_s + 7200, then);
    snprintf(headers, sizeof(headers), "Date: %s\r\nRetry-After: %s\r\n", now, then);
    begin(f, DAY, 90 * DAY);
    next_is_due(f);
    const struct answer answer = {
        FAULT_503, headers, REASON_SERVER_ERROR, 2 * HOUR_MS - MINUTE_MS, 3 * HOUR_MS};
    expect_answer(f, &answer);
}

/* Issues, and then refuses what it has issued: each try costs a certificate. */
static void a_certificate_that_is_refused_is_not_replaced_at_once(void **state) {
    struct fixture *f = *state;
    static const int refusals[] = {403, 401};
    begin(f, DAY, 90 * DAY);
    next_is_due(f);
    timer_fire();
    for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
        f->server->state_status = refusals[i];
        const int changed = f->changed, asked = f->server->renewals;
        if (i > 0)
            assert_true(device_renewal_hurry(f->renewal));
        RUN_UNTIL(f->changed > changed);
        let_it_run(f);
        assert_int_equal(f->server->renewals, asked + 1);
        assert_int_equal(f->renewed, 0);
        assert_in_range(longest_wait_ms(f), HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS);
        timer_tells_clock_set = true; /* nor does a clock that is set make it come earlier */
        timer_fire();
        let_it_run(f);
        assert_int_equal(f->server->renewals, asked + 1);
    }
    f->server->state_status = 500; /* says nothing about the certificate: it is kept for later */
    const int asked = f->server->renewals, changed = f->changed;
    assert_true(device_renewal_hurry(f->renewal));
    RUN_UNTIL(f->changed > changed);
    f->server->state_status = 200;
    assert_true(device_renewal_hurry(f->renewal));
    RUN_UNTIL(f->renewed == 1);
    assert_int_equal(f->server->renewals, asked + 1);
}

static void refuse_as_expired(struct fixture *f, int64_t least_ms, int64_t most_ms) {
    const int changed = f->changed;
    f->server->state_status = 403;
    f->server->state_code = "expired";
    assert_true(device_renewal_hurry(f->renewal));
    RUN_UNTIL(f->changed > changed);
    let_it_run(f);
    assert_int_equal(device_renewal_reason(f->renewal), REASON_EXPIRED);
    assert_in_range(longest_wait_ms(f), least_ms, most_ms);
    f->server->state_status = 200;
    f->server->state_code = NULL;
}

/* Due, issued, and then the server fails: what it has issued waits on the disk to be used. */
static void issue_and_fail(struct fixture *f) {
    begin(f, DAY, 90 * DAY);
    next_is_due(f);
    f->server->state_status = 500;
    const int changed = f->changed;
    timer_fire();
    RUN_UNTIL(f->changed > changed);
    assert_int_equal(f->server->renewals, 1);
}

/* The server was away for all its life: it is of no use any more, and the old one gets another. A
 * server that calls a new one expired is not asked so soon. */
static void one_that_expires_before_it_was_used(void **state) {
    struct fixture *f = *state;
    issue_and_fail(f);
    refuse_as_expired(f, HOUR_MS / 6 - MINUTE_MS, 2 * HOUR_MS);
    f->server->state_status = 500;
    const int changed = f->changed;
    assert_true(device_renewal_hurry(f->renewal));
    RUN_UNTIL(f->changed > changed);
    assert_int_equal(f->server->renewals, 2);
    next_is_due(f);
    refuse_as_expired(f, 0, MINUTE_MS / 6);
    assert_true(device_renewal_hurry(f->renewal));
    RUN_UNTIL(f->renewed == 1);
    assert_int_equal(f->server->renewals, 3);
}

/* The device was off meanwhile: how long is not known. */
static void one_that_expires_while_the_device_is_off(void **state) {
    struct fixture *f = *state;
    issue_and_fail(f);
    const int changed = f->changed;
    restart(f);
    RUN_UNTIL(f->changed > changed);
    refuse_as_expired(f, 0, MINUTE_MS / 6);
    assert_true(device_renewal_hurry(f->renewal));
    RUN_UNTIL(f->renewed == 1);
    assert_int_equal(f->server->renewals, 2);
}

/* Accepts, and never says anything: the wait has an end, and meanwhile nothing is lost. */
static void a_silent_server_is_given_up(void **state) {
    struct fixture *f = *state;
    begin(f, DAY, 90 * DAY);
    next_is_due(f);
    server_peer_set_fault(f->server, FAULT_SILENT, 1);
    timer_fire();
    RUN_UNTIL(f->server->renewals == 1);
    let_it_run(f);
    assert_in_range(longest_wait_ms(f), 1, 60 * 1000);
    assert_true(state_dir_has(&f->dir, "device.key"));
    restart(f);
    RUN_UNTIL(f->renewed == 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_waits_for_two_thirds_of_the_life),
        TEST(switched_off_for_sixty_days),
        TEST(a_clock_that_runs_ahead_does_not_spin),
        TEST(the_rest_passes_while_the_machine_sleeps),
        TEST(the_servers_clock_decides),
        TEST(a_year_ahead_of_the_server_is_not_due),
        TEST(a_clock_that_jumps_costs_nothing),
        TEST(bad_answers_cost_nothing_and_are_asked_again),
        TEST(a_date_to_come_back_is_the_servers),
        TEST(a_certificate_that_is_refused_is_not_replaced_at_once),
        TEST(one_that_expires_before_it_was_used),
        TEST(one_that_expires_while_the_device_is_off),
        TEST(a_silent_server_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
