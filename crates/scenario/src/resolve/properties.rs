//! Maps of Kafka's properties: their texts, and what is said about them.

use crate::decode::map;
use crate::diagnostic::{Finding, Report, Span, alternatives};
use crate::syntax::{Node, Value, Word};
use acklab_vocab::properties::{PropertyError, Scope, lookup, valid_for};
use acklab_vocab::version::KafkaVersion;

/// The properties of one owner, with their places.
pub(crate) struct Properties {
    /// Whose they are.
    scope: Scope,
    version: KafkaVersion,
    /// Names and texts.
    pub(crate) pairs: Vec<(String, String)>,
    places: Vec<(Span, Span)>,
    /// The whole map.
    span: Span,
}

impl Properties {
    /// The properties of a `properties:` field, which may be missing.
    pub(crate) fn of(
        node: Option<&Node>,
        scope: Scope,
        version: KafkaVersion,
        report: &mut Report,
    ) -> Option<Properties> {
        let span = node.map_or(Span::default(), |node| node.span);
        let (pairs, places) = (Vec::new(), Vec::new());
        let mut properties = Properties { scope, version, pairs, places, span };
        let Some(node) = node else {
            return Some(properties);
        };
        for (name, value) in map(node, "properties by name", report)? {
            let text = match &value.value {
                Value::Text(text) => text.clone(),
                Value::Number(number) => number.clone(),
                Value::Boolean(value) => value.to_string(),
                Value::List(_) | Value::Map(_) | Value::Call(_) => {
                    let message = format!("`{}` must be a string", name.text);
                    report.error(value.span, Finding::new(message));
                    return None;
                }
            };
            properties.note(&name, report);
            properties.places.push((name.span, value.span));
            properties.pairs.push((name.text, text));
        }
        Some(properties)
    }

    fn note(&self, name: &Word, report: &mut Report) {
        let definition = lookup(&name.text, self.scope);
        if let Some(note) = definition.and_then(|definition| definition.notes()) {
            report.warning(name.span, Finding::new(note));
        }
    }

    /// What `build` makes of the properties. Each one that it refuses is reported and left out,
    /// so that all are found.
    pub(crate) fn build<T>(
        &self,
        report: &mut Report,
        build: impl Fn(&[(String, String)]) -> Result<T, PropertyError>,
    ) -> Option<T> {
        let mut remaining = self.pairs.clone();
        let mut refused = false;
        loop {
            match build(&remaining) {
                Ok(value) => return (!refused).then_some(value),
                Err(error) => {
                    refused = true;
                    self.report(&error, report);
                    let before = remaining.len();
                    remaining.retain(|(name, _)| !self.names_same(name, error.name()));
                    if remaining.len() == before {
                        return None;
                    }
                }
            }
        }
    }

    fn names_same(&self, first: &str, second: &str) -> bool {
        let canonical = |name: &str| lookup(name, self.scope).map(|definition| definition.name);
        first == second || (canonical(first).is_some() && canonical(first) == canonical(second))
    }

    /// What a property is set to, under any of its names.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| self.names_same(known, name);
        self.pairs.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// Sets a property that is not set, as the scenario's own words imply.
    pub(crate) fn imply(&mut self, name: &str, value: &str) {
        self.pairs.push((name.to_owned(), value.to_owned()));
        self.places.push((self.span, self.span));
    }

    /// The place of a property's name, and of its value.
    pub(crate) fn place(&self, name: &str) -> Option<(Span, Span)> {
        let exactly = self.pairs.iter().position(|(known, _)| known == name);
        let position = exactly
            .or_else(|| self.pairs.iter().position(|(known, _)| self.names_same(known, name)));
        position.map(|position| self.places[position])
    }

    fn report(&self, error: &PropertyError, report: &mut Report) {
        let name = error.name();
        let place = self.place(name).or_else(|| error.other().and_then(|other| self.place(other)));
        let (name_span, value_span) = place.unwrap_or((self.span, self.span));
        let mut finding = Finding::new(error.to_string());
        match error {
            PropertyError::Unknown { elsewhere, .. } => {
                let candidates =
                    valid_for(self.version, self.scope).map(|definition| definition.name);
                finding = finding.did_you_mean(name, candidates);
                if !elsewhere.is_empty() {
                    let owners: Vec<String> =
                        elsewhere.iter().map(|scope| format!("{scope}s")).collect();
                    finding =
                        finding.help(format!("it is a property of {}", alternatives(&owners)));
                }
            }
            PropertyError::WrongKind { .. }
            | PropertyError::ValueNotYet { .. }
            | PropertyError::OutOfRange { .. } => {
                let default = lookup(name, self.scope)
                    .and_then(|definition| definition.default_for(self.version))
                    .filter(|default| !default.is_empty());
                if let Some(default) = default {
                    finding = finding.help(format!("its default is {default}"));
                }
            }
            PropertyError::Contradiction { other, .. } if name == *other => {}
            PropertyError::Contradiction { other, .. } => {
                let set = if self.place(other).is_some() { "set as well" } else { "the default" };
                finding = finding.label(format!("contradicts `{other}`, which is {set}"));
            }
            PropertyError::NotYet { .. } | PropertyError::NoLonger { .. } => {
                let candidates =
                    valid_for(self.version, self.scope).map(|definition| definition.name);
                finding = finding.did_you_mean(name, candidates.filter(|other| *other != name));
            }
            PropertyError::SetTwice { .. } => {}
        }
        let span = if error.blames_value() { value_span } else { name_span };
        report.error(span, finding);
    }
}
