//! What applications do: they create records, and send some again.

use crate::dispatch::AnyInput;
use crate::node::AnyCall;
use crate::world::{Body, World, WorldEvent};
use acklab_machines::producer::{NewRecord, ProducerCall, ProducerReport};
use acklab_vocab::ids::{NodeId, TopicId};
use acklab_vocab::record::Record;
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::{Observer, SendOutcome};

impl<O: Observer> World<O> {
    /// Until when applications create records.
    pub(crate) fn workload_end(&self) -> SimTime {
        SimTime::ZERO + self.scenario.duration
    }

    /// Schedules the next burst of a process's application.
    pub(crate) fn schedule_burst(&mut self, node: NodeId) {
        let end = self.workload_end();
        let host = &self.nodes[usize::from(node.0)];
        let incarnation = host.incarnation;
        let Some(at) = host.application.as_ref().and_then(|app| app.next_burst(end)) else {
            return;
        };
        let at = at.max(self.now);
        self.push(at, Body::Burst { node, incarnation });
    }

    pub(crate) fn burst(&mut self, node: NodeId) {
        let Some(application) = &mut self.nodes[usize::from(node.0)].application else { return };
        let topic = application.topic();
        let records = application.create_burst();
        self.schedule_burst(node);
        self.send_records(node, topic, records);
    }

    fn send_records(&mut self, node: NodeId, topic: TopicId, records: Vec<NewRecord>) {
        let call = ProducerCall::Send { topic, records };
        self.deliver(node, 0, AnyInput::Call(AnyCall::Producer(call)));
    }

    pub(crate) fn resend(&mut self, node: NodeId, records: &[Record]) {
        let Some(application) = &mut self.nodes[usize::from(node.0)].application else { return };
        let topic = application.topic();
        let records = application.send_again(records);
        self.send_records(node, topic, records);
    }

    /// A producer has told its application what became of records.
    pub(crate) fn completed(&mut self, node: NodeId, report: &ProducerReport) {
        let records = match report {
            ProducerReport::Completed { outcome: SendOutcome::Failed(_), records, .. } => records,
            ProducerReport::Completed { outcome: SendOutcome::Acked(_), .. }
            | ProducerReport::TransactionCallReturned { .. }
            | ProducerReport::Closed => return,
        };
        let host = &mut self.nodes[usize::from(node.0)];
        let incarnation = host.incarnation;
        let Some(after) = host.application.as_mut().and_then(|app| app.failed(records)) else {
            return;
        };
        let records = records.clone();
        let at = self.now + after;
        self.push(at, Body::Resend { node, incarnation, records });
    }

    /// Gives the driver a turn, at this instant.
    pub(crate) fn call_driver(&mut self) {
        let now = self.now;
        self.push(now, Body::World(WorldEvent::Driver));
    }
}
