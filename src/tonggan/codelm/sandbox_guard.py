"""The inside of the sandbox: gives up rights, for good, and then runs the program. Run as a script, never imported.

It is a file of its own, without imports from Tonggan, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_WRITES = 0b1111111110010  # all of Landlock's first version but execute, read a file, read a folder
_REFER, _TRUNCATE = 1 << 13, 1 << 14  # of its versions 2 and 3
_SIGNAL_WITH_PARENT, _NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 1, 38, 22, 2
_LOAD, _EQUAL, _LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS, _THREAD = 1, 38, 0x10000
_SCOPES = 0b11  # abstract sockets and signals stay inside, from Landlock's version 6 on
# Of each processor: its number, clone, clone3, and the calls that are refused: those that start processes, open
# sockets, send signals, change owners, permissions, times and attributes, raise limits, look into other processes,
# mount, load into the kernel, and io_uring, which would do all of it unseen. Those after them keep memory outside of
# the address space that is limited: files in memory, what System V and POSIX share between processes, and keys.
_CALLS = {
    "x86_64": (
        0xC000003E, 56, 435,
        (57, 58, 41, 62, 200, 424, 90, 91, 92, 93, 94, 260, 268, 452, 160, 302, 101, 310, 311, 161, 165, 166, 169,
         175, 272, 308, 313, 321, 428, 429, 430, 425, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 463, 466,
         319, 447, 29, 64, 68, 240, 248, 249, 250),
    ),
    "aarch64": (
        0xC00000B7, 220, 435,
        (198, 129, 130, 424, 52, 53, 54, 55, 452, 164, 261, 117, 270, 271, 51, 40, 39, 142, 105, 97, 268, 273, 280,
         428, 429, 430, 425, 88, 5, 6, 7, 14, 15, 16, 463, 466, 279, 447, 194, 190, 186, 180, 217, 218, 219),
    ),
}  # fmt: skip
_MOST_FILE, _MOST_OPEN = 64 << 20, 256
_REFUSED_EVENTS = ("socket.", "subprocess.", "os.fork", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "pty.")


def limit(memory: int, seconds: float) -> None:
    """Limits that no program can raise again."""
    whole_seconds = max(1, int(seconds + 0.999))
    resource.setrlimit(
        resource.RLIMIT_CPU, (whole_seconds, whole_seconds + 1)
    )  # the first ends it by a signal of its own
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, _MOST_FILE),
        (resource.RLIMIT_NOFILE, _MOST_OPEN),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def protect(folder: str) -> list[str]:
    """Give up what the kernel can take away; names of what it took."""
    if sys.platform != "linux":
        return []
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_SIGNAL_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return []
    taken = ["files"] if _restrict_files(library, folder) else []
    return taken + (["network", "processes"] if _restrict_calls(library) else [])


def _restrict_files(library: ctypes.CDLL, folder: str) -> bool:
    """Landlock: writing only below ``folder``."""
    version = library.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    writes = _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("<QQQ", writes, 0, _SCOPES) if version >= 6 else struct.pack("<Q", writes)
    rules = library.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    for place in (folder, "/dev/null"):
        descriptor = os.open(place, os.O_PATH)
        allowed = writes if place == folder else 0b10 | (writes & _TRUNCATE)
        library.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("<Qi", allowed, descriptor), 0)
        os.close(descriptor)
    restricted = bool(library.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    os.close(rules)
    return restricted


def _restrict_calls(library: ctypes.CDLL) -> bool:
    """A seccomp filter: no new processes, though threads; no sockets but pairs of them."""
    if platform.machine() not in _CALLS:
        return False
    architecture, clone, clone3, refused = _CALLS[platform.machine()]
    refuse = (_RETURN, 0, 0, _REFUSE | _EPERM)
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), refuse, (_LOAD, 0, 0, 0)]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), refuse]
    if platform.machine() == "x86_64":
        program += [(_LEAST, 0, 1, 0x40000000), refuse]  # the same calls under the numbers of x32
    # The C library falls back to clone, whose flags can be seen.
    program += [(_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, _REFUSE | _ENOSYS)]
    program += [(_EQUAL, 0, 3, clone), (_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _THREAD), refuse]
    program += [(_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    return bool(library.prctl(_SET_SECCOMP, _FILTER_MODE, header, 0, 0) == 0)


def refuse_inside(event: str, _arguments: object) -> None:
    """An audit hook for where the kernel enforces nothing."""
    if event.startswith(_REFUSED_EVENTS):
        raise PermissionError(f"the sandbox refuses {event}")


def main() -> None:
    """Read the program, give up rights, run it."""
    program, limits = sys.argv[1], json.loads(sys.argv[2])
    limit(limits["memory"], limits["seconds"])
    with open(program, encoding="utf-8") as file:  # noqa: PTH123 (pathlib would have to be imported)
        code = compile(file.read(), "program.py", "exec")
    taken = protect(limits["folder"])
    sys.stderr.write(f"guarded:{' '.join(taken)}\n")
    sys.stderr.flush()
    if "processes" not in taken:
        sys.addaudithook(refuse_inside)
    sys.argv = ["program.py"]
    exec(code, {"__name__": "__main__"})  # noqa: S102 (it is what the sandbox is for)


if __name__ == "__main__":
    main()
