/* libs: common ipc useragent */
/* Firefox's profiles.ini: whatever stands there, only directories come out, and each once. */
#include "useragent/firefox_profiles.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT "/usr"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *path) {
    struct stat status;

    if (path[0] != '/' || strlen(path) >= USER_DIRS_PATH_MAX || stat(path, &status) < 0 ||
        !S_ISDIR(status.st_mode))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct firefox_profiles profiles = {0};
    bool group = false;

    if (firefox_profiles_parse(ROOT, (const char *)data, size, &profiles, &group) < 0 ||
        profiles.count > FIREFOX_PROFILES_MAX)
        abort();
    for (size_t i = 0; i < profiles.count; i++) {
        check(profiles.paths[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(profiles.paths[i], profiles.paths[j]) == 0)
                abort();
    }
    firefox_profiles_deinit(&profiles);
    return 0;
}
