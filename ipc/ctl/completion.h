/* Completion for shells, made from the table of commands: what it can complete is what there is. */
#pragma once

#include <stdio.h>

/** The whole script for a shell: what the table says in the shell's own terms, then the part that
 * is the same whatever it says (completion_bash.sh, completion_zsh.zsh). */
void completion_print_bash(FILE *file);
void completion_print_zsh(FILE *file);

/* embedded at build time by common/embed.sh */
extern const char script_completion_bash[];
extern const char script_completion_zsh[];
