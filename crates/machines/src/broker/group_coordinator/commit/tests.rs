//! The order of validation of section 5.4, on tables.

use super::*;
use ErrorCode::{
    CoordinatorNotAvailable, FencedInstanceId, IllegalGeneration, None as Accepted,
    RebalanceInProgress, UnknownMemberId,
};
use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
use acklab_vocab::group::{GroupMetadata, MemberMetadata};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::version::KafkaVersion;

const DYNAMIC: MemberId = MemberId(1);
const STATIC: MemberId = MemberId(2);
const STRANGER: MemberId = MemberId(9);
const INSTANCE: GroupInstanceId = GroupInstanceId(5);
const OTHER_INSTANCE: GroupInstanceId = GroupInstanceId(6);

/// Generation 3, with a dynamic and a static member unless it is empty or dead.
fn group(state: GroupState) -> ClassicGroup {
    let member = |member, instance| MemberMetadata {
        member,
        instance,
        node: NodeId(1),
        session_timeout: SimDuration::from_secs(10),
        rebalance_timeout: SimDuration::from_secs(60),
        subscription: Arc::default(),
        assignment: Arc::default(),
    };
    let members = match state {
        Empty => Vec::new(),
        _ => vec![member(DYNAMIC, None), member(STATIC, Some(INSTANCE))],
    };
    let stored = GroupMetadata {
        generation: Generation(3),
        protocol: None,
        leader: None,
        members,
        at: SimTime::ZERO,
    };
    let mut group = ClassicGroup::loaded(GroupId(0), &stored);
    group.state = state;
    group
}

fn identity(
    generation: Option<u32>,
    member: Option<MemberId>,
    instance: Option<GroupInstanceId>,
) -> CommitIdentity {
    CommitIdentity { generation: generation.map(Generation), member, instance }
}

#[track_caller]
fn check(states: &[GroupState], identity: CommitIdentity, expected: ErrorCode) {
    for &state in states {
        let judged = validate_commit(&group(state), identity, false);
        assert_eq!(judged.err().unwrap_or_default(), expected, "{state:?} {identity:?}");
    }
}

const WITH_MEMBERS: [GroupState; 3] = [PreparingRebalance, CompletingRebalance, Stable];

#[test]
fn a_dead_group_sends_everybody_to_look_for_the_coordinator() {
    check(&[Dead], identity(Some(3), Some(DYNAMIC), None), CoordinatorNotAvailable);
    check(&[Dead], identity(None, None, None), CoordinatorNotAvailable);
}

#[test]
fn who_is_no_member_may_commit_to_an_empty_group_only() {
    check(&[Empty], identity(None, None, None), Accepted);
    // Even with a member id: only the generation counts there.
    check(&[Empty], identity(None, Some(STRANGER), None), Accepted);
    check(&WITH_MEMBERS, identity(None, None, None), UnknownMemberId);
}

#[test]
fn a_member_is_looked_for_before_its_generation() {
    check(&[Empty], identity(Some(3), Some(DYNAMIC), None), UnknownMemberId);
    check(&WITH_MEMBERS, identity(Some(3), Some(STRANGER), None), UnknownMemberId);
    check(&WITH_MEMBERS, identity(Some(2), Some(STRANGER), None), UnknownMemberId);
    check(&WITH_MEMBERS, identity(Some(3), None, None), UnknownMemberId);
    check(&WITH_MEMBERS, identity(Some(2), Some(DYNAMIC), None), IllegalGeneration);
    check(&WITH_MEMBERS, identity(Some(4), Some(DYNAMIC), None), IllegalGeneration);
    check(&WITH_MEMBERS, identity(None, Some(DYNAMIC), None), IllegalGeneration);
}

#[test]
fn an_instance_is_looked_for_before_the_member() {
    check(&WITH_MEMBERS, identity(Some(2), Some(STRANGER), Some(INSTANCE)), FencedInstanceId);
    check(&WITH_MEMBERS, identity(Some(3), Some(DYNAMIC), Some(INSTANCE)), FencedInstanceId);
    check(&WITH_MEMBERS, identity(Some(3), None, Some(INSTANCE)), FencedInstanceId);
    check(&WITH_MEMBERS, identity(Some(3), Some(STATIC), Some(OTHER_INSTANCE)), UnknownMemberId);
    check(&WITH_MEMBERS, identity(Some(2), Some(STATIC), Some(INSTANCE)), IllegalGeneration);
}

#[test]
fn the_state_is_looked_at_last() {
    for (member, instance) in [(DYNAMIC, None), (STATIC, Some(INSTANCE))] {
        let member = identity(Some(3), Some(member), instance);
        check(&[PreparingRebalance, Stable], member, Accepted);
        check(&[CompletingRebalance], member, RebalanceInProgress);
    }
}

/// In a transaction a missing identity is not checked, nor the state.
#[test]
fn a_transaction_may_commit_without_identity_and_in_every_state() {
    for state in WITH_MEMBERS {
        let judge = |identity| validate_commit(&group(state), identity, true);
        assert_eq!(judge(identity(None, None, None)), Ok(()), "{state:?}");
        assert_eq!(judge(identity(Some(3), Some(DYNAMIC), None)), Ok(()), "{state:?}");
        assert_eq!(
            judge(identity(Some(2), Some(DYNAMIC), None)),
            Err(IllegalGeneration),
            "{state:?}"
        );
        assert_eq!(
            judge(identity(Some(3), Some(STRANGER), None)),
            Err(UnknownMemberId),
            "{state:?}"
        );
    }
}

#[test]
fn an_unknown_group_takes_who_is_no_member() {
    let old = ProtocolRules::of(KafkaVersion::new(3, 9, 0));
    let new = ProtocolRules::of(KafkaVersion::new(4, 0, 0));
    let member = identity(Some(3), Some(DYNAMIC), None);
    for (rules, understands, error) in [
        (old, true, IllegalGeneration),
        (old, false, IllegalGeneration),
        (new, false, IllegalGeneration),
        (new, true, ErrorCode::GroupIdNotFound),
    ] {
        assert_eq!(validate_commit_to_unknown(rules, member, understands), Err(error));
        let nobody = CommitIdentity::default();
        assert_eq!(validate_commit_to_unknown(rules, nobody, understands), Ok(()));
    }
}

#[test]
fn a_failed_write_is_told_in_the_clients_words() {
    let classic = ProtocolRules::of(KafkaVersion::new(3, 9, 0));
    let event_loop = ProtocolRules::of(KafkaVersion::new(4, 1, 0));
    for (error, told, told_by_event_loop) in [
        (ErrorCode::UnknownTopicOrPartition, CoordinatorNotAvailable, CoordinatorNotAvailable),
        (ErrorCode::NotEnoughReplicas, CoordinatorNotAvailable, CoordinatorNotAvailable),
        (ErrorCode::NotEnoughReplicasAfterAppend, CoordinatorNotAvailable, CoordinatorNotAvailable),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator, ErrorCode::NotCoordinator),
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator, ErrorCode::NotCoordinator),
        (ErrorCode::RequestTimedOut, ErrorCode::RequestTimedOut, CoordinatorNotAvailable),
        (
            ErrorCode::MessageTooLarge,
            ErrorCode::InvalidCommitOffsetSize,
            ErrorCode::UnknownServerError,
        ),
        (
            ErrorCode::RecordListTooLarge,
            ErrorCode::InvalidCommitOffsetSize,
            ErrorCode::UnknownServerError,
        ),
        (ErrorCode::InvalidTxnState, ErrorCode::InvalidTxnState, ErrorCode::InvalidTxnState),
        (
            ErrorCode::NetworkException,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorLoadInProgress,
        ),
    ] {
        assert_eq!(write_error(classic, error), told, "{error}");
        assert_eq!(write_error(event_loop, error), told_by_event_loop, "{error}");
    }
}
