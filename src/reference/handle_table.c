/* SPDX-License-Identifier: MIT */
/* handle_table.c - see handle_table.h. */
#include "reference/handle_table.h"

#include "os/osmem.h"

#define FULL_LIST 8 /* no list: nothing free */

static uint64_t
page_at(uint32_t page)
{
    return (uint64_t)page << SN_PAGE_SHIFT;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static unsigned
list_of(const struct sn_table_page *page)
{
    return page->free_head == 0 ? FULL_LIST : page->used * 8u >> (SN_PAGE_SHIFT - 3);
}

static void
push_locked(struct sn_table *table, uint32_t *head, uint32_t number)
{
    struct sn_table_page *page = sn_table_page(table, number);
    page->prev = 0;
    page->next = *head;
    if (*head)
        sn_table_page(table, *head - 1)->prev = number + 1;
    *head = number + 1;
}

static void
remove_locked(struct sn_table *table, uint32_t *head, uint32_t number)
{
    struct sn_table_page *page = sn_table_page(table, number);
    if (page->next)
        sn_table_page(table, page->next - 1)->prev = page->prev;
    if (page->prev)
        sn_table_page(table, page->prev - 1)->next = page->next;
    else
        *head = page->next;
}

static void
enlist_locked(struct sn_table *table, uint32_t number)
{
    struct sn_table_page *page = sn_table_page(table, number);
    page->list = list_of(page) & 15;
    if (page->list < FULL_LIST)
        push_locked(table, &table->by_use[page->list], number);
}

static void
delist_locked(struct sn_table *table, uint32_t number)
{
    struct sn_table_page *page = sn_table_page(table, number);
    if (page->list < FULL_LIST)
        remove_locked(table, &table->by_use[page->list], number);
}

/* ---- taking entries -------------------------------------------------------------------------- */

/* Makes all entries of a FRESH page free, linked in rising order. */
static void
format_locked(struct sn_table *table, uint32_t number)
{
    struct sn_table_page *page = sn_table_page(table, number);
    uint64_t tag = sn_word_of_generation((uint64_t)table->first_generation + page->floor);
    uint32_t first = number == 0 ? 1 : 0; /* entry 0 stays zero for ever: HANDLE_NULL is its name */
    uint64_t *words = sn_table_word(table, page_at(number));
    for (uint32_t place = first; place < SN_TABLE_PAGE_ENTRIES; place++) {
        uint64_t link = place + 1 < SN_TABLE_PAGE_ENTRIES ? place + 2 : 0;
        sn_store_relaxed(&words[place], tag | link << SN_WORD_BITS);
    }
    page->free_head = (first + 1) & SN_TABLE_PLACE_MASK;
    page->used = first & SN_TABLE_PLACE_MASK;
    page->state = SN_PAGE_IN_USE;
}

/* A page of the table, and one of descriptors with it or not. */
static bool
charge_page(struct sn_table *table, bool descriptors)
{
    uint64_t metadata = descriptors ? SN_PAGE_BYTES : 0;
    if (!sn_budget_charge(table->budget, SN_PAGE_BYTES + metadata, SN_CHARGE_APPLICATION))
        return false;
    sn_owner_add(&table->committed_bytes, SN_PAGE_BYTES);
    sn_owner_add(&table->metadata_bytes, metadata);
    return true;
}

/* As in the pool: in such steps the table is extended, and comes to be in cores. */
static uint64_t
step_bytes(uint64_t bytes)
{
    const uint64_t least = SN_ARENA_STEP_BYTES / 2;
    return sn_max(least, bytes / 8 / least * least);
}

/* Shows the table below `end` in cores, and its descriptors. */
static void
show_locked(struct sn_table *table, uint64_t end)
{
    if (end <= table->shown || table->hidden)
        return;
    uint64_t from = table->shown;
    uint64_t to = sn_min(sn_max(end, from + step_bytes(from)), table->bytes);
    size_t groups = sn_table_groups_bytes(to);
    sn_os_show_in_core((char *)table->words + from, (size_t)(to - from), true);
    sn_os_show_in_core(table->groups_end - groups, groups, true);
    table->shown = to;
}

static void
show_end(struct sn_table *table, uint64_t bytes)
{
    sn_store_relaxed(&table->bytes, bytes);
    if (table->end)
        sn_store_relaxed(table->end, bytes / 8);
}

/*
 * All pages are in use: the table is extended, right above its end. Readers look at the end before
 * they look at an entry, by a plain load that nothing orders after the load of the handle. So the
 * barrier comes between the new end and the first handle beyond it: who has that handle sees the
 * end. (Without membarrier only machines that do not reorder loads are sure of it.)
 */
static bool
grow_locked(struct sn_table *table)
{
    uint64_t bytes = table->bytes;
    char *end = (char *)table->words + bytes;
    size_t step = sn_min(table->grow_step, step_bytes(bytes));
    size_t more = sn_os_extend(end, SN_PAGE_BYTES, (size_t)(table->bytes_max - bytes), &step);
    table->grow_step = step;
    if (more == 0) {
        sn_owner_add(&table->small, 1);
        return false;
    }
    sn_os_hugepages(end, more, table->hugepages);
    sn_os_show_in_core(end, more, false);
    if (table->label)
        sn_os_name(end, more, table->label);
    show_end(table, bytes + more);
    (void)sn_os_membarrier();
    return true;
}

void
sn_table_set_hugepages(struct sn_table *table, bool want)
{
    sn_lock(&table->lock);
    table->hugepages = want;
    sn_os_hugepages(table->words, (size_t)table->bytes, want);
    sn_unlock(&table->lock);
}

static bool
extend_locked(struct sn_table *table)
{
    uint32_t number = table->high;
    bool descriptors = number % (SN_PAGE_BYTES / sizeof(struct sn_table_page)) == 0;
    if ((number == table->bytes >> SN_PAGE_SHIFT && !grow_locked(table)) ||
        !charge_page(table, descriptors))
        return false;
    sn_store_relaxed(&table->high, number + 1);
    show_locked(table, page_at(number + 1));
    format_locked(table, number);
    enlist_locked(table, number);
    return true;
}

/* An EMPTY page serves again, before it is released. */
static void
reuse_empty_locked(struct sn_table *table, uint32_t number)
{
    remove_locked(table, &table->empty, number);
    sn_owner_sub(&table->empty_pages, 1);
    sn_table_page(table, number)->state = SN_PAGE_IN_USE;
    enlist_locked(table, number);
}

/* Makes some page with a free entry available in the lists. */
static bool
provide_locked(struct sn_table *table)
{
    if (table->empty) {
        reuse_empty_locked(table, table->empty - 1);
        return true;
    }
    if (table->fresh) {
        uint32_t number = table->fresh - 1;
        if (!charge_page(table, false))
            return false;
        remove_locked(table, &table->fresh, number);
        format_locked(table, number);
        enlist_locked(table, number);
        return true;
    }
    return extend_locked(table);
}

static uint32_t
take_from_page_locked(struct sn_table *table, uint32_t number, uint64_t *entries, uint32_t want)
{
    struct sn_table_page *page = sn_table_page(table, number);
    uint32_t taken = 0;
    while (taken < want && page->free_head != 0) {
        uint64_t entry = page_at(number) + (uint64_t)(page->free_head - 1) * 8;
        uint64_t word = sn_load_relaxed(sn_table_word(table, entry));
        page->free_head = word >> SN_WORD_BITS & SN_TABLE_PLACE_MASK;
        page->used = (page->used + 1) & SN_TABLE_PLACE_MASK;
        sn_store_relaxed(sn_table_word(table, entry), word & SN_WORD_TAG);
        entries[taken++] = entry;
    }
    return taken;
}

uint32_t
sn_table_take(struct sn_table *table, uint64_t *entries, uint32_t want)
{
    uint32_t taken = 0;
    sn_lock(&table->lock);
    while (taken < want) {
        unsigned list = 8;
        while (list > 0 && !table->by_use[list - 1])
            list--;
        if (list == 0) {
            if (taken > 0 || !provide_locked(table))
                break;
            continue;
        }
        uint32_t number = table->by_use[list - 1] - 1;
        taken += take_from_page_locked(table, number, entries + taken, want - taken);
        delist_locked(table, number);
        enlist_locked(table, number);
    }
    sn_owner_add(&table->used_entries, taken);
    sn_unlock(&table->lock);
    return taken;
}

/* ---- giving entries back --------------------------------------------------------------------- */

static void
put_one_locked(struct sn_table *table, uint64_t entry)
{
    uint32_t number = (uint32_t)(entry >> SN_PAGE_SHIFT);
    struct sn_table_page *page = sn_table_page(table, number);
    uint64_t *word = sn_table_word(table, entry);
    uint64_t free_word = sn_load_relaxed(word) & SN_WORD_TAG;
    delist_locked(table, number);
    sn_store_relaxed(word, free_word | (uint64_t)page->free_head << SN_WORD_BITS);
    page->free_head = ((entry & (SN_PAGE_BYTES - 1)) / 8 + 1) & SN_TABLE_PLACE_MASK;
    page->used = (page->used - 1u) & SN_TABLE_PLACE_MASK;
    if (page->used == 0) {
        page->state = SN_PAGE_EMPTY;
        push_locked(table, &table->empty, number);
        sn_owner_add(&table->empty_pages, 1);
    } else {
        enlist_locked(table, number);
    }
}

void
sn_table_put(struct sn_table *table, const uint64_t *entries, uint32_t count)
{
    sn_lock(&table->lock);
    for (uint32_t i = 0; i < count; i++)
        put_one_locked(table, entries[i]);
    sn_owner_sub(&table->used_entries, count);
    sn_unlock(&table->lock);
}

void
sn_table_note_dead(struct sn_table *table)
{
    sn_add_relaxed(&table->dead_entries, 1);
}

/* ---- release --------------------------------------------------------------------------------- */

/* How far the entries of a page have come since it was formatted. */
struct wear {
    uint64_t sum; /* generations used, that is frees */
    uint64_t highest;
};

static struct wear
wear_of_locked(const struct sn_table *table, uint32_t number)
{
    const uint64_t *words = sn_table_word(table, page_at(number));
    uint64_t begin = table->first_generation + sn_table_page(table, number)->floor;
    struct wear wear = {0, 0};
    for (uint32_t place = 0; place < SN_TABLE_PAGE_ENTRIES; place++) {
        uint64_t used = (sn_word_generation(sn_load_relaxed(&words[place])) - begin) & SN_TAG_MASK;
        wear.sum += used;
        wear.highest = sn_max(wear.highest, used);
    }
    return wear;
}

/* What a release takes from the page's account; 0: its entries were used evenly, the farthest not
 * more than twice as often as the mean. */
static uint32_t
price_of(const struct wear *wear)
{
    uint64_t mean = wear->sum >> SN_TABLE_PAGE_ENTRIES_SHIFT;
    if (wear->highest * SN_TABLE_PAGE_ENTRIES <= wear->sum * 2)
        return 0;
    return (uint32_t)((wear->highest - mean + SN_TABLE_WEAR_UNIT - 1) / SN_TABLE_WEAR_UNIT);
}

/* Releases the first EMPTY page. False: the kernel refused. */
static bool
release_locked(struct sn_table *table, uint32_t number, uint64_t highest, uint32_t price)
{
    struct sn_table_page *page = sn_table_page(table, number);
    /* Under the lock: nobody may take an entry of a page that is just becoming zero. */
    if (!sn_os_discard(sn_table_word(table, page_at(number)), SN_PAGE_BYTES))
        return false;
    remove_locked(table, &table->empty, number);
    page->floor = (page->floor + highest) & SN_TAG_MASK;
    page->given_up = (page->given_up + price) & SN_TABLE_GIVEN_UP_MAX;
    page->state = SN_PAGE_FRESH;
    page->free_head = 0;
    push_locked(table, &table->fresh, number);
    sn_owner_sub(&table->empty_pages, 1);
    sn_owner_sub(&table->committed_bytes, SN_PAGE_BYTES);
    sn_owner_add(&table->released_bytes, SN_PAGE_BYTES);
    /* At once: who compares the two accounts finds them in step. */
    sn_budget_refund(table->budget, SN_PAGE_BYTES);
    return true;
}

/* Releases one EMPTY page, or decides to keep it. False: there is none, or the kernel refused. */
static bool
look_at_empty_locked(struct sn_table *table)
{
    if (!table->empty)
        return false;
    uint32_t number = table->empty - 1;
    struct wear wear = wear_of_locked(table, number);
    uint32_t price = price_of(&wear);
    if (sn_table_page(table, number)->given_up + price <= SN_TABLE_GIVEN_UP_MAX)
        return release_locked(table, number, wear.highest, price);
    reuse_empty_locked(table, number);
    return true;
}

size_t
sn_table_purge(struct sn_table *table, uint32_t max_pages)
{
    size_t released = 0;
    bool more = true;
    for (uint32_t pages = 0; more && pages < max_pages; pages++) {
        sn_lock(&table->lock); /* page by page: allocations come between */
        uint64_t before = table->released_bytes;
        more = look_at_empty_locked(table);
        released += table->released_bytes - before;
        sn_unlock(&table->lock);
    }
    return released;
}

static void
discard_descriptors_locked(struct sn_table *table)
{
    uint32_t pages = (uint32_t)(table->bytes_max >> SN_PAGE_SHIFT);
    for (uint32_t first = 0; first < pages; first += SN_GROUP_TABLE_PAGES) {
        struct sn_table_page *group = sn_table_page(table, first);
        uint32_t used = table->high > first ? table->high - first : 0;
        sn_os_discard_between(group + sn_min(used, SN_GROUP_TABLE_PAGES),
                              group + SN_GROUP_TABLE_PAGES);
    }
}

bool
sn_table_discard_unused(struct sn_table *table)
{
    sn_lock(&table->lock); /* no page is used for the first time meanwhile */
    char *words = (char *)table->words, *end = words + table->bytes;
    bool filled = page_at(table->high) < table->bytes && sn_os_is_resident(end - SN_PAGE_BYTES);
    if (filled) {
        sn_os_discard_between(words + page_at(table->high), end);
        discard_descriptors_locked(table);
    }
    sn_unlock(&table->lock);
    return filled;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

_Static_assert(SN_GROUP_TABLE_PAGES * sizeof(struct sn_table_page) ==
                   SN_GROUP_BYTES - SN_GROUP_TABLE_AT,
               "descriptors fill the rest of a group");

size_t
sn_table_groups_bytes(uint64_t table_bytes)
{
    uint64_t pages = sn_round_up(table_bytes >> SN_PAGE_SHIFT, SN_GROUP_TABLE_PAGES);
    return pages / SN_GROUP_TABLE_PAGES * SN_GROUP_BYTES;
}

void
sn_table_init(struct sn_table *table, char *words, uint64_t bytes, char *groups_end,
              uint64_t random, struct sn_budget *budget)
{
    table->words = (uint64_t *)(void *)words;
    table->bytes = table->bytes_max = bytes;
    table->grow_step = (size_t)bytes;
    table->groups_end = groups_end;
    table->first_generation = (uint32_t)(random & SN_TAG_MASK);
    table->last_generation = (uint32_t)((random - 2) & SN_TAG_MASK);
    table->used_up = sn_table_free_word(sn_word_of_generation(table->last_generation));
    table->budget = budget;
    sn_lock_init(&table->lock, SN_RANK_TABLE);
}

void
sn_table_let_grow(struct sn_table *table, uint64_t bytes_max, uint64_t *end)
{
    table->bytes_max = bytes_max;
    table->end = end;
    show_end(table, table->bytes);
}
