/* SPDX-License-Identifier: MIT */
/* waiting.h - waiting for other threads, for tests that look behind the interface. */
#ifndef TEST_WAITING_H
#define TEST_WAITING_H

#include "support.h"

#include <time.h>

/** Sleeps a millisecond; a QSBR thread is offline meanwhile. */
static inline void
nap(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    wait_begin();
    nanosleep(&moment, NULL);
    wait_end();
}

/** Waits until the condition holds. Only what would hang for ever fails here. */
#define await(condition)                                                                           \
    do {                                                                                           \
        for (unsigned turns_ = 0; !(condition); turns_++) {                                        \
            if (turns_ >= 60000)                                                                   \
                fail_msg("never came true: %s", #condition);                                       \
            nap();                                                                                 \
        }                                                                                          \
    } while (0)

#endif
