/* `ipc monitor` against scripted events, its recordings, and `ipc replay` of good and bad ones. */
#include "scripted.h"

#include "ipc/ctl/recording.h"

#include <sys/stat.h>

#define EVENT_A                                                                                    \
    "{\"time_us\":1795000000391234,\"kind\":\"call\",\"connection\":6,\"uid\":1000,\"pid\":9,"     \
    "\"method\":\"io.devtrust.Agent.Submit\",\"size\":466,\"parameters\":{\"id\":\"a/b\","         \
    "\"x\":1.50}}"
#define EVENT_B                                                                                    \
    "{\"time_us\":1795000000395000,\"kind\":\"state\",\"user\":\"alice\",\"level\":\"info\","      \
    "\"text\":\"User moves on\",\"fields\":{\"FROM\":\"requested\",\"TO\":\"signing\","            \
    "\"EVENT\":\"submit\"}}"
#define EVENT_C                                                                                    \
    "{\"time_us\":1795000000396000,\"kind\":\"reply\",\"connection\":8,\"uid\":1001,\"pid\":9,"    \
    "\"method\":\"io.devtrust.Device.GetStatus\",\"size\":10,\"latency_us\":85}"
#define REPLIES                                                                                    \
    "{\"events\":[" EVENT_A "," EVENT_B "],\"lost\":0}\n{\"events\":[" EVENT_C "],\"lost\":37}\n"

/* with the names that this machine knows */
#define LINE_A                                                                                     \
    "{\"time_us\":1795000000391234,\"kind\":\"call\",\"connection\":6,\"uid\":1000,\"pid\":9,"     \
    "\"method\":\"io.devtrust.Agent.Submit\",\"size\":466,\"parameters\":{\"id\":\"a/b\","         \
    "\"x\":1.50},\"user\":\"alice\"}\n"
#define LINE_B EVENT_B "\n"
#define LINE_C EVENT_C "\n"
#define LINE_LOST "{\"kind\":\"lost\",\"lost\":37}\n"
#define LINES LINE_A LINE_B LINE_C LINE_LOST

#define HEADER                                                                                     \
    "{\"format\":\"devtrust-monitor\",\"version\":1,\"time_us\":1795000000000000,"                 \
    "\"host\":\"h\"}\n"

#define SHOWN                                                                                      \
    "Wednesday, 2026-11-18 CET\n"                                                                  \
    "12:06:40.391    6 alice    → io.devtrust.Agent.Submit                466 id=a/b x=1.50\n"   \
    "12:06:40.395               ● alice: requested → signing (submit)\n"                       \
    "12:06:40.396    8 1001     ← io.devtrust.Device.GetStatus             10   85 µs\n"        \
    "                           … 37 events lost here: too many, or read too slowly\n"

static int name_of(uid_t uid, char ret[CTL_NAME_SIZE]) {
    if (uid != 1000)
        return -ENOENT;
    snprintf(ret, CTL_NAME_SIZE, "alice");
    return 0;
}

static int small_screen(unsigned *ret_columns, unsigned *ret_rows) {
    *ret_columns = 80;
    *ret_rows = 24;
    return 0;
}

static struct ctl monitor_ctl(void) {
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.unicode = true;
    ctl.user_name = name_of;
    return ctl;
}

/* "%" in the command line becomes the file's path. */
static struct result run_on(const struct ctl *ctl, const char *file, const char *command_line) {
    char line[1024], *percent = NULL;
    snprintf(line, sizeof line, "%s", command_line);
    percent = strchr(line, '%');
    if (percent) {
        char rest[512];
        snprintf(rest, sizeof rest, "%s", percent + 1);
        snprintf(percent, sizeof line - (size_t)(percent - line), "%s%s", file, rest);
    }
    return run_with(ctl, line);
}

static char *file_path(void) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/recording", scripted.directory) > 0);
    return path;
}

static char *read_file(const char *path) {
    static char text[256 * 1024];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void write_file(const char *path, const char *text, size_t size) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

/* ---- monitor ---- */

static void test_json_lines(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    scripted.answer = REPLIES;
    struct result CLEANUP_RESULT result = run_with(&ctl, "ipc monitor --json --socket @");
    assert_int_equal(result.status, CTL_GOOD);
    assert_string_equal(result.out, LINES);
    assert_string_equal(result.err, "");
    assert_string_equal(scripted.parameters, "{}");
}

/* What a local user may have sent as parameters, say. */
static void test_json_cannot_steer_the_terminal(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    scripted.answer =
        "{\"events\":[{\"time_us\":1795000000391000,\"kind\":\"call\",\"method\":\"a.B\","
        "\"parameters\":{\"x\":\"\\u009b2J\\u202e\"}}],\"lost\":0}\n";
    struct result CLEANUP_RESULT result = run_with(&ctl, "ipc monitor --json --socket @");
    assert_non_null(strstr(result.out, "{\"x\":\"\\u009b2J\\u202e\"}"));
}

static void test_for_people(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    scripted.answer = REPLIES;
    struct result CLEANUP_RESULT pipe = run_with(&ctl, "ipc monitor --socket @");
    assert_int_equal(pipe.status, CTL_GOOD);
    assert_string_equal(pipe.out, SHOWN);
    ctl.screen = small_screen;
    struct result CLEANUP_RESULT screen =
        run_with(&ctl, "ipc monitor --socket @ --user alice --method Agent");
    assert_int_equal(screen.status, CTL_GOOD);
    assert_fits(screen.out);
    assert_non_null(strstr(screen.out, "Ctrl-C ends"));
    assert_non_null(strstr(screen.out, "Only: user alice, method io.devtrust.Agent.\n"));
    assert_non_null(strstr(screen.out, "TIME "));
    assert_string_equal(screen.err, "\n3 events, 37 more lost.\n");
    assert_string_equal(
        scripted.parameters, "{\"user\":\"alice\",\"method\":\"io.devtrust.Agent.\"}");
}

static void test_refusals(void **state) {
    static const struct {
        const char *error, *line;
        int status;
        const char *says;
    } cases[] = {
        {"org.varlink.service.PermissionDenied", "", CTL_NOT_PERMITTED, "This needs root."},
        {"org.varlink.service.InvalidParameter", " --user zoe", CTL_USAGE,
         "There is no such user on this machine: zoe"},
        {"io.devtrust.Debug.TooManyMonitors", "", CTL_NO, "As many monitors"},
    };
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    ctl.screen = small_screen;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char line[128];
        scripted.error = cases[i].error;
        snprintf(line, sizeof line, "ipc monitor --record %% --socket @%s", cases[i].line);
        struct result CLEANUP_RESULT result = run_on(&ctl, path, line);
        assert_int_equal(result.status, cases[i].status);
        assert_non_null(strstr(result.err, cases[i].says));
        assert_string_equal(result.out, "");      /* no columns above nothing */
        assert_int_equal(access(path, F_OK), -1); /* nothing was recorded, nothing is left */
    }
    struct result CLEANUP_RESULT away =
        run_on(&ctl, path, "ipc monitor --record % --socket /nonexistent/socket");
    assert_int_equal(away.status, CTL_UNREACHABLE);
    assert_int_equal(access(path, F_OK), -1);
    struct result CLEANUP_RESULT method = run_with(&ctl, "ipc monitor --method submit --socket @");
    assert_int_equal(method.status, CTL_USAGE);
    assert_non_null(strstr(method.err, "not submit"));
}

/* ---- recordings ---- */

static void test_record_and_replay(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    struct stat st;
    scripted.answer = REPLIES;
    struct result CLEANUP_RESULT live =
        run_on(&ctl, path, "ipc monitor --json --record % --socket @");
    assert_int_equal(live.status, CTL_GOOD);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    static const char head[] =
        "{\"format\":\"devtrust-monitor\",\"version\":1,\"time_us\":1795000000000000,\"host\":";
    char *text = read_file(path);
    assert_memory_equal(text, head, strlen(head));
    assert_string_equal(strchr(text, '\n') + 1, LINES);

    ctl.user_name = NULL; /* another machine */
    struct result CLEANUP_RESULT json = run_on(&ctl, path, "ipc replay % --json");
    assert_int_equal(json.status, CTL_GOOD);
    assert_string_equal(json.out, live.out);
    struct result CLEANUP_RESULT shown = run_on(&ctl, path, "ipc replay %");
    assert_string_equal(shown.out, SHOWN);
    assert_string_equal(shown.err, "");
    struct result CLEANUP_RESULT paced = run_on(&ctl, path, "ipc replay % --paced");
    assert_string_equal(paced.out, SHOWN);

    /* never over what is there */
    ctl.user_name = name_of;
    struct result CLEANUP_RESULT again = run_on(&ctl, path, "ipc monitor --record % --socket @");
    assert_int_equal(again.status, CTL_USAGE);
    assert_non_null(strstr(again.err, "never replaces one"));
    assert_string_equal(strchr(read_file(path), '\n') + 1, LINES);
    assert_int_equal(unlink(path), 0);
}

static void test_a_recording_is_no_link_and_says_where_it_is(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    scripted.answer = REPLIES;
    assert_int_equal(symlink("/nonexistent-target", path), 0);
    struct result CLEANUP_RESULT link = run_on(&ctl, path, "ipc monitor --record % --socket @");
    assert_int_equal(link.status, CTL_USAGE);
    assert_int_equal(unlink(path), 0);
    struct result CLEANUP_RESULT good = run_on(&ctl, path, "ipc monitor --record % --socket @");
    assert_int_equal(good.status, CTL_GOOD);
    assert_non_null(strstr(good.err, "3 events, 37 more lost; recorded in "));
    assert_int_equal(unlink(path), 0);
    struct result CLEANUP_RESULT nowhere =
        run_with(&ctl, "ipc monitor --record /nonexistent/file --socket @");
    assert_int_equal(nowhere.status, CTL_USAGE);
    assert_non_null(strstr(nowhere.err, "No such file or directory"));
}

static void test_replay_filters(void **state) {
    static const struct {
        const char *options, *lines;
    } cases[] = {
        {"--user alice", LINE_A LINE_B LINE_LOST},
        {"--user 1001", LINE_LOST},
        {"--method Agent.Submit", LINE_A LINE_LOST},
        {"--method io.devtrust.", LINE_A LINE_C LINE_LOST},
        {"--user alice --method Device", LINE_LOST},
    };
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    write_file(path, HEADER LINES, strlen(HEADER LINES));
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char line[128];
        snprintf(line, sizeof line, "ipc replay %% --json %s", cases[i].options);
        struct result CLEANUP_RESULT result = run_on(&ctl, path, line);
        assert_int_equal(result.status, CTL_GOOD);
        assert_string_equal(result.out, cases[i].lines);
    }
    assert_int_equal(unlink(path), 0);
}

static void test_replay_on_a_screen(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    ctl.screen = small_screen;
    write_file(path, HEADER LINES, strlen(HEADER LINES));
    struct result CLEANUP_RESULT result = run_on(&ctl, path, "ipc replay %");
    assert_int_equal(result.status, CTL_GOOD);
    assert_fits(result.out);
    static const char first[] = "Recorded on h, 2026-11-18 12:06 CET.\n";
    assert_memory_equal(result.out, first, strlen(first));
    assert_non_null(strstr(result.out, "TIME "));
    assert_int_equal(unlink(path), 0);
}

static void test_replay_from_standard_input(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    static char text[] = HEADER LINES;
    ctl.in = fmemopen(text, strlen(text), "r");
    struct result CLEANUP_RESULT result = run_with(&ctl, "ipc replay - --json");
    fclose(ctl.in);
    assert_int_equal(result.status, CTL_GOOD);
    assert_string_equal(result.out, LINES);
}

#define BAD(text_, status_, shown_, says_)                                                         \
    { text_, sizeof(text_) - 1, status_, shown_, says_ }

static void test_bad_recordings(void **state) {
    static const struct {
        const char *text;
        size_t size;
        int status;
        const char *shown, *says;
    } cases[] = {
        BAD("", CTL_NO, "", "recording:1: This is no recording."),
        BAD("hello\n", CTL_NO, "", "recording:1: This is no recording."),
        BAD("[]\n", CTL_NO, "", "recording:1: This is no recording."),
        BAD("{\"format\":\"else\",\"version\":1}\n", CTL_NO, "", "recording:1: This is no"),
        BAD("{\"format\":\"devtrust-monitor\"}\n", CTL_NO, "", "recording:1: This is no"),
        BAD("{\"format\":\"devtrust-monitor\",\"version\":2}\n" LINES, CTL_NO, "",
            "recording:1: This recording was made by a newer version of devtrustctl."),
        /* the last line is cut off */
        BAD(HEADER LINE_A "{\"time_us\":1795", CTL_GOOD, LINE_A,
            "recording:3: The last line is cut off; everything before it is shown.\n"),
        /* it only lacks its end */
        BAD(HEADER LINE_A EVENT_C, CTL_GOOD, LINE_A LINE_C, ""),
        BAD(HEADER, CTL_GOOD, "", ""),
        BAD(HEADER LINE_A "\n" LINE_B, CTL_NO, LINE_A, "recording:3: The line is no JSON value."),
        BAD(HEADER LINE_A "x\n" LINE_B, CTL_NO, LINE_A, "recording:3: The line is no JSON value."),
        BAD(HEADER LINE_A "\0\n" LINE_B, CTL_NO, LINE_A, "recording:3: The line is no JSON value."),
        BAD(HEADER "{}\n", CTL_NO, "",
            "recording:2: This is missing or wrong:\",\"detail\":\"kind\""),
        BAD(HEADER "{\"kind\":\"call\",\"time_us\":\"1\"}\n", CTL_NO, "",
            "recording:2: This is missing or wrong:\",\"detail\":\"time_us\""),
        BAD(HEADER "7\n", CTL_NO, "", "recording:2: The line is no JSON object."),
    };
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        write_file(path, cases[i].text, cases[i].size);
        struct result CLEANUP_RESULT result = run_on(&ctl, path, "ipc replay % --json");
        char *error = strstr(result.out, "{\"error\"");
        print_message("%zu: %s%s\n", i, error ? error : "", result.err);
        assert_int_equal(result.status, cases[i].status);
        const char *says = error ? error : result.err;
        assert_non_null(strstr(says, cases[i].says));
        if (error)
            *error = '\0';
        assert_string_equal(result.out, cases[i].shown);
    }
    assert_int_equal(unlink(path), 0);
    struct result CLEANUP_RESULT none = run_on(&ctl, path, "ipc replay %");
    assert_int_equal(none.status, CTL_USAGE);
    assert_non_null(strstr(none.err, "No such file or directory"));
}

static void test_lines_at_the_limit_and_one_past(void **state) {
    (void)state;
    struct ctl ctl = monitor_ctl();
    char CLEANUP_FREE *path = file_path();
    static char text[2 * RECORDING_LINE_MAX];
    for (size_t over = 0; over < 2; over++) {
        size_t size =
            (size_t)snprintf(text, sizeof text, HEADER "{\"kind\":\"call\",\"time_us\":1,\"x\":\"");
        size_t end = strlen(HEADER) + RECORDING_LINE_MAX - 2 + over;
        memset(text + size, 'x', end - size);
        memcpy(text + end, "\"}\n", 3);
        write_file(path, text, end + 3);
        struct result CLEANUP_RESULT result = run_on(&ctl, path, "ipc replay %");
        assert_int_equal(result.status, over ? CTL_NO : CTL_GOOD);
        assert_int_equal(strstr(result.err, "recording:2: The line is too long.") != NULL, over);
    }
    assert_int_equal(unlink(path), 0);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_json_lines),
        TEST(test_json_cannot_steer_the_terminal),
        TEST(test_for_people),
        TEST(test_refusals),
        TEST(test_record_and_replay),
        TEST(test_a_recording_is_no_link_and_says_where_it_is),
        TEST(test_replay_filters),
        TEST(test_replay_on_a_screen),
        TEST(test_replay_from_standard_input),
        TEST(test_bad_recordings),
        TEST(test_lines_at_the_limit_and_one_past),
    };
    return cmocka_run_group_tests_name("ctl monitor", tests, NULL, NULL);
}
