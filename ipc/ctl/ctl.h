/* devtrustctl behind its main(): what every command gets and how it answers. Output goes through
 * two files, so that tests read what a person would. */
#pragma once

#include "ipc/ctl/bridge_program.h"
#include "ipc/ctl/command_table.h"

#include "common/browser_family.h"
#include "common/reason.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define CTL_WIDTH 80 /* columns of human output */
#define CTL_NAME_SIZE 64

enum ctl_exit {
    CTL_GOOD = 0,
    CTL_NO = 1, /* the answer is "no": absent, expired, unmanaged, failed */
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_NOT_PERMITTED = 4,
    CTL_REFUSED = 5,
};

/* Everything outside the process that commands depend on. */
struct ctl {
    FILE *in, *out, *err;
    bool colour;        /* of `out` */
    bool err_is_screen; /* a terminal, on which lines are to fit */
    bool unicode;       /* `out` shows more than ASCII */
    uid_t daemon_uid;   /* whose socket is trusted: 0 but in tests */
    uid_t own_uid;
    int (*console_user)(uid_t *ret); /* 0, -ENODATA: nobody; a negative errno */
    int64_t (*now)(void);            /* seconds since 1970 */
    int64_t (*now_us)(void);         /* microseconds */
    /* a program beside devtrustctl, run as a user: ctl_run_as but in tests */
    int (*run_as)(
        const char *user, uid_t uid, const char *program, const char *const *arguments,
        int timeout_ms, char *ret_said, size_t said_size);
    /** The size of out's terminal; 0, or -ENOTTY where it is none. NULL: none. */
    int (*screen)(unsigned *ret_columns, unsigned *ret_rows);
    /** The name of an account; 0, -ENOENT. NULL: none has one. */
    int (*user_name)(uid_t uid, char ret[CTL_NAME_SIZE]);
    /** Whether this browser is on this machine. NULL: none is known to be. */
    bool (*browser_installed)(const struct browser_family *family);
    const char *runtime_directory; /* XDG_RUNTIME_DIR of the session; NULL: none */
    /** Shows a file to the person in front of the screen, without waiting; 0 or a negative errno.
     */
    int (*open_file)(const char *path);
    /* set from the command line */
    const char *command; /* "cert show", for messages */
    const char *socket_path;
    const char *bridge; /* command to reach the daemon through; NULL: its socket */
    int timeout_ms;
    bool json;
    struct bridge_program bridge_program; /* what runs for `bridge` */
};

struct ctl_arguments {
    const char *options[CTL_OPTION_COUNT_]; /* NULL: not given; "" for one that takes no argument */
    const char *operands[COMMAND_MAX_OPERANDS];
    unsigned operand_count;
};

/** The whole program. Returns the exit status. */
int ctl_main(struct ctl *ctl, int argc, char *const *argv);

/* ---- commands; each returns the exit status ---- */
int ctl_status(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_status_page(struct ctl *ctl); /* with --page */
int ctl_cert_show(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_enroll(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_renew(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_remove(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_explain(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_completion(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_doctor(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_repair(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_report(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_bridge(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_call(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_info(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_introspect(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_monitor(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_replay(struct ctl *ctl, const struct ctl_arguments *arguments);
int ctl_ipc_top(struct ctl *ctl, const struct ctl_arguments *arguments);

/* ---- what commands share ---- */

/** Says what is wrong with the command line and how to learn more. Returns CTL_USAGE. */
int ctl_usage(struct ctl *ctl, const char *text, const char *argument);

/** The same, with what may have been meant (empty: nothing comes to mind). */
int ctl_usage_unlike(struct ctl *ctl, const char *text, const char *argument, const char *similar);

/** Says what is wrong and what to do, with --json as an object on `out`. Returns the exit status of
 * the reason. */
int ctl_fail(struct ctl *ctl, enum reason reason);

/** The same with texts; `detail` (may be NULL) is escaped. Returns `status`. */
int ctl_fail_with(
    struct ctl *ctl, int status, const char *code, const char *text, const char *detail,
    const char *remedy);

/** The same of a file: "text PATH: what errno says". */
int ctl_fail_file(
    struct ctl *ctl, int status, const char *code, const char *text, const char *path, int error,
    const char *remedy);

/** Prints a JSON value on `out`: one line with --json, indented without. */
void ctl_print_json(struct ctl *ctl, struct json_object *value);

/** Seconds since 1970 on this machine's clock, for ctl.now. */
int64_t ctl_system_now(void);
int64_t ctl_system_now_us(void);

#define CTL_RUN_AS_ARGUMENTS 4
/** For ctl.run_as: a child that has become this user for good runs `program`, from the folder of
 * this executable, with these arguments (at most CTL_RUN_AS_ARGUMENTS, NULL ends), an environment
 * and a session of its own, and nothing that the caller has open or may read: no terminal, no
 * descriptor, no session keyring. The account must have this uid.
 *
 * `timeout_ms`: 0 or more; a child that takes longer is killed. `ret_said`: what it wrote to its
 * standard error, as much as fits into `said_size` (1 or more) with a NUL byte; not to be trusted,
 * and written on every return.
 *
 * Returns the exit status; -ESTALE (the account has changed), -ETIMEDOUT, -ECHILD (it died), or
 * another negative errno. */
int ctl_run_as(
    const char *user, uid_t uid, const char *program, const char *const *arguments, int timeout_ms,
    char *ret_said, size_t said_size);

/** The user who is active at seat0 (sd_seat_get_active), for ctl.console_user. */
int ctl_console_user(uid_t *ret);

/** The name of an account on the daemon's machine; 0 or -ENOENT. Of another machine, which --bridge
 * leads to, only root's is known. */
int ctl_account(const struct ctl *ctl, uid_t uid, char ret[CTL_NAME_SIZE]);

/** For ctl.open_file: through xdg-open. */
int ctl_open_file(const char *path);

/** Names of accounts as this machine has them, remembered, for ctl.user_name. */
int ctl_user_name(uid_t uid, char ret[CTL_NAME_SIZE]);
