# SPDX-License-Identifier: MIT
#
# sinter-gdb.py - commands for stores of the library Sinter in gdb, on a process or on a core. They
# call the program sinter, which reads both by the table of offsets that the library carries: no
# debug information is needed. gdb loads this file with the library where it is installed; for a
# static program: source sinter-gdb.py.
"""Commands for stores of the library Sinter: "help sinter"."""

import os
import re
import shutil
import subprocess
import tempfile

import gdb

# name: (what it does, number of expressions that it takes, knows --addresses, reads registers)
COMMANDS = {
    "stores": ("Stores, and where their memory goes.", 0, False, False),
    "memory": ("The same of one, with its size classes.", 0, True, False),
    "classes": ("Size classes of a store.", 0, True, False),
    "spans": ("Spans: [--class BYTES] [--sparse].", 0, True, False),
    "span": ("One span, slot by slot: BLOCK or ADDRESS.", 1, True, False),
    "objects": ("Objects: [--class BYTES] [--page N] [--summarize | --by-tag].", 0, True, False),
    "ptr": ("What lies at an ADDRESS.", 1, True, False),
    "handle": ("What a HANDLE names, or since when it is stale.", 1, True, False),
    "cell": ("What the cell at an ADDRESS names.", 1, True, False),
    "find": ("Who has the HANDLE or ADDRESS of an object.", 1, True, True),
    "reach": ("Which objects can be reached, which are leaked: [--list N].", 0, True, True),
    "check": ("Whether a store is sound.", 0, True, False),
    "cache": ("Caches: what they evict, what keeps sparse spans.", 0, True, False),
    "item": ("An item of a cache by its KEY.", 0, True, False),
    "readers": ("Which threads stand in a section, and hold grace periods.", 0, False, False),
}


def program():
    """The program: what the environment says, the one beside the library, that of PATH."""
    paths = [os.environ.get("SINTER")]
    for objfile in gdb.objfiles():
        directory = os.path.dirname(objfile.filename or "")
        if "/libsinter.so" in (objfile.filename or ""):
            paths += [os.path.join(directory, up, "bin/sinter") for up in ("..", "../..")]
    for path in paths + [shutil.which("sinter")]:
        if path and os.access(path, os.X_OK):
            return path
    raise gdb.GdbError("the program sinter is not found; set the environment's SINTER to its path")


def core_path():
    """The path of the core that gdb looks at, or None."""
    text = gdb.execute("info files", to_string=True)
    found = re.search(r"Local core dump file:\s*`(.*)', file type", text)
    return found.group(1) if found else None


def target():
    """What the program is to read: a process or a core."""
    core = core_path()
    if core:
        return core
    if gdb.selected_inferior().pid == 0:
        raise gdb.GdbError("there is neither a process nor a core")
    return str(gdb.selected_inferior().pid)


def run(arguments):
    """Runs the program. Result: its exit status, text, and what it says is wrong."""
    done = subprocess.run([program()] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, universal_newlines=True, errors="replace",
                          check=False)
    return done.returncode, done.stdout, done.stderr


def ask(command, arguments):
    """The same of a command, about what gdb looks at. A process that only gdb may read is read by a
    core that gdb writes."""
    result = run([command, target()] + arguments)
    if result[0] != 1 or "no right to read" not in result[2]:
        return result
    with tempfile.TemporaryDirectory() as directory:
        core = os.path.join(directory, "core")
        gdb.execute("generate-core-file " + core, to_string=True)
        return run([command, core] + arguments)


def in_each_thread(function):
    """Calls it with the innermost frame of each thread, and goes back to where gdb stood."""
    thread, results = gdb.selected_thread(), []
    for other in gdb.selected_inferior().threads():
        other.switch()
        results.append((other, function(gdb.newest_frame())))
    if thread:
        thread.switch()
    return results


def registers_of(frame):
    """The general registers' values."""
    values = []
    for register in frame.architecture().registers("general"):
        try:
            values.append("%#x" % (int(frame.read_register(register)) & (2**64 - 1)))
        except (gdb.error, ValueError, TypeError, OverflowError):
            pass  # one that is no number, or is not there
    return values


def all_registers():
    """Of all threads, as --registers wants them."""
    return ",".join(sum((values for _, values in in_each_thread(registers_of)), []))


class Sinter(gdb.Command):
    """Commands for stores of the library Sinter. --store NAME chooses a store, else it is the
newest, or all."""

    def __init__(self):
        super().__init__("sinter", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class Command(gdb.Command):
    """One of COMMANDS."""

    def __init__(self, name):
        self.name = name
        self.__doc__, self.expressions, self.addresses, self.registers = COMMANDS[name]
        super().__init__("sinter " + name, gdb.COMMAND_DATA,
                         gdb.COMPLETE_SYMBOL if self.expressions else gdb.COMPLETE_NONE)

    def arguments(self, text):
        """Options as they are; what is left is an expression."""
        options, rest, words = [], [], gdb.string_to_argv(text)
        while words:
            word = words.pop(0)
            if not word.startswith("--"):
                rest.append(word)
                continue
            options.append(word)
            if word in ("--store", "--class", "--page", "--list") and words:
                options.append(words.pop(0))
        if self.expressions:
            value = gdb.parse_and_eval(" ".join(rest))
            options.append("%#x" % (int(value) & (2**64 - 1)))
        elif self.name == "item":
            options.append(" ".join(rest))
        elif rest:
            raise gdb.GdbError("%s is no option of this command" % rest[0])
        if self.addresses:
            options.append("--addresses")
        if self.registers and not core_path():
            options += ["--registers", all_registers()]
        return options

    def invoke(self, text, _from_tty):
        _, out, wrong = ask(self.name, self.arguments(text))
        gdb.write(out)
        if wrong:
            gdb.write(wrong, gdb.STDERR)
        if self.name == "readers":
            print_frames(out)


def print_frames(text):
    """Under the threads that stand in sections gdb's own frames."""
    lwps = [int(lwp) for lwp in re.findall(r"^thread (\d+).*: (?:in a section|online)", text, re.M)]
    for thread, names in in_each_thread(frames_of):
        if thread.ptid[1] in lwps or (thread.ptid[0] in lwps and thread.ptid[1] == 0):
            gdb.write("thread %d is gdb's thread %d: %s\n"
                      % (thread.ptid[1] or thread.ptid[0], thread.num, " < ".join(names)))


def frames_of(frame):
    """The names of the innermost functions."""
    names = []
    while frame and len(names) < 12:
        names.append(frame.name() or "?")
        frame = frame.older()
    return names


class Object(gdb.Function):
    """$sinter_object(HANDLE): the address of the object that it names now, or 0."""

    def __init__(self):
        super().__init__("sinter_object")

    def invoke(self, handle):
        out = ask("handle", ["%#x" % int(handle), "--addresses"])[1]
        found = re.search(r", at (0x[0-9a-f]+)", out)
        address = int(found.group(1), 16) if found else 0
        return gdb.Value(address).cast(gdb.lookup_type("void").pointer())


class Printer:
    """What a handle, or a cell, names. Answers are kept until the program goes on."""

    kept = {}

    def __init__(self, command, number, text):
        self.command, self.number, self.text = command, number, text

    def to_string(self):
        """As in "0x123: live, store s, block 1, slot 2, ..."."""
        key = (self.command, self.number, self.text)
        if key not in Printer.kept:
            try:
                status, out, _ = ask(self.command, ["%#x" % self.number])
            except gdb.GdbError:
                return self.text
            out = re.sub(r"^.*?(is live|is stale|names|the cell is empty)", r"\1", out.strip())
            Printer.kept[key] = self.text + ": " + (out if status == 0 else "of no store")
        return Printer.kept[key]


def forget(_event):
    """The program goes on: what was read of it is not so any more."""
    Printer.kept.clear()


def printer_of(value):
    """A printer for handle_t and handle_cell."""
    if value.type.name == "handle_t":
        number = int(value)
        return Printer("handle", number, "%#x" % number) if number else None
    names = (value.type.name, value.type.strip_typedefs().name)
    if "handle_cell" in names and value.address is not None:
        return Printer("cell", int(value.address), "%#x" % int(value["word"]))
    return None


def start():
    """Once, however many libraries come with this file."""
    if getattr(gdb, "sinter_commands", False):
        return
    gdb.sinter_commands = True
    Sinter()
    for name in COMMANDS:
        Command(name)
    Object()
    gdb.pretty_printers.append(printer_of)
    gdb.events.cont.connect(forget)


start()
