//! Descriptors, plain and clear-signed: what is understood is written as the same thing again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pileus::format::descriptor::Descriptor;

fuzz_target!(|text: &[u8]| {
    let Ok(descriptor) = Descriptor::parse(text) else {
        return;
    };
    let again = Descriptor::parse(&descriptor.encode());
    if let Ok(again) = again {
        let mut expected = descriptor.clone();
        // What only other programs write is not written, and no signature is made.
        (expected.signed, expected.segment_metadata) = (false, None);
        assert_eq!(
            (again.root, again.segments, again.checksums),
            (expected.root, expected.segments, expected.checksums)
        );
        assert_eq!(again.date, expected.date);
    }
    if descriptor.signed {
        let inside = std::str::from_utf8(text)
            .map_or(true, |text| text.contains("-----BEGIN PGP SIGNATURE-----"));
        assert!(inside, "a signed text has a signature");
    }
});
