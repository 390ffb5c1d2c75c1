// A preloaded library that keeps, beside a store's directory, the image that a power cut would leave.
//
// `kill -9` cannot catch a missing fsync: the page cache survives it. This library lets a process write as it likes and
// keeps a second tree, the image, that holds only what was made durable:
//
//   - a file's bytes and length, as of its last completed fsync or fdatasync;
//   - a directory's names, as of its last completed fsync. What was created, renamed or removed since is not in it.
//
//     POWERLOSS_ROOT        the directory to watch, an absolute path without symbolic links
//     POWERLOSS_IMAGE       the image; at the start it must hold a copy of the root. Left out: only counts
//     POWERLOSS_OBJECTS     a scratch directory on the image's file system; needed with POWERLOSS_IMAGE
//     POWERLOSS_COUNTS      a file that receives `struct counts`, readable while the process runs and after
//     POWERLOSS_FULL        a file; while it exists, the disk is full: writes below the root fail with ENOSPC
//     POWERLOSS_LATENCY_US  replaces each sync by a wait of so long (0: none); left out: the real sync
//
// How: each file has an *object*, its durable bytes under its inode number, in POWERLOSS_OBJECTS. An fsync of a file
// copies the ranges written since into its object. An fsync of a directory makes the image's directory equal to the real
// one *by names*, each name a hard link to its file's object. So neither rename nor unlink needs to be seen: they are
// undone by not being synced.
//
// Limits: what was not synced is lost whole (a real disk may keep some of it, or tear it); writes are not reordered
// beyond that; writes through mmap, io_uring or raw system calls are not seen, nor files created by fopen or mkstemp
// until their first fsync; symbolic links and permissions of directories are not kept; SQLite's `-shm` files, which are
// memory and not data, are left out. Files that an earlier life left unsynced count as durable: start each life on an
// image, with a fresh copy beside it.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, COPY_BYTES = 1 << 20, MAX_DEPTH = 64 };

// ---- What is counted -----------------------------------------------------------------------------------------------

struct counts {
    uint64_t file_syncs;      // fsync and fdatasync of files below the root
    uint64_t directory_syncs; // fsync of directories below the root, and of the root
    uint64_t writes;          // calls that wrote
    uint64_t bytes;           // bytes that they wrote
};

static struct counts no_file;
static struct counts *counts = &no_file;

static void count(uint64_t *counter, uint64_t by) { __atomic_fetch_add(counter, by, __ATOMIC_RELAXED); }

// ---- The functions behind ours -------------------------------------------------------------------------------------

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*fsync)(int), (*fdatasync)(int);
    int (*ftruncate)(int, off_t), (*truncate)(const char *, off_t);
    int (*mkdirat)(int, const char *, mode_t);
    ssize_t (*write)(int, const void *, size_t), (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*writev)(int, const struct iovec *, int), (*pwritev)(int, const struct iovec *, int, off_t);
    ssize_t (*pwritev2)(int, const struct iovec *, int, off_t, int);
    ssize_t (*copy_file_range)(int, off64_t *, int, off64_t *, size_t, unsigned);
    ssize_t (*sendfile)(int, int, off_t *, size_t);
    int (*fallocate)(int, int, off_t, off_t);
} real;

static const char *root, *image, *objects, *full;
static size_t root_length;
static long latency_us = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// A model that fails silently would let a test pass that proves nothing.
__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("powerloss: ", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    va_end(arguments);
    abort();
}

static void join(char *out, const char *folder, const char *name) {
    if (snprintf(out, PATH_BYTES, "%s/%s", folder, name) >= PATH_BYTES) {
        errno = ENAMETOOLONG;
        die("%s/%s", folder, name);
    }
}

// ---- Files: what was written since the last sync -------------------------------------------------------------------

struct range {
    off_t from, to;
};

struct file {
    dev_t device;
    ino_t inode;
    struct range *ranges;
    size_t length, capacity;
    off_t shortest; // the shortest the file has been since its last sync: what lay beyond is gone
};

static struct file *files;
static size_t file_count, file_capacity;

static struct file *file_of(const struct stat *status) {
    for (size_t i = 0; i < file_count; i++)
        if (files[i].inode == status->st_ino && files[i].device == status->st_dev) return &files[i];
    if (file_count == file_capacity) {
        file_capacity = file_capacity ? file_capacity * 2 : 64;
        files = realloc(files, file_capacity * sizeof *files);
        if (!files) die("no memory");
    }
    struct file *file = &files[file_count++];
    *file = (struct file){.device = status->st_dev, .inode = status->st_ino, .shortest = LLONG_MAX};
    return file;
}

static void add_range(struct file *file, off_t from, off_t to) {
    if (file->length && file->ranges[file->length - 1].to == from) {
        file->ranges[file->length - 1].to = to;
        return;
    }
    if (file->length == file->capacity) {
        file->capacity = file->capacity ? file->capacity * 2 : 16;
        file->ranges = realloc(file->ranges, file->capacity * sizeof *file->ranges);
        if (!file->ranges) die("no memory");
    }
    file->ranges[file->length++] = (struct range){from, to};
}

static void object_path(char *out, const struct stat *status) {
    snprintf(out, PATH_BYTES, "%s/%llx-%llx", objects, (unsigned long long)status->st_dev,
             (unsigned long long)status->st_ino);
}

// A file that has just been created: nothing of it is durable, whatever had its inode number before.
static void begin_file(const struct stat *status) {
    char object[PATH_BYTES];
    struct file *file = file_of(status);
    file->length = 0;
    file->shortest = LLONG_MAX;
    object_path(object, status);
    unlink(object);
    int fd = real.openat(AT_FDCWD, object, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd < 0) die("%s", object);
    close(fd);
}

// Copies what was written since the last sync into the file's object.
static void persist_file(int fd) {
    static char buffer[COPY_BYTES];
    char object[PATH_BYTES], itself[64];
    struct stat status, durable;
    if (fstat(fd, &status)) return;
    struct file *file = file_of(&status);
    object_path(object, &status);
    int unseen = access(object, F_OK) != 0; // created where this library does not look: all of it is new
    int to = real.openat(AT_FDCWD, object, O_RDWR | O_CREAT, 0666);
    snprintf(itself, sizeof itself, "/proc/self/fd/%d", fd); // the descriptor itself may be for writing only
    int from = real.openat(AT_FDCWD, itself, O_RDONLY);
    if (to < 0 || from < 0 || fstat(to, &durable) || fchmod(to, status.st_mode & 07777)) die("%s", object);
    if (unseen) add_range(file, 0, status.st_size);
    if (file->shortest < durable.st_size && real.ftruncate(to, file->shortest)) die("%s", object);
    for (size_t i = 0; i < file->length; i++) {
        off_t at = file->ranges[i].from;
        while (at < file->ranges[i].to) {
            off_t left = file->ranges[i].to - at;
            ssize_t got = pread(from, buffer, left < COPY_BYTES ? (size_t)left : COPY_BYTES, at);
            if (got < 0) die("reading for %s", object);
            if (got == 0) break; // cut off since
            if (real.pwrite(to, buffer, (size_t)got, at) != got) die("%s", object);
            at += got;
        }
    }
    if (real.ftruncate(to, status.st_size)) die("%s", object);
    file->length = 0;
    file->shortest = LLONG_MAX;
    close(from);
    close(to);
}

// ---- Directories: where each lies in the image ---------------------------------------------------------------------

struct directory {
    dev_t device;
    ino_t inode;
    char *place; // in the image, or among the objects while no synced directory names it
};

static struct directory *directories;
static size_t directory_count, directory_capacity;

static struct directory *known_directory(const struct stat *status) {
    for (size_t i = 0; i < directory_count; i++)
        if (directories[i].inode == status->st_ino && directories[i].device == status->st_dev) return &directories[i];
    return NULL;
}

static struct directory *add_directory(const struct stat *status, const char *place) {
    if (directory_count == directory_capacity) {
        directory_capacity = directory_capacity ? directory_capacity * 2 : 64;
        directories = realloc(directories, directory_capacity * sizeof *directories);
        if (!directories) die("no memory");
    }
    directories[directory_count] = (struct directory){status->st_dev, status->st_ino, strdup(place)};
    return &directories[directory_count++];
}

static void forget_directory(const struct stat *status) {
    struct directory *known = known_directory(status);
    if (!known) return;
    free(known->place);
    *known = directories[--directory_count];
}

// Moves a directory of the image, and with it all that lie below.
static void move_directory(const char *from, const char *to) {
    if (rename(from, to)) die("moving %s to %s", from, to);
    size_t length = strlen(from);
    for (size_t i = 0; i < directory_count; i++) {
        char *place = directories[i].place;
        if (strncmp(place, from, length) || (place[length] && place[length] != '/')) continue;
        char moved[PATH_BYTES];
        if (snprintf(moved, sizeof moved, "%s%s", to, place + length) >= PATH_BYTES) die("%s: too long", to);
        directories[i].place = strdup(moved);
        free(place);
    }
}

static void aside(char *out) {
    static unsigned number;
    snprintf(out, PATH_BYTES, "%s/aside-%d-%u", objects, (int)getpid(), number++);
}

// Takes a name out of the image. A directory may have moved to a parent that is synced later, so it is kept aside.
static void remove_name(const char *path) {
    struct stat status;
    if (lstat(path, &status)) return;
    if (S_ISDIR(status.st_mode)) {
        char place[PATH_BYTES];
        aside(place);
        move_directory(path, place);
    } else if (unlink(path)) {
        die("%s", path);
    }
}

static void name_file(const char *path, const struct stat *status) {
    char object[PATH_BYTES], link_path[PATH_BYTES];
    struct stat of_object, of_name;
    object_path(object, status);
    if (stat(object, &of_object)) { // created where this library does not look, and never synced
        begin_file(status);
        if (stat(object, &of_object)) die("%s", object);
    }
    int there = lstat(path, &of_name) == 0;
    if (there && of_name.st_ino == of_object.st_ino) return;
    if (there && S_ISDIR(of_name.st_mode)) remove_name(path);
    aside(link_path);
    if (link(object, link_path) || rename(link_path, path)) die("naming %s", path);
}

static void name_directory(const char *path, const struct stat *status) {
    struct directory *known = known_directory(status);
    if (known && strcmp(known->place, path) == 0) return;
    remove_name(path);
    if (known) {
        move_directory(known->place, path);
    } else {
        if (real.mkdirat(AT_FDCWD, path, 0777)) die("%s", path);
        add_directory(status, path);
    }
}

static int ignored(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, "-shm") == 0;
}

// Makes the names of a directory of the image those of the real one.
static void persist_directory(int fd) {
    struct stat status;
    if (fstat(fd, &status)) return;
    struct directory *directory = known_directory(&status);
    if (!directory) {
        char place[PATH_BYTES];
        aside(place);
        if (real.mkdirat(AT_FDCWD, place, 0777)) die("%s", place);
        directory = add_directory(&status, place);
    }
    char place[PATH_BYTES], path[PATH_BYTES];
    snprintf(place, sizeof place, "%s", directory->place);

    int copy = real.openat(fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing) die("listing a directory");
    for (struct dirent *entry; (entry = readdir(listing));) {
        struct stat of_entry;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || ignored(entry->d_name)) continue;
        if (fstatat(copy, entry->d_name, &of_entry, AT_SYMLINK_NOFOLLOW)) continue; // removed meanwhile
        join(path, place, entry->d_name);
        if (S_ISREG(of_entry.st_mode)) name_file(path, &of_entry);
        if (S_ISDIR(of_entry.st_mode)) name_directory(path, &of_entry);
    }

    DIR *kept = opendir(place);
    if (!kept) die("%s", place);
    for (struct dirent *entry; (entry = readdir(kept));) {
        struct stat of_entry;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(copy, entry->d_name, &of_entry, AT_SYMLINK_NOFOLLOW) == 0) continue;
        join(path, place, entry->d_name);
        remove_name(path);
    }
    closedir(kept);
    closedir(listing);
}

// What is there at the start is durable: each file of the image becomes an object of the real file's number.
static void adopt(const char *from, const char *to, int depth) {
    struct stat status;
    if (depth > MAX_DEPTH) die("%s: too deep", from);
    if (stat(from, &status)) die("%s", from);
    add_directory(&status, to);
    DIR *listing = opendir(from);
    if (!listing) die("%s", from);
    for (struct dirent *entry; (entry = readdir(listing));) {
        char path[PATH_BYTES], kept[PATH_BYTES], object[PATH_BYTES];
        struct stat of_kept;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || ignored(entry->d_name)) continue;
        join(path, from, entry->d_name);
        join(kept, to, entry->d_name);
        if (lstat(path, &status) || lstat(kept, &of_kept)) continue; // not in the image: not durable
        if (S_ISDIR(status.st_mode)) adopt(path, kept, depth + 1);
        if (!S_ISREG(status.st_mode)) continue;
        object_path(object, &status);
        if (link(kept, object) && errno != EEXIST) die("%s", object);
    }
    closedir(listing);
}

// ---- Start ---------------------------------------------------------------------------------------------------------

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) die("libc has no %s", name);
    return found;
}

static void start(void) {
    real.openat = next("openat64");
    real.fsync = next("fsync");
    real.fdatasync = next("fdatasync");
    real.ftruncate = next("ftruncate64");
    real.truncate = next("truncate64");
    real.mkdirat = next("mkdirat");
    real.write = next("write");
    real.pwrite = next("pwrite64");
    real.writev = next("writev");
    real.pwritev = next("pwritev64");
    real.pwritev2 = next("pwritev64v2");
    real.copy_file_range = next("copy_file_range");
    real.sendfile = next("sendfile64");
    real.fallocate = next("fallocate64");

    root = getenv("POWERLOSS_ROOT");
    if (!root) return;
    root_length = strlen(root);
    full = getenv("POWERLOSS_FULL");
    const char *text = getenv("POWERLOSS_LATENCY_US");
    if (text) latency_us = atol(text);
    text = getenv("POWERLOSS_COUNTS");
    if (text) {
        int fd = real.openat(AT_FDCWD, text, O_RDWR | O_CREAT, 0666);
        if (fd < 0 || real.ftruncate(fd, sizeof *counts)) die("%s", text);
        counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (counts == MAP_FAILED) die("%s", text);
        close(fd);
    }
    image = getenv("POWERLOSS_IMAGE");
    objects = getenv("POWERLOSS_OBJECTS");
    if (!image) return;
    if (!objects) {
        errno = EINVAL;
        die("POWERLOSS_IMAGE needs POWERLOSS_OBJECTS");
    }
    adopt(root, image, 0);
}

__attribute__((constructor)) static void begin(void) { pthread_once(&once, start); }

// Whether a descriptor is of something below the root that is kept.
static int watched(int fd) {
    char link_path[64], path[PATH_BYTES];
    pthread_once(&once, start);
    if (!root || fd < 0) return 0;
    int error = errno;
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link_path, path, sizeof path - 1);
    errno = error;
    if (length < (ssize_t)root_length) return 0;
    path[length] = 0;
    return !strncmp(path, root, root_length) && (!path[root_length] || path[root_length] == '/') && !ignored(path);
}

// Whether a write is to fail for want of space. A real disk would still let a file's own blocks be written over.
static int refused(int fd) {
    if (!full || access(full, F_OK) != 0 || !watched(fd)) return 0;
    errno = ENOSPC;
    return 1;
}

static void written(int fd, off_t from, ssize_t length) {
    struct stat status;
    if (length <= 0 || !watched(fd)) return;
    int error = errno;
    count(&counts->writes, 1);
    count(&counts->bytes, (uint64_t)length);
    if (image && !fstat(fd, &status) && S_ISREG(status.st_mode)) {
        pthread_mutex_lock(&lock);
        add_range(file_of(&status), from, from + length);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
}

// After a write at the descriptor's own position.
static void written_here(int fd, ssize_t length) {
    if (length <= 0 || !watched(fd)) return;
    int error = errno;
    off_t end = lseek(fd, 0, SEEK_CUR);
    errno = error;
    if (end >= length) written(fd, end - length, length);
}

static void shortened(int fd, off_t length) {
    struct stat status;
    if (!image || !watched(fd) || fstat(fd, &status)) return;
    pthread_mutex_lock(&lock);
    struct file *file = file_of(&status);
    if (length < file->shortest) file->shortest = length;
    pthread_mutex_unlock(&lock);
}

static int sync_descriptor(int fd, int (*really)(int)) {
    struct stat status;
    if (watched(fd) && fstat(fd, &status) == 0) {
        int is_directory = S_ISDIR(status.st_mode);
        count(is_directory ? &counts->directory_syncs : &counts->file_syncs, 1);
        if (image) {
            pthread_mutex_lock(&lock);
            if (is_directory) persist_directory(fd);
            if (S_ISREG(status.st_mode)) persist_file(fd);
            pthread_mutex_unlock(&lock);
        }
        if (latency_us >= 0) {
            struct timespec wait = {latency_us / 1000000, latency_us % 1000000 * 1000};
            if (latency_us) nanosleep(&wait, NULL);
            return 0;
        }
    }
    return really(fd);
}

static int open_and_note(int directory, const char *path, int flags, mode_t mode) {
    struct stat status;
    pthread_once(&once, start);
    if (!image || !(flags & (O_CREAT | O_TRUNC))) return real.openat(directory, path, flags, mode);
    // Under the lock, so that a sync of the directory does not meet the new file before its object exists.
    pthread_mutex_lock(&lock);
    int nameless = (flags & O_TMPFILE) == O_TMPFILE;
    int existed = !nameless && fstatat(directory, path, &status, 0) == 0;
    int fd = real.openat(directory, path, flags, mode);
    int error = errno;
    int noted = fd >= 0 && watched(fd) && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (noted && !existed) begin_file(&status);
    pthread_mutex_unlock(&lock);
    if (noted && existed && (flags & O_TRUNC)) shortened(fd, 0);
    errno = error;
    return fd;
}

// ---- What the process calls ----------------------------------------------------------------------------------------

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(arguments, int) : 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_of(flags, arguments);                                                                       \
        va_end(arguments);                                                                                             \
        return open_and_note(AT_FDCWD, path, flags, mode);                                                             \
    }
#define OPENAT(name)                                                                                                   \
    int name(int directory, const char *path, int flags, ...) {                                                        \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_of(flags, arguments);                                                                       \
        va_end(arguments);                                                                                             \
        return open_and_note(directory, path, flags, mode);                                                            \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags) { return open_and_note(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_and_note(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_and_note(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int mkdirat(int directory, const char *path, mode_t mode) {
    struct stat status;
    pthread_once(&once, start);
    if (!image) return real.mkdirat(directory, path, mode);
    pthread_mutex_lock(&lock);
    int result = real.mkdirat(directory, path, mode);
    int error = errno;
    if (result == 0 && fstatat(directory, path, &status, 0) == 0) forget_directory(&status);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int fsync(int fd) {
    pthread_once(&once, start);
    return sync_descriptor(fd, real.fsync);
}
int fdatasync(int fd) {
    pthread_once(&once, start);
    return sync_descriptor(fd, real.fdatasync);
}

ssize_t write(int fd, const void *from, size_t length) {
    pthread_once(&once, start);
    if (refused(fd)) return -1;
    ssize_t done = real.write(fd, from, length);
    written_here(fd, done);
    return done;
}
ssize_t writev(int fd, const struct iovec *from, int parts) {
    pthread_once(&once, start);
    if (refused(fd)) return -1;
    ssize_t done = real.writev(fd, from, parts);
    written_here(fd, done);
    return done;
}
ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
    pthread_once(&once, start);
    if (refused(fd)) return -1;
    ssize_t done = real.pwrite(fd, from, length, at);
    written(fd, at, done);
    return done;
}
ssize_t pwrite(int fd, const void *from, size_t length, off_t at) { return pwrite64(fd, from, length, at); }
ssize_t pwritev64(int fd, const struct iovec *from, int parts, off64_t at) {
    pthread_once(&once, start);
    if (refused(fd)) return -1;
    ssize_t done = real.pwritev(fd, from, parts, at);
    written(fd, at, done);
    return done;
}
ssize_t pwritev(int fd, const struct iovec *from, int parts, off_t at) { return pwritev64(fd, from, parts, at); }
ssize_t pwritev64v2(int fd, const struct iovec *from, int parts, off64_t at, int flags) {
    pthread_once(&once, start);
    if (refused(fd)) return -1;
    ssize_t done = real.pwritev2(fd, from, parts, at, flags);
    if (at == -1) written_here(fd, done);
    else written(fd, at, done);
    return done;
}
ssize_t pwritev2(int fd, const struct iovec *from, int parts, off_t at, int flags) {
    return pwritev64v2(fd, from, parts, at, flags);
}
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    pthread_once(&once, start);
    off64_t at = out_at ? *out_at : 0;
    ssize_t done = real.copy_file_range(in, in_at, out, out_at, length, flags);
    if (out_at) written(out, at, done);
    else written_here(out, done);
    return done;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t length) {
    pthread_once(&once, start);
    ssize_t done = real.sendfile(out, in, at, length);
    written_here(out, done);
    return done;
}
ssize_t sendfile(int out, int in, off_t *at, size_t length) { return sendfile64(out, in, at, length); }

int ftruncate64(int fd, off64_t length) {
    pthread_once(&once, start);
    int result = real.ftruncate(fd, length);
    if (result == 0) shortened(fd, length);
    return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int truncate64(const char *path, off64_t length) {
    pthread_once(&once, start);
    int result = real.truncate(path, length);
    if (result == 0 && image) {
        int fd = real.openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        shortened(fd, length);
        if (fd >= 0) close(fd);
    }
    return result;
}
int truncate(const char *path, off_t length) { return truncate64(path, length); }
// Only a hole that is punched changes bytes: to zeros, which is a write.
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    pthread_once(&once, start);
    int result = real.fallocate(fd, mode, at, length);
    if (result == 0 && mode & ~1) written(fd, at, (ssize_t)length);
    return result;
}
int fallocate(int fd, int mode, off_t at, off_t length) { return fallocate64(fd, mode, at, length); }
