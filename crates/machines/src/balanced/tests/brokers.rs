//! Brokers played by the test: each handles one request of a connection at a time, and a fetch waits for records.

use super::world::{BROKERS, Event, World, partition};
use crate::client::testing::fetched;
use crate::machine::Input;
use acklab_vocab::api::*;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::CommittedOffset;
use acklab_vocab::ids::*;
use acklab_vocab::record::RecordBatch;
use acklab_vocab::time::SimTime;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The brokers.
pub(super) struct Kafka {
    pub logs: Vec<Vec<Arc<RecordBatch>>>,
    pub committed: BTreeMap<TopicPartition, Offset>,
    /// Every commit that was asked for.
    pub commits: Vec<(SimTime, OffsetCommitRequest)>,
    /// A group-managed application uses the same group.
    pub has_members: bool,
    pub leaders: Vec<u16>,
}

impl World {
    /// A request has been read.
    pub fn at_broker(&mut self, link: usize, correlation: CorrelationId, request: Request) {
        let inbox = &mut self.links[link].inbox;
        inbox.push_back((correlation, request));
        if inbox.len() == 1 {
            self.serve(link, false);
        }
    }

    /// Handles the oldest request of a connection, and what comes behind it; a fetch may have waited already.
    pub fn serve(&mut self, link: usize, mut has_waited: bool) {
        while self.links[link].is_open {
            let Some((correlation, request)) = self.links[link].inbox.front().cloned() else {
                return;
            };
            if let Request::Fetch(fetch) = &request
                && !has_waited
                && self.fetch(fetch).is_empty()
            {
                let when = self.now + fetch.max_wait;
                return self.push(when, Event::FetchWaited(link));
            }
            has_waited = false;
            self.links[link].inbox.pop_front();
            let response = Box::new(self.answer(&request));
            let connection = self.links[link].client;
            self.deliver(link, Input::Response { connection, correlation, response });
        }
    }

    fn fetch(&self, fetch: &FetchRequest) -> Vec<PartitionFetchResponse> {
        let mut found = Vec::new();
        for asked in &fetch.partitions {
            let log = &self.kafka.logs[usize::from(asked.partition.partition.0)];
            let rest = log.iter().position(|batch| batch.next_offset() > asked.fetch_offset);
            found.extend(rest.map(|rest| fetched(asked.partition, &log[rest..])));
        }
        found
    }

    fn answer(&mut self, request: &Request) -> Response {
        match request {
            Request::Metadata(_) => Response::Metadata(MetadataResponse {
                brokers: (1..=BROKERS).map(|id| (BrokerId(id), NodeId(id))).collect(),
                partitions: (0..self.kafka.logs.len() as u16)
                    .map(|index| PartitionMetadata {
                        partition: partition(index),
                        error: ErrorCode::None,
                        leader: Some(BrokerId(self.kafka.leaders[usize::from(index)])),
                        leader_epoch: LeaderEpoch(0),
                        replicas: BrokerList::new(),
                    })
                    .collect(),
            }),
            Request::FindCoordinator(_) => Response::FindCoordinator(FindCoordinatorResponse {
                error: ErrorCode::None,
                coordinator: Some((BrokerId(1), NodeId(1))),
            }),
            Request::OffsetFetch(asked) => {
                let committed = |partition: &TopicPartition| {
                    let committed = self.kafka.committed.get(partition).map(|&offset| {
                        CommittedOffset { offset, leader_epoch: None, committed_at: self.now }
                    });
                    (*partition, ErrorCode::None, committed)
                };
                let partitions = asked.partitions.iter().map(committed).collect();
                Response::OffsetFetch(OffsetFetchResponse { error: ErrorCode::None, partitions })
            }
            Request::OffsetCommit(commit) => {
                self.kafka.commits.push((self.now, commit.clone()));
                let refused = self.kafka.has_members;
                let error = if refused { ErrorCode::UnknownMemberId } else { ErrorCode::None };
                for offset in commit.offsets.iter().filter(|_| !refused) {
                    self.kafka.committed.insert(offset.partition, offset.offset);
                }
                let each = commit.offsets.iter().map(|offset| (offset.partition, error));
                Response::OffsetCommit(OffsetCommitResponse { partitions: each.collect() })
            }
            Request::ListOffsets(asked) => {
                let each = asked.partitions.iter().map(|entry| PartitionListOffsetsResponse {
                    partition: entry.0,
                    error: ErrorCode::None,
                    offset: Offset(0),
                    leader_epoch: LeaderEpoch(0),
                });
                Response::ListOffsets(ListOffsetsResponse { partitions: each.collect() })
            }
            Request::Fetch(fetch) => {
                Response::Fetch(FetchResponse { partitions: self.fetch(fetch) })
            }
            other => panic!("nobody answers {other:?}"),
        }
    }
}
