/* The log: what a line looks like, that foreign text cannot forge or hide anything in it, its
 * bounds, and the way to the journal. Standard error is a pipe (or a terminal, or a journal's
 * socket) while a test runs. */
#include "common/cleanup.h"
#include "common/log.h"

#include "unit.h"

#include <errno.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ID "00b0295015a947439e36e9352beb1587"

/* What `f` writes to standard error when that is `write_fd`, read from `read_fd`; closes both. */
static char *capture_through(int read_fd, int write_fd, void (*f)(void)) {
    static char text[65536]; /* what a pipe holds */
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_true(saved >= 0);
    assert_true(dup2(write_fd, STDERR_FILENO) >= 0);
    f();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(write_fd); /* the last: reading ends at 0 (pipe) or EIO (terminal) */

    size_t used = 0;
    ssize_t n;
    while ((n = read(read_fd, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    close(read_fd);
    return text;
}

static char *capture(void (*f)(void)) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    return capture_through(ends[0], ends[1], f);
}

/* --- the line --- */

static void write_plain(void) {
    log_init("prog", LOG_LEVEL_INFO);
    log_event(
        LOG_LEVEL_INFO, ID, "Something happened.", LOG_TEXT("USER", "alice"),
        LOG_NUMBER("GENERATION", INT64_MAX), LOG_ERRNO(-13), LOG_TEXT("NOTHING", (char *)NULL));
    log_write(LOG_LEVEL_ERROR, ID, "No fields.", NULL, 0);
}

static void test_line(void **state) {
    (void)state;
    assert_string_equal(
        capture(write_plain),
        "<6>prog: Something happened. USER=alice GENERATION=9223372036854775807 ERRNO=13 "
        "NOTHING=\"\"\n"
        "<3>prog: No fields.\n");
}

static void test_terminal_has_no_prefix(void **state) {
    (void)state;
    int master, slave;
    if (openpty(&master, &slave, NULL, NULL, NULL) < 0) {
        print_message("no pseudo-terminal can be had here\n");
        skip();
    }
    assert_string_equal(
        capture_through(master, slave, write_plain),
        "prog: Something happened. USER=alice GENERATION=9223372036854775807 ERRNO=13 "
        "NOTHING=\"\"\r\n"
        "prog: No fields.\r\n");
}

static void write_hostile(void) {
    log_init("prog", LOG_LEVEL_INFO);
    log_event(
        LOG_LEVEL_INFO, ID, "t\n<3>forged", LOG_TEXT("A", "x\ny"), LOG_TEXT("B", "x USER=root"),
        LOG_TEXT("C", "\" USER=root"), LOG_TEXT("D", "\x1b[31m\x7f"),
        LOG_TEXT("E", "\xe2\x80\xaegnp"), LOG_TEXT("F", "\xff\xc0\xaf"),
        LOG_TEXT("G", "caf\xc3\xa9\\x41"), LOG_TEXT("H", "\xc2\x9b"));
}

static void test_line_cannot_be_forged(void **state) {
    (void)state;
    assert_string_equal(
        capture(write_hostile),
        "<6>prog: t\\x0a<3>forged A=x\\x0ay B=\"x USER=root\" C=\"\\x22 USER=root\" "
        "D=\\x1b[31m\\x7f E=\\u{202e}gnp F=\\xff\\xc0\\xaf G=caf\xc3\xa9\\x41 H=\\u{9b}\n");
}

static char long_value[3000];

static void write_long(void) {
    memset(long_value, 'v', sizeof(long_value) - 1);
    log_init("prog", LOG_LEVEL_INFO);
    for (int i = 1; i <= 8; i++) {
        struct log_field fields[8];
        for (int j = 0; j < i; j++)
            fields[j] = (struct log_field)LOG_TEXT("LONG", long_value + (j % 2 ? 0 : 2500));
        log_write(LOG_LEVEL_INFO, ID, i == 8 ? long_value : "t", fields, (size_t)i);
    }
}

static void test_line_is_bounded(void **state) {
    (void)state;
    char *text = capture(write_long);
    int lines = 0;
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        assert_true(end - text + 1 <= 4096);
        assert_memory_equal(text, "<6>prog: ", 9);
        lines++;
    }
    assert_int_equal(lines, 8);
    assert_string_equal(text, "");
}

/* Lines that end at every place near the maximum, in a text, a name, a value and a quoted value. */
static void write_around_the_end(void) {
    log_init("prog", LOG_LEVEL_INFO);
    memset(long_value, 'v', sizeof(long_value) - 1);
    memset(long_value + 100, ' ', 3);
    for (size_t rest = 940; rest < 1024; rest++) {
        const char *text = long_value + sizeof(long_value) - 1 - 1012;
        log_event(
            LOG_LEVEL_INFO, ID, text, LOG_TEXT("A", text), LOG_TEXT("B", text),
            LOG_TEXT("C", long_value + sizeof(long_value) - 1 - rest),
            LOG_TEXT("D", "quoted value"), LOG_TEXT("E", "\x01\x01\x01"),
            LOG_TEXT("F", long_value));
    }
}

static void test_line_ends_well_everywhere(void **state) {
    (void)state;
    /* each line fills a page of the pipe: a file holds more */
    char path[] = "/tmp/devtrust-unit-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    write_around_the_end();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    CLEANUP_FCLOSE FILE *lines = fdopen(fd, "r");
    char line[8192];
    int count = 0;
    for (; fgets(line, sizeof(line), lines); count++) {
        int length = (int)strlen(line);
        assert_in_range(length, 4080, 4096); /* there is more to say than has room */
        assert_int_equal(line[length - 1], '\n');
        assert_memory_equal(line, "<6>prog: v", 10);
    }
    assert_int_equal(count, 1024 - 940);
}

static void write_many_fields(void) {
    struct log_field fields[40];
    for (int i = 0; i < 40; i++)
        fields[i] = (struct log_field)LOG_NUMBER("N", i);
    log_init("prog", LOG_LEVEL_INFO);
    log_write(LOG_LEVEL_INFO, ID, "t", fields, 24);
    log_write(LOG_LEVEL_INFO, ID, "t", fields, 25);
}

static void test_fields_are_bounded(void **state) {
    (void)state;
    char *text = capture(write_many_fields);
    char *second = strchr(text, '\n') + 1;
    assert_non_null(strstr(text, " N=23\n"));
    assert_non_null(strstr(second, " N=23\n"));
    assert_null(strstr(second, "N=24"));
}

static void write_all_levels(void) {
    log_init("prog", LOG_LEVEL_WARNING);
    for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
        log_write(level, ID, "t", NULL, 0);
}

static void test_level(void **state) {
    (void)state;
    assert_string_equal(capture(write_all_levels), "<3>prog: t\n<4>prog: t\n");
}

static void test_level_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int level;
    } cases[] = {{"error", 3}, {"warning", 4}, {"notice", 5}, {"info", 6}, {"debug", 7}};
    enum log_level level = 99;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(log_level_parse(cases[i].name, &level), 0);
        assert_int_equal(level, cases[i].level);
        assert_string_equal(log_level_name(level), cases[i].name);
    }
    level = 99;
    static const char *const bad[] = {"", "Error", "7", "warn", "debug "};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(log_level_parse(bad[i], &level), -EINVAL);
    assert_int_equal(log_level_parse(NULL, &level), -EINVAL);
    assert_int_equal(level, 99);
}

static void write_keeping_errno(void) {
    errno = EXDEV;
    log_init("prog", LOG_LEVEL_INFO);
    assert_int_equal(errno, EXDEV);
    log_write(LOG_LEVEL_INFO, ID, "t", NULL, 0);
    assert_int_equal(errno, EXDEV);
    close(STDERR_FILENO); /* nowhere to write to: no error, no end */
    log_write(LOG_LEVEL_INFO, ID, "t", NULL, 0);
    assert_int_equal(errno, EXDEV);
}

static void test_errno_is_kept(void **state) {
    (void)state;
    assert_string_equal(capture(write_keeping_errno), "<6>prog: t\n");
}

/* --- escaping --- */

static void check_escape(const char *text, size_t length, size_t size, const char *expected) {
    char *exact = malloc(length ? length : 1), *ret = malloc(size);
    memcpy(exact, text, length);
    memset(ret, '#', size);
    assert_ptr_equal(log_escape(exact, length, ret, size), ret);
    assert_string_equal(ret, expected);
    assert_true(strlen(expected) < size);

    /* once more changes nothing */
    char again[2048];
    if (!strstr(expected, "…"))
        assert_string_equal(log_escape(ret, strlen(ret), again, sizeof(again)), expected);
    free(exact);
    free(ret);
}

static void test_escape(void **state) {
    (void)state;
    check_escape("", 0, 8, "");
    check_escape("plain", 5, 100, "plain");
    check_escape("a\0b", 3, 100, "a\\x00b");
    check_escape("caf\xc3\xa9 \xf0\x9f\x98\x80", 10, 100, "caf\xc3\xa9 \xf0\x9f\x98\x80");
    check_escape(
        "\xe2\x80\xaa\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xd8\x9c", 17, 100,
        "\\u{202a}\\u{202e}\\u{2066}\\u{2069}\\u{200e}\\u{61c}");
    check_escape(
        "\xe2\x80\xa8\xef\xbb\xbf\xf3\xa0\x80\xa1", 10, 100, "\\u{2028}\\u{feff}\\u{e0021}");
    check_escape("\xe2\x82", 2, 100, "\\xe2\\x82"); /* cut in a character */
    check_escape("\xed\xa0\x80", 3, 100, "\\xed\\xa0\\x80");
}

static void test_escape_bounds(void **state) {
    (void)state;
    check_escape("1234567", 7, 8, "1234567");
    check_escape("12345678", 8, 8, "1234…");
    check_escape("123\x01\x01", 5, 8, "123…"); /* no half escapes */
    check_escape("\x01\x01", 2, 8, "\\x01…");
    check_escape("\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 8, 8, "\xf0\x9f\x98\x80…");

    char source[300], expected[300];
    memset(source, 'x', sizeof(source));
    memset(expected, 'x', sizeof(expected));
    expected[256] = '\0';
    check_escape(source, 256, 2000, expected);
    strcpy(expected + 256, "…");
    check_escape(source, 257, 2000, expected);
    memcpy(source + 255, "\xc3\xa9", 2); /* a character across the limit is left out whole */
    strcpy(expected + 255, "…");
    check_escape(source, 257, 2000, expected);
}

/* --- the hook --- */

static struct {
    int calls;
    enum log_level level;
    char text[64];
    size_t count;
} seen;

static void remember(
    enum log_level level, const char *message_id, const char *text, const struct log_field *fields,
    size_t count, void *userdata) {
    assert_string_equal(message_id, ID);
    assert_ptr_equal(userdata, &seen);
    assert_true(count == 0 || fields != NULL);
    seen.calls++;
    seen.level = level;
    seen.count = count;
    snprintf(seen.text, sizeof(seen.text), "%s", text);
    log_write(
        LOG_LEVEL_ERROR, ID, "from the hook", NULL, 0); /* is written, but does not come back */
    errno = EBADF;
}

static void write_with_hook(void) {
    log_init("prog", LOG_LEVEL_INFO);
    log_set_hook(remember, &seen);
    errno = EXDEV;
    log_event(LOG_LEVEL_INFO, ID, "one", LOG_TEXT("USER", "alice"));
    assert_int_equal(errno, EXDEV);
    log_write(LOG_LEVEL_DEBUG, ID, "not written, but seen", NULL, 0);
    log_set_hook(NULL, NULL);
    log_write(LOG_LEVEL_INFO, ID, "two", NULL, 0);
}

static void test_hook(void **state) {
    (void)state;
    assert_string_equal(
        capture(write_with_hook),
        "<6>prog: one USER=alice\n<3>prog: from the hook\n<3>prog: from the hook\n<6>prog: two\n");
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.level, LOG_LEVEL_DEBUG);
    assert_string_equal(seen.text, "not written, but seen");
}

/* --- the journal --- */

static void set_journal_stream(const char *suffix) {
    struct stat st;
    char stream[64];
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(
        stream, sizeof(stream), "%ju:%ju%s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, suffix);
    setenv("JOURNAL_STREAM", stream, 1);
}

static void write_beside_journal(void) {
    set_journal_stream("0"); /* another file's inode: standard error was redirected */
    write_plain();
    set_journal_stream("x");
    write_plain();
    setenv("JOURNAL_STREAM", "nonsense", 1);
    write_plain();
    unsetenv("JOURNAL_STREAM");
}

static void test_redirected_stderr_is_not_the_journal(void **state) {
    (void)state;
    char *text = capture(write_beside_journal);
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    assert_int_equal(lines, 6);
}

/* A socket where the journal's is, in a file system of the child's own. */
static int listen_as_journal(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
    unit_own_tmpfs("/run", "size=65536");
    CHILD_CHECK(mkdir("/run/systemd", 0755) == 0 && mkdir("/run/systemd/journal", 0755) == 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHILD_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static void log_to_journal(void *argument) {
    (void)argument;
    int journal = listen_as_journal();
    int ends[2];
    CHILD_CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    set_journal_stream("");
    errno = EXDEV;
    log_init("prog", LOG_LEVEL_INFO);
    log_event(
        LOG_LEVEL_NOTICE, ID, "Text.", LOG_TEXT("USER", "a\nb \"c\""), LOG_NUMBER("N", -7),
        LOG_ERRNO(-13));
    int kept = errno;
    char entry[4096], line[256];
    ssize_t size = recv(journal, entry, sizeof(entry) - 1, 0);
    ssize_t silent = read(ends[0], line, sizeof(line));

    close(journal); /* a journal that is gone: the line goes to standard error instead */
    log_write(LOG_LEVEL_NOTICE, ID, "Text.", NULL, 0);
    ssize_t loud = read(ends[0], line, sizeof(line));
    dup2(saved, STDERR_FILENO);

    CHILD_CHECK(kept == EXDEV);
    CHILD_CHECK(size > 0 && silent == -1);
    entry[size] = '\0';
    static const char *const wanted[] = {
        "MESSAGE=Text.\n",
        "PRIORITY=5\n",
        "SYSLOG_IDENTIFIER=prog\n",
        "MESSAGE_ID=" ID "\n",
        "DEVTRUST_USER=a\\x0ab \"c\"\n",
        "DEVTRUST_N=-7\n",
        "\nERRNO=13\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
        CHILD_CHECK(strstr(entry, wanted[i]));
    CHILD_CHECK(!strstr(entry, "CODE_FILE="));
    CHILD_CHECK(loud == 15 && memcmp(line, "<5>prog: Text.\n", 15) == 0);
}

static void test_journal(void **state) {
    (void)state;
    assert_child_passes(log_to_journal, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_terminal_has_no_prefix),
        cmocka_unit_test(test_line_cannot_be_forged),
        cmocka_unit_test(test_line_is_bounded),
        cmocka_unit_test(test_line_ends_well_everywhere),
        cmocka_unit_test(test_fields_are_bounded),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_errno_is_kept),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_bounds),
        cmocka_unit_test(test_hook),
        cmocka_unit_test(test_redirected_stderr_is_not_the_journal),
        cmocka_unit_test(test_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
