// Linux's epoll and eventfd, which the Glibc module leaves out. Only declared here: their headers do not go together with that module.
#ifndef SKERRY_CEPOLL_H
#define SKERRY_CEPOLL_H

#include <stdint.h>

/// What has come for the number that a descriptor is watched by.
typedef struct {
    uint64_t id;
    uint32_t events;
} skerry_event;

/// EPOLLIN.
extern const uint32_t skerry_readable;
/// EPOLLOUT.
extern const uint32_t skerry_writable;
/// EPOLLET: told when something has come, not for as long as it is there.
extern const uint32_t skerry_once;
/// EPOLLRDHUP, EPOLLHUP or EPOLLERR: the peer says no more. Asked for, as the others.
extern const uint32_t skerry_gone;

/// A new epoll descriptor, not inherited by children; -1 with errno.
int skerry_epoll(void);
/// A new eventfd, not inherited and never blocking; -1 with errno.
int skerry_eventfd(void);
/// Watches a descriptor (new), or changes what is watched of it; 0, or -1 with errno.
int skerry_watch(int epoll, int file, uint64_t id, uint32_t events, int is_new);
/// Watches a descriptor no more.
void skerry_unwatch(int epoll, int file);
/// Waits for events, 128 at most; their number, or -1 with errno.
int skerry_wait(int epoll, skerry_event *found, int milliseconds);
/// The same, at most so many nanoseconds.
int skerry_wait_briefly(int epoll, skerry_event *found, int64_t nanoseconds);
/// The next connection, which does not block and is not inherited; -1 with errno.
int skerry_accept(int listener);
/// What has come on a socket, left where it is; its bytes, 0 at the peer's end, or -1 with errno.
int skerry_peek(int file, void *bytes, int count);

#endif
