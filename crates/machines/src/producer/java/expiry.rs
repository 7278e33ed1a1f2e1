//! Batches that run out of time: `delivery.timeout.ms` (KIP-91, 2.1+), or `request.timeout.ms`
//! before.

use super::accumulator::{DrainedBatches, RecordAccumulator};
use super::batch::Batch;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::time::SimTime;

impl RecordAccumulator {
    /// Batches that have run out of time, removed from where they waited: first those in the
    /// deques, then those in flight, which [`RecordAccumulator::complete`] still finds
    /// (`expiredBatches`, `getExpiredInflightBatches`).
    pub(super) fn expired(&mut self) -> DrainedBatches {
        let mut expired = DrainedBatches::new();
        if self.now < self.next_expiry {
            return expired;
        }
        self.next_expiry = SimTime::NEVER;
        let mut in_flight = DrainedBatches::new();
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        let used =
            partitions.filter(|queue| !queue.deque.is_empty() || !queue.in_flight.is_empty());
        let used: Vec<TopicPartition> = used.map(|queue| queue.partition).collect();
        for partition in used {
            let before = expired.len();
            self.expire_queued(partition, &mut expired);
            if expired.len() > before {
                self.update_standing(partition);
            }
            for index in 0..self.queue(partition).in_flight.len() {
                let id = self.queue(partition).in_flight[index];
                let Some(timeout) = self.config.delivery_timeout else { break };
                let expires_at = self.batches[id].created + timeout;
                if expires_at > self.now {
                    self.next_expiry = self.next_expiry.min(expires_at);
                    break;
                }
                in_flight.push(id);
            }
        }
        expired.extend(in_flight);
        expired
    }

    fn expire_queued(&mut self, partition: TopicPartition, expired: &mut DrainedBatches) {
        if self.config.delivery_timeout.is_none() && self.queue(partition).muted {
            return;
        }
        while let Some(&head) = self.queue(partition).deque.front() {
            let behind = self.queue(partition).deque.len() > 1;
            let expires_at = self.expires_at(&self.batches[head], behind);
            if expires_at > self.now {
                self.next_expiry = self.next_expiry.min(expires_at);
                break;
            }
            self.queue(partition).deque.pop_front();
            expired.push(head);
        }
    }

    /// When a waiting batch runs out of time. `behind`: another batch waits behind it.
    pub(super) fn expires_at(&self, batch: &Batch, behind: bool) -> SimTime {
        let (created, linger) = (batch.created, self.config.linger);
        if let Some(timeout) = self.config.delivery_timeout {
            return created + timeout;
        }
        let timeout = self.config.client.request_timeout;
        if batch.attempts > 0 {
            return batch.last_attempt + self.config.client.retry_backoff + timeout;
        }
        let full = behind || batch.is_full();
        let unsent = created + linger + timeout;
        if full { unsent.min(batch.last_append + timeout) } else { unsent }
    }
}
