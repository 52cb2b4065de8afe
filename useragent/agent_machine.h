/* The agent's state machine as a const table (facts: the names are those of logs and documents).
 * Pure: the agent asks for the row and does the action. */
#pragma once

enum agent_state {
    AGENT_STARTING,    /* the record's intent is being finished */
    AGENT_IDLE,        /* at rest, or with something left to check */
    AGENT_CHECKING,    /* stores are compared with the record */
    AGENT_PREPARING,   /* the key is being made */
    AGENT_SUBMITTED,   /* the request is with devtrustd, or waits for a connection */
    AGENT_WAITING,     /* bundle in hand; a running browser gets time to read its policy */
    AGENT_IMPORTING,   /* intent import is on disk; stores are being written */
    AGENT_SUPERSEDING, /* the new one is current; the old ones are being removed */
    AGENT_REPORTING,   /* installed, to be acknowledged */
    AGENT_FAILING,     /* failed, to be acknowledged */
    AGENT_REMOVING,    /* intent remove is on disk; all of ours is being removed */
    AGENT_REMOVED,     /* removed, to be acknowledged */
    AGENT_STATE_COUNT_
};

enum agent_event {
    AGENT_EVENT_RECOVERED,         /* no intent is left */
    AGENT_EVENT_RECOVER_SUPERSEDE, /* the new one is current; old ones may be left */
    AGENT_EVENT_RECOVER_REMOVE,
    AGENT_EVENT_CHECK, /* start, timer, clock set */
    AGENT_EVENT_CHECKED,
    AGENT_EVENT_REQUEST, /* a snapshot with a request that is new */
    AGENT_EVENT_KEY_READY,
    AGENT_EVENT_RESUBMIT,  /* attached again, or the retry time is over */
    AGENT_EVENT_CANCELLED, /* other request, other mode, refused, stale */
    AGENT_EVENT_BUNDLE,    /* a bundle that passed the checks */
    AGENT_EVENT_BAD_BUNDLE,
    AGENT_EVENT_POLICY_READY, /* no browser runs, or it has had its time */
    AGENT_EVENT_VERIFIED,     /* at least one store has the new one */
    AGENT_EVENT_FAILED,       /* the step failed; what it did is undone */
    AGENT_EVENT_SUPERSEDED,
    AGENT_EVENT_ACKNOWLEDGED,
    AGENT_EVENT_REMOVE,        /* a snapshot with mode remove */
    AGENT_EVENT_GONE,          /* verified: nothing of ours is left */
    AGENT_EVENT_RETRY,         /* a removal that could not be finished is tried again */
    AGENT_EVENT_REPEAT_REPORT, /* the open request is the one that is installed already */
    AGENT_EVENT_COUNT_
};

enum agent_action {
    AGENT_ACTION_NONE,
    AGENT_ACTION_CHECK,
    AGENT_ACTION_PREPARE,
    AGENT_ACTION_SUBMIT,
    AGENT_ACTION_WIPE,
    AGENT_ACTION_AWAIT_POLICY,
    AGENT_ACTION_IMPORT,
    AGENT_ACTION_SUPERSEDE,
    AGENT_ACTION_REPORT,
    AGENT_ACTION_CLEAR,
    AGENT_ACTION_REMOVE,
    AGENT_ACTION_UNLINK,
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
