"""Damages one stopped data directory, by a seed."""

import random
import shutil

BLOCK = 4096


def files(root):
    """Every file that holds something, in a fixed order. The lock file holds nothing that is ever read."""
    return sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size and path.name != "LOCK")


def used_blocks(path):
    """Numbers of the blocks that are not all zero."""
    with open(path, "rb") as file:
        blocks = iter(lambda: file.read(BLOCK), b"")
        return [number for number, block in enumerate(blocks) if block.strip(b"\0")]


def edit(path, position, data):
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(data)


def block(path, number):
    with open(path, "rb") as file:
        file.seek(number * BLOCK)
        return file.read(BLOCK)


def damage(root, seed):
    """Does one to three things to the directory; returns what, in words."""
    rng = random.Random(seed)
    return [one(root, rng) for _ in range(rng.choices([1, 2, 3], [6, 2, 1])[0])]


# By kind, or the many segments would get everything. Damage to the metadata log and the superblocks is mostly refused at
# start, so it needs fewer cases than the rest.
WEIGHTS = {"journal": 4, "segment": 4, "manifest": 3, "derived": 3, "metadata": 2, "superblock": 1}


def kind(path):
    """What a file of the directory is."""
    if path.parent.name == "raft":
        return "metadata"
    if path.name.startswith("superblock"):
        return "superblock"
    if path.name.startswith("manifest"):
        return "manifest"
    return {".j": "journal", ".seg": "segment"}.get(path.suffix, "derived")


def one(root, rng):
    present = files(root)
    kinds = sorted({kind(path) for path in present})
    wanted = rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
    path = rng.choice([path for path in present if kind(path) == wanted])
    blocks = used_blocks(path)
    size = path.stat().st_size
    name = str(path.relative_to(root))
    acts = ["flip", "flip", "flip", "zero", "noise", "truncate", "empty", "remove", "copy of another file"]
    if len(blocks) > 1:
        acts += ["swap", "duplicate"]
    act = rng.choice(acts)
    if not blocks and act in ("flip", "zero", "noise"):
        act = "remove"
    if act == "flip":
        position = rng.choice(blocks) * BLOCK + rng.randrange(BLOCK)
        if position >= size:
            position = size - 1
        with open(path, "rb") as file:
            file.seek(position)
            old = file.read(1)[0]
        edit(path, position, bytes([old ^ 1 << rng.randrange(8)]))
        return f"flip a bit of byte {position} of {name}"
    if act in ("zero", "noise"):
        number = rng.choice(blocks)
        length = min(rng.choice([512, BLOCK]), size - number * BLOCK)
        edit(path, number * BLOCK, b"\0" * length if act == "zero" else rng.randbytes(length))
        return f"{act} {length} bytes of block {number} of {name}"
    if act in ("swap", "duplicate"):
        one_block, other = rng.sample(blocks, 2)
        first, second = block(path, one_block), block(path, other)
        if len(first) == len(second):
            edit(path, other * BLOCK, first)
            if act == "swap":
                edit(path, one_block * BLOCK, second)
        return f"{act} blocks {one_block} and {other} of {name}"
    if act == "truncate":
        length = rng.randrange(size)
        with open(path, "r+b") as file:
            file.truncate(length)
        return f"truncate {name} to {length}"
    if act == "empty":
        with open(path, "r+b") as file:
            file.truncate(0)
        return f"empty {name}"
    if act == "remove":
        path.unlink()
        return f"remove {name}"
    others = [other for other in present if other != path and other.exists()]
    other = rng.choice(others)
    shutil.copyfile(other, path)
    return f"replace {name} by a copy of {other.relative_to(root)}"
