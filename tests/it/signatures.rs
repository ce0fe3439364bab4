//! Signed descriptors, checked with gpg: only text under a good signature of the right key is used.

use std::fs;

use crate::harness::{Ended, Place, need, project};

const SNAPSHOT: &str = "snapshot-sample-20261121T200905.lbs";
const VERIFY: &str = "--verify-signature=gpg --batch --verify";

/// Makes a place with a copy of the signed fixture and a key ring that holds the key it was signed with, and no other.
fn signed_store() -> Place {
    need("gpg");
    let place = Place::new();
    let fixture = project("tests/fixtures/cumulus-0.10-signed");
    place.sh(&format!("cp -r '{}/store' store", fixture.display()));
    gpg(
        &place,
        ".gnupg",
        &format!("--import '{}/signer.asc'", fixture.display()),
    );
    place
}

/// Runs gpg with a key ring of this place, and leaves no agent behind.
fn gpg(place: &Place, home: &str, arguments: &str) {
    place.sh(&format!(
        "mkdir -p -m 700 {home}
        gpg --homedir {home} --batch --quiet --pinentry-mode loopback --passphrase '' {arguments}
        gpgconf --homedir $PWD/{home} --kill gpg-agent"
    ));
}

fn restore(place: &Place, arguments: &[&str]) -> Ended {
    let fixed = ["restore", "--dest=store", "--target=back", VERIFY];
    place.survive(fixed.iter().chain(arguments))
}

/// Changes the latest descriptor.
fn alter(place: &Place, change: impl FnOnce(String) -> String) {
    let path = place.join("store").join(SNAPSHOT);
    let text = fs::read_to_string(&path).expect("the descriptor is read");
    let changed = change(text.clone());
    assert_ne!(changed, text);
    fs::write(&path, changed).expect("the descriptor is written");
}

fn assert_refused(place: &Place, reasons: &[&str]) {
    let ended = restore(place, &[]);
    ended.assert_one_line(1, &["20261121T200905"]);
    let told = reasons.iter().any(|reason| ended.stderr.contains(reason));
    assert!(told, "none of {reasons:?} in {ended:?}");
    assert!(!place.join("back").exists(), "nothing may be restored");
    let ended = place.survive(["verify", "--dest=store", VERIFY]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("20261121T200905"), "{ended:?}");
}

#[test]
fn a_good_signature_is_accepted() {
    let place = signed_store();
    place.succeed(["restore", "--dest=store", "--target=back", VERIFY]);
    assert!(place.join("back/data/hello.txt").exists());
    place.succeed(["verify", "--dest=store", VERIFY]);
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let place = signed_store();
    gpg(
        &place,
        "theirs",
        "--quick-generate-key eve@example.org ed25519 sign never",
    );
    // What Eve signs is the very text of the good descriptor.
    let body = fs::read_to_string(place.join("store").join(SNAPSHOT)).expect("is read");
    let body = body.split_once("\n\n").expect("a header").1;
    let body = body
        .split_once("-----BEGIN PGP SIGNATURE")
        .expect("a signature")
        .0;
    place.write("body", body);
    gpg(&place, "theirs", "--clearsign --output signed body");
    place.sh(&format!("mv signed store/{SNAPSHOT}"));
    assert_refused(&place, &["No public key"]);
    // The same store is good for whoever knows Eve's key: it is the key that was refused.
    place.sh("rm -r .gnupg && mv theirs .gnupg");
    place.succeed(["restore", "--dest=store", "--target=back", VERIFY]);
}

#[test]
fn altered_text_is_refused() {
    let place = signed_store();
    alter(&place, |text| {
        text.replacen("Producer: Cumulus", "Producer: cumulus", 1)
    });
    assert_refused(&place, &["BAD signature"]);
    // Without the check nothing notices: the text is still a descriptor.
    place.succeed(["restore", "--dest=store", "--target=back"]);
}

#[test]
fn text_around_the_signed_text_is_never_used() {
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 5] = [
        ("behind", |text: String| {
            text.clone() + text.split_once("\n\n").expect("a header").1
        }),
        ("a second signed text", |text: String| text.clone() + &text),
        ("before", |text: String| {
            format!("Format: LBS Snapshot v0.6\n{text}")
        }),
        ("in the header", |text: String| {
            text.replacen("\n\n", "\nScheme: other\n\n", 1)
        }),
        ("no signature", |text: String| {
            text.split_once("-----BEGIN PGP SIGNATURE")
                .expect("a signature")
                .0
                .to_owned()
        }),
    ];
    for (what, change) in changes {
        let place = signed_store();
        alter(&place, change);
        let ended = restore(&place, &[]);
        assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
        assert!(!place.join("back").exists(), "{what}");
    }
}

#[test]
fn an_unsigned_descriptor_is_refused_if_a_signature_is_asked_for() {
    let place = signed_store();
    alter(&place, |text| {
        let body = text.split_once("\n\n").expect("a header").1;
        body.split_once("-----BEGIN PGP SIGNATURE")
            .expect("a signature")
            .0
            .to_owned()
    });
    assert_refused(&place, &["is not signed"]);
}

#[test]
fn a_signature_vouches_for_the_sums_and_segments_behind_it() {
    let place = signed_store();
    let sums = place
        .join("store")
        .join(SNAPSHOT.replace(".lbs", ".sha1sums"));
    let text = fs::read_to_string(&sums).expect("the sums are read");
    fs::write(&sums, text.replacen('0', "1", 1)).expect("the sums are written");
    let ended = place.survive(["verify", "--dest=store", VERIFY]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("sha1sums"), "{ended:?}");
}

#[test]
fn a_verifier_that_cannot_be_run_is_no_verification() {
    let place = signed_store();
    let ended = place.survive([
        "restore",
        "--dest=store",
        "--target=back",
        "--verify-signature=no-such-program --verify",
    ]);
    ended.assert_one_line(1, &["20261121T200905", "no-such-program"]);
    assert!(!place.join("back").exists());
}

#[test]
fn a_signed_snapshot_of_another_series_is_refused_under_a_borrowed_name() {
    let place = signed_store();
    // A minute later, so that it is the latest.
    let other = place.sh("date -u -d @$(($(date +%s) + 60)) +other-%Y%m%dT%H%M%S");
    let other = other.trim();
    place.sh(&format!("cp store/{SNAPSHOT} store/snapshot-{other}.lbs"));
    let ended = restore(&place, &[]);
    ended.assert_one_line(1, &[other, "sample"]);
    assert!(!place.join("back").exists());
}

#[test]
fn a_filter_that_signs_nothing_is_not_taken_for_a_signature() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let ended = place.run(["backup", "--dest=store", "--signature-filter=cat", "tree"]);
    ended.assert_one_line(1, &["\"cat\" did not sign it"]);
    assert!(place.names_ending("store", ".lbs").is_empty());
}
