/* A person's status as a page of its own: one file, no scripts, nothing fetched. */
#pragma once

#include "ipc/ctl/person.h"

#include "common/buffer.h"

#define PERSON_PAGE_MAX (512 * 1024) /* bytes; every row at its longest, escaped */

/* embedded from person_page.css (Makefile) */
extern const char asset_person_page[];

/** Renders into `ret`; every text is made safe and escaped. `when`: the time that it shows, as
 * text_time() writes it. Returns 0, -EMSGSIZE or -ENOMEM. */
int person_page_render(const struct person *person, const char *when, struct buffer *ret);
