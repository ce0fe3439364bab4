//! `gpg` as filter and as signature filter.

use crate::harness::{Ended, Place, need, project};

const GPG: &str = "gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase=''";

/// Makes a place with a tree, an owner's key ring (in `owner`) and one with the public key alone (in `.gnupg`).
fn place() -> Place {
    need("gpg");
    let place = Place::new();
    place.sh("mkdir tree; seq 30000 >tree/text; head -c 100000 /dev/urandom >tree/noise");
    place.sh(&format!(
        "mkdir -m 700 owner .gnupg
        {GPG} --homedir owner --quick-generate-key keeper@example.org default default never
        {GPG} --homedir owner --armor --export keeper@example.org >public.asc
        HOME=$PWD {GPG} --import public.asc"
    ));
    place
}

/// Ends the agents that `gpg` leaves behind.
fn end_agents(place: &Place) {
    place.sh("for home in owner .gnupg; do gpgconf --homedir $PWD/$home --kill all; done");
}

fn with_owner_key(verb: &str) -> String {
    format!("{GPG} --homedir owner {verb}")
}

#[test]
fn who_holds_only_the_public_key_can_back_up_and_the_owner_can_restore() {
    let place = place();
    let encrypt = format!("--filter={GPG} --trust-model=always -e -r keeper@example.org");
    let backup = ["backup", "--dest=store", &encrypt, "tree"];
    place.succeed(backup);
    let again = [
        "backup",
        "--dest=store",
        "--scheme=b",
        "--json",
        &encrypt,
        "tree",
    ];
    let again = place.succeed(again);
    assert_eq!(again.summary()["new_data_bytes"], 0);
    let names = place.names("store");
    let mut segments = names.iter().filter(|name| name.contains(".tar"));
    assert!(segments.all(|name| name.ends_with(".tar.gpg")), "{names:?}");
    place.sh(&format!(
        "cd store; for f in *.gpg; do {GPG} --homedir ../owner -d $f 2>/dev/null | tar t; done"
    ));
    let locked_out = place.run([
        "verify",
        "--dest=store",
        "--level=objects",
        "--unfilter=gpg --batch -d",
    ]);
    assert_eq!(locked_out.code, Some(3));
    assert!(locked_out.stderr.contains("gpg"), "{locked_out:?}");
    let unfilter = format!("--unfilter={}", with_owner_key("-d"));
    place.succeed(["restore", "--dest=store", "--target=back", &unfilter]);
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    place.succeed(["verify", "--dest=store", "--level=files", &unfilter]);
    end_agents(&place);
}

#[test]
fn no_name_of_a_file_is_in_the_open() {
    let place = place();
    place.sh("mkdir -p secretproject/secretpart tree/secretpart; echo text >secretproject/secretpart/secretfile; ln -s secretfile tree/secretpart/secretlink");
    let encrypt = format!("--filter={GPG} --trust-model=always -e -r keeper@example.org");
    // A source below a directory, a file, a new name, one beside another, and a pipe.
    for sources in [
        &["tree", "secretproject"][..],
        &["secretproject/secretpart/secretfile"],
        &["--as-path=secretname", "secretproject"],
        &["tree/secretpart", "secretproject/secretpart"],
        &["--stdin-name=secretdump"],
    ] {
        let fixed = ["backup", "--dest=store", "--localdb=local", &encrypt];
        let ended = place.run(fixed.iter().chain(sources));
        assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
    }
    assert_eq!(place.names_ending("store", ".lbs").len(), 5);
    place.sh("! grep -rai secret store; ! ls store | grep -i secret");
    // What is looked for can be found.
    place.sh("grep -raq secretdump local");
    end_agents(&place);
}

#[test]
fn a_signed_snapshot_is_restored_only_with_a_good_signature() {
    let place = place();
    let sign = format!("--signature-filter={}", with_owner_key("--clearsign"));
    place.succeed(["backup", "--dest=store", "--scheme=signed", &sign, "tree"]);
    place.succeed(["backup", "--dest=store", "--scheme=plain", "tree"]);
    place.sh("HOME=$PWD gpg --batch --verify store/snapshot-signed-*.lbs 2>/dev/null");
    let restore = |scheme: &str, target: &str| {
        let verify = "--verify-signature=gpg --batch --verify";
        let scheme = format!("--scheme={scheme}");
        place.run([
            "restore",
            "--dest=store",
            verify,
            &scheme,
            "--target",
            target,
        ])
    };
    let ended = restore("signed", "back");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    restore("plain", "unsigned").assert_one_line(1, &["plain-", "not signed"]);
    place.sh("sed -i 's/^Producer: pileus/Producer: mallet/' store/snapshot-signed-*.lbs");
    let ended = restore("signed", "forged");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("BAD signature"), "{ended:?}");
    assert!(!place.join("unsigned").exists() && !place.join("forged").exists());
    end_agents(&place);
}

#[test]
fn the_signature_reaches_every_file_of_the_snapshot() {
    let place = place();
    let sign = format!("--signature-filter={}", with_owner_key("--clearsign"));
    place.succeed(["backup", "--dest=store", &sign, "tree"]);
    let sums = place.sh("sed -n 's/^Checksums: sha1=//p' store/*.lbs");
    assert!(
        place
            .sh("sha1sum store/*.sha1sums")
            .starts_with(sums.trim())
    );
    place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
    let listed =
        place.sh("sed '/^-----BEGIN PGP SIGNATURE/,$d; 1,/^Segments:/d; s/^ *//' store/*.lbs");
    let summed = place.sh("sed 's/^[0-9a-f]* \\*//; s/\\.tar.*//' store/*.sha1sums | sort");
    assert_eq!(listed, summed);
    end_agents(&place);
}

#[test]
fn a_failing_signature_filter_publishes_no_snapshot() {
    let place = Place::new();
    place.write("src/file", "contents");
    for (filter, told) in [
        ("cat; echo no key >&2; exit 2", "no key"),
        ("kill -9 $$", "signal: 9"),
        ("head -c 10", "did not read all its input"),
        ("cat >/dev/null", "wrote nothing"),
        ("no-such-signer", "not found"),
    ] {
        let option = format!("--signature-filter={filter}");
        let ended: Ended = place.survive(["backup", "--dest=store", &option, "src"]);
        ended.assert_one_line(1, &["cannot sign", filter, told]);
        let names = place.names("store");
        let left = |name: &String| name.contains("snapshot");
        assert!(!names.iter().any(left), "{filter}: {names:?}");
    }
    place.succeed(["backup", "--dest=store", "src"]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn what_a_signature_filter_makes_has_to_be_a_descriptor() {
    let place = Place::new();
    place.write("src/file", "contents");
    let ended = place.run(["backup", "--dest=store", "--signature-filter=rev", "src"]);
    ended.assert_one_line(1, &["rev"]);
    let listed = place.succeed(["list", "--dest=store", "--json"]);
    assert_eq!(listed.summary()["snapshots"], 0);
}

#[test]
fn the_example_for_cron_needs_no_terminal_and_no_trust() {
    let place = place();
    place.sh("echo of-the-key >passphrase");
    place.sh(
        "mkdir -m 700 signer; gpg --batch --quiet --homedir signer --pinentry-mode loopback --passphrase-file passphrase \
        --quick-generate-key signer@example.org default default never
        gpg --batch --quiet --homedir signer --import public.asc",
    );
    let readme = std::fs::read_to_string(project("README.md")).expect("is read");
    let option = |name: &str| {
        let (_, behind) = readme.split_once(&format!("--{name}=\"")).expect(name);
        let command = behind.split('"').next().expect("an end");
        let command = command.replace("/root/backup.passphrase", "passphrase");
        format!("--{name}={}", command.replace("backup@", "keeper@"))
    };
    let (filter, signature) = (option("filter"), option("signature-filter"));
    let backup = ["backup", "--dest=store", &filter, &signature, "tree"];
    // A session of its own has no terminal.
    let mut command = place.command_under(&["setsid", "--wait"], backup);
    let ended = Ended::of(command.env("GNUPGHOME", place.join("signer")));
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{filter}"
    );
    assert!(
        place
            .succeed(["list", "--dest=store"])
            .stdout
            .contains("signed")
    );
    let unfilter = format!("--unfilter={}", with_owner_key("-d"));
    place.succeed(["verify", "--dest=store", "--level=files", &unfilter]);
    place.sh("gpgconf --homedir $PWD/signer --kill all");
    end_agents(&place);
}

#[test]
fn a_wrong_unfilter_is_told_from_damage_and_nothing_is_advised_that_stores_all_again() {
    let place = Place::new();
    place.sh("mkdir tree; seq 1000 >tree/text; head -c 200000 /dev/urandom >tree/noise");
    for _ in 0..2 {
        place.sh("date +%N >tree/new");
        let filter = [
            "--filter=tr a-z0-9 n-za-m5-90-4",
            "--filter-extension=.turned",
        ];
        place.succeed(
            ["backup", "--dest=store"]
                .iter()
                .chain(&filter)
                .chain(&["tree"]),
        );
    }
    place.sh("head -c 200000 /dev/urandom >tree/noise");
    for wrong in [
        "--unfilter=no-such-command",
        "--unfilter=cat",
        "--unfilter=false",
    ] {
        for level in ["--level=objects", "--level=files"] {
            let ended = place.run(["verify", "--dest=store", level, wrong]);
            ended.assert_one_line(3, &["--unfilter: does not undo", "what their sums say"]);
        }
        let ended = place.run(["restore", "--dest=store", "--target=back", wrong]);
        assert!(ended.stderr.contains("see that --unfilter is"), "{ended:?}");
        for reads in [
            &["cat", "tree/text"][..],
            &["ls"],
            &["find", "text"],
            &["export"],
        ] {
            let ended = place.run(reads.iter().chain(&["--dest=store", wrong]));
            assert!(ended.stderr.contains("filter"), "{ended:?}");
        }
    }
    // Of what is damaged and cannot be undone either, the sums know.
    let right = "--unfilter=tr n-za-m5-90-4 a-z0-9";
    place.succeed(["verify", "--dest=store", "--level=files", right]);
    let segment = place.names_ending("store", ".turned").remove(0);
    place.sh(&format!(
        "printf x | dd of=store/{segment} bs=1 seek=700 conv=notrunc"
    ));
    let ended = place.run([
        "verify",
        "--dest=store",
        "--level=files",
        "--unfilter=false",
    ]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("is damaged: checksum"), "{ended:?}");
    assert!(!ended.stderr.contains("clean"), "{ended:?}");
}
