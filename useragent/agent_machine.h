/* The agent's state machine as a const table; its names are those of logs and documents. Pure: the
 * agent asks for the row, takes its state and does its action. */
#pragma once

enum agent_state {
    AGENT_STARTING,    /* what the record intended is being finished */
    AGENT_IDLE,        /* at rest */
    AGENT_CHECKING,    /* the stores are being compared with the record */
    AGENT_PREPARING,   /* the key is being made */
    AGENT_SUBMITTED,   /* the request is with devtrustd, or waits for a connection */
    AGENT_WAITING,     /* bundle in hand; a running browser gets time to read its policy */
    AGENT_IMPORTING,   /* intent import is on disk; the stores are being written */
    AGENT_SUPERSEDING, /* the new one is current; the old ones are being removed */
    AGENT_REPORTING,   /* installed, to be acknowledged */
    AGENT_FAILING,     /* failed, to be acknowledged */
    AGENT_REMOVING,    /* intent remove is on disk; all of ours is being removed */
    AGENT_BLOCKED,     /* a removal that could not be finished waits for its next try */
    AGENT_REMOVED,     /* verified gone, to be acknowledged */
    AGENT_STATE_COUNT_
};

enum agent_event {
    AGENT_EVENT_RECOVERED,        /* start: nothing was under way, or it is undone */
    AGENT_EVENT_RESUME_SUPERSEDE, /* start: the new one is current, old ones may be left */
    AGENT_EVENT_RESUME_REMOVE,    /* start: a removal was under way */
    AGENT_EVENT_CHECK,            /* start, wall timer, clock set, first settings */
    AGENT_EVENT_CHECKED,          /* the stores were looked at */
    AGENT_EVENT_REQUEST,          /* a snapshot with a request that is new */
    AGENT_EVENT_REPEAT,           /* a snapshot with the request that is installed already */
    AGENT_EVENT_PREPARED,         /* key and CSR are there */
    AGENT_EVENT_CANCELLED,        /* other request or mode; stale, refused */
    AGENT_EVENT_BUNDLE,           /* a bundle that passed the checks */
    AGENT_EVENT_READY,            /* no browser runs, or it has had its time */
    AGENT_EVENT_VERIFIED,         /* at least one store has the new one */
    AGENT_EVENT_FAILED,           /* the step failed and is undone */
    AGENT_EVENT_SUPERSEDED,       /* nothing superseded is left where the new one verified */
    AGENT_EVENT_ACKNOWLEDGED,     /* devtrustd has the report */
    AGENT_EVENT_REMOVE,           /* a snapshot with mode remove */
    AGENT_EVENT_GONE,             /* looked again: nothing of ours is left */
    AGENT_EVENT_RETRY,            /* a wait is over, or the connection is back */
    AGENT_EVENT_COUNT_
};

enum agent_action {
    AGENT_ACTION_NONE,
    AGENT_ACTION_CHECK,   /* worker: compare the stores with the record; rebuild it if there is none
                           */
    AGENT_ACTION_PREPARE, /* worker: make key and CSR */
    AGENT_ACTION_SUBMIT,  /* send (again) what is in hand */
    AGENT_ACTION_WIPE,    /* wipe key and bundle */
    AGENT_ACTION_WAIT,    /* a running browser: until install_not_before */
    AGENT_ACTION_IMPORT, /* worker: write intent import; intermediate, leaf, key; read back; sign */
    AGENT_ACTION_SUPERSEDE, /* worker: write current and intent supersede; delete the old ones */
    AGENT_ACTION_REPORT,    /* send (again) the report */
    AGENT_ACTION_FINISH,    /* worker: clear the intent */
    AGENT_ACTION_REMOVE,    /* worker: write intent remove; delete all of ours */
    AGENT_ACTION_BLOCK,     /* try the removal again later */
    AGENT_ACTION_UNLINK,    /* worker: unlink the record */
    AGENT_ACTION_COUNT_
};

struct agent_transition {
    enum agent_state state;
    enum agent_event event;
    enum agent_action action;
    enum agent_state next;
};

/** The row for (state, event), or NULL: the event means nothing in this state. */
const struct agent_transition *agent_machine_find(enum agent_state state, enum agent_event event);

const char *agent_state_name(enum agent_state state);
const char *agent_event_name(enum agent_event event);

/** All rows, for tests and documents. */
const struct agent_transition *agent_machine_table(unsigned *ret_count);
