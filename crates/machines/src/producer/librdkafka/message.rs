//! Messages and the queue of a partition: `rd_kafka_msg_t`, `rd_kafka_msgq_t`.
//!
//! A message is numbered when it enters its partition, and queues are kept in that order: what is
//! sent again goes back to where it came from, never behind later messages.

use crate::producer::BatchView;
use acklab_vocab::record::{BATCH_OVERHEAD_BYTES, Record};
use acklab_vocab::time::SimTime;
use std::collections::VecDeque;

/// A message with its own clock and its own count of retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its number within the partition, from 1.
    pub msgid: u64,
    pub record: Record,
    /// Bytes of key and value, as the queue's limit counts them.
    pub payload: u32,
    pub enqueued_at: SimTime,
    /// End of `message.timeout.ms`, from `produce()`.
    pub expires_at: SimTime,
    pub retries: u32,
    pub backoff_until: SimTime,
    pub sends: u32,
    /// Of the first message of a batch that was sent by an idempotent producer: the batch's last.
    /// Sent again, the batch holds the same messages.
    pub last_msgid: Option<u64>,
}

/// Limits of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchLimits {
    /// `batch.num.messages`
    pub messages: usize,
    /// The smaller of `batch.size` and `message.max.bytes`.
    pub bytes: u32,
}

/// When the queue's head may be sent by age: after its backoff, or `linger` after `produce()`
/// (`rd_kafka_msgq_allow_wakeup_at`). `None` for an empty queue.
pub(super) fn ready_at(
    queue: &VecDeque<Message>,
    linger: acklab_vocab::time::SimDuration,
    now: SimTime,
) -> Option<SimTime> {
    let head = queue.front()?;
    let backs_off = head.backoff_until > now;
    Some(if backs_off { head.backoff_until } else { head.enqueued_at + linger })
}

/// Takes the messages of the next batch from the head (`rd_kafka_msgset_writer_write_msgq`). None
/// while the head backs off.
pub(super) fn take_batch(
    queue: &mut VecDeque<Message>,
    limits: BatchLimits,
    now: SimTime,
) -> Vec<Message> {
    let fixed_end = queue.front().and_then(|head| head.last_msgid).unwrap_or(u64::MAX);
    let mut bytes = BATCH_OVERHEAD_BYTES;
    let fits = |(index, message): (usize, &Message)| {
        let size = message.record.size;
        let room = index == 0 || bytes + size <= limits.bytes;
        bytes += size;
        let allowed = message.msgid <= fixed_end && message.backoff_until <= now;
        allowed && index < limits.messages && room
    };
    let count = queue.iter().enumerate().map(fits).take_while(|&fits| fits).count();
    queue.drain(..count).collect()
}

/// Puts messages back to their places (`rd_kafka_msgq_insert_msgq`). They are in order, but others
/// may lie between them.
pub(super) fn put_back(queue: &mut VecDeque<Message>, messages: Vec<Message>) {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
    let start = queue.partition_point(|message| message.msgid < first.msgid);
    let end = queue.partition_point(|message| message.msgid < last.msgid);
    if start == 0 && end == 0 {
        for message in messages.into_iter().rev() {
            queue.push_front(message);
        }
        return;
    }
    let mut merged: Vec<Message> = queue.drain(..).collect();
    merged.extend(messages);
    merged.sort_unstable_by_key(|message| message.msgid);
    queue.extend(merged);
}

/// As people see a row of messages.
pub(super) fn view(messages: impl Iterator<Item = Message>) -> Option<BatchView> {
    let mut messages = messages.peekable();
    let first = *messages.peek()?;
    let count = messages.count() as u32;
    Some(BatchView { first: first.record.id.sequence, count, sends: first.sends })
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::ids::RecordId;

    fn message(msgid: u64) -> Message {
        let record = Record { id: RecordId::default(), attempt: 0, size: 100 };
        Message {
            msgid,
            record,
            payload: 93,
            enqueued_at: SimTime::ZERO,
            expires_at: SimTime::NEVER,
            retries: 0,
            backoff_until: SimTime::ZERO,
            sends: 0,
            last_msgid: None,
        }
    }

    fn ids(queue: &VecDeque<Message>) -> Vec<u64> {
        queue.iter().map(|message| message.msgid).collect()
    }

    #[test]
    fn retried_messages_go_back_to_their_places() {
        let mut queue: VecDeque<Message> = [5, 6].map(message).into();
        put_back(&mut queue, [3, 4].map(message).into());
        put_back(&mut queue, [1, 2].map(message).into());
        assert_eq!(ids(&queue), [1, 2, 3, 4, 5, 6]);
        let mut queue: VecDeque<Message> = [1, 2, 6].map(message).into();
        put_back(&mut queue, [3, 4].map(message).into());
        assert_eq!(ids(&queue), [1, 2, 3, 4, 6]);
    }

    #[test]
    fn a_batch_ends_at_its_limits_and_at_a_message_that_backs_off() {
        let limits = BatchLimits { messages: 3, bytes: 10_000 };
        let take = |queue: &mut VecDeque<Message>, limits| {
            ids(&take_batch(queue, limits, SimTime::ZERO).into())
        };
        let mut queue: VecDeque<Message> = [1, 2, 3, 4].map(message).into();
        assert_eq!(take(&mut queue, limits), [1, 2, 3]);
        assert_eq!(ids(&queue), [4]);
        let mut queue: VecDeque<Message> = [1, 2, 3].map(message).into();
        assert_eq!(take(&mut queue, BatchLimits { messages: 3, bytes: 261 }), [1, 2]);
        let mut queue: VecDeque<Message> = [1, 2, 3].map(message).into();
        queue[1].backoff_until = SimTime::from_millis(1);
        assert_eq!(take(&mut queue, limits), [1]);
        assert_eq!(take(&mut queue, limits), Vec::<u64>::new());
    }

    #[test]
    fn a_batch_that_was_sent_idempotently_keeps_its_bounds() {
        let mut queue: VecDeque<Message> = [1, 2, 3].map(message).into();
        queue[0].last_msgid = Some(2);
        let limits = BatchLimits { messages: 10, bytes: 10_000 };
        assert_eq!(ids(&take_batch(&mut queue, limits, SimTime::ZERO).into()), [1, 2]);
    }
}
