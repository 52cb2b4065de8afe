/* Linux: signals of the system bus, and inotify on the folder of the accounts. */
#include "daemon/machine_events.h"

#include "ipc/bus.h"

#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"
#define NETWORK_MANAGER "org.freedesktop.NetworkManager"
#define NETWORK_MANAGER_PATH "/org/freedesktop/NetworkManager"
#define NETWORKD "org.freedesktop.network1"

/* NMState (NetworkManager's D-Bus API): from here on there is a network, be it without internet */
#define NM_STATE_CONNECTED_LOCAL 50

struct machine_events {
    struct machine_events_options options;
    struct bus *bus;
    struct logins logins;
    uv_timer_t network_rest, accounts_rest;
    uv_fs_event_t accounts;
    bool network_again;
    unsigned handles;
};

/* ---- the network ---- */

static void network_rested(uv_timer_t *timer);

static void network_back(struct machine_events *events) {
    if (uv_is_active((uv_handle_t *)&events->network_rest)) {
        events->network_again = true;
        return;
    }
    events->network_again = false;
    uv_update_time(events->options.loop);
    uv_timer_start(&events->network_rest, network_rested, MACHINE_EVENTS_REST_MS, 0);
    events->options.network_back(events->options.userdata);
}

static void network_rested(uv_timer_t *timer) {
    struct machine_events *events = timer->data;
    if (events->network_again)
        network_back(events);
}

static void on_network_manager(struct sd_bus_message *signal, void *userdata) {
    uint32_t state = 0;
    if (sd_bus_message_read(signal, "u", &state) > 0 && state >= NM_STATE_CONNECTED_LOCAL)
        network_back(userdata);
}

/* Of the manager or of one link: where another link is routable already, only the link tells. */
static bool has_become_routable(struct sd_bus_message *signal) {
    const char *interface = NULL, *name = NULL, *value = NULL;
    bool routable = false;
    if (sd_bus_message_read(signal, "s", &interface) <= 0 ||
        (strcmp(interface, "org.freedesktop.network1.Manager") != 0 &&
         strcmp(interface, "org.freedesktop.network1.Link") != 0) ||
        sd_bus_message_enter_container(signal, 'a', "{sv}") <= 0)
        return false;
    while (sd_bus_message_enter_container(signal, 'e', "sv") > 0) {
        if (sd_bus_message_read(signal, "s", &name) <= 0)
            return false;
        if (strcmp(name, "OperationalState") == 0) {
            if (sd_bus_message_read(signal, "v", "s", &value) <= 0)
                return false;
            routable = strcmp(value, "routable") == 0;
        } else if (sd_bus_message_skip(signal, "v") < 0) {
            return false;
        }
        if (sd_bus_message_exit_container(signal) < 0)
            return false;
    }
    return routable;
}

static void on_networkd(struct sd_bus_message *signal, void *userdata) {
    if (has_become_routable(signal))
        network_back(userdata);
}

/* ---- sleep ---- */

/* true: it is about to sleep; false: it has woken */
static void on_sleep(struct sd_bus_message *signal, void *userdata) {
    struct machine_events *events = userdata;
    int begins = 1;
    if (sd_bus_message_read(signal, "b", &begins) > 0 && !begins)
        events->options.resumed(events->options.userdata);
}

/* ---- who is signed in ---- */

static void on_user(struct sd_bus_message *signal, void *userdata, bool is_new) {
    struct machine_events *events = userdata;
    uint32_t uid;
    if (sd_bus_message_read(signal, "u", &uid) <= 0)
        return;
    if (is_new)
        logins_add(&events->logins, uid);
    else
        logins_remove(&events->logins, uid);
    events->options.login_changed((int64_t)uid, events->options.userdata);
}

static void on_user_new(struct sd_bus_message *signal, void *userdata) {
    on_user(signal, userdata, true);
}

static void on_user_removed(struct sd_bus_message *signal, void *userdata) {
    on_user(signal, userdata, false);
}

/* Signals that came while this was on its way are in it, and in the order of the bus. */
static void on_users(struct sd_bus_message *reply, void *userdata) {
    struct machine_events *events = userdata;
    uint32_t uid;
    if (!reply || sd_bus_message_enter_container(reply, 'a', "(uso)") <= 0)
        return;
    logins_begin(&events->logins);
    while (sd_bus_message_read(reply, "(uso)", &uid, NULL, NULL) > 0)
        logins_add(&events->logins, uid);
    events->options.login_changed(-1, events->options.userdata);
}

static void on_sender(const char *sender, bool present, void *userdata) {
    struct machine_events *events = userdata;
    struct sd_bus_message *call = NULL;
    if (strcmp(sender, LOGIND) != 0)
        return;
    if (!present) {
        logins_forget(&events->logins);
        events->options.login_changed(-1, events->options.userdata);
        return;
    }
    int r =
        bus_call_new(events->bus, LOGIND, LOGIND_PATH, LOGIND_MANAGER, "ListUsers", false, &call);
    if (r == 0)
        r = bus_call_send(events->bus, call, on_users, events);
    if (r < 0)
        log_event(
            LOG_LEVEL_NOTICE, MSG_INTERNAL, "The login manager cannot be asked who is signed in.",
            LOG_ERRNO(r));
}

enum login machine_events_login(const struct machine_events *events, int64_t uid) {
    return events ? logins_state(&events->logins, uid) : LOGIN_UNKNOWN;
}

static const struct bus_match matches[] = {
    {LOGIND, LOGIND_PATH, LOGIND_MANAGER, "PrepareForSleep", on_sleep},
    {LOGIND, LOGIND_PATH, LOGIND_MANAGER, "UserNew", on_user_new},
    {LOGIND, LOGIND_PATH, LOGIND_MANAGER, "UserRemoved", on_user_removed},
    {NETWORK_MANAGER, NETWORK_MANAGER_PATH, NETWORK_MANAGER, "StateChanged", on_network_manager},
    {NETWORKD, NULL, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_networkd},
};

/* ---- accounts ---- */

static void accounts_rested(uv_timer_t *timer) {
    struct machine_events *events = timer->data;
    events->options.accounts_changed(events->options.userdata);
}

/* Every tool writes a file beside it and renames that. */
static void on_accounts(
    uv_fs_event_t *handle, const char *name, int change __attribute__((unused)),
    int status __attribute__((unused))) {
    struct machine_events *events = handle->data;
    if (name && strcmp(name, "passwd") != 0)
        return;
    if (!uv_is_active((uv_handle_t *)&events->accounts_rest))
        uv_timer_start(&events->accounts_rest, accounts_rested, MACHINE_EVENTS_REST_MS, 0);
}

/* ---- beginning and end ---- */

static void handle_closed(uv_handle_t *handle) {
    struct machine_events *events = handle->data;
    if (--events->handles == 0)
        free(events);
}

static void init_handles(struct machine_events *events) {
    /* these three cannot fail but for what the last one watches */
    (void)uv_timer_init(events->options.loop, &events->network_rest);
    (void)uv_timer_init(events->options.loop, &events->accounts_rest);
    (void)uv_fs_event_init(events->options.loop, &events->accounts);
    events->network_rest.data = events->accounts_rest.data = events->accounts.data = events;
    events->handles = 3;
    int r = uv_fs_event_start(&events->accounts, on_accounts, events->options.accounts_dir, 0);
    if (r < 0) {
        const char *path = events->options.accounts_dir;
        log_event(
            LOG_LEVEL_NOTICE, MSG_INTERNAL,
            "Changes of accounts are noticed only now and then: the folder cannot be watched.",
            LOG_TEXT("PATH", path), LOG_ERRNO(r));
    }
}

int machine_events_new(const struct machine_events_options *options, struct machine_events **ret) {
    struct machine_events *events = calloc(1, sizeof(*events));
    if (!events)
        return -ENOMEM;
    events->options = *options;
    const struct bus_options bus = {
        .loop = options->loop,
        .random = options->random,
        .address = options->bus_address,
        .matches = matches,
        .match_count = sizeof(matches) / sizeof(matches[0]),
        .sender_changed = on_sender,
        .userdata = events,
    };
    int r = bus_new(&bus, &events->bus);
    if (r < 0) {
        free(events);
        return r;
    }
    init_handles(events);
    *ret = events;
    return 0;
}

void machine_events_close(struct machine_events *events) {
    if (!events)
        return;
    bus_close(events->bus);
    uv_close((uv_handle_t *)&events->network_rest, handle_closed);
    uv_close((uv_handle_t *)&events->accounts_rest, handle_closed);
    uv_close((uv_handle_t *)&events->accounts, handle_closed);
}
