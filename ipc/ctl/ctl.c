/* The program behind main(): finds the command and runs it; and how every command says that
 * something is wrong. */
#include "ipc/ctl/ctl.h"

#include "ipc/ctl/command_line.h"
#include "ipc/ctl/help.h"
#include "ipc/ctl/similar.h"
#include "ipc/ctl/text.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/version.h"

#include <json-c/json.h>
#include <limits.h>
#include <string.h>
#include <time.h>

/* ---- failures ---- */

static int add_member(struct json_object *object, const char *name, const char *value) {
    char safe[TEXT_SAFE_SIZE];
    return value ? json_fields_add_string(object, name, text_safe(value, safe)) : 0;
}

/* {"error": {code, text, detail, remedy}} */
static int fail_as_json(
    struct ctl *ctl, const char *code, const char *text, const char *detail, const char *remedy) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct json_object *inner = json_object_new_object();
    if (!object || json_fields_add(object, "error", inner) < 0)
        return -1;
    if (add_member(inner, "code", code) < 0 || add_member(inner, "text", text) < 0 ||
        add_member(inner, "detail", detail) < 0 || add_member(inner, "remedy", remedy) < 0)
        return -1;
    ctl_print_json(ctl, object);
    return 0;
}

/* A person gets lines that fit, a log one line as it is. */
static void say(const struct ctl *ctl, const char *line) {
    if (ctl->err_is_screen)
        text_column(ctl, ctl->err, 0, 0, line, TEXT_PLAIN);
    else
        fprintf(ctl->err, "%s\n", line);
}

/* " [no-agent]", for whoever is asked for help; empty where it would say no more than the text. */
static void shown_code(const char *code, char ret[TEXT_SAFE_SIZE]) {
    static const enum reason plain[] = {REASON_USAGE, REASON_OTHER};
    char safe[TEXT_SAFE_SIZE];
    for (size_t i = 0; i < ARRAY_LENGTH(plain); i++)
        if (strcmp(code, reason_code(plain[i])) == 0)
            code = "";
    snprintf(
        ret, TEXT_SAFE_SIZE, "%s%.64s%s", *code ? " [" : "", text_safe(code, safe),
        *code ? "]" : "");
}

int ctl_fail_with(
    struct ctl *ctl, int status, const char *code, const char *text, const char *detail,
    const char *remedy) {
    if (ctl->json && fail_as_json(ctl, code, text, detail, remedy) == 0)
        return status;
    char safe_text[TEXT_SAFE_SIZE], safe_detail[TEXT_SAFE_SIZE], safe_remedy[TEXT_SAFE_SIZE];
    char brackets[TEXT_SAFE_SIZE], line[3 * TEXT_SAFE_SIZE + 64];
    shown_code(code, brackets);
    bool has_detail = detail && *detail;
    bool is_sentence = *text && text[strlen(text) - 1] == '.'; /* the detail stands after it */
    snprintf(
        line, sizeof line, "devtrustctl%s%s: %s%s%s%s%s", ctl->command ? " " : "",
        ctl->command ? ctl->command : "", text_safe(text, safe_text),
        !has_detail   ? ""
        : is_sentence ? " ("
                      : " ",
        text_safe(detail, safe_detail), has_detail && is_sentence ? ")" : "", brackets);
    say(ctl, line);
    if (remedy && *remedy)
        say(ctl, text_safe(remedy, safe_remedy));
    return status;
}

int ctl_fail_file(
    struct ctl *ctl, int status, const char *code, const char *text, const char *path, int error,
    const char *remedy) {
    char detail[PATH_MAX + 128];
    snprintf(detail, sizeof detail, "%s: %s", path, strerror(error));
    return ctl_fail_with(ctl, status, code, text, detail, remedy);
}

int ctl_fail(struct ctl *ctl, enum reason reason) {
    return ctl_fail_with(
        ctl, reason_exit_status(reason), reason_code(reason), reason_text(reason), NULL,
        reason_remedy(reason));
}

int ctl_usage_unlike(struct ctl *ctl, const char *text, const char *argument, const char *similar) {
    char remedy[SIMILAR_LIST_SIZE + 96];
    snprintf(
        remedy, sizeof remedy, "%s%s%sTry: devtrustctl%s%s --help",
        *similar ? "Did you mean: " : "", similar, *similar ? "? " : "", ctl->command ? " " : "",
        ctl->command ? ctl->command : "");
    return ctl_fail_with(ctl, CTL_USAGE, "usage", text, argument, remedy);
}

int ctl_usage(struct ctl *ctl, const char *text, const char *argument) {
    return ctl_usage_unlike(ctl, text, argument, "");
}

void ctl_print_json(struct ctl *ctl, struct json_object *value) {
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
    flags |= ctl->json ? JSON_C_TO_STRING_PLAIN : JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
    const char *text = json_object_to_json_string_ext(value, flags);
    if (text)
        text_json(ctl->out, text);
}

int64_t ctl_system_now(void) {
    return (int64_t)time(NULL);
}

int64_t ctl_system_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- running ---- */

static int run_command(
    struct ctl *ctl, const struct command *command, int argc, char *const *argv) {
    struct ctl_arguments arguments = {0};
    ctl->command = command->name;
    int status = command_line_parse(ctl, command, argc, argv, &arguments);
    if (status != CTL_GOOD)
        return status;
    if (arguments.options[CTL_OPTION_HELP]) {
        help_command(ctl, command);
        return CTL_GOOD;
    }
    status = command_line_apply(ctl, command, &arguments);
    if (status == CTL_GOOD)
        status = command->run(ctl, &arguments);
    bridge_program_end(&ctl->bridge_program);
    return status;
}

static bool wants_help(int argc, char *const *argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static int run_without_command(struct ctl *ctl, int argc, char *const *argv) {
    struct ctl_arguments arguments = {0};
    if (argc == 0)
        return ctl_usage(ctl, "Which command?", NULL);
    if (argv[0][0] != '-') {
        if (!wants_help(argc, argv) || !help_family(ctl, argv[0]))
            return command_line_unknown(ctl, argc, argv);
        return CTL_GOOD;
    }
    int status = command_line_parse(ctl, NULL, argc, argv, &arguments);
    if (status != CTL_GOOD)
        return status;
    if (arguments.options[CTL_OPTION_VERSION])
        fprintf(ctl->out, "devtrustctl %s\n", DEVTRUST_VERSION);
    else if (arguments.options[CTL_OPTION_HELP])
        help_program(ctl);
    else
        return ctl_usage(ctl, "Which command?", NULL);
    return CTL_GOOD;
}

/* --json before anything else is looked at, so that even a usage error is JSON where it is wanted
 */
static bool wants_json(int argc, char *const *argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int ctl_main(struct ctl *ctl, int argc, char *const *argv) {
    int count = argc > 0 ? argc - 1 : 0, words = 0;
    ctl->json = wants_json(argc, argv);
    const struct command *command = command_line_find(count, argv + 1, &words);
    if (command)
        return run_command(ctl, command, count - words, argv + 1 + words);
    return run_without_command(ctl, count, argv + 1);
}
