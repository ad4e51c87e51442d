/* SPDX-License-Identifier: MIT */
/*
 * reference.h - reference words and header words, and the protocol by which objects move. This file
 * owns the protocol statement; code that relies on it cites the numbers G1 to G13.
 *
 * THE WORDS
 *
 *   reference word R    63                           27 26              3 2   1  0
 *                       object's arena offset / 8       tag               state  U
 *
 *   handle              63                              24 23                    0
 *                       index of the table entry           generation
 *
 *   state 00 FREE (table: next tag, link)   10 LIVE   11 MOVING   01 GOING
 *   with U: 11 RETIRED: names its object, or the slot it had, for readers only; 01, of table
 *   entries, VOID: freed after it was retired, next tag, and still the slot.
 *   U: the object is special, so that fast paths leave it to slow ones: HANDLE_UNMOVABLE, or
 *   HANDLE_CELLS, which its header says. MOVING is without U (what is unmovable is never MOVING);
 *   who cancels a move sets it again. Bit 2 says: names an object. GOING: a cell that relocate is
 *   emptying, empty to all but walks; the rest is as it was. The tag of a cell is the
 *   application's; that of a table entry is the complement of its generation, which the handle has:
 *   why, see the inline read path in sinter/handle.h.
 *
 *   header word         63                         19 18        8 7 6   0
 *     of an object      address of R / 8              size        1 check
 *     clear             what may link a list: limbo, retired      0     0
 *
 *   size: the low 11 bits of the requested one; the slot's class, which serves at most 2048 sizes,
 *   says the others. check: a number of 7 bits over the rest and the slot's offset, by a secret of
 *   the store; modulo 128 it is 26 higher where the object is one that the profile has drawn
 *   (core/profile.h), and 77 higher where it is HANDLE_CELLS: marks, which whoever writes the
 *   header anew hands on, and which end with it.
 *   Clear means that there is no live object in the slot. A large object's header word lies in its
 *   span descriptor, beside its size; what is the size here counts its resizes in place, so that
 *   each changes the word.
 *
 *   word state  who may change it                          to
 *   FREE        alloc (the index's or cell's owner)        LIVE   plain release store
 *   LIVE        the mover, step 1                          MOVING CAS
 *               free; resize, update commit                FREE, LIVE elsewhere   CAS (G4)
 *               free_now, cell free; set_tag               FREE, LIVE             see G4, G7
 *               cell publish, of what it replaces          LIVE elsewhere         see G4
 *               retire                                     RETIRED  CAS (G11)
 *               relocate (of `from`)                       GOING  plain store, over a mark too (G6)
 *               cell retire                                RETIRED  CAS (G12)
 *               unlink (of `from`)                         RETIRED  as relocate (G12)
 *               unlink, of what `to` named                 LIVE elsewhere         as cell publish
 *   GOING       relocate (of `from`)                       FREE   plain store
 *   MOVING      the mover, step 5                          LIVE at D  CAS
 *               the mover, step 3; deref_mut; pin; set_tag LIVE at S  CAS
 *               free, retire; publish, unlink              as from LIVE, always CAS
 *               resize, commit                             as from LIVE, always CAS
 *   RETIRED     free (of a handle)                         VOID   CAS
 *               the grace-period thread (of an entry)      FREE   CAS (G11)
 *               the application (of a cell)                FREE   it owns the memory (G12)
 *   VOID        the grace-period thread                    FREE   plain store
 *
 * MOVING A BATCH. R is a reference word, S its object's slot, D the destination. R is touched only
 * in a section in which S's header was read and named R.
 *
 *   1. mark: CAS R from (LIVE, S) to (MOVING, S);
 *   2. grace period: every writer that saw LIVE has left its section;
 *   3. header of S no longer names R: drop it, without touching R. R is not (MOVING, S): drop it. S
 *      is pinned: CAS back to LIVE;
 *   4. copy S to D, D's header names R; cells inside are carried (G13);
 *   5. publish: CAS R from (MOVING, S) to (LIVE, D), release. If it fails, D's check bits are
 *      zeroed in this same section, then D goes back, and nothing happened; if it succeeds, S's
 *      header is cleared, then the headers of what S's cells name are turned (G13);
 *   6. grace period, then S is reclaimed.
 *
 * One batch per store is between 1 and the end of 5; only 6 may overlap the next batch. D is
 * chosen, and steps 4 and 5 of one object run, under one hold of the mover's lock; only its holder,
 * and a walk in its span, follows a header to its word. A version from update_begin has check bits
 * 0 until commit; a failed commit zeroes them again in its section. So has a reserved object until
 * it is published: then its header is written, before R, which was FREE or names another slot.
 *
 * A WALK over the store goes from span to span in rising address, and meets every object that lives
 * throughout once, though others are moved beside it: D lies on S's side of the walk, both ahead of
 * it or both behind. The span that is being walked is neither S's nor D's: the walk gets it under
 * the mover's lock, with all moves out of it that are not published cancelled, and nobody takes a
 * slot of it that was not free before. Where the walk is changes under that lock, too. Spans beyond
 * its end, set when it begins, count as behind. What resize or commit replaces may cross it.
 *
 * GUARANTEES
 *
 * G1.  A reader never waits, retries or writes shared memory; one acquire load resolves.
 * G2.  What was resolved stays mapped and is not reused until the section ends. Two resolutions in
 *      one section may differ after a move; the older is then a frozen copy: resolve again after
 *      deref_mut. Headers are not covered: whoever reads a size checks that the header still names
 *      R, else loads R again (FREE or another generation: -ENOENT or 0). What a resize in place
 *      cuts off a large object is given back after a grace period that began later, and not while
 *      the object is pinned: a pin may have been taken by its size before.
 * G3.  A writer never waits: finding MOVING it CASes to LIVE and goes on. No write is lost to a
 *      move, by whichever cell the object was found. resize and update replace the object: the
 *      caller serialises them with deref_mut and pin_mut of the same object.
 * G4.  handle_free ends LIVE or MOVING by one CAS; exactly one caller wins and retires the slot
 *      that this CAS saw. A cell's free and retire, publish and unlink in the place of what a cell
 *      names, and free_now, may use a plain store only if they loaded LIVE, in the section that
 *      covers load and store; finding MOVING they CAS until done, and the slot is retired, never
 *      reused at once. (What publish and unlink replace is retired in any case.) The header of an
 *      object that others may free is changed in place only by CAS from the value that named R;
 *      failure means freed: -ENOENT, or turned (G13): again. (A large object's header, size and run
 *      of blocks change together, under the pool's lock.) A free clears the header after it has
 *      ended the word and before the slot is retired, or, by free_now, reusable: by a plain store,
 *      it need not read what was there. So a slot may be freed and be another object's, even of the
 *      same R, while a mark is pending: that mark has failed, was overwritten, or is a valid one of
 *      the new object. Sizes in headers of a hardened store never change; there a free reads header
 *      and canary before it clears them.
 * G5.  A slot that is pinned has a word with its count, FREED, WRITTEN and the number of its
 *      object's relocations; the last unpin takes the word away. A lock guards the words of a span
 *      (memory/pins.h). A slot counts as pinned for writing from its first pin_mut to its last
 *      unpin; free_now on a pinned slot retires it. Pin: in a section, cancel a pending move,
 *      raise the count, look again that R still names the slot. A pinned slot is neither moved nor
 *      reclaimed. Whoever ends an object looks for the word after R and the header: there is none,
 *      and he retires the slot; or he sets FREED, and the last unpin retires it. A late pinner of a
 *      slot that is retired already makes a word without FREED, and takes it away again.
 *      Whether a span has any word is looked at without the lock: an end and the first pin of a
 *      span may miss each other; so the word is looked for again after the grace period, before
 *      the slot is reclaimed, and whoever is found then is no late pinner. update_begin pins the
 *      version it saw until commit or abort, so a mere move is never a conflict. A resize in place
 *      makes sure by the lock that nobody pins the slot until it is done, so a commit sees every
 *      resize since begin; a relocation is noted in the word before `to` is filled.
 * G6.  Relocate first makes `from` LIVE (the slot then stays until the section ends), then writes
 *      `to` LIVE, `from` GOING, the header, `from` FREE: the header always names a cell that names
 *      the slot, LIVE, MOVING or GOING, and who follows it finds another only if the cell has
 *      changed in between: read the header again. A mark of `from` meanwhile is dropped in step 3.
 *      `to` is marked only after `from` was GOING, so that step 2 waits for every writer who found
 *      the object by `from` (G3). Nobody else changes a GOING cell: its writers are serialised.
 *      Emptying a cell (free, relocate's `from`) changes the slot's header before the call returns;
 *      its memory stays readable and is written only as a cell for a grace period after that, and
 *      after the commit or abort of any update on it. So: free the cell at unlinking, then call_rcu
 *      the structure around it. Cells are not copied by memcpy and do not lie inside an object of
 *      a store, but for one of this store that is HANDLE_CELLS (G13).
 * G7.  MOVING is left only by publish, by a cancel or by the end of the object; set_tag is a
 *      writer and leaves LIVE.
 * G8.  No lock that a reader, a writer or a callback may take is held across a grace period, the
 *      mover's own lock included; step tries it and reports busy. (A fork's preparation holds two
 *      that only calls that wait take, see lock.h.)
 * G9.  A new object is LIVE at once: it is filled through the pointer alloc gave, in the same
 *      section, or later through deref_mut. One that was reserved is nobody's until it is published
 *      (its header is clear: nothing follows it, nothing moves it), and whole from then on; a cell
 *      is never empty between what publish replaces and what it publishes.
 * G10. In a forked child the other threads are gone: no compaction, limbo is kept, alloc, deref and
 *      free work, destroy does not wait.
 * G11. A retired object ends twice. At once for all who change objects: the word is RETIRED, the
 *      header clear but for the size, so that nothing follows it and nothing moves it. A grace
 *      period later, which began when it was in the list, the word ends: so whoever was in a
 *      section then has resolved it by the handle to that section's end. Then its slot goes to
 *      limbo, for those who resolved it in between. The list is linked through the headers, by
 *      entries of the table, whose words lead on to the slots: so who frees a retired object ends
 *      only the name (VOID), and neither slot nor entry, which stay the list's. A pin that was
 *      counted before the word ended is seen at the end, as by a free (G5).
 * G12. A cell that was retired, or unlinked, names its object for readers only (RETIRED): those in
 *      the structure around it. No header names it any more when the call returns, so nothing of
 *      the library looks at it again: the application has it, and its memory, a grace period later
 *      (G6). A retired cell's slot goes to limbo in the call. So the structure is out of reach
 *      BEFORE: who finds the cell came to it before the slot's grace period began. (One grace
 *      period, where G11 needs two: a handle may be known elsewhere.)
 *      Unlink is relocate with RETIRED in the place of GOING, and without its last store: `to`,
 *      which may name an object, names that of `from`; then `from` is RETIRED; then the header
 *      names `to`; then what `to` named is retired. So G6 holds word for word, and a mark of `to`
 *      comes after `from` was RETIRED: step 2 waits for all who found the object by `from`, to
 *      write it or to read it. If the caller stays in ONE section until the structure around `from`
 *      is out of reach, step 2 waits for the caller, and the publish (hence step 6) comes after
 *      that: all who find `from` are waited for. What is ended by `to` before is not kept for
 *      those who come later: so nobody is a writer of `to` until then. (In a chain of which `to` is
 *      a link, it is the store to `to` that puts `from` out of reach.)
 *      A cell that is RETIRED is refused by alloc, and as `to` by relocate and unlink: who still
 *      stands there has not looked, by the lock of its writers, whether its structure is linked.
 *      Publish takes it, and frees nothing: so an object gets in between two others, the cell that
 *      led to the second unlinked into its own.
 * G13. Cells inside an object, the parent of what they name. The cells of one parent have ONE
 *      WRITER at a time, who is also the only one to resize it, to commit a version of it, and to
 *      free it. He has resolved it by deref_mut before, in the same section (or holds it by
 *      pin_mut), and uses no address of its cells from another section. All else (deref and
 *      deref_mut of what a cell names, size, pin, update_begin) needs only a parent that was
 *      resolved in this section.
 *      Who copies a parent to another slot cancels, with the copy, the moves of what its cells
 *      name: loads each cell of S, CASes it to LIVE while it is MOVING, and stores what it found in
 *      the cell of D ("carries" it). So between a child's mark and its publish its parent does not
 *      change its slot. After the publish of D he makes the headers of the children name the cells
 *      of D instead of those of S ("turns" them), by CAS, in the section in which he has read them;
 *      only then S is retired, and always retired. The mover turns headers that name the cell it
 *      has copied; the parent's writer, who knows that D's is the cell, turns those that name any.
 *      Nothing is to be undone where a publish fails: headers were not touched.
 *      So, between publish and turn, a header may name the cell of an older place of the parent,
 *      which names the slot, too (G6 holds word for word). Who changes, by the parent's cell, the
 *      header of a child takes the name of any cell inside an object for that cell's own.
 *      A cell of a frozen copy (G2) is frozen. What it names was there when the copy froze, so a
 *      reader whose section is older finds it: by a move children leave only a grace period after
 *      that. Freed, replaced or relocated by the writer they may be, which a frozen cell does not
 *      show; a pin by such a cell holds what it named then, and is found by the look after the
 *      grace period (G5). G3 holds for children, whoever has resolved the parent, and how.
 *      A parent that is reserved (G9) stays where it is: its cells may be filled before it is
 *      published, by who has reserved it. If it is aborted, its slot is retired, since headers have
 *      named its cells.
 *      The end of a parent is refused while a cell of it names an object (RETIRED ones do not), but
 *      for unlink's `from`, which G12 makes RETIRED before what `to` named is retired. Who has not
 *      resolved the parent may have loaded a word that is MOVING, and finds the header of S clear
 *      as soon as D is published: he believes that only if R is as he loaded it.
 *      By the mover's turn a header is looked at after a free_now of its object, by a cell outside
 *      that it was relocated to meanwhile; a CAS from what it was is harmless to others, but memory
 *      that was given back may be a guard's: in hardened stores with such parents free_now retires.
 *
 * NOT PROMISED: order between writers of one object, or between a writer and readers; that a second
 * deref gives the same address; that a failed move is tried again soon.
 */
#ifndef SN_REFERENCE_H
#define SN_REFERENCE_H

#include "memory/heap.h"
#include <sinter/handle.h>

#define SN_WORD_SPECIAL UINT64_C(1)
#define SN_WORD_FREE    UINT64_C(0)
#define SN_WORD_GOING   UINT64_C(2)
#define SN_WORD_LIVE    ((uint64_t)HANDLE_HAS_OBJECT)
#define SN_WORD_MOVING  UINT64_C(6)
#define SN_WORD_STATE   UINT64_C(6)
#define SN_WORD_RETIRED UINT64_C(7)
#define SN_WORD_VOID    UINT64_C(3) /* with the next generation: freed since it was retired */
#define SN_WORD_KIND    (SN_WORD_STATE | SN_WORD_SPECIAL)
#define SN_WORD_TAG     (SN_TAG_MASK << SN_TAG_SHIFT)
#define SN_WORD_BITS    HANDLE_OFFSET_SHIFT /* below the offset */
#define SN_TAG_SHIFT    3
#define SN_TAG_MASK     UINT64_C(0xffffff)
#define SN_OFFSET_MASK  UINT64_C(0xfffffffff8) /* of an object in its arena */

_Static_assert((SN_WORD_TAG | SN_WORD_STATE | SN_WORD_SPECIAL) == (UINT64_C(1) << SN_WORD_BITS) - 1,
               "tag, state and flag lie below the offset");
_Static_assert(SN_OFFSET_MASK >> 3 == UINT64_MAX >> SN_WORD_BITS, "an eighth of an offset fits");
_Static_assert(HANDLE_MATCH_MASK == (SN_WORD_TAG | SN_WORD_LIVE),
               "a handle matches by generation and by bit 2");

static inline uint64_t
sn_word_offset(uint64_t word)
{
    return word >> SN_WORD_BITS << 3;
}

/** What a word has of an offset, a multiple of 8. */
static inline uint64_t
sn_word_of_offset(uint64_t offset)
{
    return offset << (SN_WORD_BITS - 3);
}

static inline uint64_t
sn_word_tag(uint64_t word)
{
    return word >> SN_TAG_SHIFT & SN_TAG_MASK;
}

/** What a word has of a tag. */
static inline uint64_t
sn_word_of_tag(uint64_t tag)
{
    return tag << SN_TAG_SHIFT;
}

static inline bool
sn_word_has_object(uint64_t word)
{
    return (word & SN_WORD_LIVE) != 0;
}

static inline bool
sn_word_is_moving(uint64_t word)
{
    return (word & SN_WORD_KIND) == SN_WORD_MOVING;
}

/** The same word, LIVE, as the mover marks it. */
static inline uint64_t
sn_word_as_moving(uint64_t word)
{
    return (word | SN_WORD_MOVING) & ~SN_WORD_SPECIAL;
}

/** It names its object for readers only. */
static inline bool
sn_word_is_retired(uint64_t word)
{
    return (word & SN_WORD_KIND) == SN_WORD_RETIRED;
}

/** The object has ended, or does in a grace period. */
static inline bool
sn_word_is_freed(uint64_t word)
{
    return !sn_word_has_object(word) || sn_word_is_retired(word);
}

/** MOVING or RETIRED: who changes the object has to look which. */
static inline bool
sn_word_is_marked(uint64_t word)
{
    return (word & SN_WORD_STATE) == SN_WORD_MOVING;
}

static inline uint64_t
sn_word_as_retired(uint64_t word)
{
    return word | SN_WORD_RETIRED;
}

/** Whether a word names a slot: that of an object, or of one that has just gone to another cell. */
static inline bool
sn_word_names_slot(uint64_t word, uint64_t offset)
{
    return (word & SN_WORD_STATE) != SN_WORD_FREE && sn_word_offset(word) == offset;
}

/** The same word without its object, which another cell names by now (G6). */
static inline uint64_t
sn_word_as_going(uint64_t word)
{
    return (word & ~SN_WORD_STATE) | SN_WORD_GOING;
}

/** The same word with the move cancelled; of an object with cells without
 * SN_WORD_SPECIAL, see sn_object_as_live. */
static inline uint64_t
sn_word_as_live(uint64_t word)
{
    return word & ~(SN_WORD_MOVING ^ SN_WORD_LIVE);
}

/** The same word, LIVE, naming another slot; see above. */
static inline uint64_t
sn_word_at(uint64_t word, uint64_t offset)
{
    return (sn_word_as_live(word) & (SN_WORD_TAG | SN_WORD_STATE | SN_WORD_SPECIAL)) |
           sn_word_of_offset(offset);
}

/** The generation that a table entry's word carries; its tag is the complement. */
static inline uint64_t
sn_word_generation(uint64_t word)
{
    return ~sn_word_tag(word) & SN_TAG_MASK;
}

/** What a word has of a generation. */
static inline uint64_t
sn_word_of_generation(uint64_t generation)
{
    return sn_word_of_tag(~generation & SN_TAG_MASK);
}

/** What a word must be, as far as HANDLE_MATCH_MASK says, for a handle to name its object. */
static inline uint64_t
sn_word_of_handle(handle_t handle)
{
    return sn_word_of_generation(handle) | SN_WORD_LIVE;
}

/** Zero in the bits of HANDLE_MATCH_MASK: the handle names the word's object, as in handle_deref.
 * Zero in bit 1, too: it is not MOVING. */
static inline uint32_t
sn_word_mismatch(uint64_t word, handle_t handle)
{
    return (uint32_t)word + 8u * (uint32_t)handle + HANDLE_HAS_OBJECT;
}

/* ---- header words ---------------------------------------------------------------------------- */

#define SN_HEADER_CHECK     UINT64_C(0xff)
#define SN_HEADER_OBJECT    UINT64_C(0x80) /* 1 in the header of every object */
#define SN_HEADER_CHECK_SUM UINT64_C(0x7f)
#define SN_HEADER_SAMPLED   UINT64_C(26) /* on top of those of a drawn object: a mark */
#define SN_HEADER_CELLS     UINT64_C(77) /* of one with cells. With both a header has the sum */
#define SN_HEADER_MARKS     (SN_HEADER_SAMPLED + SN_HEADER_CELLS)
#define SN_HEADER_SIZE_AT   8
#define SN_HEADER_SIZE      UINT64_C(0x7ff)
#define SN_HEADER_NAME_AT   19
#define SN_CELL_ADDRESS_MIN (UINT64_C(1) << 16) /* below it lies nothing */
#define SN_CELL_ADDRESS_MAX (UINT64_C(1) << 48)
_Static_assert(SN_SIZES_OF_A_CLASS_MAX <= SN_HEADER_SIZE + 1, "class and header say the size");
_Static_assert(SN_SMALL_MAX_BYTES <= SN_HEADER_SIZE, "small sizes are whole in the header");

/** A store's secret from a random number: a factor for sn_header_check, odd, and such that every
 * single bit of a header that is changed changes its check bits, and not by the marks. cells: of a
 * store whose objects may have cells; headers of others have no mark for them. */
uint64_t sn_header_secret(uint64_t random, bool cells);
#define SN_SECRET_CELLS UINT64_C(2)

/** Multiply-shift hashing (Dietzfelbinger et al. 1997): the secret is the factor. */
static inline uint64_t
sn_header_check(uint64_t secret, uint64_t body, uint64_t offset)
{
    return ((body ^ offset) * secret) >> 57;
}

/** The header of a slot at `offset` whose object R names; of its size the low bits. */
static inline uint64_t
sn_header_make(uint64_t secret, const uint64_t *reference, uint64_t size, uint64_t offset)
{
    /* The address is a multiple of 8. Sums: one instruction adds three. */
    uint64_t body = ((uint64_t)(uintptr_t)reference << (SN_HEADER_NAME_AT - 3)) +
                    (size << SN_HEADER_SIZE_AT) + SN_HEADER_OBJECT;
    return body + sn_header_check(secret, body, offset);
}

/** A header that was made, with marks: a sum of SN_HEADER_SAMPLED and SN_HEADER_CELLS, modulo 128.
 * One that has marks gets others added. */
static inline uint64_t
sn_header_with_mark(uint64_t made, uint64_t marks)
{
    return (made & ~SN_HEADER_CHECK_SUM) | ((made + marks) & SN_HEADER_CHECK_SUM);
}

/** Whether marks are of an object that the profile has drawn; of one with cells. */
static inline bool
sn_marks_sampled(uint64_t marks)
{
    return marks == SN_HEADER_SAMPLED || marks == SN_HEADER_MARKS;
}
static inline bool
sn_marks_cells(uint64_t marks)
{
    return marks == SN_HEADER_CELLS || marks == SN_HEADER_MARKS;
}

/** Whether a header is the one that was made, with or without marks. */
static inline bool
sn_header_is(uint64_t secret, uint64_t header, uint64_t made)
{
    if (sn_likely(header == made))
        return true;
    uint64_t marks = sn_wrapping_sub(header, made) & SN_HEADER_CHECK_SUM;
    if (((header ^ made) & ~SN_HEADER_CHECK_SUM) != 0)
        return false;
    return marks == SN_HEADER_SAMPLED || ((secret & SN_SECRET_CELLS) && sn_marks_cells(marks));
}

/** The header without its check bits, and with those that belong there. */
static inline uint64_t
sn_header_checked(uint64_t secret, uint64_t header, uint64_t offset)
{
    uint64_t body = (header & ~SN_HEADER_CHECK) | SN_HEADER_OBJECT;
    return body | sn_header_check(secret, body, offset);
}

static inline bool
sn_header_is_sound(uint64_t secret, uint64_t header, uint64_t offset)
{
    return sn_header_is(secret, header, sn_header_checked(secret, header, offset));
}

/** The marks of a sound header. */
static inline uint64_t
sn_header_marks(uint64_t secret, uint64_t header, uint64_t offset)
{
    uint64_t made = sn_header_checked(secret, header, offset);
    return sn_wrapping_sub(header, made) & SN_HEADER_CHECK_SUM;
}

/** What a header says of the size: its low bits. */
static inline uint64_t
sn_header_size(uint64_t header)
{
    return header >> SN_HEADER_SIZE_AT & SN_HEADER_SIZE;
}

/** Whether a header is what sn_header_make makes of this name, whatever its size and marks. */
static inline bool
sn_header_names(uint64_t secret, uint64_t header, const uint64_t *reference, uint64_t offset)
{
    uint64_t made = sn_header_make(secret, reference, sn_header_size(header), offset);
    return sn_header_is(secret, header, made);
}

/** What the header of a reserved object with cells is: clear, like that of any that is reserved. */
#define SN_HEADER_RESERVED UINT64_C(0xffffffffffffff00)

static inline bool
sn_header_is_clear(uint64_t header)
{
    return (header & SN_HEADER_CHECK) == 0;
}

/*
 * What a retired object's header is: clear, with its size where it was, and above it the next one
 * of the list, by its entry's offset in the table.
 */
static inline uint64_t
sn_header_make_retired(uint64_t size, uint64_t next)
{
    return next >> 3 << SN_HEADER_NAME_AT | (size & SN_HEADER_SIZE) << SN_HEADER_SIZE_AT;
}

static inline uint64_t
sn_header_retired_next(uint64_t header)
{
    return header >> SN_HEADER_NAME_AT << 3;
}

/** Whether a header names an object, by all that it shows itself. */
static inline bool
sn_header_has_object(uint64_t secret, uint64_t header, uint64_t offset)
{
    return !sn_header_is_clear(header) && sn_header_is_sound(secret, header, offset);
}

static inline uint64_t *
sn_header_reference(uint64_t header)
{
    return (uint64_t *)(uintptr_t)(header >> SN_HEADER_NAME_AT << 3);
}

/** By how much the requested size is less than `largest`, the largest that the class serves. */
static inline uint64_t
sn_header_slack(uint64_t header, uint64_t largest)
{
    return sn_wrapping_sub(largest, sn_header_size(header)) & SN_HEADER_SIZE;
}

#endif
