/* Server-Sent Events (WHATWG HTML 9.2): one stream per device; the newest connection of a device
 * takes the older one's place, since a device that reconnects knows better than we whether its old
 * connection is alive. */
#include "server/event_hub.h"

#include "common/log.h"
#include "common/log_messages.h"
#include "server/fleet.h"
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#define MAX_EVENT 256

struct subscriber {
    char device[37]; /* first: the tree's key */
    struct event_hub *hub;
    struct http_stream *stream;
    int64_t ping_due_ms;
    TAILQ_ENTRY(subscriber) next;
};

struct event_hub {
    struct server *server;
    void *by_device; /* tree of subscribers (tsearch) */
    TAILQ_HEAD(, subscriber)
    line; /* in the order in which they are due for a ping: all wait equally long */
    size_t count;
    struct event *ping;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const struct subscriber *)a)->device, ((const struct subscriber *)b)->device);
}

static struct subscriber *find(struct event_hub *hub, const char *device) {
    struct subscriber key = {0};
    snprintf(key.device, sizeof(key.device), "%s", device);
    void *node = tfind(&key, &hub->by_device, compare);
    return node ? *(struct subscriber **)node : NULL;
}

/* --- ping timer --- */

static void arm(struct event_hub *hub) {
    struct subscriber *first = TAILQ_FIRST(&hub->line);
    if (!first) {
        event_del(hub->ping);
        return;
    }
    int64_t wait_ms = first->ping_due_ms - clock_monotonic_ms(hub->server->clock);
    if (wait_ms < 0)
        wait_ms = 0;
    const struct timeval wait = {
        .tv_sec = (time_t)(wait_ms / 1000), .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
    event_add(hub->ping, &wait);
}

static void to_the_end(struct subscriber *subscriber) {
    struct event_hub *hub = subscriber->hub;
    TAILQ_REMOVE(&hub->line, subscriber, next);
    TAILQ_INSERT_TAIL(&hub->line, subscriber, next);
    subscriber->ping_due_ms =
        clock_monotonic_ms(hub->server->clock) + hub->server->config.ping_s * 1000;
}

/* --- leaving --- */

static void forget(struct subscriber *subscriber) {
    struct event_hub *hub = subscriber->hub;
    tdelete(subscriber, &hub->by_device, compare);
    TAILQ_REMOVE(&hub->line, subscriber, next);
    hub->count--;
    free(subscriber);
}

static void on_closed(struct http_stream *stream, void *userdata) {
    (void)stream;
    forget(userdata);
}

static void end(struct subscriber *subscriber, bool cut) {
    http_stream_end(subscriber->stream, cut);
    forget(subscriber);
}

/* --- sending --- */

static void send_text(struct subscriber *subscriber, const char *text, size_t size) {
    int r = http_stream_send(subscriber->stream, text, size, EVENT_HUB_MAX_QUEUED);
    if (r >= 0) {
        to_the_end(subscriber);
        return;
    }
    log_event(
        LOG_LEVEL_NOTICE, MSG_HTTP, "A device does not read its events; its stream is cut off.",
        LOG_TEXT("DEVICE", &subscriber->device[0]), LOG_ERRNO(r));
    end(subscriber, true);
}

static int format_event(
    const struct server *server, int64_t generation, int64_t splay_s, char ret[MAX_EVENT]) {
    const char *epoch = server->identity.epoch;
    return snprintf(
        ret, MAX_EVENT,
        "event: state\nid: %s-%" PRId64 "\ndata: {\"epoch\":\"%s\",\"generation\":%" PRId64
        ",\"splay_s\":%" PRId64 ",\"ping_s\":%" PRId64 "}\n\n",
        epoch, generation, epoch, generation, splay_s, server->config.ping_s);
}

static void send_event(struct subscriber *subscriber) {
    struct server *server = subscriber->hub->server;
    int64_t generation;
    bool fleet_wide;
    char text[MAX_EVENT];
    if (fleet_generation(server, subscriber->device, &generation, &fleet_wide) < 0)
        return; /* the database has logged it; the device asks by itself within hours */
    int size = format_event(server, generation, fleet_splay_s(server, fleet_wide), text);
    send_text(subscriber, text, (size_t)size);
}

static void send_to_all(struct event_hub *hub) {
    int64_t generation;
    char text[MAX_EVENT];
    if (settings_fleet_generation(hub->server->db, &generation) < 0)
        return;
    int size = format_event(hub->server, generation, fleet_splay_s(hub->server, true), text);
    /* each sending moves its subscriber to the end: the line is gone through once */
    size_t count = hub->count;
    for (size_t i = 0; i < count && !TAILQ_EMPTY(&hub->line); i++)
        send_text(TAILQ_FIRST(&hub->line), text, (size_t)size);
}

void event_hub_notify(struct event_hub *hub, const char *device) {
    struct subscriber *subscriber = device ? find(hub, device) : NULL;
    if (!device)
        send_to_all(hub);
    else if (subscriber)
        send_event(subscriber);
    arm(hub);
}

void event_hub_drop(struct event_hub *hub, const char *device) {
    event_hub_notify(hub, device);
    struct subscriber *subscriber = find(hub, device);
    if (subscriber)
        end(subscriber, false);
    arm(hub);
}

static void on_ping(evutil_socket_t fd, short what, void *userdata) {
    (void)fd;
    (void)what;
    static const char ping[] = ": ping\n\n";
    struct event_hub *hub = userdata;
    int64_t now_ms = clock_monotonic_ms(hub->server->clock);
    struct subscriber *subscriber;
    while ((subscriber = TAILQ_FIRST(&hub->line)) && subscriber->ping_due_ms <= now_ms)
        send_text(subscriber, ping, sizeof(ping) - 1);
    arm(hub);
}

/* --- arriving --- */

static int add(struct event_hub *hub, struct subscriber *subscriber) {
    if (!tsearch(subscriber, &hub->by_device, compare))
        return -ENOMEM;
    TAILQ_INSERT_TAIL(&hub->line, subscriber, next);
    hub->count++;
    return 0;
}

static void handle_events(struct http_request *request, struct server *server) {
    struct event_hub *hub = server->hub;
    struct subscriber *older = find(hub, http_request_device(request));
    if (older)
        end(older, true);
    struct subscriber *subscriber =
        hub->count < EVENT_HUB_MAX_STREAMS ? calloc(1, sizeof(*subscriber)) : NULL;
    if (!subscriber) {
        http_send_error(request, -EBUSY);
        return;
    }
    subscriber->hub = hub;
    snprintf(subscriber->device, sizeof(subscriber->device), "%s", http_request_device(request));
    if (add(hub, subscriber) < 0) {
        free(subscriber);
        http_send_error(request, -ENOMEM);
        return;
    }
    subscriber->stream = http_stream_start(request, "text/event-stream", on_closed, subscriber);
    if (!subscriber->stream) {
        forget(subscriber);
        return;
    }
    log_event(
        LOG_LEVEL_DEBUG, MSG_CONNECTED, "A device listens for events.",
        LOG_TEXT("DEVICE", &subscriber->device[0]));
    send_event(subscriber);
    arm(hub);
}

int event_hub_new(struct server *server, struct event_hub **ret) {
    struct event_hub *hub = calloc(1, sizeof(*hub));
    if (!hub)
        return -ENOMEM;
    hub->server = server;
    TAILQ_INIT(&hub->line);
    hub->ping = evtimer_new(server->base, on_ping, hub);
    if (!hub->ping) {
        free(hub);
        return -ENOMEM;
    }
    *ret = hub;
    return 0;
}

struct event_hub *event_hub_free(struct event_hub *hub) {
    if (!hub)
        return NULL;
    while (!TAILQ_EMPTY(&hub->line))
        end(TAILQ_FIRST(&hub->line), false);
    event_free(hub->ping);
    free(hub);
    return NULL;
}

size_t event_hub_count(const struct event_hub *hub) {
    return hub->count;
}

const struct http_route event_routes[] = {
    {"GET", "/v1/events", HTTP_LISTENER_DEVICES, HTTP_IDENTITY_DEVICE, handle_events},
    {.method = NULL},
};
