/* Reading, strictly: a recording comes from anywhere. See recording.h. */
#include "ipc/ctl/recording.h"

#include "ipc/ctl/text.h"

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct recording_reader {
    struct ctl *ctl;
    FILE *file;
    bool own_file;
    char *path;
    uint64_t line_number;
    struct buffer line;
    struct json_object *object; /* of the line */
    struct json_object *header_object;
    struct recording_header header;
};

/* ---- lines ---- */

/* Reads up to the end of a line. Returns 1; 0 at the end of the file; -EMSGSIZE, or another
 * negative errno. *ret_ended: the line has an end. */
static int read_line(struct recording_reader *reader, bool *ret_ended) {
    struct buffer *line = &reader->line;
    buffer_consume(line, line->size);
    *ret_ended = false;
    int c = EOF, r = 0;
    while (r == 0 && (c = getc(reader->file)) != EOF && c != '\n') {
        char byte = (char)c;
        r = buffer_append(line, &byte, 1);
    }
    if (r == 0 && ferror(reader->file))
        r = -EIO;
    if (r < 0)
        return r;
    reader->line_number++;
    *ret_ended = c == '\n';
    return line->size > 0 || c == '\n' ? 1 : 0;
}

/* FILE:LINE: text detail. Returns -1 and *ret_status. */
static int line_error(
    struct recording_reader *reader, int status, const char *text, const char *detail,
    const char *remedy, int *ret_status) {
    char place[TEXT_SAFE_SIZE], safe[TEXT_SAFE_SIZE];
    snprintf(
        place, sizeof place, "%.512s:%llu: %s", text_safe(reader->path, safe),
        (unsigned long long)reader->line_number, text);
    *ret_status = ctl_fail_with(reader->ctl, status, "other", place, detail, remedy);
    return -1;
}

/* ---- the first line ---- */

static const struct json_field header_table[] = {
    JSON_FIELD(struct recording_header, format, "format", JSON_FIELD_STRING, true, 1, 64),
    JSON_FIELD(struct recording_header, version, "version", JSON_FIELD_INT, true, 1, INT32_MAX),
    JSON_FIELD(
        struct recording_header, time_us, "time_us", JSON_FIELD_INT, false, 0, INT64_MAX - 1),
    JSON_FIELD(struct recording_header, host, "host", JSON_FIELD_STRING, false, 0, 256),
    JSON_FIELD(struct recording_header, user, "user", JSON_FIELD_STRING, false, 0, 256),
    JSON_FIELD(struct recording_header, method, "method", JSON_FIELD_STRING, false, 0, 256),
};

static int read_header(struct recording_reader *reader) {
    static const char what[] = "A recording is made with: devtrustctl ipc monitor --record FILE.";
    struct recording_header *header = &reader->header;
    int status = CTL_GOOD;
    bool ended;
    int r = read_line(reader, &ended);
    if (r == 1)
        r = json_gate_parse(
            (const char *)reader->line.data, reader->line.size, &reader->header_object);
    else
        r = -EBADMSG;
    header->time_us = -1;
    if (r < 0 ||
        json_fields_read(
            reader->header_object, header_table, ARRAY_LENGTH(header_table), header, NULL) < 0 ||
        strcmp(header->format, RECORDING_FORMAT) != 0) {
        reader->line_number = 1;
        (void)line_error(reader, CTL_NO, "This is no recording.", NULL, what, &status);
    } else if (header->version > RECORDING_VERSION) {
        (void)line_error(
            reader, CTL_NO, "This recording was made by a newer version of devtrustctl.", NULL,
            "Show it with that version.", &status);
    }
    return status;
}

/* ---- life ---- */

static int open_file(struct recording_reader *reader) {
    if (strcmp(reader->path, "-") == 0) {
        reader->file = reader->ctl->in;
        return reader->file ? 0 : -EBADF;
    }
    reader->own_file = true;
    reader->file = fopen(reader->path, "re");
    return reader->file ? 0 : -errno;
}

struct recording_reader *recording_reader_free(struct recording_reader *reader) {
    if (!reader)
        return NULL;
    if (reader->own_file && reader->file)
        fclose(reader->file);
    json_object_put(reader->object);
    json_object_put(reader->header_object);
    buffer_deinit(&reader->line);
    free(reader->path);
    free(reader);
    return NULL;
}

DEFINE_CLEANUP(struct recording_reader *, recording_reader_free);

int recording_reader_new(
    struct ctl *ctl, const char *path, struct recording_reader **ret,
    const struct recording_header **ret_header) {
    struct recording_reader CLEANUP(recording_reader_free_ptr) *reader = calloc(1, sizeof *reader);
    if (!reader || !(reader->path = strdup(path)))
        return ctl_fail(ctl, REASON_NO_MEMORY);
    reader->ctl = ctl;
    reader->line = (struct buffer)BUFFER_INIT(RECORDING_LINE_MAX);
    int r = open_file(reader);
    if (r < 0)
        return ctl_fail_file(
            ctl, CTL_USAGE, "usage", "The recording cannot be read:", path, -r,
            "Check its name and permissions.");
    int status = read_header(reader);
    if (status != CTL_GOOD)
        return status;
    *ret_header = &reader->header;
    *ret = TAKE_PTR(reader);
    return CTL_GOOD;
}

/* ---- events ---- */

/* What a crash or a full disk left of the last line is no event; all before it is whole. */
static int cut_off(struct recording_reader *reader, int *ret_status) {
    char safe[TEXT_SAFE_SIZE];
    fprintf(
        reader->ctl->err, "%.512s:%llu: The last line is cut off; everything before it is shown.\n",
        text_safe(reader->path, safe), (unsigned long long)reader->line_number);
    *ret_status = CTL_GOOD;
    return -1;
}

int recording_reader_next(
    struct recording_reader *reader, struct event *ret, const char **ret_line, int *ret_status) {
    static const char damaged[] = "Copy the recording again, or cut the line out.";
    const char *field = NULL;
    bool ended;
    int r = read_line(reader, &ended);
    if (r == 0)
        return 0;
    if (r == -EMSGSIZE)
        reader->line_number++;
    if (r < 0)
        return line_error(
            reader, CTL_NO, r == -EMSGSIZE ? "The line is too long." : strerror(-r), NULL, damaged,
            ret_status);
    json_object_put(reader->object);
    reader->object = NULL;
    r = json_gate_parse((const char *)reader->line.data, reader->line.size, &reader->object);
    if (r < 0 && !ended)
        return cut_off(reader, ret_status);
    if (r < 0)
        return line_error(reader, CTL_NO, "The line is no JSON value.", NULL, damaged, ret_status);
    r = event_read(reader->object, ret, &field);
    if (r < 0)
        return line_error(
            reader, CTL_NO, *field ? "This is missing or wrong:" : "The line is no JSON object.",
            field, damaged, ret_status);
    *ret_line = (const char *)reader->line.data;
    return 1;
}
