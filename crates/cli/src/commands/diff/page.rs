//! Two histories compared, for a person: what was set differently, where they part, whose fate
//! changed, and the numbers beside each other.

use super::Comparison;
use crate::text::{Align, BAD, BOLD, DIM, Rows, grouped, micros, quoted, seconds, styled, wrapped};
use acklab_experiment::diff::{Axis, Change, Fate, Number, Parting, Told};
use acklab_scenario::expect::CounterUnit;
use acklab_scenario::{Counter, Quantity, SettingValue};
use acklab_verdict::names;
use acklab_vocab::time::SimTime;

/// The whole comparison.
pub fn render(of: &Comparison, width: usize) -> String {
    let mut page = Page { text: String::new(), width, of };
    page.title();
    page.settings();
    page.divergence();
    page.partings();
    page.changes();
    page.numbers();
    format!("{}\n", page.text.trim_end())
}

struct Page<'a> {
    text: String,
    width: usize,
    of: &'a Comparison,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str, indent: usize) {
        for line in wrapped(text, self.width - indent) {
            self.line(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    fn title(&mut self) {
        let Comparison { seed, names: [first, second], found, .. } = self.of;
        let versions = [&found.first, &found.second].map(|side| side.verdict.header.kafka);
        let kafka = match versions {
            [one, other] if one == other => format!("Kafka {one}"),
            [one, other] => format!("Kafka {one} and {other}"),
        };
        let scenario = &found.first.verdict.header.scenario;
        self.line(&format!(
            "{} · seed {seed} · {kafka} · {} against {}",
            styled(BOLD, scenario),
            styled(BOLD, first),
            styled(BOLD, second)
        ));
        self.line("");
    }

    fn settings(&mut self) {
        let Comparison { names: [first, second], differences, found, .. } = self.of;
        if differences.is_empty() && found.rules.is_empty() {
            self.line("  No setting differs.");
            self.line("");
            return;
        }
        let mut settings: Vec<[String; 3]> = Vec::new();
        for difference in differences {
            let [one, other] = [&difference.first, &difference.second].map(setting);
            settings.push([difference.path.clone(), one, other]);
        }
        for (rule, on_second) in &found.rules {
            let [one, other] = [!on_second, *on_second].map(|on| if on { "on" } else { "off" });
            settings.push([format!("rule {}", rule.name()), one.to_owned(), other.to_owned()]);
        }
        // In columns where that breaks nothing up.
        let headings = ["settings", first, second];
        let column = |column: usize| {
            let cells = settings.iter().map(|cells| cells[column].as_str());
            cells.chain([headings[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        if (0..headings.len()).map(|at| column(at) + 2).sum::<usize>() > self.width {
            self.line(&format!("  settings, {first} → {second}"));
            for [path, one, other] in settings {
                let both = format!("{path}: {one} → {other}");
                if both.chars().count() <= self.width - 4 {
                    self.line(&format!("    {both}"));
                } else {
                    self.paragraph(&format!("{path}: {one}"), 4);
                    self.paragraph(&format!("→ {other}"), 6);
                }
            }
        } else {
            let mut rows = Rows::with_header(&[
                ("settings", Align::Left),
                (first, Align::Left),
                (second, Align::Left),
            ]);
            settings.into_iter().for_each(|cells| rows.add(cells));
            self.text.push_str(&rows.render(self.width));
        }
        self.line("");
    }

    fn divergence(&mut self) {
        let found = &self.of.found;
        let facts = names::counted(found.same_facts, "fact");
        let Some(parting) = &found.divergence else {
            self.paragraph(
                &format!(
                    "The histories are the same, to the last of {facts}: digest {}.",
                    found.first.verdict.digest.trajectory
                ),
                2,
            );
            self.line("");
            return;
        };
        let when = match parting.at < SimTime::ZERO {
            true => "while the cluster forms, before time zero",
            false => "after time zero",
        };
        let heading = match found.same_facts {
            0 => format!("The very first fact differs, {when}:"),
            _ => format!("The first {facts} are the same. The next differs, {when}:"),
        };
        self.paragraph(&heading, 2);
        let mut rows = Rows::new(&[Align::Left, Align::Right, Align::Left]).indented(4);
        self.sides(&mut rows, None, parting);
        self.text.push_str(&rows.render(self.width));
        self.line("");
    }

    fn partings(&mut self) {
        let partings = &self.of.found.partings;
        if partings.is_empty() {
            if !self.of.found.is_empty() {
                self.paragraph("No fact that decides a fate differs, whatever its time.", 2);
                self.line("");
            }
            return;
        }
        self.paragraph(
            "Of each kind of fact that decides fates, the first that differs, whatever its time:",
            2,
        );
        let mut rows =
            Rows::new(&[Align::Left, Align::Left, Align::Right, Align::Left]).indented(4);
        for parting in partings {
            let name = parting.stream.map_or("", acklab_experiment::diff::Stream::name);
            self.sides(&mut rows, Some(name), parting);
        }
        self.text.push_str(&rows.render(self.width));
        self.line("");
    }

    /// A row for each side, with the kind of fact before the first if there is one.
    fn sides(&self, rows: &mut Rows, kind: Option<&str>, parting: &Parting) {
        let both = [&parting.first, &parting.second];
        for (side, told) in both.into_iter().enumerate() {
            let name = &self.of.names[side];
            let kind = kind.map(|kind| if side == 0 { kind.to_owned() } else { String::new() });
            let (at, text) = match told {
                Some(Told { at, text }) => (format!("{at:#}"), text.clone()),
                None => (String::new(), "nothing more".to_owned()),
            };
            rows.add(kind.into_iter().chain([name.clone(), at, text]));
        }
    }

    fn changes(&mut self) {
        let found = &self.of.found;
        let all = names::counted(found.records, "record");
        if found.changes.is_empty() {
            self.line(&format!("  All {all} have the same fate."));
            self.line("");
            return;
        }
        let has = if found.changed == 1 { "has" } else { "have" };
        let text = format!("{} of {all} {has} another fate:", grouped(found.changed));
        self.line(&format!("  {}", styled(BAD, &text)));
        let mut axis = &Axis::Log;
        for change in &found.changes {
            if change.axis != *axis {
                axis = &change.axis;
                if let Axis::Application(name) = axis {
                    self.line(&format!("  with {name}:"));
                }
            }
            self.change(change);
        }
        self.line("");
    }

    fn change(&mut self, change: &Change) {
        let count = grouped(change.count);
        let fates = format!("{} → {}", change.first.words, change.second.words);
        self.line(&format!("  {count:>6}  {}", styled(BOLD, &fates)));
        let sides = [&change.first, &change.second];
        for (side, fate) in
            sides.into_iter().enumerate().filter(|(_, fate)| !fate.causes.is_empty())
        {
            let causes = causes(fate);
            self.paragraph(&format!("{}: {causes}", self.of.names[side]), 10);
        }
        let Some(&example) = change.examples.first() else { return };
        let [first, second] = [&self.of.found.first, &self.of.found.second];
        let record = quoted(&names::record(&first.verdict.header, example));
        let mut more = format!("--record {record}");
        if let Axis::Application(name) = &change.axis {
            more.push_str(&format!(" --group {}", quoted(name)));
        }
        let exists = [&change.first, &change.second].map(|fate| fate.words != NOT_CREATED);
        for (side, outcome) in [first, second].into_iter().enumerate() {
            if exists[side] {
                let seed = outcome.verdict.header.seed;
                let command = self.of.requests[side].command("explain", seed, &more);
                self.line(&format!("          {}", styled(DIM, &command)));
            }
        }
    }

    fn numbers(&mut self) {
        let Comparison { names: [first, second], found, .. } = self.of;
        let mut rows = Rows::with_header(&[
            ("numbers", Align::Left),
            (first, Align::Right),
            (second, Align::Right),
            ("difference", Align::Right),
        ]);
        for number in &found.numbers {
            rows.add(row(number));
        }
        let [one, other] = [&found.first, &found.second];
        rows.add(["simulated".to_owned(), seconds(one.ended_at), seconds(other.ended_at)]);
        rows.add(["events".to_owned(), grouped(one.events), grouped(other.events)]);
        self.text.push_str(&rows.render(self.width));
    }
}

/// What a record is on the side that does not have it.
const NOT_CREATED: &str = "not created";

fn setting(value: &SettingValue) -> String {
    match value {
        SettingValue::Set(text) => text.clone(),
        SettingValue::Default(Some(text)) if text.is_empty() => "(default)".to_owned(),
        SettingValue::Default(Some(text)) => format!("{text} (default)"),
        SettingValue::Default(None) => "(default)".to_owned(),
        SettingValue::Missing => "–".to_owned(),
    }
}

/// Why a fate is one that somebody suffers from; each cause is told with its anomaly where there are
/// several.
fn causes(fate: &Fate) -> String {
    match fate.causes[..] {
        [(_, cause)] => cause.sentence().to_owned(),
        _ => {
            let told = fate.causes.iter();
            let told = told.map(|(kind, cause)| format!("{} ({})", kind.name(), cause.sentence()));
            told.collect::<Vec<_>>().join("; ")
        }
    }
}

fn row(number: &Number) -> [String; 4] {
    let Number { quantity, first, second } = number;
    let shown = |value: u64| match unit(quantity) {
        CounterUnit::Count => grouped(value),
        CounterUnit::Microseconds => micros(value),
    };
    let difference = match first.cmp(second) {
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Less => format!("+{}", shown(second - first)),
        std::cmp::Ordering::Greater => format!("−{}", shown(first - second)),
    };
    [quantity.to_string(), shown(*first), shown(*second), difference]
}

/// What a number counts.
pub fn unit(quantity: &Quantity) -> CounterUnit {
    let of: fn(Counter) -> CounterUnit = Counter::unit;
    match quantity {
        Quantity::Counter(counter) => of(*counter),
        Quantity::OfGroup(_, quantity) => unit(quantity),
        Quantity::Cause(_)
        | Quantity::ShareOfAcked(_)
        | Quantity::CommitErrors(_)
        | Quantity::Exceptions(..) => CounterUnit::Count,
    }
}
