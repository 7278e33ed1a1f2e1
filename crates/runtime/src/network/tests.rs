use super::*;

#[test]
fn tcp_tries_again_at_doubling_intervals() {
    let at = SimTime::from_millis;
    let timeout = SimDuration::from_millis(200);
    // 0.2, 0.6, 1.4, 3.0, 6.2 s after the first send.
    let cases = [(0, 200), (200, 200), (201, 600), (1_000, 1_400), (3_001, 6_200)];
    for (healed, resumes) in cases {
        assert_eq!(next_retransmission(at(0), at(healed), timeout), at(resumes), "{healed}");
    }
    let late = next_retransmission(at(0), at(1_000_000), timeout);
    assert!(late.since(at(1_000_000)) <= LONGEST_RETRANSMISSION);
}

fn two_nodes() -> Network {
    let exactly = |micros| Span::Exactly(SimDuration::from_micros(micros));
    let model = Model {
        latency: exactly(500),
        client_latency: exactly(500),
        bytes_per_second: 1_000_000,
        loss_millionths: 0,
        retransmission_timeout: SimDuration::from_millis(200),
    };
    let mut network = Network::new(model, 1, 2, 2);
    for connection in 0..2 {
        let end = |node| End {
            node: NodeId(node),
            incarnation: 0,
            role: 0,
            id: ConnectionId(connection),
            open: true,
        };
        network.connections.push(Connection {
            client: end(0),
            server: end(1),
            listener: Listener::Broker,
            streams: Default::default(),
            inbox: VecDeque::new(),
            serving: false,
            closed_by_client: false,
        });
    }
    network
}

fn arrival(sent: Sent) -> Option<SimTime> {
    match sent {
        Sent::Arrives(at, _) => Some(at),
        Sent::Nothing => None,
    }
}

#[test]
fn a_cut_holds_what_is_sent_and_a_reset_is_lost() {
    let (mut network, at) = (two_nodes(), SimTime::from_millis);
    network.cut(NodeId(0), NodeId(1));
    let held = network.send(0, Way::ToServer, Packet::Finish, at(0));
    assert_eq!(arrival(held), None);
    assert_eq!(arrival(network.send(0, Way::ToServer, Packet::Reset, at(1))), None);
    assert!(network.heal(NodeId(0), NodeId(1)));
    let (arrivals, _) = network.release(0, Way::ToServer, at(1_000));
    // Sent at 0, again at 0.2, 0.6 and 1.4 s; then 0.5 ms on the way and 40 bytes at 1 MB/s.
    let expected = at(1_400) + SimDuration::from_micros(540);
    assert_eq!(arrivals.iter().map(|&(at, _)| at).collect::<Vec<_>>(), [expected]);
}

#[test]
fn what_is_sent_again_late_does_not_keep_the_line_from_others() {
    let (mut network, at) = (two_nodes(), SimTime::from_millis);
    network.cut(NodeId(0), NodeId(1));
    network.send(0, Way::ToServer, Packet::Finish, at(0));
    network.heal(NodeId(0), NodeId(1));
    network.release(0, Way::ToServer, at(4_000));
    let other = network.send(1, Way::ToServer, Packet::Open, at(4_001));
    let expected = at(4_001) + SimDuration::from_micros(540);
    assert_eq!(arrival(other), Some(expected));
}

#[test]
fn a_server_that_does_not_read_holds_its_client_back() {
    use acklab_vocab::api::MetadataRequest;
    let mut network = two_nodes();
    network.model.bytes_per_second = 0;
    let now = SimTime::ZERO;
    let request = Request::Metadata(MetadataRequest { topics: Default::default() });
    let frame = || Frame::Request(CorrelationId(0), Box::new(request.clone()));
    let size = frame().size();
    let room = (SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES) / u64::from(size);
    for _ in 0..room {
        network.send(0, Way::ToServer, Packet::Frame(frame()), now);
        assert_eq!(network.write_blocked_until(0, Way::ToServer, now), None);
    }
    network.send(0, Way::ToServer, Packet::Frame(frame()), now);
    assert_eq!(network.write_blocked_until(0, Way::ToServer, now), Some(None));
    let told = network.read(0, Way::ToServer, size, now);
    assert_eq!(told, Some(now + SimDuration::from_micros(500)), "one way later");
    assert!(network.unblock(0, Way::ToServer));
    assert_eq!(network.read(0, Way::ToServer, size, now), None, "nobody waits any more");
}

#[test]
fn a_connection_keeps_its_order_and_a_line_its_rate() {
    let mut network = two_nodes();
    let mut send = |connection| {
        let sent = network.send(connection, Way::ToServer, Packet::Finish, SimTime::ZERO);
        arrival(sent).map(|at| at.since(SimTime::ZERO).as_micros())
    };
    // 40 bytes at 1 MB/s take 40 us, one after the other, whichever connection they belong to.
    assert_eq!([send(0), send(1), send(0)], [Some(540), Some(580), Some(620)]);
}

#[test]
fn a_question_for_metadata_on_its_way_is_nothing_to_wait_for() {
    use acklab_vocab::api::{InitProducerIdRequest, MetadataRequest};
    let (mut network, at) = (two_nodes(), SimTime::from_millis);
    let asks = Request::Metadata(MetadataRequest { topics: Default::default() });
    let changes =
        Request::InitProducerId(InitProducerIdRequest { transactional: None, current: None });
    let connection = &mut network.connections[0];
    for (request, due, waits) in [(asks.clone(), 5, false), (changes, 7, true), (asks, 9, false)] {
        let packet = Packet::Frame(Frame::Request(CorrelationId(0), Box::new(request)));
        let stream = &mut connection.streams[Way::ToServer as usize];
        assert_eq!(stream.due_after_the_last(at(due), &packet), at(due));
        assert_eq!(connection.has_requests_under_way(at(due)), waits, "{due} ms");
    }
}
