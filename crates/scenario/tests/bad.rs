//! Every scenario in `tests/bad` is refused, and its golden file holds what is said about it.
//! `UPDATE_EXPECT=1 cargo test -p acklab-scenario --test bad` writes the golden files anew.

use acklab_scenario::{Diagnostic, ScenarioFile};
use expect_test::expect_file;
use std::path::{Path, PathBuf};

/// What is said about a file: about the first variant that is refused.
fn findings(path: &Path) -> Vec<Diagnostic> {
    let file = match ScenarioFile::load(path) {
        Ok(file) => file,
        Err(error) => return vec![*error],
    };
    let refused = file.variants().find_map(|variant| file.resolve(variant, &[]).err());
    refused.unwrap_or_else(|| panic!("{} is accepted", path.display()))
}

#[test]
fn bad_scenarios_are_refused_with_place_and_help() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "ron"));
    files.sort();
    assert!(files.len() >= 40);
    for path in files {
        let mut said = String::new();
        for finding in findings(&path) {
            assert!(finding.line > 0 && finding.column > 0, "{finding}");
            let folder = format!("{}/", folder.display());
            said += &format!("{finding}\n").replace(&folder, "");
        }
        expect_file![path.with_extension("expected")].assert_eq(&said);
    }
}

#[test]
fn what_cannot_be_read_is_said_without_a_place() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let said = |path: PathBuf| {
        let error = ScenarioFile::load(&path).unwrap_err().to_string();
        error.replace(&folder.display().to_string(), "")
    };
    assert_eq!(said(folder.join("nowhere.ron")), "error: there is no file `/nowhere.ron`");
    assert_eq!(
        said(folder.join("src")),
        "error: `/src` is a folder, not a scenario\n  help: name a file in it, or several"
    );
    let binary = std::env::temp_dir().join(format!("acklab-not-utf8-{}.ron", std::process::id()));
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    let error = ScenarioFile::load(&binary).unwrap_err().to_string();
    std::fs::remove_file(&binary).unwrap();
    assert!(error.ends_with("is not UTF-8 text"), "{error}");
}
