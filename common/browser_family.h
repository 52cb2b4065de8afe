/* The browsers that this product knows on this platform: where each reads client certificates and
 * managed policy, how to tell that it is installed or running, and how far that was verified. One
 * table for daemon and agent; nothing else in the code names a browser's path. */
#pragma once

#include <stdbool.h>

enum browser_kind {
    BROWSER_CHROMIUM, /* the user's shared NSS database; policy: a directory of JSON files */
    BROWSER_FIREFOX,  /* one NSS database per profile; policy: the one file policies.json */
};

/** What a path in a home is relative to (XDG Base Directory Specification 0.8). */
enum browser_base {
    BROWSER_HOME,
    BROWSER_CONFIG, /* $XDG_CONFIG_HOME or ~/.config */
    BROWSER_DATA,   /* $XDG_DATA_HOME or ~/.local/share */
};

struct browser_place {
    enum browser_base base;
    const char *path; /* NULL ends a list */
};

/** How we know. */
struct browser_evidence {
    const char *how;    /* "traced with …", "documented", "remembered", "not known" */
    const char *source; /* a document, a package's file, an issue */
};

struct browser_family {
    const char *id;   /* stable, in messages and documents */
    const char *name; /* for people */

    const char *executables[4]; /* absolute; NULL ends; any that exists: installed */
    const char *processes[5];   /* basenames of running executables; NULL ends */
    const char *process_prefix; /* of their paths, where the names alone are others' too; or NULL */

    /* BROWSER_CHROMIUM: the databases that it may use, in order of precedence: the first that is
     * there, else the last, which it makes. BROWSER_FIREFOX: the roots of profiles (each with a
     * profiles.ini), in the same order; every one of them may be in use. */
    struct browser_place stores[4];
    struct browser_place data; /* its own data: there once this user has started it */
    struct browser_evidence store_evidence;

    const char *policy_directory; /* NULL: not known */
    struct browser_evidence policy_evidence;

    enum browser_kind kind;
    bool policy_make; /* made where absent; others are used only where they exist */
};

/** Ends with a NULL id. */
extern const struct browser_family browser_families[];

/** Roots of Thunderbird's profiles, which are as Firefox's. It is no browser, and left alone where
 * nobody has asked for it. Ends with a NULL path. */
extern const struct browser_place browser_thunderbird_roots[];

/** By id; NULL: unknown. */
const struct browser_family *browser_family_find(const char *id);

/** The family of a policy directory; NULL: of none. */
const struct browser_family *browser_family_of_policy(const char *directory);

/** The family of a running program. `executable`: its path or last part, as /proc/PID/exe has it
 * ("/usr/lib/chromium/chromium (deleted)" after an upgrade under it). NULL: no browser. */
const struct browser_family *browser_family_of_executable(const char *executable);

/** The same by the kernel's name of the process: the first 15 bytes of the executable's (proc(5)).
 */
const struct browser_family *browser_family_of_comm(const char *comm);

/** Whether one of its executables is on this machine. */
bool browser_family_is_installed(const struct browser_family *family);
