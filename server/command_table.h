/* The administrator's commands, once for both ends of the Unix socket: what the command line takes,
 * and what the server is sent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMMAND_MAX_ARGUMENTS 6
#define COMMAND_MAX_COLUMNS 12

enum command_type {
    COMMAND_TEXT,
    COMMAND_INT,      /* minimum … maximum */
    COMMAND_DURATION, /* "24h"; seconds on the wire */
};

struct command_argument {
    const char *name;  /* the JSON member; "--name" on the command line unless positional */
    const char *shown; /* in the help: "USER", "N" */
    bool positional;   /* in table order, and required */
    enum command_type type;
    int64_t minimum, maximum; /* of an INT or a DURATION; of a TEXT's length in bytes */
    const char *help;
};

enum command_format { COMMAND_PLAIN, COMMAND_TIME };

struct command_column {
    const char *title;
    const char *member;
    enum command_format format;
};

/** How a person sees the answer: one member alone, a table, or lines of "title: value". Without
 * any: the member "message". */
struct command {
    const char *words; /* "token create" */
    const char *name;  /* "token-create": POST /v1/command/<name> */
    const char *help;
    struct command_argument arguments[COMMAND_MAX_ARGUMENTS];
    const char *value; /* the one member to print, alone */
    const char *rows;  /* the array to print as a table */
    struct command_column columns[COMMAND_MAX_COLUMNS];
};

extern const struct command command_table[];
extern const size_t command_count;

/** By name; NULL if there is none. */
const struct command *command_find(const char *name);
