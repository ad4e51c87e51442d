/* SPDX-License-Identifier: MIT */
/*
 * cell.pml - objects named by two cells in the application's memory, which is given back a grace
 * period after it may be (G6). One process holds the lock that serialises the cells' writers and
 * does OPS operations of any kind: set_tag, write, relocate, free, free_now, alloc, update, unlink,
 * give the cell's memory back; with PUBLISH, too, publish of an object that was filled in private,
 * in an empty cell or in the place of what it names; with UNLINK, too, cell retire, and unlink of a
 * cell into the other one, empty or not (G12), whose memory is used again a grace period after it
 * was given back, and publish in a cell that was left so. Readers, pinners and writers of objects
 * (deref_mut, which is no writer of the cell) find a cell while it is linked; updates and writes of
 * one object are serialised by a mutex of the application. A walker takes slot by slot from the
 * mover, and follows its header, as handle_store_each and _check do with spans; each.pml has more
 * of it. What is freed by free_now may be allocated again in the same section, by the same word and
 * slot: the word is then what it was, also to a mover that has marked it meanwhile, or is about to.
 *
 * Checked: nobody touches a cell's memory once it is given back; no write, tag or object is lost;
 * a walker finds what is live throughout its look; a resolved object is not reused; a pinned slot
 * is not reclaimed; each slot is reclaimed once.
 *
 * Seeded bugs, beside mover.inc's and pin.inc's: BUG_40 relocate does not make `from` LIVE first;
 * BUG_41 free clears the header in its section, but after the application's call_rcu; BUG_42
 * set_tag stores after loading MOVING; BUG_43 cell memory goes although an update is pending;
 * BUG_44 free stores after loading MOVING; BUG_45 the header of a pinned slot is cleared only by
 * its last unpin; BUG_46 a failed commit clears the header in a later section; BUG_47 cell memory
 * goes without a grace period; BUG_48 relocate writes the header before `to`; BUG_49 a walker
 * looks only once; BUG_90 `from` stays LIVE until relocate empties it; BUG_91 it is GOING only
 * after the header; BUG_92 it is emptied before the header; BUG_93 a walker takes GOING for empty;
 * BUG_94 a commit does not look whether the object has left the cell and come back; BUG_95 publish
 * stores after loading MOVING; BUG_96 it writes the header after the word; BUG_97 it fills the
 * object after the word; BUG_98 what it replaces is reusable at once;
 * BUG_99 step 3 takes LIVE for MOVING. With UNLINK: BUG_140 `from` stays LIVE until after the
 * header; BUG_141 what `to` named is reusable at once; BUG_142 a cell is retired while it is in
 * reach; BUG_143 an unlinked one gets out of reach in a later section; BUG_144 publish in a cell
 * that is left retires its slot again; BUG_145 a pin takes such a cell for a full one; BUG_146 so
 * does deref_mut; BUG_147 retire leaves the header; BUG_148 `from` is emptied, as by relocate;
 * BUG_149 retire stores after loading MOVING.
 */
#ifndef OPS
#define OPS 2
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef PINNERS
#define PINNERS 0
#endif
#ifndef WALKERS
#define WALKERS 0
#endif
#ifndef WRITERS
#define WRITERS 0
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
#ifdef BOTH /* name an object to begin with */
#define OBJECTS_0 2
#else
#define OBJECTS_0 1
#endif
#define CELLS      2
#define ALIVE      0
#define DYING      1 /* handed to call_rcu */
#define GIVEN_BACK 2
byte R[CELLS];
byte mem[CELLS]; /* the memory a cell lies in */
byte gpc[CELLS]; /* call_rcu: the sections it still waits for */

#define HAS_OBJECT(w) (STATE(w) == LIVE || STATE(w) == MOVING)
#define LEAVE(w)      WORD(GEN(w) | 2, GOING, SLOT(w)) /* RETIRED */
#define IS_LEFT(w)    (STATE(w) == GOING && GEN(w) > 1)
#ifdef BUG_145
#define MATCH(w, gen) (HAS_OBJECT(w) || IS_LEFT(w))
#else
#define MATCH(w, gen) HAS_OBJECT(w)
#endif
#define FULL(c)  (mem[c] == ALIVE && HAS_OBJECT(R[c]))
#define EMPTY(c) (mem[c] == ALIVE && STATE(R[c]) == FREE)
#define TOUCH(r)      assert(mem[r] != GIVEN_BACK)
#define LEFT          cells_wait(ME)

inline cells_wait(left)
{
    gpc[0] = gpc[0] & ~left;
    gpc[1] = gpc[1] & ~left;
    if
    :: mem[0] == DYING && gpc[0] == 0 -> mem[0] = GIVEN_BACK
    :: else
    fi;
    if
    :: mem[1] == DYING && gpc[1] == 0 -> mem[1] = GIVEN_BACK
    :: else
    fi
}
#include "pin.inc"
#if WALKERS > 0
#define BESIDE(s, d) ((d) != at)
#endif
#include "mover.inc"

bool linked[CELLS];  /* readers find it */
byte tag[CELLS];     /* as the application set it (ghost) */
byte content[CELLS]; /* of the object, as the application wrote it (ghost) */
byte left[CELLS];    /* the object of a cell that is left (ghost) */
bool emptied[CELLS]; /* by free or relocate, ever (ghost) */
byte lookers;        /* sections of those who look cells up */
bool mutex;          /* the application's: one writes objects, or has an update under way */

/* The word of cell c for changing what it names, or the header: LIVE until the section ends, unless
 * there is no object. */
inline make_live(c, w, ok)
{
    load(c, w);
    do
    :: STATE(w) != MOVING -> break
    :: else -> /* only the mover and those who call it off change it */
        cas(c, w, WITH(w, LIVE), ok);
        load(c, w)
    od;
    ok = 0
}

/* Writes a bit into an object at a slot; the application knows what each cell's object holds. */
inline write(slot, object, bits)
{
    d_step {
        READABLE(slot, object);
        data[slot] = data[slot] | (bits);
        x_ = 0;
        do
        :: x_ < CELLS ->
            if
            :: HAS_OBJECT(R[x_]) && owner[SLOT(R[x_])] == object ->
                content[x_] = content[x_] | (bits)
            :: else
            fi;
            x_++
        :: else -> break
        od;
        x_ = 0
    }
}

/* Empties cell c: ok if the word was LIVE, and the slot reusable at once if nobody can see it. */
inline unname(c, w, ok)
{
    load(c, w);
    if
#ifdef BUG_44
    :: true -> d_step { TOUCH(c); R[c] = 0; ok = 1 }
#else
    :: STATE(w) == LIVE -> d_step { TOUCH(c); R[c] = 0; ok = 1 } /* see fence.pml */
    :: else ->
        do
        :: cas(c, w, 0, ok);
            if
            :: ok -> break
            :: else -> load(c, w)
            fi
        od;
        ok = 0
#endif
    fi
}

/* The application hands the memory around cell c to call_rcu. */
inline give_back(c)
{
    d_step {
        mem[c] = DYING;
#ifndef BUG_47
        gpc[c] = open;
#endif
        cells_wait(0);
        x_ = 0
    }
}

inline set_tag(c, w, ok)
{
    load(c, w);
    if
#ifdef BUG_42
    :: true -> R[c] = WORD(1 - GEN(w), LIVE, SLOT(w))
#else
    :: STATE(w) == LIVE -> R[c] = WORD(1 - GEN(w), LIVE, SLOT(w)) /* plain store */
    :: else ->
        do
        :: cas(c, w, WORD(1 - GEN(w), LIVE, SLOT(w)), ok);
            if
            :: ok -> break
            :: else -> load(c, w)
            fi
        od
#endif
    fi;
    tag[c] = 1 - tag[c]
}

inline relocate(from, to, w, s, ok)
{
#ifdef BUG_40
    load(from, w);
#else
    make_live(from, w, ok);
#endif
    s = SLOT(w);
    d_step { /* under the lock of the slot's pins */
        if
        :: PINNED(s) -> pins[s] = pins[s] + CHANGE
        :: else
        fi
    }
    d_step { gone = gone | (uo != 0 && from == uc); emptied[from] = 1 }
#ifdef BUG_48
    hdr[s] = HEADER(to, 0);
#endif
    d_step { R[to] = WORD(GEN(w), LIVE, s); tag[to] = tag[from]; content[to] = content[from] }
#if !defined(BUG_90) && !defined(BUG_91) && !defined(BUG_92)
    R[from] = WITH(w, GOING);
#endif
#ifdef BUG_92
    R[from] = 0;
#endif
#ifndef BUG_48
    hdr[s] = HEADER(to, 0);
#endif
#ifdef BUG_91
    R[from] = WITH(w, GOING);
#endif
    d_step { R[from] = 0; tag[from] = 0; content[from] = 0 }
}

/* Cell c is left: w becomes the word it had. */
inline leave(c, w, ok)
{
    load(c, w);
    do
#ifndef BUG_149
    :: STATE(w) == MOVING ->
        atomic {
            cas(c, w, LEAVE(w), ok);
            if
            :: ok -> left[c] = owner[SLOT(w)]; break
            :: else
            fi
        }
        load(c, w)
    :: else ->
#else
    :: true ->
#endif
        d_step { TOUCH(c); R[c] = LEAVE(w); left[c] = owner[SLOT(w)] } /* plain store */
        break
    od;
    ok = 0
}

/* Relocate, but that `from` is left, and `to` may name an object: p becomes its word. */
inline unlink(from, to, w, s, p, ok)
{
    make_live(from, w, ok);
    s = SLOT(w);
    d_step { /* under the lock of the slot's pins */
        if
        :: PINNED(s) -> pins[s] = pins[s] + CHANGE
        :: else
        fi
    }
    gone = gone | (uo != 0 && from == uc);
    load(to, p);
    do
    :: STATE(p) == MOVING ->
        atomic {
            cas(to, p, WORD(GEN(w), LIVE, s), ok);
            if
            :: ok -> tag[to] = tag[from]; content[to] = content[from]; break
            :: else
            fi
        }
        load(to, p)
    :: else -> /* plain store */
        d_step {
            TOUCH(to);
            R[to] = WORD(GEN(w), LIVE, s);
            tag[to] = tag[from];
            content[to] = content[from]
        }
        break
    od;
    ok = 0;
#ifdef BUG_140
    hdr[s] = HEADER(to, 0);
#endif
#ifdef BUG_148
    R[from] = 0;
#else
    d_step { R[from] = LEAVE(w); left[from] = owner[s] }
#endif
#ifndef BUG_140
    hdr[s] = HEADER(to, 0)
#endif
}

/* Cell c names the object of slot p, bits of which were written before, in the place of what it
 * named: w becomes that word, FREE if it was empty. */
inline publish(c, p, bits, w, ok)
{
#ifndef BUG_97
    data[p] = bits;
#endif
#ifndef BUG_96
    hdr[p] = HEADER(c, 0);
#endif
    load(c, w);
    do
#ifndef BUG_95
    :: STATE(w) == MOVING ->
        atomic {
            cas(c, w, WORD(1, LIVE, p), ok);
            if
            :: ok -> tag[c] = 1; content[c] = bits; break
            :: else
            fi
        }
        load(c, w)
    :: else ->
#else
    :: true ->
#endif
        /* plain store */
        d_step { TOUCH(c); R[c] = WORD(1, LIVE, p); tag[c] = 1; content[c] = bits }
        break
    od;
    ok = 0;
#ifdef BUG_97
    data[p] = bits;
#endif
#ifdef BUG_96
    hdr[p] = HEADER(c, 0)
#endif
}

#ifdef BUG_43
#define DONE_WITH(c) true
#else
#define DONE_WITH(c) (uo == 0 || uc != c) /* no update on it is pending */
#endif

/* An allocation, if a slot is free. */
inline name_slot(c, s, objects)
{
    take_slot(s, objects + 1);
    if
    :: s != NONE ->
        objects++;
        hdr[s] = HEADER(c, 0);
        d_step { R[c] = WORD(0, LIVE, s); content[c] = 0 }
        d_step { data[s] = 1; content[c] = 1 }
    :: else
    fi
}

/* The one writer of both cells; every turn of the loop is one section. */
proctype holder()
{
    byte c, w, s, p, n, objects;
    byte uc, us, uv, uo; /* a pending update: cell, slot seen, its version, object; uo 0: none */
    byte changes;        /* relocations when it began */
    bool gone;           /* the object has left the cell since (ghost) */
    bool ok;
    objects = OBJECTS_0;
    do
    :: n < OPS ->
        n++;
        if
        :: c = 0
        :: c = 1
        fi;
        atomic {
            assert(mem[c] != ALIVE || IS_LEFT(R[c]) || GEN(R[c]) == tag[c]); /* no tag was lost */
            section_enter()
        }
        if
        :: FULL(c) -> set_tag(c, w, ok)
        :: FULL(c) ->
            make_live(c, w, ok);
            s = owner[SLOT(w)];
            d_step { assert(SLOT(R[c]) == SLOT(w)) } /* at any time later in the section */
            write(SLOT(w), s, 1 << n)
        :: FULL(c) && EMPTY(1 - c) ->
            relocate(c, 1 - c, w, s, ok)
        :: FULL(c) -> /* free, or free_now of what nobody sees */
            emptied[c] = 1;
            unname(c, w, ok);
            s = SLOT(w);
            d_step { tag[c] = 0; content[c] = 0; w = owner[s] }
#ifdef BUG_41
            if
            :: linked[c] = 0; give_back(c)
            :: true
            fi;
#endif
            if
            :: ok && !linked[c] && lookers == 0 && !PINNED(s) ->
                hdr[s] = 0;
                release(s, w);
                if
                :: name_slot(c, s, objects) /* most likely the same one: bins are stacks */
                :: true
                fi
            :: true ->
#ifdef BUG_45
                if
                :: PINNED(s)
                :: else -> hdr[s] = 0
                fi;
#else
                hdr[s] = 0;
#endif
                ended(s, w, ok)
            fi;
            if
            :: EMPTY(c) && DONE_WITH(c) ->
                linked[c] = 0;
                give_back(c)
            :: true
            fi
        :: EMPTY(c) -> name_slot(c, s, objects) /* alloc */
#ifdef PUBLISH
        :: mem[c] == ALIVE && (linked[c] || !IS_LEFT(R[c])) && !mutex ->
            /* deref_mut of what is replaced is serialised with it */
            take_slot(p, objects + 1);
            if
            :: p != NONE ->
                objects++;
                if
                :: release(p, objects) /* abort */
                :: true ->
                    publish(c, p, 2, w, ok);
                    if
#ifdef BUG_144
                    :: STATE(w) != FREE ->
#else
                    :: HAS_OBJECT(w) ->
#endif
                        s = SLOT(w);
                        hdr[s] = 0;
                        w = owner[s];
#ifdef BUG_98
                        release(s, w)
#else
                        ended(s, w, ok)
#endif
                    :: else
                    fi
                fi
            :: else
            fi
#endif
#ifdef UNLINK
        :: FULL(c) -> /* retire: out of reach first */
#ifndef BUG_142
            linked[c] = 0;
#endif
            leave(c, w, ok);
            s = SLOT(w);
            d_step { w = owner[s]; gone = gone | (uo != 0 && c == uc) }
#ifndef BUG_147
            hdr[s] = 0;
#endif
            ended(s, w, ok);
            linked[c] = 0
        :: FULL(c) && (EMPTY(1 - c) || (FULL(1 - c) && !mutex)) ->
            unlink(c, 1 - c, w, s, p, ok);
            if
            :: HAS_OBJECT(p) ->
                s = SLOT(p);
                hdr[s] = 0;
                w = owner[s];
#ifdef BUG_141
                release(s, w)
#else
                ended(s, w, ok)
#endif
            :: else
            fi;
#ifdef BUG_143
            section_leave();
            section_enter();
#endif
            if
            :: !mutex -> /* the new object of c leads to that of 1 - c */
                take_slot(p, objects + 1);
                if
                :: p != NONE ->
                    objects++;
                    publish(c, p, 2, w, ok);
#ifdef BUG_144
                    s = SLOT(w);
                    hdr[s] = 0;
                    w = owner[s];
                    ended(s, w, ok)
#endif
                :: else -> linked[c] = 0
                fi
            :: true -> linked[c] = 0
            fi
        :: mem[c] == ALIVE && IS_LEFT(R[c]) && DONE_WITH(c) -> give_back(c)
        :: d_step { mem[c] == GIVEN_BACK -> mem[c] = ALIVE; R[c] = 0; tag[c] = 0; linked[c] = 1 }
#endif
        :: atomic {
            FULL(c) && uo == 0 && !mutex -> mutex = 1
            } /* update_begin */
            pin(c, 0, 0, w, us, uo, ok);
            changes = pins[us] / CHANGE; /* of the step that raised the count: we relocate */
            take_slot(uv, uo);
            uc = c;
            gone = 0;
            if
            :: uv == NONE -> unpin(us, uo, ok); uo = 0; mutex = 0
            :: else
            fi
        :: uo != 0 -> /* update_commit */
            data[uv] = 64; /* filled at some time since begin */
            hdr[uv] = HEADER(uc, 0);
            load(uc, w);
            ok = 0;
            do
#ifdef BUG_94
            :: !ok && STATE(w) != FREE && SLOT(w) == us ->
#else
            :: !ok && STATE(w) != FREE && SLOT(w) == us && pins[us] / CHANGE == changes ->
#endif
                d_step {
                    cas(uc, w, WORD(GEN(w), LIVE, uv), ok);
                    assert(!ok || !gone);
                    if
                    :: ok -> content[uc] = 64
                    :: else
                    fi;
                    x_ = 0
                }
                load(uc, w)
            :: else -> break
            od;
            if
            :: ok ->
                hdr[us] = 0;
                ended(us, uo, ok)
            :: else ->
#ifdef BUG_46
                if
                :: mem[uc] == ALIVE && STATE(R[uc]) == FREE -> linked[uc] = 0; give_back(uc)
                :: else
                fi;
                section_leave();
                section_enter();
#endif
                hdr[uv] = 0;
                release(uv, uo)
            fi;
            unpin(us, uo, ok);
            uo = 0; mutex = 0
        :: uo != 0 -> /* update_abort */
            release(uv, uo);
            unpin(us, uo, ok);
            uo = 0; mutex = 0
        :: mem[c] == ALIVE && linked[c] -> linked[c] = 0
        :: EMPTY(c) && !linked[c] && DONE_WITH(c) ->
            give_back(c)
        :: true
        fi;
        atomic {
            if
            :: uo == 0 -> uc = 0; us = 0; uv = 0; changes = 0; gone = 0
            :: else
            fi;
            c = 0; w = 0; s = 0; p = 0; ok = 0;
            section_leave()
        }
    :: else -> break
    od;
    if /* as destroy asks for */
    :: uo != 0 -> release(uv, uo); unpin(us, uo, ok); mutex = 0
    :: else
    fi
}

/* cell_read and a look at the object; c is found while it is linked. */
proctype reader()
{
    byte c, w, o, want;
    bool had;
    atomic {
        if
        :: c = 0
        :: c = 1
        fi
    }
    d_step { section_enter(); lookers++ }
    if
    :: d_step { linked[c] -> had = FULL(c) }
        d_step {
            TOUCH(c);
            w = R[c];
            want = content[c];
            o = owner[SLOT(w)];
            if
            :: IS_LEFT(w) -> o = left[c]
            :: else
            fi
            assert(!had || emptied[c] || HAS_OBJECT(w) || IS_LEFT(w)) /* G12 */
        }
        if
        :: HAS_OBJECT(w) || IS_LEFT(w) ->
            d_step {
                READABLE(SLOT(w), o);
                assert((data[SLOT(w)] & want) == want)
            }
        :: else
        fi
    :: else
    fi;
    d_step { lookers--; section_leave() }
}

/* cell_deref_mut by whichever cell, and a write at any time later in the section. */
proctype writer()
{
    byte c, w, o;
    bool ok;
    atomic {
        !mutex -> mutex = 1;
        if
        :: c = 0
        :: c = 1
        fi
    }
    d_step { section_enter(); lookers++ }
    if
    :: linked[c] ->
        make_live(c, w, ok);
        if
#ifdef BUG_146
        :: IS_LEFT(w) -> o = owner[SLOT(w)]; write(SLOT(w), o, 128)
#endif
        :: HAS_OBJECT(w) -> o = owner[SLOT(w)]; write(SLOT(w), o, 128)
        :: else
        fi
    :: else
    fi;
    d_step { lookers--; mutex = 0; section_leave() }
}

proctype pinner()
{
    byte c, w, s, o;
    bool ok;
    atomic {
        s = NONE;
        if
        :: c = 0
        :: c = 1
        fi
    }
    d_step { section_enter(); lookers++ }
    if
    :: linked[c] -> pin(c, 0, 0, w, s, o, ok)
    :: else
    fi;
    d_step { lookers--; section_leave() }
    if
    :: s != NONE ->
        d_step { READABLE(s, o) }
        unpin(s, o, ok)
    :: else
    fi
}

/* Whether slot s has an object that a cell names. */
#define NAMES_SLOT(c, s) (mem[c] == ALIVE && HAS_OBJECT(R[c]) && SLOT(R[c]) == s)
#define LIVES(s)    (NAMES_SLOT(0, s) || NAMES_SLOT(1, s))

#ifdef BUG_93
#define FOUND(w) HAS_OBJECT(w)
#else
#define FOUND(w) (STATE(w) != FREE)
#endif

/* Follows every slot's header, again for as long as header or word change. */
#if WALKERS > 0
proctype walker()
{
    byte s, h, w, o, last_h, last_w;
    bool ok;
    do
    :: s < SLOTS ->
        atomic { !mover_lock -> mover_lock = 1; at = s }
        give_up(s, w, h, ok);
        mover_lock = 0;
        section_enter();
        atomic {
            if
            :: LIVES(s) -> o = owner[s]
            :: else
            fi
        }
        do
        :: h = hdr[s];
            if
            :: h == 0 -> break
            :: else
            fi;
            load(NAMED_BY(h), w);
            if
            :: FOUND(w) && SLOT(w) == s -> o = 0; break
#ifdef BUG_49
            :: else -> break
#else
            :: !(FOUND(w) && SLOT(w) == s) && h == last_h && w == last_w -> break
            :: else -> last_h = h; last_w = w
#endif
            fi
        od;
        atomic {
            assert(o == 0 || !LIVES(s) || owner[s] != o);
            h = 0; w = 0; o = 0; last_h = 0; last_w = 0; s++;
            section_leave()
        }
    :: else -> break
    od;
    atomic { !mover_lock -> at = NOWHERE }
}
#endif

init
{
    byte i, s;
    atomic {
        life[0] = S_USED;
        owner[0] = 1;
        hdr[0] = HEADER(0, 0);
        R[0] = WORD(0, LIVE, 0);
        linked[0] = 1;
        linked[1] = 1;
#ifdef BOTH
        life[1] = S_USED;
        owner[1] = OBJECTS_0;
        hdr[1] = HEADER(1, 0);
        R[1] = WORD(0, LIVE, 1);
#endif
        SPAWN(i, MOVERS, mover(i));
        run holder();
        SPAWN(i, READERS, reader());
        SPAWN(i, PINNERS, pinner());
        SPAWN(i, WRITERS, writer());
#if WALKERS > 0
        run walker()
#endif
    }
    atomic { /* the end: what is used is named, by a cell that holds what was written to it */
        _nr_pr == 1 ->
        do
        :: s < SLOTS ->
            assert(life[s] != S_RETIRED && (pins[s] & COUNT) == 0);
            if
            :: life[s] == S_USED ->
                i = NAMED_BY(hdr[s]);
                assert(hdr[s] != 0 && NAMES_SLOT(i, s));
                assert(GEN(R[i]) == tag[i] && data[s] == content[i])
            :: else
            fi;
            s++
        :: else -> break
        od;
        assert(!HAS_OBJECT(R[0]) || life[SLOT(R[0])] == S_USED);
        assert(!HAS_OBJECT(R[1]) || life[SLOT(R[1])] == S_USED)
    }
}
