/* SPDX-License-Identifier: MIT */
/* answer.c - see answer.h. */
#include "memory/answer.h"

#include "base/base.h"
#include "base/config.h"

static uint64_t
emptied_spans(const struct sn_class_use *c, uint64_t slots)
{
    uint64_t emptied = sn_min(c->detached, slots);
    uint64_t left = slots - emptied;
    for (uint64_t eighths = 0; eighths <= SN_FULL; eighths++) {
        uint64_t least = (eighths * c->slots + SN_FULL - 1) / SN_FULL;
        least = sn_max(least, 1);
        uint64_t spans = sn_min(c->spans_in[eighths], left / least);
        emptied += spans;
        left -= spans * least;
    }
    return emptied;
}

uint64_t
sn_answer_loose(const struct sn_class_use *c)
{
    uint64_t tails = c->spans * (c->span_bytes - (uint64_t)c->slots * c->slot_bytes);
    uint64_t used = c->used * c->slot_bytes + tails;
    return c->committed > used ? c->committed - used : 0;
}

uint64_t
sn_answer_emptied(const struct sn_class_use *c, uint64_t slots)
{
    if (slots == 0)
        return 0;
    uint64_t spans = emptied_spans(c, slots) * c->span_bytes;
    uint64_t touched = slots * (c->slot_bytes / SN_PAGE_BYTES + 2) * SN_PAGE_BYTES;
    uint64_t pages = sn_min(touched, sn_answer_loose(c) + slots * c->slot_bytes);
    return sn_min(sn_max(spans, pages), c->committed);
}

bool
sn_answer_is_in_vain(uint64_t lacks_bytes, const struct sn_waited *waited)
{
    bool nearer = lacks_bytes < waited->lacked_bytes || waited->hopeful;
    return waited->lacked_bytes > 0 && (!nearer || waited->times >= SN_ANSWER_WAITS_MAX);
}

enum sn_answer
sn_answer(uint64_t lacks_bytes, const struct sn_waited *waited, const struct sn_coming *coming)
{
    uint64_t most = sn_max(coming->emptied_bytes, coming->gained_bytes);
    bool enough = most > 0 && most >= lacks_bytes && coming->all_bytes >= lacks_bytes;
    bool comes = coming->own_slots > 0 || enough;
    return comes && !sn_answer_is_in_vain(lacks_bytes, waited) ? SN_ANSWER_EAGAIN
                                                               : SN_ANSWER_ENOMEM;
}
