//! How ISR proposals reach the controller.
//!
//! Mirrors `DefaultAlterPartitionManager` (KIP-497): one request in flight per broker, which
//! carries every proposal made meanwhile; retried for ever. Nothing is left out.

use super::controller_channel::ChannelPurpose;
use super::partition::Partition;
use super::{Broker, BrokerCx, BrokerTimer};
use crate::broker::metadata_image::UNREGISTERED;
use acklab_vocab::api::{AlterPartitionRequest, AlterPartitionResponse, PartitionAlter, Request};
use acklab_vocab::ids::{BrokerEpoch, BrokerId, BrokerList};
use acklab_vocab::time::SimDuration;

/// The wait after a refused request.
const RETRY_BACKOFF: SimDuration = SimDuration::from_millis(50);

/// Proposals on their way to the controller.
#[derive(Debug, Default)]
pub(super) struct AlterPartitionManager {
    /// In order of submission, at most one per partition. The first `in_flight` have been sent.
    items: Vec<Item>,
    in_flight: usize,
    backing_off: bool,
    last_proposal: u64,
}

#[derive(Debug)]
struct Item {
    slot: usize,
    proposal: u64,
    alter: PartitionAlter,
}

impl AlterPartitionManager {
    /// Nothing waits for the controller.
    pub fn is_idle(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes a proposal and numbers it; `None` if an earlier one of the partition is still on its
    /// way.
    pub fn submit(&mut self, slot: usize, partition: &Partition, isr: &BrokerList) -> Option<u64> {
        if self.items.iter().any(|item| item.slot == slot) {
            return None;
        }
        self.last_proposal += 1;
        let alter = PartitionAlter {
            partition: partition.id,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            new_isr: isr.iter().map(|&broker| (broker, epoch_of(partition, broker))).collect(),
        };
        self.items.push(Item { slot, proposal: self.last_proposal, alter });
        Some(self.last_proposal)
    }
}

/// The incarnation that the member's fetches carried.
fn epoch_of(partition: &Partition, broker: BrokerId) -> Option<BrokerEpoch> {
    let mut followers = partition.leader_state()?.followers.iter();
    let follower = followers.find(|follower| follower.broker == broker)?;
    follower.broker_epoch.filter(|&epoch| epoch != UNREGISTERED)
}

impl Broker {
    /// Sends what waits, unless a request is in flight.
    pub(super) fn send_alter_partition(&mut self, cx: &mut BrokerCx<'_>) {
        let manager = &mut self.alter_partition;
        if manager.in_flight > 0 || manager.backing_off || manager.items.is_empty() {
            return;
        }
        let Some(broker_epoch) = self.shared.broker_epoch else { return };
        manager.in_flight = manager.items.len();
        let request = AlterPartitionRequest {
            broker: self.shared.id,
            broker_epoch,
            partitions: manager.items.iter().map(|item| item.alter.clone()).collect(),
        };
        let request = Request::AlterPartition(request);
        self.submit_to_controller(cx, ChannelPurpose::AlterPartition, request);
    }

    /// The controller has answered.
    pub(super) fn on_alter_partition_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        response: &AlterPartitionResponse,
    ) {
        let sent = std::mem::take(&mut self.alter_partition.in_flight);
        if !response.error.is_none() {
            self.alter_partition.backing_off = true;
            cx.set_timer_after(BrokerTimer::AlterPartitionRetry, RETRY_BACKOFF);
            return;
        }
        let answered: Vec<Item> = self.alter_partition.items.drain(..sent).collect();
        for item in answered {
            let mut answers = response.partitions.iter();
            if let Some(answer) = answers.find(|a| a.partition == item.alter.partition) {
                self.on_isr_answer(cx, item.slot, item.proposal, answer);
            }
        }
        self.send_alter_partition(cx);
    }

    pub(super) fn on_alter_partition_retry(&mut self, cx: &mut BrokerCx<'_>) {
        self.alter_partition.backing_off = false;
        self.send_alter_partition(cx);
    }
}
