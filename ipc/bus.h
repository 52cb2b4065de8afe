/* A connection to a message bus (D-Bus) on the loop, for programs that get along without one. It
 * connects without blocking, and again after full jitter when there is no bus or it has gone.
 *
 * Anybody on a bus may send a signal straight to a connection, whatever that has subscribed to, and
 * sd-bus takes any unique name for the well-known one of a match (sd_bus_add_match(3) leaves it to
 * the bus). So the owner of each named sender is followed, and only its signals are handed on. */
#pragma once

#include "common/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct bus;
struct sd_bus_message; /* read and filled with sd-bus(3) */

#define BUS_MATCHES_MAX 16
#define BUS_SENDERS_MAX 8
#define BUS_CALLS_MAX 16 /* that wait for their replies */
#define BUS_CALL_TIMEOUT_MS 25000
#define BUS_TURN_MAX 32 /* messages that are looked at before the loop goes on */

/** A signal to listen for; strings are borrowed for the life of the bus. */
struct bus_match {
    const char *sender; /* a well-known name; it need not be there */
    const char *path, *interface, *member;
    /** `signal` is borrowed; what it holds is the sender's word and must be read with care. */
    void (*handler)(struct sd_bus_message *signal, void *userdata);
};

struct bus_options {
    uv_loop_t *loop;
    const struct random_source *random;
    const char *address;             /* borrowed: bus_system_address, bus_user_address() */
    const struct bus_match *matches; /* borrowed */
    size_t match_count;              /* at most BUS_MATCHES_MAX, of BUS_SENDERS_MAX senders */
    /** A sender of the table has come (also: this connection has, and it is there; from now on no
     * signal of it is missed, so ask for what stands), or has gone, with all that it said; NULL:
     * nobody cares. Never runs inside a call of this file. */
    void (*sender_changed)(const char *sender, bool present, void *userdata);
    void *userdata;
    int64_t retry_base_ms, retry_cap_ms; /* 0: the defaults, 100 ms and 1 h */
};

/** Starts to connect. Returns 0, -EINVAL (an address that is no Unix socket, too large a table) or
 * another negative errno; that there is no bus is no error. */
int bus_new(const struct bus_options *options, struct bus **ret);

/** No callback runs any more; what calls wait for is dropped. The loop frees the rest. NULL is
 * allowed. */
void bus_close(struct bus *bus);

/** Whether a sender of the table is there. */
bool bus_has(const struct bus *bus, const char *sender);

/** A method call to be filled with sd_bus_message_append(3). It starts no service that is not
 * there, unless `activate`. Returns 0, -ENOTCONN (no bus) or another negative errno. */
int bus_call_new(
    struct bus *bus, const char *destination, const char *path, const char *interface,
    const char *member, bool activate, struct sd_bus_message **ret);

/** `reply` is borrowed; NULL: an error, no answer in time, or the connection has ended. */
typedef void (*bus_reply)(struct sd_bus_message *reply, void *userdata);

/** Owns `call`; `done` runs once, from the loop. Returns 0, -EBUSY past BUS_CALLS_MAX, -ENOTCONN or
 * another negative errno. */
int bus_call_send(struct bus *bus, struct sd_bus_message *call, bus_reply done, void *userdata);

/** Of the machine. The environment is not asked. */
extern const char bus_system_address[];

#define BUS_ADDRESS_SIZE 256

/** Of this process's user: the first of $DBUS_SESSION_BUS_ADDRESS if that is a Unix socket, else
 * $XDG_RUNTIME_DIR/bus. Returns 0, -ENOENT (neither is set), -EPROTONOSUPPORT, -ENAMETOOLONG. */
int bus_user_address(char ret[BUS_ADDRESS_SIZE]);
