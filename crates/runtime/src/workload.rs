//! The world's side of applications: it wakes them, hands them what their libraries report, and carries out what they ask for.
//!
//! Reports wait until the machine that made them is done with its event and all its effects are applied: a call from inside a
//! report would overtake them.

use crate::application::{Action, Afterwards, Application, Wake};
use crate::dispatch::AnyInput;
use crate::node::{AnyCall, AnyMachine, AnyReport, Life};
use crate::world::{Body, World, WorldEvent};
use acklab_machines::consumer::{ConsumerCall, GroupMembership};
use acklab_machines::group_consumer::GroupConsumer;
use acklab_machines::producer::{NewRecord, ProducerCall, ProducerReport, TransactionCall};
use acklab_scenario::model::{Output, Trigger, When};
use acklab_vocab::ids::{GroupId, GroupIndex, NodeId, PartitionIndex, RecordId};
use acklab_vocab::record::Record;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{Observer, SendOutcome, Stamped, TraceEvent};

/// How often the records of each output have been handed to a producer: by output in the order of the applications, and by
/// sequence number.
pub(crate) type Attempts = Vec<Vec<u16>>;

impl<O: Observer> World<O> {
    /// Until when applications create records.
    pub(crate) fn workload_end(&self) -> SimTime {
        SimTime::ZERO + self.scenario.duration
    }

    fn application(&mut self, node: NodeId) -> Option<&mut Application> {
        self.nodes[usize::from(node.0)].application.as_mut()
    }

    // ---- producers -------------------------------------------------------------------------------------------------

    /// Schedules the next burst of a producer's application.
    pub(crate) fn schedule_burst(&mut self, node: NodeId) {
        let end = self.workload_end();
        let host = &self.nodes[usize::from(node.0)];
        let incarnation = host.incarnation;
        let application = host.application.as_ref().and_then(Application::producer);
        let Some(at) = application.and_then(|application| application.next_burst(end)) else {
            return;
        };
        let at = at.max(self.now);
        self.push(at, Body::Burst { node, incarnation });
    }

    pub(crate) fn burst(&mut self, node: NodeId) {
        let end = self.workload_end();
        let Some(application) = self.application(node).and_then(Application::producer_mut) else {
            return;
        };
        if application.is_transactional() {
            let mut actions = Vec::new();
            application.on_burst(end, &mut actions);
            self.act_transactionally(node, actions);
            return;
        }
        let topic = application.topic();
        let records = application.create_burst();
        self.schedule_burst(node);
        self.call_producer(node, ProducerCall::Send { topic, records });
    }

    /// Carries out what a transactional producer's application asks for in answer to a burst or a call, then plans the next
    /// burst if this one is through.
    fn act_transactionally(&mut self, node: NodeId, actions: Vec<Action>) {
        let bursts = actions
            .iter()
            .any(|action| matches!(action, Action::Producer(ProducerCall::Send { .. })));
        if bursts {
            self.schedule_burst(node);
        }
        self.act(node, actions);
    }

    pub(crate) fn resend(&mut self, node: NodeId, records: &[Record]) {
        let Some(application) = self.application(node).and_then(Application::producer_mut) else {
            return;
        };
        let topic = application.topic();
        let records = application.send_again(records);
        self.call_producer(node, ProducerCall::Send { topic, records });
    }

    /// A library has told its application something.
    pub(crate) fn reported(&mut self, node: NodeId, report: AnyReport) {
        let host = &mut self.nodes[usize::from(node.0)];
        let creates = host.application.as_ref().is_some_and(|own| own.producer().is_some());
        match report {
            AnyReport::Producer(report @ ProducerReport::Completed { .. }) if creates => {
                self.completed(node, &report);
            }
            report => host.reports.push_back(report),
        }
    }

    /// A producer has told the application that created them what became of records.
    fn completed(&mut self, node: NodeId, report: &ProducerReport) {
        let records = match report {
            ProducerReport::Completed { outcome: SendOutcome::Failed(_), records, .. } => records,
            ProducerReport::Completed { outcome: SendOutcome::Acked(_), .. }
            | ProducerReport::TransactionCallReturned { .. }
            | ProducerReport::Closed => return,
        };
        let incarnation = self.nodes[usize::from(node.0)].incarnation;
        let application = self.application(node).and_then(Application::producer_mut);
        let Some(after) = application.and_then(|application| application.failed(records)) else {
            return;
        };
        let records = records.clone();
        let at = self.now + after;
        self.push(at, Body::Resend { node, incarnation, records });
    }

    fn call_producer(&mut self, node: NodeId, call: ProducerCall) {
        let role = self.nodes[usize::from(node.0)].role(|machine| machine.producer().is_some());
        if let Some(role) = role {
            self.deliver(node, role, AnyInput::Call(AnyCall::Producer(call)));
        }
    }

    fn call_consumer(&mut self, node: NodeId, call: ConsumerCall) {
        let role = self.nodes[usize::from(node.0)].role(|machine| machine.consumer().is_some());
        if let Some(role) = role {
            self.deliver(node, role, AnyInput::Call(AnyCall::Consumer(call)));
        }
    }

    // ---- what reaches an application -------------------------------------------------------------------------------

    /// The application of a process that has begun.
    pub(crate) fn start_application(&mut self, node: NodeId) {
        let now = self.now;
        let mut actions = Vec::new();
        match self.application(node) {
            Some(Application::Producer(application)) => application.start(&mut actions),
            Some(Application::Consumer(application)) => application.start(now, &mut actions),
            None => {}
        }
        self.act(node, actions);
    }

    /// A time of the application's own has come.
    pub(crate) fn wake_application(&mut self, node: NodeId, wake: Wake) {
        let now = self.now;
        let mut actions = Vec::new();
        if let Some(application) = self.application(node).and_then(Application::consumer_mut) {
            application.on_wake(wake, now, &mut actions);
        }
        self.act(node, actions);
    }

    /// Wakes a member's application at this instant, or when its process runs again.
    pub(crate) fn wake_now(&mut self, node: NodeId, wake: Wake) {
        let host = &self.nodes[usize::from(node.0)];
        let is_member = host.application.as_ref().is_some_and(|own| own.consumer().is_some());
        if is_member && host.life != Life::Dead {
            let (incarnation, now) = (host.incarnation, self.now);
            self.push(now, Body::Application { node, incarnation, wake });
        }
    }

    /// The application takes up what its libraries have told it, one report after the other.
    pub(crate) fn run_application(&mut self, node: NodeId) {
        let host = &mut self.nodes[usize::from(node.0)];
        if host.application_acts || host.reports.is_empty() {
            return;
        }
        host.application_acts = true;
        while let Some(report) = self.nodes[usize::from(node.0)].reports.pop_front() {
            let (now, end) = (self.now, self.workload_end());
            let mut actions = Vec::new();
            match (self.application(node), report) {
                (Some(Application::Consumer(application)), AnyReport::Consumer(report)) => {
                    application.on_consumer(report, now, &mut actions);
                }
                (Some(Application::Consumer(application)), AnyReport::Producer(report)) => {
                    application.on_producer(&report, now, &mut actions);
                }
                (
                    Some(Application::Producer(application)),
                    AnyReport::Producer(ProducerReport::TransactionCallReturned { call, failure }),
                ) => {
                    application.on_transaction_call(call, failure, end, &mut actions);
                    self.act_transactionally(node, actions);
                    continue;
                }
                (Some(Application::Producer(_)) | None, _) => {}
            }
            self.act(node, actions);
        }
        self.nodes[usize::from(node.0)].application_acts = false;
    }

    /// What is done when a process stands still or ends is stated before that.
    pub(crate) fn interrupt_application(&mut self, node: NodeId, ends: bool) {
        let now = self.now;
        let facts = match self.application(node) {
            Some(Application::Consumer(application)) if ends => application.end(now),
            Some(Application::Consumer(application)) => application.pause(now),
            Some(Application::Producer(_)) | None => return,
        };
        for fact in facts {
            self.state(node, fact);
        }
    }

    // ---- what an application asks for ------------------------------------------------------------------------------

    /// Carries out what an application asks for, in order, for as long as its process lives. What it is told meanwhile it
    /// takes up afterwards.
    fn act(&mut self, node: NodeId, actions: Vec<Action>) {
        let host = &mut self.nodes[usize::from(node.0)];
        let acts_already = std::mem::replace(&mut host.application_acts, true);
        self.carry_out_actions(node, actions);
        if !acts_already {
            self.nodes[usize::from(node.0)].application_acts = false;
            self.run_application(node);
        }
    }

    fn carry_out_actions(&mut self, node: NodeId, actions: Vec<Action>) {
        let incarnation = self.nodes[usize::from(node.0)].incarnation;
        for action in actions {
            let host = &self.nodes[usize::from(node.0)];
            if host.incarnation != incarnation || host.life == Life::Dead {
                break;
            }
            match action {
                Action::Consumer(call) => self.call_consumer(node, call),
                Action::Producer(call) => self.call_producer(node, call),
                Action::Write(sequences) => self.write_copies(node, sequences),
                Action::SendOffsets { offsets, passes_membership } => {
                    let membership = self.membership(node, passes_membership);
                    let call = TransactionCall::SendOffsets { offsets, membership };
                    self.call_producer(node, ProducerCall::Transaction(call));
                }
                Action::State(fact) => self.state_by_application(node, fact),
                Action::WakeAt(at, wake) => {
                    self.push(at, Body::Application { node, incarnation, wake });
                }
                Action::BootConsumer => self.boot_consumer_anew(node),
                Action::Exit { clean, afterwards } => {
                    self.application_exits(node, clean, afterwards);
                }
            }
        }
    }

    fn application_exits(&mut self, node: NodeId, clean: bool, afterwards: Afterwards) {
        self.process_exits(node, clean);
        let host = &mut self.nodes[usize::from(node.0)];
        match afterwards {
            Afterwards::AsOrdered => {}
            Afterwards::StaysDown => host.gave_up = true,
            Afterwards::StartsAgain(after) => {
                let incarnation = host.incarnation;
                if !self.faults.holds_down(node) {
                    self.start_at(node, incarnation, after);
                }
            }
        }
    }

    fn start_at(&mut self, node: NodeId, incarnation: u32, after: SimDuration) {
        let at = self.now + after;
        self.push(at, Body::Start { node, incarnation });
        self.order(crate::world::DriverOrder::Start(node));
    }

    /// States a fact of an application. A fault that has waited for it and kills the very process strikes before the
    /// application's next action.
    fn state_by_application(&mut self, node: NodeId, event: TraceEvent) {
        let stamped = Stamped { cause: self.current, at: self.now, node, event };
        if self.observe(&stamped) {
            self.strike_now();
        }
    }

    fn membership(&self, node: NodeId, passes: bool) -> GroupMembership {
        let host = &self.nodes[usize::from(node.0)];
        let consumer = host.consumer();
        let full = consumer.map(GroupConsumer::group_membership);
        match full {
            Some(full) if passes => full,
            Some(full) => GroupMembership {
                group: full.group,
                generation: None,
                member: None,
                instance: None,
            },
            None => GroupMembership {
                group: GroupId(0),
                generation: None,
                member: None,
                instance: None,
            },
        }
    }

    /// `send()` of copies. A sequence number that was handed over before, by whichever instance, is another attempt.
    fn write_copies(&mut self, node: NodeId, sequences: Vec<u32>) {
        let Some((group, _)) = self.header.nodes[usize::from(node.0)].member else { return };
        let Some(output) = self.output_of(group) else { return };
        let (topic, size, producer) = (output.topic, output.size, output.producer);
        let partitions = usize::from(self.scenario.topics[usize::from(topic.0)].at_first.max(1));
        let own = usize::from(producer.0).saturating_sub(self.scenario.producers.len());
        if self.attempts.len() <= own {
            self.attempts.resize_with(own + 1, Vec::new);
        }
        let attempts = &mut self.attempts[own];
        let records = sequences.into_iter().map(|sequence| {
            let index = sequence as usize;
            if attempts.len() <= index {
                attempts.resize(index + 1, 0);
            }
            let attempt = attempts[index];
            attempts[index] = attempt.saturating_add(1);
            let partition = Some(PartitionIndex((index % partitions) as u16));
            NewRecord { sequence, key: None, partition, size, attempt }
        });
        let records = records.collect();
        self.call_producer(node, ProducerCall::Send { topic, records });
    }

    pub(crate) fn output_of(&self, group: GroupIndex) -> Option<&Output> {
        self.scenario.groups[usize::from(group.0)].output.as_ref()
    }

    /// The records for which a fault waits until an application has processed them.
    pub(crate) fn watched_records(&self, group: GroupIndex) -> Vec<RecordId> {
        let watched = self.scenario.faults.iter().filter_map(|fault| match &fault.when {
            When::After { trigger: Trigger::Processed(own, record), .. } if *own == group => {
                Some(*record)
            }
            When::After { .. } | When::At(_) | When::Every { .. } => None,
        });
        watched.collect()
    }

    /// Gives the driver a turn, at this instant.
    pub(crate) fn call_driver(&mut self) {
        let now = self.now;
        self.push(now, Body::World(WorldEvent::Driver));
    }

    /// A new consumer in the place of the one that was closed, in the same process.
    fn boot_consumer_anew(&mut self, node: NodeId) {
        let Some(setup) = self.consumer_setup(node) else { return };
        let host = &mut self.nodes[usize::from(node.0)];
        let Some(role) = host.role(|machine| machine.consumer().is_some()) else { return };
        let slot = &mut host.machines[usize::from(role)];
        slot.timers.cancel_all();
        let AnyMachine::Consumer(consumer, outbox) = &mut slot.machine else { return };
        let mut cx = acklab_machines::machine::Cx::new(
            self.now,
            node,
            &mut host.rng,
            &mut host.disk,
            outbox,
        );
        **consumer = GroupConsumer::boot(&mut cx, setup);
        self.empty_outbox(node, role);
    }
}
