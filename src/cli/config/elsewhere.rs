//! Places as other programs write them, such as `user@host:backup` or `s3:bucket`: a store is a directory, so they are refused.
//!
//! Taken as the name of a directory, such a word makes a store in the working directory, and everybody believes that the backup is on another
//! machine. The rule is that of scp and rsync: a word with a colon before its first `/` is no path on this machine, and `./` before it makes it
//! one. It counts for a directory that exists, too: an earlier slip may have made it.
//!
//! A URL of this machine, `file:///mnt/backup`, is taken as the directory.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use pileus::wording::shell_word;

/// What the help calls values that are directories.
const DIRECTORY: &str = "DIR";

/// Where the examples of advice mount what is on another machine.
const MOUNT_POINT: &str = "/mnt/backup";

/// What a URL of this machine begins with.
const LOCAL: &str = "file:///";

/// Whether the value of an option is a directory.
pub(super) fn takes_directory(argument: &clap::Arg) -> bool {
    let mut names = argument.get_value_names().unwrap_or_default().iter();
    names.any(|name| name == DIRECTORY)
}

/// Parses a directory, or the URL of one.
pub(crate) fn directory() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|value| {
        let path = value.as_os_str().as_bytes();
        match path.strip_prefix(LOCAL.as_bytes()) {
            Some(path) => {
                let decoded = [b"/".as_slice(), &unescaped(path)].concat();
                OsString::from_vec(decoded).into()
            }
            None => value,
        }
    })
}

/// Whether a value is a URL of this machine, whose path is whole.
pub(super) fn is_local_url(value: &str) -> bool {
    value.starts_with(LOCAL)
}

/// Says what is wrong with a directory that was typed, if it is a place of another program; the option is given as `--dest`.
pub(super) fn refused_typed(option: &str, value: &OsStr) -> Option<String> {
    let way = way_there(&value.to_string_lossy())?;
    let word = shell_word(value);
    let here = shell_word([OsStr::new("./"), value].join(OsStr::new("")));
    Some(format!(
        "{option}={word} is no directory of this machine: {way} and write {option}={MOUNT_POINT}; a directory of that name is {option}={here}"
    ))
}

/// The same of a value that is configured; `name` is that of the key or variable.
pub(super) fn refused_configured(name: &str, value: &OsStr) -> Option<String> {
    let shown = value.to_string_lossy();
    let way = way_there(&shown)?;
    Some(format!(
        "{name} is \"{shown}\", which is no directory of this machine: {way} and write \"{MOUNT_POINT}\"; a directory of that name takes \
         its whole path"
    ))
}

/// Says how a directory is made of a place of another program; none for a path.
fn way_there(value: &str) -> Option<String> {
    let (before, rest) = value.split_once(':')?;
    if before.contains('/') || is_local_url(value) {
        return None;
    }
    let remote = rest.trim_start_matches('/');
    let mounted = |program: &str, place: &str| {
        let place = shell_word(place);
        Some(format!("mount it ({program} {place} {MOUNT_POINT})"))
    };
    match before.to_ascii_lowercase().as_str() {
        "file" => Some(format!("leave out file: (a URL is {LOCAL}…)")),
        "sftp" | "ssh" | "scp" | "rsync" => mounted("sshfs", &of_ssh(rest)),
        "rclone" => mounted("rclone mount", rest),
        "" if rest.contains(':') => mounted("rclone mount", value),
        "s3" | "b2" | "gs" | "gcs" | "azure" | "azblob" | "swift" | "rest" | "http" | "https"
        | "webdav" | "webdavs" | "dav" | "davs" | "ftp" | "smb" | "nfs" => {
            mounted("such as with rclone mount", &format!("REMOTE:{remote}"))
        }
        _ if rest.starts_with("//") => {
            mounted("such as with rclone mount", &format!("REMOTE:{remote}"))
        }
        _ if is_host(before) => mounted("sshfs", value),
        _ => None,
    }
}

/// Returns a place of SSH as `sshfs` takes it: `HOST:PATH`.
fn of_ssh(rest: &str) -> String {
    let Some(url) = rest.strip_prefix("//") else {
        return if rest.contains(':') {
            rest.to_owned()
        } else {
            format!("{rest}:")
        };
    };
    match url.split_once('/') {
        Some((host, path)) => format!("{host}:/{path}"),
        None => format!("{url}:"),
    }
}

/// Whether a word may be the name of a machine, with or without a user.
fn is_host(word: &str) -> bool {
    let host = word.rsplit('@').next().unwrap_or(word);
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']');
    !host.is_empty() && host.chars().all(is_of_name)
}

/// Undoes `%xx` in a URL; what is no such thing stays.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(decoded) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            plain.push(decoded);
            rest = &behind[2..];
        } else {
            plain.push(byte);
            rest = behind;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str) -> Option<String> {
        refused_typed("--dest", OsStr::new(value))
    }

    #[test]
    fn a_colon_before_the_first_slash_is_another_machine() {
        for (value, mount) in [
            ("user@host:backup", "sshfs user@host:backup /mnt/backup"),
            ("nas:backup", "sshfs nas:backup "),
            ("host:/srv/backup", "sshfs host:/srv/backup "),
            ("sftp:nas", "sshfs nas: "),
            ("sftp:user@nas:/srv", "sshfs user@nas:/srv "),
            ("sftp://user@nas/srv", "sshfs user@nas:/srv "),
            ("ssh://nas", "sshfs nas: "),
            ("rclone:cloud:backup", "rclone mount cloud:backup "),
            ("s3:bucket", "rclone mount REMOTE:bucket "),
            ("s3://bucket/prefix", "rclone mount REMOTE:bucket/prefix "),
            ("b2:bucket", "rclone mount REMOTE:bucket "),
            ("rest:https://nas:8000/", "rclone mount "),
            ("S3:bucket", "rclone mount REMOTE:bucket "),
            ("what://ever", "rclone mount REMOTE:ever "),
            ("file:/srv", "leave out file:"),
            ("file://nas/srv", "leave out file:"),
        ] {
            let told = told(value).expect(value);
            assert!(told.replace('\'', "").contains(mount), "{told}");
            assert!(
                told.contains("--dest=./") || told.contains("--dest='./"),
                "{told}"
            );
        }
    }

    #[test]
    fn paths_are_no_places_of_other_programs() {
        for value in [
            "",
            "backup",
            "./user@host:backup",
            "/srv/user@host:backup",
            "a/b:c",
            "user@host",
            "it is 12:30",
            "file:///srv",
        ] {
            assert_eq!(told(value), None, "{value}");
        }
    }

    #[test]
    fn a_url_of_this_machine_is_a_directory() {
        let command = clap::Command::new("x").arg(clap::Arg::new("d").value_parser(directory()));
        for (value, path) in [
            ("file:///srv/backup", "/srv/backup"),
            ("file:///", "/"),
            ("file:///srv/a%20b%2", "/srv/a b%2"),
            ("file:///srv/%+1", "/srv/%+1"),
            ("/srv/a%20b", "/srv/a%20b"),
        ] {
            let matches = command.clone().get_matches_from(["x", value]);
            assert_eq!(matches.get_one::<PathBuf>("d"), Some(&PathBuf::from(path)));
        }
    }
}
