//! How each fact changes the [`World`], and which invariants look at it on the way.

use acklab_vocab::api::Acks;
use acklab_vocab::ids::{BrokerId, BrokerList, LeaderEpoch, Offset};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::record::{Record, RecordBatch};
use acklab_vocab::trace::{PartitionChangeReason, Stamped};
use std::sync::Arc;

use super::{
    Append, AppendId, LeaderView, Lineage, Partition, Removal, RemovalKind, Replica, Role, Tenure,
    World,
};
use crate::invariants::{self, Invariant, Place};
use acklab_vocab::time::SimTime;

/// Where a fact was stated, and about which partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// When and on which process.
    pub place: Place,
    /// Dense index of the partition.
    pub partition: usize,
    /// The broker on that process.
    pub broker: BrokerId,
}

impl World {
    /// Where a fact was stated. `None` for a partition that the header does not know.
    pub(crate) fn scene(
        &self,
        stamped: &Stamped,
        partition: acklab_vocab::ids::TopicPartition,
    ) -> Option<Scene> {
        let place = Place { at: stamped.at, node: stamped.node };
        let partition = self.index_of(partition)?;
        Some(Scene { place, partition, broker: self.broker_on(stamped.node) })
    }

    pub(crate) fn breach(
        &mut self,
        scene: Scene,
        invariant: &'static Invariant,
        text: Option<String>,
    ) {
        if let Some(text) = text {
            let partition = &mut self.partitions[scene.partition];
            self.breaches.report(invariant, self.rules, partition, scene.place, text);
        }
    }

    fn replica(&mut self, scene: Scene) -> &mut Replica {
        self.partitions[scene.partition].replica_mut(scene.place.node, scene.broker)
    }

    // ---- processes ------------------------------------------------------------------------------

    /// A process began a life: it knows only what its disk holds.
    pub(crate) fn on_started(&mut self, stamped: &Stamped) {
        if let Some(process) = self.processes.get_mut(stamped.node.0 as usize) {
            process.alive = true;
            process.paused_since = None;
        }
        for partition in &mut self.partitions {
            if let Some(replica) =
                partition.replicas.iter_mut().find(|replica| replica.node == stamped.node)
            {
                replica.role = Role::Unknown;
            }
        }
    }

    /// A process ended.
    pub(crate) fn on_ended(&mut self, stamped: &Stamped, clean: bool) {
        let Some(process) = self.processes.get_mut(stamped.node.0 as usize) else { return };
        process.alive = false;
        process.deaths.push((stamped.at, clean));
        process.unregistered = true;
        let Some(broker) = process.broker else { return };
        for partition in &mut self.partitions {
            if partition.leader_at_rest() == Some(broker) {
                partition.loses_leader(stamped.at);
            }
        }
    }

    /// A host lost power.
    pub(crate) fn on_power_lost(&mut self, stamped: &Stamped) {
        if let Some(process) = self.processes.get_mut(stamped.node.0 as usize) {
            process.power_losses.push(stamped.at);
        }
        self.on_ended(stamped, false);
    }

    /// A process stood still, or runs again.
    pub(crate) fn on_paused(&mut self, stamped: &Stamped, paused: bool) {
        let Some(process) = self.processes.get_mut(stamped.node.0 as usize) else { return };
        if paused {
            process.paused_since = Some(stamped.at);
        } else if let Some(since) = process.paused_since.take() {
            process.pauses.push((since, stamped.at));
        }
        let Some(broker) = process.broker else { return };
        let led = |partition: &&mut Partition| partition.leader_at_rest() == Some(broker);
        for partition in self.partitions.iter_mut().filter(led) {
            if paused {
                partition.loses_leader(stamped.at);
            } else {
                partition.leaderless.end(stamped.at);
            }
        }
    }

    // ---- the controller -------------------------------------------------------------------------

    /// The controller changed a partition.
    pub(crate) fn on_partition_changed(
        &mut self,
        scene: Scene,
        after: &PartitionState,
        reason: PartitionChangeReason,
    ) {
        if let Some(before) = &self.partitions[scene.partition].state {
            let epochs = invariants::epochs_monotonic::check_controller(before, after);
            let clean = self.check_election(scene.partition, before, after, reason);
            self.breach(scene, &invariants::epochs_monotonic::INVARIANT, epochs);
            self.breach(scene, &invariants::clean_election::INVARIANT, clean);
        }
        if reason == PartitionChangeReason::AlterPartition
            && let Some(before) = &self.partitions[scene.partition].state
        {
            let isr = before.isr.clone();
            self.check_proposal(scene, &isr, after);
            self.check_newcomers(scene, &isr, &after.isr);
        }
        let at = scene.place.at;
        let partition = &mut self.partitions[scene.partition];
        let known = partition.tenure_mut(after.leader_epoch);
        if let Some(tenure) = known {
            tenure.isr_throughout.retain(|broker| after.isr.contains(broker));
            tenure.isr_latest = after.isr.clone();
        } else if let Some(leader) = after.leader {
            let before = partition.state.as_ref().unwrap_or(after);
            partition.tenures.push(Tenure {
                epoch: after.leader_epoch,
                leader,
                elected_at: at,
                reason,
                isr_before: before.isr.clone(),
                isr_throughout: after.isr.clone(),
                isr_latest: after.isr.clone(),
                lineage: None,
                high_watermark: Offset(0),
            });
        }
        if reason == PartitionChangeReason::UncleanElection {
            partition.had_unclean_election = true;
        }
        if after.leader.is_none() {
            partition.loses_leader(at);
        }
        partition.state = Some(after.clone());
    }

    // ---- the broker's role ----------------------------------------------------------------------

    /// A broker learned that it leads.
    pub(crate) fn on_became_leader(
        &mut self,
        scene: Scene,
        epoch: LeaderEpoch,
        end: Offset,
        high_watermark: Offset,
    ) {
        let replica = self.replica(scene);
        let stale = invariants::epochs_monotonic::check_broker(replica, epoch);
        let raised = invariants::high_watermark_bounded::check_new_leader(replica, high_watermark);
        replica.epoch_heard = replica.epoch_heard.max(epoch);
        let lineage = Lineage { at: scene.place.at, epochs: replica.epochs.clone(), end };
        let reported = replica.leader_view().map(|view| view.reported.clone());
        let partition = &mut self.partitions[scene.partition];
        let elected = partition.tenure(epoch);
        let second = invariants::one_leader_per_epoch::check(elected, scene.broker, epoch);
        if elected.is_none() {
            partition.tenures.push(unannounced(scene, epoch));
        }
        let is_current = partition.state.as_ref().is_none_or(|state| state.leader_epoch == epoch);
        if is_current {
            partition.leaderless.end(scene.place.at);
        }
        let tenure = partition.tenure_mut(epoch).expect("it was just made");
        let isr = tenure.isr_throughout.clone();
        if tenure.leader == scene.broker {
            tenure.lineage = Some(lineage);
        }
        let reported = reported.unwrap_or_default();
        let view = LeaderView { epoch, epoch_start: end, isr, proposed: None, reported };
        partition.replica_mut(scene.place.node, scene.broker).role = Role::Leader(view);
        self.breach(scene, &invariants::epochs_monotonic::INVARIANT, stale);
        self.breach(scene, &invariants::high_watermark_bounded::INVARIANT, raised);
        self.breach(scene, &invariants::one_leader_per_epoch::INVARIANT, second);
        self.check_completeness(scene);
    }

    /// Compares a new leader's log with what was committed, and from then on takes the leader's log
    /// for the truth.
    fn check_completeness(&mut self, scene: Scene) {
        let partition = &self.partitions[scene.partition];
        let Some(replica) = partition.replica(scene.place.node) else { return };
        let committed = &partition.committed;
        let agrees =
            |length: usize| length == 0 || replica.log.get(length - 1) == committed.get(length - 1);
        if agrees(committed.len()) {
            return;
        }
        let shared = replica.log.iter().zip(committed).take_while(|(mine, theirs)| mine == theirs);
        let shared = shared.count();
        let end = |length: usize| {
            length.checked_sub(1).map_or(Offset(0), |last| self.end_of(committed[last]))
        };
        let breach =
            invariants::leader_completeness::check(replica, end(shared), end(committed.len()));
        self.breach(scene, &invariants::leader_completeness::INVARIANT, breach);
        let partition = &mut self.partitions[scene.partition];
        partition.committed.truncate(shared);
        for replica in &mut partition.replicas {
            replica.below_high_watermark = replica.below_high_watermark.min(shared);
        }
    }

    /// A broker learned that another one leads, or none.
    pub(crate) fn on_became_follower(&mut self, scene: Scene, epoch: LeaderEpoch) {
        let replica = self.replica(scene);
        let stale = invariants::epochs_monotonic::check_broker(replica, epoch);
        replica.epoch_heard = replica.epoch_heard.max(epoch);
        replica.role = Role::Follower(epoch);
        self.breach(scene, &invariants::epochs_monotonic::INVARIANT, stale);
    }

    // ---- the log --------------------------------------------------------------------------------

    /// A leader appended a batch, whose first record had been appended before as `earlier`.
    pub(crate) fn on_appended(
        &mut self,
        scene: Scene,
        batch: &Arc<RecordBatch>,
        earlier: AppendId,
    ) -> AppendId {
        let replica = self.replica(scene);
        let misplaced = invariants::leader_append::check(replica, batch);
        let parent = replica.last();
        if misplaced.is_some() || earlier != AppendId::NONE {
            self.breach(scene, &invariants::leader_append::INVARIANT, misplaced);
            let partition = &self.partitions[scene.partition];
            let twice = partition.replica(scene.place.node).and_then(|replica| {
                invariants::idempotence::check_append(replica, batch, earlier, &self.appends)
            });
            self.breach(scene, &invariants::idempotence::INVARIANT, twice);
        }
        let id = self.add_append(scene, batch, parent, false);
        self.follow_sequences(scene, batch, id);
        let partition = &mut self.partitions[scene.partition];
        partition.accepts(scene.place.at, batch.records());
        let replica = partition.replica_mut(scene.place.node, scene.broker);
        replica.push(id, &self.appends[id.index()]);
        self.follow_transaction(scene, batch, id);
        id
    }

    /// Takes note of a leader that takes up an idempotent producer in the middle of its sequence.
    fn follow_sequences(&mut self, scene: Scene, batch: &RecordBatch, id: AppendId) {
        let Some(stamp) = batch.stamp else { return };
        let partition = &mut self.partitions[scene.partition];
        let before = partition.last_stamped.insert(stamp.id, id);
        if stamp.base_sequence.0 == 0 {
            return;
        }
        let Some(leader) = partition.replica(scene.place.node) else { return };
        let holds = |before: AppendId| {
            let base = self.appends[before.index()].batch.base_offset;
            leader.batch_at(base, &self.appends) == Some(before)
        };
        let knows = |id: &AppendId| {
            let stamp_of = self.appends[id.index()].batch.stamp;
            stamp_of.is_some_and(|other| other.id == stamp.id)
        };
        if !before.is_some_and(holds) && !leader.log.iter().rev().any(knows) {
            partition.gaps.push(id);
        }
    }

    fn add_append(
        &mut self,
        scene: Scene,
        batch: &Arc<RecordBatch>,
        parent: AppendId,
        foreign: bool,
    ) -> AppendId {
        let id = AppendId(self.appends.len() as u32);
        match self.appends.get_mut(parent.index()) {
            Some(parent) => parent.child = id,
            None => self.partitions[scene.partition].first_child = id,
        }
        self.appends.push(Append {
            batch: Arc::clone(batch),
            at: scene.place.at,
            answered: SimTime::NEVER,
            parent,
            child: AppendId::NONE,
            partition: scene.partition as u32,
            node: scene.place.node,
            foreign,
            ended: None,
            ended_in_own_epoch: false,
        });
        id
    }

    /// A follower appended a copy.
    pub(crate) fn on_replicated(&mut self, scene: Scene, batch: &Arc<RecordBatch>) {
        let last = self.replica(scene).last();
        let id = match self.find_append(scene.partition, last, batch) {
            Some(id) => id,
            None => {
                let text = invariants::replicated_was_written::breach(scene.broker, batch);
                self.breach(scene, &invariants::replicated_was_written::INVARIANT, Some(text));
                self.add_append(scene, batch, last, true)
            }
        };
        let append = &self.appends[id.index()];
        if append.parent != last {
            let partition = &self.partitions[scene.partition];
            let breach = partition.replica(scene.place.node).and_then(|replica| {
                invariants::log_matching::check_replicated(replica, append, &self.appends)
            });
            self.breach(scene, &invariants::log_matching::INVARIANT, breach);
        }
        let replica = self.partitions[scene.partition].replica_mut(scene.place.node, scene.broker);
        replica.push(id, &self.appends[id.index()]);
    }

    /// The append of which `batch` is a copy: mostly the one that was written behind the follower's
    /// last.
    fn find_append(
        &self,
        partition: usize,
        last: AppendId,
        batch: &Arc<RecordBatch>,
    ) -> Option<AppendId> {
        let is_same = |id: AppendId| {
            self.appends
                .get(id.index())
                .is_some_and(|append| Arc::ptr_eq(&append.batch, batch) || append.batch == *batch)
        };
        let next = match self.appends.get(last.index()) {
            Some(append) => append.child,
            None => self.partitions[partition].first_child,
        };
        if is_same(next) {
            return Some(next);
        }
        let holders = self.partitions[partition].replicas.iter();
        let elsewhere = holders
            .filter_map(|replica| replica.batch_at(batch.base_offset, &self.appends))
            .find(|id| is_same(*id));
        elsewhere.or_else(|| {
            let all = (0..self.appends.len() as u32).rev().map(AppendId);
            let here = |id: &AppendId| self.appends[id.index()].partition as usize == partition;
            all.filter(here).find(|id| is_same(*id))
        })
    }

    /// A log lost its tail.
    pub(crate) fn on_cut(&mut self, scene: Scene, to: Offset, kind: RemovalKind) {
        let partition = &mut self.partitions[scene.partition];
        let known = partition.replicas.iter().position(|replica| replica.node == scene.place.node);
        let Some(index) = known else { return };
        let replica = &mut partition.replicas[index];
        let batches = replica.cut(to, &self.appends);
        match kind {
            RemovalKind::PowerLoss => {
                replica.has_lost_tail = true;
                partition.has_lost_tail = true;
            }
            RemovalKind::Truncated(_) => {}
        }
        let kept = replica.log.len();
        let was_committed =
            batches.first().is_some_and(|gone| partition.committed.get(kept) == Some(gone));
        if was_committed {
            let first = self.appends[batches[0].index()].batch.base_offset;
            let text = invariants::truncation::breach(replica, to, first);
            self.breach(scene, &invariants::truncation::INVARIANT, Some(text));
        }
        let Place { at, node } = scene.place;
        let removal = Removal { at, node, broker: scene.broker, kind, to, batches };
        self.partitions[scene.partition].removals.push(removal);
    }

    /// A broker opened its log after a restart.
    pub(crate) fn on_recovered(&mut self, scene: Scene, end: Offset, high_watermark: Offset) {
        if self.replica(scene).log_end_offset > end {
            self.on_cut(scene, end, RemovalKind::PowerLoss);
        }
        let Self { partitions, appends, .. } = self;
        let partition = &mut partitions[scene.partition];
        let reached = partition.reached;
        let replica = partition.replica_mut(scene.place.node, scene.broker);
        let check = invariants::high_watermark_bounded::check_follower;
        let beyond = check(replica, high_watermark, reached);
        replica.high_watermark = high_watermark;
        replica.below_high_watermark = replica.position(high_watermark, appends);
        self.breach(scene, &invariants::high_watermark_bounded::FOLLOWER, beyond);
    }

    /// A reader was given records up to `end`.
    pub(crate) fn on_read(&mut self, scene: Scene, end: Offset) {
        let breach =
            invariants::read_committed::check(end, self.partitions[scene.partition].reached);
        self.breach(scene, &invariants::read_committed::INVARIANT, breach);
    }

    // ---- high watermark, ISR, answers -----------------------------------------------------------

    /// A leader learned how far a follower is.
    pub(crate) fn on_follower_fetched(
        &mut self,
        scene: Scene,
        follower: BrokerId,
        epoch: LeaderEpoch,
        end: Offset,
    ) {
        let partition = &mut self.partitions[scene.partition];
        let replica = partition.replica_mut(scene.place.node, scene.broker);
        if let Some(view) = replica.leader_view_mut() {
            view.report(follower, end);
        }
        let (Some(leader), Some(other)) =
            (partition.replica(scene.place.node), partition.replica_of(follower))
        else {
            return;
        };
        let breach = invariants::fencing::check(leader, other, epoch, end, &self.appends);
        self.breach(scene, &invariants::fencing::INVARIANT, breach);
    }

    /// A replica's high watermark moved.
    pub(crate) fn on_high_watermark(
        &mut self,
        scene: Scene,
        epoch: Option<LeaderEpoch>,
        high_watermark: Offset,
        leader: bool,
    ) {
        let partition = &mut self.partitions[scene.partition];
        let replica = partition.replica_mut(scene.place.node, scene.broker);
        let lowered = invariants::high_watermark_monotonic::check(replica, high_watermark);
        let was = replica.high_watermark;
        replica.note_high_watermark(scene.place.at);
        replica.high_watermark = high_watermark;
        if high_watermark < was {
            let below = replica.position(high_watermark, &self.appends);
            replica.below_high_watermark = replica.below_high_watermark.min(below);
        }
        let mut beyond = None;
        if leader {
            partition.reached = partition.reached.max(high_watermark);
        } else if let Some(replica) = partition.replica(scene.place.node) {
            let check = invariants::high_watermark_bounded::check_follower;
            beyond = check(replica, high_watermark, partition.reached);
        }
        if leader && let Some(tenure) = epoch.and_then(|epoch| partition.tenure_mut(epoch)) {
            tenure.high_watermark = tenure.high_watermark.max(high_watermark);
        }
        let partition = &self.partitions[scene.partition];
        let replica = partition.replica(scene.place.node);
        let view = replica.and_then(|replica| replica.leader_view()).filter(|_| leader);
        let (mut passed, mut short) = (None, None);
        if let (Some(replica), Some(view)) = (replica, view) {
            let check = invariants::high_watermark_bounded::check_advance;
            let isr = partition.tenure(view.epoch).map(|tenure| &tenure.isr_latest);
            passed = check(replica, view, isr, high_watermark);
            short = invariants::isr_holds_committed::check(partition, view, high_watermark);
        }
        self.breach(scene, &invariants::high_watermark_bounded::FOLLOWER, beyond);
        self.breach(scene, &invariants::high_watermark_monotonic::INVARIANT, lowered);
        self.breach(scene, &invariants::high_watermark_bounded::INVARIANT, passed);
        self.breach(scene, &invariants::isr_holds_committed::INVARIANT, short);
        self.follow_high_watermark(scene, leader);
    }

    /// Compares what a replica's high watermark has passed with what was committed; a leader
    /// commits what is new.
    fn follow_high_watermark(&mut self, scene: Scene, leader: bool) {
        let Self { partitions, appends, .. } = self;
        let partition = &mut partitions[scene.partition];
        let known = partition.replicas.iter().position(|replica| replica.node == scene.place.node);
        let Some(index) = known else { return };
        let replica = &mut partition.replicas[index];
        let mut breach = None;
        while let Some(&id) = replica.log.get(replica.below_high_watermark) {
            let batch = &appends[id.index()].batch;
            if batch.next_offset() > replica.high_watermark {
                break;
            }
            match partition.committed.get(replica.below_high_watermark) {
                Some(&committed) => {
                    let check = invariants::log_matching::check_committed;
                    breach = breach.or_else(|| check(replica, id, committed, batch.base_offset));
                }
                None if leader && replica.below_high_watermark == partition.committed.len() => {
                    partition.committed.push(id);
                }
                None => {}
            }
            replica.below_high_watermark += 1;
        }
        self.breach(scene, &invariants::log_matching::BELOW_HIGH_WATERMARK, breach);
    }

    /// A leader asked for another ISR.
    pub(crate) fn on_isr_proposed(
        &mut self,
        scene: Scene,
        isr: &BrokerList,
        proposed: &BrokerList,
    ) {
        let replica = self.replica(scene);
        let Some(view) = replica.leader_view() else { return };
        let early = invariants::isr_join::check(replica, view, isr, proposed);
        if let Some(view) = replica.leader_view_mut() {
            view.isr = isr.clone();
            view.proposed = Some(proposed.clone());
        }
        self.breach(scene, &invariants::isr_join::INVARIANT, early);
    }

    /// A leader has a new committed ISR, or its proposal was refused.
    pub(crate) fn on_isr_settled(&mut self, scene: Scene, isr: Option<&BrokerList>) {
        if let Some(view) = self.replica(scene).leader_view_mut() {
            view.proposed = None;
            if let Some(isr) = isr {
                view.isr = isr.clone();
            }
        }
    }

    /// A produce request was answered with a success.
    pub(crate) fn on_answered(
        &mut self,
        scene: Scene,
        acks: Acks,
        base_offset: Option<Offset>,
        records: &[Record],
        append: AppendId,
    ) {
        if let Some(append) = self.appends.get_mut(append.index())
            && append.node == scene.place.node
            && append.answered == SimTime::NEVER
        {
            append.answered = scene.place.at;
        }
        let (Acks::All, Some(base)) = (acks, base_offset) else { return };
        let breach =
            invariants::acks_all::check(self.replica(scene), base.plus(records.len() as u64));
        self.breach(scene, &invariants::acks_all::INVARIANT, breach);
    }

    /// A leader recognised a batch as a duplicate.
    pub(crate) fn on_deduplicated(&mut self, scene: Scene, base: Offset, records: &[Record]) {
        let partition = &self.partitions[scene.partition];
        let breach = partition.replica(scene.place.node).and_then(|leader| {
            invariants::idempotence::check_refusal(leader, base, records, &self.appends)
        });
        // Clients before 2.5 may use a sequence twice: what the broker then does is right.
        let producer = records.first().map(|record| usize::from(record.id.producer.0));
        let reuses = producer.is_some_and(|index| self.reuses_sequences.get(index) == Some(&true));
        let invariant = match reuses {
            true => &invariants::idempotence::OF_CLOSED_GAPS,
            false => &invariants::idempotence::INVARIANT,
        };
        self.breach(scene, invariant, breach);
    }
}

/// A leader of whose election no controller spoke.
fn unannounced(scene: Scene, epoch: LeaderEpoch) -> Tenure {
    let only = BrokerList::from_slice(&[scene.broker]);
    Tenure {
        epoch,
        leader: scene.broker,
        elected_at: scene.place.at,
        reason: PartitionChangeReason::Created,
        isr_before: only.clone(),
        isr_throughout: only.clone(),
        isr_latest: only,
        lineage: None,
        high_watermark: Offset(0),
    }
}
