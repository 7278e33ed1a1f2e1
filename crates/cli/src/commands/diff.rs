//! `acklab diff`: the same seed under two settings.

mod json;
mod page;

use crate::args::{DiffArgs, ScenarioArgs};
use crate::failure::{Failure, Status};
use crate::output;
use crate::request::Request;
use crate::source;
use crate::text::width;
use acklab_experiment::diff::{Diff, diff};
use acklab_scenario::{BASE, Difference, Setting};

/// Runs both sides and prints what differs.
pub fn execute(args: &DiffArgs) -> Result<Status, Failure> {
    let [first, second] = sides(args)?;
    let file = source::open(&args.scenario.scenario)?;
    let requests = Request::resolve_all([&first, &second])?;
    let differences =
        file.differences((&first.variant, &first.sets), (&second.variant, &second.sets))?;
    let found = diff(&requests[0].case, &requests[1].case, args.seed)?;
    let names = names(&first, &second);
    let comparison = Comparison { seed: args.seed, requests, names, differences, found };
    if args.json {
        output::print_json(&json::json(&comparison))?;
    } else {
        output::print(&page::render(&comparison, width()))?;
    }
    Ok(Status::AsExpected)
}

/// Everything that is said of two sides.
struct Comparison {
    seed: u64,
    requests: [Request; 2],
    /// What the sides are called.
    names: [String; 2],
    differences: Vec<Difference>,
    found: Diff,
}

/// Which two: with `--against`, what stands before it and the same with it; without, the scenario as
/// it stands and what is asked for.
fn sides(args: &DiffArgs) -> Result<[ScenarioArgs; 2], Failure> {
    let own = &args.scenario;
    if !args.against.is_empty() || args.against_variant.is_some() {
        let mut other = own.clone();
        other.variant = args.against_variant.clone().unwrap_or(other.variant);
        other.sets.extend(args.against.iter().cloned());
        return Ok([own.clone(), other]);
    }
    if own.variant == BASE && own.sets.is_empty() {
        return Err(Failure::with_help(
            "there is nothing to compare the scenario with",
            "name a variant or a setting: --variant acks=all, --set producers/acks=all, \
             --against-variant NAME, --against OWNER/PROPERTY=VALUE",
        ));
    }
    let plain = ScenarioArgs { variant: BASE.to_owned(), sets: Vec::new(), ..own.clone() };
    Ok([plain, own.clone()])
}

/// Short names: the variants where they differ, and the settings that only one side has.
fn names(first: &ScenarioArgs, second: &ScenarioArgs) -> [String; 2] {
    let own = |side: &ScenarioArgs, other: &ScenarioArgs| {
        let mut words = Vec::new();
        if side.variant != other.variant {
            words.push(side.variant.clone());
        }
        let only_here = side.sets.iter().filter(|set| !other.sets.contains(set));
        words.extend(only_here.map(Setting::to_string));
        words.join(" ")
    };
    let names = [own(first, second), own(second, first)];
    let length = |name: &str| name.chars().count();
    let variants_differ = first.variant != second.variant;
    let stands_in = ["as it stands", "the same"];
    let mut shown = [0, 1].map(|side| match length(&names[side]) {
        0 => stands_in[side].to_owned(),
        1..=LONGEST_NAME => names[side].clone(),
        _ if variants_differ => format!("{} …", [first, second][side].variant),
        _ => ["first side", "second side"][side].to_owned(),
    });
    if shown[0] == shown[1] {
        shown = ["first side".to_owned(), "second side".to_owned()];
    }
    shown
}

/// A longer name does not fit into a column.
const LONGEST_NAME: usize = 26;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(variant: &str, sets: &[&str]) -> ScenarioArgs {
        let sets = sets.iter().map(|set| set.parse().unwrap()).collect();
        ScenarioArgs {
            scenario: "acks-1-leader-crash".to_owned(),
            variant: variant.to_owned(),
            sets,
            faults: None,
        }
    }

    fn both(own: ScenarioArgs, variant: Option<&str>, against: &[&str]) -> Option<[String; 2]> {
        let args = DiffArgs {
            scenario: own,
            seed: 0,
            against_variant: variant.map(str::to_owned),
            against: against.iter().map(|set| set.parse().unwrap()).collect(),
            json: false,
        };
        let sides = sides(&args).ok()?;
        let shown = |side: &ScenarioArgs| {
            let sets: Vec<String> = side.sets.iter().map(Setting::to_string).collect();
            format!("{} {}", side.variant, sets.join(" ")).trim_end().to_owned()
        };
        Some(sides.each_ref().map(shown))
    }

    #[test]
    fn the_sides_are_what_is_asked_for_and_the_scenario_as_it_stands_or_what_it_is_held_against() {
        let two = |first: &str, second: &str| Some([first.to_owned(), second.to_owned()]);
        assert_eq!(both(args("base", &[]), None, &[]), None);
        assert_eq!(both(args("acks=all", &[]), None, &[]), two("base", "acks=all"));
        assert_eq!(both(args("base", &["a/b=1"]), None, &[]), two("base", "base a/b=1"));
        assert_eq!(
            both(args("acks=0", &["a/b=1"]), Some("acks=all"), &["c=2"]),
            two("acks=0 a/b=1", "acks=all a/b=1 c=2")
        );
    }

    #[test]
    fn sides_are_called_by_what_only_they_have() {
        let names = |first, second| names(&first, &second);
        assert_eq!(names(args("base", &[]), args("acks=all", &[])), ["base", "acks=all"]);
        assert_eq!(
            names(args("base", &["a=1"]), args("base", &["a=1", "producers/acks=all"])),
            ["as it stands", "producers/acks=all"]
        );
        assert_eq!(names(args("base", &[]), args("base", &[])), ["as it stands", "the same"]);
        let long = "topics/orders/min.insync.replicas=2";
        assert_eq!(names(args("base", &[]), args("base", &[long]))[1], "second side");
        assert_eq!(names(args("base", &[]), args("acks=all", &[long])), ["base", "acks=all …"]);
    }
}
