/* See html.h. */
#include "common/html.h"

#include "common/cleanup.h"

int html_append_escaped(struct buffer *buffer, const char *text) {
    static const struct {
        char character;
        const char *entity;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    int r = 0;
    for (; *text != '\0' && r == 0; text++) {
        const char *entity = NULL;
        for (size_t i = 0; i < ARRAY_LENGTH(entities) && !entity; i++)
            if (entities[i].character == *text)
                entity = entities[i].entity;
        r = entity ? buffer_append_string(buffer, entity) : buffer_append(buffer, text, 1);
    }
    return r;
}
