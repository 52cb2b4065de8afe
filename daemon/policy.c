/* Keeps the browser policy directories in step with what managed users need. */
#include "daemon/policy.h"

#include "daemon/chrome_policy.h"
#include "daemon/policy_internal.h"
#include "daemon/portal_pattern.h"

#include "common/browser_family.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEBOUNCE_MS 100

/* Chromium reads its policy when it starts, but watches the directory only seconds later (best
 * effort), and what changed in between it finds after a quarter of an hour (found by trace,
 * chromium 156). So after a write the file is brought to mind again, for a browser that was just
 * starting. Delays after the write and after each time. */
static const uint64_t remind_ms[] = {1000, 1000, 1000, 1000, 1000, 10000};

#define MAX_PATTERNS 64

static void apply(struct policy *policy);

static void handle_closed(uv_handle_t *handle) {
    struct policy *policy = handle->data;
    if (--policy->open_handles > 0)
        return;
    for (size_t i = 0; i < policy->place_count; i++)
        free(policy->places[i].path);
    policy_record_deinit(&policy->record);
    free(policy);
}

static bool is_configured(const struct policy *policy, const char *path) {
    for (size_t i = 0; i < policy->place_count; i++)
        if (strcmp(policy->places[i].path, path) == 0)
            return true;
    return false;
}

/* Families share directories: each is one place. */
static int add_place(struct policy *policy, const char *path, bool make) {
    if (is_configured(policy, path))
        return 0;
    if (policy->place_count == POLICY_RECORD_MAX_PLACES)
        return -ENOSPC;
    struct place_status *place = &policy->places[policy->place_count];
    *place = (struct place_status){.path = strdup(path), .make = make, .reason = REASON_NONE};
    if (!place->path)
        return -ENOMEM;
    int r = uv_fs_event_init(policy->options.loop, &place->watch);
    if (r < 0) {
        free(place->path);
        return r;
    }
    place->watch.data = policy;
    policy->open_handles++;
    policy->place_count++;
    return 0;
}

static int add_places(struct policy *policy) {
    int r = 0;
    if (policy->options.directories) {
        for (char *const *dir = policy->options.directories; r == 0 && *dir; dir++)
            r = add_place(policy, *dir, true);
        return r;
    }
    for (const struct browser_family *family = browser_families; r == 0 && family->id; family++)
        if (family->kind == BROWSER_CHROMIUM && family->policy_directory)
            r = add_place(policy, family->policy_directory, family->policy_make);
    return r;
}

static int open_firefox(struct policy *policy) {
    const struct firefox_policy_options options = {
        .loop = policy->options.loop,
        .clock = policy->options.clock,
        .state_dir_fd = policy->options.state_dir_fd,
        .enabled = policy->options.firefox_auto_select,
        .owner = policy->options.owner,
        .directories = policy->options.firefox_directories,
        .directory_owner = policy->options.directory_owner,
    };
    return firefox_policy_new(&options, &policy->firefox);
}

int policy_new(const struct policy_options *options, struct policy **ret) {
    struct policy_record record = {0};
    int r = policy_record_read(options->state_dir_fd, POLICY_RECORD_FILE, &record);
    if (r == -EBADMSG) {
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE,
            "policy.json was broken and is kept as policy.json.broken; the policy is rebuilt",
            LOG_ERRNO(r));
        r = state_file_set_aside(options->state_dir_fd, POLICY_RECORD_FILE);
    }
    if (r < 0)
        return r;
    struct policy *policy = calloc(1, sizeof(*policy));
    if (!policy || uv_timer_init(options->loop, &policy->debounce) < 0 ||
        uv_timer_init(options->loop, &policy->remind) < 0) {
        free(policy);
        policy_record_deinit(&record);
        return -ENOMEM;
    }
    policy->options = *options;
    policy->record = record;
    policy->debounce.data = policy;
    policy->remind.data = policy;
    policy->open_handles = 2;
    r = add_places(policy);
    if (r == 0)
        r = open_firefox(policy);
    if (r < 0) {
        policy_close(policy);
        return r;
    }
    *ret = policy;
    return 0;
}

void policy_close(struct policy *policy) {
    size_t count = policy->place_count;
    if (policy->firefox)
        firefox_policy_close(policy->firefox);
    for (size_t i = 0; i < count; i++)
        uv_close((uv_handle_t *)&policy->places[i].watch, handle_closed);
    uv_close((uv_handle_t *)&policy->remind, handle_closed);
    uv_close((uv_handle_t *)&policy->debounce, handle_closed);
}

static void on_remind(uv_timer_t *timer) {
    struct policy *policy = timer->data;
    for (size_t i = 0; i < policy->place_count; i++) {
        if (!policy->places[i].installed)
            continue;
        int fd CLEANUP_CLOSE =
            chrome_policy_open(policy->places[i].path, policy->options.directory_owner);
        if (fd >= 0)
            (void)chrome_policy_remind(fd);
    }
    if (++policy->reminded < ARRAY_LENGTH(remind_ms))
        uv_timer_start(timer, on_remind, remind_ms[policy->reminded], 0);
}

static void debounced(uv_timer_t *timer) {
    struct policy *policy = timer->data;
    apply(policy);
    policy->options.changed(policy->options.userdata);
}

static void directory_changed(
    uv_fs_event_t *watch, const char *name, int events __attribute__((unused)), int status) {
    struct policy *policy = watch->data;
    /* our own temp files come and go with every write */
    if (status == 0 && name &&
        strncmp(name, "." POLICY_MERGE_FILE, strlen("." POLICY_MERGE_FILE)) == 0)
        return;
    uv_timer_start(&policy->debounce, debounced, DEBOUNCE_MS, 0);
}

/* A directory that was moved away and made again has another inode: so the watch starts anew with
 * each look. */
static void watch_start(struct place_status *place) {
    uv_fs_event_stop(&place->watch);
    place->watched = uv_fs_event_start(&place->watch, directory_changed, place->path, 0) == 0;
}

static void set_status(
    struct place_status *place, bool installed, enum reason reason, const char *detail) {
    bool news = reason != place->reason && reason != REASON_NONE;
    place->installed = installed;
    place->reason = reason;
    snprintf(place->detail, sizeof(place->detail), "%s", detail);
    if (news)
        log_event(
            LOG_LEVEL_WARNING, MSG_POLICY_FAILED, reason_text(reason),
            LOG_TEXT("POLICY_DIRECTORY", place->path), LOG_TEXT("REASON", reason_code(reason)),
            LOG_TEXT("REMEDY", reason_remedy(reason)), LOG_TEXT("DETAIL", detail));
}

static int save(struct policy *policy) {
    int r = policy_record_write(policy->options.state_dir_fd, POLICY_RECORD_FILE, &policy->record);
    if (r < 0)
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE,
            "The policy record cannot be written; free space in the state directory. No policy "
            "is changed until then",
            LOG_ERRNO(r));
    return r;
}

/* Opens the directory, making it first where that is ours to do. The record names what is made
 * before it is made. */
static int open_place(struct policy *policy, const struct place_status *place) {
    int fd = chrome_policy_open(place->path, policy->options.directory_owner);
    if (fd != -ENOENT || !place->make)
        return fd;
    struct policy_place *entry = policy_record_find(&policy->record, place->path);
    bool is_new = !entry;
    int r = entry ? 0 : policy_record_add(&policy->record, place->path, &entry);
    size_t known = r == 0 ? entry->created_count : 0;
    if (r == 0)
        r = chrome_policy_plan_parents(entry);
    if (r == 0 && (is_new || entry->created_count != known))
        r = save(policy);
    if (r == 0)
        r = chrome_policy_make(place->path);
    return r < 0 ? r : chrome_policy_open(place->path, policy->options.directory_owner);
}

static void report_merge(struct place_status *place, const struct policy_merge *merge) {
    if (merge->conflict_file[0])
        set_status(place, true, REASON_POLICY_CONFLICT, merge->conflict_file);
    else if (merge->broken_file[0])
        set_status(place, true, REASON_POLICY_BROKEN_FILE, merge->broken_file);
    else
        set_status(place, true, REASON_NONE, "");
}

/* Brings one directory's file to what it must be. Returns 0 or a negative errno. */
static int write_place(struct policy *policy, struct place_status *place, int fd) {
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct policy_rules rules = policy_rules(policy);
    char *text CLEANUP_FREE = NULL, *own CLEANUP_FREE = NULL;
    size_t own_size = 0;

    int r = chrome_policy_read_others(fd, &merge);
    if (r == 0)
        r = policy_merge_render(&merge, &rules, &text);
    if (r < 0 || !text)
        return r < 0 ? r : -ENOMEM;
    r = chrome_policy_read_own(fd, &own, &own_size);
    bool same = r == 0 && own && own_size == strlen(text) && memcmp(own, text, own_size) == 0;
    bool had_rules = r == 0 && own && policy_merge_has_rules(own, own_size, &rules);

    struct policy_place *entry = policy_record_find(&policy->record, place->path);
    if (!entry) {
        r = policy_record_add(&policy->record, place->path, &entry);
        if (r < 0)
            return r;
    }
    bool since_stands = had_rules && entry->since > 0;
    if (!since_stands)
        entry->since = clock_wall_s(policy->options.clock);
    if (!since_stands || !same) {
        r = save(policy);
        if (r < 0)
            return r;
    }
    if (!same) {
        r = chrome_policy_write(fd, text);
        if (r < 0)
            return r;
        policy->writes++;
        policy->reminded = 0;
        uv_timer_start(&policy->remind, on_remind, remind_ms[0], 0);
        log_event(
            LOG_LEVEL_INFO, MSG_POLICY, "Browser policy written",
            LOG_TEXT("POLICY_DIRECTORY", place->path), LOG_NUMBER("RULES", rules.count));
    }
    report_merge(place, &merge);
    return 0;
}

static void apply_place(struct policy *policy, struct place_status *place) {
    int fd CLEANUP_CLOSE = open_place(policy, place);
    if (fd == -ENOENT && !place->make) {
        set_status(place, false, REASON_NONE, "");
        return;
    }
    watch_start(place); /* before the look, so that no change falls between the two */
    int r = fd < 0 ? fd : write_place(policy, place, fd);
    if (r == -EPERM || r == -ENOENT || r == -ELOOP || r == -ENOTDIR || r == -EROFS || r == -EACCES)
        set_status(place, false, REASON_POLICY_DIRECTORY, chrome_policy_error_text(r));
    else if (r < 0)
        set_status(place, false, REASON_STORAGE, strerror(-r));
}

static void remove_places(struct policy *policy, bool all) {
    bool changed = false;
    for (size_t i = policy->record.place_count; i > 0; i--) {
        struct policy_place *place = &policy->record.places[i - 1];
        if (!all && is_configured(policy, place->path))
            continue;
        int r = chrome_policy_remove(place);
        if (r < 0) {
            log_event(
                LOG_LEVEL_WARNING, MSG_POLICY_FAILED,
                "A browser policy of ours cannot be removed; it is tried again at the next change",
                LOG_TEXT("POLICY_DIRECTORY", place->path), LOG_ERRNO(r));
            continue;
        }
        log_event(
            LOG_LEVEL_INFO, MSG_POLICY, "Browser policy removed",
            LOG_TEXT("POLICY_DIRECTORY", place->path));
        policy_record_drop(&policy->record, place);
        policy->writes++;
        changed = true;
    }
    if (changed)
        save(policy);
}

/* owner = external: look, never touch. */
static void verify_place(struct policy *policy, struct place_status *place) {
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct policy_rules rules = policy_rules(policy);
    int fd CLEANUP_CLOSE = chrome_policy_open(place->path, policy->options.directory_owner);

    watch_start(place);
    int r = fd < 0 ? fd : chrome_policy_read_others(fd, &merge);
    if (r == -ENOENT && !place->make) {
        set_status(place, false, REASON_NONE, "");
    } else if (r < 0 && r != -ENOENT) {
        set_status(place, false, REASON_POLICY_DIRECTORY, strerror(-r));
    } else if (r < 0 || !policy_merge_others_have_rules(&merge, &rules)) {
        place->verified_since = 0;
        set_status(place, false, REASON_POLICY_EXTERNAL, "");
    } else {
        if (place->verified_since == 0)
            place->verified_since = clock_wall_s(policy->options.clock);
        set_status(place, true, REASON_NONE, "");
    }
}

static void apply(struct policy *policy) {
    bool external = policy->options.owner == POLICY_OWNER_EXTERNAL;
    if (!policy->wanted)
        return;
    bool nothing = policy->record.pattern_count == 0;
    remove_places(policy, external || nothing);
    for (size_t i = 0; !nothing && i < policy->place_count; i++) {
        if (external)
            verify_place(policy, &policy->places[i]);
        else
            apply_place(policy, &policy->places[i]);
    }
}

/* A mode that hides our file from browsers is mended, too; for one that is right it is a reminder.
 */
static void show_own_files(struct policy *policy) {
    for (size_t i = 0; i < policy->place_count; i++) {
        int fd CLEANUP_CLOSE =
            policy->places[i].installed && policy->options.owner == POLICY_OWNER_DEVTRUST
                ? chrome_policy_open(policy->places[i].path, policy->options.directory_owner)
                : -1;
        if (fd >= 0)
            (void)chrome_policy_remind(fd);
    }
}

bool policy_repair(struct policy *policy) {
    unsigned before = policy->writes;
    apply(policy);
    show_own_files(policy);
    bool changed = firefox_policy_repair(policy->firefox);
    if (policy->writes == before)
        return changed;
    policy->options.changed(policy->options.userdata);
    return true;
}

static bool same_rules(
    const struct policy_record *record, const char *issuer_cn, char *const *patterns,
    size_t count) {
    if (!record->issuer_cn || strcmp(record->issuer_cn, issuer_cn) != 0 ||
        record->pattern_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(record->patterns[i], patterns[i]) != 0)
            return false;
    return true;
}

/* A browser that was installed since has brought its directory along. */
static bool has_come(const struct policy *policy, const struct place_status *place) {
    return policy->record.pattern_count > 0 && access(place->path, F_OK) == 0;
}

static bool all_installed(const struct policy *policy) {
    for (size_t i = 0; i < policy->place_count; i++) {
        const struct place_status *place = &policy->places[i];
        if (!place->installed && (place->reason != REASON_NONE || has_come(policy, place)))
            return false;
    }
    return true;
}

int policy_want(
    struct policy *policy, const char *issuer_cn, const char *home, char *const *patterns,
    size_t count) {
    char *good[MAX_PATTERNS];
    bool taken[MAX_PATTERNS];
    size_t used = 0;

    if (count > MAX_PATTERNS)
        count = MAX_PATTERNS;
    portal_pattern_filter(patterns, count, home, policy->options.allowed_patterns, taken);
    char refused[sizeof(policy->refused)] = "";
    for (size_t i = 0; i < count; i++) {
        if (taken[i])
            good[used++] = patterns[i];
        else
            log_escape(patterns[i], strlen(patterns[i]), refused, sizeof(refused));
    }
    const char *pattern = refused;
    if (refused[0] && strcmp(refused, policy->refused) != 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_POLICY_FAILED, reason_text(REASON_PATTERN_REFUSED),
            LOG_TEXT("PATTERN", pattern),
            LOG_TEXT("REMEDY", reason_remedy(REASON_PATTERN_REFUSED)));
    memcpy(policy->refused, refused, sizeof(refused));
    if (policy->wanted && same_rules(&policy->record, issuer_cn, good, used) &&
        all_installed(policy))
        return 0;
    int r = policy_record_set_rules(&policy->record, issuer_cn, good, used);
    if (r < 0)
        return r;
    policy->wanted = true;
    apply(policy);
    return 0;
}

int policy_keep(struct policy *policy) {
    if (policy->wanted || !policy->record.issuer_cn)
        return 0;
    policy->wanted = true;
    apply(policy);
    return 0;
}

void policy_release(struct policy *policy) {
    if (!policy->wanted && policy->record.place_count == 0 && !policy->record.issuer_cn)
        return;
    policy->wanted = false;
    policy->refused[0] = '\0';
    uv_timer_stop(&policy->debounce);
    uv_timer_stop(&policy->remind);
    for (size_t i = 0; i < policy->place_count; i++) {
        uv_fs_event_stop(&policy->places[i].watch);
        policy->places[i].watched = false;
        policy->places[i].verified_since = 0;
        set_status(&policy->places[i], false, REASON_NONE, "");
    }
    (void)policy_record_set_rules(&policy->record, NULL, NULL, 0);
    remove_places(policy, true);
    save(policy);
}

int policy_examine_firefox(
    const struct policy *policy, size_t index, struct firefox_place_facts *ret) {
    return firefox_policy_examine(policy->firefox, index, ret);
}

bool policy_has_firefox(const struct policy *policy) {
    return firefox_policy_is_enabled(policy->firefox);
}

void policy_want_firefox(struct policy *policy) {
    firefox_policy_want(policy->firefox);
}

void policy_release_firefox(struct policy *policy) {
    firefox_policy_release(policy->firefox);
}

int64_t policy_firefox_since(const struct policy *policy) {
    return firefox_policy_since(policy->firefox);
}

bool policy_ready(const struct policy *policy, int64_t *ret_since) {
    int64_t since = 0;
    bool installed = false;

    if (!policy->wanted)
        return false;
    for (size_t i = 0; i < policy->place_count; i++) {
        int64_t other = policy_place_since(policy, &policy->places[i]);
        installed = installed || policy->places[i].installed;
        if (other > since)
            since = other;
    }
    if (!installed && policy->record.pattern_count > 0 &&
        policy->options.owner != POLICY_OWNER_EXTERNAL)
        return false;
    *ret_since = since;
    return true;
}
