//! Settings from outside a scenario's text: `--set OWNER/PROPERTY=VALUE`, and the `set` of a
//! variant.
//!
//! A setting changes the tree before anything is decoded, so it is checked as if it stood in the
//! file.

use crate::diagnostic::{Finding, Report, Span};
use crate::resolve::{
    CLUSTER, DISK, FAULT, GROUP, NETWORK, OUTPUT, PRODUCER, READER, TOPIC, group_name,
};
use crate::syntax::{Argument, Call, Node, Value, Word, parse};
use acklab_vocab::properties::{Scope, lookup};
use std::fmt;
use std::str::FromStr;

/// `OWNER/PROPERTY=VALUE`, `OWNER/NAME/PROPERTY=VALUE` or `FIELD=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    text: String,
    equals: usize,
}

/// Why a text is no setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a setting; write OWNER/PROPERTY=VALUE, for instance producers/acks=all, \
     topics/orders/min.insync.replicas=2, kafka=3.9 or duration=30s"
)]
pub struct BadSetting(pub String);

impl Setting {
    /// The setting of `path` to `value`.
    ///
    /// # Errors
    /// [`BadSetting`] if the path is empty or contains `=`.
    pub fn new(path: &str, value: &str) -> Result<Setting, BadSetting> {
        format!("{path}={value}").parse()
    }

    /// What is set: `producers/acks`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[..self.equals]
    }

    /// To what: `all`.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.text[self.equals + 1..]
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The change of the tree that it stands for, with places in source number `source`.
    pub(crate) fn change(&self, source: u16) -> Change {
        let path =
            Word { text: self.path().trim().to_owned(), span: Span::new(source, 0..self.equals) };
        let span = Span::new(source, self.equals + 1..self.text.len());
        let value = Value::Text(self.value().trim().to_owned());
        Change { path, value: Node { value, span } }
    }
}

impl FromStr for Setting {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let equals = text.find('=').filter(|&at| !text[..at].trim().is_empty());
        let equals = equals.ok_or_else(|| BadSetting(text.to_owned()))?;
        Ok(Setting { text: text.to_owned(), equals })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A setting as a change of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) path: Word,
    pub(crate) value: Node,
}

/// Applies a change to the tree of a whole scenario.
pub(crate) fn apply(root: &mut Node, change: &Change, report: &mut Report) {
    let parts: Vec<&str> = change.path.text.split('/').map(str::trim).collect();
    let (owner, name, last) = match parts.as_slice() {
        [field] => return set_top_level(root, field, change, report),
        [owner, last] => (*owner, None, *last),
        [owner, name, last] => (*owner, Some(*name), *last),
        _ => {
            let finding = Finding::new(format!("`{}` has too many parts", change.path.text))
                .help("write OWNER/PROPERTY or OWNER/NAME/PROPERTY");
            return report.error(change.path.span, finding);
        }
    };
    let known = OWNERS.iter().find(|known| known.name == owner);
    let Some(known) = known else {
        let finding = Finding::new(format!("there are no `{owner}` to set something of"))
            .did_you_mean(owner, OWNERS.iter().map(|known| known.name));
        return report.error(change.path.span, finding);
    };
    if name.is_some() && !known.named {
        let finding = Finding::new(format!("`{owner}` have no names: write {owner}/{last}"));
        return report.error(change.path.span, finding);
    }
    let in_properties = !known.fields.contains(&last) && known.properties;
    if owner == "rules" {
        let rules = field_mut(root, "rules", change);
        return set_entry(rules, last, change);
    }
    for_each_owned(root, known, name, change, report, |owned| {
        if in_properties {
            let properties = field_mut(owned, "properties", change);
            set_property(properties, last, change);
        } else {
            *field_mut(owned, last, change) = field_value(last, &change.value);
        }
    });
}

/// Whom a setting may name first.
struct Owner {
    name: &'static str,
    /// The field of the scenario.
    field: &'static str,
    /// Its elements have names.
    named: bool,
    /// Its own fields.
    fields: &'static [&'static str],
    /// Anything else is a property of Kafka.
    properties: bool,
}

const OWNERS: &[Owner] = &[
    Owner {
        name: "producers",
        field: "producers",
        named: true,
        fields: PRODUCER,
        properties: true,
    },
    Owner { name: "readers", field: "readers", named: true, fields: READER, properties: true },
    Owner { name: "groups", field: "groups", named: true, fields: GROUP, properties: true },
    Owner { name: OUTPUTS, field: "groups", named: true, fields: OUTPUT, properties: true },
    Owner { name: "topics", field: "topics", named: true, fields: TOPIC, properties: true },
    Owner { name: "brokers", field: "cluster", named: false, fields: &[], properties: true },
    Owner { name: "controllers", field: "cluster", named: false, fields: &[], properties: true },
    Owner { name: "cluster", field: "cluster", named: false, fields: CLUSTER, properties: true },
    Owner { name: "network", field: "network", named: false, fields: NETWORK, properties: false },
    Owner { name: "disk", field: "disk", named: false, fields: DISK, properties: false },
    Owner { name: "faults", field: "faults", named: true, fields: FAULT, properties: false },
    Owner { name: "rules", field: "rules", named: false, fields: &[], properties: false },
];

/// What groups write: they stand within the groups, and have names of their own.
const OUTPUTS: &str = "outputs";

const TOP_LEVEL: &[&str] = &["kafka", "duration", "settle", "start"];

fn set_top_level(root: &mut Node, field: &str, change: &Change, report: &mut Report) {
    if TOP_LEVEL.contains(&field) {
        *field_mut(root, field, change) = field_value(field, &change.value);
        return;
    }
    let owner = OWNERS.iter().any(|owner| owner.name == field);
    let finding = Finding::new(format!("`{field}` cannot be set"));
    let finding = match owner {
        true => finding.help(format!("name what to set of them: {field}/PROPERTY=VALUE")),
        false => finding.did_you_mean(field, TOP_LEVEL.iter().copied()),
    };
    report.error(change.path.span, finding);
}

/// Calls `act` on every element of an owner, or on the one of that name.
fn for_each_owned(
    root: &mut Node,
    owner: &Owner,
    name: Option<&str>,
    change: &Change,
    report: &mut Report,
    mut act: impl FnMut(&mut Node),
) {
    let elements = field_mut(root, owner.field, change);
    let mut names: Vec<String> = Vec::new();
    let mut found = false;
    let outputs = owner.name == OUTPUTS;
    let mut visit = |element_name: String, element: &mut Node| {
        if name.is_none_or(|name| name == element_name) {
            found = true;
            act(element);
        }
        names.push(element_name);
    };
    match &mut elements.value {
        _ if !owner.named => act(elements),
        Value::Map(entries) => {
            for (key, element) in entries {
                if let Value::Text(key) = &key.value {
                    visit(key.clone(), element);
                }
            }
        }
        Value::List(items) => {
            for (position, element) in items.iter_mut().enumerate() {
                let element = match outputs {
                    true => output_of(element),
                    false => Some(element),
                };
                let Some(element) = element else { continue };
                let element_name = match owner.field {
                    "groups" if !outputs => group_name(element),
                    _ => name_of(element),
                };
                visit(element_name.unwrap_or_else(|| position.to_string()), element);
            }
        }
        // Anything else is refused when the field is decoded.
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => return,
    }
    if owner.named && !found {
        let finding = match name {
            Some(name) => Finding::new(format!("no `{name}` among the {}", owner.name))
                .did_you_mean(name, names.iter().map(String::as_str)),
            None => Finding::new(format!("the scenario has no {}", owner.name)),
        };
        report.error(change.path.span, finding);
    }
}

/// The output of a group, if it has one.
fn output_of(group: &mut Node) -> Option<&mut Node> {
    let Value::Call(Call { arguments: Some(arguments), .. }) = &mut group.value else {
        return None;
    };
    let is_output =
        |argument: &&mut Argument| argument.name.as_ref().is_some_and(|w| w.text == "output");
    arguments.iter_mut().find(is_output).map(|argument| &mut argument.value)
}

fn name_of(element: &Node) -> Option<String> {
    let Value::Call(Call { arguments: Some(arguments), .. }) = &element.value else {
        return None;
    };
    let is_name =
        |argument: &&Argument| argument.name.as_ref().is_some_and(|word| word.text == "name");
    match arguments.iter().find(is_name).map(|argument| &argument.value.value) {
        Some(Value::Text(name)) => Some(name.clone()),
        Some(_) | None => None,
    }
}

/// The field of a struct, added if it is not there. A node that is no struct is left alone:
/// decoding will refuse it.
fn field_mut<'n>(node: &'n mut Node, field: &str, change: &Change) -> &'n mut Node {
    let is_struct = matches!(&node.value, Value::Call(Call { arguments: Some(_), .. }));
    if !is_struct {
        return node;
    }
    let Value::Call(Call { arguments: Some(arguments), .. }) = &mut node.value else {
        unreachable!("checked above");
    };
    let has = |argument: &Argument| argument.name.as_ref().is_some_and(|word| word.text == field);
    let position = arguments.iter().position(has).unwrap_or_else(|| {
        let name = Some(Word { text: field.to_owned(), span: change.path.span });
        let empty = match field {
            "producers" | "readers" | "groups" | "faults" => Value::List(Vec::new()),
            "properties" | "topics" | "rules" => Value::Map(Vec::new()),
            _ => Value::Call(Call { name: None, arguments: Some(Vec::new()) }),
        };
        let value = Node { value: empty, span: change.path.span };
        arguments.push(Argument { name, value });
        arguments.len() - 1
    });
    &mut arguments[position].value
}

/// Sets a property of Kafka, whichever of its names the map uses.
fn set_property(properties: &mut Node, name: &str, change: &Change) {
    if let Value::Map(entries) = &mut properties.value {
        entries.retain(|(key, _)| match &key.value {
            Value::Text(key) => !same_property(key, name),
            _ => true,
        });
    }
    insert(properties, name, change.value.clone(), change);
}

fn same_property(first: &str, second: &str) -> bool {
    let canonical =
        |name: &str, scope: Scope| lookup(name, scope).map(|definition| definition.name);
    let same = |&scope: &Scope| {
        let found = canonical(first, scope);
        found.is_some() && found == canonical(second, scope)
    };
    first == second || Scope::ALL.iter().any(same)
}

/// Sets a key of a map; a boolean or number may come as text.
fn set_entry(map: &mut Node, key: &str, change: &Change) {
    insert(map, key, field_value(key, &change.value), change);
}

fn insert(map: &mut Node, key: &str, value: Node, change: &Change) {
    if let Value::Call(Call { name: None, arguments: Some(arguments) }) = &map.value
        && arguments.is_empty()
    {
        map.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut map.value else {
        return;
    };
    let is_key = |entry: &&mut (Node, Node)| entry.0.value == Value::Text(key.to_owned());
    match entries.iter_mut().find(is_key) {
        Some(entry) => entry.1 = value,
        None => {
            let word = Node { value: Value::Text(key.to_owned()), span: change.path.span };
            entries.push((word, value));
        }
    }
}

/// The value for a field: a text is read as RON where the field is none, so `count=3` and
/// `keys=PerBurst` work.
fn field_value(field: &str, value: &Node) -> Node {
    let Value::Text(text) = &value.value else {
        return value.clone();
    };
    if TEXT_FIELDS.contains(&field) {
        return value.clone();
    }
    let quotes = (value.span.end - value.span.start) as usize > text.len();
    let base = value.span.start as usize + usize::from(quotes);
    match parse(text, value.span.source, base) {
        Ok(node) => node,
        Err(_) => value.clone(),
    }
}

/// Fields whose value is a string, also when it looks like something else.
const TEXT_FIELDS: &[&str] = &["kafka", "id", "name", "topic"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_path_and_a_value() {
        let setting: Setting = "topics/orders/min.insync.replicas=2".parse().unwrap();
        assert_eq!((setting.path(), setting.value()), ("topics/orders/min.insync.replicas", "2"));
        assert_eq!(setting.to_string(), "topics/orders/min.insync.replicas=2");
        for bad in ["producers/acks", "=all", "", " =1"] {
            assert_eq!(bad.parse::<Setting>(), Err(BadSetting(bad.to_owned())));
        }
    }
}
