/* See help.h. */
#include "ipc/ctl/help.h"

#include "ipc/ctl/text.h"

#include "common/cleanup.h"

#include <string.h>

#define COMMAND_INDENT 24
#define OPTION_INDENT 24

const char *help_operands(const struct command *command, char ret[HELP_OPERANDS_SIZE]) {
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < command_max_operands(command) && used < HELP_OPERANDS_SIZE; i++) {
        const struct operand_row *operand = &command->operands[i];
        used += (size_t)snprintf(
            ret + used, HELP_OPERANDS_SIZE - used, operand->optional ? " [%s]" : " %s",
            operand->name);
    }
    return ret;
}

/* `timeout_s`: what --timeout is without being given; 0: not said. */
static void print_options(const struct ctl *ctl, uint64_t set, int timeout_s) {
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        const struct option_row *option = &option_table[i];
        char label[64], text[512], timeout[32] = "";
        if (!(set & CTL_BIT(i)))
            continue;
        snprintf(
            label, sizeof label, "  --%s%s%s", option->name, option->argument ? " " : "",
            option->argument ? option->argument : "");
        if (i == CTL_OPTION_TIMEOUT && timeout_s > 0)
            snprintf(timeout, sizeof timeout, " Default: %d.", timeout_s);
        snprintf(text, sizeof text, "%s%s%s", option->help, option->root ? " (root)" : "", timeout);
        text_paragraph(ctl, ctl->out, label, OPTION_INDENT, text, TEXT_PLAIN);
    }
}

static void print_heading(const struct ctl *ctl, const char *text) {
    fprintf(ctl->out, "\n%s%s:%s\n", text_begin(ctl, TEXT_BOLD), text, text_end(ctl, TEXT_BOLD));
}

static void print_line(const struct ctl *ctl, const struct command *command) {
    char label[64], text[128];
    snprintf(label, sizeof label, "  %s", command->name);
    snprintf(text, sizeof text, "%s%s", command->help, command->root ? " (root)" : "");
    text_paragraph(ctl, ctl->out, label, COMMAND_INDENT, text, TEXT_PLAIN);
}

static void print_group(const struct ctl *ctl, enum command_group group) {
    bool any = false;
    for (size_t i = 0; i < command_count; i++) {
        if (command_table[i].group != group)
            continue;
        if (!any)
            print_heading(ctl, command_group_names[group]);
        any = true;
        print_line(ctl, &command_table[i]);
    }
}

bool help_family(const struct ctl *ctl, const char *word) {
    bool any = false;
    for (size_t i = 0; i < command_count; i++) {
        if (!command_is_of_family(&command_table[i], word))
            continue;
        if (!any)
            fprintf(ctl->out, "Usage: devtrustctl %s COMMAND [OPTIONS]\n\n", word);
        any = true;
        print_line(ctl, &command_table[i]);
    }
    if (any)
        fprintf(ctl->out, "\n`devtrustctl %s COMMAND --help` says more.\n", word);
    return any;
}

void help_program(const struct ctl *ctl) {
    fputs(
        "Usage: devtrustctl COMMAND [OPTIONS]\n"
        "       devtrustctl --help | --version\n"
        "See and steer devtrust on this device: certificates that prove it is managed.\n",
        ctl->out);
    for (int group = 0; group < COMMAND_GROUP_COUNT_; group++)
        print_group(ctl, (enum command_group)group);
    print_heading(ctl, "Options of every command");
    print_options(ctl, command_common_options, 0);
    fputc('\n', ctl->out);
    text_paragraph(
        ctl, ctl->out, "Exit status:", 14,
        "0 good, 1 the answer is no, 2 usage, 3 devtrustd cannot be reached, 4 not permitted, "
        "5 refused by the server. `devtrustctl COMMAND --help` says more.",
        TEXT_PLAIN);
}

static void print_examples(const struct ctl *ctl, const char *examples) {
    print_heading(ctl, "Examples");
    for (const char *line = examples; *line;) {
        int length = (int)strcspn(line, "\n");
        fprintf(ctl->out, "  devtrustctl %.*s\n", length, line);
        line += length;
        line += *line == '\n';
    }
}

void help_command(const struct ctl *ctl, const struct command *command) {
    char operands[HELP_OPERANDS_SIZE];
    fprintf(ctl->out, "Usage: devtrustctl %s%s", command->name, help_operands(command, operands));
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++)
        if (command->required & CTL_BIT(i))
            fprintf(ctl->out, " --%s %s", option_table[i].name, option_table[i].argument);
    fprintf(ctl->out, " [OPTIONS]\n%s.%s\n\n", command->help, command->root ? " Needs root." : "");
    text_paragraph(ctl, ctl->out, "", 0, command->detail, TEXT_PLAIN);
    if (command->options) {
        print_heading(ctl, "Options");
        print_options(ctl, command->options, 0);
    }
    print_heading(ctl, "Options of every command");
    print_options(ctl, command_common_options, command->timeout_s);
    if (command->examples)
        print_examples(ctl, command->examples);
}
