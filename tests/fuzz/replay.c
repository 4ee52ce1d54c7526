/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay FILE|DIRECTORY...: gives the files to the fuzz entry it is linked with, where there is no fuzzer to do it. */

#include "kennel/cleanup.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static size_t n_replayed;

static int replay_file(const char *path) {
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    _cleanup_free_ uint8_t *bytes = NULL;
    struct stat st;

    if (!f || fstat(fileno(f), &st) < 0)
        return -errno;
    /* exactly as long as the file, so that a sanitizer sees a read beyond it */
    bytes = malloc((size_t) st.st_size > 0 ? (size_t) st.st_size : 1);
    if (!bytes)
        return -ENOMEM;
    if (fread(bytes, 1, (size_t) st.st_size, f) != (size_t) st.st_size)
        return -EIO;
    (void) LLVMFuzzerTestOneInput(bytes, (size_t) st.st_size);
    n_replayed++;
    return 0;
}

static int replay_directory(const char *path) {
    struct dirent **entries;
    int r = 0, n = scandir(path, &entries, NULL, alphasort);

    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (r == 0 && entries[i]->d_name[0] != '.') {
            (void) snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
            r = replay_file(file);
        }
        free(entries[i]);
    }
    free(entries);
    return r;
}

int main(int argc, char *argv[]) {
    for (int i = 1; i < argc; i++) {
        struct stat st;
        int r = stat(argv[i], &st) < 0 ? -errno
                : S_ISDIR(st.st_mode)  ? replay_directory(argv[i])
                                       : replay_file(argv[i]);
        if (r < 0) {
            (void) fprintf(stderr, "replay: %s: %s\n", argv[i], strerror(-r));
            return 1;
        }
    }
    (void) printf("%zu inputs replayed\n", n_replayed);
    return n_replayed > 0 ? 0 : 1;
}
