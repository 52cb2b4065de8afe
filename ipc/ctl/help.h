/* --help, from the table of commands. */
#pragma once

#include "ipc/ctl/ctl.h"

/** Of devtrustctl: every command, in groups. */
void help_program(const struct ctl *ctl);

/** Of the commands whose first word it is (`ipc --help`). Returns whether there are any. */
bool help_family(const struct ctl *ctl, const char *word);

/** Of one command: what it does, takes and needs. */
void help_command(const struct ctl *ctl, const struct command *command);

#define HELP_OPERANDS_SIZE 96
/** " METHOD [JSON]", as usage has it; empty for none. Returns `ret`. */
const char *help_operands(const struct command *command, char ret[HELP_OPERANDS_SIZE]);
