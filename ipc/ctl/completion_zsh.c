/* The table of commands as zsh has to see it: arrays for _describe and specifications for
 * _arguments, with what help says of each word. */
#include "ipc/ctl/completion.h"

#include "ipc/ctl/command_table.h"

#include "common/reason.h"

#include <string.h>

/* Text between single quotes, where _arguments and _describe take colons and brackets for their own
 * signs. */
static void print_quoted(FILE *file, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\'')
            fputs("'\\'", file);
        else if (strchr("[]:\\", text[i]))
            fputc('\\', file);
        fputc(text[i], file);
    }
}

static void print_text(FILE *file, const char *text) {
    print_quoted(file, text, strlen(text));
}

/* message and action, as they stand behind a colon */
static void print_action(FILE *file, const char *name, enum argument_kind kind) {
    static const char *const actions[] = {
        [ARGUMENT_NONE] = "",
        [ARGUMENT_TEXT] = " ",
        [ARGUMENT_FILE] = "_files",
        [ARGUMENT_USER] = "_devtrustctl_users",
        [ARGUMENT_METHOD] = "_devtrustctl_methods",
        [ARGUMENT_INTERFACE] = "_devtrustctl_interfaces",
        [ARGUMENT_SECONDS] = " ",
        [ARGUMENT_CODE] = "_devtrustctl_codes",
        [ARGUMENT_WORDS] = "(",
    };
    print_text(file, name);
    fprintf(file, ":%s", actions[kind]);
    if (kind != ARGUMENT_WORDS)
        return;
    for (const char *at = name; *at; at++)
        fputc(*at == '|' ? ' ' : *at, file);
    fputc(')', file);
}

static void print_described(FILE *file, const char *word, size_t length, const char *text) {
    fputs("        '", file);
    print_quoted(file, word, length);
    fputc(':', file);
    print_text(file, text);
    fputs("'\n", file);
}

static void print_first_words(FILE *file) {
    fputs("_devtrustctl_first() {\n    first=(\n", file);
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        size_t length = strcspn(name, " ");
        if (command_begins_family(i))
            print_described(file, name, length, command_group_names[command_table[i].group]);
        else if (!name[length])
            print_described(file, name, length, command_table[i].help);
    }
    fputs("    )\n}\n", file);
}

static void print_families(FILE *file) {
    fputs("_devtrustctl_family() {\n    case $1 in\n", file);
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        size_t length = strcspn(name, " ");
        if (!command_begins_family(i))
            continue;
        fprintf(file, "    %.*s) seconds=(\n", (int)length, name);
        for (size_t j = i; j < command_count; j++) {
            const char *other = command_table[j].name;
            if (strncmp(other, name, length + 1) == 0)
                print_described(
                    file, other + length + 1, strlen(other + length + 1), command_table[j].help);
        }
        fputs("    ) ;;\n", file);
    }
    fputs("    *) return 1 ;;\n    esac\n}\n", file);
}

static void print_option(FILE *file, const struct option_row *option) {
    bool takes = option->kind != ARGUMENT_NONE;
    bool alone = strcmp(option->name, "help") == 0;
    fprintf(file, "        '%s--%s%s[", alone ? "(- *)" : "", option->name, takes ? "=" : "");
    print_text(file, option->help);
    fprintf(file, "%s]", option->root ? " (root)" : "");
    if (takes) {
        fputc(':', file);
        print_action(file, option->argument, option->kind);
    }
    fputs("'\n", file);
}

static void print_operand(FILE *file, const struct operand_row *operand, size_t number) {
    fprintf(file, "        '%zu:%s", number, operand->optional ? ":" : "");
    if (operand->kind ==
        ARGUMENT_TEXT) /* a bare message would hide the options that could stand there */
        fprintf(file, "%s:_guard \"^-*\" %s", operand->name, operand->name);
    else
        print_action(file, operand->name, operand->kind);
    fputs("'\n", file);
}

static void print_command(FILE *file, const struct command *command) {
    fprintf(file, "    '%s') specifications=(\n", command->name);
    uint64_t set = command->options | command_common_options;
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++)
        if (set & CTL_BIT(i))
            print_option(file, &option_table[i]);
    for (size_t i = 0; i < command_max_operands(command); i++)
        print_operand(file, &command->operands[i], i + 1);
    fputs("    ) ;;\n", file);
}

static void print_codes(FILE *file) {
    fputs("_devtrustctl_codes() {\n    local -a codes\n    codes=(\n", file);
    for (int i = 0; i < REASON_COUNT_; i++) {
        const char *code = reason_code((enum reason)i);
        print_described(file, code, strlen(code), reason_text((enum reason)i));
    }
    fputs("    )\n    _describe -t codes code codes \"$@\"\n}\n", file);
}

void completion_print_zsh(FILE *file) {
    fputs(
        "#compdef devtrustctl\n"
        "# zsh completion for devtrustctl, as `devtrustctl completion zsh` prints it.\n",
        file);
    print_first_words(file);
    print_families(file);
    print_codes(file);
    fputs("_devtrustctl_command() {\n    case $1 in\n", file);
    for (size_t i = 0; i < command_count; i++)
        print_command(file, &command_table[i]);
    fputs("    *) return 1 ;;\n    esac\n}\n\n", file);
    fputs(script_completion_zsh, file);
}
