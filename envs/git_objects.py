"""A fresh git repository of one commit, made without git.

Invariant: the repository holds the objects of exactly the files that it was made of: no history, no other branch, no
reflog, no object that nothing points to. The same files give the same bytes.

It is not made by git in the sandbox, because that costs a hundred times as much, and never from a repository that had
a history, because pruning leaves traces (messages, logs, packed references; see docs/grading.md).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

EPOCH = 946684800
"""Time of the commit, and of all files: 1 January 2000."""
IDENTITY = {"NAME": "developer", "EMAIL": "developer@localhost", "DATE": f"{EPOCH} +0000"}
HEAD = ".git/refs/heads/main"
"""The file that names the commit, and so stands for every file of it."""
_WHO = f"developer <developer@localhost> {EPOCH} +0000"
_MESSAGE = "Initial commit\n"
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = false\n"
_CONFIG += "[user]\n\tname = developer\n\temail = developer@localhost\n"
_COMMIT, _TREE, _BLOB = 1, 2, 3
_NAMES = {_COMMIT: b"commit", _TREE: b"tree", _BLOB: b"blob"}
_FOLDER, _FILE, _PROGRAM = 0o40000, 0o100644, 0o100755


@dataclass(frozen=True)
class GitObject:
    """One object as it lies in a pack. `size` is that of its content, bytes."""

    sha: bytes
    packed: bytes
    size: int


def git_object(kind: int, data: bytes) -> GitObject:
    """The object of some content."""
    digest = hashlib.sha1(b"%s %d\0" % (_NAMES[kind], len(data)), usedforsecurity=False)
    digest.update(data)
    size, head = len(data) >> 4, kind << 4 | len(data) & 15
    packed = bytearray()
    while size:
        packed.append(head | 0x80)
        head, size = size & 0x7F, size >> 7
    packed.append(head)
    return GitObject(digest.digest(), bytes(packed) + zlib.compress(data, 1), len(data))


def blob(data: bytes) -> GitObject:
    """The object of a file's contents."""
    return git_object(_BLOB, data)


def one_commit(files: Mapping[str, tuple[GitObject, bool]]) -> dict[str, bytes]:
    """The files of a `.git` folder, for these files of a repository: path -> blob, and whether it is executable."""
    objects = {entry.sha: entry for entry, _ in files.values()}
    root = _write_trees(files, objects)
    commit = git_object(_COMMIT, f"tree {root.hex()}\nauthor {_WHO}\ncommitter {_WHO}\n\n{_MESSAGE}".encode())
    objects[commit.sha] = commit
    pack, index, name = _pack(objects)
    return {
        ".git/HEAD": b"ref: refs/heads/main\n",
        ".git/config": _CONFIG.encode(),
        HEAD: commit.sha.hex().encode() + b"\n",
        ".git/index": _stage(files),
        f".git/objects/pack/pack-{name}.pack": pack,
        f".git/objects/pack/pack-{name}.idx": index,
    }


def _write_trees(files: Mapping[str, tuple[GitObject, bool]], objects: dict[bytes, GitObject]) -> bytes:
    """Add the folders to `objects`, the deepest first; the hash of the topmost."""
    folders: defaultdict[str, list[tuple[str, int, bytes]]] = defaultdict(list)
    folders[""] = []
    for path, (entry, executable) in files.items():
        folder, _, name = path.rpartition("/")
        folders[folder].append((name, _PROGRAM if executable else _FILE, entry.sha))
        while folder:
            folder = folder.rpartition("/")[0]
            folders.setdefault(folder, [])
    for folder in sorted(folders, key=lambda f: -(f.count("/") + bool(f))):
        entries = sorted(folders[folder], key=lambda e: e[0].encode() + b"/" * (e[1] == _FOLDER))
        data = b"".join(b"%o %s\0%s" % (mode, name.encode(), sha) for name, mode, sha in entries)
        tree = git_object(_TREE, data)
        objects[tree.sha] = tree
        if folder:
            parent, _, name = folder.rpartition("/")
            folders[parent].append((name, _FOLDER, tree.sha))
    return tree.sha


def _pack(objects: Mapping[bytes, GitObject]) -> tuple[bytes, bytes, str]:
    """A pack of all objects, its index (version 2), and its name."""
    shas = sorted(objects)
    parts, offsets, at = [b"PACK" + struct.pack(">II", 2, len(shas))], [], 12
    for sha in shas:
        offsets.append(at)
        parts.append(objects[sha].packed)
        at += len(objects[sha].packed)
    body = b"".join(parts)
    pack = body + hashlib.sha1(body, usedforsecurity=False).digest()
    counts = [0] * 256
    for sha in shas:
        counts[sha[0]] += 1
    fanout = list(accumulate(counts))
    sums = [zlib.crc32(objects[sha].packed) for sha in shas]
    index = b"\377tOc" + struct.pack(">I256I", 2, *fanout) + b"".join(shas)
    index += struct.pack(f">{len(shas)}I", *sums) + struct.pack(f">{len(shas)}I", *offsets) + pack[-20:]
    index += hashlib.sha1(index, usedforsecurity=False).digest()
    return pack, index, hashlib.sha1(b"".join(shas), usedforsecurity=False).hexdigest()


def _stage(files: Mapping[str, tuple[GitObject, bool]]) -> bytes:
    """The index of git's stage. Without times and sizes: git looks at the files when it is first asked."""
    parts = [b"DIRC" + struct.pack(">II", 2, len(files))]
    for name, (entry, executable) in sorted((path.encode(), value) for path, value in files.items()):
        head = struct.pack(">10I", 0, 0, 0, 0, 0, 0, _PROGRAM if executable else _FILE, 0, 0, 0)
        record = head + entry.sha + struct.pack(">H", min(len(name), 0xFFF)) + name
        parts.append(record + b"\0" * (8 - len(record) % 8))
    data = b"".join(parts)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()
