//! Producer ids by ZooKeeper: a block of a thousand is a write of `/latest_producer_id_block`.
//!
//! Mirrors `ZkProducerIdManager` (`ProducerIdManager` before 3.0). A broker takes its first block
//! when it starts. Simplified: the next one is taken when nine tenths of this one are used, not by
//! the request that finds none, which would hold its thread meanwhile.

use super::ZooKeeperPurpose;
use crate::broker::{Broker, BrokerCx};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::ProducerId;
use acklab_vocab::zookeeper::{ZnodeData, ZooKeeperError, paths};

/// `PRODUCER_ID_BLOCK_SIZE`
const BLOCK_SIZE: u32 = 1_000;

impl Broker {
    /// Looks which ids are free.
    pub(in crate::broker) fn read_producer_id_block(&mut self, cx: &mut BrokerCx<'_>) {
        let operation =
            ZooKeeperOperation::GetData { path: paths::producer_id_block(), watch: false };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::ProducerIdBlock);
    }

    pub(super) fn on_producer_id_block_read(
        &mut self,
        cx: &mut BrokerCx<'_>,
        result: &Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        let Ok(ZooKeeperReply::Data(data, stat)) = result else {
            self.on_producer_ids_failed();
            return;
        };
        let first = match data {
            ZnodeData::ProducerIds { next } => *next,
            _ => ProducerId(0),
        };
        let next = ProducerId(first.0 + u64::from(BLOCK_SIZE));
        let operation = ZooKeeperOperation::SetData {
            path: paths::producer_id_block(),
            data: ZnodeData::ProducerIds { next },
            version: Some(stat.version),
        };
        self.zookeeper_operate(cx, operation, ZooKeeperPurpose::TakeProducerIdBlock(first));
    }

    pub(super) fn on_producer_id_block_taken(
        &mut self,
        cx: &mut BrokerCx<'_>,
        first: ProducerId,
        result: &Result<ZooKeeperReply, ZooKeeperError>,
    ) {
        match result {
            Ok(_) => self.producer_ids.add_block(first, BLOCK_SIZE),
            Err(ZooKeeperError::BadVersion) => self.read_producer_id_block(cx),
            Err(_) => self.on_producer_ids_failed(),
        }
    }
}
