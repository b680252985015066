/* A disk that can fail, for a program that is linked with glibc: preloaded, it stands between the program and what it does to files below one
 * folder. It writes down each change and each sync in a journal, from which a test puts together what a power failure would have left; and it
 * refuses calls as a control file says. What is written through mmap is not seen.
 *
 * FREEHOLD_DISK_ROOT     the folder, without links in its path
 * FREEHOLD_DISK_JOURNAL  a file that records are appended to
 * FREEHOLD_DISK_CONTROL  a file of the size of `struct control`
 *
 * Both files are read and written by mod.rs beside this file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, SYNC_FAILED, RENAME, UNLINK, MKDIR };
enum call { CALL_WRITE = 1, CALL_SYNC = 2, CALL_OPEN = 4, CALL_RENAME = 8, CALL_UNLINK = 16, CALL_TRUNCATE = 32 };

struct control {
    /* What a refused call says; 0 refuses nothing, and -1 holds it until it is another. */
    _Atomic int32_t error;
    /* The kinds of calls that are refused. */
    _Atomic uint32_t calls;
    /* How many of them go well first, and how many are refused then: -1 is all. */
    _Atomic int32_t after, times;
    /* Calls that were refused. */
    _Atomic uint32_t hits;
    /* What the path must have in it; a `$` stands for its end. */
    char part[108];
};

struct record {
    uint32_t kind, path_length;
    uint64_t inode, place, length;
};

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static struct control *control;
static _Atomic uint64_t syncs;
/* The inodes of syncs that failed, and how many of its file's each open file was told of: as Linux does, each is told of all once. */
static _Atomic uint64_t failed[65536];
static _Atomic uint32_t failures, told[65536];

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FREEHOLD_DISK_ROOT"), *records = getenv("FREEHOLD_DISK_JOURNAL"), *file = getenv("FREEHOLD_DISK_CONTROL");
    if (!folder || !records || !file) return;
    journal = syscall(SYS_openat, AT_FDCWD, records, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    int opened = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    if (journal < 0 || opened < 0 || mapped == MAP_FAILED) abort();
    control = mapped;
    snprintf(root, sizeof root, "%s/", folder);
    root_length = strlen(root);
}

/* Whether a path is below the folder; relative ones are none of a server's. */
static int is_ours(const char *path) {
    return journal >= 0 && (strncmp(path, root, root_length) == 0 || (strlen(path) == root_length - 1 && strncmp(path, root, root_length - 1) == 0));
}

/* The path of what is open, if it is below the folder. */
static int find(int file, char path[PATH_MAX]) {
    if (journal < 0) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

static uint64_t inode(int file) {
    struct stat found;
    return fstat(file, &found) == 0 ? found.st_ino : 0;
}

/* How many syncs of a file failed. */
static uint32_t failed_of(uint64_t inode) {
    uint32_t number = 0;
    for (uint32_t at = 0, end = failures; at < end; at++) number += failed[at] == inode;
    return number;
}

static void note(enum kind kind, const char *path, uint64_t inode, uint64_t place, const void *bytes, uint64_t length) {
    struct record record = {kind, strlen(path), inode, place, length};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)path, record.path_length}, {(void *)bytes, bytes ? length : 0}};
    size_t whole = sizeof record + record.path_length + (bytes ? length : 0);
    int kept = errno;
    if (syscall(SYS_writev, journal, parts, 3) != (long)whole) abort();
    errno = kept;
}

/* Whether a call is to be refused. */
static int refuses(enum call call, const char *path) {
    int error = atomic_load(&control->error);
    if (!error || !(atomic_load(&control->calls) & call)) return 0;
    char whole[PATH_MAX + 1];
    snprintf(whole, sizeof whole, "%s$", path);
    if (!strstr(whole, control->part)) return 0;
    if (error < 0) {
        atomic_fetch_add(&control->hits, 1);
        while (atomic_load(&control->error) < 0) usleep(1000);
        return 0;
    }
    if (atomic_fetch_sub(&control->after, 1) > 0) return 0;
    int32_t left = atomic_load(&control->times);
    do {
        if (left == 0) return 0;
    } while (left > 0 && !atomic_compare_exchange_weak(&control->times, &left, left - 1));
    atomic_fetch_add(&control->hits, 1);
    errno = error;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int open_noted(const char *name, int flags, mode_t mode, int (*opens)(const char *, int, ...)) {
    if (!is_ours(name)) return opens(name, flags, mode);
    struct stat before;
    int is_there = stat(name, &before) == 0;
    if (refuses(CALL_OPEN, name)) return -1;
    int file = opens(name, flags, mode);
    if (file >= 0) told[file] = failed_of(inode(file));
    if (file >= 0 && !is_there && flags & O_CREAT) note(CREATE, name, inode(file), 0, NULL, 0);
    if (file >= 0 && is_there && flags & O_TRUNC) note(TRUNCATE, name, inode(file), 0, NULL, 0);
    return file;
}

int open(const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return open_noted(name, flags, mode, REAL(open));
}

int open64(const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return open_noted(name, flags, mode, REAL(open64));
}

/* What was written is noted afterwards: a sync that begins meanwhile need not have it. A refused write leaves half of its bytes. */
static ssize_t write_noted(int file, const void *bytes, size_t length, off_t place, int is_at_place) {
    static ssize_t (*writes)(int, const void *, size_t);
    static ssize_t (*writes_at)(int, const void *, size_t, off_t);
    if (!writes) writes_at = REAL(pwrite64), writes = REAL(write);
    char path[PATH_MAX];
    if (!find(file, path)) return is_at_place ? writes_at(file, bytes, length, place) : writes(file, bytes, length);
    int error = refuses(CALL_WRITE, path) ? errno : 0;
    if (error) length /= 2;
    ssize_t written = is_at_place ? writes_at(file, bytes, length, place) : writes(file, bytes, length);
    if (written > 0) note(WRITE, path, inode(file), is_at_place ? place : lseek(file, 0, SEEK_CUR) - written, bytes, written);
    if (error) errno = error;
    return error ? -1 : written;
}

ssize_t write(int file, const void *bytes, size_t length) { return write_noted(file, bytes, length, 0, 0); }
ssize_t pwrite(int file, const void *bytes, size_t length, off_t place) { return write_noted(file, bytes, length, place, 1); }
ssize_t pwrite64(int file, const void *bytes, size_t length, off_t place) { return write_noted(file, bytes, length, place, 1); }

/* What follows the program does not use on files of the folder; if it did, this would have to be written. */
static void is_not_ours(int file, const char *name) {
    char path[PATH_MAX];
    if (name ? is_ours(name) || (*name != '/' && find(file, path)) : find(file, path)) abort();
}

#define UNUSED(type, name, parameters, file, path, ...) \
    type name parameters { \
        is_not_ours(file, path); \
        return REAL(name)(__VA_ARGS__); \
    }

UNUSED(ssize_t, writev, (int to, const struct iovec *parts, int number), to, NULL, to, parts, number)
UNUSED(ssize_t, pwritev, (int to, const struct iovec *parts, int number, off_t at), to, NULL, to, parts, number, at)
UNUSED(ssize_t, pwritev64, (int to, const struct iovec *parts, int number, off_t at), to, NULL, to, parts, number, at)
UNUSED(ssize_t, pwritev2, (int to, const struct iovec *parts, int number, off_t at, int flags), to, NULL, to, parts, number, at, flags)
UNUSED(ssize_t, pwritev64v2, (int to, const struct iovec *parts, int number, off_t at, int flags), to, NULL, to, parts, number, at, flags)
UNUSED(ssize_t, sendfile, (int to, int from, off_t *place, size_t length), to, NULL, to, from, place, length)
UNUSED(ssize_t, sendfile64, (int to, int from, off_t *place, size_t length), to, NULL, to, from, place, length)
UNUSED(ssize_t, splice, (int from, off_t *place, int to, off_t *at, size_t length, unsigned flags), to, NULL, from, place, to, at, length, flags)
UNUSED(ssize_t, copy_file_range, (int from, off_t *place, int to, off_t *at, size_t length, unsigned flags), to, NULL, from, place, to, at, length, flags)
UNUSED(int, fallocate, (int to, int mode, off_t at, off_t length), to, NULL, to, mode, at, length)
UNUSED(int, fallocate64, (int to, int mode, off_t at, off_t length), to, NULL, to, mode, at, length)
UNUSED(int, posix_fallocate, (int to, off_t at, off_t length), to, NULL, to, at, length)
UNUSED(int, posix_fallocate64, (int to, off_t at, off_t length), to, NULL, to, at, length)
UNUSED(int, creat, (const char *name, mode_t mode), -1, name, name, mode)
UNUSED(int, creat64, (const char *name, mode_t mode), -1, name, name, mode)
UNUSED(int, unlinkat, (int folder, const char *name, int flags), folder, name, folder, name, flags)
UNUSED(int, renameat, (int folder, const char *from, int other, const char *to), folder, from, folder, from, other, to)
UNUSED(int, renameat2, (int folder, const char *from, int other, const char *to, unsigned flags), folder, from, folder, from, other, to, flags)

static int truncate_noted(int file, off_t length, int (*truncates)(int, off_t)) {
    char path[PATH_MAX];
    if (!find(file, path)) return truncates(file, length);
    if (refuses(CALL_TRUNCATE, path)) return -1;
    int outcome = truncates(file, length);
    if (outcome == 0) note(TRUNCATE, path, inode(file), length, NULL, 0);
    return outcome;
}

int ftruncate(int file, off_t length) { return truncate_noted(file, length, REAL(ftruncate)); }
int ftruncate64(int file, off_t length) { return truncate_noted(file, length, REAL(ftruncate64)); }

/* A sync that is refused drops what it should have kept: the one after it says that all is well, and does not bring it back. */
static int sync_noted(int file, int (*syncs_file)(int)) {
    char path[PATH_MAX];
    if (!find(file, path)) return syncs_file(file);
    uint64_t sync = atomic_fetch_add(&syncs, 1), known = inode(file);
    note(SYNC_BEGIN, path, known, sync, NULL, 0);
    int outcome = 0;
    if (refuses(CALL_SYNC, path)) {
        uint32_t at = atomic_fetch_add(&failures, 1);
        if (at >= sizeof failed / sizeof *failed) abort();
        failed[at] = known;
        outcome = -1;
    } else if (told[file] != failed_of(known)) {
        errno = EIO;
        outcome = -1;
    }
    told[file] = failed_of(known);
    if (outcome == 0) outcome = syncs_file(file);
    note(outcome == 0 ? SYNC_END : SYNC_FAILED, path, known, sync, NULL, 0);
    return outcome;
}

int fsync(int file) { return sync_noted(file, REAL(fsync)); }
int fdatasync(int file) { return sync_noted(file, REAL(fdatasync)); }

int rename(const char *from, const char *to) {
    if (is_ours(from) && refuses(CALL_RENAME, from)) return -1;
    int outcome = REAL(rename)(from, to);
    if (outcome == 0 && is_ours(from)) note(RENAME, from, 0, 0, to, strlen(to));
    return outcome;
}

int unlink(const char *name) {
    if (is_ours(name) && refuses(CALL_UNLINK, name)) return -1;
    int outcome = REAL(unlink)(name);
    if (outcome == 0 && is_ours(name)) note(UNLINK, name, 0, 0, NULL, 0);
    return outcome;
}

int mkdir(const char *name, mode_t mode) {
    int outcome = REAL(mkdir)(name, mode);
    if (outcome == 0 && is_ours(name)) note(MKDIR, name, 0, 0, NULL, 0);
    return outcome;
}
