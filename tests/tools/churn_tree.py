#!/usr/bin/env python3
"""Change TREE as fast as possible until standard input ends: what a backup meets on a machine that is at work.

usage: churn_tree.py TREE SEED

  grow/N      is appended to: its contents are always a beginning of 0000000\\n0000001\\n0000002\\n…
  saved/N     is replaced by renaming, as editors do: lines that are all the same, 2,000 of them
  rewritten/N is written over in place, truncated first or not
  moving/     files and directories that are created, renamed, exchanged and deleted

Prints a line once each of these has been made. What is not named here is left alone.
"""
import os, random, select, shutil, sys

def main():
    tree, dice = sys.argv[1], random.Random(sys.argv[2])
    for name in ("grow", "saved", "rewritten", "moving"):
        os.makedirs(os.path.join(tree, name), exist_ok=True)
    lengths = {}

    def grow(n):
        path = os.path.join(tree, "grow", n)
        count = dice.choice((1, 10, 1000, 20000))
        first = lengths.get(n, 0)
        if first > 200_000:
            # Begun anew, under the same name.
            os.remove(path)
            first = 0
        with open(path, "ab", buffering=0) as file:
            file.write(b"".join(b"%07d\n" % i for i in range(first, first + count)))
        lengths[n] = first + count

    def save(n):
        path = os.path.join(tree, "saved", n)
        with open(path + "~", "wb") as file:
            file.write(b"%07d\n" % dice.randrange(10**7) * 2000)
        os.rename(path + "~", path)

    def rewrite(n):
        path = os.path.join(tree, "rewritten", n)
        new = os.O_TRUNC if dice.random() < 0.5 else 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | new)
        os.write(file, b"%07d\n" % dice.randrange(10**7) * dice.randrange(1, 40_000))
        os.close(file)

    def move(n):
        a, b = (os.path.join(tree, "moving", dice.choice("abcdefgh")) for _ in range(2))
        try:
            match dice.randrange(7):
                case 0: os.makedirs(os.path.join(a, "x", "y"))
                case 1: open(os.path.join(a, "x", "file"), "wb").write(os.urandom(dice.randrange(30_000)))
                case 2: open(a, "xb").write(os.urandom(dice.randrange(30_000)))
                case 3: shutil.rmtree(a) if os.path.isdir(a) else os.remove(a)
                case 4: os.symlink("x", a)
                case 5: os.link(a, b)
                case 6: os.rename(a, b)
        except OSError:
            pass

    for n in range(4):
        for change in (grow, save, rewrite, move):
            change(str(n))
    print("made", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        dice.choice((grow, save, rewrite, move, move))(str(dice.randrange(4)))

main()
