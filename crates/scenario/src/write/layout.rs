//! A tree as RON text: on one line where it fits, else its parts below each other, as many fields
//! of a struct on a line as there is room for.

use crate::syntax::{Argument, Call, Node, Value};

/// Lines are no longer than this, unless a single value is.
const WIDTH: usize = 100;

/// How much further to the right the parts of a value stand.
const INDENT: usize = 4;

/// A value on one line.
pub(super) fn inline(node: &Node) -> String {
    match &node.value {
        Value::Boolean(value) => value.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) => quoted(text),
        Value::List(items) => format!("[{}]", joined(items, inline)),
        Value::Map(entries) => format!("{{{}}}", joined(entries, entry)),
        Value::Call(Call { name, arguments }) => {
            let name = name.as_ref().map_or("", |word| &word.text);
            let arguments = arguments.as_ref();
            let parts = arguments.map(|arguments| format!("({})", joined(arguments, argument)));
            format!("{name}{}", parts.unwrap_or_default())
        }
    }
}

/// A string in quotes, as RON reads it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A whole document: each part of the outermost struct begins a line.
pub(super) fn document(root: &Node) -> String {
    let Value::Call(Call { name, arguments }) = &root.value else {
        return inline(root) + "\n";
    };
    let mut text = name.as_ref().map_or_else(String::new, |word| word.text.clone()) + "(\n";
    for it in arguments.iter().flatten() {
        text.push_str(&named_block(it, INDENT));
    }
    text + ")\n"
}

fn joined<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    items.iter().map(write).collect::<Vec<_>>().join(", ")
}

fn entry((key, value): &(Node, Node)) -> String {
    format!("{}: {}", inline(key), inline(value))
}

fn argument(argument: &Argument) -> String {
    format!("{}{}", label(argument), inline(&argument.value))
}

fn label(argument: &Argument) -> String {
    argument.name.as_ref().map_or_else(String::new, |word| format!("{}: ", word.text))
}

/// A value that begins at `column`, its lines after the first `indent` columns in; room is left
/// for a comma.
fn block(node: &Node, indent: usize, column: usize) -> String {
    let on_one_line = inline(node);
    match !stands_in_lines(node) && column + width(&on_one_line) < WIDTH {
        true => on_one_line,
        false => in_lines(node, indent),
    }
}

/// A value that does not fit on one line.
fn in_lines(node: &Node, indent: usize) -> String {
    let inner = indent + INDENT;
    let end = " ".repeat(indent);
    match &node.value {
        Value::List(items) => match items.as_slice() {
            [] => inline(node),
            [only @ Node { value: Value::Call(Call { name: None, .. }), .. }] => {
                format!("[{}]", in_lines(only, indent))
            }
            _ => {
                let lines: Vec<String> = items.iter().map(|item| item_block(item, inner)).collect();
                format!("[\n{}{end}]", lines.concat())
            }
        },
        Value::Map(entries) if !entries.is_empty() => {
            let lines = entries.iter().map(|(key, value)| {
                let key = format!("{}{}: ", " ".repeat(inner), inline(key));
                format!("{key}{},\n", block(value, inner, width(&key)))
            });
            format!("{{\n{}{end}}}", lines.collect::<String>())
        }
        Value::Call(Call { name, arguments: Some(arguments) }) if !arguments.is_empty() => {
            let name = name.as_ref().map_or("", |word| &word.text);
            format!("{name}(\n{}{end})", filled(arguments, inner))
        }
        Value::Boolean(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Map(_)
        | Value::Call(Call { .. }) => inline(node),
    }
}

/// Several structs stand below each other however short they are.
fn stands_in_lines(node: &Node) -> bool {
    let is_struct =
        |item: &Node| matches!(&item.value, Value::Call(Call { name: None, arguments: Some(_) }));
    matches!(&node.value, Value::List(items) if items.len() > 1 && items.iter().all(is_struct))
}

fn item_block(item: &Node, indent: usize) -> String {
    format!("{}{},\n", " ".repeat(indent), block(item, indent, indent))
}

fn named_block(it: &Argument, indent: usize) -> String {
    let label = format!("{}{}", " ".repeat(indent), label(it));
    format!("{label}{},\n", block(&it.value, indent, width(&label)))
}

/// Fields, several on a line where they fit.
fn filled(arguments: &[Argument], indent: usize) -> String {
    let mut text = String::new();
    let mut line = String::new();
    for it in arguments {
        let short = argument(it) + ",";
        let fits_alone = !stands_in_lines(&it.value) && indent + width(&short) <= WIDTH;
        if !line.is_empty() && (!fits_alone || indent + width(&line) + 1 + width(&short) > WIDTH) {
            text.push_str(&format!("{}{line}\n", " ".repeat(indent)));
            line.clear();
        }
        if !fits_alone {
            text.push_str(&named_block(it, indent));
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&short);
    }
    if !line.is_empty() {
        text.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}
