/* Preloaded into a process, makes one of its syncs fail as a disk does that reports a lost write once and then goes on:
 * the FAILING_SYNC_NUMBER-th one of files whose path contains FAILING_SYNC_PATH. Then FAILING_SYNC_SAID exists and holds
 * the path. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long syncs;

static int fails(int file) {
    const char *part = getenv("FAILING_SYNC_PATH"), *number = getenv("FAILING_SYNC_NUMBER");
    const char *said = getenv("FAILING_SYNC_SAID");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!part || !number || !said || length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, part) || atomic_fetch_add(&syncs, 1) + 1 != atol(number)) return 0;
    int told = open(said, O_WRONLY | O_CREAT, 0600);
    if (told < 0 || write(told, path, (size_t)length) != length) abort();
    close(told);
    return 1;
}

static int sync_or_fail(long call, int file) {
    if (!fails(file)) return (int)syscall(call, file);
    errno = EIO;
    return -1;
}

int fsync(int file) { return sync_or_fail(SYS_fsync, file); }

int fdatasync(int file) { return sync_or_fail(SYS_fdatasync, file); }
