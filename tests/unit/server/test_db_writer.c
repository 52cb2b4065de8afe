/* Group commit: what is answered is on disk, one job's failure is its own, the queue has an end. */
#include "records.h"

#include "server/db_writer.h"

#include <pthread.h>

struct probe {
    int value;
    int fail;  /* negative errno that run returns after it wrote */
    int *done; /* counts callbacks */
    int result;
    struct db *reader; /* sees what is committed when `done` runs */
    bool visible;
    pthread_t thread;
};

static int run(struct db *db, void *data) {
    struct probe *probe = data;
    char name[16];
    snprintf(name, sizeof(name), "n%d", probe->value);
    probe->thread = pthread_self();
    int r = settings_set_int(db, name, probe->value);
    return r < 0 ? r : probe->fail;
}

static void done(int result, void *data) {
    struct probe *probe = data;
    char name[16];
    int64_t value;
    snprintf(name, sizeof(name), "n%d", probe->value);
    probe->result = result;
    assert_int_equal(settings_get_int(probe->reader, name, -1, &value), 0);
    probe->visible = value == probe->value;
    (*probe->done)++;
}

struct writing {
    struct event_base *base;
    struct db *reader;
    struct db_writer *writer;
    int done;
};

static void open_writing(struct records *records, struct writing *ret) {
    *ret = (struct writing){.base = event_base_new()};
    assert_int_equal(db_open(records->path, DB_READ, &ret->reader), 0);
    assert_int_equal(db_writer_new(ret->base, records->db, &ret->writer), 0);
    records->db = NULL;
}

static void close_writing(struct writing *writing) {
    writing->writer = db_writer_free(writing->writer);
    db_close(writing->reader);
    event_base_free(writing->base);
}

static void submit(struct writing *writing, struct probe *probe) {
    probe->done = &writing->done;
    probe->reader = writing->reader;
    const struct db_job job = {.run = run, .done = done, .data = probe};
    assert_int_equal(db_writer_submit(writing->writer, &job), 0);
}

static void run_until(struct writing *writing, int count) {
    while (writing->done < count)
        assert_int_equal(event_base_loop(writing->base, EVLOOP_ONCE), 0);
}

static void test_answers_after_commit(void **state) {
    struct writing writing;
    struct probe probes[40] = {0};
    open_writing(*state, &writing);
    for (int i = 0; i < 40; i++) {
        probes[i].value = i + 1;
        probes[i].fail = i % 10 == 3 ? -ECANCELED : 0;
        submit(&writing, &probes[i]);
    }
    run_until(&writing, 40);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(probes[i].result, probes[i].fail);
        assert_int_equal(probes[i].visible, probes[i].fail == 0);
        assert_false(pthread_equal(probes[i].thread, pthread_self()));
    }
    uint64_t jobs, commits;
    db_writer_counts(writing.writer, &jobs, &commits);
    assert_int_equal(jobs, 40);
    assert_true(commits >= 1 && commits <= 40);
    close_writing(&writing);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int run_behind_gate(struct db *db, void *data) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return run(db, data);
}

/* While one transaction is held up, what comes meanwhile becomes one transaction; and the queue has
 * its bound. */
static void test_group_and_bound(void **state) {
    static struct probe probes[DB_WRITER_MAX_QUEUE + 1];
    struct writing writing;
    uint64_t jobs, commits;
    open_writing(*state, &writing);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < DB_WRITER_MAX_QUEUE; i++) {
        probes[i] = (struct probe){.value = 1, .done = &writing.done, .reader = writing.reader};
        const struct db_job job = {.run = run_behind_gate, .done = done, .data = &probes[i]};
        assert_int_equal(db_writer_submit(writing.writer, &job), 0);
    }
    const struct db_job job = {.run = run, .done = done, .data = &probes[DB_WRITER_MAX_QUEUE]};
    assert_int_equal(db_writer_submit(writing.writer, &job), -EBUSY);
    pthread_mutex_unlock(&gate);
    run_until(&writing, DB_WRITER_MAX_QUEUE);
    db_writer_counts(writing.writer, &jobs, &commits);
    assert_int_equal(jobs, DB_WRITER_MAX_QUEUE);
    /* the first may have been taken alone or with others; the rest in full batches */
    assert_true(commits <= DB_WRITER_MAX_QUEUE / DB_WRITER_MAX_BATCH + 1);
    /* with room again it takes again */
    struct probe again = {.value = 2};
    submit(&writing, &again);
    run_until(&writing, DB_WRITER_MAX_QUEUE + 1);
    assert_true(again.visible);
    close_writing(&writing);
}

static void test_end_finishes_what_is_queued(void **state) {
    struct writing writing;
    struct probe probes[10] = {0};
    open_writing(*state, &writing);
    for (int i = 0; i < 10; i++) {
        probes[i].value = i + 1;
        submit(&writing, &probes[i]);
    }
    writing.writer = db_writer_free(writing.writer);
    assert_int_equal(writing.done, 10);
    for (int i = 0; i < 10; i++)
        assert_true(probes[i].visible);
    close_writing(&writing);
}

static int run_breaking(struct db *db, void *data) {
    (void)data;
    db_rollback(db); /* what SQLite does by itself when the disk is full */
    return 0;
}

/* A lost transaction is an error for everybody in it, and the next one works. */
static void test_lost_transaction(void **state) {
    struct writing writing;
    struct probe before = {.value = 1}, breaking = {.value = 2}, after = {.value = 3};
    open_writing(*state, &writing);
    pthread_mutex_lock(&gate);
    const struct db_job first = {.run = run_behind_gate, .done = done, .data = &before};
    before.done = breaking.done = &writing.done;
    before.reader = breaking.reader = writing.reader;
    assert_int_equal(db_writer_submit(writing.writer, &first), 0);
    const struct db_job second = {.run = run_breaking, .done = done, .data = &breaking};
    assert_int_equal(db_writer_submit(writing.writer, &second), 0);
    pthread_mutex_unlock(&gate);
    run_until(&writing, 2);
    assert_true(breaking.result < 0);
    assert_false(breaking.visible);
    assert_int_equal(before.visible, before.result >= 0);
    submit(&writing, &after);
    run_until(&writing, 3);
    assert_int_equal(after.result, 0);
    assert_true(after.visible);
    close_writing(&writing);
}

int main(void) {
#define READY(test) cmocka_unit_test_setup_teardown(test, records_setup, records_teardown)
    const struct CMUnitTest tests[] = {
        READY(test_answers_after_commit),
        READY(test_group_and_bound),
        READY(test_end_finishes_what_is_queued),
        READY(test_lost_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
