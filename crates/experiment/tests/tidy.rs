//! The laws of the workspace that a compiler does not keep: which crate may know which.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The dependencies in a manifest's `[dependencies]`, those for tests left out.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]"));
    let lines = section.unwrap_or_default().lines().skip(1);
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("vocab", ["serde", "smallvec", "thiserror"].as_slice()),
        ("machines", &["acklab-vocab", "rand_chacha", "smallvec"]),
        (
            "verdict",
            &[
                "acklab-vocab",
                "hdrhistogram",
                "serde",
                "serde_json",
                "smallvec",
                "thiserror",
                "xxhash-rust",
            ],
        ),
        ("scenario", &["acklab-vocab", "acklab-verdict", "ron", "serde", "strsim", "thiserror"]),
        (
            "runtime",
            &[
                "acklab-vocab",
                "acklab-machines",
                "acklab-scenario",
                "libm",
                "madsim",
                "rand_chacha",
                "smallvec",
            ],
        ),
    ])
}

#[test]
fn crates_know_only_what_they_may() {
    for (name, allowed) in allowed() {
        let path = workspace().join("crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).expect("every crate has a manifest");
        for dependency in dependencies(&manifest) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "crates/{name} depends on {dependency}; if that is right, say why in ARCHITECTURE.md and allow it here"
            );
        }
    }
}

#[test]
fn only_the_runtime_names_madsim() {
    let mut offenders = Vec::new();
    for entry in fs::read_dir(workspace().join("crates")).expect("crates/ is there") {
        let path = entry.expect("a folder").path();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap_or_default();
        let is_runtime = path.ends_with("runtime");
        if !is_runtime && dependencies(&manifest).iter().any(|name| name.starts_with("madsim")) {
            offenders.push(path);
        }
    }
    assert!(offenders.is_empty(), "{offenders:?}");
}

#[test]
fn files_stay_small_enough_to_read() {
    let mut long = Vec::new();
    let mut folders = vec![workspace().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = fs::read_to_string(&path).unwrap_or_default().lines().count();
                if lines > 700 {
                    long.push((lines, path));
                }
            }
        }
    }
    assert!(long.is_empty(), "split these by Kafka's concepts: {long:#?}");
}
