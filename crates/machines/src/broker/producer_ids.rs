//! Producer ids for idempotent producers.
//!
//! Mirrors `RPCProducerIdManager` (KIP-730): ids come in blocks from the controller; the next block
//! is asked for when nine tenths of this one are used, and a request that finds none is told to
//! come again. A producer that has an id and asks anew gets a new id: without a transactional id
//! the broker keeps no state of it (`TransactionCoordinator.handleInitProducerId`). Before 3.0,
//! with ZooKeeper, a broker takes a block by writing a znode (`zookeeper::producer_id_blocks`).

use super::controller_channel::ChannelPurpose;
use super::{Broker, BrokerCx};
use acklab_vocab::api::{AllocateProducerIdsRequest, AllocateProducerIdsResponse, Request};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::ProducerId;
use acklab_vocab::rules::ProtocolRule;

/// Ids that this broker may hand out.
#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    current: Block,
    next: Option<Block>,
    in_flight: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    first: u64,
    count: u64,
    used: u64,
}

impl ProducerIds {
    /// The next id, if there is one at hand.
    pub fn take(&mut self) -> Option<ProducerId> {
        if self.current.used == self.current.count {
            self.current = self.next.take()?;
        }
        let id = ProducerId(self.current.first + self.current.used);
        self.current.used += 1;
        Some(id)
    }

    /// The broker has `count` more ids, from `first` on.
    pub fn add_block(&mut self, first: ProducerId, count: u32) {
        self.in_flight = false;
        self.next = Some(Block { first: first.0, count: count.into(), used: 0 });
    }

    /// Nine tenths are used, and no other block is at hand or on its way.
    fn wants_block(&self) -> bool {
        let is_low = self.current.used * 10 >= self.current.count * 9;
        is_low && self.next.is_none() && !self.in_flight
    }
}

impl Broker {
    /// A producer id that nobody has (`ProducerIdManager.generateProducerId`).
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS: there is none at hand; the next block is being asked for.
    pub(super) fn take_producer_id(
        &mut self,
        cx: &mut BrokerCx<'_>,
    ) -> Result<ProducerId, ErrorCode> {
        let id = self.producer_ids.take();
        self.replenish_producer_ids(cx);
        id.ok_or(ErrorCode::CoordinatorLoadInProgress)
    }

    /// Asks for the next block of ids if this one is nearly used up.
    pub(super) fn replenish_producer_ids(&mut self, cx: &mut BrokerCx<'_>) {
        let Some(broker_epoch) = self.shared.broker_epoch else { return };
        if self.producer_ids.wants_block() {
            self.producer_ids.in_flight = true;
            if self.membership.is_by_zookeeper()
                && !self.shared.has(ProtocolRule::AllocateProducerIdsByController)
            {
                self.read_producer_id_block(cx);
                return;
            }
            let request = AllocateProducerIdsRequest { broker: self.shared.id, broker_epoch };
            let request = Request::AllocateProducerIds(request);
            self.submit_to_controller(cx, ChannelPurpose::ProducerIds, request);
        }
    }

    pub(super) fn on_producer_ids_allocated(&mut self, response: &AllocateProducerIdsResponse) {
        self.producer_ids.in_flight = false;
        if response.error.is_none() {
            self.producer_ids.add_block(response.first, response.count);
        }
    }

    /// The controller could not be reached: the next request asks again.
    pub(super) fn on_producer_ids_failed(&mut self) {
        self.producer_ids.in_flight = false;
    }
}
