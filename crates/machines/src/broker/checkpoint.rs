//! What a broker writes down from time to time, and at the end.
//!
//! Mirrors `ReplicaManager.checkpointHighWatermarks`, `LogManager.flushDirtyLogs` and
//! `LogManager.shutdown`. The recovery point has no file of its own: the disk knows how far each
//! log is flushed. `flush.ms` runs as a task of its own period, where Kafka looks every
//! `log.flush.scheduler.interval.ms`, by default never.

use super::{Broker, BrokerCx, BrokerTimer, FlushWaiter, PRODUCER_ID_EXPIRATION_CHECK};
use crate::disk::FlushTarget;
use acklab_vocab::time::SimDuration;

impl Broker {
    /// The high watermarks are written from now on.
    pub(super) fn start_high_watermark_checkpoints(&self, cx: &mut BrokerCx<'_>) {
        let interval = self.shared.config.high_watermark_checkpoint_interval;
        cx.set_timer_after(BrokerTimer::HighWatermarkCheckpoint, interval);
    }

    pub(super) fn on_high_watermark_checkpoint(&mut self, cx: &mut BrokerCx<'_>) {
        self.start_high_watermark_checkpoints(cx);
        self.checkpoint_high_watermarks(cx);
    }

    fn checkpoint_high_watermarks(&self, cx: &mut BrokerCx<'_>) {
        let checkpoint = &mut cx.disk().high_watermarks;
        for partition in self.replicas.iter() {
            checkpoint.insert(partition.id, partition.log.high_watermark());
        }
    }

    /// The shortest `flush.ms` of all topics, if any is set.
    pub(super) fn flush_interval(&self) -> Option<SimDuration> {
        let intervals = self.shared.topics.iter().map(|topic| topic.flush_interval);
        intervals.filter(|&interval| interval != SimDuration::MAX).min()
    }

    pub(super) fn on_flush_dirty_logs(&mut self, cx: &mut BrokerCx<'_>) {
        if let Some(interval) = self.flush_interval() {
            cx.set_timer_after(BrokerTimer::FlushDirtyLogs, interval);
        }
        for partition in self.replicas.iter() {
            let wants = self.shared.topic(partition.id).flush_interval != SimDuration::MAX;
            let file = cx.disk().log(partition.log.id());
            if wants && file.flushed_end_offset() < file.end_offset() {
                self.flushes.ask(cx, FlushTarget::Log(partition.log.id()), None);
            }
        }
    }

    pub(super) fn on_producer_id_expiration(&mut self, cx: &mut BrokerCx<'_>) {
        cx.set_timer_after(BrokerTimer::ProducerIdExpiration, PRODUCER_ID_EXPIRATION_CHECK);
        for slot in 0..self.replicas.len() {
            self.replicas[slot].log.expire_producers(cx.now());
        }
    }

    /// Asks for a flush of every log that needs one; the process ends when all are done.
    pub(super) fn flush_all_for_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        for partition in self.replicas.iter() {
            let file = cx.disk().log(partition.log.id());
            if file.flushed_end_offset() < file.end_offset() {
                let target = FlushTarget::Log(partition.log.id());
                self.flushes.ask(cx, target, Some(FlushWaiter::ShutDown));
                self.lifecycle.flushes_left += 1;
            }
        }
        if self.lifecycle.flushes_left == 0 {
            self.finish_shut_down(cx);
        }
    }

    pub(super) fn on_shut_down_flushed(&mut self, cx: &mut BrokerCx<'_>) {
        self.lifecycle.flushes_left -= 1;
        if self.lifecycle.flushes_left == 0 {
            self.finish_shut_down(cx);
        }
    }

    /// Checkpoints, leaves the clean shutdown file, and ends.
    fn finish_shut_down(&mut self, cx: &mut BrokerCx<'_>) {
        self.checkpoint_high_watermarks(cx);
        cx.disk().clean_shutdown = self.shared.broker_epoch;
        if self.membership.is_by_zookeeper() {
            self.leave_cluster(cx);
        } else {
            cx.exit(true);
        }
    }
}
