//! What two sides of one scenario set differently: a variant, settings on top, or the defaults of
//! another version.
//!
//! Trees are compared, not resolved scenarios, so that a difference reads as whoever wrote the
//! scenario would write it: `producers/shop/acks`, from `1` to `all`.

use crate::file::field;
use crate::resolve::{group_name, has_effect, is_zookeeper};
use crate::syntax::{Argument, Call, Node, Value, Word};
use acklab_vocab::properties::{Scope, inherited_from, lookup, table};
use acklab_vocab::version::KafkaVersion;
use std::collections::BTreeSet;

/// One thing that two sides set differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is set, as `--set` takes it where it can: `producers/shop/acks`.
    pub path: String,
    /// By the first side.
    pub first: SettingValue,
    /// By the second side.
    pub second: SettingValue,
}

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// It is set to this.
    Set(String),
    /// It is not set; the default, where there is one that does not depend on anything else.
    Default(Option<String>),
    /// It does not have it: a fault, or a property of another version of Kafka.
    Missing,
}

/// One setting of a tree.
struct Leaf {
    path: String,
    value: String,
    /// Whose property of Kafka it is, if it is one with a default of its own.
    scope: Option<Scope>,
    /// It is a property of Kafka.
    is_property: bool,
}

/// Everything that a tree sets.
struct Side {
    leaves: Vec<Leaf>,
    version: KafkaVersion,
    scopes: BTreeSet<Scope>,
    /// Its cluster keeps its metadata in ZooKeeper.
    zookeeper: bool,
}

/// Kafka's properties that a tree sets to something else than the default of its version, in its
/// order. The first side is what is set, the second the default.
pub(crate) fn from_defaults(root: &Node, version: KafkaVersion) -> Vec<Difference> {
    let side = Side::of(root, version);
    let (leaves, scopes, zookeeper) = (Vec::new(), BTreeSet::new(), side.zookeeper);
    let nothing = Side { leaves, version, scopes, zookeeper };
    let properties = side.leaves.iter().filter(|leaf| leaf.is_property);
    let differing = properties.filter_map(|leaf| {
        let default = nothing.default(leaf);
        (default.as_ref() != Some(&leaf.value)).then(|| Difference {
            path: leaf.path.clone(),
            first: SettingValue::Set(leaf.value.clone()),
            second: SettingValue::Default(default),
        })
    });
    differing.collect()
}

/// What the trees of two sides set differently, in the order of the first.
pub(crate) fn differences(
    (first, first_version): (&Node, KafkaVersion),
    (second, second_version): (&Node, KafkaVersion),
) -> Vec<Difference> {
    let sides = [Side::of(first, first_version), Side::of(second, second_version)];
    let [first, second] = &sides;
    let own = second.leaves.iter().filter(|leaf| first.find(&leaf.path).is_none());
    let mut found: Vec<Difference> = first
        .leaves
        .iter()
        .chain(own)
        .filter_map(|leaf| {
            let [one, other] = [first, second].map(|side| side.value(leaf));
            let path = leaf.path.clone();
            (one != other).then_some(Difference { path, first: one, second: other })
        })
        .collect();
    found.extend(defaults(first, second));
    found
}

/// The defaults that differ between the versions of two sides.
fn defaults(first: &Side, second: &Side) -> Vec<Difference> {
    let mut found = Vec::new();
    if first.version == second.version {
        return found;
    }
    for &scope in first.scopes.intersection(&second.scopes) {
        let decides = |name: &str| {
            scope != Scope::Broker
                || [first, second].iter().any(|side| has_effect(name, side.zookeeper))
        };
        for definition in table(scope).filter(|of| of.modelled && !of.internal) {
            if !decides(definition.name) {
                continue;
            }
            let [one, other] =
                [first, second].map(|side| match definition.default_for(side.version) {
                    Some(default) => SettingValue::Default(Some(default.to_owned())),
                    None => SettingValue::Missing,
                });
            if one != other {
                let path = format!("every {scope}: {}", definition.name);
                found.push(Difference { path, first: one, second: other });
            }
        }
    }
    found
}

impl Side {
    fn of(root: &Node, version: KafkaVersion) -> Side {
        let mode = field(root, "cluster").and_then(|cluster| field(cluster, "mode"));
        let (leaves, scopes) = (Vec::new(), BTreeSet::new());
        let zookeeper = is_zookeeper(mode, version);
        let mut side = Side { leaves, version, scopes, zookeeper };
        let Value::Call(Call { arguments: Some(arguments), .. }) = &root.value else { return side };
        for argument in arguments {
            let Some(name) = argument.name.as_ref().map(|word| word.text.as_str()) else {
                continue;
            };
            match name {
                "about" | "source" | "expect" | "expect_share" | "variants" | "compare" => {}
                "cluster" => {
                    side.scopes.insert(Scope::Broker);
                    side.owned(name, &argument.value, Some(Scope::Broker));
                }
                "topics" => {
                    side.scopes.insert(Scope::Topic);
                    side.each(name, &argument.value, |_| Some(Scope::Topic));
                }
                "producers" => side.each(name, &argument.value, producer_scope),
                "readers" | "groups" => side.each(name, &argument.value, consumer_scope),
                "faults" => side.each(name, &argument.value, |_| None),
                _ => side.owned(name, &argument.value, None),
            }
        }
        side
    }

    /// Something that is not one of several.
    fn owned(&mut self, path: &str, node: &Node, scope: Option<Scope>) {
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    self.owned(&format!("{path}/{}", written(key)), value, scope);
                }
            }
            Value::Call(Call { name: None, arguments: Some(arguments) })
                if arguments.iter().all(|argument| argument.name.is_some()) =>
            {
                for Argument { name, value } in arguments {
                    let name = name.as_ref().map_or("", |word| word.text.as_str());
                    self.field(path, name, value, scope);
                }
            }
            _ => {
                self.leaves.push(Leaf {
                    path: path.to_owned(),
                    value: written(node),
                    scope: None,
                    is_property: false,
                });
            }
        }
    }

    fn field(&mut self, path: &str, name: &str, value: &Node, scope: Option<Scope>) {
        match (name, &value.value) {
            ("name" | "id", _) => {}
            ("properties", Value::Map(entries)) => {
                let owner = if path == "cluster" { "brokers" } else { path };
                for (key, value) in entries {
                    let path = format!("{owner}/{}", written(key));
                    self.leaves.push(Leaf {
                        path,
                        value: written(value),
                        scope,
                        is_property: true,
                    });
                }
            }
            _ => self.owned(&format!("{path}/{name}"), value, scope),
        }
    }

    /// Several of a kind, by name where they have names.
    fn each(&mut self, path: &str, node: &Node, scope: impl Fn(&Node) -> Option<Scope>) {
        let named: Vec<(String, &Node)> = match &node.value {
            Value::Map(entries) => {
                entries.iter().map(|(key, value)| (written(key), value)).collect()
            }
            Value::List(items) => {
                let name = |(position, item): (usize, &Node)| {
                    let own = field(item, "name").map(written);
                    own.or_else(|| group_name(item)).unwrap_or_else(|| position.to_string())
                };
                items.iter().enumerate().map(|(at, item)| (name((at, item)), item)).collect()
            }
            _ => Vec::new(),
        };
        for (name, element) in named {
            let path = format!("{path}/{name}");
            let scope = scope(element);
            self.scopes.extend(scope);
            if path.starts_with("faults/") {
                let value = written(element);
                self.leaves.push(Leaf { path, value, scope: None, is_property: false });
            } else {
                self.owned(&path, element, scope);
            }
        }
    }

    fn find(&self, path: &str) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.path == path)
    }

    /// What this side says of a setting of either side.
    fn value(&self, leaf: &Leaf) -> SettingValue {
        match self.find(&leaf.path) {
            Some(own) => SettingValue::Set(own.value.clone()),
            // A fault that is not there is no setting of one.
            None if leaf.path.starts_with("faults/") => SettingValue::Missing,
            None => SettingValue::Default(self.default(leaf)),
        }
    }

    fn default(&self, leaf: &Leaf) -> Option<String> {
        let scope = leaf.scope?;
        let (_, name) = leaf.path.rsplit_once('/')?;
        let inherited = inherited_from(name).filter(|_| scope == Scope::Topic);
        let of_brokers = inherited.and_then(|name| self.find(&format!("brokers/{name}")));
        if let Some(of_brokers) = of_brokers {
            return Some(of_brokers.value.clone());
        }
        let default = lookup(name, scope)?.default_for(self.version)?;
        (!default.is_empty()).then(|| default.to_owned())
    }
}

/// Whose properties a producer has, unless its client is of a version of its own.
fn producer_scope(element: &Node) -> Option<Scope> {
    client_scope(element, |client| match client {
        None => Some(Scope::Producer),
        Some("Librdkafka") => Some(Scope::LibrdkafkaProducer),
        Some("KafkaPython") => Some(Scope::KafkaPythonProducer),
        Some("Scala") => Some(Scope::ScalaProducer),
        Some(_) => None,
    })
}

/// Whose properties a consumer has, unless its client is of a version of its own.
fn consumer_scope(element: &Node) -> Option<Scope> {
    client_scope(element, |client| match client {
        None => Some(Scope::Consumer),
        Some("Librdkafka") => Some(Scope::LibrdkafkaConsumer),
        Some("KafkaPython") => Some(Scope::KafkaPythonConsumer),
        Some("HighLevel") => Some(Scope::HighLevelConsumer),
        Some("Pykafka") => Some(Scope::PykafkaConsumer),
        Some(_) => None,
    })
}

fn client_scope(element: &Node, scope: impl Fn(Option<&str>) -> Option<Scope>) -> Option<Scope> {
    match field(element, "client").map(|client| &client.value) {
        None => scope(None),
        Some(Value::Call(Call { name: Some(Word { text, .. }), .. })) => scope(Some(text)),
        Some(_) => None,
    }
}

/// A value as RON has it, strings without their quotes where nothing is around them.
fn written(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.clone(),
        _ => nested(node),
    }
}

fn nested(node: &Node) -> String {
    let all = |items: Vec<String>| items.join(", ");
    match &node.value {
        Value::Boolean(value) => value.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", all(items.iter().map(nested).collect())),
        Value::Map(entries) => {
            let entry = |(key, value): &(Node, Node)| format!("{}: {}", nested(key), nested(value));
            format!("{{{}}}", all(entries.iter().map(entry).collect()))
        }
        Value::Call(Call { name, arguments }) => {
            let name = name.as_ref().map_or("", |word| word.text.as_str());
            let argument = |argument: &Argument| match &argument.name {
                Some(name) => format!("{}: {}", name.text, nested(&argument.value)),
                None => nested(&argument.value),
            };
            match arguments {
                Some(list) => format!("{name}({})", all(list.iter().map(argument).collect())),
                None => name.to_owned(),
            }
        }
    }
}
