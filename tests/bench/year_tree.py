"""A directory with a life, as homes and small servers have it: most files never change, some change every night, some come and go.

| part | life |
|---|---|
| `archive` | small files that are written once; a few more each week |
| `photos`, `music` | incompressible; some photos come each week, few go |
| `mail` | a file for each message: new ones come, are renamed when they are read, and half of them go within three weeks |
| `src` | small files; each night some are edited, a few of them most of the time, and some come and go |
| `log` | one grows and is rotated every week, one every night; old ones are deleted |
| `image` | 16 MiB; each night some pages are overwritten, most of them near each other |
| `dump` | 2 MB of text, written anew each night, with insertions and changes |
| `cache` | 150 files, each night a quarter of them is replaced |
| `downloads` | files of 50 KB to 2 MB, which live for 2 to 60 days |
| `projects` | trees of 250 files and some larger ones that appear, stay for some months, and vanish |

The same seed makes the same bytes on the same night. Text compresses to about half, like what it stands for.
"""

import os
import shutil
from pathlib import Path
from random import Random

PAGE_BYTES = 4096
IMAGE_BYTES = 16 << 20


class Tree:
    """The directory, and what is going to happen to its files."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.seed = seed
        self.random = Random(f"{seed}")
        self.count = 0
        self.due: dict[int, list[Path]] = {}
        """What is to be deleted on which night."""

    def plant(self) -> None:
        """Makes the directory as the first night finds it."""
        for name in ("archive", "photos", "music", "mail", "src", "log", "cache", "downloads", "projects"):
            (self.root / name).mkdir(parents=True)
        for _ in range(1600):
            self.write_text(self.root / "archive" / str(self.random.randrange(40)), self.small_bytes())
        for _ in range(120):
            self.write_noise(self.root / "photos", self.random.randint(100_000, 400_000))
        for _ in range(10):
            self.write_noise(self.root / "music", 3_000_000)
        for _ in range(900):
            self.write_text(self.root / "mail", self.small_bytes())
        for _ in range(400):
            self.write_text(self.root / "src" / str(self.random.randrange(20)), self.small_bytes())
        for _ in range(150):
            self.write_noise(self.root / "cache", self.small_bytes())
        (self.root / "image").write_bytes(self.text(IMAGE_BYTES))
        (self.root / "dump").write_bytes(self.text(2_000_000))
        self.check_out(0)

    def live(self, night: int) -> None:
        """Lets one day pass. On weekends less happens."""
        self.random = Random(f"{self.seed}-{night}")
        busy = 0.3 if night % 7 >= 5 else 1.0
        for path in self.due.pop(night, []):
            remove(path)
        self.keep_logs(night)
        self.overwrite_pages(int(40 * busy) + 4)
        self.dump_again(int(8 * busy) + 2)
        self.edit_sources(int(14 * busy) + 1)
        self.deliver_mail(night, int(14 * busy) + 2)
        self.replace_cache(int(38 * busy))
        for _ in range(self.random.choice((0, 1, 1, 2))):
            path = self.write_noise(self.root / "downloads", int(self.random.uniform(220, 1400) ** 2))
            self.delete_after(night, (2, 60), path)
        if night % 7 == 5:
            for _ in range(self.random.randint(1, 6)):
                self.write_noise(self.root / "photos", self.random.randint(100_000, 400_000))
            for _ in range(6):
                self.write_text(self.root / "archive" / str(self.random.randrange(40)), self.small_bytes())
            self.forget_some("archive/7", 1)
            self.forget_some("photos", 1)
        if night % 29 == 17:
            self.check_out(night)

    def keep_logs(self, night: int) -> None:
        log = self.root / "log"
        with open(log / "app", "ab") as file:
            file.write(self.text(self.random.randint(40_000, 120_000)))
        if night % 7 == 6:
            rotated = log / f"app-{night}"
            (log / "app").rename(rotated)
            self.due.setdefault(night + 56, []).append(rotated)
        system = log / f"system-{night}"
        system.write_bytes(self.text(self.random.randint(40_000, 80_000)))
        self.due.setdefault(night + 14, []).append(system)

    def overwrite_pages(self, count: int) -> None:
        """Three of four pages lie in a region that moves on slowly, the others anywhere."""
        pages = IMAGE_BYTES // PAGE_BYTES
        region = self.random.randrange(pages - 256)
        with open(self.root / "image", "r+b") as file:
            for at in range(count):
                page = region + self.random.randrange(256) if at % 4 else self.random.randrange(pages)
                file.seek(page * PAGE_BYTES)
                file.write(self.text(PAGE_BYTES))

    def dump_again(self, count: int) -> None:
        text = bytearray((self.root / "dump").read_bytes())
        for _ in range(count):
            at, length = self.random.randrange(len(text)), self.random.randint(100, 6000)
            text[at : at + length * self.random.randrange(2)] = self.text(length)
        self.replace(self.root / "dump", bytes(text))

    def edit_sources(self, count: int) -> None:
        files = sorted(path for path in (self.root / "src").rglob("*") if path.is_file())
        for _ in range(count):
            path = files[int(len(files) * self.random.random() ** 3)]
            text = bytearray(path.read_bytes())
            at = self.random.randrange(len(text) + 1)
            text[at : at + self.random.randint(0, 400)] = self.text(self.random.randint(20, 500))
            self.replace(path, bytes(text))
        if count > 5:
            self.write_text(self.root / "src" / str(self.random.randrange(20)), self.small_bytes())
            self.forget_some(f"src/{self.random.randrange(20)}", 1)

    def deliver_mail(self, night: int, count: int) -> None:
        mail = self.root / "mail"
        for path in sorted(mail.glob("*.new")):
            path.rename(path.with_suffix(""))
        for _ in range(count):
            path = mail / f"{self.number()}.new"
            path.write_bytes(self.text(self.small_bytes()))
            if self.random.random() < 0.5:
                self.delete_after(night, (2, 21), path.with_suffix(""))

    def replace_cache(self, count: int) -> None:
        files = sorted((self.root / "cache").iterdir())
        for path in self.random.sample(files, count):
            path.unlink()
            self.write_noise(self.root / "cache", self.small_bytes())

    def check_out(self, night: int) -> None:
        """A project comes, for some months."""
        project = self.root / "projects" / str(self.number())
        for _ in range(250):
            self.write_text(project / str(self.random.randrange(12)), self.small_bytes())
        for _ in range(4):
            self.write_noise(project, 400_000)
        self.delete_after(night, (30, 150), project)

    def forget_some(self, directory: str, count: int) -> None:
        files = sorted(path for path in (self.root / directory).iterdir() if path.is_file())
        for path in self.random.sample(files, min(count, len(files))):
            path.unlink()

    def delete_after(self, night: int, days: tuple[int, int], path: Path) -> None:
        self.due.setdefault(night + self.random.randint(*days), []).append(path)

    def write_text(self, directory: Path, length: int) -> Path:
        return self.write(directory, self.text(length))

    def write_noise(self, directory: Path, length: int) -> Path:
        return self.write(directory, self.random.randbytes(length))

    def write(self, directory: Path, contents: bytes) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / str(self.number())
        path.write_bytes(contents)
        return path

    def replace(self, path: Path, contents: bytes) -> None:
        """As editors do it: the new file takes the place of the old one."""
        new = path.with_name("new")
        new.write_bytes(contents)
        os.replace(new, path)

    def number(self) -> int:
        self.count += 1
        return self.count

    def text(self, length: int) -> bytes:
        return self.random.randbytes(length // 2 + 1).hex().encode()[:length]

    def small_bytes(self) -> int:
        """Most files are of some kilobytes, few of more than fifty."""
        return min(200_000, int(self.random.lognormvariate(8.5, 1.0)) + 1)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
