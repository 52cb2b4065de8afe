/* How an event looks: columns that do not move, nothing wider than the screen, nothing hostile. */
#include "scripted.h"

#include "ipc/ctl/event_line.h"
#include "ipc/ctl/text.h"

#define AT "\"time_us\":1795000000391234,"
#define DATE "Wednesday, 2026-11-18 CET\n"

static struct ctl ctl;
static struct event_style style;

static int setup(void **state) {
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    ctl = (struct ctl){.unicode = true};
    style = (struct event_style){.ctl = &ctl, .columns = 80};
    return 0;
}

/* What an event prints; free() it. */
static char *line_of(const char *json) {
    struct json_object CLEANUP_JSON *object = parsed(json);
    struct event event;
    const char *field = NULL;
    char *text = NULL;
    size_t size;
    assert_int_equal(event_read(object, &event, &field), 0);
    FILE *file = open_memstream(&text, &size);
    event_line_print(&style, file, &event);
    fclose(file);
    unsigned columns = 0;
    for (const char *at = text; *at; at++) {
        columns = *at == '\n' ? 0 : columns + (((unsigned char)*at & 0xc0) != 0x80);
        assert_true(style.columns == 0 || columns <= style.columns);
    }
    return text;
}

static void assert_line(const char *json, const char *expected) {
    char CLEANUP_FREE *text = line_of(json);
    const char *at = strncmp(text, DATE, strlen(DATE)) == 0 ? text + strlen(DATE) : text;
    assert_string_equal(at, expected);
}

#define CALL                                                                                       \
    "{" AT "\"kind\":\"call\",\"connection\":12,\"uid\":1000,\"user\":\"alice\",\"pid\":9,"        \
    "\"method\":\"io.devtrust.Agent.Submit\",\"size\":466,\"parameters\":"                         \
    "{\"id\":\"6b6c39a8\",\"csr\":\"MIIB… (352 bytes)\"}}"

static void test_messages(void **state) {
    (void)state;
    assert_line(
        CALL,
        "12:06:40.391   12 alice    → Agent.Submit              466 id=6b6c39a8 csr=\"MII…\n");
    assert_line(
        "{" AT "\"kind\":\"reply\",\"connection\":12,\"uid\":1000,\"user\":\"alice\","
        "\"method\":\"io.devtrust.Agent.Submit\",\"size\":2349,\"latency_us\":3187,"
        "\"parameters\":{}}",
        "12:06:40.391   12 alice    ← Agent.Submit             2349 3.18 ms\n");
    /* a stream: no latency, so more room */
    assert_line(
        "{" AT "\"kind\":\"reply\",\"connection\":6,\"uid\":1000,\"user\":\"alice\","
        "\"method\":\"io.devtrust.Agent.Watch\",\"flags\":[\"more\",\"continues\"],\"size\":61,"
        "\"latency_us\":99999,\"parameters\":{\"mode\":\"idle\",\"revision\":1}}",
        "12:06:40.391    6 alice    ← Agent.Watch                61 mode=idle revision=1\n");
    assert_line(
        "{" AT "\"kind\":\"call\",\"connection\":6,\"uid\":1000,\"user\":\"alice\","
        "\"method\":\"io.devtrust.Agent.Watch\",\"flags\":[\"more\"],\"size\":61,"
        "\"parameters\":{\"version\":\"1\"}}",
        "12:06:40.391    6 alice    → Agent.Watch                61 more version=1\n");
    assert_line(
        "{" AT "\"kind\":\"reply\",\"connection\":123456,\"uid\":0,\"user\":\"root\","
        "\"method\":\"org.varlink.service.GetInterfaceDescription\",\"size\":0,\"latency_us\":8}",
        "12:06:40.391 123456 root     ← service.GetInterfaceD…           8 µs (not sent)\n");
    assert_line(
        "{" AT "\"kind\":\"call\",\"connection\":1,\"uid\":1002,\"size\":1048576}",
        "12:06:40.391    1 1002     → (no method)             1024k\n");
}

static void test_errors_are_never_cut(void **state) {
    (void)state;
    assert_line(
        "{" AT "\"kind\":\"error\",\"connection\":2,\"uid\":0,\"user\":\"root\","
        "\"method\":\"io.devtrust.Agent.Renew\",\"error\":\"io.devtrust.Agent.TooSoon\","
        "\"size\":99,\"latency_us\":85}",
        "12:06:40.391    2 root     ✗ Agent.Renew                99   85 µs TooSoon\n");
    assert_line(
        "{" AT "\"kind\":\"error\",\"connection\":2,\"uid\":0,\"user\":\"root\","
        "\"method\":\"io.devtrust.Device.Enroll\",\"error\":\"io.devtrust.Device.Failed\","
        "\"size\":257,\"latency_us\":8030,\"parameters\":{\"code\":\"token-refused\","
        "\"text\":\"The server does not accept the e… (83 bytes)\"}}",
        "12:06:40.391    2 root     ✗ Device.Enroll             257 8.03 ms\n"
        "                               Failed code=token-refused text=\"The server does\n"
        "                               not accept the e… (83 bytes)\"\n");
}

static void test_states(void **state) {
    (void)state;
    assert_line(
        "{" AT "\"kind\":\"state\",\"user\":\"alice\",\"level\":\"info\",\"text\":\"User moves "
        "on\",\"fields\":{\"FROM\":\"requested\",\"TO\":\"signing\",\"EVENT\":\"submit\","
        "\"REASON\":\"none\"}}",
        "12:06:40.391               ● alice: requested → signing (submit)\n");
    assert_line(
        "{" AT "\"kind\":\"state\",\"user\":\"alice\",\"fields\":{\"FROM\":\"signing\","
        "\"TO\":\"refused\",\"EVENT\":\"forbidden\",\"REASON\":\"server-refused\"}}",
        "12:06:40.391               ● alice: signing → refused (forbidden):\n"
        "                               server-refused\n");
    assert_line(
        "{" AT "\"kind\":\"state\",\"user\":\"alice\",\"fields\":{\"FROM\":\"signing\","
        "\"TO\":\"signing\",\"EVENT\":\"\",\"REASON\":\"server-unreachable\"}}",
        "12:06:40.391               ● alice: signing: server-unreachable\n");
    assert_line(
        "{" AT "\"kind\":\"state\",\"uid\":0,\"user\":\"root\",\"text\":\"All is removed\"}",
        "12:06:40.391               ● All is removed\n");
}

static void test_connections_and_log(void **state) {
    (void)state;
    assert_line(
        "{" AT "\"kind\":\"opened\",\"connection\":7,\"uid\":0,\"user\":\"root\",\"pid\":4711}",
        "12:06:40.391    7 root     + opened, pid 4711\n");
    assert_line(
        "{" AT "\"kind\":\"closed\",\"connection\":7,\"uid\":0,\"user\":\"root\",\"pid\":4711}",
        "12:06:40.391    7 root     - closed\n");
    assert_line(
        "{" AT "\"kind\":\"closed\",\"connection\":7,\"uid\":0,\"user\":\"root\",\"pid\":4711,"
        "\"text\":\"it does not read its answers\"}",
        "12:06:40.391    7 root     - cut off: it does not read its answers\n");
    assert_line(
        "{" AT "\"kind\":\"refused\",\"uid\":1000,\"user\":\"a-very-long-name\",\"pid\":5,"
        "\"text\":\"too many connections of this user\"}",
        "12:06:40.391      a-very-… ✗ refused: too many connections of this user (pid 5)\n");
    assert_line(
        "{" AT "\"kind\":\"log\",\"level\":\"info\",\"text\":\"A desired state was taken.\","
        "\"fields\":{\"GENERATION\":4,\"DISTRIBUTION\":\"on\"}}",
        "12:06:40.391               · A desired state was taken. GENERATION=4 DISTRIBUTI…\n");
    assert_line(
        "{" AT "\"kind\":\"log\",\"level\":\"warning\",\"text\":\"A desired state was refused.\","
        "\"fields\":{\"GENERATION\":4,\"DISTRIBUTION\":\"on\"}}",
        "12:06:40.391               ! A desired state was refused. GENERATION=4\n"
        "                               DISTRIBUTION=on\n");
    assert_line(
        "{\"kind\":\"lost\",\"lost\":1}",
        "                           … 1 event lost here: too many, or read too slowly\n");
    assert_line(
        "{\"kind\":\"lost\",\"lost\":9000}",
        "                           … 9000 events lost here: too many, or read too slowly\n");
    assert_line(
        "{" AT "\"kind\":\"woken\",\"text\":\"by a newer daemon\"}",
        "12:06:40.391               ? woken by a newer daemon\n");
}

static void test_verbose_cuts_nothing(void **state) {
    (void)state;
    style.verbose = true;
    assert_line(
        CALL, "12:06:40.391   12 alice    → Agent.Submit              466\n"
              "                               id=6b6c39a8 csr=\"MIIB… (352 bytes)\"\n");
    /* a word that is longer than a line is broken */
    char long_word[512], json[1024];
    memset(long_word, 'x', 400);
    long_word[400] = '\0';
    snprintf(
        json, sizeof json, "{" AT "\"kind\":\"log\",\"level\":\"info\",\"text\":\"%s\"}",
        long_word);
    char CLEANUP_FREE *text = line_of(json);
    size_t count = 0;
    for (const char *at = text; *at; at++)
        count += *at == 'x';
    assert_int_equal(count, 400);
}

static void test_wide_screens_and_none(void **state) {
    (void)state;
    style.columns = 120;
    assert_line(
        CALL, "12:06:40.391   12 alice    → io.devtrust.Agent.Submit                466 "
              "id=6b6c39a8 csr=\"MIIB… (352 bytes)\"\n");
    style.columns = 0; /* a pipe: whole, and on one line */
    char CLEANUP_FREE *text = line_of(
        "{" AT "\"kind\":\"error\",\"connection\":2,\"uid\":0,\"user\":\"root\","
        "\"method\":\"io.devtrust.Device.Enroll\",\"error\":\"io.devtrust.Device.Failed\","
        "\"size\":257,\"latency_us\":8030,\"parameters\":{\"text\":\"The server does not accept "
        "the e… (83 bytes)\",\"more\":\"and more and more and more and more and more and\"}}");
    assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
    assert_non_null(strstr(text, "and more and\"\n"));
    style.columns = 30; /* no room for anything behind the method */
    char CLEANUP_FREE *narrow = line_of("{" AT "\"kind\":\"state\",\"text\":\"x\"}");
    assert_non_null(narrow);
}

static void test_ascii_only(void **state) {
    (void)state;
    ctl.unicode = false;
    assert_line(
        CALL,
        "12:06:40.391   12 alice    > Agent.Submit              466 id=6b6c39a8 csr=\"M...\n");
    assert_line(
        "{" AT "\"kind\":\"state\",\"user\":\"ali\u00e7e\",\"fields\":{\"FROM\":\"requested\","
        "\"TO\":\"signing\"}}",
        "12:06:40.391               * ali?e: requested -> signing\n");
    assert_line(
        "{" AT "\"kind\":\"reply\",\"connection\":1,\"uid\":0,\"user\":\"root\","
        "\"method\":\"io.devtrust.Device.GetStatus\",\"size\":5,\"latency_us\":85}",
        "12:06:40.391    1 root     < Device.GetStatus            5   85 us\n");
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    event_line_print_header(&style, file);
    fclose(file);
    for (const char *at = text; *at; at++)
        assert_true((unsigned char)*at < 0x80);
    free(text);
}

static void test_hostile_text(void **state) {
    (void)state;
    assert_line(
        "{" AT "\"kind\":\"call\",\"connection\":1,\"uid\":0,\"user\":\"a\\nb\","
        "\"method\":\"x.\\u001b[31mY\",\"size\":5,\"parameters\":{\"k\\n\":\"\\u202e\\\"x\"}}",
        "12:06:40.391    1 a\\x0ab   → x.\\x1b[31mY                 5 k\\x0a=\"\\u{202e}\\\"x\"\n");
    assert_line(
        "{" AT "\"kind\":\"log\",\"level\":\"info\",\"text\":\"a\\nb\",\"fields\":{\"A\":\"\"}}",
        "12:06:40.391               · a\\x0ab A=\"\"\n");
}

static void test_the_date_when_it_changes(void **state) {
    (void)state;
    char CLEANUP_FREE *first = line_of(CALL);
    char CLEANUP_FREE *second = line_of(CALL);
    char CLEANUP_FREE *later =
        line_of("{\"time_us\":1795086400391234,\"kind\":\"closed\",\"connection\":7,\"uid\":0}");
    assert_memory_equal(first, DATE, strlen(DATE));
    assert_memory_equal(second, "12:06:40.391", 12);
    assert_memory_equal(later, "Thursday, 2026-11-19 CET\n12:06:40.391", 37);
}

static void test_the_header_stands_over_its_columns(void **state) {
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    event_line_print_header(&style, file);
    fclose(file);
    assert_fits(text);
    char CLEANUP_FREE *line = line_of(
        "{" AT "\"kind\":\"reply\",\"connection\":1234,\"uid\":0,\"user\":\"USER\","
        "\"method\":\"METHOD\",\"size\":123456,\"latency_us\":1234,\"parameters\":{\"a\":1}}");
    const char *header = strstr(text, "TIME"), *first = strstr(line, "12:06");
    assert_int_equal(strstr(header, "USER") - header, strstr(first, "USER") - first);
    /* the arrow has three bytes and one column */
    assert_int_equal(strstr(header, "METHOD") - header, strstr(first, "METHOD") - first - 2);
    assert_int_equal(strstr(header, "BYTES") + 5 - header, strstr(first, "123456") + 6 - first - 2);
    assert_int_equal(strstr(header, "PARAMETERS") - header, strstr(first, "a=1") - first - 2);
    free(text);
}

static void test_spans(void **state) {
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "0 µs"},           {999, "999 µs"},      {1000, "1.00 ms"},
                 {9999, "9.99 ms"},     {10000, "10.0 ms"},   {99999, "99.9 ms"},
                 {100000, "100 ms"},    {999999, "999 ms"},   {1000000, "1.00 s"},
                 {12345678, "12.3 s"},  {999999999, "999 s"}, {1000000000, "16 min"},
                 {5999999999, "99 min"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char span[EVENT_LINE_SPAN_SIZE];
        assert_string_equal(event_line_span(&ctl, cases[i].us, span), cases[i].text);
        assert_true(text_columns(span) <= 7);
    }
}

static void test_what_is_no_event(void **state) {
    static const struct {
        const char *json, *field;
    } cases[] = {
        {"[]", ""},
        {"{\"time_us\":1}", "kind"},
        {"{\"kind\":\"call\"}", "time_us"},
        {"{\"kind\":\"call\",\"time_us\":-1}", "time_us"},
        {"{\"kind\":\"call\",\"time_us\":1,\"uid\":\"0\"}", "uid"},
        {"{\"kind\":\"call\",\"time_us\":1,\"parameters\":[]}", "parameters"},
        {"{\"kind\":\"call\",\"time_us\":1,\"flags\":{}}", "flags"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct json_object CLEANUP_JSON *object = parsed(cases[i].json);
        struct event event;
        const char *field = NULL;
        assert_int_equal(event_read(object, &event, &field), -EINVAL);
        assert_string_equal(field, cases[i].field);
    }
}

static bool takes(const char *user, const char *method, const char *json) {
    struct json_object CLEANUP_JSON *object = parsed(json);
    struct ctl_arguments arguments = {0};
    struct event_filter filter;
    struct event event;
    arguments.options[CTL_OPTION_ONLY_USER] = user;
    arguments.options[CTL_OPTION_METHOD] = method;
    assert_int_equal(event_filter_parse(&ctl, &arguments, &filter), CTL_GOOD);
    assert_int_equal(event_read(object, &event, NULL), 0);
    return event_filter_takes(&filter, &event);
}

static void test_filters(void **state) {
    (void)state;
    assert_true(takes(NULL, NULL, CALL));
    assert_true(takes("alice", NULL, CALL));
    assert_false(takes("bob", NULL, CALL));
    assert_true(takes(NULL, "io.devtrust.Agent.Submit", CALL));
    assert_true(takes(NULL, "Agent.Submit", CALL));
    assert_true(takes(NULL, "Agent", CALL));
    assert_true(takes(NULL, "Agent.", CALL));
    assert_true(takes("alice", "io.", CALL));
    assert_false(takes(NULL, "Agent.Sub", CALL));
    assert_false(takes(NULL, "Device", CALL));
    assert_false(takes(NULL, "io.devtrust.Agent.Submi", CALL));
    assert_false(takes("alice", "Agent", "{" AT "\"kind\":\"state\",\"user\":\"alice\"}"));
    assert_true(takes("alice", "Agent", "{\"kind\":\"lost\",\"lost\":1}"));
}

#define TEST(name_) cmocka_unit_test_setup(name_, setup)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_messages),
        TEST(test_errors_are_never_cut),
        TEST(test_states),
        TEST(test_connections_and_log),
        TEST(test_verbose_cuts_nothing),
        TEST(test_wide_screens_and_none),
        TEST(test_ascii_only),
        TEST(test_hostile_text),
        TEST(test_the_date_when_it_changes),
        TEST(test_the_header_stands_over_its_columns),
        TEST(test_spans),
        TEST(test_what_is_no_event),
        TEST(test_filters),
    };
    return cmocka_run_group_tests_name("ctl event_line", tests, NULL, NULL);
}
