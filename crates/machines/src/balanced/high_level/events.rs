//! `ZkEventThread`: one listener after the other. A child or data listener first sets its watch again; it only asks the
//! watcher's thread to rebalance. A new session is handled here, rebalance included, and holds up every other event.

use super::HighLevel;
use super::rebalance::SyncedRebalance;
use super::start::Register;
use crate::balanced::BalancedCx;
use crate::balanced::shared::Shared;
use crate::balanced::threads::{Progress, RETURNED, Resume, Thread, Wait, state_exception};
use acklab_vocab::api::ZooKeeperOperation;
use acklab_vocab::zookeeper::ZnodePath;
use std::task::Poll;

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// `handleNewSession`
    NewSession,
    /// `handleChildChange`
    Children(ZnodePath),
    /// `handleDataChange`
    Data(ZnodePath),
}

/// The event thread inside a listener.
#[derive(Debug)]
pub(super) struct EventRun {
    event: Event,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    /// The watch for the znode's coming and going is set again.
    Looking,
    /// And that for its children or data.
    Reading,
    Registering(Register),
    Rebalancing(Box<SyncedRebalance>),
}

impl EventRun {
    pub const fn new(event: Event) -> Self {
        EventRun { event, stage: Stage::New }
    }

    pub fn wait(&self) -> Wait {
        match &self.stage {
            Stage::New | Stage::Looking | Stage::Reading => Wait::Answer,
            Stage::Registering(register) => register.wait(),
            Stage::Rebalancing(rebalance) => rebalance.wait(),
        }
    }

    pub fn resume(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
        resume: Resume,
    ) -> Progress {
        let thread = Thread::Events;
        if high_level.is_shutting_down && !matches!(self.stage, Stage::Rebalancing(_)) {
            return RETURNED;
        }
        match &mut self.stage {
            Stage::New => self.begin(cx, high_level, shared),
            Stage::Looking => {
                let operation = match &self.event {
                    Event::Children(path) => {
                        ZooKeeperOperation::GetChildren { path: path.clone(), watch: true }
                    }
                    Event::Data(path) => {
                        ZooKeeperOperation::GetData { path: path.clone(), watch: true }
                    }
                    Event::NewSession => unreachable!("there is no znode to look at"),
                };
                shared.ask_until_answered(cx, thread, operation);
                self.stage = Stage::Reading;
                Poll::Pending
            }
            Stage::Reading => {
                high_level.is_triggered = true;
                RETURNED
            }
            Stage::Registering(register) => match register.resume(cx, shared, thread, resume) {
                Poll::Ready(Ok(())) => {
                    let rebalance = SyncedRebalance::new(&mut high_level.lock, thread);
                    self.stage = Stage::Rebalancing(Box::new(rebalance));
                    Poll::Pending
                }
                other => other,
            },
            Stage::Rebalancing(rebalance) => {
                let progress = rebalance.resume(cx, high_level, shared, thread, resume);
                if let Poll::Ready(Err(exception)) = progress {
                    state_exception(cx, exception, false);
                }
                progress
            }
        }
    }

    fn begin(
        &mut self,
        cx: &mut BalancedCx<'_>,
        high_level: &mut HighLevel,
        shared: &mut Shared,
    ) -> Progress {
        match &self.event {
            Event::NewSession => {
                // `resetState`: nothing of what it owned is committed any more.
                high_level.registry.partitions.clear();
                self.stage = Stage::Registering(Register::begin(cx, shared, Thread::Events));
            }
            Event::Children(path) | Event::Data(path) => {
                let operation = ZooKeeperOperation::Exists { path: path.clone(), watch: true };
                shared.ask_until_answered(cx, Thread::Events, operation);
                self.stage = Stage::Looking;
            }
        }
        Poll::Pending
    }
}
