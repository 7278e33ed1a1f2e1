//! Kafka's properties: names, defaults by version, ranges and units, and the typed configurations
//! made of them.
//!
//! Mirrors the `ConfigDef` of `KafkaConfig`, `LogConfig`, `ProducerConfig` and `ConsumerConfig`,
//! librdkafka's `rd_kafka_properties` and kafka-python's `DEFAULT_CONFIG`; of the ZooKeeper era, the Scala clients of 0.8,
//! pykafka's `BalancedConsumer`, and `zoo.cfg`. A property is looked up by name and [`Scope`]; one
//! that the named version does not have is an error, as is a value out of range or a combination
//! that the real process refuses to start with.
//!
//! Left out: security, quotas, metrics, log cleaning and tiered storage, which never decide what
//! becomes of a record here. A few such properties that configurations often carry are in the
//! table as not modelled, so that a configuration can be pasted and the caller can say that they
//! change nothing.

mod broker;
mod build;
mod consumer;
mod error;
mod groups;
mod high_level_consumer;
mod java;
mod kafka_python;
mod librdkafka;
mod librdkafka_consumer;
mod producer;
mod pykafka;
mod resolve;
mod scala_producer;
mod topic;
mod zookeeper;

#[cfg(test)]
mod tests;

pub use build::{broker_config, cluster_notes, controller_config, io_threads, topic_defaults};
pub use error::PropertyError;
pub use groups::{InternalTopic, java_member_config, offsets_topic, transactions_topic};
pub use high_level_consumer::high_level_consumer_config;
pub use java::{consumer_config, java_producer_config, java_producer_notes};
pub use kafka_python::{kafka_python_member_config, kafka_python_producer_config};
pub use librdkafka::librdkafka_producer_config;
pub use librdkafka_consumer::librdkafka_member_config;
pub use pykafka::pykafka_consumer_config;
pub use scala_producer::scala_producer_config;
pub use topic::{TopicProperties, inherited_from, topic_config};
pub use zookeeper::{negotiated_session_timeout, zookeeper_config};

use crate::version::KafkaVersion;
use std::fmt;

/// Whose property it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A broker or controller: `server.properties`.
    Broker,
    /// A topic.
    Topic,
    /// The Java producer.
    Producer,
    /// The Java consumer.
    Consumer,
    /// librdkafka's producer.
    LibrdkafkaProducer,
    /// librdkafka's consumer.
    LibrdkafkaConsumer,
    /// kafka-python's producer.
    KafkaPythonProducer,
    /// kafka-python's consumer.
    KafkaPythonConsumer,
    /// The Scala producer of 0.8.
    ScalaProducer,
    /// The high-level consumer of 0.8.
    HighLevelConsumer,
    /// pykafka's `BalancedConsumer`.
    PykafkaConsumer,
    /// A server of the ZooKeeper ensemble: `zoo.cfg`.
    ZooKeeper,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Scope] = &[
        Scope::Broker,
        Scope::Topic,
        Scope::Producer,
        Scope::Consumer,
        Scope::LibrdkafkaProducer,
        Scope::LibrdkafkaConsumer,
        Scope::KafkaPythonProducer,
        Scope::KafkaPythonConsumer,
        Scope::ScalaProducer,
        Scope::HighLevelConsumer,
        Scope::PykafkaConsumer,
        Scope::ZooKeeper,
    ];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Broker => "broker",
            Scope::Topic => "topic",
            Scope::Producer => "producer",
            Scope::Consumer => "consumer",
            Scope::LibrdkafkaProducer => "librdkafka producer",
            Scope::LibrdkafkaConsumer => "librdkafka consumer",
            Scope::KafkaPythonProducer => "kafka-python producer",
            Scope::KafkaPythonConsumer => "kafka-python consumer",
            Scope::ScalaProducer => "Scala producer",
            Scope::HighLevelConsumer => "high-level consumer",
            Scope::PykafkaConsumer => "pykafka consumer",
            Scope::ZooKeeper => "ZooKeeper server",
        })
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Bytes.
    Bytes,
    /// Units of 1,024 bytes.
    Kibibytes,
    /// Things.
    Count,
    /// Hundredths.
    Percent,
}

impl Unit {
    /// Abbreviation: `ms`, `s`, `min`, `B`, `KiB`, nothing for a count, `%`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::Minutes => "min",
            Unit::Bytes => "B",
            Unit::Kibibytes => "KiB",
            Unit::Count => "",
            Unit::Percent => "%",
        }
    }
}

/// What a property's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number in `min..=max`.
    Integer {
        /// What it counts.
        unit: Unit,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number with decimals in `min..=max` (librdkafka's `linger.ms`).
    Decimal {
        /// What it counts.
        unit: Unit,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words, separated by commas.
    List,
    /// Any text.
    Text,
}

/// One property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyDefinition {
    /// Its name, verbatim.
    pub name: &'static str,
    /// Other names of the same property (librdkafka).
    pub aliases: &'static [&'static str],
    /// What its value looks like.
    pub kind: Kind,
    /// Its defaults, oldest first, each with the first version that has it; the first one's
    /// version is the property's first. An empty text stands for `null`.
    pub defaults: &'static [(KafkaVersion, &'static str)],
    /// First version without it.
    pub until: Option<KafkaVersion>,
    /// It has an effect here. A property without one is accepted all the same, see
    /// [`PropertyDefinition::notes`].
    pub modelled: bool,
    /// Kafka does not document it.
    pub internal: bool,
    /// What it does, in a line.
    pub doc: &'static str,
}

impl PropertyDefinition {
    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn until(mut self, version: KafkaVersion) -> Self {
        self.until = Some(version);
        self
    }

    const fn unmodelled(mut self) -> Self {
        self.modelled = false;
        self
    }

    const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// First version that has it.
    #[must_use]
    pub fn since(&self) -> KafkaVersion {
        self.defaults[0].0
    }

    /// Whether `version` has it.
    #[must_use]
    pub fn exists_in(&self, version: KafkaVersion) -> bool {
        version >= self.since() && self.until.is_none_or(|until| version < until)
    }

    /// Its default in `version`, an empty text for `null`; `None` where the version does not have
    /// it.
    #[must_use]
    pub fn default_for(&self, version: KafkaVersion) -> Option<&'static str> {
        if !self.exists_in(version) {
            return None;
        }
        self.defaults.iter().rev().find(|(since, _)| version >= *since).map(|&(_, text)| text)
    }

    /// What a configuration that sets it should be told: that it has no effect here.
    #[must_use]
    pub fn notes(&self) -> Option<String> {
        (!self.modelled).then(|| {
            format!("`{}` is a property of Kafka that acklab accepts but does not model", self.name)
        })
    }
}

/// The properties of one scope, in no particular order.
pub fn table(scope: Scope) -> impl Iterator<Item = &'static PropertyDefinition> {
    let (own, shared): (&[PropertyDefinition], &[PropertyDefinition]) = match scope {
        Scope::Broker => (broker::TABLE, &[]),
        Scope::Topic => (topic::TABLE, &[]),
        Scope::Producer => (producer::TABLE, &[]),
        Scope::Consumer => (consumer::TABLE, &[]),
        Scope::LibrdkafkaProducer => (librdkafka::TABLE, librdkafka::CONNECTION),
        Scope::LibrdkafkaConsumer => (librdkafka_consumer::TABLE, librdkafka::CONNECTION),
        Scope::KafkaPythonProducer => (kafka_python::PRODUCER, kafka_python::CONNECTION),
        Scope::KafkaPythonConsumer => (kafka_python::CONSUMER, kafka_python::CONNECTION),
        Scope::ScalaProducer => (scala_producer::TABLE, &[]),
        Scope::HighLevelConsumer => (high_level_consumer::TABLE, &[]),
        Scope::PykafkaConsumer => (pykafka::TABLE, &[]),
        Scope::ZooKeeper => (zookeeper::TABLE, &[]),
    };
    own.iter().chain(shared)
}

/// The property of that name, or with that alias, in any version.
#[must_use]
pub fn lookup(name: &str, scope: Scope) -> Option<&'static PropertyDefinition> {
    table(scope).find(|definition| definition.name == name || definition.aliases.contains(&name))
}

/// Every property that `version` has in that scope.
pub fn valid_for(
    version: KafkaVersion,
    scope: Scope,
) -> impl Iterator<Item = &'static PropertyDefinition> {
    table(scope).filter(move |definition| definition.exists_in(version))
}

const fn row(
    name: &'static str,
    kind: Kind,
    defaults: &'static [(KafkaVersion, &'static str)],
    doc: &'static str,
) -> PropertyDefinition {
    PropertyDefinition {
        name,
        aliases: &[],
        kind,
        defaults,
        until: None,
        modelled: true,
        internal: false,
        doc,
    }
}

const fn v(major: u8, minor: u8, patch: u8) -> KafkaVersion {
    KafkaVersion::new(major, minor, patch)
}

const ANY: KafkaVersion = KafkaVersion::OLDEST;
const MAX_INT: i64 = i32::MAX as i64;
const MAX_LONG: i64 = i64::MAX;

const fn integer(unit: Unit, min: i64, max: i64) -> Kind {
    Kind::Integer { unit, min, max }
}

/// Java's `int` in milliseconds.
const fn int_ms(min: i64) -> Kind {
    integer(Unit::Milliseconds, min, MAX_INT)
}

/// Java's `long` in milliseconds.
const fn long_ms(min: i64) -> Kind {
    integer(Unit::Milliseconds, min, MAX_LONG)
}

const fn int_bytes(min: i64) -> Kind {
    integer(Unit::Bytes, min, MAX_INT)
}

const fn count(min: i64, max: i64) -> Kind {
    integer(Unit::Count, min, max)
}
