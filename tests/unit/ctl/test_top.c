/* `ipc top`: rates from two looks, what comes first, and that it stays within its screen. */
#include "scripted.h"

#include "ipc/ctl/top_view.h"

static struct ctl ctl;

static int name_of(uid_t uid, char ret[CTL_NAME_SIZE]) {
    if (uid > 1000)
        return -ENOENT;
    snprintf(ret, CTL_NAME_SIZE, "%s", uid == 0 ? "root" : "alice");
    return 0;
}

static int setup(void **state) {
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    ctl = (struct ctl){.unicode = true, .user_name = name_of};
    return 0;
}

#define METHOD(name_, calls_, errors_, open_, p50_, p99_)                                          \
    "{\"method\":\"" name_ "\",\"calls\":" calls_ ",\"errors\":" errors_ ",\"open\":" open_        \
    ",\"latency\":{\"p50_us\":" p50_ ",\"p90_us\":" p50_ ",\"p99_us\":" p99_ ",\"max_us\":" p99_   \
    "}}"

#define STATISTICS(uptime_, methods_) "{\"uptime_s\":" uptime_ ",\"methods\":[" methods_ "]}"

static const char statistics_1[] = STATISTICS(
    "3725", METHOD("io.devtrust.Agent.Submit", "10", "1", "1", "85", "3190") "," METHOD(
                "io.devtrust.Device.GetStatus", "100", "0", "0", "20",
                "40") "," METHOD("org.varlink.service.GetInfo", "0", "0", "0", "0", "0"));
static const char statistics_2[] = STATISTICS(
    "3727", METHOD("io.devtrust.Agent.Submit", "15", "1", "1", "85", "3190") "," METHOD(
                "io.devtrust.Device.GetStatus", "123456", "0", "0", "20",
                "40") "," METHOD("org.varlink.service.GetInfo", "3", "0", "0", "0", "0"));

static const char connections[] =
    "{\"connections\":[{},{}],\"limit_per_uid\":16,\"quotas\":["
    "{\"uid\":0,\"connections\":1,\"outstanding\":0,\"bytes\":0,\"messages_left\":200,"
    "\"refused\":0,\"delayed\":0},"
    "{\"uid\":1000,\"connections\":16,\"outstanding\":3,\"bytes\":250000,\"messages_left\":0,"
    "\"refused\":7,\"delayed\":123456}],"
    "\"limits\":{\"connections\":16,\"outstanding\":64,\"bytes\":262144,\"messages_per_s\":100,"
    "\"messages_burst\":200}}";

static struct top_sample *sample_of(
    const char *statistics, const char *open, int64_t time_us, const struct top_sample *before) {
    struct json_object CLEANUP_JSON *one = parsed(statistics);
    struct json_object CLEANUP_JSON *other = parsed(open);
    struct top_sample *sample = NULL;
    assert_int_equal(top_sample_new(&ctl, one, other, time_us, before, &sample), 0);
    return sample;
}

static char *view_of(const struct top_screen *screen, const struct top_sample *sample) {
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    top_view_print(screen, file, sample);
    fclose(file);
    return text;
}

#define T0 (SCRIPTED_NOW * INT64_C(1000000))

static void test_two_looks(void **state) {
    (void)state;
    const struct top_screen screen = {.ctl = &ctl, .columns = 80};
    struct top_sample *first = sample_of(statistics_1, connections, T0, NULL);
    char CLEANUP_FREE *before = view_of(&screen, first);
    assert_string_equal(
        before,
        "12:06:40  devtrustd up 1 h 2 min, 2 connections, - calls/s\n"
        "\n"
        "METHOD                 CALLS/S  CALLS  ERRS OPEN     P50     P90     P99     MAX\n"
        "Device.GetStatus             -    100     0    0   20 µs   20 µs   40 µs   40 µs\n"
        "Agent.Submit                 -     10     1    1   85 µs   85 µs 3.19 ms 3.19 ms\n"
        "\n"
        "USER          CONNECTIONS OUTSTANDING        BYTES MESSAGES LEFT REFUSED DELAYED\n"
        "alice               16/16        3/64    250k/262k         0/200       7    123k\n"
        "root                 1/16        0/64       0/262k       200/200       0       0\n");
    assert_fits(before);
    struct top_sample *second = sample_of(statistics_2, connections, T0 + 2000000, first);
    char CLEANUP_FREE *after = view_of(&screen, second);
    assert_non_null(
        strstr(after, "12:06:42  devtrustd up 1 h 2 min, 2 connections, 61682 calls/s\n"));
    assert_non_null(strstr(
        after,
        "Device.GetStatus         61678   123k     0    0   20 µs   20 µs   40 µs   40 µs\n"
        "Agent.Submit               2.5     15     1    1   85 µs   85 µs 3.19 ms 3.19 ms\n"
        "GetInfo                    1.5      3     0    0       -       -       -       -\n"));
    /* the daemon was restarted in between */
    struct top_sample *third = sample_of(statistics_1, connections, T0 + 4000000, second);
    char CLEANUP_FREE *restarted = view_of(&screen, third);
    assert_non_null(strstr(restarted, "Device.GetStatus          50.0"));
    top_sample_free(first);
    top_sample_free(second);
    top_sample_free(third);
}

static void test_json(void **state) {
    (void)state;
    struct top_sample *first = sample_of(statistics_1, connections, T0, NULL);
    struct top_sample *second = sample_of(statistics_2, connections, T0 + 2000000, first);
    struct json_object CLEANUP_JSON *object = top_view_to_json(second);
    assert_string_equal(
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
        "{\"time_us\":1795000002000000,\"uptime_s\":3727,\"connections\":2,"
        "\"calls_per_s\":61682.0,\"methods\":["
        "{\"method\":\"io.devtrust.Device.GetStatus\",\"calls\":123456,\"errors\":0,\"open\":0,"
        "\"p50_us\":20,\"p90_us\":20,\"p99_us\":40,\"max_us\":40,\"calls_per_s\":61678.0},"
        "{\"method\":\"io.devtrust.Agent.Submit\",\"calls\":15,\"errors\":1,\"open\":1,"
        "\"p50_us\":85,\"p90_us\":85,\"p99_us\":3190,\"max_us\":3190,\"calls_per_s\":2.5},"
        "{\"method\":\"org.varlink.service.GetInfo\",\"calls\":3,\"errors\":0,\"open\":0,"
        "\"p50_us\":0,\"p90_us\":0,\"p99_us\":0,\"max_us\":0,\"calls_per_s\":1.5}],"
        "\"users\":[{\"user\":\"alice\",\"uid\":1000,\"connections\":16,\"outstanding\":3,"
        "\"bytes\":250000,\"messages_left\":0,\"refused\":7,\"delayed\":123456},"
        "{\"user\":\"root\",\"uid\":0,\"connections\":1,\"outstanding\":0,\"bytes\":0,"
        "\"messages_left\":200,\"refused\":0,\"delayed\":0}],"
        "\"limits\":{\"connections\":16,\"outstanding\":64,\"bytes\":262144,"
        "\"messages_per_s\":100,\"messages_burst\":200}}");
    top_sample_free(first);
    top_sample_free(second);
}

/* Many methods and many users. */
static struct top_sample *crowd(size_t methods, size_t users) {
    struct json_object CLEANUP_JSON *statistics = parsed("{\"uptime_s\":5,\"methods\":[]}");
    struct json_object CLEANUP_JSON *open = parsed("{\"connections\":[],\"quotas\":[]}");
    struct top_sample *sample = NULL;
    for (size_t i = 0; i < methods; i++) {
        char text[256];
        snprintf(
            text, sizeof text,
            METHOD("io.devtrust.Long.MethodWithANameThatIsLong%zu", "%zu", "0", "0", "1", "2"), i,
            i + 1);
        json_object_array_add(json_object_object_get(statistics, "methods"), parsed(text));
    }
    for (size_t i = 0; i < users; i++) {
        char text[256];
        snprintf(
            text, sizeof text,
            "{\"uid\":%zu,\"connections\":1,\"outstanding\":2,\"bytes\":3,\"messages_left\":4,"
            "\"refused\":5,\"delayed\":6}",
            2000 + i);
        json_object_array_add(json_object_object_get(open, "quotas"), parsed(text));
    }
    assert_int_equal(top_sample_new(&ctl, statistics, open, T0, NULL, &sample), 0);
    return sample;
}

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

static void test_it_stays_within_its_screen(void **state) {
    static const struct {
        size_t methods, users, shown_methods, shown_users;
    } cases[] = {
        {3, 2, 3, 2},   {12, 6, 12, 6}, {13, 5, 13, 5}, {14, 5, 12, 5},  {50, 3, 14, 3},
        {2, 50, 2, 15}, {50, 50, 8, 8}, {0, 0, 0, 0},   {128, 0, 17, 0}, {0, 128, 0, 17},
    };
    (void)state;
    const struct top_screen screen = {.ctl = &ctl, .columns = 80, .rows = 24, .in_place = true};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct top_sample *sample = crowd(cases[i].methods, cases[i].users);
        char CLEANUP_FREE *text = view_of(&screen, sample);
        print_message("%zu methods, %zu users\n", cases[i].methods, cases[i].users);
        assert_memory_equal(text, "\033[H", 3);
        assert_int_equal(count_of(text, "\n"), count_of(text, "\033[K\n"));
        assert_true(count_of(text, "\n") < 24); /* one more would scroll */
        assert_int_equal(count_of(text, "Long.Method"), cases[i].shown_methods);
        assert_int_equal(count_of(text, "\n20") + count_of(text, "\n21"), cases[i].shown_users);
        assert_int_equal(count_of(text, "more methods"), cases[i].shown_methods < cases[i].methods);
        assert_int_equal(count_of(text, "more users"), cases[i].shown_users < cases[i].users);
        top_sample_free(sample);
    }
}

static void test_names_are_cut_and_made_safe(void **state) {
    (void)state;
    const struct top_screen screen = {.ctl = &ctl, .columns = 80};
    struct top_sample *sample = crowd(1, 1);
    sample->methods[0].name = "io.devtrust.Evil\033[31m.AndLongBesides.And";
    char CLEANUP_FREE *text = view_of(&screen, sample);
    assert_non_null(strstr(text, "Evil\\x1b[31m.AndLongB…"));
    assert_fits(text);
    ctl.unicode = false;
    char CLEANUP_FREE *ascii = view_of(&screen, sample);
    assert_non_null(strstr(ascii, "Evil\\x1b[31m.AndLon..."));
    assert_null(strstr(ascii, "µ"));
    top_sample_free(sample);
}

static void test_answers_of_another_daemon(void **state) {
    static const struct {
        const char *statistics, *connections;
    } cases[] = {
        {"{}", connections},
        {"{\"uptime_s\":1,\"methods\":[{}]}", connections},
        {"{\"uptime_s\":1,\"methods\":[7]}", connections},
        {"{\"uptime_s\":1,\"methods\":[]}", "{}"},
        {"{\"uptime_s\":1,\"methods\":[]}", "{\"connections\":[],\"quotas\":[{}]}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct json_object CLEANUP_JSON *one = parsed(cases[i].statistics);
        struct json_object CLEANUP_JSON *other = parsed(cases[i].connections);
        struct top_sample *sample = NULL;
        assert_int_equal(top_sample_new(&ctl, one, other, T0, NULL, &sample), -EINVAL);
    }
    /* an older one has no quotas */
    struct top_sample *old =
        sample_of(STATISTICS("1", ""), "{\"connections\":[],\"limit_per_uid\":16}", T0, NULL);
    assert_int_equal(old->user_count, 0);
    top_sample_free(old);
}

/* ---- the command ---- */

static const char *answer_for(const char *method) {
    return strstr(method, "GetStatistics") ? statistics_1 : connections;
}

static struct ctl top_ctl(void) {
    struct ctl top = scripted_ctl;
    top.daemon_uid = geteuid();
    top.unicode = true;
    top.user_name = name_of;
    return top;
}

static void test_one_look_on_a_pipe(void **state) {
    (void)state;
    struct ctl top = top_ctl();
    scripted.answer_for = answer_for;
    struct result CLEANUP_RESULT result = run_with(&top, "ipc top --socket @");
    assert_int_equal(result.status, CTL_GOOD);
    assert_int_equal(count_of(result.out, "METHOD "), 1);
    assert_null(strstr(result.out, "\033"));
    struct result CLEANUP_RESULT json = run_with(&top, "ipc top --json --count 2 --socket @");
    assert_int_equal(json.status, CTL_GOOD);
    assert_int_equal(count_of(json.out, "\n"), 2);
    struct json_object CLEANUP_JSON *object = parsed(json.out);
    assert_non_null(json_object_object_get(object, "methods"));
}

static void test_refusals(void **state) {
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"ipc top --interval 0 --socket @", "--interval takes whole seconds, 1 to 3600; not 0"},
        {"ipc top --interval 3601 --socket @", "not 3601"},
        {"ipc top --interval 0.5 --socket @", "not 0.5"},
        {"ipc top --count -1 --socket @", "--count takes a number, 1 to 1000000; not -1"},
        {"ipc top --count 99999999999999999999 --socket @", "--count takes a number"},
    };
    (void)state;
    struct ctl top = top_ctl();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct result CLEANUP_RESULT result = run_with(&top, cases[i].line);
        assert_int_equal(result.status, CTL_USAGE);
        assert_non_null(strstr(result.err, cases[i].says));
    }
    scripted.error = "org.varlink.service.PermissionDenied";
    struct result CLEANUP_RESULT denied = run_with(&top, "ipc top --socket @");
    assert_int_equal(denied.status, CTL_NOT_PERMITTED);
    assert_non_null(strstr(denied.err, "This needs root."));
    scripted.error = NULL;
    scripted.answer = "{}";
    struct result CLEANUP_RESULT other = run_with(&top, "ipc top --socket @");
    assert_int_equal(other.status, CTL_NO);
    scripted.silent = true;
    struct result CLEANUP_RESULT silent = run_with(&top, "ipc top --timeout 1 --socket @");
    assert_int_equal(silent.status, CTL_UNREACHABLE);
    assert_non_null(strstr(silent.err, "did not answer in time"));
}

#define TEST(name_) cmocka_unit_test_setup(name_, setup)
#define COMMAND_TEST(name_)                                                                        \
    cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_two_looks),
        TEST(test_json),
        TEST(test_it_stays_within_its_screen),
        TEST(test_names_are_cut_and_made_safe),
        TEST(test_answers_of_another_daemon),
        COMMAND_TEST(test_one_look_on_a_pipe),
        COMMAND_TEST(test_refusals),
    };
    return cmocka_run_group_tests_name("ctl top", tests, NULL, NULL);
}
