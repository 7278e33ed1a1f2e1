//! RON text to a tree in which every value knows its place.
//!
//! An own parser, for two reasons: every later finding (an unknown property, a broker that does
//! not exist) must point at its line and column, which `ron`'s deserializer forgets; and a fault
//! reads better as `Kill(LeaderOf("orders", 0))` or `Kill([Broker(1), Broker(2)])`, whichever
//! fits, which serde cannot offer in RON. It takes all of RON that a scenario can need (structs,
//! tuples, lists, maps, raw strings, comments, attributes), and one thing more: in parentheses,
//! values without a name may come before those with one.

use crate::diagnostic::Span;
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it is.
    pub span: Span,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A number as written, without underscores.
    Number(String),
    /// A string.
    Text(String),
    /// `[…]`
    List(Vec<Node>),
    /// `{…: …}`
    Map(Vec<(Node, Node)>),
    /// `Name`, `Name(…)` or `(…)`.
    Call(Call),
}

/// `Name`, `Name(…)` or `(…)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name, if it has one.
    pub name: Option<Word>,
    /// What stands in the parentheses, if there are any.
    pub arguments: Option<Vec<Argument>>,
}

/// One value in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name, if it has one.
    pub name: Option<Word>,
    /// The value.
    pub value: Node,
}

/// A name and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The name.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// Where a text stops being RON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Value {
    /// What kind of value it is, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(_) => f.write_str("a boolean"),
            Value::Number(_) => f.write_str("a number"),
            Value::Text(_) => f.write_str("a string"),
            Value::List(_) => f.write_str("a list"),
            Value::Map(_) => f.write_str("a map"),
            Value::Call(Call { name: Some(name), .. }) => write!(f, "`{}`", name.text),
            Value::Call(Call { name: None, .. }) => f.write_str("a struct"),
        }
    }
}

/// The value that `text` is. Places count from `base` in source number `source`.
///
/// # Errors
/// The first place at which the text is not RON.
pub fn parse(text: &str, source: u16, base: usize) -> Result<Node, SyntaxError> {
    let mut parser = Parser { text, at: 0, source, base, depth: 0 };
    parser.skip_attributes()?;
    let node = parser.value()?;
    parser.skip_blank()?;
    match parser.peek() {
        None => Ok(node),
        Some(found) => {
            parser.fail_here(format!("unexpected {} after the end", quoted(found)), None)
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    source: u16,
    base: usize,
    depth: usize,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.at += expected.len_utf8();
        }
        found
    }

    fn span(&self, start: usize) -> Span {
        Span::new(self.source, self.base + start..self.base + self.at)
    }

    fn fail<T>(&self, start: usize, end: usize, message: String, help: Option<&str>) -> Parsed<T> {
        let span = Span::new(self.source, self.base + start..self.base + end);
        Err(SyntaxError { span, message, help: help.map(str::to_owned) })
    }

    fn fail_here<T>(&self, message: String, help: Option<&str>) -> Parsed<T> {
        let width = self.peek().map_or(0, char::len_utf8);
        self.fail(self.at, self.at + width, message, help)
    }

    fn skip_blank(&mut self) -> Parsed<()> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            if self.rest().starts_with("//") {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if self.rest().starts_with("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn skip_block_comment(&mut self) -> Parsed<()> {
        let start = self.at;
        let mut open = 0_usize;
        loop {
            if self.rest().starts_with("/*") {
                open += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                open -= 1;
                self.at += 2;
            } else if self.bump().is_none() {
                return self.fail(start, start + 2, "this comment does not end".to_owned(), None);
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn skip_attributes(&mut self) -> Parsed<()> {
        loop {
            self.skip_blank()?;
            if !self.rest().starts_with("#!") {
                return Ok(());
            }
            match self.rest().find(']') {
                Some(end) => self.at += end + 1,
                None => return self.fail_here("this attribute does not end".to_owned(), None),
            }
        }
    }

    fn value(&mut self) -> Parsed<Node> {
        self.skip_blank()?;
        if self.depth > DEEPEST {
            return self.fail_here("this is nested too deeply".to_owned(), None);
        }
        self.depth += 1;
        let start = self.at;
        let value = match self.peek() {
            None => {
                return self.fail_here("the text ends where a value should be".to_owned(), None);
            }
            Some('"') => Value::Text(self.string()?),
            Some('[') => Value::List(self.sequence('[', ']', Parser::value)?),
            Some('{') => Value::Map(self.sequence('{', '}', Parser::entry)?),
            Some('(') => Value::Call(Call { name: None, arguments: Some(self.arguments()?) }),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number()?,
            Some('r') if self.raw_string_begins() => Value::Text(self.raw_string()?),
            Some(c) if c.is_alphabetic() || c == '_' => self.named()?,
            Some(c) => {
                return self.fail_here(format!("expected a value, found {}", quoted(c)), None);
            }
        };
        self.depth -= 1;
        Ok(Node { value, span: self.span(start) })
    }

    fn named(&mut self) -> Parsed<Value> {
        let name = self.word();
        match name.text.as_str() {
            "true" => return Ok(Value::Boolean(true)),
            "false" => return Ok(Value::Boolean(false)),
            _ => {}
        }
        let after = self.at;
        self.skip_blank()?;
        if self.peek() == Some('(') {
            return Ok(Value::Call(Call { name: Some(name), arguments: Some(self.arguments()?) }));
        }
        self.at = after;
        Ok(Value::Call(Call { name: Some(name), arguments: None }))
    }

    fn word(&mut self) -> Word {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.bump();
        }
        Word { text: self.text[start..self.at].to_owned(), span: self.span(start) }
    }

    fn arguments(&mut self) -> Parsed<Vec<Argument>> {
        self.sequence('(', ')', Parser::argument)
    }

    fn argument(&mut self) -> Parsed<Argument> {
        let start = self.at;
        if self.peek().is_some_and(|c| c.is_alphabetic() || c == '_') && !self.raw_string_begins() {
            let name = self.word();
            self.skip_blank()?;
            if self.take(':') {
                return Ok(Argument { name: Some(name), value: self.value()? });
            }
            self.at = start;
        }
        let value = self.value()?;
        if let (Value::Text(_), Some(':')) = (&value.value, self.peek()) {
            let end = self.at;
            let message = "a field's name is written without quotes".to_owned();
            return self.fail(start, end, message, Some("maps, with quoted keys, stand in { }"));
        }
        Ok(Argument { name: None, value })
    }

    fn entry(&mut self) -> Parsed<(Node, Node)> {
        let key = self.value()?;
        self.skip_blank()?;
        if !self.take(':') {
            return self.fail_here("expected `:` after a key".to_owned(), None);
        }
        Ok((key, self.value()?))
    }

    fn sequence<T>(
        &mut self,
        open: char,
        close: char,
        item: fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let start = self.at;
        self.bump();
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            if self.take(close) {
                return Ok(items);
            }
            if self.peek().is_none() {
                return self.fail(start, start + 1, format!("this `{open}` is not closed"), None);
            }
            items.push(item(self)?);
            self.skip_blank()?;
            if !self.take(',') && self.peek() != Some(close) {
                let message = match self.peek() {
                    None => {
                        return self.fail(
                            start,
                            start + 1,
                            format!("this `{open}` is not closed"),
                            None,
                        );
                    }
                    Some(found) => format!("expected `,` or `{close}`, found {}", quoted(found)),
                };
                return self.fail_here(message, Some("is a comma missing before this?"));
            }
        }
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || "+-._".contains(c)) {
            self.bump();
        }
        let written = &self.text[start..self.at];
        let number: String = written.chars().filter(|&c| c != '_').collect();
        if number.parse::<i128>().is_ok() || is_decimal(&number) {
            return Ok(Value::Number(number));
        }
        let message = format!("`{written}` is not a number");
        let help = "durations and sizes with a unit are strings: \"2s\", \"250us\"";
        self.fail(start, self.at, message, Some(help))
    }

    fn string(&mut self) -> Parsed<String> {
        let start = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                None => {
                    return self.fail(
                        start,
                        start + 1,
                        "this string does not end".to_owned(),
                        None,
                    );
                }
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(other) => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at - 1;
        let simple = match self.bump() {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('0') => Some('\0'),
            Some(same @ ('\\' | '"' | '\'')) => Some(same),
            Some('u') if self.take('{') => {
                let digits = self.rest().split('}').next().unwrap_or("").to_owned();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                self.at += digits.len();
                code.filter(|_| self.take('}'))
            }
            Some(_) | None => None,
        };
        match simple {
            Some(character) => Ok(character),
            None => self.fail(start, self.at, "unknown escape in a string".to_owned(), None),
        }
    }

    fn raw_string_begins(&self) -> bool {
        let rest = self.rest().strip_prefix('r').map(|rest| rest.trim_start_matches('#'));
        rest.is_some_and(|rest| rest.starts_with('"'))
    }

    fn raw_string(&mut self) -> Parsed<String> {
        let start = self.at;
        self.bump();
        let hashes = self.rest().len() - self.rest().trim_start_matches('#').len();
        self.at += hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        let Some(length) = self.rest().find(&end) else {
            return self.fail(start, start + 1, "this string does not end".to_owned(), None);
        };
        let text = self.rest()[..length].to_owned();
        self.at += length + end.len();
        Ok(text)
    }
}

/// Digits, a point, digits; a sign may precede.
pub(crate) fn is_decimal(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let sign = text.len() - digits.len();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    sign <= 1 && all_digits(whole) && all_digits(fraction)
}

fn quoted(character: char) -> String {
    format!("`{character}`")
}

/// Deeper nesting than any scenario needs would exhaust the stack.
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> String {
        fn show(node: &Node) -> String {
            let list = |nodes: Vec<String>| nodes.join(",");
            match &node.value {
                Value::Boolean(value) => value.to_string(),
                Value::Number(number) => number.clone(),
                Value::Text(text) => format!("{text:?}"),
                Value::List(items) => format!("[{}]", list(items.iter().map(show).collect())),
                Value::Map(entries) => {
                    let pair = |(k, v): &(Node, Node)| format!("{}:{}", show(k), show(v));
                    format!("{{{}}}", list(entries.iter().map(pair).collect()))
                }
                Value::Call(call) => {
                    let name = call.name.as_ref().map_or("", |name| &name.text);
                    let argument = |argument: &Argument| {
                        let name = argument.name.as_ref();
                        let name = name.map_or(String::new(), |name| format!("{}=", name.text));
                        format!("{name}{}", show(&argument.value))
                    };
                    let shown = |arguments: &Vec<Argument>| {
                        format!("({})", list(arguments.iter().map(argument).collect()))
                    };
                    format!("{name}{}", call.arguments.as_ref().map_or(String::new(), shown))
                }
            }
        }
        match parse(text, 0, 0) {
            Ok(node) => show(&node),
            Err(error) => format!("{}: {}", error.span.start, error.message),
        }
    }

    #[test]
    fn ron_is_read() {
        assert_eq!(shape("Cold // a comment\n/* and /* one */ more */"), "Cold");
        assert_eq!(shape("S(a: 1, b: [ X, Y(2,), ], )"), "S(a=1,b=[X,Y(2)])");
        assert_eq!(
            shape(r##"{"a": r#"q"q"#, "b\n\u{41}": -1_000.5}"##),
            r#"{"a":"q\"q","b\nA":-1000.5}"#
        );
        assert_eq!(shape("#![enable(implicit_some)]\n(true, on: ())"), "(true,on=())");
    }

    #[test]
    fn what_is_not_ron_is_located() {
        assert_eq!(shape(""), "0: the text ends where a value should be");
        assert_eq!(shape("(a: 1"), "0: this `(` is not closed");
        assert_eq!(shape("(a: 1 b: 2)"), "6: expected `,` or `)`, found `b`");
        assert_eq!(shape("(a: 2s)"), "4: `2s` is not a number");
        assert_eq!(shape("(\"a\": 2)"), "1: a field's name is written without quotes");
        assert_eq!(shape("A B"), "2: unexpected `B` after the end");
        assert_eq!(shape("\"abc"), "0: this string does not end");
        assert_eq!(shape("[1, /* 2"), "4: this comment does not end");
        let deep = "(".repeat(10_000);
        assert!(shape(&deep).ends_with("nested too deeply"), "{}", shape(&deep));
    }
}
