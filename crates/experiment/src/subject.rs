//! Which record to explain: `shop#4711`, `orders-0@1234` or `orders-0@1234:5`.

use acklab_scenario::diagnostic::nearest;
use acklab_scenario::model::Scenario;
use acklab_vocab::ids::{LeaderEpoch, Offset, ProducerIndex, RecordId, TopicPartition};
use std::str::FromStr;

/// A record, by its own name or by the place of one of its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `producer#sequence`
    Record(RecordId),
    /// `topic-partition@offset`, and `:epoch` where several leaders wrote there.
    Copy {
        /// In which partition.
        partition: TopicPartition,
        /// At which offset.
        offset: Offset,
        /// Written under which leader epoch; the copy at rest, or else the last one written there,
        /// if it is not given.
        epoch: Option<LeaderEpoch>,
    },
}

/// Why a text names no record of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It does not look like one.
    #[error(
        "`{0}` is not a record: write shop#4711, orders-0@1234 or orders-0@1234:5 (with its leader epoch)"
    )]
    NotARecord(String),
    /// There is no such producer.
    #[error("there is no producer `{name}`{}", suggestion(name, known))]
    NoProducer {
        /// As written.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no such topic.
    #[error("there is no topic `{name}`{}", suggestion(name, known))]
    NoTopic {
        /// As written.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The topic has fewer partitions.
    #[error("there is no partition {partition} of `{topic}`: it has {count}, counted from 0")]
    NoPartition {
        /// The topic.
        topic: String,
        /// As written.
        partition: u64,
        /// How many there are.
        count: usize,
    },
}

fn suggestion(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(other) => format!("; did you mean `{other}`?"),
        None => format!("; the scenario has {}", known.join(", ")),
    }
}

impl Subject {
    /// The record of a scenario that a text names. Whether it was ever created shows only in a run.
    ///
    /// # Errors
    /// Every variant of [`SubjectError`].
    pub fn parse(text: &str, scenario: &Scenario) -> Result<Subject, SubjectError> {
        let wrong = || SubjectError::NotARecord(text.to_owned());
        if let Some((producer, sequence)) = text.rsplit_once('#') {
            let sequence = number(sequence).ok_or_else(wrong)?;
            return Ok(Subject::Record(record(producer, sequence, scenario)?));
        }
        let (place, offset) = text.rsplit_once('@').ok_or_else(wrong)?;
        let (offset, epoch) = match offset.split_once(':') {
            Some((offset, epoch)) => (offset, Some(LeaderEpoch(number(epoch).ok_or_else(wrong)?))),
            None => (offset, None),
        };
        let offset = Offset(number(offset).ok_or_else(wrong)?);
        let (topic, index) = place.rsplit_once('-').ok_or_else(wrong)?;
        let index = number(index).ok_or_else(wrong)?;
        Ok(Subject::Copy { partition: partition(topic, index, scenario)?, offset, epoch })
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    // As printed: with or without groups of thousands.
    let digits = text.replace([',', '_'], "");
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn record(name: &str, sequence: u32, scenario: &Scenario) -> Result<RecordId, SubjectError> {
    let names = scenario.producers.iter().map(|producer| &producer.name);
    match names.clone().position(|producer| producer == name) {
        Some(index) => Ok(RecordId { producer: ProducerIndex(index as u16), sequence }),
        None => {
            Err(SubjectError::NoProducer { name: name.to_owned(), known: names.cloned().collect() })
        }
    }
}

fn partition(name: &str, index: u64, scenario: &Scenario) -> Result<TopicPartition, SubjectError> {
    let names = scenario.topics.iter().map(|topic| &topic.name);
    let Some(topic) = names.clone().position(|topic| topic == name) else {
        let known = names.cloned().collect();
        return Err(SubjectError::NoTopic { name: name.to_owned(), known });
    };
    let count = scenario.topics[topic].assignments.len();
    match u16::try_from(index) {
        Ok(partition) if usize::from(partition) < count => {
            Ok(TopicPartition::new(topic as u16, partition))
        }
        Ok(_) | Err(_) => {
            Err(SubjectError::NoPartition { topic: name.to_owned(), partition: index, count })
        }
    }
}
