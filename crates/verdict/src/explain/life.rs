//! A record's life as text: plain, at most a hundred columns.

use acklab_vocab::time::SimTime;
use std::fmt;

/// One step in a record's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeLine {
    /// When.
    pub at: SimTime,
    /// Where: the name of a process, or empty for the world.
    pub place: String,
    /// What.
    pub text: String,
    /// Which brokers hold the record from then on, if that has changed.
    pub holders: Option<String>,
}

/// The life of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// `shop#4711`
    pub record: String,
    /// The steps.
    pub lines: Vec<LifeLine>,
    /// Steps that were left out at the end.
    pub left_out: u64,
    /// What came of it, why, and what would have prevented it.
    pub ending: Vec<String>,
}

const WIDTH: usize = 100;
const TIME_WIDTH: usize = 13;
const PLACE_WIDTH: usize = 14;
const INDENT: usize = TIME_WIDTH + 2 + PLACE_WIDTH + 1;

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.record)?;
        for line in &self.lines {
            write!(f, "{line}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "{:INDENT$}… and {} more steps", "", self.left_out)?;
        }
        if !self.ending.is_empty() {
            writeln!(f)?;
        }
        for paragraph in &self.ending {
            for row in wrap(paragraph, WIDTH - 2) {
                writeln!(f, "  {row}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for LifeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = format!("{:#}", self.at);
        let text = match &self.holders {
            Some(holders) => format!("{} [{holders}]", self.text),
            None => self.text.clone(),
        };
        let mut rows = wrap(&text, WIDTH - INDENT).into_iter();
        let first = rows.next().unwrap_or_default();
        writeln!(f, "{at:>TIME_WIDTH$}  {:<PLACE_WIDTH$} {first}", self.place)?;
        rows.try_for_each(|row| writeln!(f, "{:INDENT$}{row}", ""))
    }
}

/// Breaks a text into rows of at most `width` characters, at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        let row = rows.last_mut().expect("there is always a row");
        let needed = row.chars().count() + 1 + word.chars().count();
        if !row.is_empty() && needed > width {
            rows.push(word.to_owned());
        } else {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
    }
}
