//! Which part of the broker each input is for.
//!
//! Mirrors `KafkaApis.handle`, and the threads' queues that Kafka has beside it.

use super::interface::{BrokerCall, BrokerTimer, NoReport};
use super::lifecycle::BrokerState;
use super::membership::Membership;
use super::{Broker, BrokerCx, FlushWaiter, Owner, Requester};
use crate::disk::FlushId;
use crate::machine::{Input, Machine};
use acklab_vocab::api::{Request, Response};
use acklab_vocab::ids::{ConnectionId, CorrelationId, NodeId};

impl Broker {
    fn on_request(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        from: NodeId,
        request: Request,
    ) {
        if !self.lifecycle.is_serving() {
            // The socket server accepts nobody before the broker is unfenced.
            cx.close(connection);
            return;
        }
        let requester = Requester { connection, correlation, from };
        match &self.membership {
            Membership::KRaft(_) => self.handle_request(cx, requester, request),
            Membership::ZooKeeper(_) => self.on_request_by_threads(cx, requester, request),
        }
    }

    /// `KafkaApis.handle`
    pub(super) fn handle_request(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: Request,
    ) {
        let Requester { connection, correlation, .. } = requester;
        match request {
            Request::Produce(produce) => self.on_produce(cx, connection, correlation, produce),
            Request::Fetch(fetch) => self.on_fetch(cx, connection, correlation, fetch),
            Request::ListOffsets(list) => self.on_list_offsets(cx, connection, correlation, &list),
            Request::Metadata(metadata) => {
                self.on_metadata(cx, connection, correlation, &metadata);
            }
            Request::OffsetsForLeaderEpoch(epochs) => {
                self.on_offsets_for_leader_epoch(cx, connection, correlation, &epochs);
            }
            Request::InitProducerId(init) => self.on_init_producer_id(cx, requester, init),
            Request::AddPartitionsToTxn(add) => self.on_add_partitions_to_txn(cx, requester, add),
            Request::AddOffsetsToTxn(add) => self.on_add_offsets_to_txn(cx, requester, add),
            Request::TxnOffsetCommit(commit) => self.on_txn_offset_commit(cx, requester, commit),
            Request::EndTxn(end) => self.on_end_txn(cx, requester, end),
            Request::WriteTxnMarkers(write) => self.on_write_txn_markers(cx, requester, &write),
            Request::FindCoordinator(find) => {
                self.on_find_coordinator(cx, connection, correlation, find);
            }
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::OffsetCommit(_)
            | Request::OffsetFetch(_)
            | Request::ConsumerGroupHeartbeat(_) => {
                self.on_group_request(cx, requester, request);
            }
            request => match &self.membership {
                // A controller's APIs: a broker's listener does not know them.
                Membership::KRaft(_) => cx.close(connection),
                Membership::ZooKeeper(_) => self.on_zookeeper_mode_request(cx, requester, request),
            },
        }
    }

    fn on_connected(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        match self.owner_of(connection) {
            Some(Owner::MetadataFetch) => self.on_metadata_connected(cx, connection),
            Some(Owner::ControllerChannel(purpose)) => self.on_channel_connected(cx, purpose),
            Some(Owner::Fetcher(fetcher)) => self.on_fetcher_connected(cx, fetcher),
            Some(Owner::InterBrokerChannel(purpose, to)) => {
                self.on_inter_broker_connected(cx, purpose, to);
            }
            Some(Owner::ZooKeeper) => self.on_zookeeper_connected(cx, connection),
            Some(Owner::ControlChannel(to)) => self.on_control_channel_connected(cx, to),
            Some(Owner::ControlledShutdown) => self.on_controlled_shutdown_connected(cx),
            None => {}
        }
    }

    fn on_response(
        &mut self,
        cx: &mut BrokerCx<'_>,
        connection: ConnectionId,
        correlation: CorrelationId,
        response: Response,
    ) {
        match self.owner_of(connection) {
            Some(Owner::MetadataFetch) => {
                self.on_metadata_fetch_response(cx, connection, correlation, response);
            }
            Some(Owner::ControllerChannel(purpose)) => {
                self.on_channel_response(cx, purpose, correlation, response);
            }
            Some(Owner::Fetcher(fetcher)) => {
                self.on_fetcher_response(cx, fetcher, correlation, response);
            }
            Some(Owner::InterBrokerChannel(purpose, to)) => {
                self.on_inter_broker_response(cx, purpose, to, correlation, response);
            }
            Some(Owner::ZooKeeper) => {
                self.on_zookeeper_response(cx, connection, correlation, response);
            }
            Some(Owner::ControlChannel(to)) => {
                self.on_control_channel_response(cx, to, correlation, response);
            }
            Some(Owner::ControlledShutdown) => self.on_controlled_shutdown_response(cx, response),
            None => {}
        }
    }

    fn on_closed(&mut self, cx: &mut BrokerCx<'_>, connection: ConnectionId) {
        let owner = self.owner_of(connection);
        self.forget_connection(connection);
        match owner {
            Some(Owner::MetadataFetch) => self.on_metadata_fetch_failed(cx),
            Some(Owner::ControllerChannel(purpose)) => self.on_channel_closed(cx, purpose),
            Some(Owner::Fetcher(fetcher)) => self.on_fetcher_failed(cx, fetcher),
            Some(Owner::InterBrokerChannel(purpose, to)) => {
                self.on_inter_broker_closed(cx, purpose, to);
            }
            Some(Owner::ZooKeeper) => self.on_zookeeper_closed(cx, connection),
            Some(Owner::ControlChannel(to)) => self.on_control_channel_closed(cx, to),
            Some(Owner::ControlledShutdown) => self.on_controlled_shutdown_closed(cx),
            None => self.on_client_gone(connection),
        }
    }

    /// A connection that somebody opened to this broker is gone.
    fn on_client_gone(&mut self, connection: ConnectionId) {
        if let Membership::ZooKeeper(membership) = &mut self.membership {
            membership.threads.forget(connection);
        }
        self.forget_fetch_session(connection);
    }

    fn on_timer(&mut self, cx: &mut BrokerCx<'_>, timer: BrokerTimer) {
        match timer {
            BrokerTimer::Communication => self.communicate(cx),
            BrokerTimer::RegistrationTimeout => self.on_registration_timeout(cx),
            BrokerTimer::ControlledShutdownTimeout => self.begin_shut_down(cx),
            BrokerTimer::MetadataFetch => self.on_metadata_fetch_timer(cx),
            BrokerTimer::ControllerChannel(purpose) => self.on_channel_timer(cx, purpose),
            BrokerTimer::AlterPartitionRetry => self.on_alter_partition_retry(cx),
            BrokerTimer::IsrExpiration => self.on_isr_expiration(cx),
            BrokerTimer::ProducePurgatory => self.expire_produces(cx),
            BrokerTimer::FetchPurgatory => self.expire_fetches(cx),
            BrokerTimer::Fetcher(fetcher) => self.on_fetcher_timer(cx, fetcher),
            BrokerTimer::HighWatermarkCheckpoint => self.on_high_watermark_checkpoint(cx),
            BrokerTimer::FlushDirtyLogs => self.on_flush_dirty_logs(cx),
            BrokerTimer::ProducerIdExpiration => self.on_producer_id_expiration(cx),
            BrokerTimer::CoordinatorLoad(kind) => self.on_coordinator_load(cx, kind),
            BrokerTimer::CoordinatorAppends => self.expire_coordinator_appends(cx),
            BrokerTimer::GroupCoordinator => self.on_group_timer(cx),
            BrokerTimer::OffsetsExpiration => self.on_offsets_expiration(cx),
            BrokerTimer::InterBrokerChannel(purpose, to) => {
                self.on_inter_broker_timer(cx, purpose, to);
            }
            BrokerTimer::VerificationRetry => self.on_verification_retry(cx),
            BrokerTimer::MarkerRetry => self.on_marker_retry(cx),
            BrokerTimer::MarkersWaiting => self.on_markers_waiting(cx),
            BrokerTimer::AbortTimedOutTransactions => self.on_abort_timed_out_transactions(cx),
            BrokerTimer::TransactionalIdExpiration => self.on_transactional_id_expiration(cx),
            BrokerTimer::ZooKeeperClient => self.on_zookeeper_time(cx),
            BrokerTimer::ZooKeeperConnection => self.on_zookeeper_connection_timeout(cx),
            BrokerTimer::ZooKeeperRegistration => self.register_in_zookeeper(cx),
            BrokerTimer::IsrChangePropagation => self.on_isr_change_propagation(cx),
            BrokerTimer::ControlledShutdown => self.on_controlled_shutdown_timer(cx),
            BrokerTimer::ZooKeeperController(timer) => self.on_controller_timer(cx, timer),
        }
    }

    fn on_flushed(&mut self, cx: &mut BrokerCx<'_>, flush: FlushId) {
        match self.flushes.done(flush) {
            Some(FlushWaiter::Produce(held)) => self.on_produce_flushed(cx, held),
            Some(FlushWaiter::Fetcher(fetcher)) => self.on_fetcher_flushed(cx, fetcher),
            Some(FlushWaiter::ShutDown) => self.on_shut_down_flushed(cx),
            None => {}
        }
    }
}

impl Machine for Broker {
    type Timer = BrokerTimer;
    type Call = BrokerCall;
    type Report = NoReport;

    /// The socket server opens once the broker has been unfenced (`BrokerServer.startup`).
    fn listens(&self) -> bool {
        self.lifecycle.is_serving()
    }

    fn handle(&mut self, cx: &mut BrokerCx<'_>, input: Input<BrokerTimer, BrokerCall>) {
        if self.lifecycle.state() == BrokerState::ShuttingDown {
            self.handle_while_stopping(cx, input);
        } else {
            self.handle_while_living(cx, input);
        }
        if self.membership.is_by_zookeeper() {
            self.settle_zookeeper(cx);
        }
    }
}

impl Broker {
    /// Nothing but the last flushes, and the end of the session with ZooKeeper.
    fn handle_while_stopping(
        &mut self,
        cx: &mut BrokerCx<'_>,
        input: Input<BrokerTimer, BrokerCall>,
    ) {
        match input {
            Input::Flushed(flush) => self.on_flushed(cx, flush),
            Input::Timer(BrokerTimer::ZooKeeperClient) => self.on_zookeeper_time(cx),
            Input::Connected(connection) if self.owner_of(connection) == Some(Owner::ZooKeeper) => {
                self.on_zookeeper_connected(cx, connection);
            }
            Input::Response { connection, correlation, response }
                if self.owner_of(connection) == Some(Owner::ZooKeeper) =>
            {
                self.on_zookeeper_response(cx, connection, correlation, *response);
            }
            Input::Closed(connection, _) if self.owner_of(connection) == Some(Owner::ZooKeeper) => {
                self.on_zookeeper_closed(cx, connection);
            }
            _ => {}
        }
    }

    fn handle_while_living(
        &mut self,
        cx: &mut BrokerCx<'_>,
        input: Input<BrokerTimer, BrokerCall>,
    ) {
        match input {
            Input::Request { connection, correlation, from, request } => {
                self.on_request(cx, connection, correlation, from, *request);
            }
            Input::Connected(connection) => self.on_connected(cx, connection),
            Input::Response { connection, correlation, response } => {
                self.on_response(cx, connection, correlation, *response);
            }
            Input::Closed(connection, _) => self.on_closed(cx, connection),
            Input::Timer(timer) => self.on_timer(cx, timer),
            Input::Flushed(flush) => self.on_flushed(cx, flush),
            Input::Call(BrokerCall::ShutDown) => self.begin_controlled_shut_down(cx),
            Input::Call(call) => self.on_admin_call(cx, call),
            // At most one request is in flight on each of its connections: nothing queues behind a
            // full buffer.
            Input::WriteBlocked(_) | Input::WriteResumed(_) => {}
        }
    }
}
