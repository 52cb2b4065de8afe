/* db.h on SQLite: the only file that knows which database it is. */
#include "server/db.h"

#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CACHE_SIZE 96 /* statements kept per connection; more are prepared anew each time */
#define BUSY_TIMEOUT_MS                                                                            \
    5000 /* the other connection is ours and quick; an operator's sqlite3 may not be */

extern const char sql_db_schema[];

struct db_statement {
    struct db *db;
    const char *sql; /* the literal's address is the cache's key; NULL: not cached */
    sqlite3_stmt *stmt;
    bool in_use;
};

struct db {
    sqlite3 *handle;
    struct db_statement cache[CACHE_SIZE];
    size_t cached;
};

static int errno_of(int code) {
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST
                                                                                        : -EINVAL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return -EACCES;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

/* Logs what SQLite says, which the errno cannot carry; a constraint is an answer, no fault. */
static int fault(struct db *db, int code) {
    int r = errno_of(code);
    if ((code & 0xff) != SQLITE_CONSTRAINT)
        log_event(
            LOG_LEVEL_ERROR, MSG_DATABASE,
            "The database failed; check free space and permissions of the state directory.",
            LOG_TEXT("DATABASE_ERROR", sqlite3_errmsg(db->handle)), LOG_ERRNO(r));
    return r;
}

static int execute_plain(struct db *db, const char *sql) {
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : fault(db, sqlite3_extended_errcode(db->handle));
}

static int check_version(struct db *db) {
    int64_t version;
    int r = db_query_int(db, "PRAGMA user_version", DB_NO_VALUES, &version);
    if (r < 0)
        return r;
    if (version > DB_SCHEMA_VERSION)
        return -EPROTO;
    return version == DB_SCHEMA_VERSION ? 0 : -EBADMSG;
}

static int create_schema(struct db *db) {
    char version[48];
    snprintf(version, sizeof(version), "PRAGMA user_version = %d", DB_SCHEMA_VERSION);
    int r = db_begin(db);
    if (r < 0)
        return r;
    r = execute_plain(db, sql_db_schema);
    if (r >= 0)
        r = execute_plain(db, version);
    if (r >= 0)
        return db_commit(db);
    db_rollback(db);
    return r;
}

/* SQLite would make the file as the umask lets it; this one is 0600 and new, or an error. */
static int create_file(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static int configure(struct db *db, enum db_mode mode) {
    static const char *const pragmas[] = {
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA trusted_schema = OFF",
    };
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
        int r = execute_plain(db, pragmas[i]);
        if (r < 0)
            return r;
    }
    if (mode == DB_CREATE)
        return create_schema(db);
    int r = check_version(db);
    if (r < 0 || mode == DB_WRITE)
        return r;
    return execute_plain(db, "PRAGMA query_only = ON");
}

int db_open(const char *path, enum db_mode mode, struct db **ret) {
    if (mode == DB_CREATE) {
        int r = create_file(path);
        if (r < 0)
            return r;
    } else if (access(path, F_OK) < 0)
        return -errno;

    CLEANUP_DB struct db *db = calloc(1, sizeof(*db));
    if (!db)
        return -ENOMEM;
    int code = sqlite3_open_v2(
        path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
        NULL);
    if (code != SQLITE_OK)
        return db->handle ? fault(db, code) : -ENOMEM;
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    int r = configure(db, mode);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(db);
    return 0;
}

struct db *db_close(struct db *db) {
    if (!db)
        return NULL;
    for (size_t i = 0; i < db->cached; i++)
        sqlite3_finalize(db->cache[i].stmt);
    sqlite3_close(db->handle);
    free(db);
    return NULL;
}

/* A free entry for this text: the cached statement, a new cache entry, or a single-use one when the
 * cached one is in use (the query is nested in itself) or the cache is full. */
static int take_statement(struct db *db, const char *sql, struct db_statement **ret) {
    bool busy = false;
    for (size_t i = 0; i < db->cached; i++)
        if (db->cache[i].sql == sql) {
            if (!db->cache[i].in_use) {
                *ret = &db->cache[i];
                return 0;
            }
            busy = true;
        }
    bool cache = !busy && db->cached < CACHE_SIZE;
    struct db_statement *statement =
        cache ? &db->cache[db->cached] : calloc(1, sizeof(struct db_statement));
    if (!statement)
        return -ENOMEM;
    int code = sqlite3_prepare_v3(
        db->handle, sql, -1, cache ? SQLITE_PREPARE_PERSISTENT : 0, &statement->stmt, NULL);
    if (code != SQLITE_OK) {
        if (!cache)
            free(statement);
        return fault(db, code);
    }
    statement->db = db;
    statement->sql = cache ? sql : NULL;
    if (cache)
        db->cached++;
    *ret = statement;
    return 0;
}

static int bind_value(sqlite3_stmt *stmt, int index, const struct db_value *value) {
    switch (value->type) {
    case DB_TYPE_INT:
        return sqlite3_bind_int64(stmt, index, value->number);
    case DB_TYPE_TEXT:
        /* a NULL pointer binds SQL's NULL */
        return sqlite3_bind_text(stmt, index, value->data, -1, SQLITE_STATIC);
    case DB_TYPE_BLOB:
        return sqlite3_bind_blob64(stmt, index, value->data, value->size, SQLITE_STATIC);
    case DB_TYPE_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, index);
}

int db_query(
    struct db *db, const char *sql, const struct db_value *values, size_t count,
    struct db_statement **ret) {
    struct db_statement *statement = NULL;
    int r = take_statement(db, sql, &statement);
    if (!statement)
        return r < 0 ? r : -ENOMEM;
    statement->in_use = true;
    for (size_t i = 0; i < count; i++) {
        int code = bind_value(statement->stmt, (int)i + 1, &values[i]);
        if (code != SQLITE_OK) {
            db_finish(statement);
            return fault(db, code);
        }
    }
    *ret = statement;
    return 0;
}

int db_step(struct db_statement *statement) {
    int code = sqlite3_step(statement->stmt);
    if (code == SQLITE_ROW)
        return 1;
    return code == SQLITE_DONE ? 0 : fault(statement->db, code);
}

int64_t db_column_int(struct db_statement *statement, int column) {
    return sqlite3_column_int64(statement->stmt, column);
}

const char *db_column_text(struct db_statement *statement, int column) {
    return (const char *)sqlite3_column_text(statement->stmt, column);
}

const void *db_column_blob(struct db_statement *statement, int column, size_t *ret_size) {
    const void *data = sqlite3_column_blob(statement->stmt, column);
    *ret_size = (size_t)sqlite3_column_bytes(statement->stmt, column);
    return data;
}

int db_column_copy(struct db_statement *statement, int column, char *ret, size_t size) {
    const char *text = db_column_text(statement, column);
    size_t length = text ? strlen(text) : 0;
    if (length >= size)
        return -EMSGSIZE;
    memcpy(ret, text ? text : "", length + 1);
    return 0;
}

struct db_statement *db_finish(struct db_statement *statement) {
    if (!statement)
        return NULL;
    if (!statement->sql) {
        sqlite3_finalize(statement->stmt);
        free(statement);
        return NULL;
    }
    sqlite3_reset(statement->stmt);
    sqlite3_clear_bindings(statement->stmt);
    statement->in_use = false;
    return NULL;
}

int db_execute(struct db *db, const char *sql, const struct db_value *values, size_t count) {
    CLEANUP_DB_STATEMENT struct db_statement *statement = NULL;
    int r = db_query(db, sql, values, count, &statement);
    if (r < 0)
        return r;
    r = db_step(statement);
    return r < 0 ? r : sqlite3_changes(db->handle);
}

int db_query_int(
    struct db *db, const char *sql, const struct db_value *values, size_t count, int64_t *ret) {
    CLEANUP_DB_STATEMENT struct db_statement *statement = NULL;
    int r = db_query(db, sql, values, count, &statement);
    if (r < 0)
        return r;
    r = db_step(statement);
    if (r < 0)
        return r;
    if (r == 0)
        return -ENOENT;
    *ret = db_column_int(statement, 0);
    return 0;
}

int64_t db_last_id(struct db *db) {
    return sqlite3_last_insert_rowid(db->handle);
}

/* Through the cache: these run once per job of the writer. */
static int execute_cached(struct db *db, const char *sql) {
    int r = db_execute(db, sql, DB_NO_VALUES);
    return r < 0 ? r : 0;
}

int db_begin(struct db *db) {
    return execute_cached(db, "BEGIN IMMEDIATE");
}

int db_begin_read(struct db *db) {
    return execute_cached(db, "BEGIN DEFERRED");
}

int db_commit(struct db *db) {
    return execute_cached(db, "COMMIT");
}

bool db_in_transaction(struct db *db) {
    return !sqlite3_get_autocommit(db->handle);
}

void db_rollback(struct db *db) {
    if (db_in_transaction(db))
        (void)execute_cached(db, "ROLLBACK");
}

int db_savepoint(struct db *db) {
    return execute_cached(db, "SAVEPOINT job");
}

int db_savepoint_release(struct db *db) {
    return execute_cached(db, "RELEASE job");
}

void db_savepoint_rollback(struct db *db) {
    if (!db_in_transaction(db))
        return;
    if (execute_cached(db, "ROLLBACK TO job") >= 0)
        (void)execute_cached(db, "RELEASE job");
}
