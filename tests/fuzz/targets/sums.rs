//! Sums files: no name leads out of the store, and what is understood is written as the same thing again.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use pileus::format::sums::{encode, parse};

fuzz_target!(|text: &[u8]| {
    if let Ok(mut sums) = parse(text) {
        for sum in &sums {
            let inside = Path::new(&sum.file)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            assert!(inside, "{} leads out of the store", sum.file);
        }
        let again = parse(&encode(&sums));
        sums.sort();
        assert_eq!(again, Ok(sums));
    }
});
