/* See command_line.h. */
#include "ipc/ctl/command_line.h"

#include "ipc/ctl/help.h"
#include "ipc/ctl/similar.h"

#include "common/paths.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TIMEOUT_S 86400
#define BRIDGE_LEAST_TIMEOUT_MS 60000 /* somebody may have to type a password first */

/* ---- which command ---- */

/* How many words of argv are this command's name; 0: it is another one. */
static int matching_words(const struct command *command, int argc, char *const *argv) {
    const char *at = command->name;
    for (int words = 0; words < argc; words++) {
        size_t length = strlen(argv[words]);
        if (length == 0 || strncmp(at, argv[words], length) != 0)
            return 0;
        if (at[length] == '\0')
            return words + 1;
        if (at[length] != ' ')
            return 0;
        at += length + 1;
    }
    return 0;
}

const struct command *command_line_find(int argc, char *const *argv, int *ret_words) {
    for (size_t i = 0; i < command_count; i++) {
        int words = matching_words(&command_table[i], argc, argv);
        if (words > 0) {
            *ret_words = words;
            return &command_table[i];
        }
    }
    return NULL;
}

int command_line_unknown(struct ctl *ctl, int argc, char *const *argv) {
    struct similar similar = {0};
    char two[2 * SIMILAR_MAX_LENGTH], typed[2 * SIMILAR_MAX_LENGTH];
    bool has_second = argc > 1 && argv[1][0] != '-', is_family = false;
    snprintf(two, sizeof two, "%s %s", argv[0], has_second ? argv[1] : "");
    for (size_t i = 0; i < command_count; i++) {
        const char *name = command_table[i].name;
        is_family |= command_is_of_family(&command_table[i], argv[0]);
        similar_consider(&similar, has_second && strchr(name, ' ') ? two : argv[0], name);
    }
    for (size_t i = 0; similar.count == 0 && is_family && i < command_count; i++)
        if (command_is_of_family(&command_table[i], argv[0]))
            similar_consider(&similar, command_table[i].name, command_table[i].name);
    if (is_family) /* its --help lists what there is */
        ctl->command = argv[0];
    if (is_family && !has_second)
        return ctl_usage_unlike(ctl, "Which command?", NULL, similar.list);
    snprintf(typed, sizeof typed, "%s", is_family ? two : argv[0]);
    return ctl_usage_unlike(ctl, "There is no such command:", typed, similar.list);
}

/* ---- options and operands ---- */

static int unknown_option(struct ctl *ctl, uint64_t allowed, const char *argument) {
    struct similar similar = {0};
    char typed[SIMILAR_MAX_LENGTH];
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(argument, "="), argument);
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        char name[SIMILAR_MAX_LENGTH];
        snprintf(name, sizeof name, "--%s", option_table[i].name);
        if (allowed & CTL_BIT(i))
            similar_consider(&similar, typed, name);
    }
    return ctl_usage_unlike(ctl, "There is no such option here:", argument, similar.list);
}

static int parse_option(
    struct ctl *ctl, uint64_t allowed, int argc, char *const *argv, int *at,
    struct ctl_arguments *arguments) {
    const char *text = argv[*at] + 2;
    size_t length = strcspn(text, "=");
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        const struct option_row *option = &option_table[i];
        if (!(allowed & CTL_BIT(i)) || strlen(option->name) != length ||
            memcmp(option->name, text, length) != 0)
            continue;
        if (arguments->options[i] && option->argument)
            return ctl_usage(ctl, "This option is given twice:", argv[*at]);
        if (text[length] == '=' && !option->argument)
            return ctl_usage(ctl, "This option takes no argument:", argv[*at]);
        if (text[length] == '=')
            arguments->options[i] = text + length + 1;
        else if (!option->argument)
            arguments->options[i] = "";
        else if (*at + 1 < argc)
            arguments->options[i] = argv[++*at];
        else
            return ctl_usage(ctl, "This option needs an argument:", argv[*at]);
        return CTL_GOOD;
    }
    return unknown_option(ctl, allowed, argv[*at]);
}

int command_line_parse(
    struct ctl *ctl, const struct command *command, int argc, char *const *argv,
    struct ctl_arguments *ret) {
    uint64_t allowed =
        command ? command_common_options | command->options : command_no_command_options;
    size_t max_operands = command ? command_max_operands(command) : 0;
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
            int status = parse_option(ctl, allowed, argc, argv, &i, ret);
            if (status != CTL_GOOD)
                return status;
        } else if (!only_operands && strcmp(argv[i], "-h") == 0) {
            ret->options[CTL_OPTION_HELP] = "";
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
            return unknown_option(ctl, allowed, argv[i]);
        } else if (ret->operand_count < max_operands) {
            ret->operands[ret->operand_count++] = argv[i];
        } else {
            return ctl_usage(
                ctl, command ? "Too many arguments:" : "The command comes first:", argv[i]);
        }
    }
    return CTL_GOOD;
}

/* ---- what every command takes ---- */

static int check_required(
    struct ctl *ctl, const struct command *command, const struct ctl_arguments *arguments) {
    char missing[HELP_OPERANDS_SIZE];
    if (arguments->operand_count < command_min_operands(command))
        return ctl_usage(ctl, "This is missing:", help_operands(command, missing) + 1);
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        if (!(command->required & CTL_BIT(i)) || arguments->options[i])
            continue;
        snprintf(
            missing, sizeof missing, "--%s %s", option_table[i].name, option_table[i].argument);
        return ctl_usage(ctl, "This is missing:", missing);
    }
    return CTL_GOOD;
}

static int apply_timeout(struct ctl *ctl, const char *text, const struct command *command) {
    if (!text) {
        ctl->timeout_ms = command->timeout_s * 1000;
        return CTL_GOOD;
    }
    char *end = NULL;
    long seconds = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || seconds > MAX_TIMEOUT_S)
        return ctl_usage(ctl, "--timeout takes whole seconds, 0 to 86400; not", text);
    ctl->timeout_ms = seconds == 0 ? -1 : (int)seconds * 1000;
    return CTL_GOOD;
}

int command_line_apply(
    struct ctl *ctl, const struct command *command, const struct ctl_arguments *arguments) {
    int status = check_required(ctl, command, arguments);
    if (status == CTL_GOOD)
        status = apply_timeout(ctl, arguments->options[CTL_OPTION_TIMEOUT], command);
    if (status != CTL_GOOD)
        return status;
    const char *path = arguments->options[CTL_OPTION_SOCKET];
    const char *bridge = arguments->options[CTL_OPTION_BRIDGE];
    if (path && bridge)
        return ctl_usage(ctl, "--socket and --bridge exclude each other.", NULL);
    if (bridge && !arguments->options[CTL_OPTION_TIMEOUT] &&
        ctl->timeout_ms < BRIDGE_LEAST_TIMEOUT_MS)
        ctl->timeout_ms = BRIDGE_LEAST_TIMEOUT_MS;
    ctl->bridge = bridge;
    ctl->json = arguments->options[CTL_OPTION_JSON] != NULL;
    ctl->socket_path = path ? path : PATH_DAEMON_SOCKET;
    return CTL_GOOD;
}
