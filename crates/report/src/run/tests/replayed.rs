//! The state that the slider shows at a step is the one that `acklab replay` shows at that instant.

use acklab_experiment::Case;
use acklab_machines::broker::BrokerView;
use acklab_machines::broker::GroupView;
use acklab_machines::consumer::ConsumerView;
use acklab_machines::controller::ControllerView;
use acklab_runtime::view::{ClusterView, MachineView, ProcessState, ProcessView};
use acklab_scenario::ScenarioFile;
use acklab_vocab::ids::{BrokerId, Offset, TopicPartition};
use acklab_vocab::time::SimTime;
use acklab_vocab::trace::RunHeader;

use super::{case, page_of, resolved};
use crate::run::model::RunPage;
use crate::run::state::{GroupCells, NOTHING, PartitionCells};

/// What is compared at one instant.
struct Instant<'a> {
    header: &'a RunHeader,
    page: &'a RunPage,
    view: &'a ClusterView,
    cells: Vec<i64>,
    /// How many values were compared.
    compared: usize,
    differences: Vec<String>,
}

fn check(name: &str, seed: u64, sets: &[(&str, &str)], instants: usize) {
    check_case(&case(name, "base", sets), seed, instants);
}

fn check_case(case: &Case, seed: u64, instants: usize) {
    let name = &case.scenario.name;
    let (page, outcome) = page_of(case, seed);
    let steps = page.state.at_us.len();
    let mut compared = 0;
    for step in (0..instants).map(|index| index * (steps - 1) / (instants - 1)) {
        let at = SimTime::from_micros(page.state.at_us[step] as i64);
        let (view, _) = case.view_at(seed, at).expect("the simulator has no defect here");
        // The run may end within the last microsecond.
        let Some(view) = view else { continue };
        let (header, cells) = (&outcome.verdict.header, page.state.at_step(step));
        let (page, view) = (&page, &view);
        let (compared_here, differences) = (0, Vec::new());
        let mut instant =
            Instant { header, page, view, cells, compared: compared_here, differences };
        instant.processes();
        instant.partitions();
        instant.groups();
        instant.owners();
        let differences = instant.differences.join("\n");
        assert!(differences.is_empty(), "{name}, seed {seed}, at {at:#}:\n{differences}");
        compared += instant.compared;
    }
    assert!(compared > instants * 10, "only {compared} values were compared");
}

impl Instant<'_> {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, page: T, replay: T) {
        self.compared += 1;
        if page != replay {
            self.differences.push(format!("{what}: {page:?} on the page, {replay:?} replayed"));
        }
    }

    fn word(&self, cell: usize) -> Option<String> {
        self.page.state.word(self.cells[cell]).map(str::to_owned)
    }

    fn alive(&self) -> impl Iterator<Item = &ProcessView> {
        self.view.processes.iter().filter(|process| {
            matches!(process.state, ProcessState::Running | ProcessState::PausedSince(_))
        })
    }

    fn brokers(&self) -> Vec<BrokerView> {
        let machines = self.alive().flat_map(|process| &process.machines);
        let brokers = machines.filter_map(|machine| match machine {
            MachineView::Broker(broker) => Some(broker.clone()),
            _ => None,
        });
        brokers.collect()
    }

    fn name(&self, id: TopicPartition) -> String {
        acklab_verdict::names::partition(self.header, id)
    }

    fn processes(&mut self) {
        for (process, cells) in self.view.processes.iter().zip(&self.page.state.layout.processes) {
            let replayed = match process.state {
                ProcessState::Running => "running",
                ProcessState::PausedSince(_) => "paused",
                // A host may have power again before its process starts.
                ProcessState::Dead | ProcessState::NoPower => "down",
            };
            let page = self.word(cells.state).unwrap_or_else(|| "down".to_owned());
            let page = if page == "without power" { "down".to_owned() } else { page };
            self.same(&process.name, page, replayed.to_owned());
        }
        let page = self.word(self.page.state.layout.faults).unwrap_or_default();
        let mut page: Vec<&str> = page.split("; ").filter(|of| !of.is_empty()).collect();
        let mut replayed: Vec<&str> = self.view.faults.iter().map(String::as_str).collect();
        page.sort_unstable();
        replayed.sort_unstable();
        let (page, replayed) = (page.join("; "), replayed.join("; "));
        self.same("faults", page, replayed);
    }

    fn partitions(&mut self) {
        let controllers = self.alive().flat_map(|process| &process.machines);
        let active = controllers.filter_map(|machine| match machine {
            MachineView::Controller(controller) if is_settled(controller) => {
                Some(controller.clone())
            }
            _ => None,
        });
        let active = active.max_by_key(|of| of.quorum.epoch);
        for cells in &self.page.state.layout.partitions {
            self.replicas(cells);
            if let Some(active) = &active {
                self.controlled(cells, active);
            }
        }
    }

    fn replicas(&mut self, cells: &PartitionCells) {
        for broker in self.brokers() {
            let of = broker.partitions.iter().find(|of| self.name(of.partition) == cells.name);
            let known = cells.replicas.iter().find(|of| of.broker == broker.id.0);
            let (Some(of), Some(known)) = (of, known) else { continue };
            let page = [known.log_end_offset, known.high_watermark].map(|cell| self.cells[cell]);
            let replayed = [of.log_end_offset, of.high_watermark].map(|offset| offset.0 as i64);
            let what = format!("log end offset, high watermark of {} on {}", cells.name, broker.id);
            self.same(&what, page, replayed);
        }
    }

    fn controlled(&mut self, cells: &PartitionCells, active: &ControllerView) {
        let state = active.partitions.iter().find(|of| self.name(of.partition) == cells.name);
        let Some(state) = state else { return };
        let leader = state.leader.map_or(NOTHING, |leader| i64::from(leader.0));
        let page = [self.cells[cells.leader], self.cells[cells.epoch]];
        let replayed = [leader, i64::from(state.leader_epoch.0)];
        self.same(&format!("leader and epoch of {}", cells.name), page, replayed);
        let isr: Vec<String> = state.isr.iter().map(ToString::to_string).collect();
        let page = self.word(cells.isr);
        self.same(&format!("ISR of {}", cells.name), page, Some(isr.join(" ")));
    }

    /// Held against the broker that leads the group's partition in the newest epoch.
    fn groups(&mut self) {
        for cells in &self.page.state.layout.groups {
            let Some((broker, group)) = self.coordinator_of(cells) else { continue };
            let coordinator = self.word(cells.coordinator);
            if coordinator != Some(format!("broker {broker}")) {
                continue;
            }
            let what = |of: &str| format!("{of} of {}", cells.group_id);
            let state = self.word(cells.state);
            self.same(&what("state"), state, Some(format!("{:?}", group.state)));
            let page = self.cells[cells.generation];
            self.same(&what("generation"), page, i64::from(group.generation.0));
            self.committed(cells, &group.committed);
        }
    }

    /// The broker that leads the group's partition in the newest epoch, and the group there.
    fn coordinator_of(&self, cells: &GroupCells) -> Option<(BrokerId, GroupView)> {
        let views = self.brokers().into_iter().flat_map(|broker| {
            let BrokerView { id, partitions, groups, .. } = broker;
            groups.into_iter().map(move |group| {
                let home = partitions.iter().find(|of| of.partition == group.partition);
                (home.map(|home| home.leader_epoch), id, group)
            })
        });
        let id = self.header.group_ids.iter().position(|id| *id == cells.group_id);
        let mine = views.filter(|(.., group)| Some(usize::from(group.group.0)) == id);
        let newest = mine.max_by_key(|(epoch, ..)| *epoch);
        newest.map(|(_, broker, group)| (broker, group))
    }

    fn committed(
        &mut self,
        cells: &GroupCells,
        committed: &[(TopicPartition, acklab_vocab::group::CommittedOffset)],
    ) {
        for of in &cells.partitions {
            let known = committed.iter().find(|(id, _)| self.name(*id) == of.partition);
            let replayed = known.map_or(NOTHING, |(_, known)| known.offset.0 as i64);
            let what = format!("committed by {} on {}", cells.group_id, of.partition);
            self.same(&what, self.cells[of.committed], replayed);
        }
    }

    /// Consumers that the coordinator has removed may not know it yet: they own nothing here.
    fn owners(&mut self) {
        for (index, cells) in self.page.state.layout.groups.iter().enumerate() {
            let has_members = !self.header.groups[index].assigns_itself;
            let group = self.coordinator_of(cells).filter(|_| has_members);
            if has_members && group.is_none() {
                continue;
            }
            for of in &cells.partitions {
                let known = self.owners_of(index, &of.partition, group.as_ref().map(|of| &of.1));
                let names: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
                let what = format!("{} of {}", of.partition, cells.application);
                let owner = self.word(of.owner).unwrap_or_default();
                self.same(&format!("owner of {what}"), owner, names.join(" and "));
                if let [(_, Some(position))] = known[..] {
                    let page = self.cells[of.position];
                    self.same(&format!("position in {what}"), page, position.0 as i64);
                }
            }
        }
    }

    /// Instances of an application that own a partition by their own account and are members of
    /// the group, and where they stand.
    fn owners_of(
        &self,
        application: usize,
        partition: &str,
        group: Option<&GroupView>,
    ) -> Vec<(String, Option<Offset>)> {
        let alive = |of: &ProcessView| {
            matches!(of.state, ProcessState::Running | ProcessState::PausedSince(_))
        };
        let all = self.view.processes.iter().enumerate().filter(|(_, of)| alive(of));
        let mine = all.filter(|(node, of)| {
            let is_member = group.is_none_or(|group| {
                group.members.iter().any(|member| usize::from(member.node.0) == *node)
            });
            is_member && of.member.is_some_and(|(of, _)| usize::from(of.0) == application)
        });
        let known = mine.filter_map(|(_, process)| {
            let consumers = process.machines.iter().filter_map(|machine| match machine {
                MachineView::Consumer(consumer) => Some(consumer),
                _ => None,
            });
            let mut owned = consumers.flat_map(|of: &ConsumerView| &of.partitions);
            let owned = owned.find(|own| self.name(own.partition) == partition)?;
            Some((process.name.clone(), owned.position))
        });
        known.collect()
    }
}

/// It is the active controller, and what it believes is committed: facts say no more than that.
fn is_settled(controller: &ControllerView) -> bool {
    controller.active && controller.high_watermark >= controller.log_end
}

/// The protocol of KIP-848, with a member that crashes and a coordinator that does.
const NEXT_GENERATION: &str = r#"Scenario(
    about: "a group that follows KIP-848",
    kafka: "4.0",
    duration: "20s",
    cluster: (brokers: 3, mode: KRaft(controllers: 3)),
    topics: { "orders": (partitions: 4, replication_factor: 3) },
    producers: [(name: "shop", topic: "orders", rate: 50)],
    groups: [(
        id: "billing", topics: ["orders"], members: 2, processing: "1ms", commit: SyncPerBatch,
        properties: {"group.protocol": "consumer"},
    )],
    faults: [
        (at: "3s", fault: Kill(Member("billing", 0)), for: "10s"),
        (at: "9s", fault: Kill(CoordinatorOf("billing")), for: "4s"),
    ],
)"#;

#[test]
fn groups_of_the_next_generation() {
    let file = ScenarioFile::parse("next-generation", None, NEXT_GENERATION);
    check_case(&resolved(file.expect("a scenario"), "base", &[]), 5, 10);
}

#[test]
fn leaders_that_crash_stand_still_or_are_cut_off() {
    check("acks-1-leader-crash", 7, &[], 8);
    check("gc-pause-leader", 1, &[], 8);
    check("zombie-leader-partition", 4, &[], 8);
    check("kill-and-quick-restart", 2, &[], 8);
    check("planned-election-acks-1", 3, &[], 8);
}

#[test]
fn logs_that_lose_their_tails() {
    check("power-loss-all-replicas", 5, &[], 8);
    check("unclean-election-kafka-10751", 1, &[], 8);
}

#[test]
fn consumers_that_crash_stand_still_or_come_back() {
    check("auto-commit-crash", 1, &[], 8);
    check("gc-pause-consumer", 2, &[], 8);
    check("rolling-restart", 2, &[], 8);
    check("shared-group-id", 3, &[], 6);
    check("resubscribe-storm", 1, &[], 6);
}

#[test]
fn coordinators_that_crash() {
    check("coordinator-crash", 3, &[], 8);
    check("transactional-copy", 2, &[], 8);
}
