//! Who runs when: the application's thread, the heartbeat thread, and the network that they share.
//!
//! Mirrors `ConsumerNetworkClient.poll`, which is called by whichever thread waits: answers are
//! handled there, in the order in which they have come, and wake the others. One turn does what
//! every thread that runs now can do at this instant.

use super::*;
use crate::client::Completion;

impl Consumer {
    /// The application's thread is inside a call of the library, not in a callback of its own.
    pub(super) fn is_inside_call(&self) -> bool {
        let is_called = matches!(self.call, Call::Poll { .. } | Call::Close { .. });
        (is_called && self.callback.is_none()) || self.commits.sync.is_some()
    }

    pub(super) fn is_inside_poll(&self) -> bool {
        matches!(self.call, Call::Poll { .. }) && self.callback.is_none()
    }

    /// The heartbeat thread runs.
    pub(super) fn has_heartbeat_thread(&self) -> bool {
        match &self.membership {
            Membership::SelfAssigned => false,
            Membership::Classic(member) => {
                self.behaviour.heartbeats_in_background
                    && member.state.has_joined()
                    && !member.is_fenced()
            }
            Membership::Consumer(member) => member.state.sends_heartbeats(),
        }
    }

    /// Somebody reads from the network now.
    pub(super) fn reads_network(&self) -> bool {
        let is_open = self.call != Call::Closed;
        let reads = self.is_inside_call() || self.has_heartbeat_thread();
        let has_background_thread = matches!(self.membership, Membership::Consumer(_));
        is_open && (reads || self.behaviour.has_own_thread || has_background_thread)
    }

    /// Somebody needs the coordinator now.
    pub(super) fn wants_coordinator(&self) -> bool {
        let is_subscribed = !matches!(self.membership, Membership::SelfAssigned);
        let is_polling =
            self.is_inside_poll() && (is_subscribed || self.fetching.is_initializing());
        is_polling || self.has_heartbeat_thread() || self.commits.wants_coordinator()
    }

    /// Takes an input about the network in.
    fn read(&mut self, cx: &mut ConsumerCx<'_>, input: ConsumerInput) {
        match input {
            Input::Connected(connection) => self.client.on_connected(connection),
            Input::Response { connection, correlation, response } => {
                self.client.on_response(cx, connection, correlation, response);
            }
            Input::Closed(connection, _) => self.client.on_closed(cx, connection),
            Input::WriteBlocked(connection) => self.client.on_write_blocked(connection, true),
            Input::WriteResumed(connection) => self.client.on_write_blocked(connection, false),
            Input::Request { .. } => unreachable!("nobody connects to a consumer"),
            Input::Flushed(_) => unreachable!("a consumer has no disk"),
            Input::Timer(ConsumerTimer::Wake) | Input::Call(_) => {}
        }
    }

    /// Lets everybody who runs now do what can be done: the network first, then the threads.
    /// `looks_once` for a call that looks at the network without waiting for it.
    pub(super) fn turn(&mut self, cx: &mut ConsumerCx<'_>, looks_once: bool) {
        if self.reads_network() || looks_once {
            while let Some(input) = self.unread.pop_front() {
                self.read(cx, input);
            }
            if self.client.deadline() <= cx.now() {
                self.client.wake(cx);
            }
            self.take_completions(cx);
            self.fetching.follow_metadata(&self.client);
            self.client.poll(cx);
            self.run_heartbeats(cx);
            self.run_consumer_heartbeats(cx);
            self.run_background_commits(cx);
            // `poll(Duration.ZERO)` returns at once, but it asks for the coordinator before.
            let returns_at_once =
                matches!(self.call, Call::Poll { deadline } if deadline <= cx.now());
            let asks = returns_at_once && self.wants_coordinator();
            self.run_application_thread(cx);
            self.run_consumer_heartbeats(cx);
            if self.call != Call::Closed {
                if asks || self.wants_coordinator() {
                    self.find_coordinator(cx);
                }
                self.transmit(cx);
                self.client.poll(cx);
                if !self.given_back.is_empty() {
                    self.take_completions(cx);
                    self.run_application_thread(cx);
                }
            }
        }
        self.arm_timer(cx);
    }

    fn run_application_thread(&mut self, cx: &mut ConsumerCx<'_>) {
        if self.commits.sync.is_some() {
            self.run_sync_commit(cx);
        }
        if self.callback.is_some() || self.commits.sync.is_some() {
            return;
        }
        match self.call {
            Call::None | Call::Closed => {}
            Call::Poll { deadline } => self.run_poll(cx, deadline),
            Call::Close { deadline, stage } => self.run_close(cx, deadline, stage),
        }
    }

    /// A library with a thread of its own commits whatever the application does.
    fn run_background_commits(&mut self, cx: &mut ConsumerCx<'_>) {
        let is_member = match &self.membership {
            Membership::SelfAssigned => self.has_assigned_itself,
            Membership::Classic(member) => member.state == MemberState::Stable,
            Membership::Consumer(_) => false,
        };
        if self.behaviour.has_own_thread && is_member && !matches!(self.call, Call::Close { .. }) {
            self.auto_commit_if_due(cx);
        }
    }

    fn take_completions(&mut self, cx: &mut ConsumerCx<'_>) {
        loop {
            if let Some((purpose, loss)) = self.given_back.pop_front() {
                self.complete_group(cx, purpose, Err(loss));
                continue;
            }
            let Some(Completion { broker, purpose, result }) = self.client.next_completion() else {
                return;
            };
            match purpose {
                Purpose::Fetching(purpose) => {
                    self.fetching.complete(cx, &mut self.client, broker, &purpose, result);
                }
                Purpose::FindCoordinator => self.on_coordinator_found(cx, result),
                Purpose::Group(purpose) => {
                    match &result {
                        Ok(_) => self.on_coordinator_answered(),
                        Err(_) => self.on_coordinator_lost(cx, broker),
                    }
                    self.complete_group(cx, purpose, result);
                }
            }
        }
    }

    fn complete_group(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        purpose: GroupPurpose,
        result: Result<Box<Response>, Loss>,
    ) {
        let lost = ErrorCode::NetworkException;
        match purpose {
            GroupPurpose::JoinGroup(number, sent) => {
                let answer = result.map_err(|_| lost).map(|response| match *response {
                    Response::JoinGroup(answer) => answer,
                    other => unreachable!("answered a JoinGroup with {other:?}"),
                });
                self.on_joined(cx, number, sent, answer);
            }
            GroupPurpose::SyncGroup(number, sent) => {
                let answer = result.map_err(|_| lost).map(|response| match *response {
                    Response::SyncGroup(answer) => answer,
                    other => unreachable!("answered a SyncGroup with {other:?}"),
                });
                self.on_synced(cx, number, sent, answer);
            }
            GroupPurpose::Heartbeat(sent) => {
                let error = result.map_or(lost, |response| match *response {
                    Response::Heartbeat(answer) => answer.error,
                    other => unreachable!("answered a Heartbeat with {other:?}"),
                });
                self.on_heartbeat(cx, sent, error);
            }
            GroupPurpose::ConsumerHeartbeat(life) => {
                let answer = result.map_err(|_| lost).map(|response| match *response {
                    Response::ConsumerGroupHeartbeat(answer) => answer,
                    other => unreachable!("answered a ConsumerGroupHeartbeat with {other:?}"),
                });
                self.on_consumer_heartbeat(cx, life, answer);
            }
            GroupPurpose::LeaveGroup => {}
            GroupPurpose::OffsetCommit(id, sent) => self.on_committed(cx, id, sent, &result),
            GroupPurpose::OffsetFetch(id) => self.on_offsets_fetched(cx, id, result),
        }
    }

    pub(super) fn on_call(&mut self, cx: &mut ConsumerCx<'_>, call: ConsumerCall) {
        self.store_processed();
        match call {
            ConsumerCall::Poll { timeout } => self.on_call_poll(cx, timeout),
            ConsumerCall::CommitSync { offsets, trigger } => {
                self.on_call_commit_sync(cx, offsets, trigger);
            }
            ConsumerCall::CommitAsync { offsets, trigger } => {
                self.on_call_commit_async(cx, offsets, trigger);
            }
            ConsumerCall::ListenerReturned => {
                if let Some(callback) = self.callback.take() {
                    self.after_callback(cx, callback);
                }
            }
            ConsumerCall::SeekToCommitted => self.on_call_seek_to_committed(),
            ConsumerCall::HoldsInterpreter(_) => {}
            ConsumerCall::Close => self.on_call_close(cx),
        }
    }

    /// The earliest instant at which somebody who runs has something to do. What is past has been
    /// done, or waits for an input.
    fn deadline(&self, now: SimTime) -> SimTime {
        if !self.reads_network() {
            return SimTime::NEVER;
        }
        if self.client.has_completions() || !self.given_back.is_empty() {
            return now;
        }
        let mut due = self.client.deadline().max(now);
        let mut consider = |at: SimTime| {
            if at > now {
                due = due.min(at);
            }
        };
        consider(self.coordinator.expires_at());
        if self.wants_coordinator() {
            consider(self.coordinator.retry_at());
        }
        self.commits.sync_deadlines().into_iter().for_each(&mut consider);
        if self.behaviour.has_own_thread || self.is_inside_poll() {
            consider(self.commits.next_auto_commit());
        }
        if let Membership::Classic(member) = &self.membership {
            if self.coordinator.node().is_some() {
                consider(member.heartbeat_deadline(self.behaviour.heartbeats_in_background));
            }
            if self.is_inside_poll() {
                member.deadlines().into_iter().for_each(&mut consider);
            }
        }
        if let Membership::Consumer(member) = &self.membership {
            if self.coordinator.node().is_some() {
                consider(member.heartbeat_deadline());
            }
            if self.is_inside_poll() {
                consider(member.deadline());
            }
        }
        match self.call {
            Call::Poll { deadline } if self.is_inside_poll() => {
                consider(deadline);
                consider(self.fetching.ask_again_at());
                consider(self.committed_offsets.retry_at());
            }
            Call::Close { deadline, .. } => consider(deadline),
            Call::Poll { .. } | Call::None | Call::Closed => {}
        }
        due
    }

    /// A timer that is due too early only costs a turn, so it is never moved back.
    pub(super) fn arm_timer(&mut self, cx: &mut ConsumerCx<'_>) {
        let due = self.deadline(cx.now());
        if due < self.wake_at {
            self.wake_at = due;
            cx.set_timer(ConsumerTimer::Wake, due);
        }
    }
}
