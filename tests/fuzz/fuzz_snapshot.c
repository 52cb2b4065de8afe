/* libs: common ipc useragent */
/* What devtrustd shows an agent and answers to Submit: read, or refused with the field's name. */
#include "useragent/agent_message.h"

#include "common/json_gate.h"

#include <stdlib.h>
#include <string.h>

static void check(bool holds) {
    if (!holds)
        abort();
}

static void read_snapshot(struct json_object *object) {
    struct agent_snapshot snapshot;
    const char *field = NULL;

    if (agent_message_read_snapshot(object, &snapshot, &field) < 0) {
        check(field != NULL);
        return;
    }
    check(snapshot.mode <= AGENT_MODE_REMOVE);
    check(memchr(snapshot.inspection.id, 0, sizeof snapshot.inspection.id) != NULL);
    check(
        snapshot.inspection.id[0] != 0 ||
        (!snapshot.inspection.full && !snapshot.inspection.repair));
    check(memchr(snapshot.request.id, 0, sizeof snapshot.request.id) != NULL);
}

static void read_submit(struct json_object *object) {
    STACK_OF(X509) *certificates = NULL;
    int64_t seconds = 0;

    if (agent_message_read_submit(object, &certificates, &seconds) < 0) {
        check(!certificates);
        return;
    }
    check(certificates ? sk_X509_num(certificates) <= 8 : seconds > 0 && seconds <= 6 * 3600);
    sk_X509_pop_free(certificates, X509_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json_object *object CLEANUP_JSON = NULL;

    if (json_gate_parse((const char *)data, size, &object) < 0)
        return 0;
    read_snapshot(object);
    read_submit(object);
    return 0;
}
