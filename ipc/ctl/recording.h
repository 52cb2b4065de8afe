/* A file that `ipc monitor --record` writes and `ipc replay` shows: lines of JSON, the first one
 * {"format": "devtrust-monitor", "version": 1, …}, then one event each. */
#pragma once

#include "ipc/ctl/event.h"

#define RECORDING_FORMAT "devtrust-monitor"
#define RECORDING_VERSION 1
#define RECORDING_LINE_MAX ((size_t)64 * 1024) /* bytes */

/* ---- writing ---- */

struct recording;

/** Makes the file (0600, never over an existing one) with its first line. Returns CTL_GOOD, or an
 * exit status after having said why. */
int recording_new(
    struct ctl *ctl, const char *path, const struct event_filter *filter, struct recording **ret);

/** One event's line, without its end. Errors show at the next flush. */
void recording_add(struct recording *recording, const char *line);

/** Hands it to the system. Returns 0 or a negative errno. */
int recording_flush(struct recording *recording);

/** Closes; `keep` false removes the file. Returns 0 or a negative errno. NULL is allowed. */
int recording_close(struct recording *recording, bool keep);

/* ---- reading ---- */

struct recording_reader;

/* What its first line says; borrowed from the reader. NULL, or -1: not there. */
struct recording_header {
    int64_t version, time_us;
    const char *format, *host, *user, *method;
};

/** Opens ("-": `ctl->in`) and reads the first line. Returns CTL_GOOD, or an exit status after
 * having said why. */
int recording_reader_new(
    struct ctl *ctl, const char *path, struct recording_reader **ret,
    const struct recording_header **ret_header);
struct recording_reader *recording_reader_free(struct recording_reader *reader);

/** The next event and its line, both valid until the next call. Returns 1; 0 at the end; a negative
 * value after having said what is wrong with which line: then *ret_status is the exit status
 * (CTL_GOOD where only the last line is cut off). */
int recording_reader_next(
    struct recording_reader *reader, struct event *ret, const char **ret_line, int *ret_status);
