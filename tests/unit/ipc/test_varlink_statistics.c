/* What an observer sees and in which order, what is counted per method and per uid, and what a
 * stream learns of a slow peer. */
#include "play.h"

#include "ipc/varlink_observer.h"

static struct play play;
static char seen[64 * 1024];

#define SEE(...)                                                                                   \
    snprintf(seen + strlen(seen), sizeof seen - strlen(seen), __VA_ARGS__) /* one event, one line  \
                                                                            */

static void see(const struct varlink_event *event, void *userdata) {
    static const char *const kinds[] = {"opened", "closed", "refused", "call", "reply"};
    const struct play *observed = userdata;
    SEE("%s #%u", kinds[event->kind], (unsigned)event->connection);
    if (event->method)
        SEE(" %s%s", event->method, event->row ? "" : "?");
    if (event->row)
        assert_string_equal(event->row->name, event->method);
    if (event->error)
        SEE(" %s", event->error);
    SEE("%s%s%s", event->more ? " more" : "", event->oneway ? " oneway" : "",
        event->continues ? " continues" : "");
    if (event->parameters)
        SEE(" %s", json_object_to_json_string_ext(event->parameters, JSON_C_TO_STRING_PLAIN));
    if (event->size > 0)
        SEE(" %u bytes", (unsigned)event->size);
    if (event->reason)
        SEE(" %s", strerrorname_np(-event->reason));
    if (event->kind == VARLINK_EVENT_CALL)
        SEE(" after %u", observed->called);
    SEE("\n");
    assert_int_equal(event->uid, geteuid());
    assert_int_equal(event->pid, getpid());
    if (event->kind == VARLINK_EVENT_REPLY)
        assert_true(event->latency_us >= 0);
    else
        assert_int_equal(event->latency_us, -1);
}

#define assert_seen(expected_)                                                                     \
    do {                                                                                           \
        assert_string_equal(seen, (expected_));                                                    \
        seen[0] = '\0';                                                                            \
    } while (0)

static int setup(void **state) {
    (void)state;
    play_start(&play);
    varlink_server_set_observer(play.server, see, &play);
    seen[0] = '\0';
    return 0;
}

static int teardown(void **state) {
    (void)state;
    play_stop(&play);
    return 0;
}

/* ---- the observer ---- */

static void test_a_call_and_its_answer(void **state) {
    int fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"a\"}}|");
    assert_seen("opened #1\n"
                "call #1 io.test.Play.Echo {\"value\":\"a\"} 58 bytes after 0\n"
                "reply #1 io.test.Play.Echo {\"value\":\"a\"} 29 bytes\n");
    assert_int_equal(strlen(play_received(fd)), 29);
    close(fd);
    play_turn(&play);
    assert_seen("closed #1\n");
}

static void test_what_a_table_reads_and_writes_is_seen(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    seen[0] = '\0';
    play_send(
        &play, fd,
        "{\"method\":\"io.test.Play.Fields\",\"parameters\":{\"text\":\"a\",\"other\":[1]}}|");
    assert_seen("call #1 io.test.Play.Fields {\"text\":\"a\",\"other\":[1]} 71 bytes after 0\n"
                "reply #1 io.test.Play.Fields {\"text\":\"a\"} 28 bytes\n");
}

/* What the observer was shown is what the handler reads: of a secret there is one copy, which the
 * handler can wipe. */
static void test_what_was_shown_is_what_is_read(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, "{\"method\":\"io.test.Play.Keep\",\"parameters\":{\"text\":\"a\"}}|");
    struct json_object *shown = varlink_call_parameters(play.later);
    assert_ptr_equal(play.kept.text, json_object_get_string(json_object_object_get(shown, "text")));
    varlink_call_reply(TAKE_PTR(play.later), NULL);
}

static void test_errors_are_seen(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    seen[0] = '\0';
    play_send(&play, fd, "{\"method\":\"io.test.Play.Nope\"}|");
    assert_seen("call #1 io.test.Play.Nope? {} 31 bytes after 0\n"
                "reply #1 io.test.Play.Nope? org.varlink.service.MethodNotFound"
                " {\"method\":\"io.test.Play.Nope\"} 91 bytes\n");
    play_send(&play, fd, "{\"parameters\":[]}|");
    assert_seen("call #1 18 bytes after 0\n"
                "reply #1 org.varlink.service.InvalidParameter {\"parameter\":\"parameters\"}"
                " 89 bytes\n");
    play_send(&play, fd, "{\"method\":\"io.test.Play.Count\"}|");
    assert_seen("call #1 io.test.Play.Count {} 32 bytes after 0\n"
                "reply #1 io.test.Play.Count org.varlink.service.ExpectedMore {} 61 bytes\n");
    play_send(&play, fd, "nonsense|");
    assert_seen("closed #1 EBADMSG\n");
}

static void test_a_oneway_call_has_an_answer_that_is_not_sent(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    seen[0] = '\0';
    play_send(
        &play, fd,
        "{\"method\":\"io.test.Play.Echo\",\"oneway\":true}|"
        "{\"method\":\"io.test.Play.Count\",\"oneway\":true}|");
    assert_seen("call #1 io.test.Play.Echo oneway {} 45 bytes after 0\n"
                "reply #1 io.test.Play.Echo oneway {}\n"
                "call #1 io.test.Play.Count oneway {} 46 bytes after 1\n"
                "reply #1 io.test.Play.Count org.varlink.service.ExpectedMore oneway {}\n");
    assert_string_equal(play_received(fd), "");
}

static void test_a_stream(void **state) {
    int fd = play_connect(&play);
    (void)state;
    seen[0] = '\0';
    play_send(&play, fd, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    play_notify(&play, 1);
    assert_seen("call #1 io.test.Play.Count more {} 44 bytes after 0\n"
                "reply #1 io.test.Play.Count more continues {\"number\":1} 45 bytes\n");
    close(fd);
    play_turn(&play);
    assert_seen("closed #1\n");
}

static void test_a_refused_connection(void **state) {
    struct varlink_limits limits = play_limits();
    struct play one;
    int pair[2];
    (void)state;
    limits.connections_per_uid = 1;
    play_start_with(&one, &limits);
    varlink_server_set_observer(one.server, see, &one);
    int CLEANUP_CLOSE fd = play_connect(&one);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(varlink_server_add_connection_fd(one.server, pair[0]), -EDQUOT);
    close(pair[1]);
    play_turn(&one);
    assert_seen("opened #1\nrefused #2 EDQUOT\n");
    varlink_server_set_observer(one.server, NULL, NULL);
    play_expect(&one, fd, "{\"method\":\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
    play_stop(&one);
    assert_seen("");
}

static void watch_and_notify(const struct varlink_event *event, void *userdata) {
    see(event, userdata);
    if (play.count)
        play_notify(&play, 7);
}

static void test_what_the_observer_causes_is_not_shown_to_it(void **state) {
    int CLEANUP_CLOSE watcher = play_connect(&play);
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(&play, watcher, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    varlink_server_set_observer(play.server, watch_and_notify, &play);
    seen[0] = '\0';
    play_send(&play, fd, "{\"method\":\"io.test.Play.Echo\",\"oneway\":true}|");
    assert_seen("call #2 io.test.Play.Echo oneway {} 45 bytes after 1\n"
                "reply #2 io.test.Play.Echo oneway {}\n");
    assert_string_equal(
        play_received(watcher), "{\"parameters\":{\"number\":7},\"continues\":true}|"
                                "{\"parameters\":{\"number\":7},\"continues\":true}|");
}

/* ---- methods ---- */

struct counted {
    const char *method;
    struct varlink_method_info info;
    unsigned methods;
    char previous[64];
};

static void count_method(const struct varlink_method_info *info, void *userdata) {
    struct counted *counted = userdata;
    assert_true(strcmp(counted->previous, info->method) < 0);
    snprintf(counted->previous, sizeof counted->previous, "%s", info->method);
    counted->methods++;
    if (strcmp(counted->method, info->method) == 0)
        counted->info = *info;
}

static struct varlink_method_info counted(const char *method) {
    struct counted counted = {.method = method};
    varlink_server_each_method(play.server, count_method, &counted);
    assert_int_equal(counted.methods, sizeof play_methods / sizeof play_methods[0] + 2);
    assert_non_null(counted.info.method);
    return counted.info;
}

static void test_calls_are_counted(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    struct varlink_method_info info = counted("io.test.Play.Echo");
    assert_int_equal(info.calls + info.errors + info.open, 0);
    assert_int_equal(info.p50_us + info.p90_us + info.p99_us + info.max_us, 0);
    play_send(
        &play, fd,
        "{\"method\":\"io.test.Play.Echo\"}|{\"method\":\"io.test.Play.Echo\",\"oneway\":true}|"
        "{\"method\":\"io.test.Play.Small\",\"parameters\":{\"text\":\"too long for what the "
        "row of Small allows\"}}|{\"method\":\"io.test.Play.Nope\"}|");
    info = counted("io.test.Play.Echo");
    assert_int_equal(info.calls, 2);
    assert_int_equal(info.errors, 0);
    assert_true(info.p50_us <= info.p90_us && info.p90_us <= info.p99_us);
    assert_true(info.p99_us <= info.max_us);
    info = counted("io.test.Play.Small");
    assert_int_equal(info.calls, 1);
    assert_int_equal(info.errors, 1);
}

struct wake {
    uv_timer_t timer;
    bool over;
};

static void wake_up(uv_timer_t *timer) {
    struct wake *wake = timer->data;
    wake->over = true;
    uv_close((uv_handle_t *)timer, NULL);
}

/* The loop goes on for so long. */
static void pass(uint64_t ms) {
    struct wake wake = {0};
    uv_timer_init(&play.loop, &wake.timer);
    wake.timer.data = &wake;
    uv_timer_start(&wake.timer, wake_up, ms, 0);
    while (!wake.over)
        uv_run(&play.loop, UV_RUN_ONCE);
    uv_run(&play.loop, UV_RUN_NOWAIT);
}

static void test_open_calls_and_how_long_they_took(void **state) {
    enum { WAIT_MS = 20 };
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, "{\"method\":\"io.test.Play.Later\"}|");
    assert_int_equal(counted("io.test.Play.Later").open, 1);
    pass(WAIT_MS);
    varlink_call_error(play.later, "io.test.Play.Wrong", NULL);
    struct varlink_method_info info = counted("io.test.Play.Later");
    assert_int_equal(info.open, 0);
    assert_int_equal(info.calls, 1);
    assert_int_equal(info.errors, 1);
    assert_true(info.p50_us >= (WAIT_MS - 1) * 1000);
    assert_int_equal(info.p50_us, info.max_us);
}

static void test_a_stream_counts_until_its_first_answer(void **state) {
    int fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    play_notify(&play, 1);
    int64_t first = counted("io.test.Play.Count").max_us;
    pass(20);
    play_notify(&play, 2);
    assert_int_equal(counted("io.test.Play.Count").max_us, first);
    assert_int_equal(counted("io.test.Play.Count").open, 1);
    close(fd);
    play_turn(&play);
    assert_int_equal(counted("io.test.Play.Count").open, 0);
    assert_int_equal(counted("io.test.Play.Count").calls, 1);
}

/* ---- users and connections ---- */

static void take_uid(const struct varlink_uid_info *info, void *userdata) {
    assert_int_equal(info->uid, geteuid());
    *(struct varlink_uid_info *)userdata = *info;
}

static struct varlink_uid_info used(void) {
    struct varlink_uid_info info = {.uid = 4711};
    varlink_server_each_uid(play.server, take_uid, &info);
    return info;
}

static void test_what_a_uid_uses(void **state) {
    (void)state;
    assert_int_equal(used().uid, 4711); /* none yet */
    int first = play_connect(&play);
    int second = play_connect(&play);
    assert_int_equal(used().connections, 2);
    assert_int_equal(used().outstanding + used().bytes, 0);
    play_send(
        &play, first, "{\"method\":\"io.test.Play.Later\"}|{\"method\":\"io.test.Play.Echo\"}|");
    play_send(&play, second, "{\"method\":\"io.test");
    assert_int_equal(used().outstanding, 2);
    assert_int_equal(used().bytes, 31 + 18);
    varlink_call_reply(play.later, NULL);
    play_turn(&play);
    assert_int_equal(used().outstanding, 0);
    assert_int_equal(used().bytes, 18);
    close(first);
    close(second);
    play_turn(&play);
    assert_int_equal(used().uid, geteuid()); /* remembered */
    assert_int_equal(used().connections + used().outstanding + used().bytes, 0);
}

static void take_connection(const struct varlink_connection_info *info, void *userdata) {
    *(struct varlink_connection_info *)userdata = *info;
}

static void test_age_and_stream_of_a_connection(void **state) {
    enum { WAIT_MS = 20 };
    struct varlink_connection_info info = {0};
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    pass(WAIT_MS);
    varlink_server_each_connection(play.server, take_connection, &info);
    assert_true(info.age_ms >= WAIT_MS);
    assert_null(info.stream);
    play_send(&play, fd, "{\"method\":\"io.test.Play.Later\"}|");
    varlink_server_each_connection(play.server, take_connection, &info);
    assert_null(info.stream);
    varlink_call_reply(play.later, NULL);
    play_send(&play, fd, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    varlink_server_each_connection(play.server, take_connection, &info);
    assert_string_equal(info.stream, "io.test.Play.Count");
}

/* ---- a slow peer ---- */

static unsigned drained;

static void on_drained(struct varlink_call *call, void *userdata) {
    assert_ptr_equal(call, play.count);
    assert_ptr_equal(userdata, &play);
    assert_false(varlink_call_is_congested(call));
    drained++;
}

/* As many numbers as go in without any being lost, and one more. */
static int64_t fill(void) {
    int64_t number = 0;
    while (!varlink_call_is_congested(play.count))
        play_notify(&play, ++number);
    return number;
}

static size_t empty(int fd) {
    size_t replies = 0;
    for (const char *part = play_received(fd); *part; part = play_received(fd)) {
        for (const char *at = part; (at = strchr(at, '|')); at++)
            replies++;
        play_turn(&play);
    }
    return replies;
}

static void test_a_stream_learns_when_its_peer_has_read(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    drained = 0;
    varlink_server_set_observer(play.server, NULL, NULL);
    play_send(&play, fd, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    varlink_call_on_drained(play.count, on_drained, &play);
    play_notify(&play, 0);
    assert_int_equal(drained, 0); /* it went out at once */
    assert_int_equal(empty(fd), 1);
    for (unsigned round = 1; round <= 2; round++) {
        int64_t sent = fill();
        assert_true(used().bytes > 0);
        play_turn(&play);
        assert_int_equal(drained, round - 1);
        assert_int_equal(empty(fd), sent); /* none was lost, for none came too soon */
        assert_int_equal(drained, round);
        assert_int_equal(used().bytes, 0);
    }
    varlink_call_on_drained(play.count, NULL, NULL);
    int64_t sent = fill();
    play_notify(&play, -1);
    play_notify(&play, -2);
    assert_int_equal(empty(fd), sent + 1);
    assert_int_equal(drained, 2);
}

static void end_on_drained(struct varlink_call *call, void *userdata) {
    (void)userdata;
    play.count = NULL;
    varlink_call_reply(call, NULL);
}

static void test_a_stream_may_end_when_it_has_drained(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    varlink_server_set_observer(play.server, NULL, NULL);
    play_send(&play, fd, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    varlink_call_on_drained(play.count, end_on_drained, &play);
    int64_t sent = fill();
    assert_int_equal(empty(fd), sent + 1);
    assert_null(play.count);
    play_expect(&play, fd, "{\"method\":\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_and_its_answer),
        TEST(test_what_a_table_reads_and_writes_is_seen),
        TEST(test_what_was_shown_is_what_is_read),
        TEST(test_errors_are_seen),
        TEST(test_a_oneway_call_has_an_answer_that_is_not_sent),
        TEST(test_a_stream),
        TEST(test_a_refused_connection),
        TEST(test_what_the_observer_causes_is_not_shown_to_it),
        TEST(test_calls_are_counted),
        TEST(test_open_calls_and_how_long_they_took),
        TEST(test_a_stream_counts_until_its_first_answer),
        TEST(test_what_a_uid_uses),
        TEST(test_age_and_stream_of_a_connection),
        TEST(test_a_stream_learns_when_its_peer_has_read),
        TEST(test_a_stream_may_end_when_it_has_drained),
    };
    return cmocka_run_group_tests_name("varlink_statistics", tests, NULL, NULL);
}
