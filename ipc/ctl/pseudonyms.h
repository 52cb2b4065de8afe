/* Takes people out of a text that is given away: local accounts become user-1, user-2 …, their
 * homes ~user-1, people at the server person-1, mail addresses and principal names mail-1; the same
 * always becomes the same. When in doubt too much is replaced: a word that happens to be somebody's
 * name goes as well. */
#pragma once

#include <json-c/json_object.h>
#include <stddef.h>

#define PSEUDONYMS_MAX                                                                             \
    4096 /* names of each kind; more are refused, mail addresses share one then */

struct pseudonyms;

/** Returns 0 or -ENOMEM. */
int pseudonyms_new(struct pseudonyms **ret);
struct pseudonyms *pseudonyms_free(struct pseudonyms *pseudonyms);

/** A local account; a name that is known already keeps its number. `home`: NULL, "" and "/": none.
 * Returns 0, -ENOMEM, -ENOSPC. */
int pseudonyms_add_user(struct pseudonyms *pseudonyms, const char *name, const char *home);

/** A person by the id at the server. */
int pseudonyms_add_person(struct pseudonyms *pseudonyms, const char *id);

/** The text with everything replaced; free() it. NULL when memory is out. */
char *pseudonyms_replace(struct pseudonyms *pseudonyms, const char *text);

/** Replaces in every string of a JSON value, in place. Keys stay, and so do values that a program
 * reads: codes, results, levels, methods, ids of checks. Returns 0 or -ENOMEM. */
int pseudonyms_apply(struct pseudonyms *pseudonyms, struct json_object *value);

/* How many different ones were found and replaced so far. */
struct pseudonyms_counts {
    unsigned users, homes, persons, mails;
};
struct pseudonyms_counts pseudonyms_count(const struct pseudonyms *pseudonyms);
