//! What `ron` says about a text that is not RON, in the words of a scenario's author, at the place
//! to mend.
//!
//! `ron` says at which character it stopped. Where a bracket or a string is not closed, that is
//! the end of the text or far from the mistake, so the text is read once more, value by value, up
//! to the one that `ron` could not read.

use super::{Identifier, Place, SyntaxError, is_number, trimmed};
use ron::de::{Deserializer, Error, Position, SpannedError};
use ron::value::RawValue;
use serde::Deserialize;

impl Place<'_> {
    /// What is wrong with the text, of which `error` is said.
    pub(super) fn explain(&self, error: &SpannedError) -> SyntaxError {
        let at = self.byte(error.span.end).min(self.text.len() - 1);
        if error.code == Error::ExceededRecursionLimit {
            return self.say(at, 1, "this is nested too deeply".to_owned(), None);
        }
        let stop = Stop::of(self.text, at);
        let found = self.text[at..].trim_end().chars().next();
        match (&error.code, found) {
            (Error::UnclosedBlockComment, _) => {
                let begin = stop.at + self.text[stop.at..].find("/*").unwrap_or(0);
                self.say(begin, 2, "this comment does not end".to_owned(), None)
            }
            (Error::ExpectedStringEnd, _) => {
                self.say(stop.at, 1, "this string does not end".to_owned(), None)
            }
            (Error::InvalidEscape(_), _) => {
                let begin = self.text[..at].rfind('\\').unwrap_or(at);
                let message = "unknown escape in a string".to_owned();
                self.say(begin, at - begin, message, Some(ESCAPES))
            }
            (_, None) => match stop.open {
                Some((open, bracket)) => {
                    self.say(open, 1, format!("this `{bracket}` is not closed"), None)
                }
                None => {
                    let message = "the text ends where a value should be".to_owned();
                    self.say(at, 0, message, None)
                }
            },
            (Error::SuggestRawIdentifier(word), Some(_)) => self.no_name(at, word),
            (Error::ExpectedIdentifier, Some(found)) => {
                let after = stop.last.map_or(at, |last| self.end_of(last));
                match stop.last.filter(|_| self.text[after..].trim_start().starts_with(':')) {
                    Some(last) => self.no_quotes(last),
                    None => {
                        let message = format!("expected the name of a field, found `{found}`");
                        self.say(at, found.len_utf8(), message, Some(NAMES))
                    }
                }
            }
            (Error::TrailingCharacters, Some(found)) => {
                let message = format!("unexpected `{found}` after the end");
                self.say(at, found.len_utf8(), message, None)
            }
            (code, Some(found)) => self.unexpected(code, at, found, &stop),
        }
    }

    /// Something stands where something else should.
    fn unexpected(&self, code: &Error, at: usize, found: char, stop: &Stop<'_>) -> SyntaxError {
        let say = |message: String, help| self.say(at, found.len_utf8(), message, help);
        match code {
            Error::UnexpectedChar(after) if self.text[..at].ends_with(&format!("/{after}")) => {
                let slash = at - after.len_utf8() - 1;
                let message = "expected a value, found `/`".to_owned();
                self.say(slash, 1, message, Some("comments begin with // or /*"))
            }
            Error::UnexpectedChar(_) => say(format!("expected a value, found `{found}`"), None),
            Error::ExpectedMapColon if matches!(stop.open, Some((_, '{'))) => {
                say("expected `:` after a key".to_owned(), None)
            }
            Error::ExpectedMapColon => {
                let message = format!("expected `:` after the name of a field, found `{found}`");
                say(message, Some(NAMES))
            }
            Error::ExpectedComma => match (stop.last, stop.open) {
                (Some(last), _) if is_cut_short(last, &self.text[self.end_of(last)..]) => {
                    self.no_number(stop.at)
                }
                (Some(last), Some((_, '('))) if found == ':' => match ron::from_str::<String>(last)
                {
                    Ok(_) => self.no_quotes(last),
                    Err(_) => {
                        let message = format!("only `{last}` has a name here");
                        self.say(stop.at, last.len(), message, Some(NAMES))
                    }
                },
                (_, Some((_, bracket))) => {
                    let close = closing(bracket);
                    say(format!("expected `,` or `{close}`, found `{found}`"), COMMA)
                }
                (_, None) => say(format!("expected `,`, found `{found}`"), COMMA),
            },
            Error::InvalidIntegerDigit { .. }
            | Error::UnderscoreAtBeginning
            | Error::FloatUnderscore
            | Error::ExpectedFloat
            | Error::ExpectedInteger
            | Error::IntegerOutOfBounds => self.no_number(stop.at),
            other => say(format!("this is not RON: {other}"), None),
        }
    }

    /// A name of a field that RON could only read as `r#name`.
    fn no_name(&self, at: usize, word: &str) -> SyntaxError {
        if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            let message = format!("expected the name of a field, found `{word}`");
            return self.say(at, word.len(), message, Some(NAMES));
        }
        let legal = word.replace(['-', '.', '+'], "_");
        let message = format!("`{word}` cannot be the name of a field");
        self.say(at, word.len(), message, Some(&format!("did you mean `{legal}`?")))
    }

    /// What begins at `at` begins like a number.
    fn no_number(&self, at: usize) -> SyntaxError {
        let rest = &self.text[at..];
        let end = rest.find(|c| !in_number(c)).unwrap_or(rest.len());
        let message = format!("`{}` is not a number", &rest[..end]);
        let help = "durations and sizes with a unit are strings: \"2s\", \"250us\"";
        self.say(at, end, message, Some(help))
    }

    /// A string stands where the name of a field should.
    fn no_quotes(&self, string: &str) -> SyntaxError {
        let message = "a field's name is written without quotes".to_owned();
        let help = Some("maps, with quoted keys, stand in { }");
        let end = self.end_of(string);
        self.say(end - string.len(), string.len(), message, help)
    }

    /// The byte after a part of the text.
    fn end_of(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.text.as_ptr().addr() + part.len()
    }

    fn say(&self, at: usize, width: usize, message: String, help: Option<&str>) -> SyntaxError {
        let span = self.span_of(at, at + width);
        SyntaxError { span, message, help: help.map(str::to_owned) }
    }

    /// The byte at a position, of which `ron` counts lines and characters from 1.
    fn byte(&self, position: Position) -> usize {
        let lines = self.text.split_inclusive('\n').take(position.line - 1);
        let line: usize = lines.map(str::len).sum();
        let columns = self.text[line..].chars().take(position.col - 1);
        line + columns.map(char::len_utf8).sum::<usize>()
    }
}

/// The value at which `ron` stopped.
struct Stop<'t> {
    /// Where it begins.
    at: usize,
    /// All of it, if it is sound: the mistake comes right after it, or is that it stands here.
    last: Option<&'t str>,
    /// The innermost bracket that is open there.
    open: Option<(usize, char)>,
}

impl<'t> Stop<'t> {
    /// Reads values up to the byte `at`, at which `ron` stopped, or to the one that cannot be
    /// read, and then those in its brackets.
    fn of(text: &'t str, at: usize) -> Stop<'t> {
        let (mut rest, mut last, mut open) = (text, None, None);
        // Skips blanks and comments.
        while let Ok(mut value) = Deserializer::from_str(rest) {
            rest = value.remainder();
            if let Ok(raw) = <&RawValue>::deserialize(&mut value) {
                let after = value.remainder();
                match after.strip_prefix([',', ':']) {
                    Some(next) if text.len() - after.len() < at => rest = next,
                    Some(_) | None => {
                        last = Some(trimmed(raw));
                        break;
                    }
                }
                continue;
            }
            let Some(inside) = inside(rest) else {
                break;
            };
            let bracket = text.len() - inside.len() - 1;
            open = text[bracket..].chars().next().map(|character| (bracket, character));
            rest = inside;
        }
        Stop { at: text.len() - rest.len(), last, open }
    }
}

/// What follows the bracket that a value begins with, after its name if it has one.
fn inside(value: &str) -> Option<&str> {
    let mut after = Deserializer::from_str(value).ok()?;
    if Identifier::deserialize(&mut after).is_ok() {
        after = Deserializer::from_str(after.remainder()).ok()?;
    } else {
        after = Deserializer::from_str(value).ok()?;
    }
    after.remainder().strip_prefix(['(', '[', '{'])
}

fn closing(bracket: char) -> char {
    match bracket {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

/// `2` of `2s`, which is read as a number and a rest.
fn is_cut_short(value: &str, rest: &str) -> bool {
    let digits = value.starts_with(|c: char| !c.is_alphabetic());
    digits && is_number(value) && rest.starts_with(in_number)
}

fn in_number(character: char) -> bool {
    character.is_alphanumeric() || "+-._".contains(character)
}

const NAMES: &str = "in parentheses, either all values have names, as in (at: \"2s\"), or none has";

const COMMA: Option<&str> = Some("is a comma missing before this?");

const ESCAPES: &str = "write \\\\ for one \\";
