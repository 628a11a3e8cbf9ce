//! Mistakes that are refused as soon as an object is written, each with the words that name the
//! mend: tried against both doors by tests, and shown in `docs/reference/mistakes.md`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{GROUP, VERSION};

const LIST: &str = include_str!("../mistakes.yaml");

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mistake {
    /// What was done, in a few words.
    pub mistake: String,
    /// Of the object.
    pub kind: String,
    /// As somebody would write it.
    pub spec: String,
    /// The field that the refusal names.
    pub at: String,
    /// A part of the refusal, the same from an API server and from files.
    pub says: String,
}

impl Mistake {
    /// The whole object.
    ///
    /// Errors: a spec that is no YAML.
    pub fn object(&self) -> Result<Value, serde_saphyr::Error> {
        let spec: Value = serde_saphyr::from_str(&self.spec)?;
        Ok(json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": self.kind,
            "metadata": {"name": "mistaken"}, "spec": spec,
        }))
    }
}

/// Gives all of them.
///
/// Errors: a list that is not as [`Mistake`] says, which a test would have told.
pub fn mistakes() -> Result<Vec<Mistake>, serde_saphyr::Error> {
    serde_saphyr::from_str(LIST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Admission;

    #[test]
    fn each_is_refused_with_its_field_and_its_mend() {
        let admission = Admission::new().expect("schemas");
        let mistakes = mistakes().expect("the list");
        assert!(mistakes.len() >= 25, "{}", mistakes.len());
        let mut unlike = Vec::new();
        for mistake in mistakes {
            let faults = match admission.admit(mistake.object().expect("YAML")) {
                Ok(_) => Vec::new(),
                Err(faults) => faults,
            };
            let is_told = faults
                .iter()
                .any(|fault| fault.path == mistake.at && fault.message.contains(&mistake.says));
            if !is_told {
                unlike.push((mistake, faults));
            }
        }
        assert!(unlike.is_empty(), "{unlike:#?}");
    }
}
