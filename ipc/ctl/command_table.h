/* What devtrustctl can do: its commands, their operands and options. Dispatch, every --help and the
 * shells' completion come from this table, so that none of them can lag behind. To add a command:
 * a row in command_table.c, its function in ctl.h. To add an option: here, and a row there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl;
struct ctl_arguments;

/* What an argument is, so that a shell can complete it. */
enum argument_kind {
    ARGUMENT_NONE,      /* an option that takes none */
    ARGUMENT_TEXT,      /* nothing that a shell could know */
    ARGUMENT_FILE,      /* a path */
    ARGUMENT_USER,      /* local name of a managed user */
    ARGUMENT_METHOD,    /* full name of a method, io.devtrust.Device.GetStatus */
    ARGUMENT_INTERFACE, /* name of an interface, io.devtrust.Device */
    ARGUMENT_SECONDS,   /* a whole number of seconds */
    ARGUMENT_CODE,      /* of the table of reasons */
    ARGUMENT_WORDS,     /* one of those that its name lists: a|b|c */
};

enum ctl_option {
    CTL_OPTION_HELP,
    CTL_OPTION_VERSION,
    CTL_OPTION_JSON,
    CTL_OPTION_SOCKET,
    CTL_OPTION_TIMEOUT,
    CTL_OPTION_USER,
    CTL_OPTION_CONSOLE_USER,
    CTL_OPTION_ALL_USERS,
    CTL_OPTION_PEM,
    CTL_OPTION_PKCS11_URI,
    CTL_OPTION_TOKEN_FILE,
    CTL_OPTION_CA_PIN,
    CTL_OPTION_MORE,
    CTL_OPTION_ONEWAY,
    CTL_OPTION_EVERYWHERE,
    CTL_OPTION_BRIDGE,
    CTL_OPTION_ONLY_USER,
    CTL_OPTION_METHOD,
    CTL_OPTION_VERBOSE,
    CTL_OPTION_RECORD,
    CTL_OPTION_PACED,
    CTL_OPTION_INTERVAL,
    CTL_OPTION_SAMPLES,
    CTL_OPTION_PAGE,
    CTL_OPTION_COUNT_,
};

/* A set of options. */
#define CTL_BIT(option_) (UINT64_C(1) << (option_))
_Static_assert(CTL_OPTION_COUNT_ <= 64, "a set of options is 64 bits wide");

struct option_row {
    const char *name;     /* without the dashes */
    const char *argument; /* what help calls it; NULL: takes none */
    enum argument_kind kind;
    bool root; /* only root may use it */
    const char *help;
};

struct operand_row {
    const char *name; /* what help calls it; NULL: the end of the list */
    enum argument_kind kind;
    bool optional;
};

/* Where help lists a command; in this order. */
enum command_group {
    COMMAND_GROUP_DEVICE,
    COMMAND_GROUP_PEOPLE,
    COMMAND_GROUP_TROUBLE,
    COMMAND_GROUP_IPC,
    COMMAND_GROUP_OTHER,
    COMMAND_GROUP_COUNT_,
};

#define COMMAND_MAX_OPERANDS 2

struct command {
    const char *name; /* one word or two */
    enum command_group group;
    bool root; /* only root may run it */
    struct operand_row operands[COMMAND_MAX_OPERANDS];
    uint64_t options, required; /* sets of its own options, besides those of every command */
    int timeout_s;              /* without --timeout */
    int (*run)(struct ctl *, const struct ctl_arguments *);
    const char *help;     /* one line of at most 50 columns, no full stop */
    const char *detail;   /* for its own --help */
    const char *examples; /* arguments as somebody types them, one command per line; NULL: none */
};

extern const struct option_row option_table[CTL_OPTION_COUNT_];
extern const struct command command_table[];
extern const size_t command_count;
extern const char *const command_group_names[COMMAND_GROUP_COUNT_];

/** Options of every command, and those of devtrustctl without one. */
extern const uint64_t command_common_options, command_no_command_options;

/** How many operands a command takes at most, and needs. */
size_t command_max_operands(const struct command *command);
size_t command_min_operands(const struct command *command);

/** Whether it is a command of two words and the first one is `word`. */
bool command_is_of_family(const struct command *command, const char *word);

/** Whether row `i` is the first one of its family. */
bool command_begins_family(size_t i);
