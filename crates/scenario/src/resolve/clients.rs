//! Client libraries: which one an application uses, and the configuration that its properties make.

use super::properties::Properties;
use super::{Base, version};
use crate::decode::{Fields, Variant, first_byte, text};
use crate::diagnostic::{Finding, Report};
use acklab_vocab::config::{
    BalancedConsumerConfig, ConsumerConfig, GroupClientConfig, MemberConfig, ProducerConfig,
};
use acklab_vocab::properties::{
    Scope, consumer_config, high_level_consumer_config, java_member_config, java_producer_config,
    java_producer_notes, kafka_python_member_config, kafka_python_producer_config,
    librdkafka_member_config, librdkafka_producer_config, pykafka_consumer_config,
    scala_producer_config,
};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::version::KafkaVersion;
use std::sync::Arc;

/// A client library and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Java(KafkaVersion),
    Librdkafka,
    KafkaPython,
    /// The Scala producer.
    Scala(KafkaVersion),
    /// The high-level consumer.
    HighLevel(KafkaVersion),
    /// pykafka's `BalancedConsumer`.
    Pykafka,
}

const CLIENTS: &[&str] =
    &["Java", "Librdkafka", "KafkaPython", "Scala", "HighLevel", "Pykafka", "Sarama"];

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It writes.
    Producer,
    /// It is a consumer with a `group.id`.
    Group,
    /// It reads alone.
    Reader,
}

impl Client {
    /// The field `client`; by default Java of the brokers' version.
    pub(super) fn of(
        fields: &Fields<'_>,
        base: &Base<'_>,
        role: Role,
        report: &mut Report,
    ) -> Option<Client> {
        let Some(node) = fields.get("client") else {
            return default_client(fields, base, role, report);
        };
        let variant = Variant::of(node, "a client", CLIENTS, report)?;
        let client = match variant.name {
            "Java" => Client::Java(java_version(&variant, base, role, report)?),
            "Librdkafka" => variant.bare(Client::Librdkafka, report)?,
            "KafkaPython" => variant.bare(Client::KafkaPython, report)?,
            "Scala" => Client::Scala(scala_version(&variant, base, report)?),
            "HighLevel" => Client::HighLevel(scala_version(&variant, base, report)?),
            "Pykafka" => pykafka(&variant, report)?,
            other => {
                let finding = Finding::new(format!("the client `{other}` is not yet modelled"))
                    .help("use Java(\"3.9\"), Librdkafka or KafkaPython");
                report.error(variant.word.span, finding);
                return None;
            }
        };
        client.check_role(&variant, role, report)?;
        Some(client)
    }

    fn check_role(self, variant: &Variant<'_>, role: Role, report: &mut Report) -> Option<()> {
        let finding = match (self, role) {
            (Client::Scala(_), Role::Group | Role::Reader) => {
                Finding::new("`Scala` is the producer of 0.8")
                    .help("its consumer is HighLevel(\"0.8.2\")")
            }
            (Client::HighLevel(_) | Client::Pykafka, Role::Producer) => {
                let name = variant.name;
                Finding::new(format!("`{name}` is a consumer"))
                    .help("the producer of 0.8 is Scala(\"0.8.2\")")
            }
            (
                Client::Librdkafka | Client::KafkaPython | Client::HighLevel(_) | Client::Pykafka,
                Role::Reader,
            ) => Finding::new("plain readers use the Java client")
                .help("a group may use Librdkafka, KafkaPython, HighLevel or Pykafka"),
            (Client::Java(_), _)
            | (Client::Librdkafka | Client::KafkaPython, Role::Producer | Role::Group)
            | (Client::Scala(_), Role::Producer)
            | (Client::HighLevel(_) | Client::Pykafka, Role::Group) => return Some(()),
        };
        report.error(variant.span, finding);
        None
    }

    /// Whose properties a producer of it has, and in which version.
    pub(super) const fn producer_scope(self) -> (Scope, KafkaVersion) {
        match self {
            Client::Java(version) => (Scope::Producer, version),
            Client::KafkaPython => (Scope::KafkaPythonProducer, KafkaVersion::NEWEST),
            Client::Scala(version) => (Scope::ScalaProducer, version),
            Client::Librdkafka | Client::HighLevel(_) | Client::Pykafka => {
                (Scope::LibrdkafkaProducer, KafkaVersion::NEWEST)
            }
        }
    }

    /// Whose properties a consumer of it has, and in which version.
    pub(super) const fn consumer_scope(self) -> (Scope, KafkaVersion) {
        match self {
            Client::Java(version) | Client::Scala(version) => (Scope::Consumer, version),
            Client::Librdkafka => (Scope::LibrdkafkaConsumer, KafkaVersion::NEWEST),
            Client::KafkaPython => (Scope::KafkaPythonConsumer, KafkaVersion::NEWEST),
            Client::HighLevel(version) => (Scope::HighLevelConsumer, version),
            Client::Pykafka => (Scope::PykafkaConsumer, KafkaVersion::NEWEST),
        }
    }

    /// Its property that has the library commit by itself.
    pub(super) const fn auto_commit_property(self) -> &'static str {
        match self {
            Client::Java(_) | Client::Librdkafka | Client::KafkaPython | Client::Scala(_) => {
                "enable.auto.commit"
            }
            Client::HighLevel(_) => "auto.commit.enable",
            Client::Pykafka => "auto_commit_enable",
        }
    }

    /// Whether the library commits by itself where nothing is said.
    pub(super) const fn commits_by_default(self) -> bool {
        !matches!(self, Client::Pykafka)
    }
}

/// Java of the brokers' version. A plain reader of 0.8.2, which has no such consumer yet, is one of 0.9 in the place of
/// `SimpleConsumer`.
fn default_client(
    fields: &Fields<'_>,
    base: &Base<'_>,
    role: Role,
    report: &mut Report,
) -> Option<Client> {
    match role {
        Role::Producer => Some(Client::Java(base.kafka)),
        Role::Reader => Some(Client::Java(base.kafka.max(OLDEST_CONSUMER))),
        Role::Group if base.kafka >= OLDEST_CONSUMER => Some(Client::Java(base.kafka)),
        Role::Group => {
            let finding = Finding::new(format!("Java's consumer came with {OLDEST_CONSUMER}"))
                .help("say which: client: HighLevel(\"0.8.2\") or client: Pykafka(\"2.8\")");
            report.error(first_byte(fields.span), finding);
            None
        }
    }
}

/// The version of a Java client that can talk to the brokers.
fn java_version(
    variant: &Variant<'_>,
    base: &Base<'_>,
    role: Role,
    report: &mut Report,
) -> Option<KafkaVersion> {
    let fields = variant.fields(&["version"], report)?;
    let least = match role {
        Role::Producer => KafkaVersion::OLDEST,
        Role::Group | Role::Reader => OLDEST_CONSUMER,
    };
    let (version, place) = match fields.get("version") {
        Some(node) => (version(node, report)?, node.span),
        None => (base.kafka, variant.span),
    };
    let (brokers, newer) = (base.kafka, release(version) > release(base.kafka));
    let refused = if version < least {
        format!("this client begins with {least}")
    } else if brokers >= FIRST_WITHOUT_OLD_CLIENTS && version < OLDEST_CLIENT_OF_4_0 {
        format!("brokers of {brokers} refuse clients older than 2.1 (KIP-896)")
    } else if version >= FIRST_WITHOUT_OLD_CLIENTS && brokers < OLDEST_CLIENT_OF_4_0 {
        format!("clients of {version} refuse brokers older than 2.1 (KIP-896)")
    } else if newer && (version < FIRST_THAT_ADAPTS || brokers < OLDEST_ADAPTED_TO) {
        format!(
            "a client of {version} cannot talk to brokers of {brokers}: only since 0.10.2 do clients \
             talk to older brokers, from 0.10.0 on (KIP-97)"
        )
    } else {
        return Some(version);
    };
    report.error(place, Finding::new(refused));
    None
}

/// What makes a release: two numbers, three before 1.0.
const fn release(version: KafkaVersion) -> (u8, u8, u8) {
    let patch = if version.major == 0 { version.patch } else { 0 };
    (version.major, version.minor, patch)
}

/// The version of one of the clients that are written in Scala: they went with 2.0.
fn scala_version(
    variant: &Variant<'_>,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<KafkaVersion> {
    let fields = variant.fields(&["version"], report)?;
    let (version, place) = match fields.get("version") {
        Some(node) => (version(node, report)?, node.span),
        None => (KafkaVersion::OLDEST, variant.span),
    };
    let brokers = base.kafka;
    let refused = if version >= FIRST_WITHOUT_SCALA_CLIENTS {
        format!("the Scala clients were removed in 2.0: there is none of {version}")
    } else if brokers >= FIRST_WITHOUT_OLD_CLIENTS {
        format!("brokers of {brokers} refuse clients older than 2.1 (KIP-896)")
    } else if release(version) > release(brokers) {
        format!("a Scala client of {version} cannot talk to brokers of {brokers}, which are older")
    } else {
        return Some(version);
    };
    report.error(place, Finding::new(refused));
    None
}

/// `Pykafka("2.8")`: of pykafka, not of Kafka.
fn pykafka(variant: &Variant<'_>, report: &mut Report) -> Option<Client> {
    let fields = variant.fields(&["version"], report)?;
    let Some(node) = fields.get("version") else {
        return Some(Client::Pykafka);
    };
    let written = text(node, "a version of pykafka", report)?;
    if written == PYKAFKA || written.strip_prefix(PYKAFKA).is_some_and(|it| it.starts_with('.')) {
        return Some(Client::Pykafka);
    }
    let finding = Finding::new(format!("acklab models pykafka {PYKAFKA}, not {written}"))
        .help("it is a version of pykafka, not of Kafka");
    report.error(node.span, finding);
    None
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
    let config = match client {
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
        Client::Scala(version) => {
            let rules = base.client_rules(version);
            properties
                .build(report, |pairs| scala_producer_config(version, rules, pairs))
                .map(ProducerConfig::Scala)
        }
        Client::HighLevel(_) | Client::Pykafka => {
            unreachable!("a consumer was refused as a producer")
        }
    }?;
    if config.idempotence() && base.kafka < FIRST_WITH_IDEMPOTENCE {
        let place = properties.place("enable.idempotence").map(|(name, _)| name);
        let place = place.or(fields.get("client").map(|node| node.span));
        let finding = Finding::new(format!(
            "brokers of {} know no idempotent producers, which came with 0.11 (KIP-98)",
            base.kafka
        ))
        .help("set `enable.idempotence` to false");
        report.error(place.unwrap_or(first_byte(fields.span)), finding);
        return None;
    }
    Some(config)
}

/// The configuration of a consumer with a `group.id`.
pub(super) fn group_client_config(
    client: Client,
    properties: &Properties,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<GroupClientConfig> {
    match client {
        Client::Java(version) => {
            let rules = base.client_rules(version);
            let build = |pairs: &[_]| java_member_config(version, rules, pairs);
            properties.build(report, build).map(member)
        }
        Client::Librdkafka => {
            let rules = base.client_rules(KafkaVersion::NEWEST);
            let build = |pairs: &[_]| librdkafka_member_config(rules, pairs);
            properties.build(report, build).map(member)
        }
        Client::KafkaPython => {
            let rules = base
                .client_rules(LIKE_KAFKA_PYTHON)
                .with(ProtocolRule::DisconnectUnknownCoordinator, false);
            let build = |pairs: &[_]| kafka_python_member_config(rules, pairs);
            properties.build(report, build).map(member)
        }
        Client::HighLevel(version) => {
            let rules = base.client_rules(version);
            let build = |pairs: &[_]| high_level_consumer_config(version, rules, pairs);
            properties.build(report, build).map(balanced)
        }
        Client::Pykafka => {
            let rules = base.client_rules(LIKE_PYKAFKA);
            let build = |pairs: &[_]| pykafka_consumer_config(rules, pairs);
            properties.build(report, build).map(balanced)
        }
        Client::Scala(_) => unreachable!("a producer was refused as a consumer"),
    }
}

fn member(config: MemberConfig) -> GroupClientConfig {
    GroupClientConfig::Member(Arc::new(config))
}

fn balanced(config: BalancedConsumerConfig) -> GroupClientConfig {
    GroupClientConfig::Balanced(Arc::new(config))
}

/// The configuration of a plain reader, which uses the Java client.
pub(super) fn reader_config(
    fields: &Fields<'_>,
    base: &Base<'_>,
    report: &mut Report,
) -> Option<ConsumerConfig> {
    let Client::Java(version) = Client::of(fields, base, Role::Reader, report)? else {
        unreachable!("any other client was refused for a reader")
    };
    let properties = Properties::of(fields.get("properties"), Scope::Consumer, version, report)?;
    let rules = base.client_rules(version);
    properties.build(report, |pairs| consumer_config(version, rules, pairs))
}

/// The first with today's consumer; before it there was another program.
const OLDEST_CONSUMER: KafkaVersion = KafkaVersion::new(0, 9, 0);

/// KIP-896.
const OLDEST_CLIENT_OF_4_0: KafkaVersion = KafkaVersion::new(2, 1, 0);
const FIRST_WITHOUT_OLD_CLIENTS: KafkaVersion = KafkaVersion::new(4, 0, 0);

/// KIP-97: the first client that adapts to older brokers, and the oldest that it adapts to.
const FIRST_THAT_ADAPTS: KafkaVersion = KafkaVersion::new(0, 10, 2);
const OLDEST_ADAPTED_TO: KafkaVersion = KafkaVersion::new(0, 10, 0);

/// KIP-98.
const FIRST_WITH_IDEMPOTENCE: KafkaVersion = KafkaVersion::new(0, 11, 0);

const FIRST_WITHOUT_SCALA_CLIENTS: KafkaVersion = KafkaVersion::new(2, 0, 0);

const PYKAFKA: &str = "2.8";

/// kafka-python 2.0.2 speaks the protocol of Java's 1.0: a heartbeat thread, but no MEMBER_ID_REQUIRED, no static
/// members, no leader epochs, no exponential backoff.
const LIKE_KAFKA_PYTHON: KafkaVersion = KafkaVersion::new(1, 0, 0);

/// pykafka 2.8 asks for the first versions of every API, those of 0.8.2.
const LIKE_PYKAFKA: KafkaVersion = KafkaVersion::OLDEST;
