/* Group commit: the writer's thread takes whatever waits, runs it in one transaction, and hands the
 * results back to the loop through an eventfd. */
#include "server/db_writer.h"

#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

struct entry {
    struct db_job job;
    int result;
    struct entry *next;
};

/* First in, first out. */
struct list {
    struct entry *first;
    struct entry *last;
};

struct db_writer {
    struct db *db; /* the thread's own from its start to its end */
    struct event *wake;
    int wake_fd;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    struct list waiting;
    struct list finished;
    size_t queued; /* submitted and not yet delivered */
    bool ending;
    uint64_t jobs, commits;
};

static void list_append(struct list *list, struct entry *entry) {
    entry->next = NULL;
    if (list->last)
        list->last->next = entry;
    else
        list->first = entry;
    list->last = entry;
}

static struct entry *list_take(struct list *list) {
    struct entry *entry = list->first;
    if (!entry)
        return NULL;
    list->first = entry->next;
    if (!list->first)
        list->last = NULL;
    return entry;
}

/* One job in its savepoint. Returns a negative errno when the whole transaction is lost. */
static int run_entry(struct db *db, struct entry *entry) {
    int r = db_savepoint(db);
    if (r < 0)
        return r;
    entry->result = entry->job.run(db, entry->job.data);
    if (entry->result < 0)
        db_savepoint_rollback(db);
    else {
        r = db_savepoint_release(db);
        if (r < 0)
            return r;
    }
    if (db_in_transaction(db))
        return 0;
    return entry->result < 0 ? entry->result : -EIO;
}

static int run_transaction(struct db *db, struct list *batch) {
    int r = db_begin(db);
    for (struct entry *entry = batch->first; entry && r >= 0; entry = entry->next)
        r = run_entry(db, entry);
    if (r >= 0)
        r = db_commit(db);
    if (r >= 0)
        return 0;
    db_rollback(db);
    for (struct entry *entry = batch->first; entry; entry = entry->next)
        if (entry->result >= 0)
            entry->result = r;
    return r;
}

/* Waits for work. Returns false when there is none and will be none. */
static bool take_batch(struct db_writer *writer, struct list *ret_batch, size_t *ret_count) {
    struct list batch = {0};
    size_t count = 0;
    pthread_mutex_lock(&writer->lock);
    while (!writer->waiting.first && !writer->ending)
        pthread_cond_wait(&writer->work, &writer->lock);
    while (count < DB_WRITER_MAX_BATCH) {
        struct entry *entry = list_take(&writer->waiting);
        if (!entry)
            break;
        list_append(&batch, entry);
        count++;
    }
    pthread_mutex_unlock(&writer->lock);
    *ret_batch = batch;
    *ret_count = count;
    return count > 0;
}

static void *writer_main(void *userdata) {
    struct db_writer *writer = userdata;
    struct list batch;
    size_t count;
    while (take_batch(writer, &batch, &count)) {
        int r = run_transaction(writer->db, &batch);
        pthread_mutex_lock(&writer->lock);
        struct entry *entry;
        while ((entry = list_take(&batch)))
            list_append(&writer->finished, entry);
        writer->jobs += count;
        if (r >= 0)
            writer->commits++;
        pthread_mutex_unlock(&writer->lock);
        eventfd_write(writer->wake_fd, 1);
    }
    return NULL;
}

static void deliver(struct db_writer *writer) {
    pthread_mutex_lock(&writer->lock);
    struct list finished = writer->finished;
    writer->finished = (struct list){0};
    pthread_mutex_unlock(&writer->lock);

    struct entry *entry;
    while ((entry = list_take(&finished))) {
        pthread_mutex_lock(&writer->lock);
        writer->queued--;
        pthread_mutex_unlock(&writer->lock);
        entry->job.done(entry->result, entry->job.data);
        free(entry);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *userdata) {
    (void)what;
    eventfd_t value;
    eventfd_read(fd, &value);
    deliver(userdata);
}

/* Signals belong to the loop: the thread is born with all of them blocked. */
static int start_thread(struct db_writer *writer) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&writer->thread, NULL, writer_main, writer);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -error;
}

static void release(struct db_writer *writer) {
    if (writer->wake)
        event_free(writer->wake);
    if (writer->wake_fd >= 0)
        close(writer->wake_fd);
    pthread_cond_destroy(&writer->work);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

int db_writer_new(struct event_base *base, struct db *db, struct db_writer **ret) {
    struct db_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->work, NULL);
    writer->db = db;
    writer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = writer->wake_fd < 0 ? -errno : 0;
    if (r >= 0) {
        writer->wake = event_new(base, writer->wake_fd, EV_READ | EV_PERSIST, on_wake, writer);
        r = writer->wake && event_add(writer->wake, NULL) == 0 ? 0 : -ENOMEM;
    }
    if (r >= 0)
        r = start_thread(writer);
    if (r < 0) {
        release(writer);
        return r;
    }
    *ret = writer;
    return 0;
}

struct db_writer *db_writer_free(struct db_writer *writer) {
    if (!writer)
        return NULL;
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    deliver(writer);
    db_close(writer->db);
    release(writer);
    return NULL;
}

int db_writer_submit(struct db_writer *writer, const struct db_job *job) {
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->job = *job;
    pthread_mutex_lock(&writer->lock);
    int r = 0;
    if (writer->ending)
        r = -ESHUTDOWN;
    else if (writer->queued >= DB_WRITER_MAX_QUEUE)
        r = -EBUSY;
    else {
        writer->queued++;
        list_append(&writer->waiting, entry);
        pthread_cond_signal(&writer->work);
    }
    pthread_mutex_unlock(&writer->lock);
    if (r < 0)
        free(entry);
    return r;
}

void db_writer_counts(struct db_writer *writer, uint64_t *ret_jobs, uint64_t *ret_commits) {
    pthread_mutex_lock(&writer->lock);
    *ret_jobs = writer->jobs;
    *ret_commits = writer->commits;
    pthread_mutex_unlock(&writer->lock);
}
