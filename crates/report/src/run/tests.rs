//! Pages of real runs: held against what `replay` shows, against their budget, and one as a golden
//! text.

mod budget;
mod golden;
mod replayed;

use acklab_experiment::{Case, Outcome};
use acklab_scenario::{ScenarioFile, Setting, shipped};

use super::{Limits, RunPage, follow};

/// A shipped scenario, with settings.
fn case(name: &str, variant: &str, sets: &[(&str, &str)]) -> Case {
    let text = shipped().iter().find(|(of, _)| *of == name).map(|(_, text)| *text);
    let file = ScenarioFile::parse(name, None, text.expect("it is shipped"));
    resolved(file.expect("it is a scenario"), variant, sets)
}

fn resolved(file: ScenarioFile, variant: &str, sets: &[(&str, &str)]) -> Case {
    let sets = sets.iter().map(|(path, value)| Setting::new(path, value).expect("a setting"));
    let sets: Vec<Setting> = sets.collect();
    Case::from(file.resolve(variant, &sets).expect("it can be resolved"))
}

fn page_of(case: &Case, seed: u64) -> (RunPage, Outcome) {
    let say = |verb: &str, more: &str| {
        let space = if more.is_empty() { "" } else { " " };
        format!("acklab {verb} {} --seed {seed}{space}{more}", case.scenario.name)
    };
    let followed = follow(case, seed).expect("the simulator has no defect here");
    (followed.page(case, &say, Limits::FULL), followed.outcome)
}
