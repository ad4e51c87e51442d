/* SPDX-License-Identifier: MIT */
/* counts.c - see counts.h. */
#include "cache/counts.h"

__thread unsigned sc_my_stripe;

static uint32_t owned = 1u << SC_SHARED; /* bits of stripes; atomic */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_key;

/* The thread ends; what it counts from here on goes to the shared one. */
static void
give_stripe(void *stripe)
{
    sc_my_stripe = SC_SHARED + 1;
    /* Release: whoever owns it next adds to what is there. */
    __atomic_fetch_and(&owned, ~(1u << (uintptr_t)stripe % SC_STRIPES), __ATOMIC_RELEASE);
}

static void
make_key(void)
{
    has_key = pthread_key_create(&key, give_stripe) == 0;
}

/* A free one; SC_SHARED: there is none. */
static unsigned
take_free(void)
{
    uint32_t before = sc_load(&owned);
    while (~before) {
        unsigned stripe = (unsigned)__builtin_ctz(~before);
        if (__atomic_compare_exchange_n(&owned, &before, before | 1u << stripe, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return stripe;
    }
    return SC_SHARED;
}

void
sc_take_stripe(void)
{
    pthread_once(&once, make_key);
    unsigned stripe = has_key ? take_free() : SC_SHARED;
    sc_my_stripe = stripe + 1;
    /* Not NULL, which would not be given back: stripe 0 is SC_STRIPES. */
    void *value = (void *)(uintptr_t)(stripe + SC_STRIPES);
    if (stripe != SC_SHARED && pthread_setspecific(key, value) != 0)
        give_stripe(value);
}

uint64_t
sc_counted(const struct sc_stripe *stripes, enum sc_count what)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SC_STRIPES; i++)
        sum += sc_load(&stripes[i].count[what]);
    return sum;
}
