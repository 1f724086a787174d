"""Which system calls nothing in a sandbox may make, whatever the engine or the kernel would allow.

Invariant: once `confine` has returned, this process and all that it starts can neither reach beyond the sandbox by
address families that network namespaces do not hold apart (VSOCK leads to the hypervisor), nor limit or slow down
process 1, nor use calls that ordinary users have and kernels keep being broken by (io_uring, userfaultfd, bpf, key
rings, further namespaces). It needs no rights: no-new-privileges suffices. The kernel runs it beside Docker's own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32 = 0x40000000
_REFUSED = {  # numbers on x86-64 and arm64
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_ABOUT_PROCESS_1 = {  # and which argument names the process
    "ioprio_set": (251, 30, 1),
    "prlimit64": (302, 261, 0),
    "sched_setaffinity": (203, 122, 0),
    "sched_setattr": (314, 274, 0),
    "sched_setparam": (142, 118, 0),
    "sched_setscheduler": (144, 119, 0),
    "setpriority": (141, 140, 1),
}
_SOCKET, _CLONE, _CLONE3, _SETPRIORITY = (41, 198), (56, 220), (435, 435), (141, 140)
_FAMILIES = (1, 2, 10, 16)  # UNIX, INET, INET6, NETLINK
_NEW_NAMESPACES = 0x7E020000
_PRIO_USER = 2
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


def confine() -> None:
    """Put this process and all that it starts under the filter, for good. Raises `OSError`."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"there is no filter of system calls for {machine}")
    program = b"".join(_filter(*_MACHINES[machine]))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), header, zero, zero
    ):
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused by the kernel")


def _filter(architecture: int, column: int) -> list[bytes]:
    """The program that the kernel runs at every call."""
    program = [_step(_LOAD, _ARCHITECTURE), _step(_IF_EQUAL, architecture, 1, 0), _refuse(), _step(_LOAD, _NUMBER)]
    if column == 0:
        program += [_step(_IF_AT_LEAST, _X32, 0, 1), _refuse()]
    for numbers in _REFUSED.values():
        program += _when(numbers[column], [_refuse()])
    program += _when(_CLONE3[column], [_refuse(errno.ENOSYS)])  # libraries then use clone, whose flags can be seen
    program += _when(_CLONE[column], [_argument(0), _step(_IF_BITS, _NEW_NAMESPACES, 0, 1), _refuse()])
    families = [_step(_IF_EQUAL, family, len(_FAMILIES) - n, 0) for n, family in enumerate(_FAMILIES)]
    program += _when(_SOCKET[column], [_argument(0), *families, _refuse(errno.EAFNOSUPPORT)])
    for *calls, argument in _ABOUT_PROCESS_1.values():
        program += _when(calls[column], [_argument(argument), _step(_IF_EQUAL, 1, 0, 1), _refuse()])
    program += _when(_SETPRIORITY[column], [_argument(0), _step(_IF_EQUAL, _PRIO_USER, 0, 1), _refuse()])
    return [*program, _step(_RETURN, _ALLOW)]


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """The body for one call; the call's number is loaded before and after."""
    return [_step(_IF_EQUAL, number, 0, len(body) + 1), *body, _step(_LOAD, _NUMBER)]


def _argument(index: int) -> bytes:
    """Load the lower half of an argument (both machines are little-endian), which is all that the kernel looks at."""
    return _step(_LOAD, _FIRST_ARGUMENT + 8 * index)


def _refuse(code: int = errno.EPERM) -> bytes:
    return _step(_RETURN, _ERRNO | code)


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; the jumps count the instructions that are left out."""
    return struct.pack("=HBBI", operation, if_true, if_false, value)
