/* What the walker (faults.py) and the preloaded shim share: one file, mapped by both, that says
 * which of a program's calls is to go wrong and holds the list of those that were made.
 * Little-endian, as the machine; faults.py unpacks it by offset. */
#pragma once

#include <stdint.h>

#define FAULTS_MAX_POINTS 8192 /* later ones are counted, but not listed */
#define FAULTS_DETAIL_SIZE 80

/* What is done at a point. */
enum faults_kind {
    FAULTS_COUNT,       /* nothing: only listed */
    FAULTS_KILL_BEFORE, /* SIGKILL in place of the call */
    FAULTS_KILL_AFTER,  /* SIGKILL once the call has done its work */
    FAULTS_ERROR,       /* the call fails with `error`, once */
    FAULTS_FULL,        /* it fails with `error`, and so does every later call that needs room */
    FAULTS_SHORT,       /* half of the bytes are written or sent, once */
};

struct faults_point {
    char call[12];                   /* "pwrite" */
    uint32_t classes;                /* of enum faults_class */
    char detail[FAULTS_DETAIL_SIZE]; /* a path or an address; the end of it when it is long */
};

enum faults_class {
    FAULTS_FILE = 1,    /* names or contents on a disk */
    FAULTS_SEND = 2,    /* to a peer: TCP or a Unix stream */
    FAULTS_RECEIVE = 4, /* from a peer, with something there to receive */
    FAULTS_COMMIT = 8, /* a FILE call that makes something last: fsync, fdatasync, rename, unlink */
    FAULTS_ROOM = 16,  /* a FILE call that needs room: a new name, a file that grows */
    FAULTS_DATA = 32,  /* it carries bytes: it can be cut short */
};

struct faults_control {
    uint32_t armed; /* calls are counted while this is not 0 */
    uint32_t kind;
    uint32_t at; /* the point, from 1; 0: none */
    int32_t error;
    uint32_t wanted; /* classes that are points; others pass uncounted */
    uint32_t count;  /* points so far */
    uint32_t fired;  /* the fault has happened */
    uint32_t unused;
    struct faults_point points[FAULTS_MAX_POINTS];
};
