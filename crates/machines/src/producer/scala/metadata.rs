//! What the producer knows of topics, and how it asks: a random broker of its list, and the next one if that fails
//! (`BrokerPartitionInfo`, `ClientUtils.fetchTopicMetadata`).

use super::ScalaProducer;
use super::handler::Step;
use crate::producer::ProducerCx;
use acklab_vocab::api::{Endpoint, Listener, MetadataRequest, MetadataResponse, Request};
use acklab_vocab::ids::{BrokerId, ConnectionId, CorrelationId, TopicId};
use acklab_vocab::time::SimTime;
use std::collections::VecDeque;

/// A question for metadata, on a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Refresh {
    topics: Vec<TopicId>,
    /// Whom to ask if this fails.
    left: VecDeque<Endpoint>,
    /// The connection to whom is asked now, and the question if it has been sent.
    asked: Option<(ConnectionId, Option<CorrelationId>)>,
    /// When the thread gives that broker up.
    pub deadline: SimTime,
    /// Where the handler goes on.
    pub then: Box<Step>,
}

/// The partitions of a topic, by index, and their leaders.
#[derive(Clone, Debug)]
pub(super) struct TopicInfo {
    pub topic: TopicId,
    pub leaders: Vec<Option<BrokerId>>,
}

impl Refresh {
    /// The connection on which the answer is awaited.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.asked.map(|(connection, _)| connection)
    }
}

impl ScalaProducer {
    /// The partitions of a topic, if any broker has named them.
    pub(super) fn topic_info(&self, topic: TopicId) -> Option<&TopicInfo> {
        self.topics.iter().find(|known| known.topic == topic)
    }

    /// Asks the brokers of the list, shuffled, one after the other; then the handler goes on with `then`.
    pub(super) fn refresh(
        &mut self,
        cx: &mut ProducerCx<'_>,
        topics: Vec<TopicId>,
        then: Step,
    ) -> Step {
        let mut shuffled: Vec<Endpoint> = self.bootstrap.iter().map(|&(_, to)| to).collect();
        for at in (1..shuffled.len()).rev() {
            let other = cx.rng().below(at as u64 + 1) as usize;
            shuffled.swap(at, other);
        }
        let refresh = Refresh {
            topics,
            left: shuffled.into(),
            asked: None,
            deadline: SimTime::NEVER,
            then: Box::new(then),
        };
        self.ask_next(cx, refresh)
    }

    /// Asks the next broker. After the last one the error is swallowed: the handler goes on with what it knows.
    pub(super) fn ask_next(&mut self, cx: &mut ProducerCx<'_>, mut refresh: Refresh) -> Step {
        if let Some((connection, _)) = refresh.asked.take() {
            cx.close(connection);
        }
        let Some(endpoint) = refresh.left.pop_front() else { return *refresh.then };
        refresh.asked = Some((cx.connect(endpoint), None));
        refresh.deadline = cx.now() + self.config.request_timeout;
        Step::Refreshing(refresh)
    }

    pub(super) fn send_question(&mut self, cx: &mut ProducerCx<'_>, refresh: &mut Refresh) {
        if let Some((connection, asked @ None)) = &mut refresh.asked {
            let topics = refresh.topics.iter().copied().collect();
            let request = Request::Metadata(MetadataRequest { topics });
            *asked = Some(self.channels.request(cx, *connection, request));
            refresh.deadline = cx.now() + self.config.request_timeout;
        }
    }

    /// Takes an answer over, and makes new channels to every leader that it names.
    pub(super) fn learn(
        &mut self,
        cx: &mut ProducerCx<'_>,
        refresh: Refresh,
        answer: &MetadataResponse,
    ) -> Step {
        if let Some((connection, _)) = refresh.asked {
            cx.close(connection);
        }
        let mut leaders: Vec<(BrokerId, Endpoint)> = Vec::new();
        for &topic in &refresh.topics {
            let own = answer.partitions.iter().filter(|own| own.partition.topic == topic);
            let known: Vec<Option<BrokerId>> = own
                .map(|own| {
                    let leader = own.leader?;
                    let (_, node) = answer.brokers.iter().find(|(broker, _)| *broker == leader)?;
                    leaders.push((leader, Endpoint { node: *node, listener: Listener::Broker }));
                    Some(leader)
                })
                .collect();
            if !known.is_empty() {
                self.topics.retain(|old| old.topic != topic);
                self.topics.push(TopicInfo { topic, leaders: known });
            }
        }
        leaders.sort_unstable();
        leaders.dedup();
        self.channels.renew(cx, &leaders);
        *refresh.then
    }
}
