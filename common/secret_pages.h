/* Pages for secrets: the platform's half of secret.c. */
#pragma once

#include <stddef.h>

/** Zeroed memory of its own pages, left out of core dumps and forked children, locked if the limits
 * allow it. NULL when memory is out. */
void *secret_pages_allocate(size_t size);

/** Wipes and gives back what secret_pages_allocate() gave for the same size. */
void secret_pages_free(void *pages, size_t size);
