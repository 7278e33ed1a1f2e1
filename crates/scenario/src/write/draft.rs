//! One variant of a scenario as a file of its own, to be changed part by part and written out.

use super::layout;
use crate::diagnostic::{Diagnostic, Span};
use crate::file::{BASE, Resolved, ScenarioFile};
use crate::resolve::{
    CLUSTER, DISK, FAULT, GROUP, NETWORK, OUTPUT, PRODUCER, READER, SCENARIO, TOPIC,
};
use crate::syntax::{Argument, Call, Node, Value, Word, parse};

/// One variant of a scenario, with settings on top, as what a file would say: only what differs
/// from the defaults, in the words of whoever wrote it. It has no variants and expects nothing,
/// until it is given expectations.
///
/// Its parts have paths: `duration`, `producers/0/rate`, `topics/orders/partitions`,
/// `cluster/properties/num.io.threads`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    name: String,
    root: Node,
}

/// What only the whole file has: its variants, and what it expects of them.
const OF_FILES: [&str; 4] = ["expect", "expect_share", "variants", "compare"];

impl Draft {
    /// The draft of a tree whose settings have been applied.
    pub(crate) fn of(name: &str, mut root: Node) -> Draft {
        if let Value::Call(Call { name, .. }) = &mut root.value
            && name.is_none()
        {
            *name = Some(word("Scenario"));
        }
        name_values(&mut root, &mut Vec::new());
        if let Value::Call(Call { arguments: Some(arguments), .. }) = &mut root.value {
            arguments.retain(|it| !OF_FILES.iter().any(|name| is_named(it, name)));
        }
        Draft { name: name.to_owned(), root }
    }

    /// The scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the file.
    #[must_use]
    pub fn write(&self) -> String {
        let mut root = self.root.clone();
        sort_fields(&mut root, &mut Vec::new());
        layout::document(&root)
    }

    /// The scenario that the text is.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn resolve(&self) -> Result<Resolved, Vec<Diagnostic>> {
        let file = ScenarioFile::parse(&self.name, None, &self.write());
        file.map_err(|error| vec![*error])?.resolve(BASE, &[])
    }

    /// The last steps of the paths of a value's parts: names of fields, keys of a map, positions
    /// in a list. The path of the whole is empty.
    #[must_use]
    pub fn parts(&self, path: &str) -> Vec<String> {
        let positions = |count: usize| (0..count).map(|position| position.to_string()).collect();
        match find(&self.root, path).map(|node| &node.value) {
            Some(Value::List(items)) => positions(items.len()),
            Some(Value::Map(entries)) => {
                entries.iter().filter_map(|(key, _)| text_of(key)).map(str::to_owned).collect()
            }
            Some(Value::Call(Call { arguments: Some(arguments), .. })) => {
                let names: Option<Vec<String>> = arguments
                    .iter()
                    .map(|it| it.name.as_ref().map(|name| name.text.clone()))
                    .collect();
                names.unwrap_or_else(|| positions(arguments.len()))
            }
            Some(Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_)) | None => {
                Vec::new()
            }
        }
    }

    /// What a part says, as RON on one line.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<String> {
        find(&self.root, path).map(layout::inline)
    }

    /// The text of a part that is a string.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        find(&self.root, path).and_then(text_of)
    }

    /// It without a part; what is left empty by that goes too, but for topics. `None` if there is
    /// no such part.
    #[must_use]
    pub fn without(&self, path: &str) -> Option<Draft> {
        let mut draft = self.clone();
        remove(&mut draft.root, path)?;
        let mut rest = path;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            let is_topic = parent.strip_prefix("topics/").is_some_and(|name| !name.contains('/'));
            let is_empty = find(&draft.root, parent).is_some_and(is_empty);
            if is_topic || !is_empty || remove(&mut draft.root, parent).is_none() {
                break;
            }
            rest = parent;
        }
        Some(draft)
    }

    /// It with another value for a part, or a new part: a field or a key whose owner is there, or
    /// can be. `None` if there is no such owner, or the value is not RON.
    #[must_use]
    pub fn with(&self, path: &str, ron: &str) -> Option<Draft> {
        let value = parse(ron, 0, 0).ok()?;
        let mut draft = self.clone();
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        insert(find_or_add(&mut draft.root, parent)?, last, value)?;
        Some(draft)
    }

    /// It with a string for a part.
    #[must_use]
    pub fn with_text(&self, path: &str, text: &str) -> Option<Draft> {
        self.with(path, &layout::quoted(text))
    }
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|step| !step.is_empty())
}

fn find<'n>(root: &'n Node, path: &str) -> Option<&'n Node> {
    steps(path).try_fold(root, |node, step| match &node.value {
        Value::List(items) => items.get(step.parse::<usize>().ok()?),
        Value::Map(entries) => {
            entries.iter().find(|(key, _)| text_of(key) == Some(step)).map(|(_, value)| value)
        }
        Value::Call(Call { arguments: Some(arguments), .. }) => {
            let named = arguments.iter().find(|it| is_named(it, step));
            let placed = || arguments.get(step.parse::<usize>().ok()?);
            named.or_else(placed).map(|it| &it.value)
        }
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => None,
    })
}

fn find_mut<'n>(root: &'n mut Node, path: &str) -> Option<&'n mut Node> {
    steps(path).try_fold(root, |node, step| match &mut node.value {
        Value::List(items) => items.get_mut(step.parse::<usize>().ok()?),
        Value::Map(entries) => {
            entries.iter_mut().find(|(key, _)| text_of(key) == Some(step)).map(|(_, value)| value)
        }
        Value::Call(Call { arguments: Some(arguments), .. }) => {
            let named = arguments.iter().position(|it| is_named(it, step));
            let position = named.or_else(|| step.parse().ok())?;
            arguments.get_mut(position).map(|it| &mut it.value)
        }
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => None,
    })
}

/// The owner of a part; a map or struct is added if it is not there.
fn find_or_add<'n>(root: &'n mut Node, path: &str) -> Option<&'n mut Node> {
    if find(root, path).is_none() {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let empty = match last {
            "properties" | "topics" | "rules" => Value::Map(Vec::new()),
            _ => Value::Call(Call { name: None, arguments: Some(Vec::new()) }),
        };
        insert(find_or_add(root, parent)?, last, Node { value: empty, span: NOWHERE })?;
    }
    find_mut(root, path)
}

fn insert(owner: &mut Node, name: &str, value: Node) -> Option<()> {
    if let Some(known) = find_mut(owner, name) {
        *known = value;
        return Some(());
    }
    match &mut owner.value {
        Value::Map(entries) => {
            let key = Node { value: Value::Text(name.to_owned()), span: NOWHERE };
            entries.push((key, value));
        }
        Value::Call(Call { arguments: Some(arguments), .. }) => {
            arguments.push(Argument { name: Some(word(name)), value });
        }
        Value::List(_) | Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => {
            return None;
        }
    }
    Some(())
}

fn remove(root: &mut Node, path: &str) -> Option<()> {
    let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
    let position = last.parse::<usize>().ok();
    match &mut find_mut(root, parent)?.value {
        Value::List(items) => {
            let position = position.filter(|&position| position < items.len())?;
            items.remove(position);
        }
        Value::Map(entries) => {
            let position = entries.iter().position(|(key, _)| text_of(key) == Some(last))?;
            entries.remove(position);
        }
        Value::Call(Call { arguments: Some(arguments), .. }) => {
            let named = arguments.iter().position(|it| is_named(it, last));
            let position = named.or(position).filter(|&position| position < arguments.len())?;
            arguments.remove(position);
        }
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => return None,
    }
    Some(())
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Call(Call { arguments: Some(arguments), .. }) => arguments.is_empty(),
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => false,
    }
}

fn is_named(argument: &Argument, name: &str) -> bool {
    argument.name.as_ref().is_some_and(|word| word.text == name)
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn word(text: &str) -> Word {
    Word { text: text.to_owned(), span: NOWHERE }
}

/// A part that no text has yet.
const NOWHERE: Span = Span { source: 0, start: 0, end: 0 };

/// The fields of the struct at a path, in the order in which a file has them.
fn fields_at(path: &[&str]) -> Option<&'static [&'static str]> {
    Some(match path {
        [] => SCENARIO,
        ["cluster"] => CLUSTER,
        ["network"] => NETWORK,
        ["disk"] => DISK,
        ["topics", _] => TOPIC,
        ["producers", _] => PRODUCER,
        ["readers", _] => READER,
        ["groups", _] => GROUP,
        ["groups", _, "output"] => OUTPUT,
        ["faults", _] => FAULT,
        _ => return None,
    })
}

/// Gives values without names the names that their places stand for.
fn name_values(node: &mut Node, path: &mut Vec<String>) {
    if let Some(fields) = known_fields(path)
        && let Value::Call(Call { arguments: Some(arguments), .. }) = &mut node.value
    {
        for (it, field) in arguments.iter_mut().zip(fields) {
            it.name.get_or_insert_with(|| word(field));
        }
    }
    for_each_part(node, path, name_values);
}

/// Puts the fields of structs into their order.
fn sort_fields(node: &mut Node, path: &mut Vec<String>) {
    if let Some(fields) = known_fields(path)
        && let Value::Call(Call { arguments: Some(arguments), .. }) = &mut node.value
    {
        arguments.sort_by_key(|it| fields.iter().position(|field| is_named(it, field)));
    }
    for_each_part(node, path, sort_fields);
}

fn known_fields(path: &[String]) -> Option<&'static [&'static str]> {
    fields_at(&path.iter().map(String::as_str).collect::<Vec<_>>())
}

fn for_each_part(node: &mut Node, path: &mut Vec<String>, act: fn(&mut Node, &mut Vec<String>)) {
    let mut visit = |step: String, part: &mut Node| {
        path.push(step);
        act(part, path);
        path.pop();
    };
    match &mut node.value {
        Value::List(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                visit(position.to_string(), item);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                if let Some(key) = text_of(key) {
                    visit(key.to_owned(), value);
                }
            }
        }
        Value::Call(Call { arguments: Some(arguments), .. }) => {
            for it in arguments {
                if let Some(name) = &it.name {
                    visit(name.text.clone(), &mut it.value);
                }
            }
        }
        Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Call(_) => {}
    }
}
