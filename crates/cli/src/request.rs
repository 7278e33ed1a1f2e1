//! Arguments resolved: a scenario's variant with settings on top, and the words that ask for the
//! same again.

use crate::args::{ScenarioArgs, ScenariosArgs};
use crate::failure::{self, Failure};
use crate::source;
use crate::text::quoted;
use acklab_experiment::Case;
use acklab_experiment::test::Plan;
use acklab_scenario::{Diagnostic, ScenarioFile};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// One variant of one scenario, ready to run.
#[derive(Debug)]
pub struct Request {
    /// What to run.
    pub case: Case,
    /// The arguments that select it, as a shell reads them.
    selection: String,
    /// Something is set, or other faults strike.
    is_changed: bool,
}

impl Request {
    /// Resolves the arguments. Warnings are shown.
    ///
    /// # Errors
    /// Whatever is wrong with the scenario, the settings or the faults.
    pub fn resolve(args: &ScenarioArgs) -> Result<Request, Failure> {
        let [request] = Request::resolve_all([args])?;
        Ok(request)
    }

    /// Several of the same scenario. What all have to be warned of is shown once.
    ///
    /// # Errors
    /// See [`Request::resolve`].
    pub fn resolve_all<const N: usize>(args: [&ScenarioArgs; N]) -> Result<[Request; N], Failure> {
        let mut warnings: Vec<Diagnostic> = Vec::new();
        let mut requests = Vec::new();
        for args in args {
            let resolved = source::open(&args.scenario)?.resolve(&args.variant, &args.sets)?;
            for warning in &resolved.warnings {
                if warnings.iter().all(|shown| shown.to_string() != warning.to_string()) {
                    warnings.push(warning.clone());
                }
            }
            requests.push((args, Case::from(resolved)));
        }
        failure::show_diagnostics(&warnings);
        for (args, case) in &mut requests {
            if let Some(path) = &args.faults {
                replace_faults(case, path)?;
            }
        }
        let request = |(args, case): (&ScenarioArgs, Case)| Request {
            case,
            selection: selection(args),
            is_changed: !args.sets.is_empty() || args.faults.is_some(),
        };
        let requests: Vec<Request> = requests.into_iter().map(request).collect();
        Ok(requests.try_into().expect("there are as many requests as arguments"))
    }

    /// Its settings or faults are not the scenario's own.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The command line that does something else with the same history.
    pub fn command(&self, verb: &str, seed: u64, more: &str) -> String {
        let space = if more.is_empty() { "" } else { " " };
        let selection = &self.selection;
        let (name, options) = selection.split_once('\n').unwrap_or((selection, ""));
        format!("acklab {verb} {name} --seed {seed}{options}{space}{more}")
    }
}

/// The scenario, a line break, and the options, each after a space.
pub fn selection(args: &ScenarioArgs) -> String {
    let mut words = format!("{}\n", quoted(&args.scenario));
    let mut option = |name: &str, value: &str| {
        words.push_str(&format!(" {name} {}", quoted(value)));
    };
    if args.variant != acklab_scenario::BASE {
        option("--variant", &args.variant);
    }
    for set in &args.sets {
        option("--set", &set.to_string());
    }
    if let Some(path) = &args.faults {
        option("--faults", &path.display().to_string());
    }
    words
}

/// The files that are read, with a word for each: nothing is to be written over them.
pub fn input_files(args: &ScenarioArgs) -> Vec<(&'static str, &Path)> {
    let faults = args.faults.iter().map(|path| ("the faults", path.as_path()));
    // A bare name may be that of a shipped scenario.
    let scenario = Some(Path::new(&args.scenario)).filter(|path| path.is_file());
    scenario.map(|path| ("the scenario", path)).into_iter().chain(faults).collect()
}

/// Lets the faults of a file strike in place of the scenario's.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn replace_faults(case: &mut Case, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) if path.is_dir() => {
            return Err(Failure::input(format!("`{shown}` is a folder, not a file with faults")));
        }
        Err(error) => return Err(Failure::input(format!("`{shown}` cannot be read: {error}"))),
    };
    let list = without_field_name(&text);
    let faults = ScenarioFile::parse_faults(&shown.to_string(), &list, &case.scenario)?;
    Arc::make_mut(&mut case.scenario).faults = faults;
    Ok(())
}

/// A schedule reads `faults: […],`, so that it can be pasted into a scenario. What is around the
/// list is blanked out, and places in the text stay what they are.
fn without_field_name(text: &str) -> String {
    let code = |line: &str| !line.trim_start().starts_with("//");
    let mut blanked = text.to_owned();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if code(line) && line.trim_start().starts_with(FAULTS) {
            let at = start + line.len() - line.trim_start().len();
            blanked.replace_range(at..at + FAULTS.len(), &" ".repeat(FAULTS.len()));
        }
        start += line.len();
    }
    let end = blanked.trim_end().len();
    if blanked[..end].ends_with("],") {
        blanked.replace_range(end - 1..end, " ");
    }
    blanked
}

/// What a schedule begins with.
pub const FAULTS: &str = "faults:";

/// All variants of the scenarios. Warnings are shown.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn plans(args: &ScenariosArgs) -> Result<Vec<Plan>, Failure> {
    let files = source::open_all(&args.scenarios)?;
    let mut plans = Vec::new();
    let mut wrong = Vec::new();
    for file in &files {
        match Plan::new(file, args.variant.as_deref(), &args.sets) {
            Ok(plan) => {
                failure::show_diagnostics(plan.warnings());
                plans.push(plan);
            }
            Err(found) => wrong.extend(found),
        }
    }
    if wrong.is_empty() { Ok(plans) } else { Err(Failure::Scenario(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_as_it_is_written_and_places_stay() {
        assert_eq!(
            without_field_name("// faults: x\nfaults: [A],\n"),
            "// faults: x\n        [A] \n"
        );
        assert_eq!(without_field_name("[A]"), "[A]");
        assert_eq!(without_field_name(""), "");
    }
}
