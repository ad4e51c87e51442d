/* SPDX-License-Identifier: MIT */
/* stack.h - the stack of the calling thread, as return addresses, without what is of this library.
 */
#ifndef SN_STACK_H
#define SN_STACK_H

#include <stdint.h>

/** What the first stack would allocate, now. */
void sn_stack_prepare(void);
/** From the innermost call outside of the library on; result: how many. May take some
 * microseconds; the caller holds no lock. */
uint32_t sn_stack_take(void **frame, uint32_t max);

#endif
