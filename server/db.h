/* A connection to the database: statements with typed values, transactions, the schema's version.
 * The objects (certificate.h, device.h, user.h, assignment.h, token.h, settings.h, audit.h) keep
 * their own SQL; this is the seam behind which SQLite stands (db_sqlite.c). A connection belongs to
 * one thread. The loop's thread reads; only the writer's thread (db_writer.h) and `init` write. */
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_SCHEMA_VERSION 1

struct db;
struct db_statement;

enum db_mode {
    DB_CREATE, /* new file with the schema; -EEXIST if there is one */
    DB_WRITE,  /* existing; WAL, synchronous=FULL, foreign keys */
    DB_READ,   /* existing; query only */
};

/** Opens. Returns 0; -ENOENT; -EEXIST; -EPROTO (the schema's version is a newer program's);
 * -EBADMSG (no database of ours); -ENOSPC, -EIO, -EACCES. Release with db_close(). */
int db_open(const char *path, enum db_mode mode, struct db **ret);
struct db *db_close(struct db *db);

/* --- values --- */

enum db_type { DB_TYPE_NULL, DB_TYPE_INT, DB_TYPE_TEXT, DB_TYPE_BLOB };

struct db_value {
    enum db_type type;
    int64_t number;
    const void *data; /* borrowed until the statement is finished */
    size_t size;
};

#define DB_INT(value_)                                                                             \
    (struct db_value) {                                                                            \
        .type = DB_TYPE_INT, .number = (value_)                                                    \
    }
/** NULL is SQL's NULL. */
#define DB_TEXT(value_)                                                                            \
    (struct db_value) {                                                                            \
        .type = DB_TYPE_TEXT, .data = (value_)                                                     \
    }
#define DB_BLOB(data_, size_)                                                                      \
    (struct db_value) {                                                                            \
        .type = DB_TYPE_BLOB, .data = (data_), .size = (size_)                                     \
    }
/** The values for the question marks of a statement, in order. */
#define DB_VALUES(...)                                                                             \
    (const struct db_value[]){__VA_ARGS__},                                                        \
        sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value)
#define DB_NO_VALUES NULL, 0

/* --- statements --- */

/** Prepares (kept for the connection: `sql` must be a string literal) and binds. Release with
 * db_finish(). Returns 0 or a negative errno. */
int db_query(
    struct db *db, const char *sql, const struct db_value *values, size_t count,
    struct db_statement **ret);

/** 1: a row; 0: the end; -EEXIST: a uniqueness constraint; -EINVAL: another constraint; -EBUSY;
 * -ENOSPC; -EIO. */
int db_step(struct db_statement *statement);

/** Columns of the row, from 0. Text and blobs are valid until the next step; text of NULL is NULL,
 * an int of NULL is 0. */
int64_t db_column_int(struct db_statement *statement, int column);
const char *db_column_text(struct db_statement *statement, int column);
const void *db_column_blob(struct db_statement *statement, int column, size_t *ret_size);

/** Copies text that fits (NULL becomes ""); returns 0 or -EMSGSIZE. */
int db_column_copy(struct db_statement *statement, int column, char *ret, size_t size);

struct db_statement *db_finish(struct db_statement *statement);
DEFINE_CLEANUP(struct db_statement *, db_finish);
#define CLEANUP_DB_STATEMENT CLEANUP(db_finish_ptr)

/** A statement without rows. Returns the number of changed rows or a negative errno. */
int db_execute(struct db *db, const char *sql, const struct db_value *values, size_t count);

/** The first column of the first row. Returns 0, -ENOENT, or a negative errno. */
int db_query_int(
    struct db *db, const char *sql, const struct db_value *values, size_t count, int64_t *ret);

/** The row id of the last insert on this connection. */
int64_t db_last_id(struct db *db);

/* --- transactions --- */

int db_begin(struct db *db);      /* takes the write lock at once */
int db_begin_read(struct db *db); /* one snapshot for several queries; end it with db_rollback() */
int db_commit(struct db *db);
void db_rollback(struct db *db);
bool db_in_transaction(struct db *db); /* false after the database ended it by itself (disk full) */
int db_savepoint(struct db *db);
int db_savepoint_release(struct db *db);
void db_savepoint_rollback(struct db *db);

DEFINE_CLEANUP(struct db *, db_close);
#define CLEANUP_DB CLEANUP(db_close_ptr)
