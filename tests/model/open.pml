/* SPDX-License-Identifier: MIT */
/*
 * open.pml - a span that the mover has closed is opened before step 6: an allocation lacks its
 * free slots, or a walk comes to it (sn_batch_let_go). What was moved out of it already waits for
 * its grace period beside new objects; the span may become empty, go to the pool and be another
 * class's before the batch is reclaimed.
 *
 * One span of SLOTS slots. The mover closes it, moves some of its objects, and reclaims their
 * slots after a grace period, all under its lock; ROUNDS times. Opener, at any time under that
 * lock: the moves that are left are given up, and the span is open. Users free what has stayed,
 * allocate where it is open, and free that; another class takes the span from the pool, uses it
 * and puts it back. A reader has resolved an object and looks at it until its section ends. Each
 * statement on bitmap and state is one hold of the class's lock.
 *
 * Checked: what a reader looks at is its object until its section ends; the mover puts each slot
 * that it has emptied back once, and touches no span that is another class's; no span is pooled
 * with a slot in use; none is lost: at the end all slots are free, or an object's.
 *
 * Seeded bugs: BUG_120 reclaim ends the closed state of a span that was opened; BUG_121 it gives
 * back all slots of such a span by their number; BUG_122 opening gives the moved slots back at
 * once; BUG_123 reclaim looks at a span out of which nothing was moved before it was opened;
 * BUG_124 an opened span is pooled when no object is left in it. (Moves that are left, made all
 * the same, would do no harm here: they are given up for the words' sake, and for walks.)
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef USERS
#define USERS 1
#endif
#ifndef READERS
#define READERS 1
#endif
#define ALL ((1 << SLOTS) - 1)
#define ME  (1 << _pid)

mtype = {OPEN, CLOSED, POOLED, OTHER};
mtype state = OPEN;
byte bits = ALL;    /* slots in use */
byte object[SLOTS]; /* what was filled into the slot last (ghost); 0: it was free since */
byte named;         /* slots that an object's word names */
byte objects = SLOTS;
byte waits;         /* slots that the mover has emptied, until it puts them back (ghost) */
byte open;          /* sections */
byte gp;            /* of them, those that the mover's grace period waits for */
byte gp_freed[SLOTS]; /* those that a freed slot waits for, as limbo does elsewhere */
/* the batch; what happens under the mover's lock is one step here */
bool in_batch, let_go;
byte moved; /* slots */
hidden byte x_;

inline empty_or(new_state)
{
    if
    :: bits == 0 -> state = POOLED
    :: else -> state = new_state
    fi
}

/* Slots given back to the bitmap, under the class's lock. */
inline put(which)
{
    assert(state == OPEN || state == CLOSED);
    assert((bits & (which)) == (which) && (named & (which)) == 0);
    bits = bits & ~(which);
    x_ = 0;
    do
    :: x_ < SLOTS ->
        if
        :: (which) & (1 << x_) -> object[x_] = 0
        :: else
        fi;
        x_++
    :: else -> break
    od;
    x_ = 0;
    if
    :: state == OPEN && bits == 0 -> state = POOLED
    :: else
    fi
}

/* Step 6 for the span. */
inline reclaim()
{
    d_step {
#ifdef BUG_123
        assert(!let_go || state == OPEN); /* what it reads there is of its class */
#endif
        if
        :: moved == 0
#ifdef BUG_121
        :: moved != 0 && let_go -> bits = 0; waits = 0
        :: moved != 0 && !let_go ->
#else
        :: else ->
#endif
            assert(waits == moved);
            waits = 0;
            put(moved)
        fi;
        if
#ifdef BUG_120
        :: true ->
#else
        :: !let_go ->
#endif
            assert(state == CLOSED);
            empty_or(OPEN)
        :: else
        fi;
        moved = 0; in_batch = 0; let_go = 0
    }
}

proctype mover()
{
    byte n, s;
    do
    :: n < ROUNDS ->
        n++;
        atomic {
            if
            :: state == OPEN -> state = CLOSED; in_batch = 1
            :: else
            fi
        }
        do
        :: s < SLOTS ->
            atomic { /* steps 3 to 5: the object is elsewhere */
                if
                :: in_batch && !let_go && (named & (1 << s)) ->
                    assert(state == CLOSED);
                    named = named & ~(1 << s);
                    moved = moved | (1 << s);
                    waits = waits | (1 << s)
                :: true
                fi;
                s++
            }
        :: else -> break
        od;
        s = 0;
        atomic { gp = open }
        atomic {
            gp == 0 ->
            if
            :: in_batch -> reclaim()
            :: else
            fi
        }
    :: else -> break
    od
}

proctype opener()
{
    atomic {
        if
        :: in_batch && !let_go ->
            let_go = 1;
#ifdef BUG_122
            waits = 0;
            bits = bits & ~moved;
            moved = 0;
#endif
            d_step {
#ifdef BUG_124
                if
                :: named == 0 -> state = POOLED
                :: else -> empty_or(OPEN)
                fi
#else
                empty_or(OPEN)
#endif
            }
        :: else
        fi
    }
}

/* Frees any object of the span; its slot waits for the sections that are open. */
inline free_one(s)
{
    atomic {
        if
        :: named & 1 -> s = 0
#if SLOTS > 1
        :: named & 2 -> s = 1
#endif
#if SLOTS > 2
        :: named & 4 -> s = 2
#endif
        :: else -> s = SLOTS
        fi;
        if
        :: s < SLOTS -> named = named & ~(1 << s); gp_freed[s] = open
        :: else
        fi
    }
    if
    :: s < SLOTS -> atomic { gp_freed[s] == 0 -> d_step { put(1 << s) } }
    :: else
    fi
}

inline take(s)
{
    bits = bits | (1 << s);
    named = named | (1 << s);
    objects++;
    object[s] = objects
}

inline allocate()
{
    atomic {
        if
        :: state == OPEN && !(bits & 1) -> take(0)
#if SLOTS > 1
        :: state == OPEN && !(bits & 2) -> take(1)
#endif
#if SLOTS > 2
        :: state == OPEN && !(bits & 4) -> take(2)
#endif
        :: else
        fi
    }
}

proctype user()
{
    byte s;
    free_one(s);
    allocate();
    free_one(s)
}

/* Another class: its bits are its own. */
proctype other()
{
    do
    :: atomic { state == POOLED -> assert(bits == 0); state = OTHER; bits = ALL }
        atomic { assert(state == OTHER && bits == ALL); bits = 0; state = POOLED }
    :: atomic { state == POOLED -> state = OPEN } /* the class has it again */
    :: break
    od
}

proctype reader()
{
    byte s, o;
    atomic {
        open = open | ME;
        if
        :: named & 1 -> s = 0
#if SLOTS > 1
        :: named & 2 -> s = 1
#endif
#if SLOTS > 2
        :: named & 4 -> s = 2
#endif
        :: else -> s = SLOTS
        fi;
        if
        :: s < SLOTS -> o = object[s]
        :: else
        fi
    }
    if
    :: s < SLOTS -> assert(object[s] == o && (bits & (1 << s)))
    :: else
    fi;
    atomic {
        open = open & ~ME;
        gp = gp & ~ME;
        gp_freed[0] = gp_freed[0] & ~ME;
#if SLOTS > 1
        gp_freed[1] = gp_freed[1] & ~ME;
#endif
#if SLOTS > 2
        gp_freed[2] = gp_freed[2] & ~ME
#endif
    }
}

init
{
    byte i;
    atomic {
        named = ALL;
        do
        :: i < SLOTS -> object[i] = i + 1; i++
        :: else -> i = 0; break
        od;
        run mover();
        run opener();
        run other();
        do
        :: i < USERS -> run user(); i++
        :: else -> i = 0; break
        od;
        do
        :: i < READERS -> run reader(); i++
        :: else -> i = 0; break
        od
    }
    atomic {
        _nr_pr == 1 ->
        assert(waits == 0 && !in_batch && state != CLOSED && state != OTHER);
        assert(bits == named);
        assert((state == POOLED) == (bits == 0) || state == OPEN)
    }
}
