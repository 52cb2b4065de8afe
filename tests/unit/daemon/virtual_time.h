/* A clock that stands still until the test moves it, and random numbers that repeat. */
#pragma once

#include "common/clock.h"
#include "common/random.h"

#include <string.h>

#define VIRTUAL_START_S 1700000000

__attribute__((unused)) static int64_t virtual_now = VIRTUAL_START_S;

__attribute__((unused)) static int64_t virtual_wall_s(void *unused) {
    (void)unused;
    return virtual_now;
}

__attribute__((unused)) static int64_t virtual_monotonic_ms(void *unused) {
    (void)unused;
    return virtual_now * 1000;
}

__attribute__((unused)) static const struct clock_source virtual_clock = {
    .wall_s = virtual_wall_s, .monotonic_ms = virtual_monotonic_ms};

/* xorshift; every test begins with the same seed */
__attribute__((unused)) static uint64_t virtual_seed = 88172645463325252ULL;

__attribute__((unused)) static int virtual_bytes(void *ret, size_t size, void *unused) {
    (void)unused;
    for (size_t i = 0; i < size; i++) {
        virtual_seed ^= virtual_seed << 13;
        virtual_seed ^= virtual_seed >> 7;
        virtual_seed ^= virtual_seed << 17;
        ((uint8_t *)ret)[i] = (uint8_t)virtual_seed;
    }
    return 0;
}

__attribute__((unused)) static const struct random_source virtual_random = {.bytes = virtual_bytes};
