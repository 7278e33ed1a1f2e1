//! Random histories of a group: whatever members do, no partition has two owners, and a group that
//! is left alone settles.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A client that keeps to the protocol.
#[derive(Clone, Debug, Default)]
struct Client {
    epoch: u32,
    /// What it owns: it gives partitions up at once, but tells the coordinator only with its next
    /// heartbeat.
    owned: Vec<u16>,
    joined: bool,
    /// The last answer was lost: the next heartbeat says everything again.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Act {
    Beat(u64),
    LoseAnswer(u64),
    Leave(u64),
    Expire(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let member = 1u64..5;
    prop_oneof![
        12 => member.clone().prop_map(Act::Beat),
        2 => member.clone().prop_map(Act::LoseAnswer),
        1 => member.clone().prop_map(Act::Leave),
        1 => member.prop_map(Act::Expire),
    ]
}

fn beat_once(rig: &mut Rig, client: &mut Client, id: u64, answer_arrives: bool) {
    let request = match client.joined {
        false => join(id),
        true if client.lost => ConsumerGroupHeartbeatRequest {
            epoch: MemberEpoch::Member(Generation(client.epoch)),
            owned: Some(partitions(&client.owned)),
            ..join(id)
        },
        true => owning(id, client.epoch, &client.owned),
    };
    client.lost = !answer_arrives;
    match rig.send(&request) {
        Ok(response) if answer_arrives => {
            client.joined = true;
            client.epoch = response.epoch.0;
            if let Some(assignment) = response.assignment {
                client.owned = assignment.iter().map(|of| of.partition.0).collect();
            }
        }
        Ok(_) => {}
        Err(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
            *client = Client::default();
        }
        Err(error) => panic!("{error}"),
    }
}

fn assert_one_owner(rig: &Rig, clients: &BTreeMap<u64, Client>) {
    let mut owners = BTreeMap::new();
    for (&id, member) in &rig.group.members {
        let CurrentAssignment { assigned, pending_revocation, .. } = &member.current;
        for partition in assigned.iter().chain(pending_revocation.iter()) {
            assert_eq!(owners.insert(*partition, id), None, "{partition:?}");
        }
    }
    assert_eq!(owners, rig.group.owners);
    for (&id, client) in clients {
        let is_member = rig.group.members.contains_key(&MemberId(id));
        for &partition in client.owned.iter().filter(|_| is_member) {
            let partition = TopicPartition::new(0, partition);
            assert_eq!(owners.get(&partition), Some(&MemberId(id)), "{partition:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_partition_has_two_owners_and_the_group_settles(
        acts in prop::collection::vec(act(), 1..60),
        partitions in 1u16..7,
    ) {
        let mut rig = Rig::new(partitions);
        let mut clients: BTreeMap<u64, Client> =
            (1..5).map(|id| (id, Client::default())).collect();
        for act in acts {
            match act {
                Act::Beat(id) => beat_once(&mut rig, clients.get_mut(&id).unwrap(), id, true),
                Act::LoseAnswer(id) => {
                    beat_once(&mut rig, clients.get_mut(&id).unwrap(), id, false);
                }
                Act::Leave(id) => {
                    let _ = rig.send(&leave(id));
                    clients.insert(id, Client::default());
                }
                Act::Expire(id) if rig.group.members.contains_key(&MemberId(id)) => {
                    rig.remove(id, RemovalReason::SessionExpired);
                }
                Act::Expire(_) => {}
            }
            assert_one_owner(&rig, &clients);
        }
        for _ in 0..15 {
            // A client that was fenced is refused until the session of its last life is over.
            for (&id, client) in &clients {
                if !client.joined && rig.group.members.contains_key(&MemberId(id)) {
                    rig.remove(id, RemovalReason::SessionExpired);
                }
            }
            for (&id, client) in &mut clients {
                beat_once(&mut rig, client, id, true);
            }
            assert_one_owner(&rig, &clients);
        }
        prop_assert_eq!(rig.group.state(), GroupState::Stable);
        let owned: usize = clients.values().map(|client| client.owned.len()).sum();
        prop_assert_eq!(owned, usize::from(partitions));
    }
}
