/* SPDX-License-Identifier: MIT */
/* process.c - see process.h. */
#include "tools/process.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_MAX 65536u
#define MODULES_MAX 65536u

/* Room for one more. */
static void *
grown(void *array, size_t count, size_t bytes)
{
    if ((count & (count + 1)) != 0) /* it is not full: that is at 0, 1, 3, 7, ... */
        return array;
    return realloc(array, 2 * (count + 1) * bytes);
}

static struct process_thread *
add_thread(struct process *process, int lwp)
{
    struct process_thread *more = process->threads < THREADS_MAX
                                      ? grown(process->thread, process->threads, sizeof(*more))
                                      : NULL;
    if (!more)
        return NULL;
    process->thread = more;
    more += process->threads++;
    *more = (struct process_thread){.lwp = lwp};
    return more;
}

static void
add_module(struct process *process, const struct process_module *module, const char *path)
{
    struct process_module *more = process->modules < MODULES_MAX
                                      ? grown(process->module, process->modules, sizeof(*more))
                                      : NULL;
    if (!more)
        return;
    process->module = more;
    more[process->modules] = *module;
    more[process->modules].path = strdup(path);
    process->modules += more[process->modules].path != NULL;
}

/* ---- a core's notes -------------------------------------------------------------------------- */

#define PRSTATUS_PID  32u
#define PRSTATUS_REGS 112u

/* Which register of a note is which. tls: pthread_self(); -1: in none. */
struct machine {
    unsigned machine, registers, pc, sp;
    int tls;
};
static const struct machine machines[] = {
    {EM_X86_64, 27, 16, 19, 21},
    {EM_AARCH64, 34, 32, 31, -1},
};
#define MACHINES (sizeof(machines) / sizeof(machines[0]))

static void
read_status(struct process *process, const char *note, size_t bytes)
{
    const struct machine *m = machines;
    while (m < machines + MACHINES - 1 && m->machine != process->target->machine)
        m++;
    int32_t lwp;
    if (bytes < PRSTATUS_REGS + m->registers * sizeof(uint64_t))
        return;
    memcpy(&lwp, note + PRSTATUS_PID, sizeof(lwp));
    struct process_thread *thread = add_thread(process, lwp);
    if (!thread)
        return;
    memcpy(thread->reg, note + PRSTATUS_REGS, m->registers * sizeof(uint64_t));
    thread->registers = m->registers;
    thread->stopped = true;
    thread->pc = thread->reg[m->pc];
    thread->sp = thread->reg[m->sp];
    thread->tls = m->tls >= 0 ? thread->reg[m->tls] : 0;
}

/* Which files are mapped: count, page size, count times begin, end, offset; then their names. */
static void
read_files(struct process *process, const char *note, size_t bytes)
{
    uint64_t head[2] = {0}, three[3];
    if (bytes >= sizeof(head))
        memcpy(head, note, sizeof(head));
    if (head[0] > MODULES_MAX || head[0] * sizeof(three) > bytes - sizeof(head))
        return;
    const char *name = note + sizeof(head) + head[0] * sizeof(three);
    for (uint64_t i = 0; i < head[0]; i++) {
        size_t left = (size_t)(note + bytes - name), length = strnlen(name, left);
        if (length == left)
            return;
        memcpy(three, note + sizeof(head) + i * sizeof(three), sizeof(three));
        struct process_module module = {three[0], three[1], three[2] * head[1], NULL, NULL,
                                        0,        false};
        add_module(process, &module, name);
        name += length + 1;
    }
}

static void
read_notes(struct process *process, const char *notes, uint64_t bytes)
{
    uint64_t at = 0;
    Elf64_Nhdr note;
    while (bytes - at >= sizeof(note)) {
        memcpy(&note, notes + at, sizeof(note));
        uint64_t name = (note.n_namesz + UINT64_C(3)) & ~UINT64_C(3);
        uint64_t length = (note.n_descsz + UINT64_C(3)) & ~UINT64_C(3);
        at += sizeof(note);
        if (name > bytes - at || length > bytes - at - name)
            return;
        const char *text = notes + at + name;
        if (note.n_type == NT_PRSTATUS)
            read_status(process, text, note.n_descsz);
        else if (note.n_type == NT_FILE)
            read_files(process, text, note.n_descsz);
        at += name + length;
    }
}

static void
read_core(struct process *process)
{
    const struct target *target = process->target;
    Elf64_Ehdr elf;
    Elf64_Phdr part;
    memcpy(&elf, target->file, sizeof(elf));
    for (unsigned i = 0; i < elf.e_phnum && elf.e_phnum != PN_XNUM; i++) {
        memcpy(&part, target->file + elf.e_phoff + i * sizeof(part), sizeof(part));
        if (part.p_type == PT_NOTE && part.p_offset <= target->file_bytes &&
            part.p_filesz <= target->file_bytes - part.p_offset)
            read_notes(process, target->file + part.p_offset, part.p_filesz);
    }
}

/* ---- a process ------------------------------------------------------------------------------- */

static void
read_line(char *to, size_t bytes, const char *format, int pid, int lwp)
{
    char path[96];
    snprintf(path, sizeof(path), format, pid, lwp);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(to, (int)bytes, file))
        to[0] = 0;
    to[strcspn(to, "\n")] = 0;
    if (file)
        fclose(file);
}

/* Where a thread stands says the kernel while it waits: "number 6 arguments sp pc". */
static void
read_thread(struct process *process, int lwp)
{
    struct process_thread *thread = add_thread(process, lwp);
    char line[512];
    if (!thread)
        return;
    read_line(thread->name, sizeof(thread->name), "/proc/%d/task/%d/comm", process->target->pid,
              lwp);
    read_line(line, sizeof(line), "/proc/%d/task/%d/syscall", process->target->pid, lwp);
    char *pc = strrchr(line, ' ');
    if (!pc)
        return;
    *pc = 0;
    char *sp = strrchr(line, ' ');
    thread->stopped = sp != NULL;
    thread->pc = strtoull(pc + 1, NULL, 16);
    thread->sp = sp ? strtoull(sp + 1, NULL, 16) : 0;
}

static void
read_threads(struct process *process)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", process->target->pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks));)
        if (task->d_name[0] != '.')
            read_thread(process, atoi(task->d_name));
    if (tasks)
        closedir(tasks);
}

static void
read_maps(struct process *process)
{
    char path[64], line[8192];
    snprintf(path, sizeof(path), "/proc/%d/maps", process->target->pid);
    FILE *maps = fopen(path, "r");
    while (maps && fgets(line, sizeof(line), maps)) {
        struct process_module module = {0};
        int name = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &module.begin,
                   &module.end, &module.offset, &name) == 3 &&
            line[name] == '/')
            add_module(process, &module, line + name);
    }
    if (maps)
        fclose(maps);
}

/* ---- both ------------------------------------------------------------------------------------ */

static int
by_address(const void *a, const void *b)
{
    const struct process_module *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

bool
process_read(const struct target *target, struct process *process)
{
    *process = (struct process){.target = target};
    if (target->file) {
        read_core(process);
    } else {
        read_threads(process);
        read_maps(process);
    }
    if (process->modules > 0)
        qsort(process->module, process->modules, sizeof(process->module[0]), by_address);
    return process->thread != NULL;
}

void
process_close(struct process *process)
{
    for (size_t i = 0; i < process->modules; i++) {
        if (process->module[i].file)
            munmap((void *)(uintptr_t)process->module[i].file, process->module[i].file_bytes);
        free(process->module[i].path);
    }
    free(process->module);
    free(process->thread);
    *process = (struct process){0};
}

struct process_module *
process_module_at(const struct process *process, uint64_t address)
{
    for (size_t i = 0; i < process->modules; i++)
        if (address - process->module[i].begin < process->module[i].end - process->module[i].begin)
            return &process->module[i];
    return NULL;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void
map_file(struct process_module *module)
{
    struct stat status;
    int fd = open(module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    module->tried = true;
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        module->file_bytes = (uint64_t)status.st_size;
        void *mapped = mmap(NULL, module->file_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        module->file = mapped == MAP_FAILED ? NULL : mapped;
    }
    close(fd);
}

/* A part of the file, or NULL. */
static const char *
part_of(const struct process_module *module, uint64_t at, uint64_t bytes)
{
    bool there = module->file && at <= module->file_bytes && bytes <= module->file_bytes - at;
    return there ? module->file + at : NULL;
}

static bool
read_head(const struct process_module *module, Elf64_Ehdr *elf)
{
    const char *head = part_of(module, 0, sizeof(*elf));
    if (!head)
        return false;
    memcpy(elf, head, sizeof(*elf));
    return memcmp(elf->e_ident, ELFMAG, SELFMAG) == 0 && elf->e_ident[EI_CLASS] == ELFCLASS64;
}

/* How much higher a file's addresses are in memory: where its first part is mapped. */
static bool
find_bias(const struct process *process, const struct process_module *module, const Elf64_Ehdr *elf,
          uint64_t *bias)
{
    const struct process_module *first = module;
    for (size_t i = 0; i < process->modules && first->offset != 0; i++)
        if (process->module[i].offset == 0 && strcmp(process->module[i].path, module->path) == 0)
            first = &process->module[i];
    for (unsigned i = 0; i < elf->e_phnum && first->offset == 0; i++) {
        Elf64_Phdr part;
        const char *at = part_of(module, elf->e_phoff + i * sizeof(part), sizeof(part));
        if (!at)
            return false;
        memcpy(&part, at, sizeof(part));
        if (part.p_type != PT_LOAD || part.p_offset != 0)
            continue;
        *bias = first->begin - part.p_vaddr;
        return true;
    }
    return false;
}

/* A symbol that is looked for, by an address that it covers, or by its name. */
struct wanted {
    uint64_t address;  /* in the file */
    const char *name;  /* or NULL */
    uint64_t value;    /* the symbol's */
    const char *found; /* its name */
};

static bool
is_wanted(const struct wanted *wanted, const Elf64_Sym *symbol, const char *name)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if ((type != STT_FUNC && type != STT_OBJECT) || symbol->st_shndx == SHN_UNDEF)
        return false;
    return wanted->name ? strcmp(wanted->name, name) == 0
                        : wanted->address - symbol->st_value < symbol->st_size;
}

/* Looks through one table of symbols. */
static void
find_symbol(const struct process_module *module, const Elf64_Shdr *table, const Elf64_Shdr *names,
            struct wanted *wanted)
{
    const char *text = part_of(module, names->sh_offset, names->sh_size);
    const char *all = part_of(module, table->sh_offset, table->sh_size);
    if (!text || !all || names->sh_size == 0 || text[names->sh_size - 1] != 0)
        return;
    for (uint64_t at = 0; table->sh_size - at >= sizeof(Elf64_Sym); at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, all + at, sizeof(symbol));
        if (symbol.st_name >= names->sh_size || !is_wanted(wanted, &symbol, text + symbol.st_name))
            continue;
        wanted->value = symbol.st_value;
        wanted->found = text + symbol.st_name;
        return;
    }
}

static bool
read_section(const struct process_module *module, const Elf64_Ehdr *elf, uint64_t i,
             Elf64_Shdr *section)
{
    const char *at = i < elf->e_shnum
                         ? part_of(module, elf->e_shoff + i * sizeof(*section), sizeof(*section))
                         : NULL;
    if (at)
        memcpy(section, at, sizeof(*section));
    return at != NULL;
}

static bool
search(const struct process_module *module, const Elf64_Ehdr *elf, struct wanted *wanted)
{
    for (unsigned i = 0; i < elf->e_shnum; i++) {
        Elf64_Shdr table, names;
        if (!read_section(module, elf, i, &table) ||
            (table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM) ||
            !read_section(module, elf, table.sh_link, &names))
            continue;
        find_symbol(module, &table, &names, wanted);
        if (wanted->found)
            return true;
    }
    return false;
}

static bool
search_module(const struct process *process, struct process_module *module, uint64_t address,
              struct wanted *wanted, uint64_t *bias)
{
    Elf64_Ehdr elf;
    if (!module->tried)
        map_file(module);
    if (!read_head(module, &elf) || elf.e_machine != process->target->machine ||
        !find_bias(process, module, &elf, bias))
        return false;
    wanted->address = address - *bias;
    return search(module, &elf, wanted);
}

/* What is zero at first lies behind the file's parts. */
static struct process_module *
module_before(const struct process *process, uint64_t address)
{
    struct process_module *module = NULL;
    for (size_t i = 0; i < process->modules && process->module[i].begin <= address; i++)
        module = &process->module[i];
    return module;
}

const char *
process_symbol(const struct process *process, uint64_t address, uint64_t *begin)
{
    static char text[128];
    struct process_module *module = module_before(process, address);
    struct wanted wanted = {0};
    uint64_t bias;
    size_t length = 0;
    if (!module || !search_module(process, module, address, &wanted, &bias))
        return NULL;
    *begin = wanted.value + bias;
    for (const char *name = wanted.found;
         name[length] > ' ' && name[length] < 127 && length < sizeof(text) - 1; length++)
        text[length] = name[length];
    text[length] = 0;
    return length ? text : NULL;
}

uint64_t
process_address(const struct process *process, const char *name)
{
    for (size_t i = 0; i < process->modules; i++) {
        struct wanted wanted = {.name = name};
        uint64_t bias;
        if (process->module[i].offset == 0 &&
            search_module(process, &process->module[i], 0, &wanted, &bias))
            return wanted.value + bias;
    }
    return 0;
}

/* ---- where a thread stands ------------------------------------------------------------------- */

#define STACK_WORDS 4096u
#define FRAMES_MAX  12u

static bool
read_code(const struct process *process, uint64_t address, void *to, size_t bytes)
{
    if (target_read(process->target, address, to, bytes))
        return true;
    struct process_module *module = process_module_at(process, address); /* cores have no code */
    Elf64_Ehdr elf;
    if (module && !module->tried)
        map_file(module);
    bool fits = module && read_head(module, &elf) && elf.e_machine == process->target->machine;
    const char *part =
        fits ? part_of(module, address - module->begin + module->offset, bytes) : NULL;
    if (part)
        memcpy(to, part, bytes);
    return part != NULL;
}

/* BL, and BLR through a register. */
static bool
is_arm64_call(const unsigned char *code, uint64_t address, uint64_t *callee)
{
    uint32_t word;
    memcpy(&word, code + 3, sizeof(word));
    if (word >> 26 == 0x25)
        *callee = address - 4 + (uint64_t)(int64_t)((int32_t)(word << 6) >> 4);
    return word >> 26 == 0x25 || (word & 0xfffffc1f) == 0xd63f0000;
}

/* A call, and one through a register or memory: ff /2 with 0 to 4 bytes behind. */
static bool
is_x86_call(const unsigned char *code, uint64_t address, uint64_t *callee)
{
    int32_t far;
    memcpy(&far, code + 3, sizeof(far));
    if (code[2] == 0xe8) {
        *callee = address + (uint64_t)(int64_t)far;
        return true;
    }
    return (code[5] == 0xff && (code[6] & 0xf8) == 0xd0) ||
           (code[4] == 0xff && (code[5] & 0xf8) == 0x50) ||
           (code[1] == 0xff && (code[2] & 0x38) == 0x10);
}

/* Whether a call ends before an address, and if it says so itself whom it calls; 0: not said. */
static bool
follows_call(const struct process *process, uint64_t address, uint64_t *callee)
{
    unsigned char code[7];
    *callee = 0;
    if (!process_module_at(process, address) || !read_code(process, address - 7, code, 7))
        return false;
    return process->target->machine == EM_AARCH64 ? is_arm64_call(code, address, callee)
                                                  : is_x86_call(code, address, callee);
}

/* A call of a stub, or through a pointer, may have led to anybody in another file. */
static bool
may_have_called(const struct process *process, uint64_t callee, uint64_t function)
{
    uint64_t begin;
    if (callee == 0 || function == 0 || callee == function)
        return true;
    const struct process_module *module = process_module_at(process, callee);
    return !process_symbol(process, callee, &begin) && module &&
           module != process_module_at(process, function);
}

static void
append(char *text, size_t bytes, const char *name)
{
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", used ? " < " : "", name);
}

static const char *
file_name(const struct process_module *module)
{
    const char *slash = strrchr(module->path, '/');
    return slash ? slash + 1 : module->path;
}

/* A function without a name: its file. */
static uint64_t
append_function(const struct process *process, uint64_t address, char *text, size_t bytes)
{
    uint64_t begin = 0;
    const char *name = process_symbol(process, address, &begin);
    const struct process_module *module = process_module_at(process, address);
    if (!name && module)
        name = file_name(module);
    append(text, bytes, name ? name : "?");
    return begin;
}

void
process_where(const struct process *process, const struct process_thread *thread, char *text,
              size_t bytes)
{
    uint64_t word, callee, frames = 1;
    text[0] = 0;
    if (!thread->stopped)
        return;
    uint64_t function = append_function(process, thread->pc, text, bytes);
    for (uint64_t i = 0; i < STACK_WORDS && frames < FRAMES_MAX; i++) {
        if (!target_read(process->target, (thread->sp & ~UINT64_C(7)) + 8 * i, &word, 8))
            return;
        if (!follows_call(process, word, &callee) || !may_have_called(process, callee, function))
            continue;
        function = append_function(process, word - 1, text, bytes);
        frames++;
    }
}
