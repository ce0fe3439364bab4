//! Lines that pileus prints for people to type. Each is taken out of what is printed in its situation and run as it is; and then what was
//! wrong is right.
//!
//! A situation is a shell script. `line` is what stands in its output between two texts, and `run` uses it. `right` is what people want: it fails
//! in the situation, and succeeds once the line was run.

use crate::harness::{Ended, Place, is_root};

struct Advice {
    name: &'static str,
    situation: &'static str,
    line: (&'static str, &'static str),
    run: &'static str,
    right: &'static str,
}

/// Of local state and the store.
const OF_STORES: [Advice; 12] = [
    Advice {
        name: "local state is lost",
        situation: "pileus backup --dest=store --localdb=state tree; rm -r state
            pileus backup --dest=store --localdb=state --dry-run tree",
        line: ("name it with --localdb; ", " would make it"),
        run: "eval \"$LINE\"",
        right: "pileus backup --dest=store --localdb=state --dry-run --json tree | grep '\"new_data_bytes\":0'",
    },
    Advice {
        name: "local state is new, and the store has other schemes",
        situation: "pileus backup --dest=store --localdb=a --scheme=a tree
            pileus backup --dest=store --localdb=b --scheme=b --dry-run tree",
        line: ("to share it, ", " comes first"),
        run: "eval \"$LINE\"",
        right: "pileus backup --dest=store --localdb=b --scheme=b --dry-run --json tree | grep '\"new_data_bytes\":0'",
    },
    Advice {
        name: "a segment is damaged",
        situation: "pileus backup --dest=store --compression=none tree; damage 1
            pileus verify --dest=store --level=files",
        line: ("stores again what it still has of it: ", "\n"),
        run: "eval \"$LINE\"; pileus backup --dest=store tree",
        right: "pileus verify --dest=store --snapshot=latest --level=files; test $(ls store/*.lbs | wc -l) = 2",
    },
    Advice {
        name: "several segments are damaged",
        situation: "pileus backup --dest=store --compression=none --segment-size=4K tree; damage 3
            pileus verify --dest=store --level=objects",
        line: ("stores again what it still has of it: ", "\n"),
        run: "eval \"$LINE\"; pileus backup --dest=store tree",
        right: "pileus verify --dest=store --snapshot=latest --level=files; test $(ls store/*.lbs | wc -l) = 2",
    },
    Advice {
        name: "a damaged snapshot has a newer one without damage",
        situation: "pileus backup --dest=store --localdb=state --compression=none tree; damage 1
            pileus verify --dest=store --json | pileus clean --localdb=state --lost-from=-
            pileus backup --dest=store --localdb=state tree
            pileus verify --dest=store --level=files --localdb=state",
        line: ("a newer one without damage: ", "\n"),
        run: "eval \"$LINE\"",
        right: "pileus verify --dest=store --level=files",
    },
    Advice {
        name: "a descriptor is damaged",
        situation: "pileus backup --dest=store tree; echo x >$(ls store/*.lbs); pileus backup --dest=store --scheme=b tree
            pileus list --dest=store",
        line: ("it goes with ", "\n"),
        run: "eval \"$LINE\"",
        right: "pileus list --dest=store",
    },
    Advice {
        name: "the local database is damaged",
        situation: "pileus backup --dest=store tree; yes | head -c 20000 >store/localdb.sqlite
            pileus backup --dest=store tree",
        line: ("): ", " makes a new one"),
        run: "eval \"$LINE\" || test $? = 3",
        right: "pileus backup --dest=store tree",
    },
    Advice {
        name: "another run holds the lock",
        situation: "pileus backup --dest=store tree; flock store/localdb.lock pileus backup --dest=store tree",
        line: ("wait for it with ", "\n"),
        run: "flock store/localdb.lock sleep 0.3 & pileus backup --dest=store $LINE tree",
        right: "test $(ls store/*.lbs | wc -l) = 2",
    },
    Advice {
        name: "a pinned snapshot is to be removed",
        situation: "pileus backup --dest=store tree; pileus backup --dest=store --scheme=b tree
            pileus prune --dest=store --pin=b- --keep-last=all; pileus prune --dest=store --remove=b-",
        line: ("take the pin away with ", " before"),
        run: "pileus prune --dest=store $LINE --keep-last=all; pileus prune --dest=store --remove=b-",
        right: "test $(ls store/*.lbs | wc -l) = 1",
    },
    Advice {
        name: "the last snapshot without problems is about to go",
        situation: "pileus backup --dest=store tree; echo tree/missing >list; echo more >tree/more
            pileus backup --dest=store --files-from=list tree; pileus prune --dest=store --keep-last=1 --dry-run",
        line: ("goes (", " keeps it"),
        run: "pileus prune --dest=store --keep-last=1 $LINE",
        right: "ls store/*.pinned; test $(ls store/*.lbs | wc -l) = 2",
    },
    Advice {
        name: "a configured scheme hides damage",
        situation: "pileus backup --dest=store --scheme=a --compression=none tree; damage 1
            pileus backup --dest=other --scheme=b tree; cp other/snapshot* other/*.tar* store
            printf 'dest = \"%s/store\"\\nscheme = \"b\"\\n' \"$PWD\" >pileus.toml
            pileus verify --config=pileus.toml",
        line: (" not shown; ", " verifies all"),
        run: "pileus verify --config=pileus.toml $LINE 2>found || test $? = 3",
        right: "grep 'is damaged' found",
    },
    Advice {
        name: "a directory is no store",
        situation: "mkdir full; touch full/letter; pileus backup --dest=full tree",
        line: (": write ", " for a directory"),
        run: "eval pileus backup \"$LINE\" tree",
        right: "ls full/store/*.lbs",
    },
];

/// Of what was typed.
const OF_TYPING: [Advice; 16] = [
    Advice {
        name: "a directory is to become a store all the same",
        situation: "mkdir full; touch full/letter; pileus backup --dest=full tree",
        line: ("or add ", " to put"),
        run: "pileus backup --dest=full $LINE tree",
        right: "ls full/*.lbs",
    },
    Advice {
        name: "a directory is called like a place of another program",
        situation: "pileus backup --dest=user@host:backup tree",
        line: ("a directory of that name is ", "\n"),
        run: "eval pileus backup \"$LINE\" tree",
        right: "ls user@host:backup/*.lbs",
    },
    Advice {
        name: "a home directory in a path",
        situation: "pileus backup --dest=~/backup tree",
        line: (": write ", ", with a blank"),
        run: "eval pileus backup \"$LINE\" tree",
        right: "ls \"$HOME\"/backup/*.lbs",
    },
    Advice {
        name: "a home directory in a pattern",
        situation: "pileus backup --dest=store '--exclude=~/tree/noise' \"$HOME/tree\"",
        line: (": write ", ", or"),
        run: "eval pileus backup --dest=store --exclude=\"$LINE\" '\"$HOME/tree\"'",
        right: "pileus ls --dest=store | grep tree/file; ! pileus ls --dest=store | grep noise",
    },
    Advice {
        name: "a source is a link",
        situation: "ln -s tree link; pileus backup --dest=store link",
        line: ("write ", " for"),
        run: "pileus backup --dest=store $LINE",
        right: "pileus ls --dest=store link/file",
    },
    Advice {
        name: "an include that leaves nothing out",
        situation: "pileus backup --dest=store --include=tree/file tree",
        line: (": add ", " behind it"),
        run: "eval pileus backup --dest=store --include=tree/file \"$LINE\" tree",
        right: "! pileus ls --dest=store tree/noise",
    },
    Advice {
        name: "a command without its dashes",
        situation: "pileus backup --dest=store --stdin-from-command=x.sql echo hello",
        line: ("before the command: ", " (see"),
        run: "eval pileus backup --dest=store \"$LINE\"",
        right: "pileus cat --dest=store x.sql | grep hello",
    },
    Advice {
        name: "a path that the latest snapshot does not have",
        situation: "touch tree/gone; pileus backup --dest=store tree; rm tree/gone; pileus backup --dest=store tree
            pileus ls --dest=store tree/gone",
        line: ("in all of them: ", "\n"),
        run: "eval \"$LINE\" >found",
        right: "grep gone found",
    },
    Advice {
        name: "a snapshot in place of a path",
        situation: "pileus backup --dest=store tree; pileus ls --dest=store latest",
        line: ("is chosen with ", "\n"),
        run: "pileus ls --dest=store $LINE >found",
        right: "grep tree/file found",
    },
    Advice {
        name: "a directory in place of a file",
        situation: "pileus backup --dest=store tree; pileus cat --dest=store tree",
        line: ("a directory: ", " shows"),
        run: "eval \"$LINE\" >found",
        right: "grep tree/file found",
    },
    Advice {
        name: "no such snapshot",
        situation: "pileus backup --dest=store tree; pileus ls --dest=store --snapshot=x",
        line: (" (", " names all"),
        run: "eval \"$LINE\" >found",
        right: "grep SNAPSHOT found",
    },
    Advice {
        name: "the snapshot before the latest",
        situation: "pileus backup --dest=store tree; pileus ls --dest=store --snapshot=latest~1",
        line: ("\"latest~1\": ", " names"),
        run: "eval \"$LINE\" >found",
        right: "grep SNAPSHOT found",
    },
    Advice {
        name: "a damaged snapshot is chosen",
        situation: "pileus backup --dest=store tree; echo x >$(ls store/*.lbs); pileus ls --dest=store",
        line: ("another snapshot (", " names them"),
        run: "eval \"$LINE\" >found || test $? = 3",
        right: "test -e found",
    },
    Advice {
        name: "a scheme in place of a snapshot",
        situation: "for i in 1 2; do pileus backup --dest=store --scheme=b tree; done; pileus ls --dest=store --snapshot=b",
        line: (", or ", " for the latest"),
        run: "pileus ls --dest=store $LINE >found",
        right: "grep tree/file found",
    },
    Advice {
        name: "a repository as other programs name it",
        situation: "pileus backup --dest=store tree; pileus -r store snapshots",
        line: ("behind the command: ", " (see"),
        run: "eval \"$LINE\" >found",
        right: "grep SNAPSHOT found",
    },
    Advice {
        name: "a codec without levels",
        situation: "pileus backup --dest=store --compression=none:3 tree",
        line: ("has no levels: use ", "\n"),
        run: "pileus backup --dest=store $LINE tree",
        right: "ls store/*.lbs",
    },
];

/// Of what is in the way of a restore.
const OF_RESTORES: [Advice; 5] = [
    Advice {
        name: "a file of the snapshot's size and time",
        situation: "pileus backup --dest=store tree; pileus restore --dest=store --target=out
            printf 'CONTENTS\\n' >out/tree/file; touch -r tree/file out/tree/file; pileus restore --dest=store --target=out",
        line: ("size and time; ", " would replace it"),
        run: "pileus restore --dest=store --target=out $LINE",
        right: "cmp tree/file out/tree/file",
    },
    Advice {
        name: "a file of another size",
        situation: "pileus backup --dest=store tree; mkdir -p out/tree; echo other >out/tree/file
            pileus restore --dest=store --target=out",
        line: ("exists already; ", " or always"),
        run: "pileus restore --dest=store --target=out $LINE",
        right: "cmp tree/file out/tree/file",
    },
    Advice {
        name: "a directory in the place of a file",
        situation: "pileus backup --dest=store tree; mkdir -p out/tree/file/inner; pileus restore --dest=store --target=out",
        line: ("in its place: ", " would remove it"),
        run: "pileus restore --dest=store --target=out $(echo \"$LINE\" | sed 's/ with / /')",
        right: "cmp tree/file out/tree/file",
    },
    Advice {
        name: "a file in the place of a directory",
        situation: "pileus backup --dest=store tree; mkdir out; echo x >out/tree; pileus restore --dest=store --target=out",
        line: ("not a directory is there; ", " or always"),
        run: "pileus restore --dest=store --target=out $LINE",
        right: "cmp tree/file out/tree/file",
    },
    Advice {
        name: "deleting without replacing",
        situation: "pileus backup --dest=store tree; mkdir -p out/tree; touch out/tree/more
            pileus restore --dest=store --target=out --delete",
        line: (": add ", " or if-changed"),
        run: "pileus restore --dest=store --target=out --delete $LINE",
        right: "test ! -e out/tree/more; test -e out/tree/file",
    },
];

/// `damage N` changes bytes in the N largest segments.
const DAMAGE: &str = "damage() {
    for segment in $(ls -S store/*.tar | head -n $1); do
        printf damaged | dd of=$segment bs=1 seek=3000 conv=notrunc 2>/dev/null
    done
}";

fn shell(place: &Place, flags: &str, script: &str, line: &str) -> Ended {
    let mut command = place.program("sh");
    let script = format!("{DAMAGE}\n{script}");
    Ended::of(command.args([flags, &script]).env("LINE", line))
}

/// Returns what stands between two texts, the first time that it does.
fn between<'t>(text: &'t str, (before, behind): (&str, &str)) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(line, _)| line)
}

/// Runs a situation, its line and what is wanted; says what is wrong with the advice.
fn follow(place: &Place, advice: &Advice) -> Result<(), String> {
    place.write("tree/file", "contents\n");
    place.sh("head -c 30000 /dev/urandom >tree/noise");
    let told = shell(place, "-uc", advice.situation, "");
    let output = format!("{}{}", told.stdout, told.stderr);
    let line = between(&output, advice.line).ok_or_else(|| format!("is not given: {output}"))?;
    let right = |place: &Place| shell(place, "-euc", advice.right, line);
    if right(place).code == Some(0) {
        return Err(format!("{line}: is not needed: {output}"));
    }
    let run = shell(place, "-euc", advice.run, line);
    if run.code != Some(0) {
        return Err(format!("{line}: fails: {run:?}"));
    }
    let right = right(place);
    if right.code == Some(0) {
        Ok(())
    } else {
        Err(format!("{line}: does not help: {right:?}, after {run:?}"))
    }
}

fn follow_all(all: &[Advice]) {
    let wrong = all.iter().filter_map(|advice| {
        let wrong = follow(&Place::new(), advice).err()?;
        Some(format!("{}: {wrong}", advice.name))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_advised_about_stores_helps() {
    follow_all(&OF_STORES);
}

#[test]
fn what_is_advised_about_what_was_typed_helps() {
    follow_all(&OF_TYPING);
}

#[test]
fn what_is_advised_about_what_is_in_the_way_helps() {
    follow_all(&OF_RESTORES);
}

#[test]
fn a_disk_that_is_not_mounted_is_mounted_by_the_line_that_says_so() {
    if !is_root() {
        // A user's namespace has no fstab that counts.
        return;
    }
    let place = Place::new();
    place.write("tree/file", "contents\n");
    place.sh_in_own_mounts(
        "mkdir disk image; mount -t tmpfs tmpfs image
        echo \"$PWD/image $PWD/disk none bind 0 0\" >fstab; mount --bind fstab /etc/fstab
        mount \"$PWD/disk\"; pileus backup --dest=disk tree; umount disk
        ! pileus backup --dest=disk tree 2>told
        line=$(sed -n 's/.*mount it first (\\(.*\\)); add .*/\\1/p' told)
        eval \"$line\"; pileus backup --dest=disk tree; test $(ls disk/*.lbs | wc -l) = 2; umount disk
        ! pileus backup --dest=disk tree 2>told
        line=$(sed -n 's/.*; add \\(--new-store\\) if.*/\\1/p' told)
        pileus backup --dest=disk $line tree; test $(ls disk/*.lbs | wc -l) = 1",
    );
}
