/* The command line: arguments by the table of commands, a request over the Unix socket, an answer
 * for a person or a program. */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses, as devtrustctl's. */
enum cli_exit {
    CLI_OK = 0,
    CLI_NO = 1, /* the answer is "no": not found, failed */
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3, /* serve does not run */
    CLI_NOT_PERMITTED = 4,
    CLI_REFUSED = 5,
};

#define CLI_MAX_ANSWER (64 * 1024 * 1024) /* bytes; 10,000 rows are 4 MiB */

struct command;
struct server_config;

struct cli_request {
    const char *config_path; /* NULL: the default */
    bool json;
    bool help;
    bool version;
    const struct command *command; /* NULL: none was given */
    struct json_object *arguments; /* owned */
};

/** cli_arguments.c: reads argv by the table of commands and `local` (commands that are not sent to
 * the server). Prints what is wrong to standard error. Returns 0 or -EINVAL. cli_request_deinit()
 * in any case. */
int cli_parse(
    int argc, char *argv[], const struct command *local, size_t local_count,
    struct cli_request *ret);
void cli_request_deinit(struct cli_request *request);

/** cli_help.c: to standard output; `command` NULL: all. */
void cli_help(const struct command *local, size_t local_count, const struct command *command);

/** cli_client.c: sends the command. Returns an exit status; on CLI_OK *ret_answer is the answer,
 * else the reason is on standard error. */
int cli_send(
    const char *socket_path, const struct cli_request *request, struct json_object **ret_answer);

/** cli_output.c: the answer as the command's table says, or as JSON. */
void cli_print(const struct cli_request *request, struct json_object *answer);

/** init_command.c */
extern const struct command init_command;
int init_run(const struct server_config *config, const struct cli_request *request);
