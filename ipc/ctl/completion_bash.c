/* The table of commands as bash has to see it: case statements and lists of words, nothing that
 * bash 3.2 would not know. Names in the table are letters, digits and dashes; so nothing has to be
 * quoted. */
#include "ipc/ctl/completion.h"

#include "ipc/ctl/command_table.h"

#include "common/reason.h"

#include <string.h>

/* As completion_bash.sh calls it; what no shell can know has a name that completes nothing. */
static void print_kind(FILE *file, enum argument_kind kind, const char *name) {
    static const char *const names[] = {
        [ARGUMENT_NONE] = "none",       [ARGUMENT_TEXT] = "text",
        [ARGUMENT_FILE] = "file",       [ARGUMENT_USER] = "user",
        [ARGUMENT_METHOD] = "method",   [ARGUMENT_INTERFACE] = "interface",
        [ARGUMENT_SECONDS] = "seconds", [ARGUMENT_CODE] = "code",
        [ARGUMENT_WORDS] = "words:",
    };
    fprintf(file, "%s%s", names[kind], kind == ARGUMENT_WORDS ? name : "");
}

static void print_first_words(FILE *file) {
    fputs("_devtrustctl_first='", file);
    for (size_t i = 0; i < command_count; i++)
        if (command_begins_family(i) || !strchr(command_table[i].name, ' '))
            fprintf(
                file, "%s%.*s", i ? " " : "", (int)strcspn(command_table[i].name, " "),
                command_table[i].name);
    fputs("'\n", file);
}

static void print_families(FILE *file) {
    fputs("_devtrustctl_family() {\n    case $1 in\n", file);
    for (size_t i = 0; i < command_count; i++) {
        if (!command_begins_family(i))
            continue;
        size_t length = strcspn(command_table[i].name, " ");
        fprintf(file, "    %.*s) seconds='", (int)length, command_table[i].name);
        for (size_t j = i; j < command_count; j++)
            if (strncmp(command_table[j].name, command_table[i].name, length + 1) == 0)
                fprintf(file, "%s%s", j == i ? "" : " ", command_table[j].name + length + 1);
        fputs("' ;;\n", file);
    }
    fputs("    *) return 1 ;;\n    esac\n}\n", file);
}

static void print_command(FILE *file, const struct command *command) {
    fprintf(file, "    '%s')\n        options='", command->name);
    uint64_t set = command->options | command_common_options;
    bool any = false;
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        if (!(set & CTL_BIT(i)))
            continue;
        fprintf(file, "%s%s", any ? " " : "", option_table[i].name);
        any = true;
        if (option_table[i].kind != ARGUMENT_NONE) {
            fputc('=', file);
            print_kind(file, option_table[i].kind, option_table[i].argument);
        }
    }
    fputs("'\n        operands='", file);
    for (size_t i = 0; i < command_max_operands(command); i++) {
        fputs(i ? " " : "", file);
        print_kind(file, command->operands[i].kind, command->operands[i].name);
    }
    fputs("'\n        ;;\n", file);
}

void completion_print_bash(FILE *file) {
    fputs("# bash completion for devtrustctl, as `devtrustctl completion bash` prints it.\n", file);
    print_first_words(file);
    fputs("_devtrustctl_codes='", file);
    for (int i = 0; i < REASON_COUNT_; i++)
        fprintf(file, "%s%s", i ? " " : "", reason_code((enum reason)i));
    fputs("'\n", file);
    print_families(file);
    fputs("_devtrustctl_command() {\n    case $1 in\n", file);
    for (size_t i = 0; i < command_count; i++)
        print_command(file, &command_table[i]);
    fputs("    *) return 1 ;;\n    esac\n}\n\n", file);
    fputs(script_completion_bash, file);
}
