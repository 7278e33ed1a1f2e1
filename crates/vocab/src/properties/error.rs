//! What can be wrong with a property. Kafka: `ConfigException`.

use super::{Kind, Scope};
use crate::version::KafkaVersion;

/// Why a set of properties is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// No version has such a property in this scope.
    #[error("{scope}s have no property `{name}`")]
    Unknown {
        /// As written.
        name: String,
        /// Where it was looked for.
        scope: Scope,
        /// Scopes that do have it.
        elsewhere: Vec<Scope>,
    },
    /// The property came later.
    #[error("`{name}` does not exist in {version}: it came with {since}")]
    NotYet {
        /// Its name.
        name: &'static str,
        /// The version that was asked for.
        version: KafkaVersion,
        /// The first with it.
        since: KafkaVersion,
    },
    /// The property was removed.
    #[error("`{name}` does not exist in {version}: it was removed in {until}")]
    NoLonger {
        /// Its name.
        name: &'static str,
        /// The version that was asked for.
        version: KafkaVersion,
        /// The first without it.
        until: KafkaVersion,
    },
    /// The value is not of the property's kind.
    #[error("`{name}` must be {}, not `{value}`", expected(kind))]
    WrongKind {
        /// Its name.
        name: &'static str,
        /// As written.
        value: String,
        /// What it must be.
        kind: Kind,
    },
    /// The number is too small or too large.
    #[error("`{name}` must be {}, not {value}", range(*min, *max, unit))]
    OutOfRange {
        /// Its name.
        name: &'static str,
        /// As written.
        value: String,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Unit, empty for a count.
        unit: &'static str,
    },
    /// The value came later than the property.
    #[error("`{name}` cannot be `{value}` in {version}: that came with {since}")]
    ValueNotYet {
        /// The property's name.
        name: &'static str,
        /// The value, or the word of it, as written.
        value: String,
        /// The version that was asked for.
        version: KafkaVersion,
        /// The first that takes the value.
        since: KafkaVersion,
    },
    /// The same property is set twice, under two of its names.
    #[error("`{first}` and `{second}` are the same property")]
    SetTwice {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// Two properties contradict each other: the real process refuses to start.
    #[error("{message}")]
    Contradiction {
        /// The property to blame, which is set.
        name: &'static str,
        /// The one it contradicts, which may be at its default.
        other: &'static str,
        /// What the two say, and what they should.
        message: String,
    },
}

impl PropertyError {
    /// The name, as written, of the property to point at.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            PropertyError::Unknown { name, .. } => name,
            PropertyError::NotYet { name, .. }
            | PropertyError::NoLonger { name, .. }
            | PropertyError::WrongKind { name, .. }
            | PropertyError::ValueNotYet { name, .. }
            | PropertyError::OutOfRange { name, .. }
            | PropertyError::Contradiction { name, .. } => name,
            PropertyError::SetTwice { second, .. } => second,
        }
    }

    /// The other property of a contradiction.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        match self {
            PropertyError::Contradiction { other, .. } => Some(other),
            PropertyError::SetTwice { first, .. } => Some(first),
            PropertyError::Unknown { .. }
            | PropertyError::NotYet { .. }
            | PropertyError::NoLonger { .. }
            | PropertyError::WrongKind { .. }
            | PropertyError::ValueNotYet { .. }
            | PropertyError::OutOfRange { .. } => None,
        }
    }

    /// Whether the value is to blame, not the name.
    #[must_use]
    pub const fn blames_value(&self) -> bool {
        match self {
            PropertyError::WrongKind { .. }
            | PropertyError::ValueNotYet { .. }
            | PropertyError::OutOfRange { .. }
            | PropertyError::Contradiction { .. } => true,
            PropertyError::Unknown { .. }
            | PropertyError::NotYet { .. }
            | PropertyError::NoLonger { .. }
            | PropertyError::SetTwice { .. } => false,
        }
    }
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Integer { unit, .. } => match unit.name() {
            "" => "a whole number".to_owned(),
            unit => format!("a whole number ({unit})"),
        },
        Kind::Decimal { unit, .. } => format!("a number ({})", unit.name()),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
        Kind::List => "words separated by commas".to_owned(),
        Kind::Text => "a text".to_owned(),
    }
}

fn range(min: i64, max: i64, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    if max >= i64::from(i32::MAX) {
        format!("at least {min}{space}{unit}")
    } else {
        format!("between {min} and {max}{space}{unit}")
    }
}
