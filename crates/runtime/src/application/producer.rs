//! The application behind a producer: what it creates and when, what it does with an error, and its transactions.
//!
//! With a `transactional.id` it is the loop of `KafkaProducer`'s documentation: `beginTransaction()`, some bursts, and
//! `commitTransaction()` or, for a share of them, `abortTransaction()`. The thread is blocked inside these calls: bursts that
//! are due meanwhile come late. What an aborted transaction held is not sent again; the next one has new records.

use super::transaction::{self, Next, RESTART_AFTER_FATAL};
use super::{Action, Afterwards};
use crate::draws::{self, Purpose};
use acklab_machines::producer::{
    NewRecord, ProducerCall, TransactionCall, TransactionCallKind, TransactionFailure,
};
use acklab_machines::rng::NodeRng;
use acklab_scenario::model::{Arrivals, Keys, OnError, ProducerSpec, Span};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{NodeId, TransactionalId};
use acklab_vocab::record::{RECORD_OVERHEAD_BYTES, Record};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{ApplicationReaction, TraceEvent};
use acklab_vocab::transaction::TransactionResult;
use smallvec::SmallVec;

/// Where the thread of a transactional producer's application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// Inside a call of the transactional API.
    Calling(TransactionCallKind),
    /// Between two transactions.
    Ready,
    /// In a transaction that has had so many bursts.
    Open(u32),
}

/// One instance of a producer's application.
#[derive(Debug)]
pub(crate) struct ProducerApplication {
    spec: ProducerSpec,
    instance: u32,
    rng: NodeRng,
    /// Decides which record gets which of [`Keys::Among`].
    key_salt: u64,
    /// How many records it has created.
    created: u32,
    /// How many bursts it has created.
    bursts: u64,
    /// When the first burst is due, and for Poisson arrivals when the last one was.
    origin: SimTime,
    /// How many records wait to be sent again.
    pub(crate) waiting_to_resend: usize,
    session: Session,
    /// A burst is due and waits for the thread.
    burst_waits: bool,
    /// Decides which transactions are aborted.
    abort_rng: NodeRng,
}

impl ProducerApplication {
    pub(crate) fn new(spec: ProducerSpec, instance: u16, node: NodeId, seed: u64) -> Self {
        let mut rng = draws::stream(seed, Purpose::Workload, u64::from(node.0));
        let start = SimTime::ZERO + spec.from;
        let origin = match (interval(&spec), spec.arrivals) {
            (Some(interval), Arrivals::Even) => start + SimDuration(rng.below(interval.0.max(1))),
            (Some(interval), Arrivals::Poisson) => {
                start + draws::next_span(Span::Exponential(interval), &mut rng)
            }
            (None, _) => SimTime::NEVER,
        };
        let instance = u32::from(instance);
        let key_salt = rng.bits();
        ProducerApplication {
            spec,
            instance,
            rng,
            key_salt,
            created: 0,
            bursts: 0,
            origin,
            waiting_to_resend: 0,
            session: Session::Ready,
            burst_waits: false,
            abort_rng: draws::stream(seed, Purpose::Abort, u64::from(node.0)),
        }
    }

    /// What has not been drawn yet comes from other streams. The next burst of Poisson arrivals, and which record has which
    /// key, have been.
    pub(crate) fn draw_from(&mut self, workload: NodeRng, abort: NodeRng) {
        (self.rng, self.abort_rng) = (workload, abort);
    }

    /// When the next burst is due, if there is one before `end`.
    pub(crate) fn next_burst(&self, end: SimTime) -> Option<SimTime> {
        if self.spec.limit.is_some_and(|limit| self.created >= limit) {
            return None;
        }
        let at = match self.spec.arrivals {
            Arrivals::Poisson => self.origin,
            Arrivals::Even => {
                let thousandths = u128::from(self.bursts) * u128::from(self.spec.burst.max(1));
                let nanos =
                    thousandths * 1_000_000_000_000 / u128::from(self.spec.rate_millihertz.max(1));
                self.origin + SimDuration(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        };
        let end = end.min(SimTime::ZERO + self.spec.until);
        (at < end).then_some(at)
    }

    /// The process has started again: what it would have created meanwhile is skipped.
    pub(crate) fn resume_at(&mut self, now: SimTime) {
        let Some(interval) = interval(&self.spec) else { return };
        match self.spec.arrivals {
            Arrivals::Poisson => {
                self.origin = now + draws::next_span(Span::Exponential(interval), &mut self.rng);
            }
            Arrivals::Even => {
                let due = now.since(self.origin).0.div_ceil(interval.0.max(1));
                self.bursts = self.bursts.max(due);
            }
        }
    }

    /// The topic that it writes to.
    pub(crate) fn topic(&self) -> acklab_vocab::ids::TopicId {
        self.spec.topic
    }

    /// Creates the burst that is due.
    pub(crate) fn create_burst(&mut self) -> Vec<NewRecord> {
        let left = self.spec.limit.map_or(u32::MAX, |limit| limit - self.created);
        let count = self.spec.burst.max(1).min(left);
        let burst_key = self.created;
        let records = (0..count).map(|_| self.create(burst_key)).collect();
        self.bursts += 1;
        if self.spec.arrivals == Arrivals::Poisson
            && let Some(interval) = interval(&self.spec)
        {
            self.origin += draws::next_span(Span::Exponential(interval), &mut self.rng);
        }
        records
    }

    fn create(&mut self, burst: u32) -> NewRecord {
        let own = self.created;
        self.created += 1;
        let sequence = own * u32::from(self.spec.count.max(1)) + self.instance;
        let (key, partition) = match self.spec.keys {
            Keys::None => (None, None),
            Keys::Unique => (Some(key(u64::from(sequence))), None),
            Keys::PerBurst => {
                let number = burst * u32::from(self.spec.count.max(1)) + self.instance;
                (Some(key(u64::from(number))), None)
            }
            Keys::Among(keys) => (Some(self.key_among(sequence, keys)), None),
            Keys::Partition(partition) => (None, Some(partition)),
        };
        NewRecord { sequence, key, partition, size: self.spec.size, attempt: 0 }
    }

    /// What it does with records that failed: when to send them again, if at all.
    pub(crate) fn failed(&mut self, records: &[Record]) -> Option<SimDuration> {
        match self.spec.on_error {
            _ if self.spec.transactions.is_some() => None,
            OnError::GiveUp => None,
            OnError::SendAgain { attempts, after } => {
                let attempt = records.first().map_or(0, |record| record.attempt);
                (attempt < attempts).then(|| {
                    self.waiting_to_resend += records.len();
                    after
                })
            }
        }
    }

    /// Sends records again, each as a further attempt.
    pub(crate) fn send_again(&mut self, records: &[Record]) -> Vec<NewRecord> {
        self.waiting_to_resend = self.waiting_to_resend.saturating_sub(records.len());
        let again = |record: &Record| {
            let sequence = record.id.sequence;
            let (key, partition) = match self.spec.keys {
                Keys::None => (None, None),
                Keys::Among(keys) => (Some(self.key_among(sequence, keys)), None),
                Keys::Unique => (Some(key(u64::from(sequence))), None),
                Keys::PerBurst => (Some(key(u64::from(self.first_of_burst(sequence)))), None),
                Keys::Partition(partition) => (None, Some(partition)),
            };
            let size = record.size.saturating_sub(RECORD_OVERHEAD_BYTES);
            NewRecord { sequence, key, partition, size, attempt: record.attempt + 1 }
        };
        records.iter().map(again).collect()
    }

    // ---- transactions ----------------------------------------------------------------------------------------------

    /// Its process has begun: a transactional one calls `initTransactions()` first.
    pub(crate) fn start(&mut self, out: &mut Vec<Action>) {
        self.burst_waits = false;
        if self.spec.transactions.is_some() {
            self.call(TransactionCall::Init, out);
        }
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.spec.transactions.is_some()
    }

    /// It has been initialized, and is inside no transaction.
    pub(crate) fn is_between_transactions(&self) -> bool {
        self.session == Session::Ready && !self.burst_waits
    }

    /// A burst is due; `end` is the end of the workload.
    pub(crate) fn on_burst(&mut self, end: SimTime, out: &mut Vec<Action>) {
        self.burst_waits = true;
        match self.session {
            Session::Calling(_) => {}
            Session::Ready => self.call(TransactionCall::Begin, out),
            Session::Open(bursts) => self.burst_in_transaction(bursts, end, out),
        }
    }

    fn burst_in_transaction(&mut self, bursts: u32, end: SimTime, out: &mut Vec<Action>) {
        self.burst_waits = false;
        let (topic, records) = (self.spec.topic, self.create_burst());
        out.push(Action::Producer(ProducerCall::Send { topic, records }));
        let bursts = bursts + 1;
        let own = self.spec.transactions.as_ref();
        let full = own.is_none_or(|own| bursts >= own.bursts);
        if !full && self.next_burst(end).is_some() {
            self.session = Session::Open(bursts);
            return;
        }
        let share = own.map_or(0, |own| own.abort_millionths);
        let aborts = share > 0 && self.abort_rng.below(1_000_000) < u64::from(share);
        let call = if aborts { TransactionCall::Abort } else { TransactionCall::Commit };
        self.call(call, out);
    }

    pub(crate) fn on_transaction_call(
        &mut self,
        call: TransactionCallKind,
        failure: Option<TransactionFailure>,
        end: SimTime,
        out: &mut Vec<Action>,
    ) {
        if self.session != Session::Calling(call) {
            return;
        }
        match (transaction::next(call, failure), call) {
            (Next::Proceed, TransactionCallKind::Begin) => {
                let transactional_id = self.transactional_id();
                let begun = transactional_id
                    .map(|transactional_id| TraceEvent::TransactionBegun { transactional_id });
                out.extend(begun.map(Action::State));
                self.session = Session::Open(0);
                self.burst_in_transaction(0, end, out);
            }
            (Next::Proceed, _) => {
                self.ended(call, ErrorCode::None, out);
                self.session = Session::Ready;
                if self.burst_waits {
                    self.on_burst(end, out);
                }
            }
            (Next::Repeat, TransactionCallKind::Init) => self.call(TransactionCall::Init, out),
            (Next::Repeat, TransactionCallKind::Abort) | (Next::Abort, _) => {
                self.call(TransactionCall::Abort, out);
            }
            (Next::Repeat, _) => self.call(TransactionCall::Commit, out),
            (Next::Restart(error), _) => {
                self.ended(call, error, out);
                let reaction = ApplicationReaction::Stopped;
                let failed = TraceEvent::ApplicationFailed { failure: None, error, reaction };
                out.push(Action::State(failed));
                let afterwards = Afterwards::StartsAgain(RESTART_AFTER_FATAL);
                out.push(Action::Exit { clean: false, afterwards });
            }
        }
    }

    fn call(&mut self, call: TransactionCall, out: &mut Vec<Action>) {
        self.session = Session::Calling(call.kind());
        out.push(Action::Producer(ProducerCall::Transaction(call)));
    }

    fn transactional_id(&self) -> Option<TransactionalId> {
        Some(self.spec.transactions.as_ref()?.ids[self.instance as usize])
    }

    /// States how a transaction ended, if the call was to end one.
    fn ended(&self, call: TransactionCallKind, error: ErrorCode, out: &mut Vec<Action>) {
        let result = match call {
            TransactionCallKind::Commit => TransactionResult::Commit,
            TransactionCallKind::Abort => TransactionResult::Abort,
            TransactionCallKind::Init
            | TransactionCallKind::Begin
            | TransactionCallKind::SendOffsets => return,
        };
        out.extend(self.transactional_id().map(|transactional_id| {
            Action::State(TraceEvent::TransactionEnded { transactional_id, result, error })
        }));
    }

    /// One of so many keys, always the same for one record.
    fn key_among(&self, sequence: u32, keys: u32) -> SmallVec<[u8; 16]> {
        // SplitMix64's finalizer spreads neighbouring sequences.
        let mut bits =
            self.key_salt.wrapping_add(u64::from(sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        key(bits % u64::from(keys.max(1)))
    }

    /// The sequence of the first record of the burst to which a record belongs.
    fn first_of_burst(&self, sequence: u32) -> u32 {
        let count = u32::from(self.spec.count.max(1));
        let own = sequence / count;
        let first = own - own % self.spec.burst.max(1);
        first * count + self.instance
    }
}

/// From one burst to the next, on average; `None` without any.
fn interval(spec: &ProducerSpec) -> Option<SimDuration> {
    let nanos = u128::from(spec.burst.max(1)) * 1_000_000_000_000;
    let rate = u128::from(spec.rate_millihertz);
    (rate > 0).then(|| SimDuration(u64::try_from(nanos / rate).unwrap_or(u64::MAX)))
}

/// The bytes of key number `number`, as an application might build them.
fn key(number: u64) -> SmallVec<[u8; 16]> {
    let mut bytes: SmallVec<[u8; 16]> = SmallVec::from_slice(b"key-");
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[at..]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_are_text() {
        assert_eq!(key(0).as_slice(), b"key-0");
        assert_eq!(key(42).as_slice(), b"key-42");
        assert_eq!(key(u64::MAX).as_slice(), b"key-18446744073709551615");
    }
}
