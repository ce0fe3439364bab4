//! Rules and patterns. The first line is a path, the others are a file of rules. What a rule takes must never be missed because a
//! directory above it is passed by.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use pileus::format::path::EntryPath;
use pileus::pattern::Pattern;
use pileus::rules::{Action, Rule, RuleStack};

fuzz_target!(|text: &[u8]| {
    let at = text.iter().position(|&b| b == b'\n').unwrap_or(text.len());
    let (path, lines) = (&text[..at], &text[(at + 1).min(text.len())..]);
    let Ok(path) = EntryPath::new(path) else {
        return;
    };
    if path.is_scan_root() {
        return;
    }
    for line in lines.split(|&b| b == b'\n') {
        if let Ok(pattern) = Pattern::new(OsStr::from_bytes(line)) {
            // A pattern for directories only takes no more than it does without that.
            assert!(!pattern.matches(&path, false) || pattern.matches(&path, true));
        }
    }
    let rules: Vec<_> = Rule::read_lines(lines, "rules", Some(Action::Exclude))
        .filter_map(Result::ok)
        .collect();
    let stack = RuleStack::new(rules);
    let mut above = None;
    let parts: Vec<_> = path.components().collect();
    for count in 1..=parts.len() {
        let is_directory = count < parts.len();
        let part =
            EntryPath::new(parts[..count].join(&b'/')).expect("the beginning of a path is one");
        let verdict = stack.decide(&part, is_directory, above);
        if let (true, Some(rule)) = (is_directory, verdict.left_out_by())
            && !stack.may_include_below(&part, rule)
        {
            let below = stack.decide(&path, false, Some(rule));
            assert!(
                below.left_out_by().is_some(),
                "{path} would be missed below {part}"
            );
        }
        above = verdict.left_out_by();
    }
});
