/* What the daemon makes of what happens to the machine (machine_events.h). */
#pragma once

struct daemon;

/** Begins to listen, once the server link stands. Without the means the daemon goes on. */
void daemon_events_open(struct daemon *daemon);
