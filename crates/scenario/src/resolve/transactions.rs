//! Transactional ids: a name for each, and one for each instance of a producer.

use crate::diagnostic::{Finding, Report, Span};
use acklab_vocab::ids::TransactionalId;

/// Every `transactional.id` of a scenario. Two producers may share one, and then fence each other.
#[derive(Debug, Default)]
pub(super) struct TransactionalIds {
    names: Vec<String>,
}

impl TransactionalIds {
    /// The ids of so many instances: the property's value as it is for one, with their numbers for several.
    pub(super) fn instances(
        &mut self,
        prefix: &str,
        instances: u16,
        span: Span,
        report: &mut Report,
    ) -> Option<Vec<TransactionalId>> {
        let ids: Option<Vec<TransactionalId>> = (0..instances)
            .map(|instance| match instances {
                1 => self.named(prefix.to_owned()),
                _ => self.named(format!("{prefix}-{instance}")),
            })
            .collect();
        if ids.is_none() {
            report.error(span, Finding::new("there are too many transactional ids"));
        }
        ids
    }

    fn named(&mut self, name: String) -> Option<TransactionalId> {
        let found = self.names.iter().position(|known| *known == name);
        let index = found.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        u16::try_from(index).ok().map(TransactionalId)
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}
