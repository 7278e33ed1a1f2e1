//! A range of seeds, as the command line writes it.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// The seeds `first..end`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Seeds {
    /// The first.
    first: u64,
    /// The one after the last.
    end: u64,
}

/// Why a text is no range of seeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedsError {
    /// Neither a number nor two numbers with `..` between them.
    #[error(
        "`{0}` is not a range of seeds: write 0..200 for the seeds 0 to 199, or 7 for one seed"
    )]
    NotARange(String),
    /// There is no seed in it.
    #[error("the range {first}..{end} is empty: the first seed must be less than the end{}", swapped(*first, *end))]
    Empty {
        /// As written.
        first: u64,
        /// As written.
        end: u64,
    },
}

fn swapped(first: u64, end: u64) -> String {
    if first > end { format!("; did you mean {end}..{first}?") } else { String::new() }
}

impl Seeds {
    /// One seed.
    #[must_use]
    pub const fn one(seed: u64) -> Self {
        Seeds { first: seed, end: seed.saturating_add(1) }
    }

    /// The seeds `first..end`.
    ///
    /// # Errors
    /// [`SeedsError::Empty`]
    pub const fn new(first: u64, end: u64) -> Result<Self, SeedsError> {
        if first < end { Ok(Seeds { first, end }) } else { Err(SeedsError::Empty { first, end }) }
    }

    /// How many there are, at least 1.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.end - self.first
    }

    /// The seed at a position in `0..count()`.
    #[must_use]
    pub fn nth(self, position: u64) -> u64 {
        assert!(position < self.count());
        self.first + position
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl Iterator<Item = u64> {
        self.first..self.end
    }
}

impl FromStr for Seeds {
    type Err = SeedsError;

    fn from_str(text: &str) -> Result<Self, SeedsError> {
        let wrong = || SeedsError::NotARange(text.to_owned());
        let number = |text: &str| text.trim().replace('_', "").parse::<u64>().map_err(|_| wrong());
        let Some((first, end)) = text.split_once("..") else {
            let seed = number(text)?;
            return Seeds::new(seed, seed.checked_add(1).ok_or_else(wrong)?);
        };
        let end = match end.strip_prefix('=') {
            Some(last) => number(last)?.checked_add(1).ok_or_else(wrong)?,
            None => number(end)?,
        };
        Seeds::new(number(first)?, end)
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_unless_they_say_otherwise() {
        let shown = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.to_string());
        assert_eq!(shown("0..200").as_deref(), Ok("0..200"));
        assert_eq!(shown("1..=3").as_deref(), Ok("1..4"));
        assert_eq!(shown("7").as_deref(), Ok("7..8"));
        assert_eq!(shown(" 1_000 .. 2_000 ").as_deref(), Ok("1000..2000"));
        assert_eq!("5..8".parse::<Seeds>().unwrap().iter().collect::<Vec<_>>(), [5, 6, 7]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        assert_eq!("5..5".parse::<Seeds>(), Err(SeedsError::Empty { first: 5, end: 5 }));
        let backwards = "9..3".parse::<Seeds>().unwrap_err().to_string();
        assert!(backwards.ends_with("did you mean 3..9?"), "{backwards}");
        for text in ["", "..", "a..b", "1..", "..5", "-1..5", "0..=18446744073709551615", "1.5"] {
            assert_eq!(
                text.parse::<Seeds>(),
                Err(SeedsError::NotARange(text.to_owned())),
                "{text}"
            );
        }
    }
}
