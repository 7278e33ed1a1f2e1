//! The steps of the controller's events, and what follows each round of requests to ZooKeeper.
//!
//! Kafka's event thread (`ControllerEventManager`) runs one event to its end and blocks whenever it
//! asks ZooKeeper. Here an event is a list of steps: a step does what needs no answer, or begins a
//! [round](super::rounds), and what follows the round may put further steps in front of the rest.
//! Events wait while there are steps.

use super::context::LiveBroker;
use super::election::{Elected, Strategy};
use super::events::ControllerEvent;
use super::rounds::{Answer, ControllerMoved};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{AlterPartitionRequest, PartitionAlterResponse, ZooKeeperOperation};
use acklab_vocab::ids::{BrokerId, ControllerEpoch, ProducerId, TopicPartition};
use acklab_vocab::metadata_log::PartitionState;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::PartitionChangeReason;
use acklab_vocab::zookeeper::ZnodePath;

/// A step of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    // The race.
    /// Sets the watch on `/controller`.
    WatchController,
    /// Reads `/controller`; resigns if it names another (`maybeResign`).
    ResignIfReplaced,
    /// Stands for election, unless there is a controller (`elect`).
    Elect,
    /// Something went wrong in taking office: gives it up (`triggerControllerMove`).
    GiveUpOffice,

    // Taking office.
    /// Asks, for the sake of the watch or the time that it takes, and ignores the answer.
    Touch(ZooKeeperOperation),
    /// Deletes what leaders have announced before.
    ClearIsrChanges,
    /// Reads the registered brokers.
    ReadBrokers(Occasion),
    /// Reads the topics.
    ReadTopics(Occasion),
    /// Reads the states of all partitions, and opens the channels.
    ReadAllStates,
    /// Sets the stages of partitions, and tells everybody everything.
    StartStateMachines,
    /// Elects preferred leaders that were asked for while there was no controller; from now on
    /// rebalances.
    Serve,

    // State machines.
    /// Elects leaders where there is none.
    TriggerOnline(PartitionChangeReason),
    /// Elects leaders by a rule.
    ElectLeaders(Ballot),
    /// Gives new partitions their first leader.
    CreatePartitions(Vec<TopicPartition>),
    /// Takes a replica out of ISRs.
    RemoveFromIsr(Removal),
    /// Tells a broker about all of its replicas (`OnlineReplica`).
    BringReplicasOnline(Vec<BrokerId>),
    /// Replicas of these brokers go offline (`OfflineReplica`).
    TakeReplicasOffline(Vec<BrokerId>, PartitionChangeReason),
    /// Tells brokers what clients are to be told, at once.
    SendMetadata {
        /// Who; everybody if `None`.
        to: Option<Vec<BrokerId>>,
        /// What.
        partitions: Scope,
    },
    /// Sends what has been gathered.
    SendBatch,

    // Events of their own.
    /// The brokers have started, or died.
    HandleBrokers(BrokerStep),
    /// Reads the states of partitions whose ISR has changed, and tells everybody.
    RefreshStates(Vec<TopicPartition>),
    /// Deletes znodes, as the controller.
    Delete(Vec<ZnodePath>),
    /// Reads `/admin/preferred_replica_election`.
    ReadPreferredElection,
    /// The request is over.
    RemovePreferredElection,
    /// The next check for imbalance.
    ScheduleRebalance(SimDuration),
    /// Tells the broker that shuts down to stop following these.
    StopFollowing(BrokerId, Vec<TopicPartition>),
    /// Answers ControlledShutdown.
    AnswerControlledShutdown(BrokerId),
    /// Answers AlterPartition.
    AnswerAlterPartition(Vec<PartitionAlterResponse>),
    /// Takes a block of producer ids.
    TakeProducerIds,
}

/// Why something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The controller takes office.
    TakingOffice,
    /// A watch has fired.
    Change,
}

/// What is told about partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Only which brokers there are.
    Brokers,
    /// Every partition, too.
    Everything,
    /// These, too.
    Partitions(Vec<TopicPartition>),
}

/// What has happened to brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BrokerStep {
    /// They are new, or have come back.
    Started(Vec<BrokerId>),
    /// They are gone; another life of them, if the reason says so.
    Failed(Vec<BrokerId>, PartitionChangeReason),
    /// Their other life is to be taken into account.
    CameBack(Vec<(BrokerId, LiveBroker)>),
}

/// An election in several partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    /// Where.
    pub partitions: Vec<TopicPartition>,
    /// By which rule.
    pub strategy: Strategy,
    /// On which occasion.
    pub reason: PartitionChangeReason,
    /// What a write tried of whose outcome nothing is known (before 1.1; one partition).
    pub attempted: Option<PartitionState>,
}

/// A replica that leaves ISRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    /// Whose.
    pub replica: BrokerId,
    /// Where.
    pub partitions: Vec<TopicPartition>,
    /// On which occasion.
    pub reason: PartitionChangeReason,
    /// As in [`Ballot`].
    pub attempted: Option<PartitionState>,
}

/// What follows a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// `/controller` has been read by `maybeResign`.
    ControllerKnownToResign,
    /// `/controller` has been read by `elect`.
    ControllerKnownToElect,
    /// `/controller_epoch` has been read; the race is next (2.2 on).
    EpochReadToRace,
    /// `/controller_epoch` has been created.
    EpochCreatedToRace,
    /// `/controller` and epoch have been written, or not.
    Raced(ControllerEpoch),
    /// Both have been read after a race that seemed lost.
    RaceChecked(ControllerEpoch),
    /// `/controller` has been created, or not (before 2.2).
    ControllerCreated,
    /// `/controller` has been read after it could not be created.
    ControllerKnownAfterRace,
    /// `/controller_epoch` has been read by the winner (before 2.2).
    EpochReadByWinner,
    /// `/controller_epoch` has been raised to this by the winner.
    EpochRaised(ControllerEpoch),
    /// `/controller_epoch` has been created by the winner.
    EpochCreatedByWinner,
    /// `/controller` has been read by one who gives up.
    ControllerKnownToGiveUp,
    /// The announcements have been listed, to delete them.
    IsrChangesListedToClear,
    /// The announcements have been listed.
    IsrChangesListed,
    /// The announcements have been read.
    IsrChangesRead(Vec<ZnodePath>),
    /// The registrations have been listed.
    BrokersListed(Occasion),
    /// The registrations have been read.
    BrokersRead(Occasion),
    /// The topics have been listed.
    TopicsListed(Occasion),
    /// Assignments have been read.
    TopicsRead(Occasion),
    /// The states of all partitions have been read.
    AllStatesRead,
    /// States have been read; everybody is to be told about these partitions.
    StatesRefreshed(Vec<TopicPartition>),
    /// States have been read for an election.
    BallotRead(Ballot),
    /// Leaders have been written.
    Elected(Ballot, Vec<Elected>),
    /// The folders of new partitions have been made; the states are next.
    FoldersMade(Vec<ZooKeeperOperation>, Vec<PartitionState>),
    /// The partitions' own folders have been made.
    PartitionFoldersMade(Vec<PartitionState>),
    /// First states have been written.
    Created(Vec<PartitionState>),
    /// States have been read for a removal.
    RemovalRead(Removal),
    /// Shrunk ISRs have been written.
    Removed(Removal, Vec<PartitionState>),
    /// Whether preferred elections are asked for is known.
    PreferredElectionFound,
    /// The request has been read.
    PreferredElectionRead {
        /// In [`Step::Serve`]: what is done already is left out.
        taking_office: bool,
    },
    /// ISRs of leaders have been written.
    IsrsWritten(Box<IsrsWritten>),
    /// They have been read again.
    IsrsRead,
    /// `/latest_producer_id_block` has been read.
    ProducerIdsRead,
    /// A block has been taken, or not.
    ProducerIdsTaken(ProducerId),
}

/// An AlterPartition request whose accepted proposals have been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IsrsWritten {
    /// Every partition of the request.
    pub partitions: Vec<TopicPartition>,
    /// What was written, one for each operation.
    pub states: Vec<PartitionState>,
    /// The other answers.
    pub answers: Vec<PartitionAlterResponse>,
}

/// A request that the current event is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToAnswer {
    /// ControlledShutdown
    ControlledShutdown(Requester),
    /// AlterPartition
    AlterPartition(Requester),
    /// AllocateProducerIds
    ProducerIds(Requester),
}

/// An AlterPartition request in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueuedAlter {
    /// Whom to answer.
    pub requester: Requester,
    /// What is asked.
    pub request: AlterPartitionRequest,
}

impl Broker {
    /// Runs events until one waits for ZooKeeper.
    pub(super) fn run_controller(&mut self, cx: &mut BrokerCx<'_>) {
        loop {
            let controller = self.zookeeper_controller();
            if controller.round.is_some() {
                return;
            }
            if let Some(step) = controller.steps.pop_front() {
                self.take_controller_step(cx, step);
            } else if let Some(event) = controller.events.pop_front() {
                self.begin_event(cx, event);
            } else {
                return;
            }
        }
    }

    /// Queues an event.
    pub(super) fn put_controller_event(&mut self, cx: &mut BrokerCx<'_>, event: ControllerEvent) {
        self.zookeeper_controller().events.push_back(event);
        self.run_controller(cx);
    }

    /// Puts steps in front of those that are left of the event.
    pub(super) fn do_first(&mut self, steps: impl IntoIterator<Item = Step>) {
        let controller = self.zookeeper_controller();
        let mut steps: std::collections::VecDeque<Step> = steps.into_iter().collect();
        steps.append(&mut controller.steps);
        controller.steps = steps;
    }

    fn take_controller_step(&mut self, cx: &mut BrokerCx<'_>, step: Step) {
        match step {
            Step::WatchController => self.watch_controller(cx),
            Step::ResignIfReplaced => self.read_controller(cx, Then::ControllerKnownToResign),
            Step::Elect => self.read_controller(cx, Then::ControllerKnownToElect),
            Step::GiveUpOffice => self.give_up_office(cx),
            Step::Touch(operation) => self.ask_zookeeper(cx, vec![operation], Then::Nothing),
            Step::ClearIsrChanges => self.list_isr_changes(cx, Then::IsrChangesListedToClear),
            Step::ReadBrokers(occasion) => self.list_brokers(cx, occasion),
            Step::ReadTopics(occasion) => self.list_topics(cx, occasion),
            Step::ReadAllStates => self.read_all_states(cx),
            Step::StartStateMachines => self.start_state_machines(),
            Step::Serve => self.read_pending_preferred_election(cx),
            Step::TriggerOnline(reason) => self.trigger_online(reason),
            Step::ElectLeaders(ballot) => self.read_for_ballot(cx, ballot),
            Step::CreatePartitions(partitions) => self.initialize_partitions(cx, &partitions),
            Step::RemoveFromIsr(removal) => self.read_for_removal(cx, removal),
            Step::BringReplicasOnline(brokers) => self.bring_replicas_online(&brokers),
            Step::TakeReplicasOffline(brokers, reason) => {
                self.take_replicas_offline(&brokers, reason);
            }
            Step::SendMetadata { to, partitions } => self.send_update_metadata(cx, to, partitions),
            Step::SendBatch => self.send_control_batch(cx),
            Step::HandleBrokers(BrokerStep::Started(brokers)) => self.on_brokers_started(&brokers),
            Step::HandleBrokers(BrokerStep::Failed(brokers, reason)) => {
                self.on_brokers_failed(cx, brokers, reason);
            }
            Step::HandleBrokers(BrokerStep::CameBack(lives)) => {
                self.on_brokers_came_back(cx, lives);
            }
            Step::RefreshStates(partitions) => self.refresh_states(cx, partitions),
            Step::Delete(paths) => self.delete_as_controller(cx, paths),
            Step::ReadPreferredElection => self.look_for_preferred_election(cx),
            Step::RemovePreferredElection => self.remove_preferred_election(cx),
            Step::ScheduleRebalance(after) => self.schedule_rebalance(cx, after),
            Step::StopFollowing(broker, partitions) => self.stop_following(cx, broker, partitions),
            Step::AnswerControlledShutdown(broker) => self.answer_controlled_shutdown(cx, broker),
            Step::AnswerAlterPartition(answers) => self.answer_alter_partition(cx, answers),
            Step::TakeProducerIds => self.read_producer_ids(cx),
        }
    }

    /// What follows a round.
    pub(super) fn continue_event(
        &mut self,
        cx: &mut BrokerCx<'_>,
        then: Then,
        answers: Vec<Answer>,
    ) {
        match then {
            Then::Nothing => {}
            Then::ControllerKnownToResign => self.on_controller_known_to_resign(cx, &answers),
            Then::ControllerKnownToElect => self.on_controller_known_to_elect(cx, &answers),
            Then::EpochReadToRace => self.on_epoch_read_to_race(cx, &answers),
            Then::EpochCreatedToRace => self.on_epoch_created_to_race(cx, &answers),
            Then::Raced(epoch) => self.on_raced(cx, epoch, &answers),
            Then::RaceChecked(epoch) => self.on_race_checked(cx, epoch, &answers),
            Then::ControllerCreated => self.on_controller_created(cx, &answers),
            Then::ControllerKnownAfterRace => self.on_controller_known_after_race(cx, &answers),
            Then::EpochReadByWinner => self.on_epoch_read_by_winner(cx, &answers),
            Then::EpochRaised(epoch) => self.on_epoch_raised(cx, epoch, &answers),
            Then::EpochCreatedByWinner => self.on_epoch_created_by_winner(cx, &answers),
            Then::ControllerKnownToGiveUp => self.on_controller_known_to_give_up(cx, &answers),
            Then::IsrChangesListedToClear => self.on_isr_changes_listed_to_clear(cx, answers),
            Then::IsrChangesListed => self.on_isr_changes_listed(cx, answers),
            Then::IsrChangesRead(paths) => self.on_isr_changes_read(paths, answers),
            Then::BrokersListed(occasion) => self.on_brokers_listed(cx, occasion, answers),
            Then::BrokersRead(occasion) => self.on_brokers_read(cx, occasion, answers),
            Then::TopicsListed(occasion) => self.on_topics_listed(cx, occasion, answers),
            Then::TopicsRead(occasion) => self.on_topics_read(occasion, answers),
            Then::AllStatesRead => self.on_all_states_read(cx, answers),
            Then::StatesRefreshed(partitions) => self.on_states_refreshed(partitions, answers),
            Then::BallotRead(ballot) => self.on_ballot_read(cx, ballot, answers),
            Then::Elected(ballot, elected) => self.on_elected(ballot, elected, answers),
            Then::FoldersMade(folders, states) => {
                self.ask_for_folders(cx, folders, Then::PartitionFoldersMade(states));
            }
            Then::PartitionFoldersMade(states) => self.write_first_states(cx, states),
            Then::Created(states) => self.on_created(states, answers),
            Then::RemovalRead(removal) => self.on_removal_read(cx, removal, answers),
            Then::Removed(removal, states) => self.on_removed(removal, states, answers),
            Then::PreferredElectionFound => self.on_preferred_election_found(cx, &answers),
            Then::PreferredElectionRead { taking_office } => {
                self.on_preferred_election_read(taking_office, answers);
            }
            Then::IsrsWritten(written) => self.on_isrs_written(cx, *written, answers),
            Then::IsrsRead => self.learn_states(answers),
            Then::ProducerIdsRead => self.on_producer_ids_read(cx, &answers),
            Then::ProducerIdsTaken(next) => self.on_producer_ids_taken(cx, next, &answers),
        }
    }

    /// The event ends here: ZooKeeper has refused it something that it needs. Whoever waits for an
    /// answer is told.
    pub(super) fn fail_event(&mut self, cx: &mut BrokerCx<'_>) {
        let controller = self.zookeeper_controller();
        controller.steps.clear();
        controller.batch = super::request_batch::RequestBatch::default();
        self.answer_failure(cx, None);
    }

    /// A write was refused because there is a newer controller (`ControllerMovedException`): the
    /// event ends, and this one looks whether it has been replaced. An event that answers a request
    /// only passes the error on.
    pub(super) fn on_controller_moved(&mut self, cx: &mut BrokerCx<'_>) {
        let controller = self.zookeeper_controller();
        controller.steps.clear();
        controller.batch = super::request_batch::RequestBatch::default();
        if !self.answer_failure(cx, Some(ControllerMoved)) {
            self.do_first([Step::WatchController, Step::ResignIfReplaced]);
        }
    }
}
