/* SPDX-License-Identifier: MIT */
/*
 * update.pml - new versions of an object named by a handle: begun, filled in private, committed or
 * aborted, while other versions are committed, the object is resized in place, moved, read and
 * freed, and the slots of dead versions are used again. Not here: updates of cells (cell.pml),
 * resizes into another slot (pin.pml).
 *
 * Checked: a commit replaces exactly the version that its begin saw, resizes included, so of the
 * commits that saw one version at most one succeeds, and a move is never a conflict; readers see
 * one whole version, none older than the current one when they looked; every slot is reclaimed
 * once, or named.
 *
 * Seeded bugs, beside mover.inc's and pin.inc's: BUG_30 begin does not pin; BUG_31 a failed commit
 * leaves the header; BUG_32 commit does not compare with the version seen; BUG_33 commit names the
 * slot only after it published it; BUG_34 a resize in place looks for pins, then lets go the lock.
 */
#ifndef UPDATERS
#define UPDATERS 2
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef RESIZERS
#define RESIZERS 0
#endif
#ifndef ROUNDS /* updates of each updater */
#define ROUNDS 1
#endif
#ifndef SLOTS
#define SLOTS 4
#endif
byte R[1]; /* the handle table */
#include "pin.inc"
#include "mover.inc"

#define THE_OBJECT OBJECT(0, 1)

byte version = 1; /* contents of the version that R names (ghost) */
byte versions = 1; /* contents given out so far (ghost) */

/* Commit of version v in place of slot s, inside a section: ok if it succeeded. */
inline commit(w, s, v, seen, ok)
{
#ifndef BUG_33
    hdr[v] = HEADER(0, 0);
#endif
    load(0, w);
    do
#ifdef BUG_32
    :: MATCH(w, 1) ->
#else
    :: MATCH(w, 1) && SLOT(w) == s ->
#endif
        d_step {
            cas(0, w, WORD(1, LIVE, v), ok);
            if
            :: ok -> assert(version == seen); version = data[v]
            :: else
            fi;
            x_ = 0
        }
        if
        :: ok -> break
        :: else -> load(0, w)
        fi
    :: else -> ok = 0; break /* -ENOENT or -EAGAIN */
    od;
#ifdef BUG_33
    if
    :: ok -> hdr[v] = HEADER(0, 0)
    :: else
    fi
#endif
}

proctype updater()
{
    byte w, s, v, o, seen, n;
    bool ok;
    do
    :: n < ROUNDS ->
        n++;
        section_enter();
#ifdef BUG_30
        load(0, w);
        s = (MATCH(w, 1) -> SLOT(w) : NONE);
#else
        pin(0, 1, 0, w, s, o, ok);
#endif
        if
        :: s != NONE ->
            d_step { seen = data[s]; READABLE(s, THE_OBJECT) }
            take_slot(v, THE_OBJECT);
            atomic { w = 0; ok = 0; section_leave() }
            if
            :: v == NONE /* no memory */
            :: v != NONE -> release(v, THE_OBJECT) /* abort */
            :: v != NONE ->
                d_step { versions++; data[v] = versions } /* filled */
                section_enter();
                commit(w, s, v, seen, ok);
                if
                :: ok -> /* the version seen ends; this update's pin still holds it */
                    s = SLOT(w);
                    hdr[s] = 0;
#ifdef BUG_30
                    retire(s, THE_OBJECT)
#else
                    ended(s, THE_OBJECT, ok)
#endif
                :: else ->
#ifndef BUG_31
                    hdr[v] = 0;
#endif
                    release(v, THE_OBJECT)
                fi;
                section_leave()
            fi;
#ifndef BUG_30
            unpin(s, o, ok)
#endif
        :: else -> section_leave()
        fi;
        atomic { w = 0; s = 0; v = 0; o = 0; seen = 0; ok = 0 }
    :: else -> break
    od
}

proctype reader()
{
    byte w, want;
    section_enter();
    d_step { w = R[0]; want = version }
    if
    :: MATCH(w, 1) ->
        d_step { /* at any time later in the section */
            READABLE(SLOT(w), THE_OBJECT);
            assert(data[SLOT(w)] == want)
        }
    :: else
    fi;
    atomic { w = 0; want = 0; section_leave() }
}

/* handle_free. */
proctype freer()
{
    byte w, s;
    bool ok;
    section_enter();
    load(0, w);
    do
    :: !MATCH(w, 1) -> break
    :: MATCH(w, 1) ->
        cas(0, w, WORD(2, FREE, 0), ok);
        if
        :: ok ->
            s = SLOT(w);
            hdr[s] = 0;
            ended(s, THE_OBJECT, ok);
            break
        :: else -> load(0, w)
        fi
    od;
    atomic { w = 0; s = 0; ok = 0; section_leave() }
}

/* handle_resize in place: the size is in the header, and part of what a version is. A pinned object
 * would get another slot, which is another commit for all that is checked here. */
proctype resizer()
{
    byte w, s, h;
    bool ok, pinned;
    section_enter();
    load(0, w);
    if
    :: MATCH(w, 1) && STATE(w) == MOVING -> cas(0, w, WITH(w, LIVE), ok)
    :: else -> ok = MATCH(w, 1)
    fi;
    s = SLOT(w);
    h = hdr[s];
    if
    :: ok && NAMES(h, 0) ->
#ifdef BUG_34
        pinned = PINNED(s);
#endif
        d_step { /* under the lock of the slot's pins; it waits for nobody */
#ifndef BUG_34
            pinned = PINNED(s);
#endif
            if
            :: !pinned && hdr[s] == h && SIZE(h) < 3 ->
                hdr[s] = HEADER(0, SIZE(h) + 1);
                versions++;
                data[s] = versions;
                version = versions
            :: else
            fi
        }
    :: else
    fi;
    atomic { w = 0; s = 0; h = 0; ok = 0; pinned = 0; section_leave() }
}

init
{
    byte i, s;
    atomic {
        life[0] = S_USED;
        owner[0] = THE_OBJECT;
        hdr[0] = HEADER(0, 0);
        data[0] = version;
        R[0] = WORD(1, LIVE, 0);
        SPAWN(i, MOVERS, mover(i));
        SPAWN(i, UPDATERS, updater());
        SPAWN(i, READERS, reader());
        SPAWN(i, FREERS, freer());
        SPAWN(i, RESIZERS, resizer())
    }
    atomic { /* the end: what is used is named, nothing is pinned */
        _nr_pr == 1 ->
        do
        :: s < SLOTS ->
            assert(life[s] != S_RETIRED && (pins[s] & COUNT) == 0);
            assert((life[s] == S_USED) == (STATE(R[0]) != FREE && SLOT(R[0]) == s));
            assert(life[s] != S_USED || (NAMES(hdr[s], 0) && data[s] == version));
            s++
        :: else -> break
        od
    }
}
