/* A growing byte string with a maximum that is declared when it is made. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buffer {
    uint8_t *data; /* NUL-terminated one past size, for the convenience of text users */
    size_t size;
    size_t capacity;
    size_t maximum;
};

/** An empty buffer that never grows beyond `maximum` bytes. Release with buffer_deinit(). */
#define BUFFER_INIT(maximum_)                                                                      \
    { .data = NULL, .size = 0, .capacity = 0, .maximum = (maximum_) }

/** Frees the contents; the buffer may be used again. Safe on a zeroed buffer. */
void buffer_deinit(struct buffer *buffer);

/* What buffer_append() does where there is no room yet. */
int buffer_append_growing(struct buffer *buffer, const void *data, size_t size);

/** Appends `size` bytes. Returns 0, -EMSGSIZE past the maximum (contents unchanged), -ENOMEM. Here
 * for those who write in pieces of a few bytes, as JSON does. */
static inline int buffer_append(struct buffer *buffer, const void *data, size_t size) {
    if (size == 0 || size >= buffer->capacity - buffer->size)
        return buffer_append_growing(buffer, data, size);
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return 0;
}

/** Appends a C string without its NUL. Errors as buffer_append(). */
static inline int buffer_append_string(struct buffer *buffer, const char *string) {
    return buffer_append(buffer, string, strlen(string));
}

/** Removes `size` bytes (at most buffer->size) from the front. */
void buffer_consume(struct buffer *buffer, size_t size);

/** Hands the contents to the caller (free() them); the buffer is empty afterwards. Never NULL: an
 *  empty buffer gives an allocated empty string, or NULL when memory is out. */
char *buffer_steal(struct buffer *buffer, size_t *ret_size);

#define CLEANUP_BUFFER CLEANUP(buffer_deinit)
