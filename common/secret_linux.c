/* Linux's half of the secrets: mmap'ed pages that are neither dumped, swapped nor inherited, and a
 * process that hands its memory to nobody. */
#include "common/secret.h"
#include "common/secret_pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void *secret_pages_allocate(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    /* Best effort, all three: an old kernel or a low RLIMIT_MEMLOCK must not cost the user the
     * credential. */
    (void)madvise(pages, size, MADV_DONTDUMP);
    (void)madvise(pages, size, MADV_WIPEONFORK);
    (void)mlock(pages, size);
    return pages;
}

void secret_pages_free(void *pages, size_t size) {
    explicit_bzero(pages, size);
    (void)munmap(pages, size); /* unlocks too */
}

int secret_harden_process(void) {
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    /* also keeps core_pattern pipes out, which ignore RLIMIT_CORE (core(5)) */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return 0;
}
