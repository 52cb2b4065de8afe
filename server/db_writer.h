/* The one thread that writes to the database: what is queued meanwhile goes into one transaction
 * (group commit), each job in a savepoint of its own, and is answered on the loop after the commit,
 * so that nothing is acknowledged that a power cut could take back. */
#pragma once

#include "server/db.h"

#include <event2/event.h>

#define DB_WRITER_MAX_QUEUE 4096 /* jobs waiting or running */
#define DB_WRITER_MAX_BATCH 128  /* jobs in one transaction */

struct db_writer;

struct db_job {
    /** On the writer's thread, in the transaction. A negative errno undoes this job alone. A
     * refusal whose traces are to be kept is 0 with the refusal in the job's own data. */
    int (*run)(struct db *db, void *data);
    /** On the loop, after the commit (or its failure, `result` < 0). Frees `data`. */
    void (*done)(int result, void *data);
    void *data;
};

/** Takes over `db` (DB_WRITE) on success and starts the thread. Returns 0 or a negative errno. */
int db_writer_new(struct event_base *base, struct db *db, struct db_writer **ret);

/** Finishes what is queued, joins the thread, delivers the callbacks, closes the database. Takes
 * NULL, returns NULL. */
struct db_writer *db_writer_free(struct db_writer *writer);

/** Queues a copy of `job`. Returns 0; -EBUSY when the queue is full, -ESHUTDOWN while ending
 * (neither callback runs then; data stays the caller's). */
int db_writer_submit(struct db_writer *writer, const struct db_job *job);

/** For status: jobs done, transactions committed since the start. */
void db_writer_counts(struct db_writer *writer, uint64_t *ret_jobs, uint64_t *ret_commits);
