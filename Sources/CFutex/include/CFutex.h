// Linux's futex for words in memory that processes share, which the Glibc module leaves out.
#ifndef SKERRY_CFUTEX_H
#define SKERRY_CFUTEX_H

#include <stdint.h>

/// Sleeps while a word has a value, at most so long; returns early for no reason now and then.
void skerry_futex_wait(const void *word, uint32_t value, int64_t nanoseconds);
/// Wakes one that sleeps on a word.
void skerry_futex_wake(const void *word);

#endif
