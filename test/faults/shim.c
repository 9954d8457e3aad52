/*
 * The fault shim: preloaded into a relay, it sees every call by which the spool's directory is changed. It
 * records them, makes the one that it is told to fail, tears it or ends the process at it, and delays syncs.
 * What it is told stands in a small file that the test maps too (control in shim.ts). It decides nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NONE, FULL, BROKEN, TORN, BEFORE, AFTER, READONLY };
enum { OPEN = 1, WRITE = 2, TRUNCATE = 3, SYNC_BEGUN = 4, SYNCED = 5, RENAME = 6, UNLINK = 7, MKDIR = 8, RMDIR = 9 };
enum { K_WRITE = 1, K_SYNC = 2, K_CREATE = 4, K_TRUNCATE = 8, K_NAME = 16 };
enum { SECTOR = 512 };
enum { DURABLE = 1, EMPTIED = 2, FAILED = 4 };

struct control { int32_t mode, countdown, times, kinds, delay_us, calls, hits; };
struct __attribute__((packed)) head { uint8_t type, flags; uint16_t path, other; uint64_t file, offset; uint32_t bytes, turn; };
struct slot { ino_t ino; dev_t dev; int used, direct; };

#define FDS 65536
static struct slot slots[FDS];
static struct control idle, *control = &idle;
static const char *root;
static size_t root_length;
static int record = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t turns;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);

__attribute__((constructor)) static void begin(void) {
  real_pwrite = REAL(pwrite64);
  real_write = REAL(write);
  real_writev = REAL(writev);
  real_pwritev = REAL(pwritev64);
  real_open = REAL(open64);
  real_openat = REAL(openat64);
  root = getenv("FAULTS_DIRECTORY");
  root_length = root ? strlen(root) : 0;
  const char *file = getenv("FAULTS_RECORD");
  if (file) record = real_open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const char *told = getenv("FAULTS_CONTROL");
  int fd = told ? real_open(told, O_RDWR | O_CLOEXEC) : -1;
  void *at = fd < 0 ? MAP_FAILED : mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) control = at;
}

static void end_here(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

static int is_inside(const char *path) {
  return root && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static struct slot *slot_of(int fd) {
  if (fd < 0 || fd >= FDS || !slots[fd].used) return 0;
  struct stat now;
  if (fstat(fd, &now) || now.st_ino != slots[fd].ino || now.st_dev != slots[fd].dev) {
    slots[fd].used = 0; /* closed by a bare system call, and taken again */
    return 0;
  }
  return &slots[fd];
}

static uint32_t note(struct head head, const char *path, const char *other, const struct iovec *data, int parts, size_t most) {
  if (record < 0) return 0;
  pthread_mutex_lock(&lock);
  head.turn = head.type == SYNCED ? head.turn : ++turns;
  head.path = path ? strlen(path) : 0;
  head.other = other ? strlen(other) : 0;
  struct iovec out[1027] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)other, head.other}};
  size_t left = most;
  int count = 3;
  for (int part = 0; part < parts && left > 0; part++) {
    size_t bytes = data[part].iov_len < left ? data[part].iov_len : left;
    out[count].iov_base = data[part].iov_base;
    out[count++].iov_len = bytes;
    left -= bytes;
  }
  head.bytes = most;
  if (count > 1024) {
    real_writev(record, out, 1024);
    real_writev(record, out + 1024, count - 1024);
  } else real_writev(record, out, count);
  pthread_mutex_unlock(&lock);
  return head.turn;
}

/* What is to happen to this call: NONE, or one of the modes. */
static int fate(int kind) {
  __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
  int mode = control->mode;
  if (mode == NONE || !(control->kinds & kind)) return NONE;
  if (__atomic_sub_fetch(&control->countdown, 1, __ATOMIC_SEQ_CST) > 0) return NONE;
  if (control->times == 0) return NONE;
  if (control->times > 0) __atomic_sub_fetch(&control->times, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
  if (mode == BEFORE) end_here();
  return mode;
}

static void delay(void) {
  if (control->delay_us <= 0) return;
  struct timespec rest = {control->delay_us / 1000000, control->delay_us % 1000000 * 1000L};
  nanosleep(&rest, 0);
}

static int error_of(int mode) { return mode == FULL ? ENOSPC : mode == BROKEN ? EIO : mode == READONLY ? EROFS : 0; }

static ssize_t put(int fd, struct slot *slot, const struct iovec *data, int parts, off64_t offset, int moves) {
  off64_t at = moves ? lseek64(fd, 0, SEEK_CUR) : offset;
  /* By O_DSYNC a write is a sync as well: where that part fails, what was written is in the cache and not on disk. */
  int mode = fate(slot->direct ? K_WRITE | K_SYNC : K_WRITE);
  if (slot->direct) delay();
  if (error_of(mode)) {
    if (slot->direct && !(control->kinds & K_WRITE)) {
      ssize_t cached = moves ? real_writev(fd, data, parts) : real_pwritev(fd, data, parts, offset);
      struct head unsynced = {WRITE, 0, 0, 0, slot->ino, at, 0, 0};
      if (cached > 0) note(unsynced, 0, 0, data, parts, cached);
    }
    errno = error_of(mode);
    return -1;
  }
  struct head head = {WRITE, slot->direct ? DURABLE : 0, 0, 0, slot->ino, at, 0, 0};
  if (mode == TORN) {
    /* Disks write whole sectors: what lies within one is there or not. */
    size_t half = (at + data[0].iov_len / (parts == 1 ? 2 : 1)) / SECTOR * SECTOR;
    half = half > (size_t)at ? half - at : 0;
    if (half > 0) real_pwrite(fd, data[0].iov_base, half, at);
    if (half > 0) note(head, 0, 0, data, 1, half);
    end_here();
  }
  ssize_t done = moves ? real_writev(fd, data, parts) : real_pwritev(fd, data, parts, offset);
  int error = errno;
  if (done > 0 && moves) head.offset = lseek64(fd, 0, SEEK_CUR) - done; /* also where it appends */
  if (done > 0) note(head, 0, 0, data, parts, done);
  if (mode == AFTER) end_here();
  errno = error;
  return done;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  struct slot *slot = slot_of(fd);
  struct iovec one = {(void *)data, bytes};
  if (!slot) return real_write ? real_write(fd, data, bytes) : REAL(write)(fd, data, bytes);
  return put(fd, slot, &one, 1, 0, 1);
}
ssize_t writev(int fd, const struct iovec *data, int parts) {
  struct slot *slot = slot_of(fd);
  return slot ? put(fd, slot, data, parts, 0, 1) : real_writev(fd, data, parts);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
  struct slot *slot = slot_of(fd);
  struct iovec one = {(void *)data, bytes};
  return slot ? put(fd, slot, &one, 1, offset, 0) : real_pwrite(fd, data, bytes, offset);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }
ssize_t pwritev64(int fd, const struct iovec *data, int parts, off64_t offset) {
  struct slot *slot = slot_of(fd);
  return slot ? put(fd, slot, data, parts, offset, 0) : real_pwritev(fd, data, parts, offset);
}
ssize_t pwritev(int fd, const struct iovec *data, int parts, off_t offset) { return pwritev64(fd, data, parts, offset); }

int ftruncate64(int fd, off64_t length) {
  struct slot *slot = slot_of(fd);
  if (!slot) return REAL(ftruncate64)(fd, length);
  int mode = fate(K_TRUNCATE);
  if (error_of(mode)) { errno = error_of(mode); return -1; }
  if (mode == TORN) end_here();
  int done = REAL(ftruncate64)(fd, length);
  if (done == 0) note((struct head){TRUNCATE, 0, 0, 0, slot->ino, length, 0, 0}, 0, 0, 0, 0, 0);
  if (mode == AFTER) end_here();
  return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_with(int fd, int (*real)(int)) {
  struct slot *slot = slot_of(fd);
  if (!slot) return real(fd);
  int mode = fate(K_SYNC);
  struct head head = {SYNC_BEGUN, 0, 0, 0, slot->ino, 0, 0, 0};
  head.turn = note(head, 0, 0, 0, 0, 0);
  head.type = SYNCED;
  delay();
  if (mode == TORN) end_here();
  if (error_of(mode)) {
    /* As Linux does it: what a failed sync did not write is clean from then on, and no later sync writes it. */
    head.flags = FAILED;
    note(head, 0, 0, 0, 0, 0);
    errno = error_of(mode);
    return -1;
  }
  int done = real(fd);
  int error = errno;
  if (done == 0) note(head, 0, 0, 0, 0, 0);
  if (mode == AFTER) end_here();
  errno = error;
  return done;
}
int fsync(int fd) { return sync_with(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_with(fd, REAL(fdatasync)); }

/* After an open: whether it is one of the spool's files, and which. */
static int opened(int fd, int flags, int mode) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return fd;
  path[length] = 0;
  struct stat now;
  if (fd >= FDS || !is_inside(path) || fstat(fd, &now)) return fd;
  slots[fd] = (struct slot){now.st_ino, now.st_dev, 1, (flags & O_DSYNC) != 0};
  uint8_t marks = flags & O_TRUNC ? EMPTIED : 0;
  note((struct head){OPEN, marks, 0, 0, now.st_ino, 0, 0, 0}, path, 0, 0, 0, 0);
  if (mode == AFTER) end_here();
  return fd;
}

static int open_any(int at, const char *path, int flags, mode_t bits) {
  int mode = NONE;
  if ((flags & O_CREAT) && is_inside(path) && access(path, F_OK) != 0) {
    mode = fate(K_CREATE);
    if (error_of(mode)) { errno = error_of(mode); return -1; }
    if (mode == TORN) end_here();
  }
  if (!real_openat) real_openat = REAL(openat64);
  int fd = real_openat(at, path, flags, bits);
  if (fd >= 0 && fd < FDS) slots[fd].used = 0;
  return fd >= 0 && root ? opened(fd, flags, mode) : fd;
}

#define BITS(flags) va_list rest; va_start(rest, flags); mode_t bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest)
int open(const char *path, int flags, ...) { BITS(flags); return open_any(AT_FDCWD, path, flags, bits); }
int open64(const char *path, int flags, ...) { BITS(flags); return open_any(AT_FDCWD, path, flags | O_LARGEFILE, bits); }
int openat(int at, const char *path, int flags, ...) { BITS(flags); return open_any(at, path, flags, bits); }
int openat64(int at, const char *path, int flags, ...) { BITS(flags); return open_any(at, path, flags | O_LARGEFILE, bits); }

/* Names: `call` is the real thing. */
#define NAMED(type, path, other, call)                                                         \
  do {                                                                                         \
    if (!is_inside(path)) return call;                                                         \
    int mode = fate(K_NAME);                                                                   \
    if (error_of(mode)) { errno = error_of(mode); return -1; }                                 \
    if (mode == TORN) end_here();                                                              \
    int done = call;                                                                           \
    int error = errno;                                                                         \
    if (done == 0) note((struct head){type, 0, 0, 0, 0, 0, 0, 0}, path, other, 0, 0, 0);       \
    if (mode == AFTER) end_here();                                                             \
    errno = error;                                                                             \
    return done;                                                                               \
  } while (0)
int rename(const char *from, const char *to) { NAMED(RENAME, from, to, REAL(rename)(from, to)); }
int unlink(const char *path) { NAMED(UNLINK, path, 0, REAL(unlink)(path)); }
int unlinkat(int at, const char *path, int flags) {
  NAMED((flags & AT_REMOVEDIR ? RMDIR : UNLINK), path, 0, REAL(unlinkat)(at, path, flags));
}
int rmdir(const char *path) { NAMED(RMDIR, path, 0, REAL(rmdir)(path)); }
int mkdir(const char *path, mode_t bits) { NAMED(MKDIR, path, 0, REAL(mkdir)(path, bits)); }
