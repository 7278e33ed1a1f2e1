//! A scenario's file: its text, its variants, and their resolution.

use crate::compare::{self, Difference};
use crate::decode::{Fields, list, map, text};
use crate::diagnostic::{Diagnostic, Finding, Report, Source, Span};
use crate::expect::{Comparison, Expectation, ShareExpectation};
use crate::model::Scenario;
use crate::resolve::{self, SCENARIO, VARIANT};
use crate::settings::{Change, Setting, apply};
use crate::syntax::{Argument, Call, Node, SyntaxError, Value, Word, parse};
use crate::write::Draft;
use std::path::Path;
use std::sync::Arc;

/// The name of the variant that is the file as it stands.
pub const BASE: &str = "base";

/// A scenario's text, parsed: everything that can be said without choosing a variant.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    name: String,
    source: Source,
    root: Node,
    variants: Vec<VariantText>,
    comparisons: Vec<Comparison>,
}

/// One variant, ready to run, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What to run.
    pub scenario: Scenario,
    /// What must hold in every seed.
    pub expect: Vec<Expectation>,
    /// What must hold in a share of the seeds of a sweep.
    pub expect_share: Vec<ShareExpectation>,
    /// Kafka's properties that it sets to something else than the default of its version: what is
    /// set first, then the default.
    pub settings: Vec<Difference>,
    /// What is odd about it.
    pub warnings: Vec<Diagnostic>,
}

/// A variant as the file gives it.
#[derive(Clone, Debug)]
struct VariantText {
    name: String,
    changes: Vec<Change>,
    faults: Option<Node>,
    expect: Option<Node>,
    expect_share: Option<Node>,
}

impl ScenarioFile {
    /// Parses a scenario's text. `path` is what diagnostics call it.
    ///
    /// # Errors
    /// The first place at which the text is not a scenario.
    pub fn parse(
        name: &str,
        path: Option<&Path>,
        text: &str,
    ) -> Result<ScenarioFile, Box<Diagnostic>> {
        let origin = path.map_or_else(|| format!("{name}.ron"), |path| path.display().to_string());
        let source =
            Source { origin: origin.into(), path: path.map(Path::to_owned), text: text.into() };
        let mut report = Report::new(vec![source.clone()]);
        let root = match parse(text, 0, 0) {
            Ok(root) => root,
            Err(error) => return Err(syntax_diagnostic(&mut report, error)),
        };
        let parts = document(&root, &mut report);
        match (parts, report.errors.into_iter().next()) {
            (Some((variants, comparisons)), None) => {
                Ok(ScenarioFile { name: name.to_owned(), source, root, variants, comparisons })
            }
            (_, Some(error)) => Err(Box::new(error)),
            (None, None) => unreachable!("what is not decoded is reported"),
        }
    }

    /// Reads and parses a file. The scenario is called as the file, without `.ron`.
    ///
    /// # Errors
    /// The file cannot be read, or its text is not a scenario.
    pub fn load(path: &Path) -> Result<ScenarioFile, Box<Diagnostic>> {
        let refused = |message: String, help: Option<&str>| {
            Box::new(Diagnostic::without_place(message, path, help.map(str::to_owned)))
        };
        let shown = path.display();
        if path.is_dir() {
            let help = "name a file in it, or several";
            return Err(refused(format!("`{shown}` is a folder, not a scenario"), Some(help)));
        }
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => refused(format!("there is no file `{shown}`"), None),
            _ => refused(format!("`{shown}` cannot be read: {error}"), None),
        })?;
        if bytes.len() > LARGEST_FILE {
            return Err(refused(format!("`{shown}` is too large for a scenario"), None));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| refused(format!("`{shown}` is not UTF-8 text"), None))?;
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        ScenarioFile::parse(&name, Some(path), &text)
    }

    /// The scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// The names of the variants, `base` first.
    pub fn variants(&self) -> impl Iterator<Item = &str> {
        std::iter::once(BASE).chain(self.variants.iter().map(|variant| variant.name.as_str()))
    }

    /// The comparisons between variants.
    #[must_use]
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// A variant with settings on top, resolved and checked.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn resolve(&self, variant: &str, sets: &[Setting]) -> Result<Resolved, Vec<Diagnostic>> {
        let mut report = Report::new(self.sources(sets));
        let Some(chosen) = self.variant(variant, &mut report) else {
            return Err(report.errors);
        };
        let root = self.tree(chosen, sets, &mut report);
        let scenario = resolve::scenario(&root, &self.name, variant, &mut report);
        let groups = resolve::group_names(field(&root, "groups"));
        let expect = resolve::expectations(
            field(&self.root, "expect"),
            chosen.and_then(|variant| variant.expect.as_ref()),
            &groups,
            &mut report,
        );
        let expect_share = match chosen {
            None => field(&self.root, "expect_share"),
            Some(chosen) => chosen.expect_share.as_ref(),
        };
        let expect_share = resolve::share_expectations(expect_share, &groups, &mut report);
        match (scenario, report.errors.is_empty()) {
            (Some(scenario), true) => {
                let settings = compare::from_defaults(&root, scenario.kafka);
                let warnings = report.warnings;
                Ok(Resolved { scenario, expect, expect_share, settings, warnings })
            }
            (_, false) => Err(report.errors),
            (None, true) => unreachable!("what is not resolved is reported"),
        }
    }

    /// A variant with settings on top as a file of its own, to be changed and written out.
    ///
    /// # Errors
    /// Everything that is wrong with the choice of the variant and with the settings.
    pub fn draft(&self, variant: &str, sets: &[Setting]) -> Result<Draft, Vec<Diagnostic>> {
        let mut report = Report::new(self.sources(sets));
        let Some(chosen) = self.variant(variant, &mut report) else {
            return Err(report.errors);
        };
        let root = self.tree(chosen, sets, &mut report);
        if report.errors.is_empty() { Ok(Draft::of(&self.name, root)) } else { Err(report.errors) }
    }

    /// The tree of a variant with settings on top.
    fn tree(&self, chosen: Option<&VariantText>, sets: &[Setting], report: &mut Report) -> Node {
        let mut root = self.root.clone();
        for change in chosen.iter().flat_map(|variant| &variant.changes) {
            apply(&mut root, change, report);
        }
        if let Some(faults) = chosen.and_then(|variant| variant.faults.as_ref()) {
            replace_field(&mut root, "faults", faults);
        }
        for (position, setting) in sets.iter().enumerate() {
            let source = u16::try_from(position + 1).unwrap_or(u16::MAX);
            apply(&mut root, &setting.change(source), report);
        }
        root
    }

    /// What two variants, each with settings on top, set differently.
    ///
    /// # Errors
    /// Everything that is wrong with either.
    pub fn differences(
        &self,
        first: (&str, &[Setting]),
        second: (&str, &[Setting]),
    ) -> Result<Vec<Difference>, Vec<Diagnostic>> {
        let side = |(variant, sets): (&str, &[Setting])| {
            let version = self.resolve(variant, sets)?.scenario.kafka;
            let mut report = Report::new(self.sources(sets));
            let tree = self.variant(variant, &mut report);
            let tree = tree.map(|chosen| self.tree(chosen, sets, &mut report));
            tree.map(|tree| (tree, version)).ok_or(report.errors)
        };
        let (first, second) = (side(first)?, side(second)?);
        Ok(compare::differences((&first.0, first.1), (&second.0, second.1)))
    }

    /// Resolves the text of a list of faults, as [`write_faults`](crate::write_faults) prints it,
    /// against a scenario.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse_faults(
        origin: &str,
        text: &str,
        scenario: &Scenario,
    ) -> Result<Vec<crate::model::FaultSpec>, Vec<Diagnostic>> {
        let source = Source { origin: origin.into(), path: None, text: text.into() };
        let mut report = Report::new(vec![source]);
        let node = match parse(text, 0, 0) {
            Ok(node) => node,
            Err(error) => return Err(vec![*syntax_diagnostic(&mut report, error)]),
        };
        let faults = resolve::faults_of(&node, scenario, &mut report);
        match (faults, report.errors.is_empty()) {
            (Some(faults), true) => Ok(faults),
            _ => Err(report.errors),
        }
    }

    fn sources(&self, sets: &[Setting]) -> Vec<Source> {
        let setting = |setting: &Setting| Source {
            origin: Arc::from("--set"),
            path: None,
            text: setting.text().into(),
        };
        std::iter::once(self.source.clone()).chain(sets.iter().map(setting)).collect()
    }

    /// `Some(None)` is the base.
    fn variant(&self, name: &str, report: &mut Report) -> Option<Option<&VariantText>> {
        if name == BASE {
            return Some(None);
        }
        let found = self.variants.iter().find(|variant| variant.name == name);
        if found.is_none() {
            let finding = Finding::new(format!("`{}` has no variant `{name}`", self.name))
                .did_you_mean(name, self.variants());
            report.error(Span::new(0, 0..0), finding);
        }
        found.map(Some)
    }
}

fn syntax_diagnostic(report: &mut Report, error: SyntaxError) -> Box<Diagnostic> {
    let mut finding = Finding::new(error.message);
    if let Some(help) = error.help {
        finding = finding.help(help);
    }
    report.error(error.span, finding);
    Box::new(report.errors.remove(0))
}

/// What does not depend on the choice of a variant.
fn document(root: &Node, report: &mut Report) -> Option<(Vec<VariantText>, Vec<Comparison>)> {
    if let Value::Call(Call { name: Some(name), .. }) = &root.value
        && name.text != "Scenario"
    {
        let finding = Finding::new(format!("a file holds a `Scenario`, not a `{}`", name.text));
        report.error(name.span, finding);
        return None;
    }
    let fields = Fields::of(root, "a scenario", SCENARIO, report)?;
    let variants = fields.or("variants", Vec::new(), report, variants)?;
    let mut names = vec![BASE];
    names.extend(variants.iter().map(|variant| variant.name.as_str()));
    let comparisons = match fields.get("compare") {
        None => Vec::new(),
        Some(node) => {
            let groups = resolve::group_names(fields.get("groups"));
            resolve::comparisons(node, &names, &groups, report)?
        }
    };
    Some((variants, comparisons))
}

fn variants(node: &Node, report: &mut Report) -> Option<Vec<VariantText>> {
    let mut variants = Vec::new();
    for (name, node) in map(node, "variants by name", report)? {
        if name.text == BASE {
            let finding = Finding::new("`base` is the file as it stands: choose another name");
            report.error(name.span, finding);
            return None;
        }
        variants.push(variant(name, node, report)?);
    }
    Some(variants)
}

fn variant(name: Word, node: &Node, report: &mut Report) -> Option<VariantText> {
    let fields = Fields::of(node, "a variant", VARIANT, report)?;
    let changes = fields.or("set", Vec::new(), report, |node, report| {
        let entries = map(node, "settings by path", report)?;
        Some(
            entries
                .into_iter()
                .map(|(path, value)| Change { path, value: value.clone() })
                .collect(),
        )
    })?;
    if let Some(about) = fields.get("about") {
        text(about, "a sentence", report)?;
    }
    if let Some(faults) = fields.get("faults") {
        list(faults, "a list of faults", report)?;
    }
    let owned = |name: &'static str| fields.get(name).cloned();
    Some(VariantText {
        name: name.text,
        changes,
        faults: owned("faults"),
        expect: owned("expect"),
        expect_share: owned("expect_share"),
    })
}

/// The field of a struct.
pub(crate) fn field<'n>(root: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Call(Call { arguments: Some(arguments), .. }) = &root.value else {
        return None;
    };
    let named = |argument: &&Argument| argument.name.as_ref().is_some_and(|w| w.text == name);
    arguments.iter().find(named).map(|argument| &argument.value)
}

fn replace_field(root: &mut Node, name: &str, value: &Node) {
    let Value::Call(Call { arguments: Some(arguments), .. }) = &mut root.value else {
        return;
    };
    arguments.retain(|argument| argument.name.as_ref().is_none_or(|word| word.text != name));
    let word = Word { text: name.to_owned(), span: value.span };
    arguments.push(Argument { name: Some(word), value: value.clone() });
}

/// A scenario is a page or two.
const LARGEST_FILE: usize = 16 << 20;
