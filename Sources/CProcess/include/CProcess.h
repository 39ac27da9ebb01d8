// What Swift cannot do itself: start a program between fork and exec with all that a container asks for, and Linux calls whose C
// declarations are variadic or are not imported.
#ifndef CPROCESS_H
#define CPROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// A folder or file that is to appear at another place, for the program only.
struct skerry_mount {
    const char *source;
    const char *target;
    int is_read_only;
};

// As for setrlimit; the value is soft and hard limit.
struct skerry_limit {
    int resource;
    uint64_t value;
};

struct skerry_start {
    // Found on the PATH of `environment` where it has no slash.
    const char *program;
    char *const *arguments;
    char *const *environment;
    // Working folder; made if it is missing.
    const char *folder;
    // Standard input, output and error of the program.
    int descriptors[3];
    // Whether descriptors[0] is a terminal that becomes the program's own.
    int is_terminal;
    // Open cgroup.procs files that the program is written to.
    const int *groups;
    size_t group_count;
    const struct skerry_limit *limits;
    size_t limit_count;
    // With any, the program gets a mount namespace of its own.
    const struct skerry_mount *mounts;
    size_t mount_count;
    // /proc/PID/ns/user and /proc/PID/ns/mnt of a running program to join; -1 for none.
    int user_namespace;
    int mount_namespace;
    // -1 for the caller's.
    int64_t user;
    int64_t group;
    const uint32_t *extra_groups;
    size_t extra_group_count;
    // The program is killed when the thread that started it ends.
    int dies_with_parent;
    // Neither the program nor what it starts gets rights by files that give them.
    int no_new_rights;
    // Everything but the mounts that are not read-only, with a mount namespace of its own.
    int is_root_read_only;
    // Bits by number (capabilities(7)): never had by the program and what it starts.
    uint64_t dropped_capabilities;
    // Kept by a program that becomes another user.
    uint64_t added_capabilities;
};

// What was being done when a start failed.
enum skerry_step {
    SKERRY_STEP_NONE = 0,
    SKERRY_STEP_FORK,
    SKERRY_STEP_CGROUP,
    SKERRY_STEP_NAMESPACE,
    SKERRY_STEP_MOUNT,
    SKERRY_STEP_LIMIT,
    SKERRY_STEP_STREAMS,
    SKERRY_STEP_USER,
    SKERRY_STEP_RIGHTS,
    SKERRY_STEP_FOLDER,
    SKERRY_STEP_EXEC
};

struct skerry_failure {
    int step;
    int code;
    // Of a mount that failed.
    int index;
};

// Starts a program in a session of its own. Returns its process id, or -1 with the failure.
pid_t skerry_launch(const struct skerry_start *start, struct skerry_failure *failure);

// Mounts a file system in memory of so many bytes over a folder, or takes the uppermost mount away from it. 0, or -1.
int skerry_mount_memory(const char *folder, uint64_t bytes);
int skerry_unmount(const char *folder);

// Whether a program started from here can have mounts of its own.
int skerry_can_mount(void);

// A descriptor that can be polled for the end of a process, or -1 (errno: ESRCH for none such, ENOSYS before Linux 5.3).
int skerry_process_descriptor(pid_t process);

// Orphans of our descendants become our children. 0, or -1.
int skerry_become_reaper(void);

// Blocks SIGCHLD and returns a descriptor that is readable once a child has ended, or -1.
int skerry_child_signals(void);

// A terminal pair. 0, or -1.
int skerry_open_terminal(int *leader, int *follower);

// Sets the size of a terminal in characters. 0, or -1.
int skerry_resize_terminal(int descriptor, unsigned short columns, unsigned short rows);

// A pipe whose ends no program that is started inherits. 0, or -1.
int skerry_open_pipe(int *reading, int *writing);

// The name that ps shows, at most 15 bytes.
void skerry_set_name(const char *name);

#endif
