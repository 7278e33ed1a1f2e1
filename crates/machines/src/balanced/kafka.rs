//! The side of Kafka: fetching, and a channel to the group's coordinator on which a thread asks and waits.
//!
//! Mirrors, over the shared [`NetworkClient`] and [`Fetching`], `ConsumerFetcherManager` with its leader finder and
//! fetcher threads and `ClientUtils.channelToOffsetManager`; pykafka's `SimpleConsumer.fetch` and
//! `Cluster.get_group_coordinator`. Both fetch in threads of their own, whatever the application does.
//!
//! Left out: that these fetchers ask again before what they have fetched is used up (`queued_max_messages`,
//! `queued.max.message.chunks`), which costs time and changes no fate.

use super::threads::Thread;
use super::{BalancedCx, BalancedSetup};
use crate::client::{Completion, Loss, NetworkClient};
use crate::consumer::PolledRecords;
use crate::consumer::fetching::subscription::FetchState;
use crate::consumer::fetching::{FetchPurpose, Fetching, PollLimit};
use acklab_vocab::api::{
    CoordinatorKey, Endpoint, FindCoordinatorRequest, Listener, Request, Response,
};
use acklab_vocab::config::{BalancedLibrary, ConsumerConfig};
use acklab_vocab::ids::{BrokerId, GroupId, NodeId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{CommitTrigger, TraceEvent};
use std::collections::VecDeque;
use std::sync::Arc;

/// How a partition begins: from an offset that is to be asked for.
pub(super) const UNKNOWN_POSITION: FetchState = FetchState::Initializing;

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KafkaPurpose {
    /// Positions or records.
    Fetching(FetchPurpose),
    /// Who the coordinator is.
    FindCoordinator,
    /// A thread waits for it.
    Group(Thread),
}

impl From<FetchPurpose> for KafkaPurpose {
    fn from(purpose: FetchPurpose) -> Self {
        KafkaPurpose::Fetching(purpose)
    }
}

/// What a thread was answered, or why not.
pub(super) type Answer = Result<Box<Response>, Loss>;

/// The brokers as a balanced consumer sees them.
#[derive(Debug)]
pub(super) struct KafkaSide {
    pub client: NetworkClient<KafkaPurpose>,
    pub fetching: Fetching,
    group: GroupId,
    lookup: Lookup,
    /// Failed lookups in a row.
    failures: u64,
    lookup_backoff: Backoff,
    /// `offsets.channel.socket.timeout.ms`
    timeout: SimDuration,
    /// For so long a question waits for the coordinator to be found.
    patience: SimDuration,
    /// Not yet sent, oldest first.
    unsent: VecDeque<Question>,
    /// A question has come since the last turn.
    is_asked: bool,
    answers: VecDeque<(Thread, Answer)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    Unknown { retry_at: SimTime },
    Asking,
    Known { broker: BrokerId, node: NodeId },
}

/// How long to wait before a coordinator is looked for again.
#[derive(Clone, Copy, Debug)]
enum Backoff {
    Constant(SimDuration),
    /// Times the number of attempts before.
    Growing(SimDuration),
}

#[derive(Debug)]
struct Question {
    thread: Thread,
    request: Request,
    /// If it is a commit.
    trigger: Option<CommitTrigger>,
    expires_at: SimTime,
}

/// `get_group_coordinator`: two seconds times the number of attempts before.
const PYKAFKA_LOOKUP_BACKOFF: SimDuration = SimDuration::from_secs(2);
/// The waits of `max_connection_retries_offset_mgr` attempts (8) together.
const PYKAFKA_PATIENCE: SimDuration = SimDuration::from_secs(2 * (1 + 2 + 3 + 4 + 5 + 6 + 7));

/// The node id of the connection to a coordinator, which is not the one for fetches.
fn channel_to(broker: BrokerId) -> BrokerId {
    BrokerId(u16::MAX - broker.0)
}

/// Whether a node id is that of a connection to a coordinator.
pub(super) const fn is_channel(node: BrokerId) -> bool {
    node.0 > u16::MAX / 2
}

impl KafkaSide {
    pub fn new(setup: &BalancedSetup) -> Self {
        let config = fetching_config(setup);
        let mut client =
            NetworkClient::new(&config.client, &setup.bootstrap, crate::reader::MAX_IN_FLIGHT);
        for &topic in &setup.topics {
            client.add_topic(topic);
        }
        let lookup_backoff = match setup.config.library {
            BalancedLibrary::HighLevel => Backoff::Constant(setup.config.offsets_channel_backoff),
            BalancedLibrary::Pykafka => Backoff::Growing(PYKAFKA_LOOKUP_BACKOFF),
        };
        KafkaSide {
            client,
            fetching: Fetching::new(Arc::new(config)),
            group: setup.group,
            lookup: Lookup::Unknown { retry_at: SimTime(i64::MIN) },
            failures: 0,
            lookup_backoff,
            timeout: setup.config.offsets_channel_timeout,
            patience: match setup.config.library {
                BalancedLibrary::HighLevel => SimDuration::MAX,
                BalancedLibrary::Pykafka => PYKAFKA_PATIENCE,
            },
            unsent: VecDeque::new(),
            is_asked: false,
            answers: VecDeque::new(),
        }
    }

    /// The process of the coordinator, if it is known.
    pub const fn coordinator(&self) -> Option<NodeId> {
        match self.lookup {
            Lookup::Known { node, .. } => Some(node),
            Lookup::Unknown { .. } | Lookup::Asking => None,
        }
    }

    /// A thread asks the coordinator, and waits.
    pub fn ask(
        &mut self,
        now: SimTime,
        thread: Thread,
        request: Request,
        trigger: Option<CommitTrigger>,
    ) {
        let expires_at = now + self.patience;
        self.unsent.push_back(Question { thread, request, trigger, expires_at });
        self.is_asked = true;
    }

    /// A question has come since the last turn.
    pub const fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// The next thread whose wait is over.
    pub fn next_answer(&mut self) -> Option<(Thread, Answer)> {
        self.answers.pop_front()
    }

    /// The coordinator is another one, or cannot be reached.
    pub fn forget_coordinator(&mut self, cx: &mut BalancedCx<'_>) {
        if let Lookup::Known { broker, .. } = self.lookup {
            self.lookup = Lookup::Unknown { retry_at: cx.now() };
            self.client.disconnect_from(cx, channel_to(broker));
            self.client.request_update();
        }
    }

    /// Records for the application: those of one `consume()`.
    pub fn collect(&mut self, cx: &mut BalancedCx<'_>) -> Vec<PolledRecords> {
        let mut records = Vec::new();
        loop {
            let give = &mut |polled| records.push(polled);
            let collected = self.fetching.collect(cx, &mut self.client, PollLimit::Records, give);
            if !records.is_empty() || !collected.advanced {
                return records;
            }
        }
    }

    /// Lets the network and the fetchers go on.
    pub fn turn(&mut self, cx: &mut BalancedCx<'_>) {
        self.is_asked = false;
        if self.client.deadline() <= cx.now() {
            self.client.wake(cx);
        }
        self.take_completions(cx);
        self.fetching.follow_metadata(&self.client);
        self.client.poll(cx);
        self.fetching.ask_about_positions(cx, &mut self.client);
        self.fetching.send_fetches(cx, &mut self.client);
        self.transmit(cx);
        self.client.poll(cx);
    }

    fn take_completions(&mut self, cx: &mut BalancedCx<'_>) {
        while let Some(Completion { broker, purpose, result }) = self.client.next_completion() {
            match purpose {
                KafkaPurpose::Fetching(purpose) => {
                    self.fetching.complete(cx, &mut self.client, broker, &purpose, result);
                }
                KafkaPurpose::FindCoordinator => self.on_coordinator(cx, result),
                KafkaPurpose::Group(thread) => {
                    if result.is_err() {
                        self.lose_coordinator(cx);
                    }
                    self.answers.push_back((thread, result));
                }
            }
        }
    }

    fn lose_coordinator(&mut self, cx: &mut BalancedCx<'_>) {
        if matches!(self.lookup, Lookup::Known { .. }) {
            self.lookup = Lookup::Unknown { retry_at: cx.now() };
        }
    }

    fn on_coordinator(&mut self, cx: &mut BalancedCx<'_>, result: Answer) {
        let found = match result.as_deref() {
            Ok(Response::FindCoordinator(answer)) if answer.error.is_none() => answer.coordinator,
            Ok(Response::FindCoordinator(_)) | Err(_) => None,
            Ok(other) => unreachable!("answered a FindCoordinator with {other:?}"),
        };
        let Some((broker, node)) = found else {
            self.failures += 1;
            let wait = match self.lookup_backoff {
                Backoff::Constant(wait) => wait,
                Backoff::Growing(wait) => wait * self.failures,
            };
            self.lookup = Lookup::Unknown { retry_at: cx.now() + wait };
            return;
        };
        self.failures = 0;
        self.lookup = Lookup::Known { broker, node };
        let endpoint = Endpoint { node, listener: Listener::Broker };
        self.client.know(channel_to(broker), endpoint);
    }

    /// Sends what waits for the coordinator; looks for it, if it is not known.
    fn transmit(&mut self, cx: &mut BalancedCx<'_>) {
        let now = cx.now();
        while self.unsent.front().is_some_and(|oldest| oldest.expires_at <= now) {
            let oldest = self.unsent.pop_front().expect("it is in front");
            self.answers.push_back((oldest.thread, Err(Loss::RequestTimeout)));
        }
        if self.unsent.is_empty() {
            return;
        }
        match self.lookup {
            Lookup::Asking => {}
            Lookup::Unknown { retry_at } if retry_at <= now => self.look_up(cx),
            Lookup::Unknown { .. } => {}
            Lookup::Known { broker, .. } => {
                let channel = channel_to(broker);
                if self.client.is_unavailable(channel, now) {
                    self.lookup = Lookup::Unknown { retry_at: now };
                    for question in std::mem::take(&mut self.unsent) {
                        self.answers.push_back((question.thread, Err(Loss::Disconnected)));
                    }
                    return;
                }
                while !self.unsent.is_empty() && self.client.ready(cx, channel) {
                    let Some(question) = self.unsent.pop_front() else { return };
                    self.send(cx, channel, question);
                }
            }
        }
    }

    fn send(&mut self, cx: &mut BalancedCx<'_>, channel: BrokerId, question: Question) {
        if let (Some(trigger), Request::OffsetCommit(commit)) =
            (question.trigger, &question.request)
        {
            let offsets = Arc::clone(&commit.offsets);
            cx.trace(|| TraceEvent::CommitSent { trigger, offsets });
        }
        let purpose = KafkaPurpose::Group(question.thread);
        self.client.send_for(cx, channel, question.request, purpose, self.timeout);
    }

    fn look_up(&mut self, cx: &mut BalancedCx<'_>) {
        let Some(broker) = self.client.least_loaded(cx) else {
            self.client.request_update();
            self.lookup = Lookup::Unknown { retry_at: cx.now() + SimDuration::from_millis(100) };
            return;
        };
        if self.client.ready(cx, broker) {
            let key = CoordinatorKey::Group(self.group);
            let request = Request::FindCoordinator(FindCoordinatorRequest { key });
            self.client.send(cx, broker, request, KafkaPurpose::FindCoordinator);
            self.lookup = Lookup::Asking;
        }
    }

    /// The earliest instant at which it has something to do.
    pub fn deadline(&self, now: SimTime) -> SimTime {
        if self.client.has_completions() || !self.answers.is_empty() {
            return now;
        }
        let mut due = self.client.deadline().max(now);
        let mut consider = |at: SimTime| {
            if at > now {
                due = due.min(at);
            }
        };
        consider(self.fetching.ask_again_at());
        if let Some(oldest) = self.unsent.front() {
            consider(oldest.expires_at);
            if let Lookup::Unknown { retry_at } = self.lookup {
                consider(retry_at);
            }
        }
        due
    }
}

/// One record at a time; leaders are looked for as the library does it.
fn fetching_config(setup: &BalancedSetup) -> ConsumerConfig {
    let mut config = setup.config.consumer.clone();
    config.max_poll_records = 1;
    match setup.config.library {
        BalancedLibrary::HighLevel => {
            config.client.retry_backoff = setup.config.refresh_leader_backoff;
            config.client.retry_backoff_max = setup.config.refresh_leader_backoff;
        }
        // It asks again only after an error.
        BalancedLibrary::Pykafka => config.client.metadata_max_age = SimDuration::MAX,
    }
    config
}
