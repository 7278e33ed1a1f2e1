//! What a judge has to know before the first fact: the names and promises of a run, from its scenario.

use acklab_scenario::model::Scenario;
use acklab_vocab::ids::{BrokerId, ControllerId, TopicId};
use acklab_vocab::trace::{
    GroupHeader, NodeHeader, ProducerHeader, ReaderHeader, RunHeader, TopicHeader,
};

/// Whether a process is a server's: a broker's, a controller's or one of ZooKeeper's.
pub(crate) fn is_server(node: &NodeHeader) -> bool {
    node.broker.is_some() || node.controller.is_some() || node.zookeeper.is_some()
}

/// Names and promises of a run. Servers come before clients.
pub(crate) fn header(scenario: &Scenario, seed: u64) -> RunHeader {
    let mut nodes = Vec::new();
    let none = NodeHeader {
        name: String::new(),
        broker: None,
        controller: None,
        zookeeper: None,
        producer: None,
        reader: None,
        member: None,
    };
    for &broker in &scenario.cluster.brokers {
        let shares = |&&(_, host): &&(ControllerId, Option<BrokerId>)| host == Some(broker);
        let controller = scenario.cluster.controllers().iter().find(shares).map(|&(id, _)| id);
        let name = format!("broker {broker}");
        nodes.push(NodeHeader { name, broker: Some(broker), controller, ..none.clone() });
    }
    for &(controller, host) in scenario.cluster.controllers() {
        if host.is_none() {
            let name = format!("controller {controller}");
            nodes.push(NodeHeader { name, controller: Some(controller), ..none.clone() });
        }
    }
    for &server in scenario.cluster.zookeeper() {
        let name = format!("zookeeper {server}");
        nodes.push(NodeHeader { name, zookeeper: Some(server), ..none.clone() });
    }
    for (index, producer) in scenario.producers.iter().enumerate() {
        for instance in 0..producer.count {
            let name = if producer.count == 1 {
                producer.name.clone()
            } else {
                format!("{}-{instance}", producer.name)
            };
            let producer = Some((acklab_vocab::ids::ProducerIndex(index as u16), instance));
            nodes.push(NodeHeader { name, producer, ..none.clone() });
        }
    }
    for (index, reader) in scenario.readers.iter().enumerate() {
        nodes.push(NodeHeader {
            name: reader.name.clone(),
            reader: Some(index as u16),
            ..none.clone()
        });
    }
    for (index, group) in scenario.groups.iter().enumerate() {
        for instance in 0..group.instances {
            let name = if group.instances == 1 {
                group.name.clone()
            } else {
                format!("{}-{instance}", group.name)
            };
            let member = Some((acklab_vocab::ids::GroupIndex(index as u16), instance));
            let producer = group.output.as_ref().map(|output| (output.producer, instance));
            nodes.push(NodeHeader { name, member, producer, ..none.clone() });
        }
    }
    RunHeader {
        scenario: scenario.name.clone(),
        variant: scenario.variant.clone(),
        seed,
        kafka: scenario.kafka,
        rules: scenario.rules,
        switched_rules: scenario.switched_rules.clone(),
        nodes,
        topics: scenario.topics.iter().map(topic_header).collect(),
        producers: producer_headers(scenario),
        readers: scenario.readers.iter().map(reader_header).collect(),
        group_ids: scenario.group_ids.clone(),
        groups: scenario.groups.iter().map(group_header).collect(),
        transactional_ids: scenario.transactional_ids.clone(),
    }
}

fn topic_header(topic: &acklab_scenario::model::Topic) -> TopicHeader {
    TopicHeader {
        name: topic.name.clone(),
        partitions: topic.assignments.len() as u16,
        replication_factor: topic.assignments.first().map_or(0, |replicas| replicas.len() as u16),
        min_insync_replicas: topic.config.min_insync_replicas,
        unclean_leader_election: topic.config.unclean_leader_election,
        internal: topic.internal,
    }
}

/// The producers of the scenario, then those by which consumer applications write.
fn producer_headers(scenario: &Scenario) -> Vec<ProducerHeader> {
    let own = scenario.producers.iter().map(|producer| {
        let transactional = producer.transactions.is_some();
        let (count, topic) = (producer.count, producer.topic);
        producer_header(&producer.name, count, topic, &producer.config, transactional)
    });
    let outputs = scenario.groups.iter().filter_map(|group| {
        let output = group.output.as_ref()?;
        let transactional = output.transactions.is_some();
        let (count, topic) = (group.instances, output.topic);
        Some(producer_header(&output.name, count, topic, &output.config, transactional))
    });
    own.chain(outputs).collect()
}

fn group_header(group: &acklab_scenario::model::GroupSpec) -> GroupHeader {
    GroupHeader {
        name: group.name.clone(),
        group: group.group,
        instances: group.instances,
        topics: group.topics.clone(),
        assigns_itself: group.assigns_itself,
        read_committed: group.config.consumer().isolation
            == acklab_vocab::api::Isolation::LastStable,
        commit: group.commit,
        library: group.config.library(),
        output: group.output.as_ref().map(|output| output.producer),
    }
}

fn producer_header(
    name: &str,
    count: u16,
    topic: TopicId,
    config: &acklab_vocab::config::ProducerConfig,
    transactional: bool,
) -> ProducerHeader {
    use acklab_vocab::config::ProducerConfig;
    let (retries, max_in_flight) = match config {
        ProducerConfig::Java(config) => (config.retries, config.max_in_flight),
        ProducerConfig::Librdkafka(config) => (config.retries, config.max_in_flight),
        ProducerConfig::Scala(config) => (config.retries, 1),
    };
    ProducerHeader {
        name: name.to_owned(),
        count,
        topic,
        acks: config.acks(),
        idempotence: config.idempotence(),
        retries,
        max_in_flight,
        sequence_repair: config.sequence_repair(),
        transactional,
    }
}

fn reader_header(reader: &acklab_scenario::model::ReaderSpec) -> ReaderHeader {
    ReaderHeader {
        name: reader.name.clone(),
        topics: reader.topics.clone(),
        read_committed: reader.config.isolation == acklab_vocab::api::Isolation::LastStable,
    }
}
