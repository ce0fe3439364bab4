//! The files that a backup leaves in the store: which, readable by whom, written how, and never backed up themselves.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Ended, Place, need};

/// Returns the paths of the latest snapshot.
fn stored_paths(place: &Place, dest: &str) -> BTreeSet<String> {
    let listed = place.succeed(["ls", "--dest", dest]);
    listed.stdout.lines().map(str::to_owned).collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(ToString::to_string).collect()
}

#[test]
fn a_store_inside_the_source_is_not_backed_up_into_itself() {
    let place = Place::new();
    place.write("home/letter", "text");
    place.sh("mkdir home/store home/state");
    place.write("home/store/notes.txt", "a foreign file");
    place.write("home/store/snapshot-of-my-desk.png", "another one");
    place.write("home/store/dir/inside", "in a directory of the user's");
    place.write("home/state/readme", "a foreign file beside local state");
    let expected = set(&[
        "home",
        "home/letter",
        "home/state",
        "home/state/readme",
        "home/store",
        "home/store/dir",
        "home/store/dir/inside",
        "home/store/notes.txt",
        "home/store/snapshot-of-my-desk.png",
    ]);
    for (options, schemes) in [
        (&[][..], ["--scheme=a", "--scheme=b"]),
        (&["--localdb=home/state"], ["--scheme=c", "--scheme=d"]),
    ] {
        // Snapshots of different schemes need not wait for one another's second to pass.
        for scheme in schemes {
            let fixed = ["backup", "--dest=home/store", "--new-store", scheme, "home"];
            let ended = place.run([&fixed, options].concat());
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert_eq!(stored_paths(&place, "home/store"), expected, "{options:?}");
        }
    }
    // What a run that was killed leaves behind is the store's own, too.
    let unfinished = ".90b3367e-c348-47df-8e3c-4f2b64714d8c.tar.bz2.part";
    place.write(&format!("home/store/{unfinished}"), "");
    let state = "--localdb=home/state";
    let scheme = "--scheme=e";
    let ended = place.succeed(["backup", "--dest=home/store", state, scheme, "-v", "home"]);
    assert!(ended.stdout.contains("home/store: left out "), "{ended:?}");
    assert_eq!(stored_paths(&place, "home/store"), expected);
    place.succeed(["verify", "--dest=home/store", "--level=files"]);
}

#[test]
fn the_store_is_known_by_whatever_path_it_is_named() {
    let place = Place::new();
    place.write("home/letter", "text");
    place.sh("mkdir home/store home/sub; ln -s home/store alias; ln -s .. home/up");
    let absolute = place.join("home/store").display().to_string();
    for (number, dest) in [
        "home/store/",
        "./home//./store",
        "home/sub/../store",
        "alias",
        "home/up/home/store",
        &absolute,
    ]
    .into_iter()
    .enumerate()
    {
        let scheme = format!("--scheme=a{number}");
        place.succeed(["backup", "--dest", dest, &scheme, "home"]);
        let expected = ["home", "home/letter", "home/store", "home/sub", "home/up"];
        assert_eq!(stored_paths(&place, dest), set(&expected), "{dest}");
    }
    let from_below = [
        "backup",
        "--dest=../store",
        "--localdb=.",
        "--scheme=b",
        ".",
    ];
    let mut command = place.command(from_below);
    let ended = Ended::of(command.current_dir(place.join("home/sub")));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(stored_paths(&place, "home/store"), set(&["."]));
    let mut command = place.command(["backup", "--dest=.", "--scheme=c", "."]);
    let ended = Ended::of(command.current_dir(place.join("home/store")));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(stored_paths(&place, "home/store"), set(&["."]));
}

#[test]
fn sources_are_recorded_with_the_directories_above_them_and_without_their_neighbours() {
    let place = Place::new();
    for file in ["a/b/c/file", "a/b/neighbour", "a/d/file", "z"] {
        place.write(file, "");
    }
    place.sh("chmod 710 a; chmod 2751 a/b; touch -d @1000.5 a/b a");
    place.succeed([
        "backup",
        "--dest=store",
        "z",
        "a/d/",
        "./a//b/c",
        "a/b/c/file",
    ]);
    let expected = ["a", "a/b", "a/b/c", "a/b/c/file", "a/d", "a/d/file", "z"];
    assert_eq!(stored_paths(&place, "store"), set(&expected));
    place.succeed(["restore", "--dest=store", "--target=back"]);
    let attributes = |tree: &str| place.sh(&format!("cd {tree} && stat -c '%a %u %Y %y' a a/b"));
    assert_eq!(attributes("back"), attributes("."));
    let absolute = place.join("a/b/c").display().to_string();
    place.succeed(["backup", "--dest=store-2", &absolute]);
    let stored = stored_paths(&place, "store-2");
    assert!(
        stored.contains(&absolute[1..]) && stored.contains("tmp") || !absolute.starts_with("/tmp/")
    );
    assert!(!stored.contains(&format!("{}/neighbour", &absolute[1..absolute.len() - 2])));
}

/// Returns the mode of every file in a directory, for the error message with its name.
fn assert_private(place: &Place, directory: &str, is_meant: impl Fn(&str) -> bool) {
    let names = place.names(directory);
    for name in names.iter().filter(|name| is_meant(name)) {
        let path = place.join(directory).join(name);
        let mode = path.metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
}

/// Runs a backup of a small tree with a umask that hides nothing.
fn with_open_umask(place: &Place) {
    place.write("tree/secret", "secret");
    let umask = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];
    let mut command = place.command_under(&umask, ["backup", "--dest=store", "tree"]);
    assert_eq!(Ended::of(&mut command).code, Some(0));
}

#[test]
fn what_is_published_is_for_the_owner_alone() {
    let place = Place::new();
    with_open_umask(&place);
    assert_eq!(place.sh("stat -c %a store"), "700\n");
    assert_private(&place, "store", |name| !name.starts_with("localdb.sqlite"));
}

#[test]
fn local_state_is_for_the_owner_alone() {
    let place = Place::new();
    with_open_umask(&place);
    assert_private(&place, "store", |name| name.starts_with("localdb"));
}

#[test]
fn a_group_may_read_a_store_whose_directory_is_the_groups_alone_and_never_local_state() {
    let place = Place::new();
    place.write("tree/secret", "secret");
    place.sh("mkdir store && chmod 2770 store");
    let umask = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let words = ["backup", "--dest=store", "tree"];
    assert_eq!(
        Ended::of(&mut place.command_under(&umask, words)).code,
        Some(0)
    );
    let modes = place.sh("cd store && stat -c %a snapshot* *.tar* | sort -u; stat -c %a localdb* statcache | sort -u");
    assert_eq!(modes, "640\n600\n");
}

#[test]
fn a_backup_opens_no_file_of_the_store_that_its_local_state_knows() {
    need("strace");
    let place = Place::new();
    place.sample_tree("tree", 7);
    place.write("tree/again", "contents");
    place.succeed(["backup", "--dest=store", "--localdb=state", "tree"]);
    place.write("tree/new", "new contents");
    let strace = [
        "strace",
        "-f",
        "-y",
        "-o",
        "trace",
        "-e",
        "trace=openat,open,flock",
    ];
    let arguments = ["backup", "--dest=store", "--localdb=state", "tree"];
    let ended = Ended::of(&mut place.command_under(&strace, arguments));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let trace = std::fs::read_to_string(place.join("trace")).expect("is read");
    let store = format!("{}/store", place.path().display());
    // Of a call that another thread interrupted, the first half says all.
    let of_store = |line: &&str| {
        !line.contains(" resumed>") && (line.contains("\"store") || line.contains(&store))
    };
    let touched: Vec<_> = trace.lines().filter(of_store).collect();
    let writes = |line: &str| line.contains("O_WRONLY|O_CREAT|O_EXCL");
    let itself = format!("<{store}>");
    let opens_directory = |line: &str| line.contains("openat(") && line.ends_with(&itself);
    assert!(touched.iter().any(|line| writes(line)), "{trace}");
    for line in touched {
        assert!(writes(line) || opens_directory(line), "{line}");
    }
}

#[test]
fn equal_contents_are_stored_once() {
    let place = Place::new();
    place.sh("mkdir tree; head -c 2500000 /dev/urandom >tree/one; cp tree/one tree/two; head -c 1048576 tree/one >tree/head; head -c 4000000 /dev/zero >tree/zeros");
    let backup = |scheme| {
        let arguments = ["backup", "--dest=store", "--json", scheme, "tree"];
        place.succeed(arguments).summary()
    };
    let first = backup("--scheme=a");
    assert_eq!(first["new_data_bytes"], 2_500_000);
    let before = place.names("store");
    let second = backup("--scheme=b");
    assert_eq!(second["new_data_bytes"], 0);
    // The directory and the zeros have no blocks, and this scheme sees them for the first time.
    assert_eq!((&first["entries"], &second["old"]), (&5.into(), &3.into()));
    assert_eq!(
        place.names("store").len(),
        before.len() + 4,
        "metadata, sums, descriptor, stat cache"
    );
    place.sh(
        "head -c 1000 /dev/urandom >tree/more; mv tree/two tree/moved; cat tree/more >>tree/moved",
    );
    let third = backup("--scheme=c");
    assert_eq!(
        third["new_data_bytes"], 1000,
        "what was appended, which is a file of its own too"
    );
    for snapshot in [&first, &second, &third] {
        let name = snapshot["snapshot"].as_str().expect("text");
        place.succeed([
            "verify",
            "--dest=store",
            "--level=files",
            "--snapshot",
            name,
        ]);
    }
    place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
}
