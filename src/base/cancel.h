/* SPDX-License-Identifier: MIT */
/*
 * cancel.h - no call of the library is a cancellation point. A thread that pthread_cancel ended in
 * the middle of one would leave locks taken, grace periods unfinished and counters wrong; so
 * whatever may be a cancellation point (waits, files, callbacks of the application) runs with
 * cancellation disabled. A request stays pending until the caller's next point of its own.
 */
#ifndef SN_CANCEL_H
#define SN_CANCEL_H

#include <pthread.h>

static inline int
sn_cancel_disable(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void
sn_cancel_restore(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

/** From here to the end of the block. */
#define SN_NO_CANCELLATION                                                                         \
    __attribute__((cleanup(sn_cancel_restore), unused)) const int sn_cancel_state =                \
        sn_cancel_disable()

#endif
