/* See local_removal.h. */
#include "useragent/local_removal.h"

#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/version.h"
#include "ipc/varlink_client.h"
#include "useragent/agent_work.h"

#include <errno.h>

#define TELL_TIMEOUT_MS 10000 /* the deadline of Report */

static enum reason reason_of_read(int error) {
    if (error == -EPROTO)
        return REASON_NEWER_STATE;
    return error == -EBADMSG ? REASON_BROKEN_STATE : REASON_STORAGE;
}

/* An encrypted home of somebody who is not signed in is an empty directory, or nearly: there, too,
 * nothing on record does not mean that there is nothing. */
static bool has_store(struct agent_work *work) {
    bool found = false;

    store_set_list(&work->set, &work->dirs, &work->record);
    (void)store_set_open(&work->set, false);
    for (size_t i = 0; i < work->set.count; i++)
        found =
            found || work->set.items[i].store || work->set.items[i].reason != REASON_STORE_MISSING;
    agent_work_close(work);
    return found;
}

/* Whether there is anything that some device of devtrust's put here, as far as can be told without
 * knowing which. */
static bool has_remains(struct agent_work *work) {
    const struct ours ours = {.any_device = true};
    bool found = false;

    store_set_list(&work->set, &work->dirs, &work->record);
    (void)store_set_open(&work->set, false);
    for (size_t i = 0; i < work->set.count && !found; i++) {
        struct store_set_item *item = &work->set.items[i];
        struct store_counts counts = {0};

        if (item->store)
            found = item->ops->count(item->store, &ours, &counts, &item->reason) < 0 ||
                    counts.certificates > 0 || counts.keys > 0;
    }
    agent_work_close(work);
    return found;
}

DEFINE_CLEANUP(struct varlink_stream *, varlink_stream_free);

/* What devtrustd says is ours: the first answer of Watch tells. Not present where it says nothing.
 */
static void ask_settings(const char *socket_path, struct agent_settings *ret) {
    struct varlink_stream CLEANUP(varlink_stream_free_ptr) *stream = NULL;
    struct json_object CLEANUP_JSON *parameters = agent_message_watch(DEVTRUST_VERSION);
    struct json_object CLEANUP_JSON *answer = NULL;
    char CLEANUP_FREE *error = NULL;
    struct agent_snapshot snapshot;
    bool continues;

    if (!parameters || varlink_stream_open(socket_path, 0, TELL_TIMEOUT_MS, &stream) < 0 ||
        varlink_stream_send(stream, "io.devtrust.Agent.Watch", TAKE_PTR(parameters), true, false) <
            0 ||
        varlink_stream_receive(stream, &answer, &error, &continues) < 0 || error)
        return;
    if (agent_message_read_snapshot(answer, &snapshot, NULL) >= 0)
        *ret = snapshot.settings;
}

static int remove_now(
    struct agent_work *work, struct agent_report *ret_report, enum reason *ret_reason) {
    enum agent_event event = agent_work_remove(work);

    agent_work_close(work);
    if (event != AGENT_EVENT_GONE) {
        *ret_reason = work->report.reason;
        return -EBUSY;
    }
    agent_work_unlink(work);
    *ret_report = work->report;
    return 0;
}

/* The record may have been lost, or lie where only a session of this user's looks for it
 * (XDG_STATE_HOME): that there is none does not mean that nothing was installed. */
static int remove_unrecorded(
    struct agent_work *work, const char *socket_path, struct agent_report *ret_report,
    enum reason *ret_reason) {
    if (!has_store(work)) {
        *ret_reason = REASON_STORE_MISSING;
        return -ENOENT;
    }
    ask_settings(socket_path, &work->settings);
    if (work->settings.present)
        return remove_now(work, ret_report, ret_reason);
    if (has_remains(work)) {
        *ret_reason = REASON_RECORD_MISSING;
        return -ENOENT;
    }
    *ret_report = (struct agent_report){.outcome = AGENT_OUTCOME_REMOVED};
    return 0;
}

static int remove_all(
    struct agent_work *work, const char *socket_path, struct agent_report *ret_report,
    enum reason *ret_reason) {
    int r = agent_record_read(&work->dirs, &work->record);

    if (r == -ENOENT)
        return remove_unrecorded(work, socket_path, ret_report, ret_reason);
    if (r < 0) {
        *ret_reason = reason_of_read(r);
        return r;
    }
    work->record_exists = true;
    return remove_now(work, ret_report, ret_reason);
}

int local_removal_run(
    const char *socket_path, const struct user_dirs *dirs, const struct clock_source *clock,
    const struct random_source *random, struct agent_report *ret_report, enum reason *ret_reason) {
    struct agent_work work;

    if (!user_dirs_has_home(dirs)) {
        *ret_reason = REASON_STORE_MISSING;
        return -ENOENT;
    }
    agent_work_init(&work);
    work.dirs = *dirs;
    work.dirs.thunderbird = true; /* as some agent may have been told */
    work.clock = clock;
    work.random = random;
    int r = remove_all(&work, socket_path, ret_report, ret_reason);
    agent_work_deinit(&work);
    return r;
}

int local_removal_tell(const char *socket_path, const struct agent_report *report) {
    struct varlink_stream CLEANUP(varlink_stream_free_ptr) *stream = NULL;
    struct json_object *parameters = agent_message_report(report);
    const char *error = NULL;

    if (!parameters)
        return -ENOMEM;
    int r = varlink_stream_open(socket_path, 0, TELL_TIMEOUT_MS, &stream);
    if (r < 0) {
        json_object_put(parameters);
        return r;
    }
    r = varlink_stream_send(stream, "io.devtrust.Agent.Report", parameters, false, false);
    if (r == 0)
        r = varlink_stream_receive_fields(stream, NULL, 0, NULL, &error);
    return r < 0 ? r : error ? -EPROTO : 0;
}
