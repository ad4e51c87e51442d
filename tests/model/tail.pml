/* SPDX-License-Identifier: MIT */
/*
 * tail.pml - a large object that is resized where it lies (G2). What a resize cuts off is a tail:
 * its pages are given back after a grace period that began later, unless the object is pinned then,
 * and who gives them back claims the span first, so that the object does not grow into them
 * meanwhile. Changes of sizes are one atomic step each, under the pool's lock; not here: the header
 * that they belong to (move.pml), and objects that end (walk.pml).
 *
 * Checked: who resolved the object, in a section or pinned, finds all pages there that it had when
 * its size was read; a page that the object has is not given back.
 *
 * Seeded bugs: BUG_100 no grace period; BUG_101 the pins are not looked at after it; BUG_102 what
 * is given back goes by the size of that moment, not of the grace period's begin; BUG_103 the
 * object grows into a span that is claimed; BUG_104 the pinner counts itself after its section;
 * BUG_105 what was grown into and cut off again since the grace period began goes at its end.
 */
#ifndef READERS
#define READERS 1
#endif
#ifndef PINNERS
#define PINNERS 1
#endif
#ifndef RESIZES
#define RESIZES 2
#endif
#ifndef ROUNDS
#define ROUNDS 2 /* grace periods */
#endif
#define PAGES 3
#define ME    (1 << _pid)

byte open;          /* bit p: process p is inside a section */
byte gp;            /* the sections that the grace period still waits for */
byte size = PAGES;  /* pages of the object */
byte held = PAGES;  /* of it, or of a tail */
byte floor = PAGES; /* largest size since the grace period began */
bool waiting;       /* its tail waits for that, or for unpins */
bool claimed;
byte pins;
bool gone[PAGES];

inline enter()
{
    open = open | ME
}

inline leave()
{
    d_step { open = open & ~ME; gp = gp & ~ME }
}

inline look_at_pages(count)
{
    at = 0;
    do
    :: at < count -> assert(!gone[at]); at++
    :: else -> break
    od
}

active [READERS] proctype reader()
{
    byte seen, at;
    enter();
    seen = size;
    look_at_pages(seen);
    leave();
}

active [PINNERS] proctype pinner()
{
    byte seen, at;
    enter();
    seen = size;
#ifndef BUG_104
    pins++;
#endif
    leave();
#ifdef BUG_104
    pins++;
#endif
    look_at_pages(seen);
    pins--;
}

active proctype resizer()
{
    byte to, at, i;
    do
    :: i == RESIZES -> break
    :: else ->
        i++;
        if
        :: to = 1
        :: to = 2
        :: to = 3
        fi;
        enter();
        if
        :: pins > 0 -> skip /* moves, see move.pml */
        :: else -> /* a pin may come in between */
            atomic {
                if
#ifndef BUG_103
                :: claimed && to > held -> to = 0 /* moves */
#endif
                :: else ->
                    size = to;
                    at = held; /* what was given back is committed anew */
                    do
                    :: at < to -> gone[at] = false; at++
                    :: else -> break
                    od;
#ifndef BUG_105
                    floor = (to > floor -> to : floor);
#endif
                    held = (to > held -> to : held)
                fi;
                at = 0
            };
            look_at_pages(to)
        fi;
        leave()
    od
}

inline settle()
{
    atomic { /* claims; what is behind held is nobody's */
        claimed = true;
#ifdef BUG_102
        held = size;
#else
        at = (size > floor -> size : floor);
        held = (at < held -> at : held);
#endif
        waiting = false;
        at = held
    };
    do
    :: at < PAGES -> gone[at] = true; at++
    :: else -> break
    od;
    claimed = false
}

active proctype grace_periods()
{
    byte at, i;
    do
    :: i == ROUNDS -> break
    :: else ->
        i++;
        atomic {
            if
            :: size < held && !waiting -> floor = size; waiting = true
            :: else
            fi;
#ifndef BUG_100
            gp = open
#endif
        };
        gp == 0;
        if
        :: !waiting
#ifndef BUG_101
        :: waiting && pins > 0 /* looked at again in the next round */
#endif
        :: else -> settle()
        fi
    od
}
