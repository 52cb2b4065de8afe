/* The growing byte string with a declared maximum; every reader of foreign input collects into one
 * of these. */
#include "common/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_CAPACITY 64U

void buffer_deinit(struct buffer *buffer) {
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
}

/* Makes room for `size` bytes and the NUL behind them. Doubling keeps a byte-wise fill linear; the
 * maximum caps it. */
static int reserve(struct buffer *buffer, size_t size) {
    if (buffer->data && size < buffer->capacity)
        return 0;

    size_t wanted = buffer->capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : buffer->capacity;
    while (wanted <= size && wanted <= SIZE_MAX / 2)
        wanted *= 2;
    if (wanted > buffer->maximum)
        wanted = buffer->maximum + 1;
    if (wanted <= size) /* only at sizes beyond half the address space */
        return -ENOMEM;

    uint8_t *grown = realloc(buffer->data, wanted);
    if (!grown)
        return -ENOMEM;
    buffer->data = grown;
    buffer->capacity = wanted;
    return 0;
}

int buffer_append_growing(struct buffer *buffer, const void *data, size_t size) {
    if (buffer->maximum == SIZE_MAX || size > buffer->maximum - buffer->size)
        return -EMSGSIZE;

    int r = reserve(buffer, buffer->size + size);
    if (r < 0)
        return r;
    if (size > 0) /* memcpy() from NULL is undefined even for nothing */
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t size) {
    if (size == 0 || buffer->size == 0)
        return;
    if (size > buffer->size)
        size = buffer->size;
    memmove(buffer->data, buffer->data + size, buffer->size - size + 1);
    buffer->size -= size;
}

char *buffer_steal(struct buffer *buffer, size_t *ret_size) {
    if (!buffer->data && buffer_append(buffer, NULL, 0) < 0)
        return NULL;

    char *stolen = (char *)buffer->data;
    if (ret_size)
        *ret_size = buffer->size;
    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
    return stolen;
}
