/* libs: common ipc daemon */
/* An administrator's policies.json: what is put in can be taken out again, to the byte; and what is
 * taken out of any other text leaves JSON. */
#include "daemon/firefox_policy_text.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void there_and_back(const char *text, size_t size) {
    char *with CLEANUP_FREE = NULL, *inserted CLEANUP_FREE = NULL, *without CLEANUP_FREE = NULL;

    if (firefox_policy_insert(text, size, &with, &inserted) < 0)
        return;
    if (strlen(with) != size + strlen(inserted) ||
        strlen(inserted) >= FIREFOX_POLICY_MAX_INSERTED ||
        firefox_policy_look(with, strlen(with)) != FIREFOX_POLICY_SET ||
        firefox_policy_withdraw(with, strlen(with), inserted, &without) != 1 || !without ||
        strlen(without) != size || memcmp(without, text, size) != 0)
        abort();
}

static void withdraw(const char *text, size_t size, const char *inserted) {
    char *without CLEANUP_FREE = NULL;

    if (firefox_policy_withdraw(text, size, inserted, &without) == 1 && without &&
        json_gate_check(without, strlen(without), NULL) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *file CLEANUP_FREE = NULL, *whole CLEANUP_FREE = NULL;
    char *text CLEANUP_FREE = malloc(size + 1);

    if (!text || firefox_policy_insert(NULL, 0, &file, &whole) < 0)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    there_and_back(text, size);
    withdraw(text, size, whole);
    withdraw(text, size, "");
    return 0;
}
