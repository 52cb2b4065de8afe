/* Our one preference in Firefox's policies.json, as text. There is one such file for a machine, so
 * it may be an administrator's: what is ours is put in and taken out as a piece of text, and every
 * other byte stays as it was. Pure functions. */
#pragma once

#include <stddef.h>

#define FIREFOX_POLICY_FILE "policies.json"
#define FIREFOX_POLICY_PREFERENCE "security.default_personal_cert"
#define FIREFOX_POLICY_VALUE "Select Automatically"
#define FIREFOX_POLICY_MAX_FILE ((size_t)256 * 1024)
#define FIREFOX_POLICY_MAX_INSERTED 256 /* bytes of what we put in */

enum firefox_policy_finding {
    FIREFOX_POLICY_ABSENT, /* does not say; ours can be put in */
    FIREFOX_POLICY_SET,    /* says what ours would */
    FIREFOX_POLICY_OTHER,  /* says something else, or is no policy file */
    FIREFOX_POLICY_BROKEN, /* no JSON that the gate lets through */
};

/** What a policies.json says about the choice of a certificate. */
enum firefox_policy_finding firefox_policy_look(const char *text, size_t size);

/** Puts ours into a file that was FIREFOX_POLICY_ABSENT; `text` NULL: makes a file. *ret_inserted
 * is the piece that *ret has more than `text`. free() both. Returns 0, -ENOMEM, -EMSGSIZE (too
 * large then), -EBADMSG (a file that this cannot be done to). */
int firefox_policy_insert(const char *text, size_t size, char **ret, char **ret_inserted);

/** Takes out what firefox_policy_insert() once put in, wherever it stands by now; containers that
 * it made go with it once they are empty. *ret NULL: nothing of others' is left, so the file goes.
 * free() it. Returns 1; 0: it is not there (any more), *ret is untouched; -ENOMEM, -EBADMSG. */
int firefox_policy_withdraw(const char *text, size_t size, const char *inserted, char **ret);
