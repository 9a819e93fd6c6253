/* A disk that fails once: a library for LD_PRELOAD that stands between the processes of a run and the C library.

   Counted are writes, syncs, renames, links, folders and new files below one folder, by what is done and to which kind
   of file: "rename intermediate/store/rows/split-#.partial". The call with the wanted number of the wanted kind fails
   with the wanted error and does nothing; all others pass. Processes share the count. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    long passed;      /* calls of the wanted kind so far */
    long wanted;      /* the call that fails, from 1; 0: none */
    long code;        /* the errno of the failure */
    long struck;      /* whether it has failed */
    char kind[512];   /* the wanted kind; empty: every call is one */
    char folder[512]; /* what is counted lies below this folder */
    char trace[512];  /* a file to which every kind is appended; empty: none */
} Plan;

static Plan *plan(void) {
    static Plan *shared;
    static int looked;
    if (!looked) {
        const char *path = getenv("LOGMILLTEST_DISK");
        int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
        if (file >= 0) {
            void *memory = mmap(NULL, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            shared = memory == MAP_FAILED ? NULL : memory;
            syscall(SYS_close, file);
        }
        looked = 1;
    }
    return shared;
}

/* "intermediate/store/rows/split-#.partial": numbers and the ids of runs are one kind. */
static void generalize(const char *path, char *kind, size_t size) {
    size_t length = 0;
    while (*path && length + 2 < size) {
        if (*path >= '0' && *path <= '9') {
            while (*path && strchr("0123456789abcdefTZ-", *path)) path++;
            kind[length++] = '#';
        } else {
            kind[length++] = *path++;
        }
    }
    kind[length] = 0;
}

/* Whether the call with this name on this path has to fail; errno is set then. */
static int fails(const char *call, const char *path) {
    Plan *shared = plan();
    if (!shared) return 0;
    char absolute[PATH_MAX], kind[PATH_MAX + 32];
    if (path[0] != '/') {
        if (!getcwd(absolute, sizeof absolute)) return 0;
        size_t length = strlen(absolute);
        snprintf(absolute + length, sizeof absolute - length, "/%s", path);
        path = absolute;
    }
    size_t folder = strlen(shared->folder);
    if (strncmp(path, shared->folder, folder) || path[folder] != '/') return 0;
    int length = snprintf(kind, sizeof kind, "%s ", call);
    generalize(path + folder + 1, kind + length, sizeof kind - length);
    if (shared->trace[0]) {
        int file = (int)syscall(SYS_openat, AT_FDCWD, shared->trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        strcat(kind, "\n");
        syscall(SYS_write, file, kind, strlen(kind));
        syscall(SYS_close, file);
        kind[strlen(kind) - 1] = 0;
    }
    if (!shared->wanted || (shared->kind[0] && strcmp(kind, shared->kind))) return 0;
    if (__atomic_add_fetch(&shared->passed, 1, __ATOMIC_SEQ_CST) != shared->wanted) return 0;
    shared->struck = 1;
    errno = (int)shared->code;
    return 1;
}

static int fails_on(const char *call, int file) {
    if (!plan()) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

static int fails_at(const char *call, int folder, const char *path) {
    if (!plan()) return 0;
    if (folder == AT_FDCWD || path[0] == '/') return fails(call, path);
    char link[64], whole[2 * PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, whole, PATH_MAX);
    if (length <= 0) return 0;
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return fails(call, whole);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *data, size_t size) {
    return fails_on("write", file) ? -1 : NEXT(write)(file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return fails_on("write", file) ? -1 : NEXT(pwrite)(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    return fails_on("write", file) ? -1 : NEXT(pwrite64)(file, data, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_on("write", file) ? -1 : NEXT(writev)(file, parts, count);
}
ssize_t copy_file_range(int from, off64_t *at, int file, off64_t *to, size_t size, unsigned flags) {
    return fails_on("write", file) ? -1 : NEXT(copy_file_range)(from, at, file, to, size, flags);
}
ssize_t sendfile(int file, int from, off_t *at, size_t size) {
    return fails_on("write", file) ? -1 : NEXT(sendfile)(file, from, at, size);
}
ssize_t sendfile64(int file, int from, off64_t *at, size_t size) {
    return fails_on("write", file) ? -1 : NEXT(sendfile64)(file, from, at, size);
}
int ftruncate(int file, off_t size) { return fails_on("truncate", file) ? -1 : NEXT(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return fails_on("truncate", file) ? -1 : NEXT(ftruncate64)(file, size); }
int posix_fallocate(int file, off_t at, off_t size) {
    return fails_on("truncate", file) ? errno : NEXT(posix_fallocate)(file, at, size);
}
int fsync(int file) { return fails_on("sync", file) ? -1 : NEXT(fsync)(file); }
int fdatasync(int file) { return fails_on("sync", file) ? -1 : NEXT(fdatasync)(file); }
int syncfs(int file) { return fails_on("sync", file) ? -1 : NEXT(syncfs)(file); }
int rename(const char *from, const char *to) { return fails("rename", from) ? -1 : NEXT(rename)(from, to); }
int renameat(int folder, const char *from, int other, const char *to) {
    return fails_at("rename", folder, from) ? -1 : NEXT(renameat)(folder, from, other, to);
}
int symlink(const char *target, const char *path) { return fails("link", path) ? -1 : NEXT(symlink)(target, path); }
int symlinkat(const char *target, int folder, const char *path) {
    return fails_at("link", folder, path) ? -1 : NEXT(symlinkat)(target, folder, path);
}
int link(const char *from, const char *path) { return fails("link", path) ? -1 : NEXT(link)(from, path); }
int mkdir(const char *path, mode_t mode) { return fails("folder", path) ? -1 : NEXT(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
    return fails_at("folder", folder, path) ? -1 : NEXT(mkdirat)(folder, path, mode);
}

/* Only a file that is not there yet is a new one. */
static int fails_to_make(int folder, const char *path, int flags) {
    if (!(flags & O_CREAT) || !plan()) return 0;
    return faccessat(folder, path, F_OK, 0) && fails_at("new file", folder, path);
}

#define MODE(flags, last, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, last); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, flags, mode)
    return fails_to_make(AT_FDCWD, path, flags) ? -1 : NEXT(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, flags, mode)
    return fails_to_make(AT_FDCWD, path, flags) ? -1 : NEXT(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, flags, mode)
    return fails_to_make(folder, path, flags) ? -1 : NEXT(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, flags, mode)
    return fails_to_make(folder, path, flags) ? -1 : NEXT(openat64)(folder, path, flags, mode);
}
