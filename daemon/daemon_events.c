/* Hands on what happens to the machine. */
#include "daemon/daemon_events.h"

#include "daemon/daemon.h"

#include "ipc/bus.h"

#include "common/log.h"
#include "common/log_messages.h"
#include "common/paths.h"

/* Timers of the loop stand still during sleep, and connections may have died in it. */
static void resumed(void *userdata) {
    struct daemon *daemon = userdata;
    log_event(
        LOG_LEVEL_INFO, MSG_MACHINE, "The machine has woken; everything is looked at again.",
        LOG_TEXT("EVENT", "resume"));
    if (daemon->link)
        server_link_wake(daemon->link);
    users_advance(daemon->users);
}

static void network_back(void *userdata) {
    struct daemon *daemon = userdata;
    log_event(
        LOG_LEVEL_INFO, MSG_MACHINE, "The network is back; the server is asked at once.",
        LOG_TEXT("EVENT", "network"));
    if (daemon->link)
        server_link_wake(daemon->link);
}

static void login_changed(int64_t uid, void *userdata) {
    struct daemon *daemon = userdata;
    users_login_changed(daemon->users, uid);
}

static void accounts_changed(void *userdata) {
    struct daemon *daemon = userdata;
    users_accounts_changed(daemon->users);
}

void daemon_events_open(struct daemon *daemon) {
    const struct machine_events_options options = {
        .loop = daemon->loop,
        .random = &random_system,
        .bus_address = bus_system_address,
        .accounts_dir = PATH_ACCOUNTS_DIR,
        .resumed = resumed,
        .network_back = network_back,
        .login_changed = login_changed,
        .accounts_changed = accounts_changed,
        .userdata = daemon,
    };
    int r = machine_events_new(&options, &daemon->events);
    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_INTERNAL, "The machine's events cannot be listened to.",
            LOG_ERRNO(r));
}
