/* SPDX-License-Identifier: MIT */
/*
 * stamp.c - contents that say what they are. An object is a sequence word, name, version, length
 * and their checksum, then words that follow from name and version. Writing in place makes the
 * sequence odd meanwhile, so that a reader knows a torn look from a wrong one.
 *
 * What fails here when the library is broken: another object's bytes under this handle (reuse too
 * early, a wrong word) - name; a lost write or a stale copy - version below the published one, or
 * an age above 1; a copy that is too short or torn - body; a slot given back under a reader -
 * any.
 *
 * Seen failing:
 *   limbo is reclaimed without a grace period             "contents are wrong"
 *   deref_mut lets the move go on                         "older than what was published", "older
 *                                                         than one grace period"
 */
#include "torture.h"

struct stamp {
    uint64_t sequence; /* odd while it is being written */
    uint64_t name;
    uint64_t version;
    uint64_t length;
    uint64_t sum;
    uint64_t body[];
};
_Static_assert(sizeof(struct stamp) == STAMP_BYTES, "the body follows at once");

static uint64_t
mix(uint64_t value)
{
    value ^= value >> 33;
    value *= UINT64_C(0xff51afd7ed558ccd);
    value ^= value >> 33;
    value *= UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

static uint64_t
sum_of(uint64_t name, uint64_t version, uint64_t length)
{
    return mix(mix(mix(name) + version) + length);
}

static uint64_t
body_word(uint64_t name, uint64_t version, size_t i)
{
    return mix(name * 31 + version * 1000003 + i);
}

/* The bytes behind the last whole word. */
static unsigned char
tail_byte(uint64_t name)
{
    return (unsigned char)mix(name);
}

void
stamp_fill(void *object, uint64_t name, uint64_t version, size_t length)
{
    struct stamp *stamp = object;
    size_t words = (length - STAMP_BYTES) / 8;
    stamp->sequence = 0;
    stamp->name = name;
    stamp->version = version;
    stamp->length = length;
    stamp->sum = sum_of(name, version, length);
    for (size_t i = 0; i < words; i++)
        stamp->body[i] = body_word(name, version, i);
    memset(&stamp->body[words], tail_byte(name), length % 8);
}

/* Each store releases, so that whoever loads (with acquire) a word of the new version also sees the
 * odd sequence before it: the reader's second look at the sequence then differs from the first.
 * Without, a half-written object could pass as whole on a weakly ordered machine. */
void
stamp_rewrite(void *object, uint64_t name, uint64_t version, size_t length)
{
    struct stamp *stamp = object;
    size_t words = (length - STAMP_BYTES) / 8;
    uint64_t sequence = __atomic_load_n(&stamp->sequence, __ATOMIC_RELAXED);
    if (sequence & 1)
        stamp_finding("found half written by its only writer", object, name, version);
    __atomic_store_n(&stamp->sequence, sequence | 1, __ATOMIC_RELEASE);
    __atomic_store_n(&stamp->version, version, __ATOMIC_RELEASE);
    __atomic_store_n(&stamp->sum, sum_of(name, version, length), __ATOMIC_RELEASE);
    for (size_t i = 0; i < words; i++)
        __atomic_store_n(&stamp->body[i], body_word(name, version, i), __ATOMIC_RELEASE);
    __atomic_store_n(&stamp->sequence, (sequence | 1) + 1, __ATOMIC_RELEASE);
}

static uint64_t
look(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE); /* pairs with stamp_rewrite's stores */
}

/* All words of a small body, a stride through a large one, always the last. */
static bool
body_matches(const struct stamp *stamp, uint64_t name, uint64_t version, size_t length)
{
    size_t words = (length - STAMP_BYTES) / 8, stride = words > 128 ? words / 64 : 1;
    for (size_t i = 0; i < words; i += stride)
        if (look(&stamp->body[i]) != body_word(name, version, i))
            return false;
    if (words && look(&stamp->body[words - 1]) != body_word(name, version, words - 1))
        return false;
    const unsigned char *tail = (const unsigned char *)&stamp->body[words];
    for (size_t i = 0; i < length % 8; i++)
        if (tail[i] != tail_byte(name))
            return false;
    return true;
}

enum verdict
stamp_verify(const void *object, uint64_t name, uint64_t *version, size_t *length)
{
    const struct stamp *stamp = object;
    uint64_t before = look(&stamp->sequence);
    if (before & 1)
        return STAMP_TORN;
    *version = look(&stamp->version);
    *length = look(&stamp->length);
    /* the sum goes first: a wrong length must not be walked along */
    bool good = look(&stamp->name) == name &&
                look(&stamp->sum) == sum_of(name, *version, *length) && *length >= STAMP_BYTES &&
                body_matches(stamp, name, *version, *length);
    if (look(&stamp->sequence) != before)
        return STAMP_TORN;
    return good ? STAMP_GOOD : STAMP_BAD;
}

bool
stamp_is(const void *object, uint64_t name, uint64_t version, size_t length)
{
    uint64_t seen = 0;
    size_t stamped = 0;
    return stamp_verify(object, name, &seen, &stamped) == STAMP_GOOD && seen == version &&
           stamped == length;
}

void
stamp_finding(const char *what, const void *object, uint64_t name, uint64_t expected)
{
    const struct stamp *stamp = object;
    finding("object %llx at %p: %s; expected version %llu; sequence %llx name %llx version %llu "
            "length %llu sum %s",
            (unsigned long long)name, object, what, (unsigned long long)expected,
            (unsigned long long)look(&stamp->sequence), (unsigned long long)look(&stamp->name),
            (unsigned long long)look(&stamp->version), (unsigned long long)look(&stamp->length),
            look(&stamp->sum) ==
                    sum_of(look(&stamp->name), look(&stamp->version), look(&stamp->length))
                ? "right"
                : "wrong");
}

/* ---- versions and ages ----------------------------------------------------------------------- */

/* Generation of the end first, then the state: whoever sees the new state finds the entry. The
 * generation is read after the new version was published, so an age is never too large by this. */
void
key_advance(struct key *key, bool present)
{
    uint64_t version = key_version(key);
    uint64_t entry = version << 24 | (generation() & 0xffffff);
    __atomic_store_n(&key->superseded[version % RING], entry, __ATOMIC_RELEASE);
    __atomic_store_n(&key->state, (version + 1) << 1 | present, __ATOMIC_RELEASE);
}

void
key_leave(struct key *key)
{
    __atomic_store_n(&key->state, key_version(key) << 1, __ATOMIC_RELEASE);
}

/*
 * How many generations ago the version seen was replaced. The clock adds one after each grace
 * period; a reader's section can see at most one addition, of a grace period that was under way
 * when it began. So an object that is still seen two generations after its end was resolved by a
 * section that began after its end: the reader was given something older than one grace period.
 */
static void
note_age(struct worker *worker, struct key *key, uint64_t name, uint64_t version,
         const void *object)
{
    uint64_t now = generation();
    if (version >= key_version(key)) {
        worker->counters.ages[0]++;
        return;
    }
    uint64_t entry = __atomic_load_n(&key->superseded[version % RING], __ATOMIC_ACQUIRE);
    if (entry >> 24 != version) { /* more than RING versions ago, all in this section */
        worker->counters.ages_unknown++;
        return;
    }
    uint64_t age = (now - entry) & 0xffffff;
    if (age > 0x7fffff) /* replaced since `now` was read */
        age = 0;
    worker->counters.ages[age < AGES ? age : AGES - 1]++;
    if (age > 1)
        stamp_finding("older than one grace period", object, name, key_version(key));
}

void
key_verify(struct worker *worker, struct key *key, uint64_t name, uint64_t state,
           const void *object)
{
    uint64_t version = 0;
    size_t length = 0;
    worker->counters.derefs++;
    switch (stamp_verify(object, name, &version, &length)) {
    case STAMP_TORN:
        worker->counters.torn++;
        return;
    case STAMP_BAD:
        stamp_finding("contents are wrong", object, name, state >> 1);
        return;
    case STAMP_GOOD:
        break;
    }
    if (version < state >> 1)
        stamp_finding("older than what was published before the section", object, name, state >> 1);
    note_age(worker, key, name, version, object);
}
