//! `acklab list`: the shipped scenarios.

use crate::args::ListArgs;
use crate::failure::{Failure, Status};
use crate::output;
use crate::source;
use crate::text::{Align, Rows, width};
use acklab_scenario::{BASE, shipped};
use serde_json::json;

/// Prints them, each with its sentence and its variants.
pub fn execute(args: &ListArgs) -> Result<Status, Failure> {
    let mut rows = Rows::new(&[Align::Left, Align::Left]).indented(0);
    let mut listed = Vec::new();
    for &(name, _) in shipped() {
        let file = source::open(name)?;
        let about = file.resolve(BASE, &[])?.scenario.about;
        let variants: Vec<&str> = file.variants().collect();
        listed.push(json!({ "name": name, "about": about, "variants": variants }));
        let variants = match variants.as_slice() {
            [] | [_] => String::new(),
            [_, variants @ ..] => format!(" [{}]", variants.join(", ")),
        };
        rows.add([name.to_owned(), format!("{about}{variants}")]);
    }
    if args.json {
        output::print_json(&json!(listed))?;
    } else {
        output::print(&rows.render(width()))?;
    }
    Ok(Status::AsExpected)
}
