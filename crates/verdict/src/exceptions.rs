//! Exceptions of client libraries of the ZooKeeper era: how many reached an application, how many
//! the library only logged, by the library's names for them.

use acklab_vocab::ids::NodeId;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{ClientException, Stamped, TraceEvent};
use serde::Serialize;
use std::collections::BTreeMap;

/// How often an exception was raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Raised {
    /// It reached the application.
    pub application: u64,
    /// The library logged it, and went on.
    pub logged: u64,
}

/// The exceptions of some processes after time zero, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(pub BTreeMap<ClientException, Raised>);

impl Exceptions {
    /// The exception of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Raised {
        let known = self.0.iter().find(|(exception, _)| exception.name() == name);
        known.map(|(_, raised)| *raised).unwrap_or_default()
    }
}

/// The exceptions of all processes.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<NodeId, Exceptions>);

impl Tally {
    /// Takes note of an exception.
    pub fn observe(&mut self, stamped: &Stamped) {
        let TraceEvent::ExceptionRaised { exception, reached_application } = &stamped.event else {
            return;
        };
        if stamped.at < SimTime::ZERO {
            return;
        }
        let of = self.0.entry(stamped.node).or_default();
        let raised = of.0.entry(*exception).or_default();
        raised.application += u64::from(*reached_application);
        raised.logged += u64::from(!*reached_application);
    }

    /// The exceptions of some processes together.
    #[must_use]
    pub fn of(&self, is_one: impl Fn(NodeId) -> bool) -> Exceptions {
        let mut all = Exceptions::default();
        for (_, of) in self.0.iter().filter(|(node, _)| is_one(**node)) {
            for (exception, raised) in &of.0 {
                let sum = all.0.entry(*exception).or_default();
                sum.application += raised.application;
                sum.logged += raised.logged;
            }
        }
        all
    }
}
