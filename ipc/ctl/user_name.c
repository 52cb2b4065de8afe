/* Names of accounts: a name service may be slow, so each is asked once. */
#include "ipc/ctl/ctl.h"

#include "common/cleanup.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#define REMEMBERED 64
#define ENTRY_SIZE ((size_t)16 * 1024) /* bytes of one passwd entry */

struct known {
    uid_t uid;
    bool named;
    char name[CTL_NAME_SIZE];
};

static int ask(uid_t uid, char ret[CTL_NAME_SIZE]) {
    struct passwd storage, *entry = NULL;
    char CLEANUP_FREE *buffer = malloc(ENTRY_SIZE);
    if (!buffer)
        return -ENOMEM;
    if (getpwuid_r(uid, &storage, buffer, ENTRY_SIZE, &entry) != 0 || !entry ||
        strlen(entry->pw_name) >= CTL_NAME_SIZE)
        return -ENOENT;
    memcpy(ret, entry->pw_name, strlen(entry->pw_name) + 1);
    return 0;
}

int ctl_user_name(uid_t uid, char ret[CTL_NAME_SIZE]) {
    static struct known known[REMEMBERED];
    static size_t count;
    for (size_t i = 0; i < count && i < REMEMBERED; i++)
        if (known[i].uid == uid) {
            memcpy(ret, known[i].name, CTL_NAME_SIZE);
            return known[i].named ? 0 : -ENOENT;
        }
    struct known *place = &known[count++ % REMEMBERED]; /* the oldest makes room */
    *place = (struct known){.uid = uid};
    place->named = ask(uid, place->name) == 0;
    memcpy(ret, place->name, CTL_NAME_SIZE);
    return place->named ? 0 : -ENOENT;
}

int ctl_account(const struct ctl *ctl, uid_t uid, char ret[CTL_NAME_SIZE]) {
    if (!ctl->bridge)
        return ctl->user_name ? ctl->user_name(uid, ret) : -ENOENT;
    if (uid != 0)
        return -ENOENT;
    memcpy(ret, "root", sizeof "root");
    return 0;
}
