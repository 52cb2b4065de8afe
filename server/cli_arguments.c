/* argv by the table of commands. */
#include "server/cli.h"

#include "common/config.h"
#include "common/json_fields.h"
#include "server/command_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
    int argc;
    char **argv;
    int next;
    size_t positional; /* how many of the command's have been read */
};

__attribute__((format(printf, 1, 2))) static int usage(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("devtrust-server: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    return -EINVAL;
}

void cli_request_deinit(struct cli_request *request) {
    json_object_put(request->arguments);
    request->arguments = NULL;
}

/* "--name VALUE" and "--name=VALUE". Returns 1 with the value, 0 if `word` is another option,
 * -EINVAL if the value is missing. */
static int take_option(
    struct cursor *cursor, const char *word, const char *name, const char **ret_value) {
    size_t length = strlen(name);
    if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, name, length) != 0)
        return 0;
    if (word[2 + length] == '=') {
        *ret_value = word + 2 + length + 1;
        return 1;
    }
    if (word[2 + length] != '\0')
        return 0;
    if (cursor->next == cursor->argc)
        return usage("%s needs a value", word);
    *ret_value = cursor->argv[cursor->next++];
    return 1;
}

/* Options that every command knows, before or after it. Returns 1 if `word` was one. */
static int take_global(struct cursor *cursor, const char *word, struct cli_request *request) {
    if (strcmp(word, "--json") == 0)
        request->json = true;
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        request->help = true;
    else if (strcmp(word, "--version") == 0)
        request->version = true;
    else
        return take_option(cursor, word, "config", &request->config_path);
    return 1;
}

/* --- the command --- */

/* Whether argv goes on with these words; `word` is the first of them. */
static bool words_match(const struct cursor *cursor, const char *word, const char *words) {
    size_t length = strcspn(words, " ");
    if (strlen(word) != length || strncmp(word, words, length) != 0)
        return false;
    if (!words[length])
        return true;
    return cursor->next < cursor->argc &&
           strcmp(cursor->argv[cursor->next], words + length + 1) == 0;
}

static const struct command *match(
    struct cursor *cursor, const char *word, const struct command *table, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (words_match(cursor, word, table[i].words)) {
            cursor->next += strchr(table[i].words, ' ') ? 1 : 0;
            return &table[i];
        }
    return NULL;
}

/* --- its arguments --- */

static int parse_int(const char *text, int64_t *ret) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return -EINVAL;
    *ret = value;
    return 0;
}

static int add_argument(
    struct json_object *arguments, const struct command_argument *argument, const char *value) {
    int64_t number = 0;
    int r = 0;
    if (argument->type == COMMAND_TEXT) {
        size_t length = strlen(value);
        if (length < (size_t)argument->minimum || length > (size_t)argument->maximum)
            return usage("%s: %s", argument->shown, argument->help);
        return json_fields_add_string(arguments, argument->name, value);
    }
    if (argument->type == COMMAND_INT)
        r = parse_int(value, &number);
    else
        r = config_parse_duration(value, &number);
    if (r < 0 || number < argument->minimum || number > argument->maximum)
        return usage("--%s %s: %s", argument->name, value, argument->help);
    return json_fields_add_int(arguments, argument->name, number);
}

static const struct command_argument *positional(const struct command *command, size_t index) {
    for (size_t i = 0; i < COMMAND_MAX_ARGUMENTS && command->arguments[i].name; i++)
        if (command->arguments[i].positional && index-- == 0)
            return &command->arguments[i];
    return NULL;
}

static int take_command_option(
    struct cursor *cursor, const char *word, struct cli_request *request) {
    for (size_t i = 0; i < COMMAND_MAX_ARGUMENTS; i++) {
        const struct command_argument *argument = &request->command->arguments[i];
        const char *value = "";
        if (!argument->name)
            break;
        if (argument->positional)
            continue;
        int r = take_option(cursor, word, argument->name, &value);
        if (r < 0)
            return r;
        if (r > 0)
            return add_argument(request->arguments, argument, value);
    }
    return usage(
        "%s does not know %s; try: devtrust-server %s --help", request->command->words, word,
        request->command->words);
}

static int take_word(struct cursor *cursor, const char *word, struct cli_request *request) {
    if (strncmp(word, "--", 2) == 0)
        return take_command_option(cursor, word, request);
    const struct command_argument *argument = positional(request->command, cursor->positional++);
    if (!argument)
        return usage("%s: \"%s\" is one argument too many", request->command->words, word);
    return add_argument(request->arguments, argument, word);
}

static int parse(
    struct cursor *cursor, const struct command *local, size_t local_count,
    struct cli_request *request) {
    while (cursor->next < cursor->argc) {
        const char *word = cursor->argv[cursor->next++];
        int r = take_global(cursor, word, request);
        if (r > 0)
            continue;
        if (r == 0 && request->command)
            r = take_word(cursor, word, request);
        else if (r == 0) {
            request->command = match(cursor, word, command_table, command_count);
            if (!request->command)
                request->command = match(cursor, word, local, local_count);
            if (!request->command)
                r = usage("there is no command \"%s\"; try: devtrust-server --help", word);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

int cli_parse(
    int argc, char *argv[], const struct command *local, size_t local_count,
    struct cli_request *ret) {
    struct cursor cursor = {.argc = argc, .argv = argv, .next = 1};
    *ret = (struct cli_request){.arguments = json_object_new_object()};
    if (!ret->arguments)
        return -ENOMEM;
    int r = parse(&cursor, local, local_count, ret);
    if (r < 0 || ret->help || ret->version)
        return r;
    if (!ret->command)
        return usage("name a command; try: devtrust-server --help");
    const struct command_argument *missing = positional(ret->command, cursor.positional);
    if (missing)
        return usage("%s needs %s: %s", ret->command->words, missing->shown, missing->help);
    return 0;
}
