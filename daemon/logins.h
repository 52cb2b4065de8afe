/* Who is signed in on this machine, as its login manager says. While it says nothing, nothing is
 * known of anybody. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGINS_MAX 1024 /* past it, nothing is known of who is not among them */

enum login { LOGIN_UNKNOWN, LOGIN_NO, LOGIN_YES };

struct logins {
    bool known, overflown;
    size_t count;
    uint32_t uids[LOGINS_MAX];
};

/** Nothing is known any more. */
void logins_forget(struct logins *logins);

/** From now on who is not added is not signed in. */
void logins_begin(struct logins *logins);

void logins_add(struct logins *logins, uint32_t uid);
void logins_remove(struct logins *logins, uint32_t uid);

/** `uid` negative: not known which. */
enum login logins_state(const struct logins *logins, int64_t uid);
