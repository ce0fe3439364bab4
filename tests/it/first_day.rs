//! What people get wrong on their first day: each slip is refused, or does what was meant.

use std::fs;

use crate::harness::{Ended, Place};

/// Places as other programs write them.
const ELSEWHERE: [&str; 12] = [
    "user@host:backup",
    "nas:backup",
    "sftp:nas",
    "sftp://user@nas/backup",
    "ssh://nas/backup",
    "s3:bucket",
    "s3://bucket/prefix",
    "rclone:cloud:backup",
    "b2:bucket",
    "rest:https://nas:8000/",
    "webdavs://nas/backup",
    "file:backup",
];

fn place() -> Place {
    let place = Place::new();
    place.write("tree/file", "contents\n");
    place
}

fn bytes(place: &Place, directory: &str) -> u64 {
    let text = place.sh(&format!(
        "du -sb --exclude='*localdb*' {directory} | cut -f1"
    ));
    text.trim().parse().expect("a number")
}

#[test]
fn a_place_of_another_program_is_refused_by_every_command() {
    let place = place();
    let commands: [&[&str]; 14] = [
        &["backup", "tree"],
        &["restore", "--target=out"],
        &["list"],
        &["ls"],
        &["cat", "tree/file"],
        &["export"],
        &["find", "file"],
        &["diff", "latest"],
        &["stats"],
        &["report"],
        &["verify"],
        &["prune", "--keep-last=1"],
        &["rebuild"],
        &["list", "--json"],
    ];
    for command in commands {
        for word in ["user@host:backup", "s3:bucket"] {
            let dest = format!("--dest={word}");
            let ended = place.run([&command[..1], &[&dest], &command[1..]].concat());
            ended.assert_one_line(2, &[word, "mount it", "--dest='./"]);
            let apart = place.run([&command[..1], &["--store", word], &command[1..]].concat());
            apart.assert_one_line(2, &[word]);
        }
    }
    for word in ELSEWHERE {
        place
            .run(["backup", &format!("--dest={word}"), "tree"])
            .assert_one_line(2, &[word]);
    }
    let others = [
        ["clean", "--localdb=nas:state", ""],
        ["backup", "--dest=store", "--localdb=nas:state"],
        ["restore", "--dest=store", "--target=nas:out"],
    ];
    for words in others {
        let ended = place.run(words.iter().filter(|word| !word.is_empty()));
        ended.assert_one_line(2, &["nas:", "no directory of this machine"]);
    }
    assert_eq!(place.names("."), ["tree"]);
}

#[test]
fn a_place_of_another_program_is_refused_where_it_is_configured() {
    let place = place();
    for word in ELSEWHERE {
        place.write("pileus.toml", format!("dest = \"{word}\"\n"));
        let ended = place.run(["list", "--config=pileus.toml"]);
        ended.assert_one_line(
            2,
            &["pileus.toml:1:8", word, "no directory of this machine"],
        );
        let ended = Ended::of(place.command(["list"]).env("PILEUS_DEST", word));
        ended.assert_one_line(2, &["PILEUS_DEST", word, "no directory of this machine"]);
    }
}

#[test]
fn a_directory_called_like_a_place_of_another_program_is_reached_with_its_path() {
    let place = place();
    place.succeed(["backup", "--dest=./user@host:backup", "tree"]);
    // One that an earlier slip made is no reason to go on with the slip.
    place
        .run(["list", "--dest=user@host:backup"])
        .assert_one_line(2, &["--dest='./user@host:backup'"]);
    place.succeed(["verify", "--dest=./user@host:backup"]);
    let whole = place.join("user@host:backup");
    let whole = whole.to_str().expect("is text");
    place.succeed(["list", &format!("--dest={whole}")]);
    place.succeed(["list", &format!("--dest=file://{whole}")]);
    place.write("pileus.toml", format!("dest = \"file://{whole}\"\n"));
    place.succeed(["list", "--config=pileus.toml"]);
}

#[test]
fn a_directory_of_other_things_becomes_a_store_only_if_that_is_said() {
    let place = place();
    place.sh("mkdir full hidden; touch full/letter full/photo hidden/.bashrc");
    for dest in ["full", "hidden", "/"] {
        let dest = format!("--dest={dest}");
        for dry in [&[][..], &["--dry-run"]] {
            let ended = place.run([&["backup", &dest], dry, &["tree"]].concat());
            ended.assert_one_line(2, &["no store", "--new-store", "/store for a directory"]);
        }
    }
    assert_eq!(place.names("full"), ["letter", "photo"]);
    assert_eq!(place.names("hidden"), [".bashrc"]);
    place.succeed(["backup", "--dest=full", "--new-store", "tree"]);
    // From then on it is a store, and after a run that published nothing, too.
    place.succeed(["backup", "--dest=full", "tree"]);
    place.sh("rm full/*.lbs full/*.sha1sums full/localdb* full/statcache*");
    place.succeed(["backup", "--dest=full", "tree"]);
    place.write(
        "pileus.toml",
        format!(
            "dest = \"{}/hidden\"\n[backup]\nnew-store = true\n",
            place.path().display()
        ),
    );
    place.succeed(["backup", "--config=pileus.toml", "tree"]);
}

#[test]
fn what_every_disk_has_and_what_a_store_has_is_no_other_thing() {
    let place = place();
    place.sh(
        "mkdir -p disk/lost+found 'disk/System Volume Information' disk/.Trash-0 empty state-only",
    );
    place.succeed(["backup", "--dest=disk", "tree"]);
    place.succeed(["backup", "--dest=empty", "tree"]);
    place.succeed(["backup", "--dest=empty", "--localdb=state-only", "tree"]);
    place.succeed(["backup", "--dest=empty/new", "tree"]);
    place.sh("mkdir began; cp state-only/localdb.lock began; touch began/notes");
    place.succeed(["backup", "--dest=began", "tree"]);
    for fixture in ["lbs-0.6", "cumulus-0.11"] {
        let from = crate::harness::project(&format!("tests/fixtures/{fixture}"));
        if !from.join("store").exists() {
            continue;
        }
        place.sh(&format!(
            "cp -r {}/store {fixture}; touch {fixture}/README",
            from.display()
        ));
        let ended = place.run([
            "backup",
            &format!("--dest={fixture}"),
            "--scheme=new",
            "tree",
        ]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn a_mount_point_without_its_disk_gets_no_store() {
    let place = place();
    let told = place.sh_in_own_mounts(
        "mkdir disk; mount -t tmpfs tmpfs disk; mkdir disk/sub
        pileus backup --dest=disk/sub/store tree; pileus backup --dest=disk --new-store --scheme=b tree; umount disk
        mkdir disk/sub
        for dest in disk disk/sub/store; do
            pileus backup --dest=$dest tree 2>told && exit 1; cat told
            pileus backup --dest=$dest --localdb=elsewhere tree 2>told && exit 1; cat told
        done
        find disk
        rm -r disk/sub; mount -t tmpfs tmpfs disk
        pileus backup --dest=disk tree; umount disk
        pileus backup --dest=disk --new-store tree; pileus backup --dest=disk tree",
    );
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 6, "{told}");
    for line in &lines[..4] {
        assert!(line.contains("not mounted on"), "{line}");
        assert!(
            line.contains("(mount ") && line.contains("--new-store"),
            "{line}"
        );
    }
    assert_eq!(lines[4..], ["disk", "disk/sub"], "nothing is made there");
}

#[test]
fn local_state_that_moves_out_of_the_store_is_not_begun_again() {
    let place = Place::new();
    place.sh("mkdir tree; head -c 400000 /dev/urandom >tree/file");
    place.succeed(["backup", "--dest=store", "tree"]);
    let before = bytes(&place, "store");
    let nightly = ["--dest=store", "--localdb=state", "--scheme=night", "tree"];
    let dry = place.succeed([&["backup", "--dry-run", "--json"], &nightly[..]].concat());
    assert_eq!(dry.summary()["new_data_bytes"], 0);
    assert!(!place.join("state").exists());
    for _ in 0..2 {
        place.succeed([&["backup"], &nightly[..]].concat());
    }
    let grown = bytes(&place, "store") - before;
    assert!(grown < 20_000, "{grown} bytes are stored again");
    place.succeed(["backup", "--dest=store", "--localdb=state", "tree"]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    let again = place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state2",
        "--json",
        "tree",
    ]);
    assert_eq!(again.summary()["new_data_bytes"], 0);
}

#[test]
fn other_series_that_a_configured_scheme_hides_are_said() {
    let place = place();
    place.succeed(["backup", "--dest=store", "--scheme=night", "tree"]);
    place.sh("sleep 1");
    for scheme in ["shop", "web"] {
        place.succeed([
            "backup",
            "--dest=store",
            &format!("--scheme={scheme}"),
            "tree",
        ]);
    }
    let dest = place.join("store");
    place.write(
        "pileus.toml",
        format!("dest = \"{}\"\nscheme = \"night\"\n", dest.display()),
    );
    let readers: [&[&str]; 10] = [
        &["list"],
        &["verify"],
        &["find", "file"],
        &["stats"],
        &["report", "-o", "page.html"],
        &["ls"],
        &["cat", "tree/file"],
        &["export"],
        &["diff", "latest", "latest"],
        &["restore", "--target=out", "--overwrite=always"],
    ];
    let line = "pileus: 2 snapshots of 2 other schemes are not shown; --all-schemes ";
    for reader in readers {
        let configured = [reader, &["--config=pileus.toml"]].concat();
        let ended = place.run(&configured);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.starts_with(line), "{reader:?} {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        let by_variable = ["--config=/dev/null", "--dest=store"];
        let mut command = place.command([reader, &by_variable].concat());
        let ended = Ended::of(command.env("PILEUS_SCHEME", "night"));
        assert!(ended.stderr.starts_with(line), "{reader:?} {ended:?}");
        for typed in ["--all-schemes", "--scheme=night"] {
            place.succeed([&configured[..], &[typed]].concat());
        }
    }
    let all = place
        .succeed(["list", "--config=pileus.toml", "--all-schemes"])
        .stdout;
    assert!(all.contains("shop-") && all.contains("web-"), "{all}");
    let json = place.run(["verify", "--config=pileus.toml", "--json"]);
    assert!(
        json.stdout
            .starts_with("{\"message\":\"2 snapshots of 2 other schemes"),
        "{json:?}"
    );
    // Damage in the other series is found with what the line says.
    let shop = place.names_ending("store", ".sha1sums");
    let shop = shop
        .iter()
        .find(|name| name.contains("shop"))
        .expect("is there");
    fs::write(dest.join(shop), "").expect("is damaged");
    assert_eq!(place.run(["verify", "--config=pileus.toml"]).code, Some(0));
    let found = place.run(["verify", "--config=pileus.toml", "--all-schemes"]);
    assert_eq!(found.code, Some(3), "{found:?}");
}
