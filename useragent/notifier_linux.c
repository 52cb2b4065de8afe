/* Notifications by the user's message bus. */
#include "useragent/notifier.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "ipc/bus.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define SERVICE "org.freedesktop.Notifications"
#define SERVICE_PATH "/org/freedesktop/Notifications"
#define SUMMARY_SIZE 128
#define RETRY_BASE_MS (60 * 1000) /* nobody shows it, or the bus is away */
#define RETRY_CAP_MS (60 * 60 * 1000)
#define URGENCY_NORMAL 1
#define STAYS 0 /* expire_timeout: never by itself */

struct entry {
    struct notifier *notifier;
    uv_timer_t timer; /* settles, rests, or waits for the next try */
    struct backoff backoff;
    bool wanted, sending;
    bool told;        /* these words are shown, or were */
    uint32_t id;      /* on the screen; 0: not */
    uint64_t told_ms; /* when it was told last, if ever */
    bool ever_told;
    char summary[SUMMARY_SIZE], body[NOTIFIER_TEXT_SIZE];
};

struct notifier {
    struct notifier_options options;
    struct bus *bus;
    struct entry entries[NOTICE_COUNT_];
    bool knows_markup, has_markup, asking; /* of whoever has the name now */
    unsigned handles;
};

static void tell(struct entry *entry);

static void on_timer(uv_timer_t *timer) {
    tell(timer->data);
}

static void wait_for(struct entry *entry, uint64_t delay_ms) {
    uv_update_time(entry->notifier->options.loop);
    uv_timer_start(&entry->timer, on_timer, delay_ms, 0);
}

static void try_later(struct entry *entry) {
    wait_for(entry, (uint64_t)backoff_next(&entry->backoff, entry->notifier->options.random, 1000));
}

/* ---- calls ---- */

static int new_call(struct notifier *notifier, const char *member, sd_bus_message **ret) {
    return bus_call_new(notifier->bus, SERVICE, SERVICE_PATH, SERVICE, member, true, ret);
}

static void ignore(struct sd_bus_message *reply, void *userdata) {
    (void)reply;
    (void)userdata;
}

static void withdraw(struct entry *entry) {
    sd_bus_message *call = NULL;
    uint32_t id = entry->id;

    entry->id = 0;
    if (id == 0 || new_call(entry->notifier, "CloseNotification", &call) < 0)
        return;
    if (sd_bus_message_append(call, "u", id) < 0)
        sd_bus_message_unref(call);
    else
        (void)bus_call_send(entry->notifier->bus, call, ignore, NULL);
}

/* The three characters that are markup in a body; whole or not at all. */
static void escape(const char *text, char ret[NOTIFIER_TEXT_SIZE]) {
    size_t used = 0;

    for (; *text; text++) {
        char plain[2] = {*text, '\0'};
        const char *piece = *text == '&'   ? "&amp;"
                            : *text == '<' ? "&lt;"
                            : *text == '>' ? "&gt;"
                                           : plain;
        size_t size = strlen(piece);

        if (used + size >= NOTIFIER_TEXT_SIZE)
            break;
        memcpy(ret + used, piece, size);
        used += size;
    }
    while (used > 0 && *text && ((unsigned char)*text & 0xC0) == 0x80) {
        /* cut inside a character: that goes, too */
        text--;
        used--;
    }
    ret[used] = '\0';
}

static void on_told(struct sd_bus_message *reply, void *userdata) {
    struct entry *entry = userdata;
    uint32_t id = 0;

    entry->sending = false;
    if (!reply || sd_bus_message_read(reply, "u", &id) <= 0) {
        entry->told = false;
        if (entry->wanted)
            try_later(entry);
        return;
    }
    entry->id = id;
    entry->ever_told = true;
    entry->told_ms = uv_now(entry->notifier->options.loop);
    backoff_reset(&entry->backoff);
    if (!entry->wanted)
        withdraw(entry);
    else if (!entry->told) /* other words have come meanwhile */
        tell(entry);
}

static int fill(const struct entry *entry, sd_bus_message *call) {
    char body[NOTIFIER_TEXT_SIZE];
    const char *shown = entry->body;

    if (entry->notifier->has_markup) {
        escape(entry->body, body);
        shown = body;
    }
    int r = sd_bus_message_append(
        call, "susss", "Device trust", entry->id, "security-medium", entry->summary, shown);
    if (r >= 0)
        r = sd_bus_message_append(call, "as", 0);
    if (r >= 0)
        r = sd_bus_message_append(
            call, "a{sv}i", 2, "urgency", "y", URGENCY_NORMAL, "desktop-entry", "s",
            "devtrust-agent", STAYS);
    return r < 0 ? r : 0;
}

/* ---- what the desktop can do ---- */

static void on_capabilities(struct sd_bus_message *reply, void *userdata) {
    struct notifier *notifier = userdata;
    const char *capability = NULL;

    notifier->asking = false;
    notifier->knows_markup = reply != NULL;
    notifier->has_markup = false;
    if (reply && sd_bus_message_enter_container(reply, 'a', "s") > 0)
        while (sd_bus_message_read(reply, "s", &capability) > 0)
            if (strcmp(capability, "body-markup") == 0)
                notifier->has_markup = true;
    for (size_t i = 0; i < NOTICE_COUNT_; i++) {
        struct entry *entry = &notifier->entries[i];
        if (!entry->wanted || entry->told || uv_is_active((uv_handle_t *)&entry->timer))
            continue;
        if (reply)
            tell(entry);
        else
            try_later(entry);
    }
}

static int ask_capabilities(struct notifier *notifier) {
    sd_bus_message *call = NULL;

    if (notifier->asking)
        return 0;
    int r = new_call(notifier, "GetCapabilities", &call);
    if (r == 0)
        r = bus_call_send(notifier->bus, call, on_capabilities, notifier);
    notifier->asking = r == 0;
    return r;
}

/* ---- telling ---- */

static uint64_t rest_left(const struct entry *entry) {
    const struct notifier *notifier = entry->notifier;
    uint64_t rest =
        notifier->options.rest_ms ? notifier->options.rest_ms : (uint64_t)NOTIFIER_REST_MS;
    uint64_t passed = uv_now(notifier->options.loop) - entry->told_ms;

    /* other words for what is on the screen disturb nobody */
    return entry->id != 0 || !entry->ever_told || passed >= rest ? 0 : rest - passed;
}

static void tell(struct entry *entry) {
    struct notifier *notifier = entry->notifier;
    sd_bus_message *call = NULL;
    uint64_t rest = rest_left(entry);

    if (!entry->wanted || entry->told || entry->sending)
        return;
    if (rest > 0) {
        wait_for(entry, rest);
        return;
    }
    if (!notifier->knows_markup) {
        if (ask_capabilities(notifier) < 0)
            try_later(entry);
        return;
    }
    int r = new_call(notifier, "Notify", &call);
    if (r == 0 && (r = fill(entry, call)) < 0)
        sd_bus_message_unref(call);
    else if (r == 0)
        r = bus_call_send(notifier->bus, call, on_told, entry);
    if (r < 0) {
        try_later(entry);
        return;
    }
    entry->sending = entry->told = true;
}

void notifier_set(
    struct notifier *notifier, enum notice notice, const char *summary, const char *body) {
    if (!notifier)
        return;
    struct entry *entry = &notifier->entries[notice];
    bool is_new = !entry->wanted;

    if (!is_new && strcmp(entry->summary, summary) == 0 && strcmp(entry->body, body) == 0)
        return;
    snprintf(entry->summary, sizeof entry->summary, "%s", summary);
    snprintf(entry->body, sizeof entry->body, "%s", body);
    entry->wanted = true;
    if (is_new || entry->id != 0 || entry->sending)
        entry->told = false; /* what he has closed stays closed, whatever its words */
    if (is_new)
        wait_for(
            entry, notifier->options.settle_ms ? notifier->options.settle_ms : NOTIFIER_SETTLE_MS);
    else if (!uv_is_active((uv_handle_t *)&entry->timer))
        tell(entry);
}

void notifier_clear(struct notifier *notifier, enum notice notice) {
    if (!notifier || !notifier->entries[notice].wanted)
        return;
    struct entry *entry = &notifier->entries[notice];

    entry->wanted = false;
    uv_timer_stop(&entry->timer);
    if (!entry->sending)
        withdraw(entry);
}

/* ---- signals ---- */

static void on_closed(struct sd_bus_message *signal, void *userdata) {
    struct notifier *notifier = userdata;
    uint32_t id = 0, why = 0;

    if (sd_bus_message_read(signal, "uu", &id, &why) <= 0 || id == 0)
        return;
    for (size_t i = 0; i < NOTICE_COUNT_; i++)
        if (notifier->entries[i].id == id)
            notifier->entries[i].id = 0;
}

/* Another one can do other things, and knows none of our ids. What was told was told. */
static void on_sender(const char *sender, bool present, void *userdata) {
    struct notifier *notifier = userdata;

    (void)sender;
    notifier->knows_markup = false;
    for (size_t i = 0; i < NOTICE_COUNT_; i++) {
        struct entry *entry = &notifier->entries[i];
        entry->id = 0;
        /* one that waits for somebody need not wait for its timer; but for the cause to settle */
        if (present && entry->wanted && !entry->told && entry->backoff.attempt > 0)
            wait_for(entry, 0);
    }
}

static const struct bus_match matches[] = {
    {SERVICE, SERVICE_PATH, SERVICE, "NotificationClosed", on_closed},
};

/* ---- beginning and end ---- */

static void handle_closed(uv_handle_t *handle) {
    struct notifier *notifier = ((struct entry *)handle->data)->notifier;

    if (--notifier->handles == 0)
        free(notifier);
}

int notifier_new(const struct notifier_options *options, struct notifier **ret) {
    struct notifier *notifier = calloc(1, sizeof *notifier);

    if (!notifier)
        return -ENOMEM;
    notifier->options = *options;
    const struct bus_options bus = {
        .loop = options->loop,
        .random = options->random,
        .address = options->bus_address,
        .matches = matches,
        .match_count = ARRAY_LENGTH(matches),
        .sender_changed = on_sender,
        .userdata = notifier,
    };
    int r = bus_new(&bus, &notifier->bus);
    if (r < 0) {
        free(notifier);
        return r;
    }
    for (size_t i = 0; i < NOTICE_COUNT_; i++) {
        struct entry *entry = &notifier->entries[i];
        entry->notifier = notifier;
        entry->backoff = (struct backoff){.base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS};
        (void)uv_timer_init(options->loop, &entry->timer);
        entry->timer.data = entry;
    }
    notifier->handles = NOTICE_COUNT_;
    *ret = notifier;
    return 0;
}

void notifier_close(struct notifier *notifier) {
    if (!notifier)
        return;
    bus_close(notifier->bus);
    for (size_t i = 0; i < NOTICE_COUNT_; i++)
        uv_close((uv_handle_t *)&notifier->entries[i].timer, handle_closed);
}
