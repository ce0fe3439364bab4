#!/usr/bin/env python3
"""Change a tree as users do in a day, deterministic in SEED: edit_tree.py DIR SEED [COUNT].

COUNT changes (default 12): edits, renames, removals, many files added in the middle, links made and broken, files that become
directories and the reverse, attributes, and a large file that is overwritten, inserted into, cut, appended to, copied, moved.
"""
import os, random, shutil, stat, sys

root, seed = os.fsencode(sys.argv[1]), sys.argv[2]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 12
r = random.Random("edit %s" % seed)
join = os.path.join

def walked():
    files, directories = [], []
    for d, names, others in os.walk(root):
        names.sort()
        directories += [join(d, n) for n in names if not os.path.islink(join(d, n))]
        files += [join(d, n) for n in sorted(others) if stat.S_ISREG(os.lstat(join(d, n)).st_mode)]
    return sorted(files), sorted(directories)

def fresh(stem):
    while True:
        path = join(r.choice([root] + walked()[1]), b"%s-%04x" % (stem, r.randrange(1 << 16)))
        if not os.path.lexists(path): return path

def read(path):
    with open(path, "rb") as f: return f.read()

def write(path, data):
    with open(path, "wb") as f: f.write(data)

def some_file():
    files = walked()[0]
    return r.choice(files) if files else put_new()

def put_new():
    path = fresh(b"new"); write(path, r.randbytes(r.choice([0, 1, 100, 5000, 70_000]))); return path

def large():
    paths = [p for p in walked()[0] if os.path.getsize(p) >= 600_000]
    if paths and r.random() < 0.9: return r.choice(paths)
    path = fresh(b"large"); write(path, r.randbytes(r.choice([700_000, 1 << 20, 2_500_000]))); return path

def edit():
    path = some_file(); data = bytearray(read(path)[:100_000]); at = r.randrange(len(data) + 1)
    data[at:at + r.randrange(40)] = b"edited %d" % r.randrange(10**6); write(path, bytes(data))

def edit_unseen():
    """Same size and mtime: only ctime tells."""
    path = some_file(); st = os.stat(path); data = bytearray(read(path))
    if data: data[r.randrange(len(data))] ^= 1
    write(path, bytes(data)); os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))

def replace():
    """As editors save: another inode under the old name, with the old times."""
    path = some_file(); st = os.stat(path); new = path + b"~"
    if os.path.lexists(new) or len(os.path.basename(new)) > 255: return
    write(new, read(path) + b"saved"); os.utime(new, ns=(st.st_atime_ns, st.st_mtime_ns)); os.rename(new, path)

def move():
    path = some_file(); os.rename(path, fresh(b"moved"))

def swap():
    a, b = some_file(), some_file()
    if a != b and not os.path.samefile(a, b):
        third = fresh(b"third"); os.rename(a, third); os.rename(b, a); os.rename(third, b)

def move_directory():
    directories = walked()[1]
    if directories:
        path = r.choice(directories); new = fresh(b"dir")
        if not (new + b"/").startswith(path + b"/"): os.rename(path, new)

def remove(): os.unlink(some_file())

def remove_directory():
    small = [d for d in walked()[1] if sum(len(f) for _, _, f in os.walk(d)) < 30]
    if small: shutil.rmtree(r.choice(small))

def add_many():
    path = fresh(b"many"); os.mkdir(path)
    for i in range(r.choice([20, 150, 500])): write(join(path, b"%05d" % i), b"file %d of %s" % (i, os.path.basename(path)))

def thin_out():
    for path in walked()[0][r.randrange(3)::r.choice([7, 20])]:
        if b"many" in path: os.unlink(path)

def touch_many():
    for path in walked()[0][::r.choice([2, 9])]: os.utime(path)

def touch():
    when = r.choice([0, -86_400, 1_000_000_000, 4_000_000_000]) * 10**9 + r.randrange(10**9); os.utime(some_file(), ns=(when, when))

def chmod(): os.chmod(some_file(), r.choice([0o600, 0o644, 0o755, 0o400]))

def xattr(): os.setxattr(some_file(), "user.note", r.randbytes(r.randrange(50)))

def link(): os.link(some_file(), fresh(b"link"))

def break_link():
    linked = [p for p in walked()[0] if os.stat(p).st_nlink > 1]
    if linked: path = r.choice(linked); data = read(path); os.unlink(path); write(path, data)

def file_to_directory():
    path = some_file(); os.unlink(path); os.mkdir(path); write(join(path, b"inside"), b"was a file")

def directory_to_file():
    empty = [d for d in walked()[1] if not any(os.path.isdir(join(d, n)) for n in os.listdir(d)) and len(os.listdir(d)) < 20]
    if empty: path = r.choice(empty); shutil.rmtree(path); write(path, b"was a directory")

def relink():
    path = fresh(b"symlink"); os.symlink(b"target-%d" % r.randrange(100), path)

def overwrite_pages():
    path = large(); size = os.path.getsize(path)
    with open(path, "r+b") as f:
        for _ in range(r.choice([1, 4, 30])): f.seek(r.randrange(size) // 4096 * 4096); f.write(r.randbytes(4096))

def insert():
    path = large(); data = read(path); at = r.randrange(len(data)); write(path, data[:at] + r.randbytes(r.choice([1, 1024, 9000])) + data[at:])

def cut_out():
    path = large(); data = read(path); at = r.randrange(len(data)); write(path, data[:at] + data[at + r.choice([1, 4096, 100_000]):])

def append():
    with open(large(), "ab") as f: f.write(r.randbytes(r.choice([1, 4096, 300_000])))

def truncate(): path = large(); os.truncate(path, r.randrange(os.path.getsize(path)))

def extend(): path = large(); os.truncate(path, os.path.getsize(path) + r.choice([1, 4096, 2_000_000]))

def zero_pages():
    path = large()
    with open(path, "r+b") as f: f.seek(r.randrange(os.path.getsize(path))); f.write(bytes(r.choice([100, 70_000, 1 << 20])))

def copy_and_edit():
    path = large(); new = fresh(b"copy"); data = bytearray(read(path)); data[len(data) // 2] ^= 255; write(new, bytes(data))

def move_and_edit():
    path = large(); new = fresh(b"moved"); os.rename(path, new)
    with open(new, "r+b") as f: f.seek(os.path.getsize(new) // 3); f.write(r.randbytes(5000))

def join_large():
    a, b = large(), large(); data = read(a)[300_000:] + read(b)[:1_000_000]; write(a, data)

changes = [f for name, f in sorted(globals().items()) if callable(f) and getattr(f, "__module__", None) == "__main__"
           and name not in ("walked", "fresh", "read", "write", "some_file", "put_new", "large")] + [put_new]
for _ in range(count):
    change = r.choice(changes)
    change()
# The tree stays small: of too many files a directory goes, of too many bytes the largest file.
while len(walked()[0]) > 1500:
    shutil.rmtree(max(walked()[1], key=lambda d: (len(os.listdir(d)), d)))
held = lambda path: min(os.lstat(path).st_size, os.lstat(path).st_blocks * 512)
files = sorted(walked()[0], key=lambda path: (-held(path), path))
while sum(map(held, files)) > 12_000_000: os.unlink(files.pop(0))
