//! `acklab replay`: the whole cluster at one instant.

mod clients;
mod groups;
mod servers;
mod zookeeper;

use crate::args::ReplayArgs;
use crate::failure::{Failure, Status};
use crate::output;
use crate::request::Request;
use crate::text::{BOLD, styled, width, wrapped};
use acklab_runtime::view::{ClusterView, ProcessState};
use acklab_scenario::model::Scenario;
use acklab_vocab::ids::{TopicId, TopicPartition};
use acklab_vocab::time::SimTime;
use std::fmt::{Debug, Display};

/// Runs the seed up to the instant and prints what everybody holds and believes then.
pub fn execute(args: &ReplayArgs) -> Result<Status, Failure> {
    let request = Request::resolve(&args.scenario)?;
    let (view, ended_at) = request.case.view_at(args.seed, args.at)?;
    let outside = |help: String| {
        Failure::with_help(format!("{} is not within the history", exact(args.at)), help)
    };
    let Some(view) = view else {
        return Err(outside(format!("with seed {} it is over at {ended_at}", args.seed)));
    };
    let nobody = view.processes.iter().all(|process| process.machines.is_empty());
    if nobody && args.at < SimTime::ZERO {
        return Err(outside("no process had been started by then".to_owned()));
    }
    output::print(&render(&request.case.scenario, &view, args.seed, width()))?;
    Ok(Status::AsExpected)
}

fn render(scenario: &Scenario, view: &ClusterView, seed: u64, width: usize) -> String {
    let variant = match scenario.variant.as_str() {
        acklab_scenario::BASE => String::new(),
        variant => format!(" · {variant}"),
    };
    let title = styled(BOLD, &format!("{}{variant}", scenario.name));
    let mut text =
        format!("{title} · seed {seed} · Kafka {} · at {}\n", scenario.kafka, exact(view.at));
    text.push_str("\n  faults in force\n");
    if view.faults.is_empty() {
        text.push_str("    none\n");
    }
    for line in view.faults.iter().flat_map(|fault| wrapped(fault, width - 4)) {
        text.push_str(&format!("    {line}\n"));
    }
    let page = Page { scenario, view, width };
    let sections = [
        ("ZooKeeper", zookeeper::servers(&page)),
        ("ZooKeeper sessions", zookeeper::sessions(&page)),
        ("controllers", servers::controllers(&page)),
        ("brokers", servers::brokers(&page)),
        ("brokers and ZooKeeper", zookeeper::brokers(&page)),
        ("partitions", servers::partitions(&page)),
        ("producers", clients::producers(&page)),
        ("transactions of the producers", clients::transactions(&page)),
        ("queues of the producers", clients::queues(&page)),
        ("readers", clients::readers(&page)),
        ("groups", groups::groups(&page)),
        ("groups in ZooKeeper", zookeeper::groups(&page)),
        ("consumers", groups::consumers(&page)),
        ("transactional ids", groups::transactions(&page)),
    ];
    for (heading, section) in sections.iter().filter(|(_, section)| !section.is_empty()) {
        text.push_str(&format!("\n{}\n{section}", styled(BOLD, heading)));
    }
    text
}

/// What every section needs.
struct Page<'a> {
    scenario: &'a Scenario,
    view: &'a ClusterView,
    width: usize,
}

impl Page<'_> {
    /// `orders-0`
    fn partition_name(&self, id: TopicPartition) -> String {
        format!("{}-{}", self.topic_name(id.topic), id.partition)
    }

    fn topic_name(&self, id: TopicId) -> &str {
        let topic = self.scenario.topics.get(usize::from(id.0));
        topic.map_or("?", |topic| topic.name.as_str())
    }

    /// A partition of `__consumer_offsets` or `__transaction_state`.
    fn is_internal(&self, id: TopicPartition) -> bool {
        self.scenario.topics.get(usize::from(id.topic.0)).is_some_and(|topic| topic.internal)
    }

    /// How long ago, as seen from the instant of the view.
    fn ago(&self, at: SimTime) -> String {
        format!("{} ago", crate::text::micros(self.view.at.since(at).as_micros()))
    }

    fn process_state(&self, state: ProcessState) -> String {
        match state {
            ProcessState::Running => "running".to_owned(),
            ProcessState::PausedSince(since) => format!("paused {}", self.ago(since)),
            ProcessState::Dead => "down".to_owned(),
            ProcessState::NoPower => "without power".to_owned(),
        }
    }
}

/// With microseconds if there are any.
fn exact(at: SimTime) -> String {
    if at.0 % 1_000_000 == 0 { at.to_string() } else { format!("{at:#}") }
}

/// What is not there is a dash.
fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

/// `1 2 3`
fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if words.is_empty() { "–".to_owned() } else { words.join(" ") }
}

/// The name of a variant as words, without what it holds: `AwaitReset` is `await reset`.
fn words(variant: &impl Debug) -> String {
    let name = format!("{variant:?}");
    let name = name.split([' ', '(', '{']).next().unwrap_or("");
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(character.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_read_as_words() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its name is read")]
        enum State {
            AwaitReset,
            Stopped(u8),
        }
        assert_eq!(words(&State::AwaitReset), "await reset");
        assert_eq!(words(&State::Stopped(3)), "stopped");
    }
}
