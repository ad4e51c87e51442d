/* SPDX-License-Identifier: MIT */
/*
 * test_smaps.c - what the kernel writes of mappings and control groups is read: of files as it
 * writes them, and of this process.
 *
 * Seen failing: mappings outside the range, or behind it, added; SwapPss taken for Swap; groups
 * above one's own left out; a controller that only begins with "memory" taken for it; version 1's
 * number for no limit taken for one.
 */
#include "unit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/smaps.h"

static char dir[64];

static const char *
path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void
write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
make_dir(const char *name)
{
    assert_int_equal(mkdir(path_of(name), 0700), 0);
}

static int
make(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sinter-smaps-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
remove_all(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c): a name of our own */
}

/* ---- mappings -------------------------------------------------------------------------------- */

static void
test_mappings(void **state)
{
    (void)state;
    write_file("smaps", "10000-20000 rw-p 00000000 00:00 0 [anon:sinter: a arena]\n"
                        "AnonHugePages:      2048 kB\nSwap:                  4 kB\n"
                        "SwapPss:               9 kB\n"
                        "20000-30000 rw-p 00000000 00:00 0 \n"
                        "AnonHugePages:      4096 kB\nSwap:                  8 kB\n"
                        "ffff0000-ffffffff rw-p 00000000 00:00 0 \nAnonHugePages: 6144 kB\n");
    struct sn_smaps sum = sn_smaps_read(path_of("smaps"), 0x10000, 0x20000);
    assert_int_equal(sum.huge, 2048 << 10);
    assert_int_equal(sum.swapped, 4 << 10);
    sum = sn_smaps_read(path_of("smaps"), 0x1ffff, 0x20001);
    assert_int_equal(sum.huge, 6144 << 10);
    assert_int_equal(sum.swapped, 12 << 10);
    sum = sn_smaps_read(path_of("smaps"), 0x30000, 0x40000);
    assert_int_equal(sum.huge + sum.swapped, 0);
    sum = sn_smaps_read(path_of("none"), 0, UINT64_MAX);
    assert_int_equal(sum.huge + sum.swapped, 0);
}

/* ---- control groups -------------------------------------------------------------------------- */

static void
test_groups(void **state)
{
    (void)state;
    make_dir("a");
    make_dir("a/b");
    make_dir("memory");
    make_dir("memory/c");
    write_file("a/memory.max", "1000000\n");
    write_file("a/b/memory.max", "max\n");
    write_file("memory/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("memory/c/memory.limit_in_bytes", "500000\n");
    write_file("two", "0::/a/b\n");
    assert_int_equal(sn_group_limit(path_of("two"), dir), 1000000);
    write_file("one", "12:pids:/a\n7:cpu,memory:/c\n1:name=systemd:/a\n");
    assert_int_equal(sn_group_limit(path_of("one"), dir), 500000);
    write_file("both", "7:memory:/c\n0::/a/b\n");
    assert_int_equal(sn_group_limit(path_of("both"), dir), 500000);
    write_file("root", "7:memory:/\n0::/\n");
    assert_int_equal(sn_group_limit(path_of("root"), dir), 0);
    write_file("other", "7:memorypressure:/c\nno line of it\n");
    assert_int_equal(sn_group_limit(path_of("other"), dir), 0);
    assert_int_equal(sn_group_limit(path_of("none"), dir), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests_name("smaps", tests, make, remove_all);
}
