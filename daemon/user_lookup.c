/* Looks accounts up on the thread pool. */
#include "daemon/user_lookup.h"

#include "daemon/user_record.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY_UID 65534
#define ENTRY_MAX (64 * 1024) /* bytes of one passwd entry */

/* glibc: 0 and a NULL entry, or one of these, mean "no such account" (getpwnam(3)); anything else
 * is a failure of the service. */
static int entry_result(int error, const struct passwd *entry) {
    if (entry)
        return 0;
    if (error == 0 || error == ENOENT || error == ESRCH)
        return -ENOENT;
    return error > 0 ? -error : -EIO;
}

static int copy_name(const char *from, char *ret, size_t size) {
    if (strlen(from) >= size)
        return -ENAMETOOLONG;
    memcpy(ret, from, strlen(from) + 1);
    return 0;
}

/* Calls one of the two getpw*_r with a buffer that grows to the maximum. */
static int with_buffer(
    const char *name, uid_t uid, uid_t *ret_uid, char *ret_name, size_t name_size) {
    for (size_t size = 1024; size <= ENTRY_MAX; size *= 4) {
        struct passwd storage, *entry = NULL;
        char *buffer = malloc(size);
        if (!buffer)
            return -ENOMEM;
        int error = name ? getpwnam_r(name, &storage, buffer, size, &entry)
                         : getpwuid_r(uid, &storage, buffer, size, &entry);
        int r = entry_result(error, entry);
        if (r == 0) {
            *ret_uid = entry->pw_uid;
            r = copy_name(entry->pw_name, ret_name, name_size);
        }
        free(buffer);
        if (error != ERANGE)
            return r;
    }
    return -ERANGE;
}

static int system_by_name(const char *name, uid_t *ret_uid, char *ret_name, size_t name_size) {
    return with_buffer(name, 0, ret_uid, ret_name, name_size);
}

static int system_by_uid(uid_t uid, char *ret_name, size_t name_size) {
    uid_t ignored;
    return with_buffer(NULL, uid, &ignored, ret_name, name_size);
}

const struct user_database user_database_system = {system_by_name, system_by_uid};

static bool is_ordinary(uid_t uid, int64_t min_uid) {
    return uid != 0 && (int64_t)uid >= min_uid && uid != NOBODY_UID && uid != (uid_t)-1 &&
           uid != (uid_t)UINT16_MAX;
}

enum user_lookup_result user_lookup_now(
    const struct user_database *database, const char *name, int64_t min_uid, uid_t *ret_uid) {
    char canonical[256] = "", back[256] = "";
    uid_t uid = (uid_t)-1;

    int r = database->by_name(name, &uid, canonical, sizeof(canonical));
    if (r == -ENOENT)
        return USER_LOOKUP_UNKNOWN;
    if (r == -ENAMETOOLONG)
        return USER_LOOKUP_REFUSED;
    if (r < 0)
        return USER_LOOKUP_LATER;
    /* a service that ignores case or takes aliases answers with its own spelling: that is another
     * name */
    if (strcmp(canonical, name) != 0 || !is_ordinary(uid, min_uid))
        return USER_LOOKUP_REFUSED;
    r = database->by_uid(uid, back, sizeof(back));
    if (r == -ENOENT || r == -ENAMETOOLONG)
        return USER_LOOKUP_REFUSED;
    if (r < 0)
        return USER_LOOKUP_LATER;
    if (strcmp(back, name) != 0)
        return USER_LOOKUP_REFUSED;
    *ret_uid = uid;
    return USER_LOOKUP_FOUND;
}

/* ---- on the loop ---- */

struct user_lookup {
    uv_work_t work;
    uv_timer_t deadline;
    const struct user_database *database;
    char name[USER_NAME_SIZE];
    int64_t min_uid;
    user_lookup_done done; /* NULL: answered or cancelled */
    void *userdata;
    enum user_lookup_result result;
    uid_t uid;
    unsigned references;      /* the work and the timer's handle */
    struct user_lookup *next; /* of those that have a worker, or wait for one */
};

static struct user_lookup *working; /* the loop's */

/* Nobody waits for it any more, but the name service has not let it go. */
static bool is_hanging(const char *name) {
    const struct user_lookup *lookup = working;
    while (lookup && (lookup->done || strcmp(lookup->name, name) != 0))
        lookup = lookup->next;
    return lookup != NULL;
}

static void forget_working(const struct user_lookup *lookup) {
    struct user_lookup **at = &working;
    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
}

static void release(struct user_lookup *lookup) {
    if (--lookup->references == 0)
        free(lookup);
}

static void timer_closed(uv_handle_t *handle) {
    release(handle->data);
}

static void close_timer(struct user_lookup *lookup) {
    if (!uv_is_closing((uv_handle_t *)&lookup->deadline))
        uv_close((uv_handle_t *)&lookup->deadline, timer_closed);
}

static void answer(struct user_lookup *lookup, enum user_lookup_result result, uid_t uid) {
    user_lookup_done done = lookup->done;
    if (!done)
        return;
    lookup->done = NULL;
    close_timer(lookup);
    done(result, uid, lookup->userdata);
}

static void work(uv_work_t *request) {
    struct user_lookup *lookup = request->data;
    lookup->result = user_lookup_now(lookup->database, lookup->name, lookup->min_uid, &lookup->uid);
}

static void worked(uv_work_t *request, int status) {
    struct user_lookup *lookup = request->data;
    forget_working(lookup);
    answer(lookup, status == 0 ? lookup->result : USER_LOOKUP_LATER, lookup->uid);
    release(lookup);
}

static void deadline_passed(uv_timer_t *timer) {
    answer(timer->data, USER_LOOKUP_LATER, (uid_t)-1);
}

int user_lookup_start(
    uv_loop_t *loop, const struct user_database *database, const char *name, int64_t min_uid,
    uint64_t deadline_ms, user_lookup_done done, void *userdata, struct user_lookup **ret) {
    if (strlen(name) >= USER_NAME_SIZE)
        return -ENAMETOOLONG;
    if (is_hanging(name))
        return -EBUSY;
    struct user_lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    memcpy(lookup->name, name, strlen(name) + 1);
    lookup->database = database;
    lookup->min_uid = min_uid;
    lookup->done = done;
    lookup->userdata = userdata;
    lookup->uid = (uid_t)-1;
    lookup->work.data = lookup;
    lookup->deadline.data = lookup;
    int r = uv_timer_init(loop, &lookup->deadline);
    if (r < 0) {
        free(lookup);
        return r;
    }
    lookup->references = 1;
    r = uv_queue_work(loop, &lookup->work, work, worked);
    if (r < 0) {
        close_timer(lookup);
        return r;
    }
    lookup->references = 2;
    lookup->next = working;
    working = lookup;
    uv_timer_start(&lookup->deadline, deadline_passed, deadline_ms, 0);
    *ret = lookup;
    return 0;
}

void user_lookup_cancel(struct user_lookup *lookup) {
    if (!lookup)
        return;
    lookup->done = NULL;
    close_timer(lookup);
    (void)uv_cancel((uv_req_t *)&lookup->work);
}
