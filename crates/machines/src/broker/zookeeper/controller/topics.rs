//! Topics and partitions that are new, ISRs that leaders have written themselves, and preferred
//! leaders.
//!
//! Mirrors `processTopicChange`, `processPartitionModifications`, `processIsrChangeNotification`,
//! `processReplicaLeaderElection` and `checkAndTriggerAutoLeaderRebalance`. Left out: deletion of
//! topics.

use super::ControllerTimer;
use super::brokers::children;
use super::election::{self, Strategy};
use super::rounds::Answer;
use super::steps::{Occasion, Scope, Step, Then};
use crate::broker::{Broker, BrokerCx, BrokerTimer};
use acklab_vocab::api::{ZooKeeperOperation, ZooKeeperReply};
use acklab_vocab::ids::{TopicId, TopicPartition};
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::zookeeper::{ZnodeData, ZnodePath, paths};
use std::collections::BTreeSet;

/// The first check for imbalance comes so long after the controller has taken office.
const FIRST_REBALANCE: SimDuration = SimDuration::from_secs(5);

impl Broker {
    // ---- topics ---------------------------------------------------------------------------------

    /// `getAllTopicsInCluster`
    pub(super) fn list_topics(&mut self, cx: &mut BrokerCx<'_>, occasion: Occasion) {
        let list = ZooKeeperOperation::GetChildren { path: paths::topics(), watch: true };
        self.ask_zookeeper(cx, vec![list], Then::TopicsListed(occasion));
    }

    pub(super) fn on_topics_listed(
        &mut self,
        cx: &mut BrokerCx<'_>,
        occasion: Occasion,
        answers: Vec<Answer>,
    ) {
        let there: BTreeSet<TopicId> =
            children(&answers).iter().filter_map(|name| paths::topic_named(name)).collect();
        let context = &mut self.zookeeper_controller().context;
        let known = std::mem::replace(&mut context.topics, there.clone());
        let new = match occasion {
            Occasion::TakingOffice => there.into_iter().collect(),
            Occasion::Change => there.difference(&known).copied().collect(),
        };
        self.read_topics(cx, occasion, new);
    }

    /// `getReplicaAssignmentForTopics`, with a watch on each.
    pub(super) fn read_topics(
        &mut self,
        cx: &mut BrokerCx<'_>,
        occasion: Occasion,
        topics: Vec<TopicId>,
    ) {
        let read = |topic: &TopicId| ZooKeeperOperation::GetData {
            path: paths::topic(*topic),
            watch: true,
        };
        let reads = topics.iter().map(read).collect();
        self.ask_zookeeper(cx, reads, Then::TopicsRead(occasion));
    }

    pub(super) fn on_topics_read(&mut self, occasion: Occasion, answers: Vec<Answer>) {
        let context = &mut self.zookeeper_controller().context;
        let mut added = Vec::new();
        for answer in answers {
            if let Ok(ZooKeeperReply::Data(ZnodeData::Topic { topic, assignments }, _)) = answer {
                added.extend(context.assign(topic, &assignments));
            }
        }
        if occasion == Occasion::Change && !added.is_empty() {
            for partition in &added {
                context.stages.insert(*partition, super::context::Stage::New);
            }
            let mut steps: Vec<_> =
                self.in_groups(added).into_iter().map(Step::CreatePartitions).collect();
            steps.push(Step::SendBatch);
            self.do_first(steps);
        }
    }

    // ---- ISRs that leaders have written ---------------------------------------------------------

    pub(super) fn list_isr_changes(&mut self, cx: &mut BrokerCx<'_>, then: Then) {
        let list = ZooKeeperOperation::GetChildren { path: paths::isr_changes(), watch: true };
        self.ask_zookeeper(cx, vec![list], then);
    }

    pub(super) fn on_isr_changes_listed_to_clear(
        &mut self,
        cx: &mut BrokerCx<'_>,
        answers: Vec<Answer>,
    ) {
        self.delete_as_controller(cx, isr_change_paths(&answers));
    }

    pub(super) fn on_isr_changes_listed(&mut self, cx: &mut BrokerCx<'_>, answers: Vec<Answer>) {
        let listed = isr_change_paths(&answers);
        let read =
            |path: &ZnodePath| ZooKeeperOperation::GetData { path: path.clone(), watch: false };
        let reads = listed.iter().map(read).collect();
        self.ask_zookeeper(cx, reads, Then::IsrChangesRead(listed));
    }

    pub(super) fn on_isr_changes_read(&mut self, listed: Vec<ZnodePath>, answers: Vec<Answer>) {
        let mut changed = BTreeSet::new();
        for answer in answers {
            if let Ok(ZooKeeperReply::Data(ZnodeData::IsrChange(partitions), _)) = answer {
                changed.extend(partitions.iter().copied());
            }
        }
        let mut steps = Vec::new();
        if !changed.is_empty() {
            steps.push(Step::RefreshStates(changed.into_iter().collect()));
        }
        steps.push(Step::Delete(listed));
        self.do_first(steps);
    }

    pub(super) fn refresh_states(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partitions: Vec<TopicPartition>,
    ) {
        self.read_states(cx, &partitions.clone(), Then::StatesRefreshed(partitions));
    }

    pub(super) fn on_states_refreshed(
        &mut self,
        partitions: Vec<TopicPartition>,
        answers: Vec<Answer>,
    ) {
        self.learn_states(answers);
        let partitions = Scope::Partitions(partitions);
        self.do_first([Step::SendMetadata { to: None, partitions }]);
    }

    pub(super) fn delete_as_controller(&mut self, cx: &mut BrokerCx<'_>, znodes: Vec<ZnodePath>) {
        let delete = |path| ZooKeeperOperation::Delete { path, version: None };
        self.write_as_controller(cx, znodes.into_iter().map(delete).collect(), Then::Nothing);
    }

    // ---- preferred leaders ----------------------------------------------------------------------

    /// `fetchPendingPreferredReplicaElections`
    pub(super) fn read_pending_preferred_election(&mut self, cx: &mut BrokerCx<'_>) {
        self.read_preferred_election(cx, true);
    }

    fn read_preferred_election(&mut self, cx: &mut BrokerCx<'_>, taking_office: bool) {
        let path = paths::preferred_replica_election();
        let read = ZooKeeperOperation::GetData { path, watch: false };
        self.ask_zookeeper(cx, vec![read], Then::PreferredElectionRead { taking_office });
    }

    /// Sets the watch again, and goes on if there is a request.
    pub(super) fn look_for_preferred_election(&mut self, cx: &mut BrokerCx<'_>) {
        let path = paths::preferred_replica_election();
        let exists = ZooKeeperOperation::Exists { path, watch: true };
        self.ask_zookeeper(cx, vec![exists], Then::PreferredElectionFound);
    }

    pub(super) fn on_preferred_election_found(
        &mut self,
        cx: &mut BrokerCx<'_>,
        answers: &[Answer],
    ) {
        if matches!(answers, [Ok(ZooKeeperReply::Exists(Some(_)))]) {
            self.read_preferred_election(cx, false);
        }
    }

    pub(super) fn on_preferred_election_read(&mut self, taking_office: bool, answers: Vec<Answer>) {
        let asked = match answers.as_slice() {
            [Ok(ZooKeeperReply::Data(ZnodeData::PreferredReplicaElection(asked), _))] => {
                asked.to_vec()
            }
            _ => Vec::new(),
        };
        let mut steps = self.preferred_steps(asked);
        // A new controller removes the request even if there is none: nobody minds.
        steps.push(Step::RemovePreferredElection);
        if taking_office {
            steps.push(Step::ScheduleRebalance(FIRST_REBALANCE));
        }
        self.do_first(steps);
    }

    /// Elects the preferred leaders of those of `partitions` that have others.
    fn preferred_steps(&mut self, mut partitions: Vec<TopicPartition>) -> Vec<Step> {
        let context = &self.zookeeper_controller().context;
        partitions.retain(|partition| {
            let preferred = context.replicas(*partition).first();
            let known = context.leadership.get(partition);
            known.is_some_and(|known| known.state.leader.as_ref() != preferred)
        });
        let reason = PartitionChangeReason::PreferredElection;
        let mut steps = self.election_steps(partitions, Strategy::Preferred, reason);
        steps.push(Step::SendBatch);
        steps
    }

    /// Deletes the request, and looks for the next one.
    pub(super) fn remove_preferred_election(&mut self, cx: &mut BrokerCx<'_>) {
        let controller = self.zookeeper_controller();
        controller.events.push_back(super::events::ControllerEvent::PreferredElection);
        self.delete_as_controller(cx, vec![paths::preferred_replica_election()]);
    }

    /// Any live replica leads where nobody does (ElectLeaders with `UNCLEAN`).
    pub(super) fn elect_uncleanly(&mut self, partitions: Vec<TopicPartition>) {
        let context = &self.zookeeper_controller().context;
        let mut leaderless = partitions;
        leaderless.retain(|partition| {
            let known = context.leadership.get(partition);
            known.is_some_and(|it| !it.state.leader.is_some_and(|leader| context.is_live(leader)))
        });
        let strategy = Strategy::Offline { allow_unclean: true };
        let reason = PartitionChangeReason::BrokerFenced;
        let mut steps = self.election_steps(leaderless, strategy, reason);
        steps.push(Step::SendBatch);
        self.do_first(steps);
    }

    /// Partitions whose preferred replica may lead again get it as leader, if its broker has too
    /// many of the kind.
    pub(super) fn rebalance_leaders(&mut self) {
        let Some(config) = &self.shared.config.zookeeper else { return };
        let (percentage, interval) =
            (config.leader_imbalance_percentage, config.leader_imbalance_check_interval);
        let context = &self.zookeeper_controller().context;
        let misplaced = election::imbalanced(context, percentage);
        let mut steps = Vec::new();
        for (_, partitions) in misplaced {
            let groups = self.in_groups(partitions);
            for group in groups {
                steps.extend(self.preferred_steps(group));
            }
        }
        steps.push(Step::ScheduleRebalance(interval));
        self.do_first(steps);
    }

    pub(super) fn schedule_rebalance(&mut self, cx: &mut BrokerCx<'_>, after: SimDuration) {
        let config = self.shared.config.zookeeper.as_ref();
        if config.is_some_and(|config| config.auto_leader_rebalance) {
            let timer = BrokerTimer::ZooKeeperController(ControllerTimer::Rebalance);
            cx.set_timer_after(timer, after);
        }
    }
}

fn isr_change_paths(answers: &[Answer]) -> Vec<ZnodePath> {
    children(answers).iter().map(|name| paths::isr_changes().child(name)).collect()
}
