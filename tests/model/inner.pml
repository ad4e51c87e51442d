/* SPDX-License-Identifier: MIT */
/*
 * inner.pml - cells inside objects that move (G13). One parent with CELLS inner cells, children
 * that these or a cell X outside name. Mover, readers, writers of children, pinners and a walker
 * run beside one holder, the one writer of the parent's cells. The mover takes any of parent and
 * children into a batch, goes through it upwards (the parent first) or downwards, and publishes
 * each object after its copy, or all after all copies, as flights do. SC memory; what is meant by
 * sections, grace periods, d_steps and ghost state stands in rcu.inc, from which the first part is
 * taken (header words have room for more names here).
 *
 * The protocol: whoever gives the parent another slot (mover, resize, commit) calls off, with the
 * copy, the move of each child; publishes; then turns each child's header from the old cell to the
 * new one by CAS, and retires the old slot when that is done. A header may therefore name the old
 * cell while the new one is in use: who changes it through the new cell takes it as it is.
 *
 * Checked: nobody touches a cell in a slot that was reclaimed; no write, size or child is lost; a
 * child does not leave the slot that a cell names, whose parent moved in this section; what was
 * resolved is not reused; a pinned slot is not reclaimed; each slot is retired once; resize and
 * relocate find the header of a live child, try a bounded number of times; a walker finds what
 * lives throughout its look; at the end words, headers and slots agree.
 *
 * Sizes: OPS of the holder, READERS, WRITERS, PINNERS, WALKERS, BATCHES, CELLS, CSLOTS. Allowed to
 * the holder beside alloc, free, relocate, resize in place and the free of an empty parent:
 * REPLACE (a child's resize by copy; not beside WRITERS), GROW (the parent's; beside everybody).
 * SLICES: the mover leaves its section, and lets its lock go, after each object that it publishes
 * at once. FREE_NOW: what is freed is reusable at once (without READERS, WRITERS, PINNERS and
 * WALKERS).
 *
 * NESTED: the parent's word is itself a cell inside a grandparent, which moves, too, and which all
 * resolve as readers do (but for GROW and UNLINK; with CELLS 1, without FREE_NOW and the free of
 * the parent). UNLINK, with NESTED: the child comes into the parent's place, which goes with it
 * (G12): the next node of a chain.
 *
 * STILL: the parent is not moved, so that its cells are as cells outside.
 *
 * PLAIN: the holder frees the parent by its name, too, without having resolved it: whether it has
 * cells its header says, and whether these are full he sees in a section of its own. RESERVE: he
 * reserves a child, which he publishes in a cell, empty or in the place of what that names, or a
 * parent, whose cells he fills meanwhile, or aborts either, sections later. (Both without NESTED.)
 *
 * Seeded bugs: BUG_150 no grace period in step 2; BUG_151 none in step 6; BUG_152 a header is
 * turned by a plain store; BUG_153 headers are not turned; BUG_155 a child's move is not called off
 * with the parent's copy; BUG_163 the same, each object published at once: the child's move goes on
 * through the new cell, before the parent's publish is past a grace period; BUG_156 resize and
 * relocate want their own cell's name in the header; BUG_157 the cells' writers resolve the parent
 * as readers do; BUG_158 pins are not looked for again before a slot is reclaimed; BUG_159 a header
 * that changed while it was turned is left alone; BUG_160 the parent's resize does not call off the
 * children's moves; BUG_161 the old slot is retired before the headers are turned, in a section of
 * its own; BUG_162 relocate turns the header while `from` is LIVE: a mark through `to` is then not
 * seen by writers who come to `from` after it; BUG_164 the parent's resize turns only headers that
 * name the cell it copied; with UNLINK: BUG_165 the parent's slot is reusable at once; with PLAIN:
 * BUG_166 a header that is clear is believed, though the parent may have been moved meanwhile; with
 * RESERVE: BUG_167 an aborted parent's slot is reusable at once; BUG_168 publish stores after
 * loading MOVING; BUG_169 what it replaces is reusable at once.
 */
#ifndef OPS
#define OPS 1
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef WRITERS
#define WRITERS 0
#endif
#ifndef PINNERS
#define PINNERS 0
#endif
#ifndef WALKERS
#define WALKERS 0
#endif
#ifndef BATCHES
#define BATCHES 1
#endif
#ifndef CELLS
#define CELLS 1
#endif
#ifdef NESTED
#ifndef PSLOTS
#define PSLOTS  4 /* the grandparent's class, then the parent's */
#endif
#define GSLOTS  2
#define ROOT    1
#define PARENT  2
#define FIRST_P 2
#else
#define GSLOTS  0
#define PARENT  1
#define FIRST_P 0
#endif
#ifndef PSLOTS
#define PSLOTS 2
#endif
#ifndef CSLOTS
#define CSLOTS 2
#endif
#define SLOTS   (PSLOTS + CSLOTS) /* up to 6: the parent's class, then the children's */
#ifdef RESERVE
#define MADE (2 * OPS) /* a parent, and its child */
#else
#define MADE OPS
#endif
#define OBJECTS (MADE + CELLS + PARENT + 1) /* PARENT, behind it children, and parents reserved */

/* Words: the parent's; CELL(p, i) in the parent's slot p; X, outside. */
#define WORDS      (2 + PSLOTS * CELLS)
#define P          0
#define X          (WORDS - 1)
#define CELL(p, i) (1 + (p) * CELLS + (i))
#define INNER(r)   ((r) != P && (r) != X)
#define HOME(r)    (((r) - 1) / CELLS)

#define FREE         0
#define LIVE         1
#define MOVING       2
#define GOING        3 /* relocated away just now: no object, but still this slot's */
#define RETIRED      4 /* names its object for readers only */
#define WORD(st, sl) (((st) << 3) | (sl))
#define STATE(w)     ((w) >> 3)
#define SLOT(w)      ((w) & 7)
#define WITH(w, st)  WORD(st, SLOT(w))
#define NONE         7
#define HAS(w)       (STATE(w) == LIVE || STATE(w) == MOVING)
#define READS(w)     (HAS(w) || STATE(w) == RETIRED)

/* A header: size, as a count of resizes, and the word named. 0: clear. */
#define HEADER(r, size) (((size) << 3) | ((r) + 1))
#define NAMED_BY(h)     (((h) & 7) - 1)
#define NAMES(h, r)     (((h) & 7) == (r) + 1)
#define SIZE(h)         ((h) >> 3)

#define S_FREE    0
#define S_USED    1
#define S_RETIRED 2

#define COUNT 3 /* a pin word */
#define FREED 4

#define ME (1 << _pid)

byte R[WORDS];
byte named[WORDS]; /* the object that a word, or its copy, was given to (ghost) */
byte hdr[SLOTS];
byte data[SLOTS];
byte life[SLOTS];
byte owner[SLOTS]; /* (ghost) */
byte gp6[SLOTS];
byte pins[SLOTS];
byte at[OBJECTS];      /* where an object is; NONE: it has ended (ghost) */
byte content[OBJECTS]; /* as it was written (ghost) */
byte sizes[OBJECTS];   /* (ghost) */
byte open;
byte gp2;
bool pin_words; /* the span has pin words */
bool mover_lock;
hidden byte x_;

#define TOUCH(r)       assert(!INNER(r) || life[HOME(r)] != S_FREE)
#define READABLE(s, o) assert(life[s] != S_FREE && owner[s] == (o))
#define SAME(r, t)     (named[r] == named[t] && SLOT(R[r]) == SLOT(R[t]))
#define PINNED(s)      (pin_words && (pins[s] & COUNT) != 0)
#ifdef BUG_158
#define PINNED_AGAIN(s) false
#else
#define PINNED_AGAIN(s) PINNED(s)
#endif

/* ---- sections, grace periods, slots ---- */

inline make_free(s)
{
    assert(hdr[s] == 0 && (pins[s] & COUNT) == 0);
    life[s] = S_FREE;
    owner[s] = 0;
    data[s] = 0;
    pins[s] = 0
}

/* Limbo whose grace period is over: the count is looked at again (G5), then it is free. */
inline settle()
{
    x_ = 0;
    do
    :: x_ < SLOTS ->
        if
        :: life[x_] == S_RETIRED && gp6[x_] == 0 ->
            if
            :: PINNED_AGAIN(x_) -> life[x_] = S_USED; pins[x_] = pins[x_] | FREED
            :: else -> make_free(x_)
            fi
        :: else
        fi;
        x_++
    :: else -> break
    od;
    x_ = 0
}

inline section_enter()
{
    d_step { assert(!(open & ME)); open = open | ME }
}

inline section_leave()
{
    d_step {
        assert(open & ME);
        open = open & ~ME;
        gp2 = gp2 & ~ME;
        x_ = 0;
        do
        :: x_ < SLOTS -> gp6[x_] = gp6[x_] & ~ME; x_++
        :: else -> break
        od;
        settle()
    }
}

inline grace_period()
{
    d_step { assert(!(open & ME)); gp2 = open }
    gp2 == 0
}

inline retire(s)
{
    d_step {
        assert(life[s] == S_USED);
        life[s] = S_RETIRED;
        gp6[s] = open;
        settle()
    }
}

inline release(s)
{
    d_step { assert(life[s] == S_USED); make_free(s) }
}

inline take_slot(s, from, end, o)
{
    d_step {
        s = from;
        do
        :: s < end && life[s] != S_FREE -> s++
        :: else -> break
        od;
        if
        :: s == end -> s = NONE
        :: else -> assert(hdr[s] == 0); life[s] = S_USED; owner[s] = (o)
        fi
    }
}

inline take_parent(s, o) { take_slot(s, GSLOTS, PSLOTS, o) }
inline take_root(s) { take_slot(s, 0, GSLOTS, 1) }
inline take_child(s, o) { take_slot(s, PSLOTS, SLOTS, o) }

/* Those of a slot that nobody sees. Inside a d_step. */
inline clear_cells(p)
{
    x_ = 0;
    do
    :: x_ < CELLS -> R[CELL(p, x_)] = 0; named[CELL(p, x_)] = 0; x_++
    :: else -> break
    od;
    x_ = 0
}

inline load(r, w)
{
    d_step { TOUCH(r); w = R[r] }
}

inline cas(r, old, new, ok)
{
    d_step {
        TOUCH(r);
        if
        :: R[r] == (old) -> R[r] = (new); ok = 1
        :: else -> ok = 0
        fi
    }
}

/* LIVE until the section ends, or FREE. */
inline call_off(r, w, ok)
{
    load(r, w);
    do
    :: STATE(w) != MOVING -> break
    :: else ->
        cas(r, w, WITH(w, LIVE), ok);
        load(r, w)
    od;
    ok = 0
}

/* ---- pins ---- */

inline ended(s, last)
{
    d_step {
        last = 1;
        if
        :: pin_words ->
            last = (pins[s] & COUNT) == 0;
            pins[s] = (last -> 0 : pins[s] | FREED)
        :: else
        fi
    }
    if
    :: last -> retire(s)
    :: else
    fi
}

inline unpin(s, last)
{
    d_step {
        assert((pins[s] & COUNT) != 0);
        pins[s]--;
        last = pins[s] == FREED;
        if
        :: last -> pins[s] = 0 /* the word is taken away */
        :: else
        fi
    }
    if
    :: last -> retire(s)
    :: else
    fi
}

/* ---- the parent gets another slot: what mover, resize and update have in common ---- */

/* With the copy: cell `old` into `new`, whose slot nobody sees yet. */
inline carry(old, new, calls_off, ok)
{
    do
    :: d_step { TOUCH(old); R[new] = R[old]; named[new] = named[old] }
       if
       :: STATE(R[new]) != MOVING || !(calls_off) -> break
       :: else -> cas(old, R[new], WITH(R[new], LIVE), ok)
       fi
    od;
    ok = 0
}

/* The header of the child that word `by` names: it names cell `to` instead of cell `from`; for a
 * writer, who knows that `to` is the cell, instead of whatever it names (any). */
inline turn(by, from, to, any, w, h, ok)
{
    load(by, w);
    do
    :: !HAS(w) -> break
    :: else ->
        d_step {
#ifndef FREE_NOW
            assert(life[SLOT(w)] != S_FREE);
#endif
            h = hdr[SLOT(w)]
        }
        if
        :: !NAMES(h, from) && !(any) -> break
        :: else ->
#ifdef BUG_152
            hdr[SLOT(w)] = HEADER(to, SIZE(h));
            break
#else
            d_step {
                ok = hdr[SLOT(w)] == h;
                if
                :: ok -> hdr[SLOT(w)] = HEADER(to, SIZE(h))
                :: else
                fi
            }
            if
            :: ok -> break
#ifdef BUG_159
            :: else -> break
#else
            :: else
#endif
            fi
#endif
        fi
    od;
    atomic { ok = 0; w = 0; h = 0 }
}

/* ---- the mover ---- */

#ifdef BUG_163
#define BUG_155
#endif
#ifdef BUG_155
#define CALLS_OFF false
#else
#define CALLS_OFF true
#endif

inline mark(s)
{
    section_enter();
    h = hdr[s];
    if
    :: h != 0 ->
        load(NAMED_BY(h), w);
        if
        :: STATE(w) == LIVE && SLOT(w) == s ->
            cas(NAMED_BY(h), w, WITH(w, MOVING), ok);
            if
            :: ok -> batch[s] = NAMED_BY(h) + 1; marks = 1
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    atomic { h = 0; w = 0; ok = 0; section_leave() }
}

/* Steps 3 and 4. */
inline copy(s)
{
    r = batch[s] - 1;
    h = hdr[s];
    if
    :: !NAMES(h, r)
    :: else ->
        load(r, w);
        if
        :: STATE(w) != MOVING || SLOT(w) != s
        :: else ->
            if
            :: PINNED(s) -> d = NONE
            :: else ->
                if
                :: s < GSLOTS -> take_root(d)
                :: s >= GSLOTS && s < PSLOTS -> take_parent(d, owner[s])
                :: else -> take_child(d, owner[s])
                fi
            fi;
            if
            :: d == NONE -> cas(r, w, WITH(w, LIVE), ok)
            :: else ->
                atomic { data[d] = data[s]; hdr[d] = h; dest[s] = d + 1 } /* nobody sees d */
                if
                :: s < PSLOTS ->
                    i = 0;
                    do
                    :: i < CELLS ->
                        carry(CELL(s, i), CELL(d, i), CALLS_OFF, ok);
                        i++
                    :: else -> i = 0; break
                    od
                :: else
                fi
            fi
        fi
    fi;
    atomic { r = 0; h = 0; w = 0; d = 0; ok = 0 }
}

/* Step 5, and what follows it. */
inline publish(s)
{
    r = batch[s] - 1;
    d = dest[s] - 1;
    d_step {
        cas(r, WORD(MOVING, s), WORD(LIVE, d), ok);
        if
        :: ok ->
            assert(at[owner[s]] == s && data[s] == data[d]);
            assert(s >= PSLOTS || SAME(CELL(s, 0), CELL(d, 0)));
            assert(s >= PSLOTS || SAME(CELL(s, CELLS - 1), CELL(d, CELLS - 1)));
            at[owner[s]] = d
        :: else
        fi
    }
    if
    :: ok ->
        hdr[s] = 0;
#ifdef BUG_161
        retire(s);
        atomic { mover_lock = 0; section_leave() }
        section_enter();
        atomic { !mover_lock -> mover_lock = 1 }
#endif
        if
        :: s < PSLOTS ->
            i = 0;
            do
            :: i < CELLS ->
#ifndef BUG_153
                turn(CELL(s, i), CELL(s, i), CELL(d, i), false, w, h, ok);
#endif
#ifdef BUG_155
                w = SLOT(R[CELL(d, i)]);
                if
                :: R[CELL(d, i)] != 0 && batch[w] == CELL(s, i) + 1 ->
                    batch[w] = CELL(d, i) + 1;
                    if
                    :: dest[w] -> hdr[dest[w] - 1] = HEADER(CELL(d, i), SIZE(hdr[dest[w] - 1]))
                    :: else
                    fi
                :: else
                fi;
                w = 0;
#endif
                i++
            :: else -> i = 0; break
            od
        :: else
        fi;
#ifdef BUG_151
        release(s)
#elif defined(BUG_161)
        skip
#else
        retire(s)
#endif
    :: else ->
        hdr[d] = 0;
        d_step {
            if
            :: d < PSLOTS -> clear_cells(d)
            :: else
            fi
        }
        release(d)
    fi;
    atomic { dest[s] = 0; batch[s] = 0; r = 0; d = 0; ok = 0 }
}

proctype mover()
{
    byte batch[SLOTS], dest[SLOTS];
    byte s, r, w, h, d, i, n, k;
    bool ok, marks, down, flight;
    do
    :: n < BATCHES ->
        n++;
        do
#ifdef STILL
        :: s >= PSLOTS && s < SLOTS -> mark(s); s++
#else
        :: s < SLOTS -> mark(s); s++
#endif
        :: s < SLOTS -> s++
        :: else -> s = 0; break
        od;
        if
        :: !marks -> goto next
        :: else
        fi;
        atomic {
            if
            :: down = 0
            :: down = 1
            fi;
            if
            :: flight = 0
#ifndef BUG_163
            :: flight = 1
#endif
            fi
        }
#ifndef BUG_150
        grace_period();
#endif
        section_enter();
        atomic { !mover_lock -> mover_lock = 1 }
        do
        :: k < SLOTS ->
            s = (down -> SLOTS - 1 - k : k);
            if
            :: batch[s] -> copy(s)
            :: else
            fi;
            if
            :: !flight && dest[s] -> publish(s)
            :: else
            fi;
#ifdef SLICES
            if
            :: !flight ->
                atomic { mover_lock = 0; section_leave() }
                section_enter();
                atomic { !mover_lock -> mover_lock = 1 }
            :: else
            fi;
#endif
            atomic { s = 0; k++ }
        :: else -> k = 0; break
        od;
        do
        :: k < SLOTS ->
            s = (down -> SLOTS - 1 - k : k);
            if
            :: dest[s] -> publish(s)
            :: else
            fi;
            atomic { batch[s] = 0; s = 0; k++ }
        :: else -> k = 0; break
        od;
        atomic { mover_lock = 0; section_leave() }
next:
        atomic { marks = 0; down = 0; flight = 0; s = 0 }
    :: else -> break
    od
}

/* ---- the one writer of the cells; every turn of the loop is one section ---- */

#ifdef BUG_156
#define MINE(h, r) assert(NAMES(h, r))
#else
#define MINE(h, r) assert((h) != 0 && (NAMES(h, r) || (INNER(r) && INNER(NAMED_BY(h)))))
#endif

#ifdef BUG_164
#define ANY false
#else
#define ANY true
#endif

/* What is reserved, in slot held - 1: nothing names it. */
#define HOLDS_PARENT (held != 0 && held <= PSLOTS)
#define HOLDS_CHILD  (held > PSLOTS)

/* One that he may use: of the parent, of one that he has reserved, or the one outside. */
inline choose_cell(r)
{
    if
    :: p != NONE -> r = CELL(p, 0)
    :: p != NONE -> r = CELL(p, CELLS - 1)
#ifdef RESERVE
    :: HOLDS_PARENT -> r = CELL(held - 1, 0)
#endif
    :: r = X
    fi
}

#define EMPTY(p) (R[CELL(p, 0)] == 0 && R[CELL(p, CELLS - 1)] == 0)

/* The parent's free by its name, without a section around it. */
inline free_plain()
{
    section_enter();
    load(P, w);
    do
    :: w == 0 -> break
    :: else ->
        d_step { assert(life[SLOT(w)] != S_FREE); h = hdr[SLOT(w)]; s = w }
        if
        :: h != 0 -> break
        :: else
#ifdef BUG_166
            -> break
#endif
        fi;
        load(P, w);
        if
        :: w == s -> break
        :: else
        fi
    od;
    p = NONE;
    if
    :: h != 0 -> call_off(P, w, ok); p = SLOT(w)
    :: else
    fi;
    ok = w != 0 && (p == NONE || EMPTY(p));
    section_leave();
    if
    :: !ok
    :: else ->
        load(P, w);
        ok = 0;
        do
        :: ok -> break
        :: else ->
            d_step {
                ok = R[P] == w;
                if
                :: ok ->
                    assert(EMPTY(SLOT(w))); /* no parent ends that has children */
                    at[named[P]] = NONE;
                    R[P] = 0;
                    named[P] = 0
                :: else -> w = R[P]
                fi
            }
        od;
        s = SLOT(w);
        hdr[s] = 0;
        ended(s, ok)
    fi;
    atomic { p = 0; w = 0; s = 0; h = 0; ok = 0 }
}

/* A child named by cell r, which is new. */
inline name_child(r, s, o)
{
    hdr[s] = HEADER(r, 0);
    d_step { TOUCH(r); R[r] = WORD(LIVE, s); named[r] = (o); at[o] = s }
}

inline reserve()
{
    if
    :: take_child(s, objects + 1)
    :: take_parent(s, objects + 1)
    fi;
    if
    :: s == NONE
    :: else ->
        d_step {
            objects++;
            at[objects] = NONE;
            held = s + 1;
            data[s] = 2; /* as filled */
            content[objects] = 2;
            if
            :: HOLDS_PARENT -> clear_cells(s)
            :: else
            fi
        }
        i = NONE;
        if
        :: HOLDS_PARENT -> take_child(i, objects + 1) /* or an operation fills its cell later */
        :: true
        fi;
        if
        :: i != NONE -> objects++; name_child(CELL(held - 1, 0), i, objects)
        :: else
        fi;
        i = 0
    fi
}

/* In word r. What it names is ended and retired. */
inline publish_held(r)
{
    s = held - 1;
    hdr[s] = HEADER(r, 0);
    load(r, w);
    ok = 0;
    do
    :: ok -> break
    :: else ->
        d_step {
            TOUCH(r);
#ifdef BUG_168
            ok = 1;
#else
            ok = R[r] == w || STATE(w) != MOVING; /* a plain store where LIVE was loaded */
#endif
            if
            :: ok ->
                if
                :: R[r] != 0 -> at[named[r]] = NONE
                :: else
                fi;
                R[r] = WORD(LIVE, s);
                named[r] = owner[s];
                at[owner[s]] = s
            :: else -> w = R[r]
            fi
        }
    od;
    ok = 0;
    held = 0;
    if
    :: w != 0 ->
        s = SLOT(w);
        hdr[s] = 0;
#ifdef BUG_169
        release(s)
#else
        ended(s, ok)
#endif
    :: else
    fi
}

inline abort_held()
{
    s = held - 1;
    if
    :: HOLDS_PARENT -> /* with what its cells name */
        do
        :: i < CELLS ->
            load(CELL(s, i), w);
            ok = w == 0;
            do
            :: ok -> break
            :: else ->
                d_step {
                    ok = R[CELL(s, i)] == w;
                    if
                    :: ok ->
                        at[named[CELL(s, i)]] = NONE;
                        R[CELL(s, i)] = 0;
                        named[CELL(s, i)] = 0
                    :: else -> w = R[CELL(s, i)]
                    fi
                }
            od;
            if
            :: w != 0 -> hdr[SLOT(w)] = 0; ended(SLOT(w), ok)
            :: else
            fi;
            i++
        :: else -> i = 0; break
        od;
#ifdef BUG_167
        release(s)
#else
        retire(s)
#endif
    :: else -> release(s)
    fi;
    held = 0
}

inline end_held(r)
{
    if
    :: abort_held()
    :: HOLDS_CHILD -> publish_held(r)
    :: HOLDS_PARENT && R[P] == 0 -> publish_held(P)
    :: HOLDS_PARENT && p != NONE && EMPTY(p) -> publish_held(P)
    fi
}

proctype holder()
{
    byte q; /* the word that names the parent */
    byte p, r, t, w, s, h, i, n, objects, tries;
    bool ok, rooted;
#ifdef RESERVE
    byte held;
#endif
    objects = CELLS + PARENT;
    do
#ifdef PLAIN
    :: n < OPS -> n++; free_plain()
#endif
    :: n < OPS ->
        n++;
        section_enter();
#ifdef NESTED
        if
        :: load(P, w)
#if defined(GROW) || defined(UNLINK)
        :: call_off(P, w, ok); rooted = 1 /* its cell will be changed */
#endif
        fi;
        q = CELL(SLOT(w), 0);
#else
        rooted = 1;
        q = P;
#endif
#ifdef BUG_157
        load(q, w);
#else
        call_off(q, w, ok); /* deref_mut of the parent */
#endif
        p = (STATE(w) == FREE || SLOT(w) >= PSLOTS -> NONE : SLOT(w));
        atomic {
            choose_cell(r);
            choose_cell(t);
            w = 0;
            TOUCH(r);
            TOUCH(t)
        }
        if
        :: R[r] != 0 -> /* free: a plain store where LIVE was loaded, the header not read */
            load(r, w);
            if
            :: STATE(w) == LIVE ->
                d_step { TOUCH(r); at[named[r]] = NONE; R[r] = 0; named[r] = 0 }
            :: else ->
                ok = 0;
                do
                :: ok -> break
                :: else ->
                    d_step {
                        TOUCH(r);
                        ok = R[r] == w;
                        if
                        :: ok -> at[named[r]] = NONE; R[r] = 0; named[r] = 0
                        :: else -> w = R[r]
                        fi
                    }
                od
            fi;
            s = SLOT(w);
            hdr[s] = 0;
#ifdef FREE_NOW
            if
            :: STATE(w) == LIVE -> release(s)
            :: else -> ended(s, ok)
            fi
#else
            ended(s, ok)
#endif
        :: R[r] == 0 -> /* alloc */
            take_child(s, objects + 1);
            if
            :: s != NONE ->
                objects++;
                name_child(r, s, objects)
            :: else
            fi
        :: R[r] != 0 && R[t] == 0 && r != t -> /* relocate */
            call_off(r, w, ok);
            s = SLOT(w);
            h = hdr[s];
            MINE(h, r);
            d_step { TOUCH(t); R[t] = WORD(LIVE, s); named[t] = named[r] }
#ifndef BUG_162
            d_step { TOUCH(r); R[r] = WORD(GOING, s) }
#endif
            hdr[s] = HEADER(t, SIZE(h));
            d_step { TOUCH(r); R[r] = 0; named[r] = 0 }
        :: R[r] != 0 -> /* resize in place */
            call_off(r, w, ok);
            s = SLOT(w);
            do
            :: !ok ->
                h = hdr[s];
                MINE(h, r);
                d_step {
                    ok = hdr[s] == h;
                    if
                    :: ok -> hdr[s] = HEADER(NAMED_BY(h), SIZE(h) + 1); sizes[named[r]]++
                    :: else -> tries++
                    fi
                }
                assert(tries <= 1)
            :: else -> break
            od
#ifdef REPLACE
        :: R[r] != 0 -> /* a child's resize by copy, update's commit */
            call_off(r, w, ok);
            s = SLOT(w);
            h = hdr[s];
            MINE(h, r);
            take_child(t, owner[s]);
            if
            :: t != NONE ->
                atomic { data[t] = data[s]; hdr[t] = HEADER(r, SIZE(h)) }
                ok = 0;
                do
                :: ok -> break
                :: else ->
                    d_step {
                        TOUCH(r);
                        ok = R[r] == w;
                        if
                        :: ok -> R[r] = WORD(LIVE, t); at[named[r]] = t
                        :: else -> w = R[r]
                        fi
                    }
                od;
                hdr[s] = 0;
                ended(s, ok)
            :: else
            fi
#endif
#ifdef GROW
        :: p != NONE && rooted -> /* the parent's resize by copy, without the mover's lock */
            take_parent(s, PARENT);
            if
            :: s != NONE ->
                do
                :: i < CELLS ->
#ifdef BUG_160
                    carry(CELL(p, i), CELL(s, i), false, ok);
                    R[CELL(s, i)] = (R[CELL(s, i)] -> WITH(R[CELL(s, i)], LIVE) : 0);
#else
                    carry(CELL(p, i), CELL(s, i), true, ok);
#endif
                    i++
                :: else -> i = 0; break
                od;
                hdr[s] = HEADER(q, 0);
                load(q, w);
                ok = 0;
                do
                :: ok -> break
                :: else ->
                    d_step {
                        TOUCH(q);
                        ok = R[q] == w;
                        if
                        :: ok -> R[q] = WORD(LIVE, s); at[PARENT] = s
                        :: else -> w = R[q]
                        fi
                    }
                od;
                hdr[p] = 0;
                ok = 0;
                do
                :: i < CELLS -> turn(CELL(p, i), CELL(p, i), CELL(s, i), ANY, w, h, ok); i++
                :: else -> i = 0; break
                od;
                ended(p, ok)
            :: else
            fi
#endif
#ifdef UNLINK
        :: p != NONE && rooted && HAS(R[CELL(p, 0)]) -> /* the child comes in the parent's place */
            r = CELL(p, 0);
            call_off(r, w, ok);
            s = SLOT(w);
            h = hdr[s];
            MINE(h, r);
            load(q, w);
            ok = 0;
            do
            :: ok -> break
            :: else ->
                d_step {
                    TOUCH(q);
                    ok = R[q] == w;
                    if
                    :: ok -> R[q] = WORD(LIVE, s); at[PARENT] = NONE; named[q] = named[r]
                    :: else -> w = R[q]
                    fi
                }
            od;
            ok = 0;
            d_step { TOUCH(r); R[r] = WORD(RETIRED, s) }
            hdr[s] = HEADER(q, SIZE(h));
            hdr[p] = 0;
#ifdef BUG_165
            release(p)
#else
            ended(p, ok)
#endif
#endif
#ifndef NESTED
        :: p != NONE && EMPTY(p) -> /* its free */
            load(P, w);
            ok = 0;
            do
            :: ok -> break
            :: else ->
                d_step {
                    ok = R[P] == w;
                    if
                    :: ok -> at[named[P]] = NONE; R[P] = 0; named[P] = 0
                    :: else -> w = R[P]
                    fi
                }
            od;
            hdr[p] = 0;
            ended(p, ok)
#endif
#ifdef RESERVE
        :: !held -> reserve()
        :: held -> end_held(r)
#endif
        :: true
        fi;
        atomic {
            q = 0; p = 0; r = 0; t = 0; w = 0; s = 0; h = 0; i = 0; ok = 0; tries = 0; rooted = 0;
            section_leave()
        }
    :: else -> break
    od;
#ifdef RESERVE
    if
    :: !held
    :: else ->
        section_enter();
        call_off(P, w, ok);
        p = (STATE(w) == FREE -> NONE : SLOT(w));
        atomic { choose_cell(r); w = 0; TOUCH(r) }
        end_held(r);
        atomic { p = 0; r = 0; w = 0; s = 0; i = 0; ok = 0; section_leave() }
    fi
#endif
}

/* ---- those who look at children through a parent resolved for reading ---- */

/* Cell r of the parent as it is resolved now; NONE: there is none. */
inline find_cell(r, w)
{
    load(P, w);
#ifdef NESTED
    r = CELL(SLOT(w), 0);
    load(r, w);
#endif
    atomic {
        if
        :: STATE(w) == FREE -> r = NONE
#ifdef UNLINK
        :: SLOT(w) >= PSLOTS /* the child itself */
#endif
        :: STATE(w) != FREE && SLOT(w) < PSLOTS -> r = CELL(SLOT(w), 0)
#if CELLS > 1
        :: STATE(w) != FREE && SLOT(w) < PSLOTS -> r = CELL(SLOT(w), 1)
#endif
        fi;
        w = 0
    }
}

proctype reader()
{
    byte r, w, o, want, h;
    section_enter();
    find_cell(r, w);
    if
    :: r != NONE ->
        d_step {
            TOUCH(r);
            w = R[r];
            o = named[r];
            want = content[o];
#ifndef REPLACE
            /* never an old copy of a child */
            assert(!READS(w) || at[o] == NONE || at[o] == SLOT(w))
#endif
        }
        if
        :: READS(w) ->
            d_step {
                READABLE(SLOT(w), o);
                assert((data[SLOT(w)] & want) == want);
                h = hdr[SLOT(w)] /* size */
                assert(h != 0 || at[o] != SLOT(w))
            }
        :: else
        fi
    :: else
    fi;
    atomic { r = 0; w = 0; o = 0; want = 0; h = 0; section_leave() }
}

/* deref_mut of a child. */
proctype writer(byte mine)
{
    byte r, w, o;
    bool ok;
    section_enter();
    find_cell(r, w);
    if
    :: r != NONE ->
        d_step { TOUCH(r); w = R[r]; o = named[r] }
        do
        :: STATE(w) != MOVING -> break
        :: else ->
            cas(r, w, WITH(w, LIVE), ok);
            d_step { TOUCH(r); w = R[r]; o = named[r] }
        od;
        if
        :: HAS(w) ->
            d_step { /* at any time later in the section */
                READABLE(SLOT(w), o);
                assert(at[o] == NONE || at[o] == SLOT(w));
                data[SLOT(w)] = data[SLOT(w)] | mine;
                content[o] = content[o] | mine
            }
        :: else
        fi
    :: else
    fi;
    atomic { r = 0; w = 0; o = 0; ok = 0; section_leave() }
}

proctype pinner()
{
    byte r, w, s, o;
    bool ok;
    section_enter();
    find_cell(r, w);
    atomic { s = NONE; ok = 1 }
    do
    :: r == NONE -> break
    :: else ->
        call_off(r, w, ok);
        if
        :: !HAS(w) -> break
        :: else
        fi;
        pin_words = 1;
        d_step {
            s = SLOT(w);
            assert(life[s] != S_FREE);
            o = owner[s];
            pins[s]++
        }
        load(r, w);
        if
        :: HAS(w) && SLOT(w) == s -> break
        :: else -> unpin(s, ok); s = NONE
        fi
    od;
    atomic { r = 0; w = 0; ok = 0; section_leave() }
    if
    :: s != NONE ->
        d_step { READABLE(s, o) }
        unpin(s, ok)
    :: else
    fi
}

/* Whether a cell in use names slot s. */
#define IN_USE(r) (!INNER(r) || (life[HOME(r)] == S_USED && at[owner[HOME(r)]] == HOME(r)))

proctype walker()
{
    byte s, h, w, o, last_h, last_w;
    s = PSLOTS;
    do
    :: s < SLOTS ->
        section_enter();
        atomic {
            !mover_lock -> mover_lock = 1;
            if
            :: life[s] == S_USED && at[owner[s]] == s -> o = owner[s]
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
            :: w != 0 && SLOT(w) == s -> o = 0; break
            :: !(w != 0 && SLOT(w) == s) && h == last_h && w == last_w -> break
            :: else -> last_h = h; last_w = w
            fi
        od;
        atomic {
            assert(o == 0 || at[o] != s);
            mover_lock = 0; h = 0; w = 0; o = 0; last_h = 0; last_w = 0; s++;
            section_leave()
        }
    :: else -> break
    od
}

#define SPAWN(i, n, process) \
    i = 0; \
    do \
    :: i < (n) -> run process; i++ \
    :: else -> i = 0; break \
    od

init
{
    byte i, s;
    atomic {
        life[0] = S_USED;
        owner[0] = 1;
        hdr[0] = HEADER(P, 0);
        R[P] = WORD(LIVE, 0);
        named[P] = 1;
#ifdef NESTED
        life[FIRST_P] = S_USED;
        owner[FIRST_P] = PARENT;
        at[PARENT] = FIRST_P;
        hdr[FIRST_P] = HEADER(CELL(0, 0), 0);
        R[CELL(0, 0)] = WORD(LIVE, FIRST_P);
        named[CELL(0, 0)] = PARENT;
#endif
        do
        :: s < CELLS -> /* each cell has a child */
            i = PARENT + 1 + s;
            life[PSLOTS + s] = S_USED;
            owner[PSLOTS + s] = i;
            at[i] = PSLOTS + s;
            hdr[PSLOTS + s] = HEADER(CELL(FIRST_P, s), 0);
            R[CELL(FIRST_P, s)] = WORD(LIVE, PSLOTS + s);
            named[CELL(FIRST_P, s)] = i;
            s++
        :: else -> s = 0; break
        od;
        run mover();
        run holder();
        SPAWN(i, READERS, reader());
        SPAWN(i, WRITERS, writer(1 << i));
        SPAWN(i, PINNERS, pinner());
        SPAWN(i, WALKERS, walker())
    }
    atomic { /* the end: words, headers, slots and contents agree */
        _nr_pr == 1 ->
        do
        :: s < SLOTS ->
            assert(life[s] != S_RETIRED && (pins[s] & COUNT) == 0);
            if
            :: life[s] == S_USED ->
                assert(hdr[s] != 0);
                i = NAMED_BY(hdr[s]);
                assert(IN_USE(i) && R[i] != 0 && SLOT(R[i]) == s && named[i] == owner[s]);
                assert(at[owner[s]] == s && data[s] == content[owner[s]]);
                assert(SIZE(hdr[s]) == sizes[owner[s]])
            :: else -> assert(hdr[s] == 0)
            fi;
            s++
        :: else -> s = 0; break
        od;
        do
        :: s < WORDS ->
            assert(!IN_USE(s) || R[s] == 0 || life[SLOT(R[s])] == S_USED);
            s++
        :: else -> break
        od
    }
}
