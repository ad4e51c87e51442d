/* SPDX-License-Identifier: MIT */
/*
 * retire.pml - an object named by a handle is unlinked and retired, while it is read, moved, freed
 * by others and retired by others. Readers read the link in their section, and resolve the handle
 * at any time later in it. One process is the grace-period thread: it takes the list, waits for a
 * grace period, ends the word, and puts the slot into limbo. (The list, which is one of entries, is
 * a flag here: there is one object.) Not here: pins, which the end treats as a free does (pin.pml).
 *
 * Checked: who has read the link resolves the handle to the end of its section, unless a free came
 * (G11); what was resolved is not reused (G2); one retire wins, and of frees one; each slot is
 * retired once; at the end every slot is free.
 *
 * Seeded bugs, beside mover.inc's: BUG_130 no grace period before the word ends; BUG_131 none after
 * it; BUG_132 a free of a retired object takes its slot, too; BUG_133 the grace period begins
 * before the list is taken; BUG_134 retire stores the word without CAS.
 */
#ifndef RETIRERS
#define RETIRERS 1
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
byte R[1]; /* the handle table */
byte gpe;  /* the sections that the end still waits for */

#define LEFT gpe = gpe & ~ME
#include "rcu.inc"
#define RETIRED     GOING /* names the object; nothing that changes objects finds it */
#define FREED_WORD  WORD(2, FREE, 0)
#define VOID(w)     WORD(2, FREE, SLOT(w)) /* the next generation, and still the slot */
#define THE_OBJECT  OBJECT(0, 1)
#include "mover.inc"

bool linked = 1; /* readers find the handle */
bool listed;     /* it is in the list */
byte retires;    /* that returned 0 (ghost) */
byte frees;      /* the same of frees (ghost) */
byte busy;       /* retirers and freers that have not ended (ghost) */
byte entries;    /* how often the entry was given back (ghost) */

proctype retirer()
{
    byte w;
    bool ok;
    linked = 0;
    load(0, w);
    do
    :: !MATCH(w, 1) || STATE(w) == RETIRED -> break /* -ENOENT */
    :: else ->
#ifdef BUG_134
        d_step { R[0] = WITH(w, RETIRED); ok = 1 }
#else
        cas(0, w, WITH(w, RETIRED), ok);
#endif
        if
        :: ok ->
            d_step { retires++; assert(retires == 1) }
            hdr[SLOT(w)] = 0; /* its link stands there from here on */
            listed = 1;
            break
        :: else -> load(0, w)
        fi
    od;
    atomic { w = 0; ok = 0; busy-- }
}

/* handle_free: of a retired object only the name ends. */
proctype freer()
{
    byte w;
    bool ok;
    load(0, w);
    do
    :: !MATCH(w, 1) -> break /* -ENOENT */
    :: MATCH(w, 1) && STATE(w) == RETIRED ->
        cas(0, w, VOID(w), ok);
        if
        :: ok ->
            d_step { frees++; assert(frees == 1) }
#ifdef BUG_132
            retire(SLOT(w), THE_OBJECT);
#endif
            break
        :: else -> load(0, w)
        fi
    :: MATCH(w, 1) && STATE(w) != RETIRED ->
        cas(0, w, FREED_WORD, ok);
        if
        :: ok ->
            d_step { frees++; assert(frees == 1); entries++ }
            hdr[SLOT(w)] = 0;
            retire(SLOT(w), THE_OBJECT);
            break
        :: else -> load(0, w)
        fi
    od;
    atomic { w = 0; ok = 0; busy-- }
}

/* The grace-period thread. */
proctype ender()
{
    byte w, s;
    bool ok;
#ifdef BUG_133
    d_step { gpe = open }
    gpe == 0;
#endif
    if
    :: atomic { listed -> listed = 0 }
#if !defined(BUG_130) && !defined(BUG_133)
        d_step { gpe = open }
        gpe == 0;
#endif
        load(0, w);
        s = SLOT(w);
        do
        :: STATE(w) == RETIRED ->
            cas(0, w, FREED_WORD, ok);
            if
            :: ok -> break
            :: else -> load(0, w)
            fi
        :: else -> R[0] = FREED_WORD; break /* it is void */
        od;
        ok = 0;
        d_step { entries++; assert(entries == 1) }
#ifdef BUG_131
        release(s, THE_OBJECT)
#else
        retire(s, THE_OBJECT)
#endif
    :: atomic { busy == 0 && !listed -> skip }
    fi
}

/* Finds it while it is linked. */
proctype reader()
{
    byte w, s;
    bool saw;
    section_enter();
    saw = linked;
    load(0, w);
    if
    :: MATCH(w, 1) ->
        s = SLOT(w);
        d_step { READABLE(s, THE_OBJECT) } /* at any time later in the section */
    :: else -> assert(!saw || FREERS > 0)
    fi;
    load(0, w); /* once more: it may have moved, and is still there */
    assert(MATCH(w, 1) || !saw || FREERS > 0);
    atomic { w = 0; s = 0; saw = 0; section_leave() }
}

init
{
    byte i, s;
    atomic {
        life[0] = S_USED;
        owner[0] = THE_OBJECT;
        hdr[0] = HEADER(0, 0);
        R[0] = WORD(1, LIVE, 0);
        busy = RETIRERS + FREERS;
        SPAWN(i, MOVERS, mover(i));
        run ender();
        SPAWN(i, RETIRERS, retirer());
        SPAWN(i, READERS, reader());
        SPAWN(i, FREERS, freer())
    }
    atomic { /* the end */
        _nr_pr == 1;
        d_step { settle() }
        assert(R[0] == FREED_WORD && entries == 1);
        do
        :: s < SLOTS -> assert(life[s] == S_FREE && hdr[s] == 0); s++
        :: else -> break
        od
    }
}
