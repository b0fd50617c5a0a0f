/* Loaded into the host by LD_PRELOAD: tells a journal what is done to the files below one folder, and syncs nothing.
 *
 * The crash test kills the host, throws the folder away and makes it again from the journal with only what was synced:
 * a power cut without a machine to cut. In C, because it replaces functions of libc by their names, for which Rust
 * would need unsafe code that this workspace forbids. Not shipped; compiled by the test.
 *
 * A record is written after the deed and before its caller goes on, so that what was answered stands in the journal.
 * Form: kind (1 byte), length of path, of second path (4 each), offset, length of data (8 each), path, path, data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;

static const char *root(void) {
    static const char *known;
    if (!known) known = getenv("HOSTLER_POWER_ROOT");
    return known;
}

/* Is the path below the folder, or the folder itself? */
static int ours(const char *path) {
    const char *folder = root();
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int path_of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return ours(path);
}

/* The absolute path of a name beside an open folder. */
static int path_at(int dir, const char *name, char *path) {
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return ours(path);
    }
    char base[PATH_MAX];
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    return ours(path);
}

static void tell(char kind, const char *path, const char *second, uint64_t offset, const struct iovec *data, int parts,
                 uint64_t length) {
    if (journal < 0) {
        const char *name = getenv("HOSTLER_POWER_JOURNAL");
        if (!name) return;
        journal = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (journal < 0) abort();
    }
    struct __attribute__((packed)) {
        char kind;
        uint32_t path, second;
        uint64_t offset, length;
    } head = {kind, strlen(path), second ? strlen(second) : 0, offset, length};
    struct iovec all[67] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)second, head.second}};
    int count = 3;
    uint64_t left = length;
    for (int i = 0; i < parts && left && count < 67; i++) {
        uint64_t take = data[i].iov_len < left ? data[i].iov_len : left;
        all[count++] = (struct iovec){data[i].iov_base, take};
        left -= take;
    }
    uint64_t want = sizeof head + head.path + head.second + length;
    if (left || syscall(SYS_writev, journal, all, count) != (long)want) abort();
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define LOCK pthread_mutex_lock(&order)
#define UNLOCK pthread_mutex_unlock(&order)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    char path[PATH_MAX];
    if (!path_of_fd(fd, path)) return real(fd, bytes, count);
    LOCK;
    ssize_t done = real(fd, bytes, count);
    if (done > 0) {
        struct iovec one = {(void *)bytes, done};
        tell('W', path, 0, lseek(fd, 0, SEEK_CUR) - done, &one, 1, done);
    }
    UNLOCK;
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    char path[PATH_MAX];
    if (!path_of_fd(fd, path)) return real(fd, parts, count);
    LOCK;
    ssize_t done = real(fd, parts, count > 64 ? 64 : count);
    if (done > 0) tell('W', path, 0, lseek(fd, 0, SEEK_CUR) - done, parts, count > 64 ? 64 : count, done);
    UNLOCK;
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    char path[PATH_MAX];
    if (!path_of_fd(fd, path)) return real(fd, bytes, count, offset);
    LOCK;
    ssize_t done = real(fd, bytes, count, offset);
    struct iovec one = {(void *)bytes, done > 0 ? done : 0};
    if (done > 0) tell('W', path, 0, offset, &one, 1, done);
    UNLOCK;
    return done;
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    char path[PATH_MAX];
    if (!path_of_fd(fd, path)) return real(fd, length);
    LOCK;
    int done = real(fd, length);
    if (!done) tell('T', path, 0, length, 0, 0, 0);
    UNLOCK;
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fsync(int fd) {
    REAL(fsync);
    char path[PATH_MAX];
    if (!path_of_fd(fd, path)) return real(fd);
    LOCK;
    tell('S', path, 0, 0, 0, 0, 0);
    UNLOCK;
    return 0;
}
int fdatasync(int fd) { return fsync(fd); }

static int renamed(int result, int has_paths, const char *from, const char *to) {
    if (!result && has_paths) tell('R', from, to, 0, 0, 0, 0);
    return result;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    int has_paths = path_at(from_dir, from, a) & path_at(to_dir, to, b);
    LOCK;
    int done = renamed(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), has_paths, a, b);
    UNLOCK;
    return done;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renameat2(from_dir, from, to_dir, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *name, int flags) {
    char path[PATH_MAX];
    int has_path = path_at(dir, name, path);
    LOCK;
    int done = syscall(SYS_unlinkat, dir, name, flags);
    if (!done && has_path) tell('U', path, 0, 0, 0, 0, 0);
    UNLOCK;
    return done;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int dir, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int has_path = path_at(dir, name, path);
    LOCK;
    int done = syscall(SYS_mkdirat, dir, name, mode);
    if (!done && has_path) tell('M', path, 0, 0, 0, 0, 0);
    UNLOCK;
    return done;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

static int opened(int dir, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int has_path = (flags & (O_CREAT | O_TRUNC)) && path_at(dir, name, path);
    if (!has_path) return syscall(SYS_openat, dir, name, flags, mode);
    LOCK;
    int was_there = !syscall(SYS_faccessat, dir, name, F_OK, 0);
    int fd = syscall(SYS_openat, dir, name, flags, mode);
    if (fd >= 0 && !was_there) tell('C', path, 0, 0, 0, 0, 0);
    if (fd >= 0 && was_there && (flags & O_TRUNC)) tell('T', path, 0, 0, 0, 0, 0);
    UNLOCK;
    return fd;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); }

int open64(const char *name, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int open(const char *name, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags, mode) return opened(dir, name, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags, mode) return opened(dir, name, flags | O_LARGEFILE, mode); }
