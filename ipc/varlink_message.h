/* Varlink on the wire, without a transport: messages are one JSON object and one NUL byte. Takes
 * bytes apart into messages, and calls and replies into their parts, strictly. Source: varlink.org,
 * Method Call. */
#pragma once

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/json_fields.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

#define VARLINK_CALL_MAX ((size_t)64 * 1024)    /* bytes of one call, without its NUL */
#define VARLINK_CALL_MAX_VALUES ((size_t)4096)  /* JSON values of one call */
#define VARLINK_REPLY_MAX ((size_t)1024 * 1024) /* bytes of one reply, without its NUL */

/* ---- bytes to messages ---- */

/* Works on the bytes that were just read where they are; copies only what is left over. */
struct varlink_reader {
    struct buffer kept; /* left over from earlier reads; its memory is released when it is empty */
    const char *window; /* what is not yet taken: in `kept`, or in the bytes that were fed */
    size_t window_size;
    bool window_is_fed;
    size_t complete; /* whole messages in the window */
    size_t maximum;  /* bytes of one message without its NUL */
};

/** `maximum`: bytes of one message without its NUL; `slack`: the most that is fed at once. */
void varlink_reader_init(struct varlink_reader *reader, size_t maximum, size_t slack);
void varlink_reader_deinit(struct varlink_reader *reader);

/** Gives it bytes, which must stay where they are until varlink_reader_settle(). Returns 0,
 * -EMSGSIZE, -ENOMEM. */
int varlink_reader_feed(struct varlink_reader *reader, const char *data, size_t size);

/** The next whole message, without its NUL (which stands behind it); valid until the next feed or
 * settle. Returns 1; 0 if none is complete; -EMSGSIZE if it is, or is going to be, longer than the
 * maximum. */
int varlink_reader_next(struct varlink_reader *reader, const char **ret, size_t *ret_size);

/** Keeps what is left of the bytes that were fed. Returns 0, -EMSGSIZE, -ENOMEM. */
int varlink_reader_settle(struct varlink_reader *reader);

/** After settle: bytes that are kept, whole messages among them, and whether the last one is only a
 * beginning. */
size_t varlink_reader_kept(const struct varlink_reader *reader);
bool varlink_reader_is_partial(const struct varlink_reader *reader);

/* ---- text to calls and replies ---- */

/* A name that fits has its room here, as nearly every one does. */
struct varlink_name {
    char room[128];
    char *longer; /* NULL: it has room */
};

struct varlink_call_parts {
    const char *method;
    const char *parameters; /* the text of them, which has passed the gate and is borrowed from the
                               message; NULL: none */
    size_t parameters_size;
    bool more, oneway;
    char *offence;            /* the key that is wrong; NULL: none is */
    struct varlink_name name; /* what `method` is borrowed from */
};

/** Takes a call apart. The types are exact; a key that the protocol does not know, `upgrade: true`,
 * and `more` with `oneway` are refused. Returns 0; -EINVAL where `offence` says what is wrong, and
 * the rest is set as far as it is good; -EBADMSG for what is no JSON object; -EMSGSIZE past
 * VARLINK_CALL_MAX_VALUES; -ENOMEM. Release the parts with varlink_call_parts_deinit() in any case,
 * and leave them where they are. */
int varlink_call_read(const char *text, size_t size, struct varlink_call_parts *ret);
void varlink_call_parts_deinit(struct varlink_call_parts *call);
#define CLEANUP_VARLINK_CALL CLEANUP(varlink_call_parts_deinit)

struct varlink_reply_parts {
    const char *error;              /* NULL: a good one */
    struct json_object *parameters; /* NULL: none, or not made */
    const char *text;               /* of the parameters, as of a call; NULL: none */
    size_t text_size;
    bool continues;
    struct varlink_name name; /* what `error` is borrowed from */
};

/** Takes a reply apart; `makes`: whether an object is made of the parameters. Returns 0, -EBADMSG
 * for anything the protocol does not know, -ENOMEM. Release the parts with
 * varlink_reply_parts_deinit() in any case, and leave them where they are. */
int varlink_reply_read(const char *text, size_t size, bool makes, struct varlink_reply_parts *ret);
void varlink_reply_parts_deinit(struct varlink_reply_parts *reply);
#define CLEANUP_VARLINK_REPLY CLEANUP(varlink_reply_parts_deinit)

/* What a message says: objects of json-c, or a struct with the table that it is read and written
 * by. All is borrowed. */
struct varlink_parameters {
    struct json_object *object;
    const struct json_field *table; /* NULL: the object counts; that NULL, too: there are none */
    size_t count;
    const void *fields;
};

/** Append the text of a message; the NUL that a buffer has behind its contents ends it.
 * `parameters` may have none (nothing for a call, {} for a reply), `error` NULL: a good reply.
 * Return 0, -EMSGSIZE past the buffer's maximum, -ENOMEM; the buffer may then hold a part of it. */
int varlink_call_write(
    struct buffer *buffer, const char *method, const struct varlink_parameters *parameters,
    bool more, bool oneway);
int varlink_reply_write(
    struct buffer *buffer, const char *error, const struct varlink_parameters *parameters,
    bool continues);

/** True for reverse-domain.Name: an interface, a dot, and a name that begins with a capital
 * (varlink.org). *ret_interface_length (may be NULL): bytes before the last dot. */
bool varlink_name_is_valid(const char *name, size_t *ret_interface_length);
