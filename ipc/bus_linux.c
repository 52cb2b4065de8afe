/* The bus by sd-bus(3), on libuv. One struct bus for ever, one struct link per connection. */
#include "ipc/bus.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/paths.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define RETRY_BASE_MS 100
#define RETRY_CAP_MS (60 * 60 * 1000)
#define SETTLED_MS 10000 /* a connection that lived so long was a good one */
#define NAME_SIZE 256    /* of bus names, with NUL (D-Bus specification, Valid Names) */
#define RULE_SIZE 1024

const char bus_system_address[] = "unix:path=" PATH_SYSTEM_BUS;

struct sender {
    struct bus *bus;
    const char *name;
    char owner[NAME_SIZE]; /* its unique name; empty: nobody, or not known yet */
};

/* What sd-bus hands back with a signal. */
struct subscription {
    struct bus *bus;
    const struct bus_match *match;
    const struct sender *sender;
};

struct call {
    struct bus *bus;
    sd_bus_slot *slot;
    bus_reply done; /* NULL: the place is free */
    void *userdata;
};

/* One connection; the loop holds its two handles beyond the end. */
struct link {
    struct bus *bus; /* NULL: over */
    sd_bus *sd;
    uv_poll_t poll;
    uv_timer_t timer; /* what sd-bus waits for, or its turn to go on */
    unsigned handles;
    uint64_t since_ms;
};

struct bus {
    struct bus_options options;
    struct link *link; /* NULL: it waits for the next try */
    uv_timer_t retry;
    struct backoff backoff;
    struct sender senders[BUS_SENDERS_MAX];
    size_t sender_count;
    struct subscription subscriptions[BUS_MATCHES_MAX];
    struct call calls[BUS_CALLS_MAX];
    bool turning; /* inside sd_bus_process(): what it uses must not go */
    bool closing;
};

static void connect_now(struct bus *bus);

/* ---- senders ---- */

static struct sender *find_sender(const struct bus *bus, const char *name) {
    for (size_t i = 0; i < bus->sender_count; i++)
        if (strcmp(bus->senders[i].name, name) == 0)
            return (struct sender *)&bus->senders[i];
    return NULL;
}

/* The bus itself speaks by a name that nobody else can have. */
static bool is_from_bus(sd_bus_message *message) {
    const char *from = sd_bus_message_get_sender(message);
    return from && strcmp(from, "org.freedesktop.DBus") == 0;
}

static void set_owner(struct sender *sender, const char *owner) {
    struct bus *bus = sender->bus;
    if (strlen(owner) >= sizeof(sender->owner) || strcmp(sender->owner, owner) == 0)
        return;
    bool was_there = sender->owner[0] != '\0';
    memcpy(sender->owner, owner, strlen(owner) + 1);
    if (!bus->options.sender_changed || bus->closing)
        return;
    /* another process has taken the name over: what the old one said is void */
    if (was_there && owner[0])
        bus->options.sender_changed(sender->name, false, bus->options.userdata);
    if (!bus->closing)
        bus->options.sender_changed(sender->name, owner[0] != '\0', bus->options.userdata);
}

static int on_owner_changed(
    sd_bus_message *message, void *userdata, sd_bus_error *error __attribute__((unused))) {
    struct sender *sender = userdata;
    const char *name = NULL, *old = NULL, *new = NULL;
    if (is_from_bus(message) && sd_bus_message_read(message, "sss", &name, &old, &new) > 0 &&
        strcmp(name, sender->name) == 0)
        set_owner(sender, new);
    return 0;
}

/* An error means: nobody has the name. */
static int on_owner(
    sd_bus_message *message, void *userdata, sd_bus_error *error __attribute__((unused))) {
    const char *owner = NULL;
    if (is_from_bus(message) && !sd_bus_message_is_method_error(message, NULL) &&
        sd_bus_message_read(message, "s", &owner) > 0)
        set_owner(userdata, owner);
    return 0;
}

static int on_signal(
    sd_bus_message *message, void *userdata, sd_bus_error *error __attribute__((unused))) {
    const struct subscription *subscription = userdata;
    const char *from = sd_bus_message_get_sender(message);
    const struct bus *bus = subscription->bus;
    if (!bus->closing && from && subscription->sender->owner[0] &&
        strcmp(from, subscription->sender->owner) == 0)
        subscription->match->handler(message, bus->options.userdata);
    return 0;
}

/* ---- the life of a connection ---- */

static void handle_closed(uv_handle_t *handle) {
    struct link *link = handle->data;
    if (--link->handles == 0)
        free(link);
}

static void end_link(struct bus *bus) {
    struct link *link = TAKE_PTR(bus->link);
    link->bus = NULL;
    if (link->poll.data)
        uv_close((uv_handle_t *)&link->poll, handle_closed);
    uv_close((uv_handle_t *)&link->timer, handle_closed);
    sd_bus_close(link->sd);
    link->sd = sd_bus_unref(link->sd);
}

static void drop_calls(struct bus *bus) {
    for (size_t i = 0; i < BUS_CALLS_MAX; i++) {
        struct call *call = &bus->calls[i];
        bus_reply done = call->done;
        call->slot = sd_bus_slot_unref(call->slot);
        call->done = NULL;
        if (done && !bus->closing)
            done(NULL, call->userdata);
    }
}

static void on_retry(uv_timer_t *timer) {
    connect_now(timer->data);
}

static void try_later(struct bus *bus) {
    int64_t delay_ms = backoff_next(&bus->backoff, bus->options.random, 0);
    uv_timer_start(&bus->retry, on_retry, (uint64_t)delay_ms, 0);
}

static void lost(struct bus *bus) {
    if (uv_now(bus->options.loop) - bus->link->since_ms >= SETTLED_MS)
        backoff_reset(&bus->backoff);
    end_link(bus);
    try_later(bus);
    drop_calls(bus);
    for (size_t i = 0; i < bus->sender_count && !bus->closing; i++)
        set_owner(&bus->senders[i], "");
}

static void bus_free(uv_handle_t *handle) {
    free(handle->data);
}

static void finish_closing(struct bus *bus) {
    drop_calls(bus);
    if (bus->link)
        end_link(bus);
    uv_close((uv_handle_t *)&bus->retry, bus_free);
}

/* ---- sd-bus on the loop ---- */

static void turn(struct link *link);

static void on_ready(uv_poll_t *poll, int status, int events) {
    (void)status; /* an error of the descriptor is sd-bus's to find */
    (void)events;
    turn(poll->data);
}

static void on_time(uv_timer_t *timer) {
    turn(timer->data);
}

/* What sd-bus waits for now. It says 0 while messages lie in its own queue. */
static int arm(struct link *link) {
    uint64_t until_us = UINT64_MAX;
    int events = sd_bus_get_events(link->sd);
    int r = sd_bus_get_timeout(link->sd, &until_us);
    if (events < 0 || r < 0)
        return events < 0 ? events : r;
    int wanted = (events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0);
    /* with nothing wanted, its end is still to be seen */
    r = uv_poll_start(&link->poll, wanted ? wanted : UV_DISCONNECT, on_ready);
    if (r < 0)
        return r;
    if (until_us == UINT64_MAX)
        return uv_timer_stop(&link->timer);
    uint64_t now_us = uv_hrtime() / 1000;
    uv_update_time(link->bus->options.loop);
    return uv_timer_start(
        &link->timer, on_time, until_us > now_us ? (until_us - now_us) / 1000 + 1 : 0, 0);
}

static void turn(struct link *link) {
    struct bus *bus = link->bus;
    int r = 1;
    bus->turning = true;
    for (int i = 0; i < BUS_TURN_MAX && r > 0 && !bus->closing; i++)
        r = sd_bus_process(link->sd, NULL);
    bus->turning = false;
    if (bus->closing)
        finish_closing(bus);
    else if (r < 0 || sd_bus_is_open(link->sd) <= 0 || arm(link) < 0)
        lost(bus);
}

/* ---- connecting ---- */

static int follow_sender(sd_bus *sd, struct sender *sender) {
    char rule[RULE_SIZE];
    int size = snprintf(
        rule, sizeof(rule),
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='"
        "org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
        sender->name);
    if (size < 0 || (size_t)size >= sizeof(rule))
        return -ENAMETOOLONG;
    int r = sd_bus_add_match_async(sd, NULL, rule, on_owner_changed, NULL, sender);
    return r < 0 ? r
                 : sd_bus_call_method_async(
                       sd, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                       "org.freedesktop.DBus", "GetNameOwner", on_owner, sender, "s", sender->name);
}

/* In this order: when an owner is known, its signals are subscribed to. */
static int subscribe(struct bus *bus, sd_bus *sd) {
    int r = 0;
    for (size_t i = 0; i < bus->options.match_count && r >= 0; i++) {
        struct subscription *one = &bus->subscriptions[i];
        r = sd_bus_match_signal_async(
            sd, NULL, one->match->sender, one->match->path, one->match->interface,
            one->match->member, on_signal, NULL, one);
    }
    for (size_t i = 0; i < bus->sender_count && r >= 0; i++)
        r = follow_sender(sd, &bus->senders[i]);
    return r;
}

static int open_connection(struct bus *bus, sd_bus **ret) {
    sd_bus *sd = NULL;
    int r = sd_bus_new(&sd);
    if (r < 0)
        return r;
    if ((r = sd_bus_set_address(sd, bus->options.address)) < 0 ||
        (r = sd_bus_set_bus_client(sd, 1)) < 0 ||
        (r = sd_bus_set_method_call_timeout(sd, BUS_CALL_TIMEOUT_MS * UINT64_C(1000))) < 0 ||
        (r = sd_bus_start(sd)) < 0 || (r = subscribe(bus, sd)) < 0) {
        sd_bus_close(sd);
        sd_bus_unref(sd);
        return r;
    }
    *ret = sd;
    return 0;
}

static int open_link(struct bus *bus) {
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    int r = open_connection(bus, &link->sd);
    if (r < 0) {
        free(link);
        return r;
    }
    link->bus = bus;
    link->since_ms = uv_now(bus->options.loop);
    bus->link = link;
    (void)uv_timer_init(bus->options.loop, &link->timer);
    link->timer.data = link;
    link->handles = 1;
    r = uv_poll_init(bus->options.loop, &link->poll, sd_bus_get_fd(link->sd));
    if (r == 0) {
        link->poll.data = link;
        link->handles++;
        r = arm(link);
    }
    if (r < 0)
        end_link(bus);
    return r;
}

static void connect_now(struct bus *bus) {
    if (open_link(bus) < 0)
        try_later(bus);
}

/* ---- calls ---- */

bool bus_has(const struct bus *bus, const char *sender) {
    const struct sender *found = find_sender(bus, sender);
    return found && found->owner[0] != '\0';
}

int bus_call_new(
    struct bus *bus, const char *destination, const char *path, const char *interface,
    const char *member, bool activate, struct sd_bus_message **ret) {
    sd_bus_message *message = NULL;
    if (!bus->link)
        return -ENOTCONN;
    int r = sd_bus_message_new_method_call(
        bus->link->sd, &message, destination, path, interface, member);
    if (r >= 0)
        r = sd_bus_message_set_auto_start(message, activate);
    if (r < 0) {
        sd_bus_message_unref(message);
        return r;
    }
    *ret = message;
    return 0;
}

static int on_reply(
    sd_bus_message *message, void *userdata, sd_bus_error *error __attribute__((unused))) {
    struct call *call = userdata;
    bus_reply done = call->done;
    call->slot = sd_bus_slot_unref(call->slot);
    call->done = NULL;
    if (done && !call->bus->closing)
        done(sd_bus_message_is_method_error(message, NULL) ? NULL : message, call->userdata);
    return 0;
}

int bus_call_send(struct bus *bus, struct sd_bus_message *message, bus_reply done, void *userdata) {
    struct call *call = NULL;
    for (size_t i = 0; i < BUS_CALLS_MAX && !call; i++)
        if (!bus->calls[i].done)
            call = &bus->calls[i];
    int r = !call ? -EBUSY : !bus->link ? -ENOTCONN : 0;
    if (r == 0)
        r = sd_bus_call_async(bus->link->sd, &call->slot, message, on_reply, call, 0);
    sd_bus_message_unref(message);
    if (r < 0)
        return r;
    *call = (struct call){.bus = bus, .slot = call->slot, .done = done, .userdata = userdata};
    /* what could not be written at once waits for the descriptor; a failure shows there, too */
    if (!bus->turning)
        (void)arm(bus->link);
    return 0;
}

/* ---- beginning and end ---- */

static int take_matches(struct bus *bus) {
    if (bus->options.match_count > BUS_MATCHES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < bus->options.match_count; i++) {
        const struct bus_match *match = &bus->options.matches[i];
        struct sender *sender = find_sender(bus, match->sender);
        if (!sender) {
            if (bus->sender_count == BUS_SENDERS_MAX)
                return -EINVAL;
            sender = &bus->senders[bus->sender_count++];
            *sender = (struct sender){.bus = bus, .name = match->sender};
        }
        bus->subscriptions[i] = (struct subscription){bus, match, sender};
    }
    return 0;
}

int bus_new(const struct bus_options *options, struct bus **ret) {
    /* the other kinds resolve names, or start programs, before sd_bus_start() returns */
    if (strncmp(options->address, "unix:", strlen("unix:")) != 0 || strchr(options->address, ';'))
        return -EINVAL;
    struct bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return -ENOMEM;
    bus->options = *options;
    bus->backoff = (struct backoff){
        .base_ms = options->retry_base_ms ? options->retry_base_ms : RETRY_BASE_MS,
        .cap_ms = options->retry_cap_ms ? options->retry_cap_ms : RETRY_CAP_MS,
    };
    int r = take_matches(bus);
    if (r == 0)
        r = uv_timer_init(options->loop, &bus->retry);
    if (r < 0) {
        free(bus);
        return r;
    }
    bus->retry.data = bus;
    connect_now(bus);
    *ret = bus;
    return 0;
}

void bus_close(struct bus *bus) {
    if (!bus || bus->closing)
        return;
    bus->closing = true;
    if (!bus->turning)
        finish_closing(bus);
}

int bus_user_address(char ret[BUS_ADDRESS_SIZE]) {
    const char *address = secure_getenv("DBUS_SESSION_BUS_ADDRESS");
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    char text[BUS_ADDRESS_SIZE];
    int size;

    if (address && strncmp(address, "unix:", strlen("unix:")) == 0)
        size = snprintf(text, sizeof(text), "%.*s", (int)strcspn(address, ";"), address);
    else if (address && *address)
        return -EPROTONOSUPPORT;
    else if (runtime && *runtime)
        size = snprintf(text, sizeof(text), "unix:path=%s/bus", runtime);
    else
        return -ENOENT;
    if (size < 0 || (size_t)size >= sizeof(text))
        return -ENAMETOOLONG;
    memcpy(ret, text, sizeof(text));
    return 0;
}
