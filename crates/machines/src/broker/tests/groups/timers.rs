//! When the sessions of members begin, and when they do not count.

use super::bench::*;
use acklab_vocab::ids::*;
use acklab_vocab::trace::{RemovalReason, TraceEvent};

/// Members that were removed because nothing was heard of them, since the last look.
fn expired(bench: &mut Bench) -> Vec<MemberId> {
    let facts = bench.group_facts();
    let expired = facts.iter().filter_map(|fact| match fact {
        TraceEvent::MemberRemoved { member, reason: RemovalReason::SessionExpired, .. } => {
            Some(*member)
        }
        _ => None,
    });
    let mut expired: Vec<MemberId> = expired.collect();
    expired.sort_unstable();
    expired
}

/// A new member has 5 minutes while its JoinGroup waits, and its own session from the answer on.
#[test]
fn a_session_begins_with_the_answer_to_the_join() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::new(version(text));
        let mut members = [bench.join_dynamic(1), bench.join_dynamic(2)];
        members.sort_unstable();
        assert_eq!(bench.run_until(6_000).len(), 2, "{text}");
        bench.run_until(15_999);
        assert_eq!(expired(&mut bench), [], "{text}");
        bench.run_until(16_000);
        assert_eq!(expired(&mut bench), members, "{text}: neither has been heard of since");
    }
}

/// While its SyncGroup waits a member does not expire; from the answer on it has its session again.
#[test]
fn a_session_begins_anew_with_the_answer_to_the_sync() {
    for text in ["3.9", "4.1"] {
        let mut bench = Bench::new(version(text));
        let one = bench.join_dynamic(1);
        let two = bench.join_dynamic(2);
        bench.run_until(6_000);
        assert_eq!(bench.ask(2, sync(1, two, &[])), [], "{text}");
        for second in 7..=17 {
            bench.run_until(second * 1_000);
            bench.ask(1, heartbeat(1, one));
        }
        assert_eq!(expired(&mut bench), [], "{text}: it waits");
        bench.ask(1, sync(1, one, &[(one, &[0]), (two, &[1])]));
        for second in 18..=26 {
            bench.run_until(second * 1_000);
            bench.ask(1, heartbeat(1, one));
        }
        assert_eq!(expired(&mut bench), [], "{text}");
        bench.run_until(27_100);
        assert_eq!(expired(&mut bench), [two], "{text}");
    }
}
