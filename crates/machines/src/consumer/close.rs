//! `close()`: commits, gives everything up, leaves, waits for the answers, and ends the
//! connections.
//!
//! Mirrors `KafkaConsumer.close` with its default timeout, `ConsumerCoordinator.close`,
//! `onLeavePrepare` and `AbstractCoordinator.close`.
//!
//! Left out: closing fetch sessions.

use super::{Call, Callback, Consumer, ConsumerCx, ConsumerReport, Membership};
use acklab_vocab::api::LeaveReason;
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::CommitTrigger;

/// `ConsumerUtils.DEFAULT_CLOSE_TIMEOUT_MS`
const CLOSE_TIMEOUT: SimDuration = SimDuration::from_secs(30);

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseStage {
    /// Auto-commit, and the callbacks of asynchronous commits.
    Committing,
    /// The listener gives up what is owned.
    GivingUp,
    /// What has been sent to the coordinator is to be answered.
    Leaving,
}

impl Consumer {
    /// `close()`
    pub(super) fn on_call_close(&mut self, cx: &mut ConsumerCx<'_>) {
        if self.call == Call::Closed {
            cx.report(ConsumerReport::Closed);
            return;
        }
        let deadline = cx.now() + CLOSE_TIMEOUT;
        self.callback = None;
        self.commits.sync = None;
        self.call = Call::Close { deadline, stage: CloseStage::Committing };
        if self.setup.config.auto_commit.is_some() {
            let offsets = self.offsets_to_commit();
            self.begin_sync_commit(offsets, CommitTrigger::AutoClose, deadline);
        }
    }

    /// Goes on with `close()` as far as possible.
    pub(super) fn run_close(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        deadline: SimTime,
        stage: CloseStage,
    ) {
        let is_late = deadline <= cx.now();
        match stage {
            CloseStage::Committing => {
                self.invoke_callbacks(cx);
                if self.commits.wants_coordinator() && !is_late {
                    return;
                }
                self.commits.sync = None;
                self.call = Call::Close { deadline, stage: CloseStage::GivingUp };
                self.give_up_before_leaving(cx);
            }
            CloseStage::GivingUp => {
                self.leave(cx, LeaveReason::Closed);
                self.call = Call::Close { deadline, stage: CloseStage::Leaving };
                self.transmit(cx);
            }
            CloseStage::Leaving => {
                if self.knows_coordinator(cx) && self.coordinator_requests() > 0 && !is_late {
                    return;
                }
                self.invoke_callbacks(cx);
                self.client.close(cx);
                self.call = Call::Closed;
                cx.report(ConsumerReport::Closed);
            }
        }
        if self.callback.is_none()
            && let Call::Close { deadline, stage } = self.call
        {
            self.run_close(cx, deadline, stage);
        }
    }

    /// `onLeavePrepare`
    fn give_up_before_leaving(&mut self, cx: &mut ConsumerCx<'_>) {
        let lost = match &self.membership {
            Membership::SelfAssigned => return,
            Membership::Classic(member) => member.is_reset() || member.state.is_rebalancing(),
            Membership::Consumer(member) => member.membership().is_none(),
        };
        let partitions = self.owned();
        self.call_back(cx, Callback::Revoked { partitions, lost });
    }
}
