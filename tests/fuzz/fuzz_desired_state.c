/* libs: common ipc daemon */
/* The desired state: whatever is taken is within its bounds. */
#include "daemon/desired_state.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct desired_state *state) {
    if (state->generation < 0)
        abort();
    if (!state->enrolled)
        return;
    if (state->splay_s < 0 || state->splay_s > DESIRED_STATE_MAX_SPLAY_S ||
        state->renew_after_s < state->lifetime_s / 10 ||
        state->renew_after_s > state->lifetime_s * 8 / 10 ||
        state->user_count > DESIRED_STATE_MAX_USERS ||
        state->portal_pattern_count > DESIRED_STATE_MAX_PATTERNS || !state->est_label ||
        !distribution_name(state->distribution))
        abort();
    for (size_t i = 0; i < state->user_count; i++)
        if (strlen(state->users[i].id) > 64 || strlen(state->users[i].name) > 32)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct desired_state *state = NULL;
    const char *field = NULL;
    int r = desired_state_parse((const char *)data, size, &state, &field);
    if (r == 0)
        check(state);
    else if (state)
        abort();
    desired_state_free(state);
    return 0;
}
