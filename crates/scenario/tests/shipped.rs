//! Every shipped scenario parses, resolves in every variant without a warning, and is embedded.

use acklab_scenario::{ScenarioFile, shipped, write_faults};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

#[test]
fn every_file_is_embedded() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let embedded: Vec<&str> = shipped().iter().map(|&(name, _)| name).collect();
    assert_eq!(embedded, files);
}

#[test]
fn every_variant_resolves_without_a_warning() {
    for &(name, text) in shipped() {
        let file = ScenarioFile::parse(name, None, text).unwrap_or_else(|error| panic!("{error}"));
        for variant in file.variants() {
            let resolved = match file.resolve(variant, &[]) {
                Ok(resolved) => resolved,
                Err(errors) => panic!("{name}, {variant}:\n{}", errors[0]),
            };
            assert!(resolved.warnings.is_empty(), "{name}, {variant}: {}", resolved.warnings[0]);
            assert!(!resolved.scenario.about.is_empty() && !resolved.scenario.source.is_empty());
            assert!(!resolved.expect.is_empty(), "{name}, {variant}");
            let written = write_faults(&resolved.scenario.faults, &resolved.scenario);
            let again = ScenarioFile::parse_faults("faults", &written, &resolved.scenario);
            assert_eq!(again.as_ref(), Ok(&resolved.scenario.faults), "{written}");
        }
    }
}
