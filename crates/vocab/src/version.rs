//! Versions of Kafka.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A release of Kafka, ordered as released: `0.8.2`, `2.0`, `3.9`.
///
/// Written as people write it: `3.9` is 3.9.0, `0.10.2` is 0.10.2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaVersion {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub patch: u8,
    /// Fourth number, used before 1.0 only.
    pub fix: u8,
}

/// Why a text is not a version of Kafka.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a Kafka version; write it like \"3.9\", \"4.1.0\" or \"0.10.2\"")]
pub struct BadVersion(pub String);

impl KafkaVersion {
    /// Version `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        KafkaVersion { major, minor, patch, fix: 0 }
    }

    /// The oldest version that acklab models.
    pub const OLDEST: KafkaVersion = KafkaVersion::new(0, 8, 2);
    /// The newest version that acklab models (any 4.2.x).
    pub const NEWEST: KafkaVersion = KafkaVersion { major: 4, minor: 2, patch: 255, fix: 255 };
}

impl FromStr for KafkaVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion(text.to_owned());
        let mut numbers = [0_u8; 4];
        let mut count = 0;
        for part in text.split('.') {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let slot = numbers.get_mut(count).ok_or_else(bad)?;
            *slot = part.parse().ok().filter(|_| digits).ok_or_else(bad)?;
            count += 1;
        }
        if count < 2 || (count == 4 && numbers[0] > 0) {
            return Err(bad());
        }
        let [major, minor, patch, fix] = numbers;
        Ok(KafkaVersion { major, minor, patch, fix })
    }
}

impl fmt::Display for KafkaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 || self.fix > 0 || self.major == 0 {
            write!(f, ".{}", self.patch)?;
        }
        if self.fix > 0 {
            write!(f, ".{}", self.fix)?;
        }
        Ok(())
    }
}

impl Serialize for KafkaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KafkaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_print_and_order_as_released() {
        let ordered =
            ["0.8.2", "0.9.0", "0.10.0", "0.10.1", "0.11.0", "1.1", "2.0", "2.0.1", "3.9", "4.1.2"];
        let parsed: Vec<KafkaVersion> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted());
        let printed: Vec<String> = parsed.iter().map(KafkaVersion::to_string).collect();
        assert_eq!(printed, ordered);
    }

    #[test]
    fn what_is_not_a_version_is_refused() {
        for text in ["", "3", "three", "3.", ".9", "3.9.1.2", "3.-1", "300.1", "1.2.3.4.5", "+3.9"]
        {
            assert_eq!(text.parse::<KafkaVersion>(), Err(BadVersion(text.to_owned())), "{text}");
        }
    }
}
