/* The server's end of the command line: POST /v1/command/<name> with an object of arguments
 * (command_table.h). Commands that change something run as one job of the writer, with their line
 * in the audit log. */
#pragma once

#include "server/device.h"
#include "server/http.h"
#include "server/server.h"

#define COMMAND_MAX_ROWS 10000 /* of a list; "truncated" says that there are more */
#define COMMAND_MAX_DETAIL 256

extern const struct http_route command_routes[];

struct command_call {
    struct server *server; /* on the writer's thread: what is constant while serving, and no more */
    struct db *db;
    struct json_object *arguments;
    int64_t now_s;
    int64_t uid; /* who asks */

    /* results */
    struct json_object *answer; /* what goes back */
    int status;                 /* 200, or the HTTP status of a refusal */
    char detail[COMMAND_MAX_DETAIL];
    bool notify_all;
    struct json_object *notify; /* array of device UUIDs to tell after the commit */
    bool drop;                  /* and end their streams */
};

/** A handler returns 0, or a negative errno: -ECANCELED after command_refuse(). Whatever it wrote
 * is undone then. */
typedef int (*command_handler)(struct command_call *call);

struct command_entry {
    const char *name;
    bool writes;
    command_handler run;
};

/** command_change.c, command_lists.c, command_explain.c; a NULL name ends a table. */
extern const struct command_entry command_changes[];
extern const struct command_entry command_lists[];
extern const struct command_entry command_explain[];

/** An argument; NULL or `fallback` if it was not given. Borrowed. */
const char *command_text(const struct command_call *call, const char *name);
int64_t command_int(const struct command_call *call, const char *name, int64_t fallback);

/** Refuses: `detail` says what is wrong and what to do. Returns -ECANCELED. */
__attribute__((format(printf, 3, 4))) int command_refuse(
    struct command_call *call, int status, const char *format, ...);

/** Sets the answer's "message". Returns 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3))) int command_say(
    struct command_call *call, const char *format, ...);

/** Tells a device after the commit. Returns 0 or -ENOMEM. */
int command_notify(struct command_call *call, const char *device);
