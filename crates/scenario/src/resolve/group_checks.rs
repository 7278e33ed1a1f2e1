//! Groups that could never form, or applications that their library cannot have.

use super::groups::Surroundings;
use crate::decode::{Fields, first_byte};
use crate::diagnostic::{Finding, Report, Span};
use crate::model::Mode;
use acklab_vocab::config::{
    BalancedLibrary, GroupClientConfig, GroupProtocol, MemberConfig, ZooKeeperConfig,
};
use acklab_vocab::properties::negotiated_session_timeout;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::CommitStyle;
use acklab_vocab::version::KafkaVersion;

/// What the brokers would refuse every JoinGroup for, so that the group could never form.
pub(super) fn check_members(
    fields: &Fields<'_>,
    config: &GroupClientConfig,
    assigns_itself: bool,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<()> {
    let Some(config) = config.member().filter(|_| !assigns_itself) else {
        return Some(());
    };
    let place = fields.get("properties").map_or(first_byte(fields.span), |node| node.span);
    let Some(finding) = refused_membership(config, around) else {
        return Some(());
    };
    report.error(place, finding);
    None
}

fn refused_membership(config: &MemberConfig, around: &Surroundings<'_>) -> Option<Finding> {
    let kafka = around.base.kafka();
    if kafka < FIRST_WITH_GROUPS {
        let finding = Finding::new(format!(
            "brokers of {kafka} keep offsets for groups, but no members: that came with 0.9"
        ));
        return Some(finding.help(
            "balance by ZooKeeper (client: HighLevel(\"0.8.2\") or Pykafka(\"2.8\")), or set \
             assign: true",
        ));
    }
    if config.is_static && kafka < FIRST_WITH_STATIC_MEMBERS {
        return Some(Finding::new(format!(
            "brokers of {kafka} know no static members, which came with 2.3 (KIP-345)"
        )));
    }
    let brokers = &around.cluster.broker_config.groups;
    let (least, most) = (brokers.min_session_timeout, brokers.max_session_timeout);
    let session = config.session_timeout;
    match config.protocol {
        GroupProtocol::Consumer if !brokers.consumer_protocol => {
            Some(Finding::new("the brokers do not take part in `group.protocol` consumer").help(
                "add it to their `group.coordinator.rebalance.protocols`: \"classic,consumer\"",
            ))
        }
        GroupProtocol::Classic if !(least..=most).contains(&session) => Some(
            Finding::new(format!(
                "the brokers refuse a `session.timeout.ms` of {session} (INVALID_SESSION_TIMEOUT)"
            ))
            .help(format!(
                "they accept {least} to {most}: `group.min.session.timeout.ms`, \
                 `group.max.session.timeout.ms`"
            )),
        ),
        GroupProtocol::Classic | GroupProtocol::Consumer => None,
    }
}

/// What a consumer that ZooKeeper balances needs, and cannot do. `topics` is how many it reads.
pub(super) fn check_balanced(
    fields: &Fields<'_>,
    config: &GroupClientConfig,
    commit: CommitStyle,
    topics: usize,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<()> {
    let GroupClientConfig::Balanced(config) = config else {
        return Some(());
    };
    let place = |name: &'static str| -> Span {
        fields.get(name).map_or(first_byte(fields.span), |node| node.span)
    };
    let ensemble = match &around.cluster.mode {
        Mode::KRaft { .. } => None,
        Mode::ZooKeeper { config, .. } => Some(config.as_ref()),
    };
    let (place, finding) = if ensemble.is_none() {
        let finding = Finding::new("this consumer needs ZooKeeper, and the cluster has none")
            .help("cluster: (…, mode: ZooKeeper(servers: 3)), with kafka 3.9 or older");
        (place("client"), finding)
    } else if fields.get("assign").is_some() {
        let finding = Finding::new("this consumer has no assign(): it balances by ZooKeeper");
        (place("assign"), finding)
    } else if !BALANCED_COMMITS.contains(&commit) {
        let finding = Finding::new("this library cannot commit like that")
            .help("it has Auto, SyncPerBatch, SyncPerRecord, BeforeProcessing and Never");
        (place("commit"), finding)
    } else if config.library == BalancedLibrary::Pykafka && topics > 1 {
        let finding = Finding::new("pykafka's BalancedConsumer reads one topic");
        (place("topics"), finding)
    } else {
        note_session(config.session_timeout, ensemble, place("client"), report);
        return Some(());
    };
    report.error(place, finding);
    None
}

/// The ensemble gives another session than the one asked for.
fn note_session(
    wanted: SimDuration,
    ensemble: Option<&ZooKeeperConfig>,
    place: Span,
    report: &mut Report,
) {
    let given = ensemble.map_or(wanted, |config| negotiated_session_timeout(config, wanted));
    if given != wanted {
        report.warning(
            place,
            Finding::new(format!("ZooKeeper gives a session of {given} in the place of {wanted}"))
                .help("it allows 2 to 20 times `tickTime`, or what minSessionTimeout and maxSessionTimeout say"),
        );
    }
}

const BALANCED_COMMITS: &[CommitStyle] = &[
    CommitStyle::Auto,
    CommitStyle::SyncPerBatch,
    CommitStyle::SyncPerRecord,
    CommitStyle::BeforeProcessing,
    CommitStyle::Never,
];

/// KIP-345.
const FIRST_WITH_STATIC_MEMBERS: KafkaVersion = KafkaVersion::new(2, 3, 0);

const FIRST_WITH_GROUPS: KafkaVersion = KafkaVersion::new(0, 9, 0);
