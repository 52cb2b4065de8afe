/* From words to a command and its arguments. */
#pragma once

#include "ipc/ctl/ctl.h"

/** The command that argv begins with, or NULL; *ret_words: of how many words its name is. */
const struct command *command_line_find(int argc, char *const *argv, int *ret_words);

/** Says that argv begins with no command, and which ones are like it. Returns CTL_USAGE. */
int command_line_unknown(struct ctl *ctl, int argc, char *const *argv);

/** Sorts argv into options and operands of `command` (NULL: what stands without one). Returns
 * CTL_GOOD and *ret, or CTL_USAGE after having said why. */
int command_line_parse(
    struct ctl *ctl, const struct command *command, int argc, char *const *argv,
    struct ctl_arguments *ret);

/** Whether everything is there that `command` needs; takes the options of every command over into
 * `ctl`. Returns CTL_GOOD, or CTL_USAGE after having said why. */
int command_line_apply(
    struct ctl *ctl, const struct command *command, const struct ctl_arguments *arguments);
