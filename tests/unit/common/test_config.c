/* The configuration: each type at its bounds, and each mistake as file:line with what to do. */
#include "common/cleanup.h"
#include "common/config.h"

#include "unit.h"

#include <errno.h>

struct settings {
    char *string, *path;
    bool flag;
    int64_t number, period;
    int choice;
    char **list;
};

static const char *const choices[] = {"one", "two", NULL};

static const struct config_key keys[] = {
    {"main", "string", CONFIG_STRING, offsetof(struct settings, string), .help = "give a string"},
    {"main", "path", CONFIG_PATH, offsetof(struct settings, path), .help = "give an absolute path"},
    {"main", "flag", CONFIG_BOOL, offsetof(struct settings, flag), .help = "write yes or no"},
    {"limits", "number", CONFIG_INT, offsetof(struct settings, number), -5, 10,
     .help = "use -5 to 10"},
    {"limits", "period", CONFIG_DURATION, offsetof(struct settings, period), 60, 86400,
     .help = "use 1min to 1d"},
    {"limits", "choice", CONFIG_ENUM, offsetof(struct settings, choice), .values = choices,
     .help = "use one or two"},
    {"limits", "list", CONFIG_LIST, offsetof(struct settings, list), .help = "list words"},
};

static void settings_deinit(struct settings *settings) {
    config_free(keys, ARRAY_LENGTH(keys), settings);
}
#define CLEANUP_SETTINGS CLEANUP(settings_deinit)

/* Reads `text` as a file; the error comes without the directory, as "test.conf:…". */
static int read_text(
    const struct unit_dir *dir, const char *text, size_t size, struct settings *settings,
    char ret_error[400]) {
    char path[128], error[400] = "";
    unit_write(dir, "test.conf", text, size);
    snprintf(path, sizeof(path), "%s/test.conf", dir->path);
    int r = config_read(path, keys, ARRAY_LENGTH(keys), settings, error, sizeof(error));
    const char *base = strstr(error, "test.conf");
    snprintf(ret_error, 400, "%s", base ? base : error);
    return r;
}

static int read_string(
    const struct unit_dir *dir, const char *text, struct settings *settings, char ret_error[400]) {
    return read_text(dir, text, strlen(text), settings, ret_error);
}

static void test_all_types(void **state) {
    CLEANUP_SETTINGS struct settings settings = {.string = strdup("preset")};
    char error[400];
    assert_int_equal(
        read_string(
            *state,
            "# a comment\n"
            "; another\n"
            "\n"
            "[main]\n"
            "string = a b = c\n"
            "path=/var/lib/x\r\n"
            "\tflag:\tyes ; why\n"
            "[limits] # more\n"
            "number = -5\n"
            "period = 24h\n"
            "choice = two\n"
            "list = a  b\tc\n"
            "list = d\n"
            "list =",
            &settings, error),
        0);
    assert_string_equal(error, "");
    assert_string_equal(settings.string, "a b = c");
    assert_string_equal(settings.path, "/var/lib/x");
    assert_true(settings.flag);
    assert_int_equal(settings.number, -5);
    assert_int_equal(settings.period, 86400);
    assert_int_equal(settings.choice, 1);
    static const char *const words[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        assert_string_equal(settings.list[i], words[i]);
    assert_null(settings.list[4]);
}

static void test_absent_keeps_the_preset(void **state) {
    static const char *const texts[] = {"",          "\xef\xbb\xbf", "[main]\n",
                                        "# nothing", "\n\n\n",       "[limits] ; x\r\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        CLEANUP_SETTINGS struct settings settings = {
            .string = strdup("preset"), .number = 7, .list = calloc(2, sizeof(char *))};
        settings.list[0] = strdup("word");
        char error[400];
        assert_int_equal(read_string(*state, texts[i], &settings, error), 0);
        assert_string_equal(settings.string, "preset");
        assert_int_equal(settings.number, 7);
        assert_string_equal(settings.list[0], "word");
    }
}

static void test_list_replaces_the_preset(void **state) {
    static const struct {
        const char *text, *first;
    } cases[] = {
        {"[limits]\nlist = new", "new"},
        {"[limits]\nlist =\nlist = new", "new"},
        {"[limits]\nlist =", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_SETTINGS struct settings settings = {.list = calloc(2, sizeof(char *))};
        settings.list[0] = strdup("preset");
        char error[400];
        assert_int_equal(read_string(*state, cases[i].text, &settings, error), 0);
        if (cases[i].first) {
            assert_string_equal(settings.list[0], cases[i].first);
            assert_null(settings.list[1]);
        } else {
            assert_non_null(settings.list); /* set, to nothing */
            assert_null(settings.list[0]);
        }
    }
}

static void test_indentation_has_no_meaning(void **state) {
    CLEANUP_SETTINGS struct settings settings = {0};
    char error[400];
    assert_int_equal(
        read_string(
            *state, "  [main]\n  string = a\n  flag = no\n\t# x\n  [limits]\n  number = 1\n",
            &settings, error),
        0);
    assert_string_equal(settings.string, "a");
    assert_int_equal(settings.number, 1);
}

/* Every mistake names its line and what to do, and leaves the settings as they were. */
static void test_mistakes(void **state) {
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"string = a\n",
         "test.conf:1: \"string\" stands before the first [section]; move it into one"},
        {"[main]\nflag = yes\n\n# x\nsrting = a\n",
         "test.conf:5: unknown key \"srting\" in [main]; mend the name or remove the line"},
        {"[main]\nnumber = 1\n",
         "test.conf:2: unknown key \"number\" in [main]; mend the name or remove the line"},
        {"[main]\nString = a\n",
         "test.conf:2: unknown key \"String\" in [main]; mend the name or remove the line"},
        {"[main]\n[mian]\n", "test.conf:2: unknown section; mend the name or remove the section"},
        {"[ main]\n", "test.conf:1: unknown section; mend the name or remove the section"},
        {"[]\n", "test.conf:1: unknown section; mend the name or remove the section"},
        {"[main\n", "test.conf:1: the ] of the section is missing; write [section]"},
        {"[main] flag = yes\n",
         "test.conf:1: text behind the section; write it on a line of its own"},
        {"[main]\nflag = yes\nflag\n",
         "test.conf:3: neither a [section] nor key = value; mend the line"},
        {"[main]\nstring = a\nflag = yes\nstring = a\n",
         "test.conf:4: string is set for the second time; remove one of the lines"},
        {"[main]\nflag = maybe\n", "test.conf:2: bad value \"maybe\" for flag; write yes or no"},
        {"[main]\nflag = YES\n", "test.conf:2: bad value \"YES\" for flag; write yes or no"},
        {"[main]\nflag =\n", "test.conf:2: bad value \"\" for flag; write yes or no"},
        {"[main]\nstring =\n", "test.conf:2: bad value \"\" for string; give a string"},
        {"[main]\npath = lib\n", "test.conf:2: bad value \"lib\" for path; give an absolute path"},
        {"[main]\npath = /a/../b\n",
         "test.conf:2: bad value \"/a/../b\" for path; give an absolute path"},
        {"[main]\npath = /..\n", "test.conf:2: bad value \"/..\" for path; give an absolute path"},
        {"[limits]\nnumber = 11\n", "test.conf:2: bad value \"11\" for number; use -5 to 10"},
        {"[limits]\nnumber = -6\n", "test.conf:2: bad value \"-6\" for number; use -5 to 10"},
        {"[limits]\nnumber = 5x\n", "test.conf:2: bad value \"5x\" for number; use -5 to 10"},
        {"[limits]\nnumber = +5\n", "test.conf:2: bad value \"+5\" for number; use -5 to 10"},
        {"[limits]\nnumber = -\n", "test.conf:2: bad value \"-\" for number; use -5 to 10"},
        {"[limits]\nnumber = 0x5\n", "test.conf:2: bad value \"0x5\" for number; use -5 to 10"},
        {"[limits]\nnumber = 18446744073709551617\n",
         "test.conf:2: bad value \"18446744073709551617\" for number; use -5 to 10"},
        {"[limits]\nperiod = 59\n", "test.conf:2: bad value \"59\" for period; use 1min to 1d"},
        {"[limits]\nperiod = 25h\n", "test.conf:2: bad value \"25h\" for period; use 1min to 1d"},
        {"[limits]\nchoice = three\n",
         "test.conf:2: bad value \"three\" for choice; use one or two"},
        {"[limits]\nchoice = on\n", "test.conf:2: bad value \"on\" for choice; use one or two"},
        {"[main]\nstring = \xe9\n", "test.conf:2: not valid UTF-8; save the file as UTF-8"},
        {"[main]\n# \x1b\nstring = a\x1b[31m\n", "test.conf:3: a control character; remove it"},
        {"[main]\nflag = \xe2\x80\xae\n",
         "test.conf:2: bad value \"\\u{202e}\" for flag; write yes or no"},
        /* the first of two mistakes, whoever finds it */
        {"[main]\nnonsense\nflag = maybe\n",
         "test.conf:2: neither a [section] nor key = value; mend the line"},
        {"[main]\nflag = maybe\nnonsense\n",
         "test.conf:2: bad value \"maybe\" for flag; write yes or no"},
        {"[main]\nnonsense\n[mian]\n",
         "test.conf:2: neither a [section] nor key = value; mend the line"},
        {"\xef\xbb\xbf[mian]\n",
         "test.conf:1: unknown section; mend the name or remove the section"},
        {"\xef\xbb\xbf[main]\nnonsense",
         "test.conf:2: neither a [section] nor key = value; mend the line"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_SETTINGS struct settings settings = {.string = strdup("preset"), .number = 7};
        char error[400];
        int r = read_string(*state, cases[i].text, &settings, error);
        if (r != -EINVAL || strcmp(error, cases[i].error) != 0)
            fail_msg("case %zu: %d %s", i, r, error);
        assert_string_equal(settings.string, "preset");
        assert_int_equal(settings.number, 7);
        assert_null(settings.list);
    }
}

static void test_nul_in_the_file(void **state) {
    CLEANUP_SETTINGS struct settings settings = {0};
    char error[400];
    assert_int_equal(read_text(*state, "[main]\nstring = a\0b\n", 20, &settings, error), -EINVAL);
    assert_string_equal(error, "test.conf:2: a control character; remove it");
}

/* libinih would cut at 200 bytes and take the rest for another line. */
static void test_line_maximum_and_one_past(void **state) {
    for (int over = 0; over <= 1; over++) {
        CLEANUP_SETTINGS struct settings settings = {0};
        char text[400] = "[main]\n   string = ", error[400];
        size_t start = strlen("[main]\n   "), size = strlen(text);
        while (size - start < 198U + (unsigned)over)
            text[size++] = 'x';
        memcpy(text + size, "  \r\nflag = yes\n", 16); /* white space around it does not count */
        int r = read_string(*state, text, &settings, error);
        assert_int_equal(r, over ? -EINVAL : 0);
        if (over)
            assert_string_equal(
                error, "test.conf:2: the line is longer than 198 bytes; shorten it (a list may be "
                       "spread over several lines of the same key)");
        else
            assert_int_equal(strlen(settings.string), 198 - strlen("string = "));
    }
}

static void test_long_comment(void **state) {
    CLEANUP_SETTINGS struct settings settings = {0};
    char text[1000], error[400];
    memset(text, '#', sizeof(text));
    memcpy(text + sizeof(text) - 21, "\n[main]\nflag = yes\nx\n", 21);
    assert_int_equal(read_text(*state, text, sizeof(text), &settings, error), -EINVAL);
    assert_string_equal(error, "test.conf:4: neither a [section] nor key = value; mend the line");
}

static void test_list_maximum_and_one_past(void **state) {
    for (int over = 0; over <= 1; over++) {
        CLEANUP_SETTINGS struct settings settings = {0};
        char text[8000] = "[limits]\n", error[400];
        for (int i = 0; i < 256 + over; i++)
            strcat(text, i % 8 ? " word" : "\nlist = word");
        int r = read_string(*state, text, &settings, error);
        assert_int_equal(r, over ? -EINVAL : 0);
        if (over) {
            assert_string_equal(error, "test.conf:35: list has more than 256 items; remove some");
            assert_null(settings.list);
        } else {
            assert_non_null(settings.list[255]);
            assert_null(settings.list[256]);
        }
    }
}

static void test_file_maximum_and_one_past(void **state) {
    static char text[65537];
    memset(text, '\n', sizeof(text));
    CLEANUP_SETTINGS struct settings settings = {0};
    char error[400];
    assert_int_equal(read_text(*state, text, 65536, &settings, error), 0);
    assert_int_equal(read_text(*state, text, 65537, &settings, error), -EINVAL);
    assert_string_equal(error, "test.conf: The file is larger than 64 KiB; shorten it");
}

static void test_files_that_cannot_be_read(void **state) {
    struct unit_dir *dir = *state;
    struct settings settings = {0};
    char path[128], error[400], wanted[400];
    snprintf(path, sizeof(path), "%s/none", dir->path);
    assert_int_equal(
        config_read(path, keys, ARRAY_LENGTH(keys), &settings, error, sizeof(error)), -ENOENT);
    snprintf(
        wanted, sizeof(wanted), "%s: No such file or directory; check the path and its permissions",
        path);
    assert_string_equal(error, wanted);
    assert_int_equal(
        config_read(dir->path, keys, ARRAY_LENGTH(keys), &settings, error, sizeof(error)), -EISDIR);
    assert_int_equal(mkfifoat(dir->fd, "none", 0600), 0);
    assert_int_equal(
        config_read(path, keys, ARRAY_LENGTH(keys), &settings, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "no regular file"));
}

/* An error is cut to its room, never past it. */
static void test_small_room_for_the_error(void **state) {
    struct unit_dir *dir = *state;
    struct settings settings = {0};
    char path[128];
    unit_write(dir, "test.conf", "x", 1);
    snprintf(path, sizeof(path), "%s/test.conf", dir->path);
    for (size_t size = 0; size < 64; size++) {
        char *error = malloc(size + 1);
        memset(error, '#', size + 1);
        assert_int_equal(
            config_read(path, keys, ARRAY_LENGTH(keys), &settings, error, size), -EINVAL);
        assert_int_equal(error[size], '#');
        if (size > 0)
            assert_int_equal(strnlen(error, size), size - 1);
        free(error);
    }
}

static void test_durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {
        {"0", 0},
        {"90", 90},
        {"90s", 90},
        {"15min", 900},
        {"24h", 86400},
        {"30d", 2592000},
        {"007", 7},
        {"9223372036854775807", INT64_MAX},
        {"106751991167300d", 9223372036854720000},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        int64_t seconds = -1;
        assert_int_equal(config_parse_duration(good[i].text, &seconds), 0);
        assert_int_equal(seconds, good[i].seconds);
    }
    static const char *const bad[] = {
        "",
        "s",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1 h",
        "1.5h",
        "1m",
        "1H",
        "1hh",
        "1h30min",
        "1w",
        "9223372036854775808",
        "106751991167301d",
        "99999999999999999999999",
        "0x10",
        "1e3",
    };
    int64_t seconds = 42;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(config_parse_duration(bad[i], &seconds), -EINVAL);
    assert_int_equal(config_parse_duration(NULL, &seconds), -EINVAL);
    assert_int_equal(seconds, 42);
}

static void test_free_twice(void **state) {
    struct settings settings = {0};
    char error[400];
    assert_int_equal(
        read_string(*state, "[main]\nstring=a\npath=/a\n[limits]\nlist=a b", &settings, error), 0);
    settings_deinit(&settings);
    assert_null(settings.string);
    assert_null(settings.list);
    settings_deinit(&settings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        unit_test_with_dir(test_all_types),
        unit_test_with_dir(test_absent_keeps_the_preset),
        unit_test_with_dir(test_list_replaces_the_preset),
        unit_test_with_dir(test_indentation_has_no_meaning),
        unit_test_with_dir(test_mistakes),
        unit_test_with_dir(test_nul_in_the_file),
        unit_test_with_dir(test_line_maximum_and_one_past),
        unit_test_with_dir(test_long_comment),
        unit_test_with_dir(test_list_maximum_and_one_past),
        unit_test_with_dir(test_file_maximum_and_one_past),
        unit_test_with_dir(test_files_that_cannot_be_read),
        unit_test_with_dir(test_small_room_for_the_error),
        cmocka_unit_test(test_durations),
        unit_test_with_dir(test_free_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
