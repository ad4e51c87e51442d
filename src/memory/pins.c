/* SPDX-License-Identifier: MIT */
/* pins.c - see pins.h. */
#include "memory/pins.h"

#include <string.h>

#include "os/osmem.h"

#define WAYS_BITS 2
#define WAYS      SN_PIN_WAYS
_Static_assert(WAYS == 1 << WAYS_BITS, "a way for each value of two bits");

/* In the place of a page's line 0. */
struct page_head {
    uint32_t next, prev; /* pages of the stripe that have a free line; 0: none */
    uint16_t used;       /* lines */
    uint16_t fresh;      /* lines from here on were never used */
    uint16_t free;       /* first free one of the lines used before; 0: none */
};

#define LINES_SHIFT (SN_PAGE_SHIFT - SN_PIN_LINE_SHIFT) /* of a page's lines, the head included */

static struct sn_pin_line *
line_at(const struct sn_pins *pins, uint32_t line)
{
    return (struct sn_pin_line *)(void *)(pins->base + (size_t)line * SN_PIN_LINE_BYTES);
}

static struct page_head *
head_of(const struct sn_pins *pins, uint32_t page)
{
    return (struct page_head *)(void *)(pins->base + ((size_t)page << SN_PAGE_SHIFT));
}

static struct sn_pin_stripe *
stripe_of(struct sn_pins *pins, uint32_t number)
{
    return &pins->stripes[number % SN_PIN_STRIPES];
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* The lowest page that is not in use, counted from first_page; pins->pages or more: there is
 * none. */
static uint32_t
find_page_locked(struct sn_pins *pins)
{
    uint32_t word = pins->lowest_word;
    while (word * 64 < pins->pages && ~pins->page_bits[word] == 0)
        word++;
    pins->lowest_word = word;
    if (word * 64 >= pins->pages)
        return pins->pages;
    return word * 64 + (uint32_t)__builtin_ctzll(~pins->page_bits[word]);
}

/* What is used of the lines is in cores: who pins what is asked there. By doubling. */
#define SHOWN_PAGES_MIN 64u

static void
note_high_locked(struct sn_pins *pins, uint32_t high)
{
    pins->high = (uint32_t)sn_max(pins->high, high);
    if (pins->high <= pins->shown || pins->pool->hidden)
        return;
    uint64_t wanted = sn_max(2 * (uint64_t)pins->shown, SHOWN_PAGES_MIN);
    pins->shown = (uint32_t)sn_min(sn_max(wanted, pins->high), pins->pages);
    sn_os_show_in_core(pins->base + ((size_t)pins->first_page << SN_PAGE_SHIFT),
                       (size_t)pins->shown << SN_PAGE_SHIFT, true);
}

/* Takes that page; 0: there is none, or the limit refuses it. */
static uint32_t
take_page_locked(struct sn_pins *pins)
{
    uint32_t bit = find_page_locked(pins);
    if (bit >= pins->pages) {
        sn_owner_add(&pins->small, 1);
        return 0;
    }
    uint32_t bit_pages = bit / (8 * SN_PAGE_BYTES) + 1;
    uint64_t more = bit_pages > pins->bit_pages ? bit_pages - pins->bit_pages : 0;
    uint64_t bytes = (1 + more) << SN_PAGE_SHIFT;
    if (!sn_budget_charge(pins->pool->budget, bytes, SN_CHARGE_APPLICATION))
        return 0;
    pins->bit_pages += (uint32_t)more;
    note_high_locked(pins, bit + 1);
    pins->page_bits[bit / 64] |= UINT64_C(1) << (bit % 64);
    sn_add_relaxed(&pins->bytes, bytes);
    return pins->first_page + bit;
}

static uint32_t
take_page(struct sn_pins *pins)
{
    sn_lock(&pins->lock);
    uint32_t page = take_page_locked(pins);
    sn_unlock(&pins->lock);
    if (page)
        *head_of(pins, page) = (struct page_head){.fresh = 1};
    return page;
}

static void
note_released(struct sn_pins *pins)
{
    sn_sub_relaxed(&pins->bytes, SN_PAGE_BYTES);
    sn_add_relaxed(&pins->released_bytes, SN_PAGE_BYTES);
    sn_budget_refund(pins->pool->budget, SN_PAGE_BYTES);
}

/* False: the kernel does not take it. */
static bool
give_page_back(struct sn_pins *pins, uint32_t page)
{
    if (!sn_os_discard(head_of(pins, page), SN_PAGE_BYTES))
        return false;
    uint32_t bit = page - pins->first_page;
    sn_lock(&pins->lock);
    pins->page_bits[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
    pins->lowest_word = (uint32_t)sn_min(pins->lowest_word, bit / 64);
    sn_unlock(&pins->lock);
    note_released(pins);
    return true;
}

static void
open_page_locked(struct sn_pins *pins, struct sn_pin_stripe *stripe, uint32_t page)
{
    struct page_head *head = head_of(pins, page);
    head->prev = 0;
    head->next = stripe->open;
    if (stripe->open)
        head_of(pins, stripe->open)->prev = page;
    stripe->open = page;
}

static void
unlist_page_locked(struct sn_pins *pins, struct sn_pin_stripe *stripe, uint32_t page)
{
    const struct page_head *head = head_of(pins, page);
    if (head->next)
        head_of(pins, head->next)->prev = head->prev;
    if (head->prev)
        head_of(pins, head->prev)->next = head->next;
    else
        stripe->open = head->next;
}

/* Gives an open page back of which no line is used. */
static void
drop_page_locked(struct sn_pins *pins, struct sn_pin_stripe *stripe, uint32_t page)
{
    unlist_page_locked(pins, stripe, page);
    if (!give_page_back(pins, page))
        open_page_locked(pins, stripe, page);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* A line, or 0: no memory. What it holds is undefined. */
static uint32_t
take_line_locked(struct sn_pins *pins, struct sn_pin_stripe *stripe)
{
    if (!stripe->open) {
        uint32_t page = take_page(pins);
        if (!page)
            return 0;
        open_page_locked(pins, stripe, page);
    }
    uint32_t page = stripe->open;
    struct page_head *head = head_of(pins, page);
    uint32_t line = (page << LINES_SHIFT) + (head->free ? head->free : head->fresh);
    if (head->free)
        head->free = (uint16_t)line_at(pins, line)->below[0];
    else
        head->fresh++;
    if (++head->used == SN_PIN_PAGE_LINES)
        unlist_page_locked(pins, stripe, page);
    return line;
}

/* A page that is empty goes, but for the stripe's only open one: the next pin needs it. */
static void
put_line_locked(struct sn_pins *pins, struct sn_pin_stripe *stripe, uint32_t line)
{
    uint32_t page = line >> LINES_SHIFT;
    struct page_head *head = head_of(pins, page);
    line_at(pins, line)->below[0] = head->free;
    head->free = (uint16_t)(line - (page << LINES_SHIFT));
    if (head->used-- == SN_PIN_PAGE_LINES)
        open_page_locked(pins, stripe, page);
    if (head->next && head_of(pins, head->next)->used == 0) /* it was the only one */
        drop_page_locked(pins, stripe, head->next);
    if (head->used == 0 && (head->next || head->prev))
        drop_page_locked(pins, stripe, page);
}

/* Where the tree of a span names the line of a group, or would: what is there is 0 then. */
static uint32_t *
find_link_locked(const struct sn_pins *pins, struct sn_span *span, uint32_t group)
{
    uint32_t *link = &span->pins;
    for (uint32_t digits = group; *link != 0; digits >>= WAYS_BITS) {
        struct sn_pin_line *line = line_at(pins, *link);
        if (line->group == group)
            break;
        link = &line->below[digits % WAYS];
    }
    return link;
}

static struct sn_pin_line *
find_line_locked(const struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    struct sn_span *span = &pins->pool->spans[number];
    uint32_t line = *find_link_locked(pins, span, slot / SN_PIN_LINE_SLOTS);
    return line ? line_at(pins, line) : NULL;
}

/* The slot's word; NULL: it is not pinned. */
static uint64_t *
find_word_locked(const struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    struct sn_pin_line *line = find_line_locked(pins, number, slot);
    uint64_t *word = line ? &line->word[slot % SN_PIN_LINE_SLOTS] : NULL;
    return word && *word != 0 ? word : NULL;
}

/* ---- spans ----------------------------------------------------------------------------------- */

/* Relaxed: read by frees without a lock. A free that misses the first pin of a span is noticed
 * after its grace period (G5). */
static void
set_bin_class_locked(struct sn_pins *pins, uint32_t number)
{
    const struct sn_span *span = &pins->pool->spans[number];
    bool bins = span->bins && sn_load_relaxed(&span->pins) == 0;
    uint8_t class_id = bins ? span->class_id : SN_CLASS_NONE;
    for (uint32_t block = 0; block < span->blocks; block++)
        sn_store_relaxed(&pins->pool->bin_class[number + block], class_id);
}

/* The span has its first pin, or none any more. One without bins stays so, and its blocks are not
 * looked at: a large object's run changes under the pool's lock. */
static void
note_any_locked(struct sn_pins *pins, uint32_t number)
{
    if (pins->pool->spans[number].bins)
        set_bin_class_locked(pins, number);
}

static struct sn_pin_line *
add_line_locked(struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    struct sn_span *span = &pins->pool->spans[number];
    uint32_t group = slot / SN_PIN_LINE_SLOTS;
    uint32_t *link = find_link_locked(pins, span, group);
    uint32_t line = take_line_locked(pins, stripe_of(pins, number));
    if (!line)
        return NULL;
    *line_at(pins, line) = (struct sn_pin_line){.group = (uint16_t)group};
    /* Release: pairs with sn_pins_any, when it is the first. */
    sn_store_release(link, line);
    if (link == &span->pins)
        note_any_locked(pins, number);
    return line_at(pins, line);
}

static uint32_t *
some_way_down(struct sn_pin_line *line)
{
    for (unsigned way = 0; way < WAYS; way++) {
        if (line->below[way] != 0)
            return &line->below[way];
    }
    return NULL;
}

/* A line without words leaves its tree: one below it that has none below takes its place. */
static void
remove_line_locked(struct sn_pins *pins, uint32_t number, struct sn_pin_line *line)
{
    struct sn_span *span = &pins->pool->spans[number];
    uint32_t *link = find_link_locked(pins, span, line->group);
    struct sn_pin_line *last = line;
    for (uint32_t *down; (down = some_way_down(last)) != NULL; last = line_at(pins, *link))
        link = down;
    if (last != line) {
        line->group = last->group;
        line->used = last->used;
        memcpy(line->word, last->word, sizeof(line->word));
    }
    uint32_t gone = *link;
    /* Release: pairs with sn_pins_any, when it was the only one. */
    sn_store_release(link, 0);
    put_line_locked(pins, stripe_of(pins, number), gone);
    if (link == &span->pins)
        note_any_locked(pins, number);
}

struct sn_lock *
sn_pins_lock(struct sn_pins *pins, uint32_t number)
{
    struct sn_lock *lock = &stripe_of(pins, number)->lock;
    sn_lock(lock);
    return lock;
}

void
sn_pins_set_bins(struct sn_pins *pins, uint32_t number, bool bins)
{
    struct sn_lock *lock = sn_pins_lock(pins, number);
    pins->pool->spans[number].bins = bins;
    set_bin_class_locked(pins, number);
    sn_unlock(lock);
}

bool
sn_pins_set_aside(struct sn_pins *pins, uint32_t number)
{
    struct sn_span *span = &pins->pool->spans[number];
    struct sn_lock *lock = sn_pins_lock(pins, number);
    bool pinned = sn_load_relaxed(&span->pins) != 0;
    if (pinned)
        sn_store_relaxed(&span->flags, (uint16_t)(span->flags | SN_SPAN_ASIDE));
    sn_unlock(lock);
    return pinned;
}

/* ---- pins ------------------------------------------------------------------------------------ */

bool
sn_pins_raise(struct sn_pins *pins, uint32_t number, uint32_t slot, uint64_t flags,
              uint32_t *changes)
{
    struct sn_lock *lock = sn_pins_lock(pins, number);
    struct sn_pin_line *line = find_line_locked(pins, number, slot);
    if (!line)
        line = add_line_locked(pins, number, slot);
    if (line) {
        uint64_t *word = &line->word[slot % SN_PIN_LINE_SLOTS];
        line->used += *word == 0;
        *word = (*word | flags) + 1;
        *changes = (uint32_t)(*word >> SN_PIN_CHANGES_AT);
        sn_owner_add(&stripe_of(pins, number)->held, 1);
    }
    sn_unlock(lock);
    return line != NULL;
}

/* The count of a word has become 0. */
static unsigned
end_word_locked(struct sn_pins *pins, uint32_t number, struct sn_pin_line *line, uint64_t *word)
{
    const struct sn_span *span = &pins->pool->spans[number];
    unsigned result = SN_UNPIN_DONE | (*word & SN_PIN_FREED ? SN_UNPIN_RETIRE : 0);
    *word = 0;
    if (--line->used == 0)
        remove_line_locked(pins, number, line);
    if (sn_load_relaxed(&span->pins) == 0 && (sn_load_relaxed(&span->flags) & SN_SPAN_ASIDE))
        result |= SN_UNPIN_COME_BACK;
    return result;
}

unsigned
sn_pins_lower(struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    unsigned result = SN_UNPIN_NOTHING;
    struct sn_lock *lock = sn_pins_lock(pins, number);
    struct sn_pin_line *line = find_line_locked(pins, number, slot);
    uint64_t *word = line ? &line->word[slot % SN_PIN_LINE_SLOTS] : NULL;
    if (word && *word != 0) {
        result = SN_UNPIN_DONE;
        sn_owner_sub(&stripe_of(pins, number)->held, 1);
        if ((--*word & SN_PIN_COUNT) == 0)
            result = end_word_locked(pins, number, line, word);
    }
    sn_unlock(lock);
    return result;
}

bool
sn_pins_end_object(struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    const struct sn_span *span = &pins->pool->spans[number];
    if (sn_likely(!sn_pins_any(span)))
        return true;
    struct sn_lock *lock = sn_pins_lock(pins, number);
    uint64_t *word = find_word_locked(pins, number, slot);
    if (word)
        *word |= SN_PIN_FREED;
    sn_unlock(lock);
    return !word;
}

uint64_t
sn_pins_look_locked(struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    sn_assert_locked(&stripe_of(pins, number)->lock);
    const uint64_t *word = find_word_locked(pins, number, slot);
    return word ? *word : 0;
}

uint64_t
sn_pins_look(struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    if (sn_likely(!sn_pins_any(&pins->pool->spans[number])))
        return 0;
    struct sn_lock *lock = sn_pins_lock(pins, number);
    uint64_t word = sn_pins_look_locked(pins, number, slot);
    sn_unlock(lock);
    return word;
}

void
sn_pins_note_change(struct sn_pins *pins, uint32_t number, uint32_t slot)
{
    struct sn_lock *lock = sn_pins_lock(pins, number);
    uint64_t *word = find_word_locked(pins, number, slot);
    if (word)
        *word += UINT64_C(1) << SN_PIN_CHANGES_AT;
    sn_unlock(lock);
}

/* ---- all of them ----------------------------------------------------------------------------- */

uint64_t
sn_pins_held(const struct sn_pins *pins)
{
    uint64_t held = 0;
    for (unsigned i = 0; i < SN_PIN_STRIPES; i++)
        held += sn_load_relaxed(&pins->stripes[i].held);
    return held;
}

static bool
is_zero(const uint64_t *words, size_t bytes)
{
    size_t i = 0;
    while (i < bytes / sizeof(*words) && words[i] == 0)
        i++;
    return i == bytes / sizeof(*words);
}

/* Pages of page_bits that say nothing, from the last one on. */
static void
give_bit_pages_back_locked(struct sn_pins *pins)
{
    while (pins->bit_pages > 0) {
        uint64_t *last = pins->page_bits + (pins->bit_pages - 1) * (SN_PAGE_BYTES / 8);
        if (!is_zero(last, SN_PAGE_BYTES) || !sn_os_discard(last, SN_PAGE_BYTES))
            return;
        pins->bit_pages--;
        note_released(pins);
    }
}

void
sn_pins_purge(struct sn_pins *pins)
{
    for (unsigned i = 0; i < SN_PIN_STRIPES; i++) {
        struct sn_pin_stripe *stripe = &pins->stripes[i];
        sn_lock(&stripe->lock);
        uint32_t page = stripe->open;
        if (page && head_of(pins, page)->used == 0)
            drop_page_locked(pins, stripe, page);
        sn_unlock(&stripe->lock);
    }
    sn_lock(&pins->lock);
    give_bit_pages_back_locked(pins);
    sn_unlock(&pins->lock);
}

void
sn_pins_discard_unused(struct sn_pins *pins)
{
    sn_lock(&pins->lock); /* no page is taken meanwhile */
    char *lines = (char *)head_of(pins, pins->first_page);
    sn_os_discard_between(pins->base + ((size_t)pins->bit_pages << SN_PAGE_SHIFT), lines);
    sn_os_discard_between(lines + ((size_t)pins->high << SN_PAGE_SHIFT),
                          lines + ((size_t)pins->pages << SN_PAGE_SHIFT));
    sn_unlock(&pins->lock);
}

void
sn_pins_for_each_lock(struct sn_pins *pins, int (*operation)(pthread_mutex_t *))
{
    for (unsigned i = 0; i < SN_PIN_STRIPES; i++)
        operation(&pins->stripes[i].lock.mutex);
    operation(&pins->lock.mutex);
}

/* A bit for each page, in whole words and pages. */
static uint64_t
bits_bytes(uint64_t pages)
{
    return sn_round_up(pages / 8 + 8, SN_PAGE_BYTES);
}

size_t
sn_pins_bytes(uint64_t arena_bytes)
{
    /* A line for each 8 KiB, and four pages for each stripe at least. */
    uint64_t pages = (arena_bytes / 128 >> SN_PAGE_SHIFT) + UINT64_C(4) * SN_PIN_STRIPES;
    return (size_t)((pages << SN_PAGE_SHIFT) + bits_bytes(pages));
}

void
sn_pins_init(struct sn_pins *pins, struct sn_pool *pool, char *base, size_t bytes)
{
    pins->pool = pool;
    pins->base = base;
    uint64_t pages = bytes >> SN_PAGE_SHIFT;
    pins->page_bits = (uint64_t *)(void *)base;
    pins->first_page = (uint32_t)(bits_bytes(pages) >> SN_PAGE_SHIFT);
    pins->pages = (uint32_t)(pages - pins->first_page);
    sn_lock_init(&pins->lock, SN_RANK_PIN_PAGES);
    for (unsigned i = 0; i < SN_PIN_STRIPES; i++)
        sn_lock_init(&pins->stripes[i].lock, SN_RANK_PINS);
}
