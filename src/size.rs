//! Sizes as people type and read them: `4M`, `512KiB`, `1000`; `1.5 GiB`.

/// Parses a number of bytes with an optional unit; K, M, G and T are powers of 1024, with or without `iB` or `B`.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a size: write a number and K, M, G or T, such as 4M");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_uppercase();
    let unit = unit
        .strip_suffix("IB")
        .or_else(|| unit.strip_suffix('B'))
        .unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << power).ok_or_else(wrong)
}

/// Formats bytes for people, in the largest unit that leaves a number of at least 1.
#[must_use]
pub fn show(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (u64::BITS - 1 - (bytes | 1).leading_zeros()) / 10;
    if power == 0 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss)] // Two digits are shown.
    let value = bytes as f64 / f64::from(1_u32 << 10).powi(i32::try_from(power).unwrap_or(0));
    format!("{value:.1} {}", units[power as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_type_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("4M", 4 << 20),
            ("512KiB", 512 << 10),
            ("1g", 1 << 30),
            ("2TB", 2 << 40),
            ("7b", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "M",
            "-1",
            "4X",
            "1.5G",
            "99999999999T",
            "4 M",
            "4MBB",
            "4MIIB",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
