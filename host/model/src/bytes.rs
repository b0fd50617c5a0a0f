//! Sizes as people write them: `100B`, `512KiB`, `64MiB`, `1GiB`. One number and one unit of 1,024; kept in bytes.

use std::fmt;

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Bytes(pub u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("`{0}` is not a size; write a number and a unit of B, KiB, MiB or GiB, such as `64MiB`")]
    Form(String),
    #[error("`{0}` is more bytes than can be counted")]
    TooLarge(String),
}

impl Bytes {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let shown = || text.chars().take(40).collect();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = UNITS.iter().find(|(name, _)| *name == &text[digits..]);
        let (Some((_, size)), 1..) = (unit, digits) else { return Err(Invalid::Form(shown())) };
        let number: Option<u64> = text[..digits].parse().ok();
        number.and_then(|number| number.checked_mul(*size)).map(Self).ok_or_else(|| Invalid::TooLarge(shown()))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        let (unit, size) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_written() {
        let read = |text| Bytes::parse(text).map(|size| size.0);
        assert_eq!(read("100B"), Ok(100));
        assert_eq!(read("64MiB"), Ok(67_108_864));
        for bad in ["", "64", "MiB", "64MB", "64 MiB", "-1B", "1.5GiB", "64mib", "1KiB1B"] {
            assert!(matches!(read(bad), Err(Invalid::Form(_))), "{bad:?}");
        }
        assert!(matches!(read("99999999999999999999B"), Err(Invalid::TooLarge(_))));
        assert!(matches!(read("18446744073709551615GiB"), Err(Invalid::TooLarge(_))));
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes: u64) {
            proptest::prop_assert_eq!(Bytes::parse(&Bytes(bytes).to_string()), Ok(Bytes(bytes)));
        }
    }
}
