//! What happens to groups and transactions, each in a line; what happens again and again is folded
//! into its first line.

use acklab_vocab::api::LeaveReason;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupId, MemberId, NodeId, TransactionalId};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{
    ApplicationReaction, ClientException, RebalanceReason, RemovalReason, RunHeader, Stamped,
    TraceEvent, ZooKeeperState,
};
use acklab_vocab::transaction::TransactionState;
use std::collections::BTreeMap;

use super::Timeline;
use crate::groups::Groups;
use crate::groups::application::exception;
use crate::names;

/// So many rebalances of one group have a line of their own.
const REBALANCES_SHOWN: u64 = 24;
/// What happens again within so long is folded.
const FOLD_WITHIN: SimDuration = SimDuration::from_secs(10);

/// What is known of groups, for the words of the timeline.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    /// The process of each member id that was ever stated.
    nodes: BTreeMap<MemberId, NodeId>,
    /// Who coordinates each group.
    coordinators: BTreeMap<GroupId, NodeId>,
    /// A member was removed by the event that is being looked at.
    removal: Option<(SimTime, String)>,
    /// Lines of rebalances, to be completed at the end.
    rebalances: Vec<(usize, GroupId, SimTime)>,
    rebalances_seen: BTreeMap<GroupId, (u64, SimTime)>,
    folds: BTreeMap<FoldKey, Fold>,
}

/// What is folded: the same thing done to or by the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FoldKey {
    Refused(NodeId, ErrorCode),
    Failed(NodeId, ApplicationReaction),
    Reset(NodeId),
    Aborted(TransactionalId),
    ZooKeeper(NodeId, ZooKeeperState),
    Balance(NodeId),
    Raised(NodeId, ClientException),
}

#[derive(Clone, Copy, Debug)]
struct Fold {
    line: Option<usize>,
    count: u64,
    last: SimTime,
}

impl Consumers {
    /// Takes note of who is who, before time zero too.
    pub(super) fn learn(&mut self, stamped: &Stamped) {
        match &stamped.event {
            TraceEvent::MemberJoined { member, member_node, .. } => {
                self.nodes.insert(*member, *member_node);
            }
            TraceEvent::GroupStateChanged { group, .. } if stamped.at < SimTime::ZERO => {
                self.coordinators.insert(*group, stamped.node);
            }
            _ => {}
        }
    }

    pub(super) fn take_removal(&mut self) -> Option<(SimTime, String)> {
        self.removal.take()
    }

    fn name(&self, header: &RunHeader, member: Option<MemberId>) -> String {
        let node = member.and_then(|member| self.nodes.get(&member));
        node.map_or_else(|| "a member".to_owned(), |&node| names::node(header, node))
    }
}

impl Timeline {
    pub(super) fn observe_consumers(&mut self, header: &RunHeader, stamped: &Stamped) {
        let at = stamped.at;
        match &stamped.event {
            TraceEvent::RebalanceStarted { group, reason, member, .. } => {
                self.coordinated(header, stamped, *group);
                self.consumers.removal = None;
                self.rebalance(header, at, *group, *reason, *member);
            }
            TraceEvent::MemberRemoved { group, member_node, reason, .. } => {
                let why = match reason {
                    RemovalReason::SessionExpired => "silent for its session",
                    RemovalReason::RebalanceTimeout => "it did not join in time",
                    RemovalReason::SyncTimeout => "it did not ask for its assignment in time",
                    RemovalReason::Left(LeaveReason::PollTimeout) => {
                        "poll() was not called in time"
                    }
                    RemovalReason::Replaced => "another process has its group.instance.id",
                    RemovalReason::GroupFull => "the group is full",
                    RemovalReason::Left(_) | RemovalReason::PendingExpired => return,
                };
                let coordinator = names::node(header, stamped.node);
                let (member, group) =
                    (names::node(header, *member_node), names::group(header, *group));
                let text = format!("{coordinator} removes {member} from {group}: {why}");
                self.consumers.removal = Some((at, text));
            }
            TraceEvent::GroupStateChanged { group, .. }
            | TraceEvent::OffsetsCommitted { group, from: None, .. } => {
                self.coordinated(header, stamped, *group);
            }
            TraceEvent::CommitAnswered { from, error, group, .. } if !error.is_none() => {
                let (member, coordinator) =
                    (names::node(header, *from), names::node(header, stamped.node));
                let group = names::group(header, *group);
                let text = format!("{coordinator} refuses {member}'s commit for {group}: {error}");
                self.fold(FoldKey::Refused(*from, *error), at, text);
            }
            TraceEvent::ApplicationFailed { failure, error, reaction } => {
                let what = match reaction {
                    ApplicationReaction::Stopped => "stops",
                    ApplicationReaction::Resubscribed => "subscribes anew",
                    ApplicationReaction::Ignored => "goes on",
                };
                let why = failure.map_or_else(|| error.to_string(), |of| exception(of).to_owned());
                let text = format!("{} {what} after {why}", names::node(header, stamped.node));
                self.fold(FoldKey::Failed(stamped.node, *reaction), at, text);
            }
            TraceEvent::PositionReset { .. } | TraceEvent::TransactionStateChanged { .. } => {
                self.observe_reset_or_abort(header, stamped);
            }
            _ => {}
        }
    }

    fn observe_reset_or_abort(&mut self, header: &RunHeader, stamped: &Stamped) {
        let at = stamped.at;
        match &stamped.event {
            TraceEvent::PositionReset { partition, from, to, .. } => {
                let node = header.nodes.get(usize::from(stamped.node.0));
                if node.is_none_or(|node| node.member.is_none()) {
                    return;
                }
                let from = from
                    .map_or_else(String::new, |from| format!(" from {}", names::grouped(from.0)));
                let text = format!(
                    "{} is put{from} to {} on {}",
                    names::node(header, stamped.node),
                    names::grouped(to.0),
                    names::partition(header, *partition)
                );
                self.fold(FoldKey::Reset(stamped.node), at, text);
            }
            TraceEvent::TransactionStateChanged {
                transactional_id,
                state: TransactionState::PrepareAbort | TransactionState::PrepareEpochFence,
                by_coordinator: true,
                ..
            } => {
                let name = header.transactional_ids.get(usize::from(transactional_id.0));
                let text = format!(
                    "{} aborts the transaction of {}",
                    names::node(header, stamped.node),
                    name.map_or("a producer", String::as_str)
                );
                self.fold(FoldKey::Aborted(*transactional_id), at, text);
            }
            _ => {}
        }
    }

    /// A broker speaks as the coordinator of a group.
    fn coordinated(&mut self, header: &RunHeader, stamped: &Stamped, group: GroupId) {
        let before = self.consumers.coordinators.insert(group, stamped.node);
        if before.is_some_and(|before| before != stamped.node) {
            let (node, group) = (names::node(header, stamped.node), names::group(header, group));
            self.line(stamped.at, format!("{node} now coordinates {group}"), None);
        }
    }

    fn rebalance(
        &mut self,
        header: &RunHeader,
        at: SimTime,
        group: GroupId,
        reason: RebalanceReason,
        member: Option<MemberId>,
    ) {
        let seen = self.consumers.rebalances_seen.entry(group).or_insert((0, at));
        *seen = (seen.0 + 1, at);
        if seen.0 > REBALANCES_SHOWN {
            return;
        }
        let who = self.consumers.name(header, member);
        let why = match reason {
            RebalanceReason::MemberJoined => format!("{who} joined"),
            RebalanceReason::MemberRejoined => format!("{who} joined again"),
            RebalanceReason::LeaderRejoined => format!("its leader, {who}, joined again"),
            RebalanceReason::MemberLeft(LeaveReason::Closed) => format!("{who} closed"),
            RebalanceReason::MemberLeft(LeaveReason::Unsubscribed) => {
                format!("{who} gave up its subscription")
            }
            RebalanceReason::MemberLeft(LeaveReason::PollTimeout) => {
                format!("{who} had not called poll() for max.poll.interval.ms")
            }
            RebalanceReason::SessionExpired => format!("{who} was silent for its session"),
            RebalanceReason::RebalanceTimeout => format!("{who} did not join in time"),
            RebalanceReason::StaticMemberReplaced => format!("{who} came back as another process"),
            RebalanceReason::AssignmentNotStored => "the assignment was not stored".to_owned(),
            RebalanceReason::MetadataChanged => "its topics changed".to_owned(),
        };
        let text = format!("{} rebalances: {why}", names::group(header, group));
        if let Some(line) = self.line(at, text, None) {
            self.consumers.rebalances.push((line, group, at));
        }
    }

    /// Adds a line, or counts it in an earlier one.
    pub(super) fn fold(&mut self, key: FoldKey, at: SimTime, text: String) {
        if let Some(fold) = self.consumers.folds.get_mut(&key)
            && at.since(fold.last) <= FOLD_WITHIN
        {
            fold.count += 1;
            fold.last = at;
            let aside = format!("{} times until {at}", names::grouped(fold.count));
            if let Some(entry) = fold.line.and_then(|line| self.entries.get_mut(line)) {
                entry.aside = Some(aside);
            }
            return;
        }
        let line = self.line(at, text, None);
        self.consumers.folds.insert(key, Fold { line, count: 1, last: at });
    }

    /// Says how long each rebalance took, and how many were not shown.
    pub(super) fn finish_consumers(&mut self, groups: &Groups, header: &RunHeader) {
        for (line, id, at) in std::mem::take(&mut self.consumers.rebalances) {
            let Some(group) = groups.groups.get(usize::from(id.0)) else { continue };
            let rebalance = group.rebalances.list.iter().find(|of| of.at == at);
            let aside = rebalance.and_then(|of| of.took).map(|took| {
                let members = rebalance.map_or(0, |of| u64::from(of.members));
                format!("{}, {}", names::seconds(took), names::counted(members, "member"))
            });
            self.entries[line].aside = Some(aside.unwrap_or_else(|| "not completed".to_owned()));
        }
        for (group, (count, last)) in std::mem::take(&mut self.consumers.rebalances_seen) {
            if count > REBALANCES_SHOWN {
                let more = names::counted(count - REBALANCES_SHOWN, "rebalance");
                let text = format!("{}: {more} more until here", names::group(header, group));
                self.line(last, text, None);
            }
        }
        self.entries.sort_by_key(|entry| entry.at);
    }
}
