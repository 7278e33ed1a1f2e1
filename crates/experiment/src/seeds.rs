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
    /// One of its numbers is larger than any seed.
    #[error("`{0}` reaches beyond the last seed, {last}", last = u64::MAX)]
    TooLarge(String),
    /// There is no seed in it.
    #[error("there is no seed in {text}{}", empty(text))]
    Empty {
        /// As written.
        text: String,
    },
}

/// What is wrong with a range that is empty: that it is reversed, or that the end is not in it.
fn empty(text: &str) -> String {
    let Some((first, end)) = text.split_once("..") else { return String::new() };
    let (dots, end) = match end.strip_prefix('=') {
        Some(end) => ("..=", end),
        None => ("..", end),
    };
    match first.trim() == end.trim() {
        true => format!(": the end does not belong to it; write {first}..={end} for one seed"),
        false => {
            format!(": it runs backwards; did you mean {}{dots}{}?", end.trim(), first.trim())
        }
    }
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
    pub fn new(first: u64, end: u64) -> Result<Self, SeedsError> {
        match first < end {
            true => Ok(Seeds { first, end }),
            false => Err(SeedsError::Empty { text: format!("{first}..{end}") }),
        }
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
        let too_large = || SeedsError::TooLarge(text.to_owned());
        let number = |text: &str| {
            let digits = text.trim().replace('_', "");
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong());
            }
            digits.parse::<u64>().map_err(|_| too_large())
        };
        // The end itself is a number, so the very last seed is in no range.
        let behind = |last: u64| last.checked_add(1).ok_or_else(too_large);
        let (first, end) = match text.split_once("..") {
            None => (number(text)?, behind(number(text)?)?),
            Some((first, end)) => match end.strip_prefix('=') {
                Some(last) => (number(first)?, behind(number(last)?)?),
                None => (number(first)?, number(end)?),
            },
        };
        Seeds::new(first, end).map_err(|_| SeedsError::Empty { text: text.to_owned() })
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
        let refused = |text: &str| text.parse::<Seeds>().unwrap_err().to_string();
        assert_eq!(
            refused("5..5"),
            "there is no seed in 5..5: the end does not belong to it; write 5..=5 for one seed"
        );
        assert!(refused("9..3").ends_with("it runs backwards; did you mean 3..9?"));
        assert!(refused("9..=3").ends_with("it runs backwards; did you mean 3..=9?"));
        for text in ["0..=18446744073709551615", "0..99999999999999999999"] {
            assert!(refused(text).ends_with("beyond the last seed, 18446744073709551615"));
        }
        for text in ["", "..", "a..b", "1..", "..5", "-1..5", "1.5", "+1..3"] {
            assert_eq!(
                text.parse::<Seeds>(),
                Err(SeedsError::NotARange(text.to_owned())),
                "{text}"
            );
        }
    }
}
