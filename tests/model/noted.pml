/* SPDX-License-Identifier: MIT */
/*
 * noted.pml - short frees that are noted and finished later (G4), over store buffers. A free ends
 * the word by CAS, ends the object by a store to the upper half of its header (sn_header_end),
 * which it does not read, and notes the slot in its thread's cache. Whoever finishes the free, the
 * thread itself when there is no room for another note or when it needs slots, or a taker, passes a
 * full fence and reads the lower half: that is what was requested, and is taken off the sum. The
 * slot then goes to limbo, its header the list's link; or, after a free_now, into the bin, to be
 * used again. Beside it a resize in place CASes the whole header from the value that named the
 * word, and adds to the sum what has changed. A free that is kept out of its cache exchanges the
 * header with 0.
 *
 * Not here: when limbo's slots are used again, hence no sections either (move.pml); the
 * cache's lock by itself (takeback.pml); moves; headers of hardened stores, which nobody changes.
 *
 * Objects 0 to SHARED - 1 are everybody's, by handle; with CHURN the first freer has one more that
 * it alone knows, frees by free_now and allocates again, each time of another size.
 *
 * A header is one address, upper half and lower half; a store to the upper half alone is one to
 * ENDED(o), and memory changes that half when the store gets there.
 *
 * Checked: what a free counts is the size that stood, and no resize changes it afterwards; the sum
 * of requested bytes is that of what lives; a slot is finished once, whoever does it; a limbo link
 * is not overwritten; of racing frees one wins.
 *
 * Seeded bugs: BUG_70 no fence before lower halves are read; BUG_71 the lower half is read before
 * the upper half is ended, by the free; BUG_72 the free loads the header and stores the whole word,
 * its upper half 0; BUG_73 resize stores to the lower half, without CAS; BUG_74 the slot goes into
 * the bin as soon as it is noted; BUG_75 a taker does not look where the owner is; BUG_76 a taker
 * lets go before it has emptied the notes; BUG_77 a free kept out of its cache loads the header and
 * stores 0, without exchange.
 */
#ifndef FREERS
#define FREERS 1
#endif
#ifndef RESIZERS
#define RESIZERS 0
#endif
#ifndef TAKERS
#define TAKERS 0
#endif
#ifndef SHARED
#define SHARED 2
#endif
#ifndef OPS /* of each freer */
#define OPS 2
#endif
#ifndef ROUNDS /* of each resizer */
#define ROUNDS 1
#endif
#ifdef CHURN
#define OBJECTS (SHARED + 1)
#else
#define OBJECTS SHARED
#endif
#define THREADS (FREERS + RESIZERS + TAKERS)

/* Of an object: its word, 1 or 0; its header; the upper half of that alone. Slot o is object o's.
 * The word of what one thread alone knows is left out. */
#define WORD(o)   ((o) * 3)
#define HEADER(o) ((o) * 3 + 1)
#define ENDED(o)  ((o) * 3 + 2)
/* Of the cache of freer p: its lock; how many frees it has noted, and which. */
#define NOTES       2
#define BUSY(p)     (OBJECTS * 3 + (p) * (NOTES + 3))
#define SHUT(p)     (BUSY(p) + 1)
#define NOTED(p)    (BUSY(p) + 2)
#define NOTE(p, n)  (BUSY(p) + 3 + (n))
#define ADDRESSES   (OBJECTS * 3 + FREERS * (NOTES + 3))
#define NAMED       16 /* upper half: names the object's word */
#define LINK        32 /* a limbo link: its check bits, in the lower half, are 0 */
#define LOWER(h)    ((h) & 15)
#define NAMES(h)    (((h) & 48) == NAMED && LOWER(h) != 0)

#define WROTE(at, v) if \
    :: (at) < OBJECTS * 3 && (at) % 3 == 2 -> memory[(at) - 1] = LOWER(memory[(at) - 1]) \
    :: else \
    fi
#include "tso.inc"

/* A slot (ghost, but for what is in a bin: its users hold the cache). */
#define USED   0
#define ENDING 1 /* noted */
#define LIMBO  2
#define IN_BIN 3
byte life[OBJECTS];
byte size[OBJECTS];     /* as the application asked for it (ghost) */
short requested;        /* the sum of all threads' counters */
bool takers_lock;

inline set_life(o, was, is)
{
    assert(life[o] == (was));
    life[o] = (is)
}

/* The free of object o is counted: its size is final. Inside a d_step. */
inline count_free(o, bytes)
{
    assert((bytes) == size[o]);
    requested = requested - (bytes);
    size[o] = 0
}


/* sn_object_settle: finishes what cache p has noted; by its owner inside, or a taker. */
inline settle(p, n, c, o, left)
{
#ifndef BUG_70
    FENCED;
#endif
    load(NOTED(p), c);
    n = 0;
    do
    :: n < c ->
        load(NOTE(p, n), o);
        d_step {
#ifdef BUG_71
            left = o >> 4; /* as it was read then */
            o = o & 15;
#else
            load_here(HEADER(o), left);
            left = LOWER(left);
#endif
            count_free(o, left);
            left = 0
        }
        if
        :: o < SHARED -> /* retired */
            d_step { set_life(o, ENDING, LIMBO) }
            store(HEADER(o), LINK)
        :: else ->
#ifdef BUG_74
            skip
#else
            d_step { set_life(o, ENDING, IN_BIN) }
#endif
        fi;
        n++
    :: else -> break
    od;
    atomic { n = 0; c = 0; o = 0 }
#ifdef BUG_76
    if
    :: me != p -> store(SHUT(p), 0)
    :: else
    fi;
#endif
    store(NOTED(p), 0)
}

/* Enters with what its gate says in f; at 0 the cache is the owner's. */
inline enter(f)
{
    store(BUSY(me), 1);
    load(SHUT(me), f)
}

inline leave()
{
    store(BUSY(me), 0)
}

/* Between enter and leave, once o's word has ended: ends its header, notes it. */
inline note_freed(o, n, c, b, left)
{
#ifdef BUG_71
    load(HEADER(o), left);
    left = LOWER(left) << 4;
#endif
#ifdef BUG_72
    load(HEADER(o), left);
    store(HEADER(o), LOWER(left));
    left = 0;
#else
    store(ENDED(o), 0);
#endif
    load(NOTED(me), c);
    store(NOTE(me, c), o | left);
#if defined(BUG_74) && defined(CHURN)
    d_step { set_life(o, USED, (o < SHARED -> ENDING : IN_BIN)) }
#else
    d_step { set_life(o, USED, ENDING) }
#endif
    left = 0;
    store(NOTED(me), c + 1);
    if
    :: c + 1 == NOTES -> settle(me, n, c, b, left)
    :: else
    fi;
    c = 0
}

/* One locked instruction. ok: o's word ended by this one. */
inline end_word(o, ok)
{
    d_step {
        FENCED ->
        ok = memory[WORD(o)];
        memory[WORD(o)] = 0
    }
}

/* handle_free of object o. */
inline free(o, n, c, b, f, left)
{
    load(WORD(o), f);
    if
    :: f == 0 -> skip /* -ENOENT */
    :: else ->
        enter(f);
        if
        :: f == 0 ->
            end_word(o, f);
            if
            :: f -> note_freed(o, n, c, b, left)
            :: else /* somebody else was first */
            fi;
            leave()
        :: else ->
            leave();
            end_word(o, f);
            if
            :: f -> /* end_header, by the long way */
#ifdef BUG_77
                load(HEADER(o), left);
                d_step { count_free(o, LOWER(left)); left = 0 }
                store(HEADER(o), 0);
#else
                d_step {
                    FENCED ->
                    count_free(o, LOWER(memory[HEADER(o)]));
                    memory[HEADER(o)] = 0
                }
#endif
                d_step { set_life(o, USED, LIMBO) }
                store(HEADER(o), LINK)
            :: else
            fi
        fi
    fi
}

/* handle_alloc, of a slot that is in the bin; with none there it finishes what it has noted. */
inline alloc(o, bytes, n, c, b, f, left)
{
    enter(f);
    if
    :: f == 0 ->
        if
        :: life[o] != IN_BIN -> settle(me, n, c, b, left)
        :: else
        fi;
        if
        :: life[o] == IN_BIN ->
            d_step {
                life[o] = USED;
                requested = requested + (bytes);
                size[o] = (bytes)
            }
            store(HEADER(o), NAMED | (bytes))
        :: else
        fi
    :: else
    fi;
    leave()
}

/* handle_free_now of an object that the caller alone knows: the word's plain store is left out. */
inline free_now(o, n, c, b, f, left)
{
    enter(f);
    if
    :: f == 0 -> note_freed(o, n, c, b, left)
    :: else /* the long way; here it tries another time */
    fi;
    leave()
}

proctype freer(byte me)
{
    byte i, o, n, c, b, f, left;
    do
    :: i < OPS ->
        i++;
        if
        :: o = 0; free(o, n, c, b, f, left)
#if SHARED > 1
        :: o = 1; free(o, n, c, b, f, left)
#endif
#ifdef CHURN
        :: me == 0 ->
            o = SHARED;
            if
            :: life[o] == USED -> free_now(o, n, c, b, f, left)
            :: else -> alloc(o, i + 1, n, c, b, f, left)
            fi
#endif
        :: enter(f); /* it needs slots of another kind */
            if
            :: f == 0 -> settle(me, n, c, b, left)
            :: else
            fi;
            leave()
        fi;
        atomic { o = 0; n = 0; c = 0; b = 0; f = 0; left = 0 }
    :: else -> break
    od
}

/* handle_resize of object o in its slot, to `bytes`. */
proctype resizer(byte me)
{
    byte i, o, h;
    do
    :: i < ROUNDS ->
        i++;
        if
        :: o = 0
#if SHARED > 1
        :: o = 1
#endif
        fi;
        load(WORD(o), h);
        if
        :: h != 0 ->
            load(HEADER(o), h);
            if
            :: NAMES(h) ->
                d_step {
                    FENCED ->
                    if
#ifdef BUG_73
                    :: true ->
                        memory[HEADER(o)] = (memory[HEADER(o)] & 48) | (LOWER(h) + 1);
#else
                    :: memory[HEADER(o)] == h ->
                        memory[HEADER(o)] = h + 1;
#endif
                        assert(life[o] != LIMBO); /* its link */
                        assert(size[o] == LOWER(h)); /* it was not counted yet */
                        size[o]++;
                        requested++
                    :: else /* -ENOENT, or another resize */
                    fi
                }
            :: else
            fi
        :: else
        fi;
        atomic { o = 0; h = 0 }
    :: else -> break
    od
}

proctype taker(byte me)
{
    byte p, n, c, o, b, left;
    atomic { !takers_lock -> takers_lock = 1 }
    do
    :: p < FREERS -> store(SHUT(p), 1); p++
    :: else -> p = 0; break
    od;
    membarrier(p);
    do
    :: p < FREERS ->
#ifndef BUG_75
        load(BUSY(p), b);
#endif
        if
        :: b == 0 -> settle(p, n, c, o, left)
        :: else /* skipped */
        fi;
#ifdef BUG_76
        if
        :: b != 0 -> store(SHUT(p), 0)
        :: else
        fi;
#else
        store(SHUT(p), 0);
#endif
        atomic { b = 0; p++ }
    :: else -> p = 0; break
    od;
    atomic { FENCED -> takers_lock = 0 }
}

#define DRAINED(t) (sb_used[(t) % THREADS] == 0)

init
{
    byte i, n, o;
    short lives;
    atomic {
        do
        :: i < OBJECTS ->
            memory[WORD(i)] = 1;
            memory[HEADER(i)] = NAMED | 1;
            size[i] = 1;
            requested = requested + 1;
            i++
        :: else -> i = 0; break
        od;
        do
        :: i < FREERS -> run freer(i); i++
        :: i >= FREERS && i < FREERS + RESIZERS -> run resizer(i); i++
        :: i >= FREERS + RESIZERS && i < THREADS -> run taker(i); i++
        :: else -> i = 0; break
        od
    }
    d_step { /* the end: what is noted is finished, and the sum is that of what lives */
        _nr_pr == 2 && DRAINED(0) && DRAINED(1) && DRAINED(2) && DRAINED(3) ->
        do
        :: i < FREERS ->
            n = 0;
            do
            :: n < memory[NOTED(i)] ->
                o = memory[NOTE(i, n)] & 15;
#if !defined(BUG_71) && !defined(BUG_74)
                assert(life[o] == ENDING);
                requested = requested - LOWER(memory[HEADER(o)]);
                size[o] = 0;
                life[o] = IN_BIN;
#endif
                n++
            :: else -> break
            od;
            i++
        :: else -> i = 0; break
        od;
        do
        :: i < OBJECTS ->
            if
            :: life[i] == USED ->
                assert(NAMES(memory[HEADER(i)]) && LOWER(memory[HEADER(i)]) == size[i]);
                lives = lives + size[i]
            :: else -> assert(!NAMES(memory[HEADER(i)]))
            fi;
            i++
        :: else -> i = 0; break
        od;
#if !defined(BUG_71) && !defined(BUG_74)
        assert(requested == lives)
#endif
    }
}
