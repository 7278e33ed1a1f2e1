//! Properties that are not at the defaults of their version.

use acklab_scenario::{Difference, SettingValue};

use super::model::SettingRow;

/// As rows. A value that is inherited or not known before the run has a dash for a default.
#[must_use]
pub fn settings(differences: &[Difference]) -> Vec<SettingRow> {
    let rows = differences.iter().filter_map(|of| {
        let (owner, property) = of.path.rsplit_once('/')?;
        let SettingValue::Set(value) = &of.first else { return None };
        let default = match &of.second {
            SettingValue::Set(default) | SettingValue::Default(Some(default)) => default.clone(),
            SettingValue::Default(None) | SettingValue::Missing => "–".to_owned(),
        };
        let (owner, property) = (owner.to_owned(), property.to_owned());
        Some(SettingRow { owner, property, value: value.clone(), default })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_owner_and_a_property() {
        let of = |path: &str, default: Option<&str>| Difference {
            path: path.to_owned(),
            first: SettingValue::Set("1".to_owned()),
            second: SettingValue::Default(default.map(str::to_owned)),
        };
        let row = |owner: &str, property: &str, default: &str| SettingRow {
            owner: owner.to_owned(),
            property: property.to_owned(),
            value: "1".to_owned(),
            default: default.to_owned(),
        };
        assert_eq!(
            settings(&[of("producers/shop/acks", Some("all")), of("brokers/num.io.threads", None)]),
            [row("producers/shop", "acks", "all"), row("brokers", "num.io.threads", "–")]
        );
    }
}
