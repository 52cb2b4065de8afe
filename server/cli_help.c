/* --help, from the same tables. */
#include "server/cli.h"

#include "server/command_table.h"

#include <stdio.h>

#define LINE_WIDTH 80
#define INDENT 11

/* Wrapped by argument, since init's line is long. */
static void print_usage(const struct command *command) {
    int column = printf("Usage: devtrust-server %s", command->words);
    for (size_t i = 0; i < COMMAND_MAX_ARGUMENTS && command->arguments[i].name; i++) {
        const struct command_argument *argument = &command->arguments[i];
        char text[64];
        int length =
            argument->positional
                ? snprintf(text, sizeof(text), " %s", argument->shown)
                : snprintf(text, sizeof(text), " [--%s %s]", argument->name, argument->shown);
        if (column + length > LINE_WIDTH)
            column = printf("\n%*s", INDENT, "") - 1;
        column += printf("%s", text);
    }
    puts("");
}

static void print_one(const struct command *command) {
    print_usage(command);
    printf("%s\n\n", command->help);
    for (size_t i = 0; i < COMMAND_MAX_ARGUMENTS && command->arguments[i].name; i++) {
        const struct command_argument *argument = &command->arguments[i];
        char left[64];
        if (argument->positional)
            snprintf(left, sizeof(left), "%s", argument->shown);
        else
            snprintf(left, sizeof(left), "--%s %s", argument->name, argument->shown);
        printf("  %-25s %s\n", left, argument->help);
    }
    puts("  --json                    answer with JSON\n"
         "  --config FILE             another server.conf than /etc/devtrust/server.conf");
}

static void print_list(const struct command *table, size_t count) {
    for (size_t i = 0; i < count; i++)
        printf("  %-20s %s\n", table[i].words, table[i].help);
}

void cli_help(const struct command *local, size_t local_count, const struct command *command) {
    if (command) {
        print_one(command);
        return;
    }
    puts("Usage: devtrust-server [--config FILE] COMMAND … [--json]\n");
    print_list(local, local_count);
    puts("\nCommands to a running server:");
    print_list(command_table, command_count);
    puts("\ndevtrust-server COMMAND --help says more; --version says which this is.\n"
         "Exit status: 0 good, 1 not found or failed, 2 usage, 3 no server runs,\n"
         "4 not permitted, 5 refused.");
}
