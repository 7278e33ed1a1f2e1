//! Client libraries: which one an application uses, and the configuration that its properties make.

use super::properties::Properties;
use super::{Base, version};
use crate::decode::{Fields, Variant, first_byte};
use crate::diagnostic::{Finding, Report};
use acklab_vocab::config::{ConsumerConfig, MemberConfig, ProducerConfig};
use acklab_vocab::properties::{
    Scope, consumer_config, java_member_config, java_producer_config, java_producer_notes,
    kafka_python_member_config, kafka_python_producer_config, librdkafka_member_config,
    librdkafka_producer_config,
};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::version::KafkaVersion;

/// A client library and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Java(KafkaVersion),
    Librdkafka,
    KafkaPython,
}

const CLIENTS: &[&str] = &["Java", "Librdkafka", "KafkaPython", "Pykafka", "Sarama"];

impl Client {
    /// The field `client`; by default Java of the brokers' version.
    pub(super) fn of(
        fields: &Fields<'_>,
        base: &Base<'_>,
        oldest: KafkaVersion,
        report: &mut Report,
    ) -> Option<Client> {
        let Some(node) = fields.get("client") else {
            return Some(Client::Java(base.kafka));
        };
        let variant = Variant::of(node, "a client", CLIENTS, report)?;
        match variant.name {
            "Java" => {
                let fields = variant.fields(&["version"], report)?;
                let Some(node) = fields.get("version") else {
                    return Some(Client::Java(base.kafka));
                };
                let version = version(node, report)?;
                let drops_old = base.kafka >= KafkaVersion::new(4, 0, 0);
                let refused = if version < oldest {
                    format!("this client begins with {oldest}")
                } else if drops_old && version < OLDEST_CLIENT_OF_4_0 {
                    format!("brokers of {} refuse clients older than 2.1 (KIP-896)", base.kafka)
                } else {
                    return Some(Client::Java(version));
                };
                report.error(node.span, Finding::new(refused));
                None
            }
            "Librdkafka" => variant.bare(Client::Librdkafka, report),
            "KafkaPython" => variant.bare(Client::KafkaPython, report),
            other => {
                let finding = Finding::new(format!("the client `{other}` is not yet modelled"))
                    .help("use Java(\"3.9\"), Librdkafka or KafkaPython");
                report.error(variant.word.span, finding);
                None
            }
        }
    }

    /// Whose properties a producer of it has, and in which version.
    pub(super) const fn producer_scope(self) -> (Scope, KafkaVersion) {
        match self {
            Client::Java(version) => (Scope::Producer, version),
            Client::Librdkafka => (Scope::LibrdkafkaProducer, KafkaVersion::NEWEST),
            Client::KafkaPython => (Scope::KafkaPythonProducer, KafkaVersion::NEWEST),
        }
    }

    /// Whose properties a consumer of it has, and in which version.
    pub(super) const fn consumer_scope(self) -> (Scope, KafkaVersion) {
        match self {
            Client::Java(version) => (Scope::Consumer, version),
            Client::Librdkafka => (Scope::LibrdkafkaConsumer, KafkaVersion::NEWEST),
            Client::KafkaPython => (Scope::KafkaPythonConsumer, KafkaVersion::NEWEST),
        }
    }
}

/// A producer's configuration. `span` is where it stands.
pub(super) fn producer_config(
    client: Client,
    fields: &Fields<'_>,
    properties: &Properties,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<ProducerConfig> {
    if let (Client::Librdkafka, Some((place, _))) = (client, properties.place("transactional.id")) {
        let finding = Finding::new("transactions of librdkafka are not yet modelled")
            .help("use the Java client");
        report.error(place, finding);
        return None;
    }
    match client {
        Client::Java(version) => {
            let rules = base.client_rules(version);
            let (config, notes) = properties.build(report, |pairs| {
                Ok((
                    java_producer_config(version, rules, pairs)?,
                    java_producer_notes(version, pairs)?,
                ))
            })?;
            for (name, note) in notes {
                // Of what turns idempotence off, Java warns of too many in flight only; acks=1 is
                // every day's choice.
                if !["acks", "retries"].contains(&name) {
                    let start = first_byte(fields.span);
                    let place = properties.place(name).map_or(start, |(_, value)| value);
                    report.warning(place, Finding::new(note));
                }
            }
            Some(ProducerConfig::Java(config))
        }
        Client::Librdkafka => {
            let rules = base.client_rules(KafkaVersion::NEWEST);
            properties
                .build(report, |pairs| librdkafka_producer_config(rules, pairs))
                .map(ProducerConfig::Librdkafka)
        }
        Client::KafkaPython => {
            let rules = base.client_rules(LIKE_KAFKA_PYTHON);
            properties
                .build(report, |pairs| kafka_python_producer_config(rules, pairs))
                .map(ProducerConfig::Java)
        }
    }
}

/// The configuration of a member of a group.
pub(super) fn member_config(
    client: Client,
    properties: &Properties,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<MemberConfig> {
    match client {
        Client::Java(version) => {
            let rules = base.client_rules(version);
            properties.build(report, |pairs| java_member_config(version, rules, pairs))
        }
        Client::Librdkafka => {
            let rules = base.client_rules(KafkaVersion::NEWEST);
            properties.build(report, |pairs| librdkafka_member_config(rules, pairs))
        }
        Client::KafkaPython => {
            let rules = base
                .client_rules(LIKE_KAFKA_PYTHON)
                .with(ProtocolRule::DisconnectUnknownCoordinator, false);
            properties.build(report, |pairs| kafka_python_member_config(rules, pairs))
        }
    }
}

/// The configuration of a plain reader, which uses the Java client.
pub(super) fn reader_config(
    fields: &Fields<'_>,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<ConsumerConfig> {
    let Client::Java(version) = Client::of(fields, base, OLDEST_CONSUMER, report)? else {
        let place = fields.get("client").map_or(fields.span, |node| node.span);
        let finding = Finding::new("plain readers use the Java client")
            .help("a group may use Librdkafka or KafkaPython");
        report.error(place, finding);
        return None;
    };
    let properties = Properties::of(fields.get("properties"), Scope::Consumer, version, report)?;
    let rules = base.client_rules(version);
    properties.build(report, |pairs| consumer_config(version, rules, pairs))
}

/// The first with today's consumer; before it there was another program.
pub(super) const OLDEST_CONSUMER: KafkaVersion = KafkaVersion::new(0, 9, 0);

/// KIP-896.
const OLDEST_CLIENT_OF_4_0: KafkaVersion = KafkaVersion::new(2, 1, 0);

/// kafka-python 2.0.2 speaks the protocol of Java's 1.0: a heartbeat thread, but no MEMBER_ID_REQUIRED, no static
/// members, no leader epochs, no exponential backoff.
const LIKE_KAFKA_PYTHON: KafkaVersion = KafkaVersion::new(1, 0, 0);
