/* Hears from logind that the machine has woken: the stores are looked at and the renewal is
 * compared with the clock at once. The wall timer alone would see that a renewal has become due;
 * what else happened to the home meanwhile it would not. */
#include "common/log.h"
#include "common/log_messages.h"
#include "ipc/bus.h"
#include "useragent/agent_internal.h"

#include <systemd/sd-bus.h>

/* true: it is about to sleep; false: it has woken */
static void on_sleep(struct sd_bus_message *signal, void *userdata) {
    struct agent *agent = userdata;
    int begins = 1;

    if (agent->stopping || sd_bus_message_read(signal, "b", &begins) <= 0 || begins)
        return;
    log_event(
        LOG_LEVEL_INFO, MSG_MACHINE, "The machine has woken; stores and renewal are looked at.",
        LOG_TEXT("EVENT", "resume"));
    agent->check_needed = true;
    agent->wall_armed = -1;
    agent_notices_look(agent);
    agent_settle(agent);
}

static const struct bus_match matches[] = {
    {"org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
     "PrepareForSleep", on_sleep},
};

void agent_resume_start(struct agent *agent) {
    const struct bus_options options = {
        .loop = agent->options.loop,
        .random = agent->options.random,
        .address = agent->options.system_bus,
        .matches = matches,
        .match_count = 1,
        .userdata = agent,
    };
    int r = options.address ? bus_new(&options, &agent->bus) : 0;

    if (r < 0)
        log_event(
            LOG_LEVEL_NOTICE, MSG_INTERNAL, "The machine's waking cannot be listened for.",
            LOG_ERRNO(r));
}

void agent_resume_stop(struct agent *agent) {
    bus_close(agent->bus);
    agent->bus = NULL;
}
