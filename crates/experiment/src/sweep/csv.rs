//! One line for each seed and cell, for spreadsheets and notebooks.
//!
//! Times are in microseconds, as the names of the columns say. A number that a row does not have,
//! such as a group's in a cell without it, or any of a run that panicked, is empty.

use super::Collected;
use super::gate::snake_case;
use super::plan::SweepPlan;
use super::row::{Numbers, PartitionRow, RowCounts, SeedResult, SeedRow, exception_key, of_groups};
use ::csv::{Writer, WriterBuilder};
use acklab_scenario::expect::{CounterUnit, Reach};
use acklab_scenario::{Counter, Counts};
use acklab_verdict::{AnomalyKind, Cause};
use std::collections::BTreeSet;

/// The rows, cell by cell, as CSV with a header.
#[must_use]
pub fn csv(plan: &SweepPlan, collected: &Collected) -> String {
    let columns = Columns::of(plan, collected);
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    write(&mut writer, columns.header(plan));
    for (cell, rows) in collected.rows.iter().enumerate() {
        for row in rows {
            write(&mut writer, columns.row(plan, cell, row));
        }
    }
    let bytes = writer.into_inner().expect("memory can be written to");
    String::from_utf8(bytes).expect("what is written is text")
}

fn write(writer: &mut Writer<Vec<u8>>, fields: Vec<String>) {
    writer.write_record(fields).expect("every row has every column");
}

/// The columns that depend on what was run.
struct Columns {
    causes: Vec<(AnomalyKind, Cause)>,
    /// Exceptions that were raised: the name, and how far they got.
    exceptions: Vec<(String, Reach)>,
    groups: Vec<String>,
}

impl Columns {
    fn of(plan: &SweepPlan, collected: &Collected) -> Columns {
        let numbers = collected.rows.iter().flatten().filter_map(SeedRow::numbers);
        let causes = numbers.flat_map(|numbers| &numbers.causes);
        let causes: BTreeSet<_> = causes.map(|row| (row.kind, row.cause)).collect();
        let numbers = collected.rows.iter().flatten().filter_map(SeedRow::numbers);
        let exceptions: BTreeSet<_> = numbers.flat_map(Numbers::exceptions).collect();
        let mut groups: Vec<String> = Vec::new();
        for name in plan.cells.iter().flat_map(|cell| &cell.groups) {
            if !groups.contains(name) {
                groups.push(name.clone());
            }
        }
        let exceptions = exceptions.into_iter().collect();
        Columns { causes: causes.into_iter().collect(), exceptions, groups }
    }

    fn header(&self, plan: &SweepPlan) -> Vec<String> {
        let mut header: Vec<String> = match plan.dims.is_empty() {
            true => vec!["variant".to_owned()],
            false => plan.dims.iter().map(|dim| dim.path.clone()).collect(),
        };
        header.extend(["seed", "result", "digest"].map(str::to_owned));
        header.extend(Counter::ALL.iter().map(|&counter| column(counter)));
        for latency in ["produce", "end_to_end"] {
            header.extend(["records", "p90_us"].map(|what| format!("{latency}_{what}")));
        }
        header.extend(["write_gap_total_us", "leaderless_total_us"].map(str::to_owned));
        for (kind, cause) in &self.causes {
            header.push(format!("{}: {}", kind.name(), cause.name()));
        }
        let exceptions = self.exceptions.iter();
        header.extend(exceptions.map(|(name, reach)| exception_key(name, *reach)));
        for group in &self.groups {
            header.extend(of_groups().map(|counter| format!("{group}/{}", column(counter))));
        }
        header
    }

    fn row(&self, plan: &SweepPlan, cell: usize, row: &SeedRow) -> Vec<String> {
        let it = &plan.cells[cell];
        let mut fields: Vec<String> = match it.labels.is_empty() {
            true => vec![it.variant.clone()],
            false => it.labels.clone(),
        };
        fields.push(row.seed.to_string());
        match &row.result {
            SeedResult::Judged(numbers) => {
                fields.push(if numbers.stuck.is_some() { "stuck" } else { "judged" }.to_owned());
                fields.push(numbers.digest.clone());
                self.add_numbers(&mut fields, numbers, &it.groups);
            }
            SeedResult::Defect(..) => {
                fields.push("defect".to_owned());
                fields.resize(self.header(plan).len(), String::new());
            }
        }
        fields
    }

    fn add_numbers(&self, fields: &mut Vec<String>, numbers: &Numbers, groups: &[String]) {
        fields.extend(numbers.counters.iter().map(ToString::to_string));
        for latency in [&numbers.produce, &numbers.end_to_end] {
            fields.extend([latency.records, latency.p90].map(|number| number.to_string()));
        }
        let worst = |of: fn(&PartitionRow) -> u64| {
            numbers.partitions.iter().map(of).max().unwrap_or(0).to_string()
        };
        fields.push(worst(|row| row.total));
        fields.push(worst(|row| row.leaderless_total));
        for &(kind, cause) in &self.causes {
            let here = numbers.causes.iter().filter(|row| (row.kind, row.cause) == (kind, cause));
            fields.push(here.map(|row| row.count).sum::<u64>().to_string());
        }
        let counts = RowCounts { numbers, groups };
        for (name, reach) in &self.exceptions {
            fields.push(counts.exceptions(None, name, *reach).to_string());
        }
        for name in &self.groups {
            let position = groups.iter().position(|group| group == name);
            match position.and_then(|position| numbers.groups.get(position)) {
                Some(group) => fields.extend(group.counters.iter().map(ToString::to_string)),
                None => fields.extend(of_groups().map(|_| String::new())),
            }
        }
    }
}

fn column(counter: Counter) -> String {
    let name = snake_case(counter.name());
    match counter.unit() {
        CounterUnit::Count => name,
        CounterUnit::Microseconds => format!("{name}_us"),
    }
}
