/* A status in the words of the one person who asks for himself: whether he is trusted and until
 * when, for whom, in which browsers, and what is to be done. Made once, shown on the terminal or as
 * a page (person_page.h), so that both say the same. */
#pragma once

#include "ipc/ctl/status_answer.h"
#include "ipc/ctl/text.h"

#include "common/cleanup.h"

#define PERSON_MAX_ROWS 96 /* 16 stores, 9 policies, and what there is to do about each */
#define PERSON_TEXT_SIZE 768

enum person_section {
    PERSON_FACTS,    /* label and text */
    PERSON_BROWSERS, /* one each */
    PERSON_TO_DO,    /* one step each */
    PERSON_SECTION_COUNT_,
};

struct person_row {
    enum person_section section;
    const char *label; /* static; "" but for facts */
    enum text_colour colour;
    char text[PERSON_TEXT_SIZE]; /* not escaped */
};

struct person {
    enum text_colour tone; /* TEXT_GOOD: trusted; TEXT_WARN: on its way; TEXT_BAD */
    char headline[PERSON_TEXT_SIZE];
    char reason[PERSON_TEXT_SIZE]; /* with its code; "": none */
    size_t count;                  /* what is past PERSON_MAX_ROWS is left out */
    struct person_row rows[PERSON_MAX_ROWS];
};

/** Empty; NULL when memory is out. free(). */
struct person *person_new(void);

/** What a status means to its person; `user` NULL: he is not managed on this device. */
void person_fill(
    struct person *person, const struct ctl *ctl, const struct status *status,
    const struct status_user *user);

/** The same from the daemon's answer. Sets *ret_exit as status_exit() does. Returns 0 or -EINVAL
 * (not as the interface says, or memory is out); `person` is untouched then. */
int person_fill_answer(
    struct person *person, const struct ctl *ctl, struct json_object *answer, int *ret_exit);

/** Where there is no status: what is wrong instead, in the words of ctl_fail(). */
void person_fill_unknown(struct person *person, const char *text, const char *remedy);

/** On `ctl->out`, CTL_WIDTH columns. */
void person_show(const struct ctl *ctl, const struct person *person);
