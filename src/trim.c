/* SPDX-License-Identifier: MIT */
/* trim.c - pages under the free slots of a span in use go back to the kernel. See heap.h. */
#include "heap.h"

static bool
slot_is_free(const uint64_t *bits, uint32_t slot)
{
    return (bits[slot / 64] >> (slot % 64) & 1) == 0;
}

/* Pages that lie wholly under slots [begin, end) of a span. */
static size_t
trim_slots(struct sn_heap *heap, uint32_t number, uint32_t begin, uint32_t end)
{
    const struct sn_class *c = sn_heap_class_of_span(heap, &heap->pool->spans[number]);
    uint64_t from = c->lead + (uint64_t)begin * c->slot_bytes;
    uint64_t to = c->lead + (uint64_t)end * c->slot_bytes;
    if (end == c->slots)
        to = (uint64_t)c->pages << SN_PAGE_SHIFT; /* nothing lives in the tail */
    uint64_t first_page = (from + SN_PAGE_BYTES - 1) >> SN_PAGE_SHIFT;
    uint64_t end_page = to >> SN_PAGE_SHIFT;
    if (first_page >= end_page)
        return 0;
    /* The slot that the first page begins in keeps its header: let that say nothing of the rest. */
    uint32_t cut = (uint32_t)(((first_page << SN_PAGE_SHIFT) - c->lead) / c->slot_bytes);
    if (cut < c->slots)
        sn_store_release((uint64_t *)(void *)(heap->pool->arena + sn_slot_offset(c, number, cut) -
                                              SN_HEADER_BYTES),
                         0);
    return sn_pool_trim(heap->pool, number, (uint32_t)first_page, (uint32_t)end_page);
}

size_t
sn_heap_trim(struct sn_heap *heap, uint32_t number)
{
    uint64_t bits[SN_BITMAP_WORDS] = {0};
    size_t bytes = 0;
    if (!sn_heap_hold(heap, number,
                      SN_PAGE_BYTES)) /* held: no refill takes what is being given back */
        return 0;
    const struct sn_class *c = sn_heap_class_of_span(heap, &heap->pool->spans[number]);
    sn_heap_copy_bits(heap, number, bits);
    for (uint32_t slot = 0; slot < c->slots;) {
        uint32_t begin = slot;
        while (slot < c->slots && slot_is_free(bits, slot))
            slot++;
        if (slot > begin)
            bytes += trim_slots(heap, number, begin, slot);
        else
            slot++;
    }
    sn_heap_reopen(heap, number, bytes > 0 ? SN_SPAN_TRIMMED : 0, 0);
    return bytes;
}
