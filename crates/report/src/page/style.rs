//! The style sheet and the script, as they stand in every page.

use crate::plot::Ink;

/// Moves the slider's rule through the panels, and the cluster's state with it.
pub const SCRIPT: &str = include_str!("../../templates/slider.js");

const SHEET: &str = include_str!("../../templates/style.css");

/// The style sheet, with a class for lines and one for areas of each ink.
pub fn sheet() -> String {
    let class = |ink: Ink| {
        let (number, name) = (ink.number(), ink.name());
        let class =
            format!(".s{number}{{stroke:var(--{name});fill:none}}.f{number}{{fill:var(--{name})}}");
        if !ink.is_of_data() {
            return class;
        }
        // Letters are thinner than lines and areas, so they need more contrast.
        format!("{class}text.f{number}{{fill:color-mix(in srgb,var(--{name}) 65%,var(--text))}}")
    };
    let inks: String = Ink::ALL.into_iter().map(class).collect();
    SHEET.replace("{{inks}}", &inks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ink_has_a_colour_in_light_dark_and_print() {
        let sheet = sheet();
        for ink in Ink::ALL {
            let name = format!("--{}:#", ink.name());
            assert_eq!(sheet.matches(&name).count(), 3, "{name}");
        }
    }

    #[test]
    fn the_script_is_small_and_cannot_end_its_element() {
        assert!(SCRIPT.len() <= 10_240, "{}", SCRIPT.len());
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!sheet().contains("</") && !sheet().contains("url("));
    }
}
