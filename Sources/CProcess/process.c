#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// Between fork and exec only calls that are safe in a signal handler are made: the caller may have threads, whose locks are held for ever.

static int write_text(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t written = write(file, text, strlen(text));
    close(file);
    return written < 0 ? -1 : 0;
}

// Makes the folders of a path; with is_file the last part is an empty file.
static int make_place(const char *path, int is_file) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) return errno = ENAMETOOLONG, -1;
    memcpy(part, path, length + 1);
    for (char *end = part + 1; *end; end++) {
        if (*end != '/') continue;
        *end = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return -1;
        *end = '/';
    }
    if (!is_file) return mkdir(part, 0755) != 0 && errno != EEXIST ? -1 : 0;
    int file = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    // What exists and is no plain file, as a socket or device, can be mounted over all the same.
    if (file < 0) return access(part, F_OK);
    close(file);
    return 0;
}

static int write_map(const char *path, unsigned id) {
    char text[64];
    char digits[16];
    int count = 0;
    unsigned rest = id;
    do digits[count++] = (char)('0' + rest % 10); while ((rest /= 10) > 0);
    size_t length = 0;
    for (int round = 0; round < 2; round++) {
        for (int digit = count; digit > 0; digit--) text[length++] = digits[digit - 1];
        text[length++] = ' ';
    }
    text[length++] = '1';
    text[length] = 0;
    return write_text(path, text);
}

// Mounts of our own. Without the rights of root, in a user namespace in which nothing else changes.
static int leave_mounts(void) {
    if (unshare(CLONE_NEWNS) != 0) {
        if (errno != EPERM) return -1;
        unsigned user = geteuid(), group = getegid();
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return -1;
        write_text("/proc/self/setgroups", "deny");
        if (write_map("/proc/self/uid_map", user) != 0 || write_map("/proc/self/gid_map", group) != 0) return -1;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
}

static int make_target(const struct skerry_mount *wanted) {
    struct stat status;
    if (stat(wanted->source, &status) != 0) return -1;
    return make_place(wanted->target, !S_ISDIR(status.st_mode));
}

static int put_mount(const struct skerry_mount *wanted, int is_root_read_only) {
    if (make_target(wanted) != 0 && errno != EROFS) return -1;
    if (mount(wanted->source, wanted->target, NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
    if (!wanted->is_read_only) {
        // What it was taken from may be read-only by now.
        if (is_root_read_only && mount(NULL, wanted->target, NULL, MS_BIND | MS_REMOUNT, NULL) != 0 &&
            mount(NULL, wanted->target, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV, NULL) != 0) return -1;
        return 0;
    }
    if (mount(NULL, wanted->target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0) return 0;
    // In a user namespace the flags that the mount has must be named again.
    return mount(NULL, wanted->target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}

// Every mount there is, where the kernel can do that at once (Linux 5.12); else the root's.
static int close_root(void) {
    struct { uint64_t set, clear, propagation, user_namespace; } attributes = {1 /* MOUNT_ATTR_RDONLY */, 0, 0, 0};
    if (syscall(442 /* SYS_mount_setattr */, AT_FDCWD, "/", 0x8000 /* AT_RECURSIVE */, &attributes, sizeof attributes) == 0) return 0;
    if (errno != ENOSYS) return -1;
    return mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
}

// Before the user changes: a root that has lost them in its bounding set has them no more after exec.
static int drop_capabilities(uint64_t dropped) {
    for (int number = 0; number < 64; number++) {
        if (!(dropped >> number & 1)) continue;
        // Beyond the last that the kernel knows there is nothing to lose, and without root nothing to drop.
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0 && errno != EINVAL && geteuid() == 0) return -1;
    }
    return 0;
}

// After the user has changed, with capabilities kept: only these, and they outlive exec.
static int keep_capabilities(uint64_t added) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        unsigned bits = (unsigned)(added >> 32 * half);
        data[half] = (struct __user_cap_data_struct){bits, bits, bits};
    }
    if (syscall(SYS_capset, &header, data) != 0) return -1;
    for (int number = 0; number < 64; number++) {
        if (added >> number & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) return -1;
    }
    return 0;
}

static void fail(int report, int step, int index) {
    struct skerry_failure failure = {step, errno, index};
    ssize_t ignored = write(report, &failure, sizeof failure);
    (void)ignored;
    _exit(127);
}

static int put_streams(const int descriptors[3]) {
    int copies[3];
    // Out of the way first: one of them may be another's number.
    for (int number = 0; number < 3; number++) {
        copies[number] = fcntl(descriptors[number], F_DUPFD_CLOEXEC, 10);
        if (copies[number] < 0) return -1;
    }
    for (int number = 0; number < 3; number++) {
        if (dup2(copies[number], number) < 0) return -1;
    }
    return 0;
}

static void run_child(const struct skerry_start *start, int report) {
    for (size_t index = 0; index < start->group_count; index++) {
        if (write(start->groups[index], "0", 1) != 1) fail(report, SKERRY_STEP_CGROUP, (int)index);
    }
    setsid();
    if (start->user_namespace >= 0 && setns(start->user_namespace, CLONE_NEWUSER) != 0) fail(report, SKERRY_STEP_NAMESPACE, 0);
    if (start->mount_namespace >= 0 && setns(start->mount_namespace, CLONE_NEWNS) != 0) fail(report, SKERRY_STEP_NAMESPACE, 1);
    if (start->mount_count > 0) {
        if (leave_mounts() != 0) fail(report, SKERRY_STEP_NAMESPACE, 2);
        if (start->is_root_read_only) {
            // Places for mounts can't be made later.
            for (size_t index = 0; index < start->mount_count; index++) make_target(&start->mounts[index]);
            if (close_root() != 0) fail(report, SKERRY_STEP_RIGHTS, 0);
        }
        for (size_t index = 0; index < start->mount_count; index++) {
            if (put_mount(&start->mounts[index], start->is_root_read_only) != 0) fail(report, SKERRY_STEP_MOUNT, (int)index);
        }
    }
    for (size_t index = 0; index < start->limit_count; index++) {
        struct rlimit limit = {start->limits[index].value, start->limits[index].value};
        if (setrlimit(start->limits[index].resource, &limit) != 0) fail(report, SKERRY_STEP_LIMIT, (int)index);
    }
    if (put_streams(start->descriptors) != 0) fail(report, SKERRY_STEP_STREAMS, 0);
    if (start->is_terminal && ioctl(0, TIOCSCTTY, 0) != 0) fail(report, SKERRY_STEP_STREAMS, 1);
    // Before rights are given up: the way to it may be closed to the user, who is at home there all the same.
    if (start->folder && make_place(start->folder, 0) != 0) fail(report, SKERRY_STEP_FOLDER, 0);
    if (start->folder && chdir(start->folder) != 0) fail(report, SKERRY_STEP_FOLDER, 1);
    if (drop_capabilities(start->dropped_capabilities) != 0) fail(report, SKERRY_STEP_RIGHTS, 1);
    if (start->added_capabilities && start->user > 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) fail(report, SKERRY_STEP_RIGHTS, 2);
    if (start->group >= 0 || start->user >= 0) {
        if (geteuid() == 0 && setgroups(start->extra_group_count, start->extra_groups) != 0) fail(report, SKERRY_STEP_USER, 0);
        if (start->group >= 0 && setgid((gid_t)start->group) != 0) fail(report, SKERRY_STEP_USER, 1);
        if (start->user >= 0 && setuid((uid_t)start->user) != 0) fail(report, SKERRY_STEP_USER, 2);
    }
    if (start->added_capabilities && start->user > 0 && keep_capabilities(start->added_capabilities) != 0) fail(report, SKERRY_STEP_RIGHTS, 2);
    if (start->no_new_rights && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(report, SKERRY_STEP_RIGHTS, 3);
    // After the change of user, which clears it.
    if (start->dies_with_parent) prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    environ = (char **)start->environment;
    execvp(start->program, start->arguments);
    fail(report, SKERRY_STEP_EXEC, 0);
}

pid_t skerry_launch(const struct skerry_start *start, struct skerry_failure *failure) {
    int ends[2];
    memset(failure, 0, sizeof *failure);
    failure->step = SKERRY_STEP_FORK;
    if (pipe2(ends, O_CLOEXEC) != 0) return failure->code = errno, -1;
    // No handler of this program runs in the child.
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        // Nothing of ours but what is asked for; our end of the report closes by itself at exec.
        int report = fcntl(ends[1], F_DUPFD_CLOEXEC, 64);
        if (report < 0) report = ends[1];
        syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
        run_child(start, report);
    }
    int code = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return failure->code = code, -1;
    }
    struct skerry_failure reported;
    ssize_t count;
    do count = read(ends[0], &reported, sizeof reported); while (count < 0 && errno == EINTR);
    close(ends[0]);
    if (count != (ssize_t)sizeof reported) return failure->step = SKERRY_STEP_NONE, child;
    *failure = reported;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    return -1;
}

int skerry_mount_memory(const char *folder, uint64_t bytes) {
    char options[64];
    snprintf(options, sizeof options, "mode=0777,size=%llu", (unsigned long long)bytes);
    return mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, options);
}

int skerry_unmount(const char *folder) { return umount2(folder, MNT_DETACH | UMOUNT_NOFOLLOW); }

int skerry_can_mount(void) {
    pid_t child = fork();
    if (child == 0) _exit(leave_mounts() == 0 ? 0 : 1);
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return child > 0 && status == 0;
}

int skerry_process_descriptor(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

int skerry_become_reaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

int skerry_child_signals(void) {
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &children, NULL) != 0) return -1;
    return signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
}

int skerry_open_terminal(int *leader, int *follower) {
    if (openpty(leader, follower, NULL, NULL, NULL) != 0) return -1;
    fcntl(*leader, F_SETFD, FD_CLOEXEC);
    fcntl(*follower, F_SETFD, FD_CLOEXEC);
    return 0;
}

int skerry_resize_terminal(int descriptor, unsigned short columns, unsigned short rows) {
    struct winsize size = {rows, columns, 0, 0};
    return ioctl(descriptor, TIOCSWINSZ, &size);
}

int skerry_open_pipe(int *reading, int *writing) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    *reading = ends[0];
    *writing = ends[1];
    return 0;
}

void skerry_set_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
