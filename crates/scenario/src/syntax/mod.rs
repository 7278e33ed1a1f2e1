//! RON text to a tree in which every value knows its place.
//!
//! `ron` reads the text, through serde. A [`RawValue`] borrows the very part of the text that is
//! its value, so where it stands is the distance between two addresses; and what it holds is read
//! from it in turn, in whichever of RON's shapes it has.
//!
//! A tree comes before the types of the model because settings change it first (`--set`, the
//! `set` of a variant), because one pass has to find every mistake, where a derived
//! `Deserialize` stops at the first, and because a fault reads best as
//! `Kill(LeaderOf("orders", 0))` or `Kill([Broker(1), Broker(2)])`, whichever fits.

mod explain;

use crate::diagnostic::Span;
use ron::Options;
use ron::value::RawValue;
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
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

/// One value in parentheses. In RON either all of them have names or none has.
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
    // A raw value may not end in a comment that a line break does not end.
    let text = format!("{text}\n");
    let place = Place { text: &text, source, base };
    match ron::from_str::<&RawValue>(&text) {
        Ok(root) => place.node(trimmed(root)),
        Err(error) => Err(place.explain(&error)),
    }
}

/// A text, and where it stands in a source.
struct Place<'t> {
    text: &'t str,
    source: u16,
    base: usize,
}

impl<'t> Place<'t> {
    /// The place of a part of the text.
    fn span(&self, part: &str) -> Span {
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        self.span_of(start, start + part.len())
    }

    /// The place of some bytes of the text.
    fn span_of(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, self.base + start..self.base + end)
    }

    /// The value that a part of the text is.
    fn node(&self, part: &'t str) -> Result<Node, SyntaxError> {
        Ok(Node { value: self.value(part)?, span: self.span(part) })
    }

    fn value(&self, part: &'t str) -> Result<Value, SyntaxError> {
        if let Ok(value) = ron::from_str(part) {
            return Ok(Value::Boolean(value));
        }
        if let Ok(text) = ron::from_str(part) {
            return Ok(Value::Text(text));
        }
        let read =
            |shape: &Shape| Some((*shape, Options::default().from_str_seed(part, *shape).ok()?));
        let Some((shape, parts)) = SHAPES.iter().find_map(read) else {
            return match is_number(part) {
                true => Ok(Value::Number(part.replace('_', ""))),
                false => Err(self.out_of_place(part)),
            };
        };
        let items = parts.items.into_iter();
        Ok(match shape {
            Shape::List => {
                Value::List(items.map(|(_, item)| self.node(item)).collect::<Result<_, _>>()?)
            }
            Shape::Map => {
                let entry = |(key, value): (Option<&'t str>, &'t str)| {
                    Ok((self.node(key.unwrap_or_default())?, self.node(value)?))
                };
                Value::Map(items.map(entry).collect::<Result<_, _>>()?)
            }
            Shape::Struct | Shape::Tuple | Shape::Unit | Shape::NamedStruct | Shape::NamedTuple => {
                let argument = |(name, value): (Option<&'t str>, &'t str)| {
                    Ok(Argument {
                        name: name.map(|name| self.word(name)),
                        value: self.node(value)?,
                    })
                };
                let arguments = items.map(argument).collect::<Result<_, _>>()?;
                let arguments = (shape != Shape::Unit).then_some(arguments);
                Value::Call(Call { name: parts.name.map(|name| self.word(name)), arguments })
            }
        })
    }

    fn word(&self, part: &str) -> Word {
        Word { text: part.to_owned(), span: self.span(part) }
    }

    /// RON has values that a scenario has no use for: `'c'`, `b"bytes"`, `1..5`.
    fn out_of_place(&self, part: &str) -> SyntaxError {
        let message = format!("`{part}` has no place in a scenario");
        let help = part.starts_with('\'').then(|| "strings stand in double quotes".to_owned());
        SyntaxError { span: self.span(part), message, help }
    }
}

/// A value's own text, without the blanks and comments around it.
fn trimmed(raw: &RawValue) -> &str {
    raw.trim().get_ron()
}

fn is_number(part: &str) -> bool {
    matches!(ron::from_str(part), Ok(ron::Value::Number(_)))
}

/// The shapes of RON that hold further values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `[value, …]`
    List,
    /// `{key: value, …}`
    Map,
    /// `(name: value, …)`
    Struct,
    /// `(value, …)`
    Tuple,
    /// `Name`
    Unit,
    /// `Name(name: value, …)`
    NamedStruct,
    /// `Name(value, …)`
    NamedTuple,
}

/// At most one of them fits, except that empty parentheses are a struct as well as a tuple.
const SHAPES: [Shape; 7] = [
    Shape::List,
    Shape::Map,
    Shape::Struct,
    Shape::Tuple,
    Shape::Unit,
    Shape::NamedStruct,
    Shape::NamedTuple,
];

/// What a value of some shape consists of, as parts of the text.
#[derive(Default)]
struct Parts<'t> {
    name: Option<&'t str>,
    /// Values with their names or keys, if they have any.
    items: Vec<(Option<&'t str>, &'t str)>,
}

impl<'t> DeserializeSeed<'t> for Shape {
    type Value = Parts<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Parts<'t>, D::Error> {
        match self {
            Shape::List => deserializer.deserialize_seq(self),
            Shape::Map => deserializer.deserialize_map(self),
            Shape::Struct => deserializer.deserialize_struct("", &[], self),
            Shape::Tuple => deserializer.deserialize_tuple(0, self),
            Shape::Unit | Shape::NamedStruct | Shape::NamedTuple => {
                deserializer.deserialize_enum("", &[], self)
            }
        }
    }
}

impl<'t> Visitor<'t> for Shape {
    type Value = Parts<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of the shape {self:?}")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut access: A) -> Result<Parts<'t>, A::Error> {
        let mut parts = Parts::default();
        while let Some(item) = access.next_element()? {
            parts.items.push((None, trimmed(item)));
        }
        Ok(parts)
    }

    fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<Parts<'t>, A::Error> {
        let mut parts = Parts::default();
        loop {
            let key = match self {
                Shape::Map => access.next_key()?.map(trimmed),
                _ => access.next_key()?.map(|Identifier(name)| name),
            };
            if key.is_none() {
                return Ok(parts);
            }
            parts.items.push((key, trimmed(access.next_value()?)));
        }
    }

    fn visit_enum<A: EnumAccess<'t>>(self, access: A) -> Result<Parts<'t>, A::Error> {
        let (Identifier(name), variant) = access.variant()?;
        let parts = match self {
            Shape::Unit => variant.unit_variant().map(|()| Parts::default())?,
            Shape::NamedStruct => variant.struct_variant(&[], self)?,
            Shape::NamedTuple => variant.tuple_variant(0, self)?,
            Shape::List | Shape::Map | Shape::Struct | Shape::Tuple => {
                return Err(A::Error::custom("this shape has no name"));
            }
        };
        Ok(Parts { name: Some(name), ..parts })
    }
}

/// The name of a field or variant, as a part of the text.
struct Identifier<'t>(&'t str);

impl<'t> Deserialize<'t> for Identifier<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'t> Visitor<'t> for Borrowed {
            type Value = Identifier<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'t str) -> Result<Identifier<'t>, E> {
                Ok(Identifier(name))
            }
        }
        deserializer.deserialize_identifier(Borrowed)
    }
}

#[cfg(test)]
mod tests;
