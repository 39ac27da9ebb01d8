#define _GNU_SOURCE
#include "CEpoll.h"

#ifdef __linux__
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

const uint32_t skerry_readable = EPOLLIN;
const uint32_t skerry_writable = EPOLLOUT;
const uint32_t skerry_once = EPOLLET;
const uint32_t skerry_gone = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

int skerry_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }

int skerry_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int skerry_watch(int epoll, int file, uint64_t id, uint32_t events, int is_new) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u64 = id;
    return epoll_ctl(epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, file, &event);
}

void skerry_unwatch(int epoll, int file) {
    struct epoll_event ignored;
    epoll_ctl(epoll, EPOLL_CTL_DEL, file, &ignored);
}

int skerry_wait(int epoll, skerry_event *found, int milliseconds) {
    struct epoll_event events[128];
    int count = epoll_wait(epoll, events, 128, milliseconds);
    for (int index = 0; index < count; index++) {
        found[index].id = events[index].data.u64;
        found[index].events = events[index].events;
    }
    return count;
}

int skerry_wait_briefly(int epoll, skerry_event *found, int64_t nanoseconds) {
    int count = skerry_wait(epoll, found, 0);
    if (count != 0 || nanoseconds <= 0) return count;
    // An epoll descriptor is readable while it has events; epoll_wait itself counts milliseconds.
    struct pollfd waited = {epoll, POLLIN, 0};
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    if (ppoll(&waited, 1, &time, NULL) <= 0) return 0;
    return skerry_wait(epoll, found, 0);
}

int skerry_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int skerry_peek(int file, void *bytes, int count) { return (int)recv(file, bytes, count, MSG_PEEK | MSG_DONTWAIT); }
#endif
