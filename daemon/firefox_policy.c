/* Keeps our preference in the policies.json of each Firefox. */
#include "daemon/chrome_policy.h"
#include "daemon/firefox_policy_file.h"
#include "daemon/firefox_policy_internal.h"
#include "daemon/firefox_policy_text.h"

#include "common/browser_family.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEBOUNCE_MS 100

static void apply(struct firefox_policy *policy);

/* ---- the object ---- */

static void handle_closed(uv_handle_t *handle) {
    struct firefox_policy *policy = handle->data;
    if (--policy->open_handles > 0)
        return;
    for (size_t i = 0; i < policy->place_count; i++)
        free(policy->places[i].directory);
    policy_record_deinit(&policy->record);
    free(policy);
}

static int add_place(struct firefox_policy *policy, const char *directory, bool make) {
    for (size_t i = 0; i < policy->place_count; i++)
        if (strcmp(policy->places[i].directory, directory) == 0)
            return 0;
    if (policy->place_count == FIREFOX_POLICY_MAX_PLACES)
        return -ENOSPC;
    struct firefox_place *place = &policy->places[policy->place_count];
    *place = (struct firefox_place){.directory = strdup(directory), .make = make};
    if (!place->directory)
        return -ENOMEM;
    int r = uv_fs_event_init(policy->options.loop, &place->watch);
    if (r < 0) {
        free(place->directory);
        return r;
    }
    place->watch.data = policy;
    policy->open_handles++;
    policy->place_count++;
    return 0;
}

/* Root has asked for it, so /etc/firefox/policies is made; a Flatpak that is not there gets
 * nothing. */
static int add_places(struct firefox_policy *policy) {
    int r = 0;
    for (char *const *dir = policy->options.directories; r == 0 && dir && *dir; dir++)
        r = add_place(policy, *dir, true);
    for (const struct browser_family *family = browser_families;
         !policy->options.directories && r == 0 && family->id; family++)
        if (family->kind == BROWSER_FIREFOX && family->policy_directory)
            r = add_place(
                policy, family->policy_directory,
                strncmp(family->policy_directory, "/etc/", strlen("/etc/")) == 0);
    return r;
}

static int read_record(int state_dir_fd, struct policy_record *ret) {
    int r = policy_record_read(state_dir_fd, POLICY_RECORD_FIREFOX_FILE, ret);
    if (r != -EBADMSG)
        return r;
    log_event(
        LOG_LEVEL_WARNING, MSG_STORAGE,
        "firefox-policy.json was broken and is kept as firefox-policy.json.broken; look into "
        "Firefox's policies.json for what is no longer wanted",
        LOG_ERRNO(r));
    return state_file_set_aside(state_dir_fd, POLICY_RECORD_FIREFOX_FILE);
}

int firefox_policy_new(const struct firefox_policy_options *options, struct firefox_policy **ret) {
    struct policy_record record = {0};
    int r = read_record(options->state_dir_fd, &record);
    if (r < 0)
        return r;
    struct firefox_policy *policy = calloc(1, sizeof(*policy));
    if (!policy || uv_timer_init(options->loop, &policy->debounce) < 0) {
        free(policy);
        policy_record_deinit(&record);
        return -ENOMEM;
    }
    policy->options = *options;
    policy->record = record;
    policy->debounce.data = policy;
    policy->open_handles = 1;
    if (options->enabled)
        r = add_places(policy);
    if (r < 0) {
        firefox_policy_close(policy);
        return r;
    }
    if (!options->enabled)
        firefox_policy_release(policy);
    *ret = policy;
    return 0;
}

void firefox_policy_close(struct firefox_policy *policy) {
    size_t count = policy->place_count;
    for (size_t i = 0; i < count; i++)
        uv_close((uv_handle_t *)&policy->places[i].watch, handle_closed);
    uv_close((uv_handle_t *)&policy->debounce, handle_closed);
}

/* ---- the watch ---- */

static void debounced(uv_timer_t *timer) {
    apply(timer->data);
}

static void directory_changed(
    uv_fs_event_t *watch, const char *name, int events __attribute__((unused)), int status) {
    struct firefox_policy *policy = watch->data;
    /* our own temp files come and go with every write */
    if (status == 0 && name && firefox_policy_file_is_temp(name))
        return;
    uv_timer_start(&policy->debounce, debounced, DEBOUNCE_MS, 0);
}

/* A directory that was moved away and made again has another inode: so the watch starts anew with
 * each look. */
static void watch_start(struct firefox_place *place) {
    uv_fs_event_stop(&place->watch);
    (void)uv_fs_event_start(&place->watch, directory_changed, place->directory, 0);
}

/* ---- one place ---- */

static void set_status(
    struct firefox_place *place, bool installed, enum reason reason, const char *detail,
    const char *remedy) {
    bool news = reason != place->reason && reason != REASON_NONE;
    place->installed = installed;
    place->reason = reason;
    place->remedy = remedy;
    snprintf(place->detail, sizeof(place->detail), "%s", detail);
    if (news)
        log_event(
            LOG_LEVEL_WARNING, MSG_POLICY_FAILED, reason_text(reason),
            LOG_TEXT("POLICY_DIRECTORY", place->directory), LOG_TEXT("REASON", reason_code(reason)),
            LOG_TEXT("REMEDY", remedy ? remedy : reason_remedy(reason)),
            LOG_TEXT("DETAIL", detail));
}

static int save(struct firefox_policy *policy) {
    int r = policy_record_write(
        policy->options.state_dir_fd, POLICY_RECORD_FIREFOX_FILE, &policy->record);
    if (r < 0)
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE,
            "The record of Firefox's policy cannot be written; free space in the state directory. "
            "Nothing is changed until then",
            LOG_ERRNO(r));
    return r;
}

static int find_entry(
    struct firefox_policy *policy, const char *directory, struct policy_place **ret) {
    *ret = policy_record_find(&policy->record, directory);
    return *ret ? 0 : policy_record_add(&policy->record, directory, ret);
}

/* Opens the directory, making it first where that is ours to do. The record names what is made
 * before it is made. */
static int open_place(struct firefox_policy *policy, const struct firefox_place *place) {
    struct policy_place *entry;
    int fd = chrome_policy_open(place->directory, policy->options.directory_owner);
    if (fd != -ENOENT || !place->make || policy->options.owner == POLICY_OWNER_EXTERNAL)
        return fd;
    int r = find_entry(policy, place->directory, &entry);
    if (r == 0)
        r = chrome_policy_plan_parents(entry);
    if (r == 0)
        r = save(policy);
    if (r == 0)
        r = chrome_policy_make(place->directory);
    return r < 0 ? r : chrome_policy_open(place->directory, policy->options.directory_owner);
}

static int put_in(
    struct firefox_policy *policy, struct firefox_place *place, int fd,
    const struct firefox_policy_file *file) {
    char *text CLEANUP_FREE = NULL, *inserted CLEANUP_FREE = NULL;
    struct policy_place *entry = NULL;

    int r = firefox_policy_insert(file->text, file->size, &text, &inserted);
    if (r == -EBADMSG || r == -EMSGSIZE) {
        set_status(
            place, false, REASON_POLICY_CONFLICT, FIREFOX_POLICY_FILE,
            "Write \"policies\" and \"Preferences\" plainly in that file, and keep it small.");
        return 0;
    }
    if (r == 0)
        r = find_entry(policy, place->directory, &entry);
    if (r == 0)
        r = policy_place_set_inserted(entry, inserted);
    if (r < 0 || !entry)
        return r;
    entry->since = clock_wall_s(policy->options.clock);
    r = save(policy);
    if (r == 0)
        r = firefox_policy_file_write(fd, text, file->mode);
    if (r < 0)
        return r;
    policy->writes++;
    log_event(
        LOG_LEVEL_INFO, MSG_POLICY,
        "Firefox's policy written; a Firefox that runs must be restarted once to read it",
        LOG_TEXT("POLICY_DIRECTORY", place->directory));
    set_status(place, true, REASON_NONE, "", NULL);
    return 0;
}

bool firefox_policy_is_ours_alone(
    const struct firefox_policy *policy, const struct firefox_place *place,
    const struct firefox_policy_file *file) {
    for (size_t i = 0; i < policy->record.place_count; i++) {
        const struct policy_place *entry = &policy->record.places[i];
        if (strcmp(entry->path, place->directory) == 0 && entry->inserted && file->text)
            return strcmp(entry->inserted, file->text) == 0;
    }
    return false;
}

/* Firefox reads one file only: ours would put an administrator's in its own directory out of
 * effect. */
static int give_way(struct firefox_place *place, int fd, const char *other, bool remove) {
    set_status(
        place, false, REASON_POLICY_CONFLICT, other,
        "Move that file to /etc/firefox/policies: Firefox reads one only, and looks there first.");
    return remove ? firefox_policy_file_remove(fd) : 0;
}

static int settle_file(
    struct firefox_policy *policy, struct firefox_place *place, int fd,
    const struct firefox_policy_file *file) {
    bool external = policy->options.owner == POLICY_OWNER_EXTERNAL;
    bool ours_alone = firefox_policy_is_ours_alone(policy, place, file);
    char other[160];

    if ((!file->text || ours_alone) && !external &&
        firefox_policy_file_shadows(place->directory, other, sizeof(other)))
        return give_way(place, fd, other, ours_alone);
    switch (file->text ? firefox_policy_look(file->text, file->size) : FIREFOX_POLICY_ABSENT) {
    case FIREFOX_POLICY_ABSENT:
        if (!external)
            return put_in(policy, place, fd, file);
        set_status(place, false, REASON_POLICY_EXTERNAL, "", NULL);
        break;
    case FIREFOX_POLICY_SET:
        if (!place->installed)
            place->seen_since = clock_wall_s(policy->options.clock);
        set_status(place, true, REASON_NONE, "", NULL);
        break;
    case FIREFOX_POLICY_OTHER:
        set_status(
            place, false, REASON_POLICY_CONFLICT, FIREFOX_POLICY_FILE,
            "Set " FIREFOX_POLICY_PREFERENCE " to \"" FIREFOX_POLICY_VALUE
            "\" there, or take that preference out.");
        break;
    case FIREFOX_POLICY_BROKEN:
        set_status(place, false, REASON_POLICY_BROKEN_FILE, FIREFOX_POLICY_FILE, NULL);
        break;
    }
    return 0;
}

static int settle(struct firefox_policy *policy, struct firefox_place *place, int fd) {
    struct firefox_policy_file file CLEANUP_FIREFOX_POLICY_FILE = {0};
    int r = firefox_policy_file_read(fd, policy->options.directory_owner, &file);
    if (r == -ELOOP || r == -EISDIR || r == -EMSGSIZE) {
        set_status(
            place, false, REASON_POLICY_CONFLICT, strerror(-r),
            "Put a plain file of at most 256 KiB in the place of " FIREFOX_POLICY_FILE ".");
        return 0;
    }
    return r < 0 ? r : settle_file(policy, place, fd, &file);
}

static void apply_place(struct firefox_policy *policy, struct firefox_place *place) {
    int fd CLEANUP_CLOSE = open_place(policy, place);
    if (fd == -ENOENT && !place->make) {
        set_status(place, false, REASON_NONE, "", NULL);
        return;
    }
    watch_start(place); /* before the look, so that no change falls between the two */
    int r = fd < 0 ? fd : settle(policy, place, fd);
    if (r == -ENOENT && policy->options.owner == POLICY_OWNER_EXTERNAL)
        set_status(place, false, REASON_POLICY_EXTERNAL, "", NULL);
    else if (
        r == -EPERM || r == -ENOENT || r == -ELOOP || r == -ENOTDIR || r == -EROFS || r == -EACCES)
        set_status(place, false, REASON_POLICY_DIRECTORY, chrome_policy_error_text(r), NULL);
    else if (r < 0)
        set_status(place, false, REASON_STORAGE, strerror(-r), NULL);
}

/* ---- all places ---- */

static bool is_configured(const struct firefox_policy *policy, const char *directory) {
    for (size_t i = 0; i < policy->place_count; i++)
        if (strcmp(policy->places[i].directory, directory) == 0)
            return true;
    return false;
}

static int take_out(const struct policy_place *entry) {
    int r = entry->inserted ? firefox_policy_file_withdraw(entry->path, entry->inserted) : 0;
    return r < 0 ? r : chrome_policy_remove_created(entry);
}

static void remove_places(struct firefox_policy *policy, bool all) {
    bool changed = false;
    for (size_t i = policy->record.place_count; i > 0; i--) {
        struct policy_place *entry = &policy->record.places[i - 1];
        if (!all && is_configured(policy, entry->path))
            continue;
        int r = take_out(entry);
        if (r < 0) {
            log_event(
                LOG_LEVEL_WARNING, MSG_POLICY_FAILED,
                "Our preference cannot be taken out of Firefox's policies.json; mend that file. It "
                "is tried again at the next start",
                LOG_TEXT("POLICY_DIRECTORY", entry->path), LOG_ERRNO(r));
            continue;
        }
        log_event(
            LOG_LEVEL_INFO, MSG_POLICY, "Firefox's policy removed",
            LOG_TEXT("POLICY_DIRECTORY", entry->path));
        policy_record_drop(&policy->record, entry);
        changed = true;
    }
    if (changed)
        (void)save(policy);
}

static void apply(struct firefox_policy *policy) {
    if (!policy->wanted)
        return;
    remove_places(policy, policy->options.owner == POLICY_OWNER_EXTERNAL);
    for (size_t i = 0; i < policy->place_count; i++)
        apply_place(policy, &policy->places[i]);
}

bool firefox_policy_repair(struct firefox_policy *policy) {
    unsigned before = policy->writes;
    apply(policy);
    return policy->writes != before;
}

void firefox_policy_want(struct firefox_policy *policy) {
    if (!policy->options.enabled)
        return;
    /* also where it stands: what comes into Firefox's own folder is not watched for */
    policy->wanted = true;
    apply(policy);
}

void firefox_policy_release(struct firefox_policy *policy) {
    if (!policy->wanted && policy->record.place_count == 0)
        return;
    policy->wanted = false;
    uv_timer_stop(&policy->debounce);
    for (size_t i = 0; i < policy->place_count; i++) {
        uv_fs_event_stop(&policy->places[i].watch);
        set_status(&policy->places[i], false, REASON_NONE, "", NULL);
    }
    remove_places(policy, true);
}
