//! From names and texts to typed values: Kafka's `AbstractConfig`.

use super::{Kind, PropertyDefinition, PropertyError, Scope, lookup};
use crate::time::SimDuration;
use crate::version::KafkaVersion;

/// Properties of one scope and version, each one known and in range; what is not set has its
/// default.
pub(super) struct Resolved<'a> {
    version: KafkaVersion,
    scope: Scope,
    given: Vec<(&'static PropertyDefinition, &'a str)>,
}

impl<'a> Resolved<'a> {
    pub(super) fn new(
        version: KafkaVersion,
        scope: Scope,
        pairs: &'a [(String, String)],
    ) -> Result<Self, PropertyError> {
        let mut given: Vec<(&'static PropertyDefinition, &'a str)> =
            Vec::with_capacity(pairs.len());
        for (position, (name, value)) in pairs.iter().enumerate() {
            let definition = find(name, scope, version)?;
            if given.iter().any(|(other, _)| other.name == definition.name) {
                let same = |pair: &&(String, String)| {
                    lookup(&pair.0, scope).is_some_and(|other| other.name == definition.name)
                };
                let first = pairs[..position].iter().find(same).map_or(name, |pair| &pair.0);
                return Err(PropertyError::SetTwice { first: first.clone(), second: name.clone() });
            }
            check(definition, value.trim())?;
            given.push((definition, value.trim()));
        }
        Ok(Resolved { version, scope, given })
    }

    pub(super) const fn version(&self) -> KafkaVersion {
        self.version
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.given.iter().any(|(definition, _)| definition.name == name)
    }

    /// The text of a property: as set, or the version's default; `None` where that is `null` or
    /// the version lacks it.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        if let Some((_, text)) = self.given.iter().find(|(definition, _)| definition.name == name) {
            return Some(text).filter(|text| !text.is_empty()).copied();
        }
        let definition = lookup(name, self.scope);
        let definition = definition.unwrap_or_else(|| panic!("{name} is not in the table"));
        definition.default_for(self.version).filter(|text| !text.is_empty())
    }

    pub(super) fn integer_or(&self, name: &str, absent: i64) -> i64 {
        self.text(name).map_or(absent, |text| text.parse().expect("checked, or a default"))
    }

    pub(super) fn integer(&self, name: &str) -> i64 {
        self.integer_or(name, 0)
    }

    pub(super) fn u32(&self, name: &str) -> u32 {
        saturating_u32(self.integer(name))
    }

    pub(super) fn u32_or(&self, name: &str, absent: i64) -> u32 {
        saturating_u32(self.integer_or(name, absent))
    }

    pub(super) fn u16(&self, name: &str) -> u16 {
        u16::try_from(self.integer(name).max(0)).unwrap_or(u16::MAX)
    }

    pub(super) fn u64(&self, name: &str) -> u64 {
        unsigned(self.integer(name))
    }

    /// A property in milliseconds; `absent` milliseconds where the version lacks it.
    pub(super) fn millis_or(&self, name: &str, absent: i64) -> SimDuration {
        match self.integer_or(name, absent) {
            i64::MAX => SimDuration::MAX,
            millis => SimDuration::from_millis(unsigned(millis)),
        }
    }

    pub(super) fn millis(&self, name: &str) -> SimDuration {
        self.millis_or(name, 0)
    }

    /// A property in milliseconds with decimals.
    pub(super) fn decimal_millis(&self, name: &str) -> SimDuration {
        let nanos = self.text(name).and_then(decimal_millionths).unwrap_or(0);
        SimDuration::from_nanos(unsigned(nanos))
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

fn find(
    name: &str,
    scope: Scope,
    version: KafkaVersion,
) -> Result<&'static PropertyDefinition, PropertyError> {
    let Some(definition) = lookup(name, scope) else {
        let has = |other: &&Scope| lookup(name, **other).is_some();
        let elsewhere = Scope::ALL.iter().filter(has).copied().collect();
        return Err(PropertyError::Unknown { name: name.to_owned(), scope, elsewhere });
    };
    if version < definition.since() {
        let since = definition.since();
        return Err(PropertyError::NotYet { name: definition.name, version, since });
    }
    match definition.until.filter(|&until| version >= until) {
        Some(until) => Err(PropertyError::NoLonger { name: definition.name, version, until }),
        None => Ok(definition),
    }
}

fn check(definition: &'static PropertyDefinition, value: &str) -> Result<(), PropertyError> {
    let name = definition.name;
    let wrong = || {
        let (value, kind) = (value.to_owned(), definition.kind);
        Err(PropertyError::WrongKind { name, value, kind })
    };
    let in_range = |least: i64, most: i64, number: i128, scale: i128, unit: &'static str| {
        if (i128::from(least) * scale..=i128::from(most) * scale).contains(&number) {
            return Ok(());
        }
        let (min, max, value) = (least, most, value.to_owned());
        Err(PropertyError::OutOfRange { name, value, min, max, unit })
    };
    match definition.kind {
        Kind::Integer { unit, min, max } => match value.parse::<i128>() {
            Ok(number) => in_range(min, max, number, 1, unit.name()),
            Err(_) => wrong(),
        },
        Kind::Decimal { unit, min, max } => match decimal_millionths(value) {
            Some(number) => in_range(min, max, i128::from(number), 1_000_000, unit.name()),
            None => wrong(),
        },
        Kind::Boolean if ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) => {
            Ok(())
        }
        Kind::Choice(choices) if choices.contains(&value) => Ok(()),
        Kind::Boolean | Kind::Choice(_) => wrong(),
        Kind::List | Kind::Text => Ok(()),
    }
}

/// A decimal number in millionths, without floating point: `0.5` is 500,000. `None` for what is
/// not a number.
fn decimal_millionths(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(sign * whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)?)
}

/// What is negative counts as zero: tables keep negative values out where they have no meaning of
/// their own.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn saturating_u32(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
