/* What the agent does on its worker thread: one function per action that blocks (keys, NSS, the
 * record). Each leaves record and stores so that a kill at any moment is finished or undone at the
 * next start. The loop must not touch the struct while a job runs, but for what is said to be
 * constant. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "useragent/agent_machine.h"
#include "useragent/agent_message.h"
#include "useragent/agent_record.h"
#include "useragent/credential_key.h"
#include "useragent/inspection.h"
#include "useragent/store_set.h"

struct agent_work {
    /* set once */
    struct user_dirs dirs;
    const struct clock_source *clock;
    const struct random_source *random;

    /* put there by the loop before a job, constant while one runs */
    struct agent_settings settings;
    struct agent_request request;
    struct x509_bundle bundle;

    /* the worker's */
    struct agent_record record;
    struct store_set set;
    struct credential_key *key; /* constant from prepare to import */
    bool record_exists;         /* on disk */
    bool stores_failed; /* the last time none could be used: look before the server is asked */

    /* results for the loop */
    struct agent_report report;
    const char *wanted;   /* check: a reason for io.devtrust.Agent.Renew, or NULL */
    uint64_t stores_seen; /* check, import: the marks (store_watch.h) of the stores that it was
                             about, after it; 0: none was looked at yet */
    bool wanted_later;    /* check: nothing tells whether one was ever there; devtrustd most likely
                             asks by itself */
    bool browser_runs;    /* prepare */
    bool repairing;       /* somebody asked for a repair: check and supersede note what they do */
    const char *actions[AGENT_ACTIONS_MAX];
    size_t action_count;
};

void agent_work_init(struct agent_work *work);
void agent_work_deinit(struct agent_work *work);

/** Reads the record and finishes or undoes an import. Returns 0, -EPROTO (the record is a newer
 * version's), or a negative errno that makes a start pointless. *ret_event: RECOVERED,
 * RESUME_SUPERSEDE, RESUME_REMOVE. */
int agent_work_recover(struct agent_work *work, enum agent_event *ret_event);

/** Compares stores and record, rebuilds a missing record. CHECKED or RESUME_SUPERSEDE; fills
 * `wanted`. */
enum agent_event agent_work_check(struct agent_work *work);

/** Key and CSR for `request`. PREPARED or FAILED (report filled). */
enum agent_event agent_work_prepare(struct agent_work *work);

/** Opens the stores while the server works. */
void agent_work_open(struct agent_work *work);

/** Checks the certificates of a Submit's answer against the settings and the key in hand; on the
 * loop, while no job runs. Returns 0 and fills `bundle`, or -EBADMSG and fills the report.
 */
int agent_work_take_bundle(struct agent_work *work, STACK_OF(X509) * certificates);

/** Intent, import, verification, new current. VERIFIED or FAILED (undone; report filled). The key
 * is wiped either way. */
enum agent_event agent_work_import(struct agent_work *work);

/** Deletes what the current one supersedes, where it verified. Always SUPERSEDED; what could not be
 * deleted stays in the record. */
enum agent_event agent_work_supersede(struct agent_work *work);

/** Clears the intent after the report was acknowledged. */
void agent_work_finish(struct agent_work *work);

/** Deletes all of ours. GONE or FAILED; report filled. FAILED, too, where the home is not there. */
enum agent_event agent_work_remove(struct agent_work *work);

/** Unlinks the record after the removal was acknowledged. */
void agent_work_unlink(struct agent_work *work);

/** Looks at what `inspection` asks for; what was noted by a repair is told and forgotten. */
void agent_work_inspect(struct agent_work *work, struct inspection *inspection);

/** A repair begins (or none is under way); on the loop, while no job runs. */
void agent_work_begin_repair(struct agent_work *work, bool repairing);

/** While a repair is under way: notes what was done (a name of static storage). */
void agent_work_note_action(struct agent_work *work, const char *action);

/** Closes the stores and gives memory back. */
void agent_work_close(struct agent_work *work);

/** Wipes key and bundle; on the loop, while no job runs. */
void agent_work_wipe(struct agent_work *work);

/** Fills the report of the current certificate; on the loop, while no job runs. */
void agent_work_report_current(struct agent_work *work);
