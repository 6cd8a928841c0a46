"""The inside of the sandbox: gives up rights, for good, and then runs the program. Run as a script, never imported.

It is a file of its own, without imports from Tonggan, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
from typing import NoReturn

# New namespaces: of users, so that no right of root is left, of hosts' names, memory that is shared, PIDs, the network.
_NAMESPACES = 0x10000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 1 << 1, 1 << 2, 1 << 3
_READS = _EXECUTE | _READ_FILE | _READ_FOLDER
_WRITES = 0b1111111110010  # all others of Landlock's first version
_REFER, _TRUNCATE = 1 << 13, 1 << 14  # of its versions 2 and 3
_SCOPES = 0b11  # abstract sockets and signals stay inside, from Landlock's version 6 on
# Besides Python and what is installed for it: the system's libraries, and what tells of this process and the machine.
_READABLE = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/dev/null",
    "/dev/zero", "/dev/random", "/dev/urandom", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/sys/devices/system/cpu",
)  # fmt: skip
_SIGNAL_WITH_PARENT, _NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE, _DROP_BOUND = 1, 38, 22, 2, 24
_CAPABILITIES_VERSION = 0x20080522
_LOAD, _EQUAL, _LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _NEW_LIMIT = 0, 4, 16, (32, 36)  # places of what a filter sees
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS, _THREAD = 1, 38, 0x10000
# Of each processor: its number, clone, clone3, prctl, prlimit64, tgkill, and the calls that are refused: those that
# start processes and sessions, open sockets, send signals, change owners, permissions, times and attributes, set
# priorities, look into other processes, make devices, name the host, mount, load into the kernel, and io_uring, which
# would do all of it unseen. Those after them keep memory outside of the address space that is limited: files in
# memory, what System V and POSIX share between processes, and keys.
_CALLS = {
    "x86_64": (
        0xC000003E, 56, 435, 157, 302, 234,
        (57, 58, 109, 112, 41, 62, 129, 200, 297, 424, 434, 438, 90, 91, 92, 93, 94, 260, 268, 452, 160, 141, 142,
         144, 203, 251, 314, 101, 310, 311, 312, 440, 448, 133, 259, 170, 171, 103, 161, 165, 166, 169, 175, 272, 298,
         308, 313, 321, 323, 428, 429, 430, 425, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 463, 466,
         319, 447, 29, 64, 68, 240, 248, 249, 250),
    ),
    "aarch64": (
        0xC00000B7, 220, 435, 167, 261, 131,
        (154, 157, 198, 129, 130, 138, 240, 424, 434, 438, 52, 53, 54, 55, 452, 164, 140, 118, 119, 122, 30, 274,
         117, 270, 271, 272, 440, 448, 33, 161, 162, 116, 51, 40, 39, 142, 105, 97, 241, 268, 273, 280, 282,
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


def isolate(library: ctypes.CDLL) -> bool:
    """Go on in namespaces of its own, as a process there, where the system allows it to this user.

    The process that was called stays outside and waits; the first one inside, with whose end the kernel ends all others
    there, ends with it. What runs the program is the second one, so that it has a hold on neither.
    """
    tried = os.fork()
    if tried == 0:  # What is begun cannot be undone.
        os._exit(0 if _enter(library) else 1)
    if os.waitpid(tried, 0)[1] or not _enter(library):
        return False
    library.prctl(_SIGNAL_WITH_PARENT, signal.SIGKILL, 0, 0, 0)  # Entering has taken it back.
    report, result = os.pipe()
    first = os.fork()
    if first:
        os.close(result)
        status = int(os.read(report, 16) or signal.SIGKILL)
        os.waitpid(first, 0)  # By then all others inside have ended, and the time that they took is counted here.
        _end_like(status)
    library.prctl(_SIGNAL_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    os.close(report)
    outside = select.poll()
    outside.register(result, 0)
    if outside.poll(0):  # It has ended before.
        os._exit(1)
    program = os.fork()
    if program:
        os.write(result, str(os.waitpid(program, 0)[1]).encode())
        os._exit(0)
    os.close(result)
    return True


def _enter(library: ctypes.CDLL) -> bool:
    user, group = os.getuid(), os.getgid()
    if library.unshare(_NAMESPACES):
        return False
    try:
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(content)
    except OSError:
        return False
    return True


def _end_like(status: int) -> NoReturn:
    """End with the exit code, or by the signal, of a process that has ended with ``status``."""
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def protect(library: ctypes.CDLL, folder: str, program: str) -> list[str]:
    """Give up what the kernel can take away; names of what it took."""
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or not _drop_capabilities(library):
        return []
    taken = ["files"] if _restrict_files(library, folder, program) else []
    return taken + (["network", "processes"] if _restrict_calls(library) else [])


def _drop_capabilities(library: ctypes.CDLL) -> bool:
    """No right of root, now or after another program takes the place of this one."""
    for capability in range(64):
        library.prctl(_DROP_BOUND, capability, 0, 0, 0)
    return bool(library.capset(struct.pack("<Ii", _CAPABILITIES_VERSION, 0), bytes(24)) == 0)


def _restrict_files(library: ctypes.CDLL, folder: str, program: str) -> bool:
    """Landlock: writing only below ``folder``, reading only there and what a program of Python needs."""
    version = library.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    whole = _READS | _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("<QQQ", whole, 0, _SCOPES) if version >= 6 else struct.pack("<Q", whole)
    rules = library.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    installed = (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *_READABLE, program)
    allowed = {**dict.fromkeys(installed, _READS), folder: whole, "/dev/null": _READ_FILE | _WRITE_FILE | _TRUNCATE}
    for place, rights in allowed.items():
        if os.path.exists(place):  # noqa: PTH110
            _allow(library, rules, place, rights & whole)
    restricted = bool(library.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    os.close(rules)
    return restricted


def _allow(library: ctypes.CDLL, rules: int, place: str, rights: int) -> None:
    descriptor = os.open(place, os.O_PATH)
    if not os.path.isdir(place):  # noqa: PTH112
        rights &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
    library.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("<Qi", rights, descriptor), 0)
    os.close(descriptor)


def _restrict_calls(library: ctypes.CDLL) -> bool:
    """A seccomp filter: no new processes, though threads; no sockets but pairs of them; signals to itself alone."""
    if platform.machine() not in _CALLS:
        return False
    architecture, clone, clone3, prctl, prlimit64, tgkill, refused = _CALLS[platform.machine()]
    refuse, allow = (_RETURN, 0, 0, _REFUSE | _EPERM), (_RETURN, 0, 0, _ALLOW)
    first = (_LOAD, 0, 0, _FIRST_ARGUMENT)
    program = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), refuse, (_LOAD, 0, 0, _NUMBER)]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), refuse]
    if platform.machine() == "x86_64":
        program += [(_LEAST, 0, 1, 0x40000000), refuse]  # the same calls under the numbers of x32
    # The C library falls back to clone, whose flags can be seen.
    program += [(_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, _REFUSE | _ENOSYS)]
    program += [(_EQUAL, 0, 4, prctl), first, (_EQUAL, 0, 1, _SIGNAL_WITH_PARENT), refuse, allow]
    for half in _NEW_LIMIT:  # Limits may be looked at.
        program += [(_EQUAL, 0, 4, prlimit64), (_LOAD, 0, 0, half), (_EQUAL, 1, 0, 0), refuse, (_LOAD, 0, 0, _NUMBER)]
    program += [(_EQUAL, 0, 4, tgkill), first, (_EQUAL, 1, 0, os.getpid()), refuse, allow]
    program += [(_EQUAL, 0, 3, clone), first, (_ANY_BIT, 1, 0, _THREAD), refuse]
    return filter_calls(library, [*program, allow])


def filter_calls(library: ctypes.CDLL, program: list[tuple[int, int, int, int]]) -> bool:
    """Let the kernel judge every call of this process by ``program``: code, jumps if true and if not, and operand."""
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    return bool(library.prctl(_SET_SECCOMP, _FILTER_MODE, header, 0, 0) == 0)


def refuse_inside(event: str, _arguments: object) -> None:
    """An audit hook for where the kernel enforces nothing."""
    if event.startswith(_REFUSED_EVENTS):
        raise PermissionError(f"the sandbox refuses {event}")


def give_up_rights(folder: str, program: str, *, parent: int) -> list[str]:
    """All of the above that this system has; names of what it took."""
    if sys.platform != "linux":
        return []
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_SIGNAL_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It has ended before.
        os._exit(1)
    taken = ["namespaces"] if isolate(library) else []
    return taken + protect(library, folder, program)


def main() -> None:
    """Read the program, give up rights, run it."""
    program, limits = sys.argv[1], json.loads(sys.argv[2])
    limit(limits["memory"], limits["seconds"])
    with open(program, encoding="utf-8") as file:  # noqa: PTH123 (pathlib would have to be imported)
        code = compile(file.read(), "program.py", "exec")
    taken = give_up_rights(limits["folder"], program, parent=limits["parent"])
    is_guarded = "processes" in taken
    if os.geteuid() == 0 and not is_guarded:
        sys.stderr.write("refused:\n")
        return
    sys.stderr.write(f"guarded:{' '.join(taken)}\n")
    sys.stderr.flush()
    if not is_guarded:
        sys.addaudithook(refuse_inside)
    sys.argv = ["program.py"]
    exec(code, {"__name__": "__main__"})  # noqa: S102 (it is what the sandbox is for)


if __name__ == "__main__":
    main()
