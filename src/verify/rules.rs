//! The policy's version lists, read once per judgement. An entry that cannot be read makes its check inconclusive, never empty.

use super::check::{finding, unheard};
use super::version::VersionRule;
use crate::model::{Finding, Policy, Reading, Verdict};

/// Driver and firmware lists.
pub(super) struct Rules {
    pub(super) driver: List,
    pub(super) firmware: List,
}

/// One list.
pub(super) struct List {
    rules: Vec<VersionRule>,
    bad: Option<String>,
}

impl Rules {
    pub(super) fn of(policy: &Policy) -> Self {
        Self { driver: List::of(&policy.driver_in), firmware: List::of(&policy.firmware_in) }
    }

    /// Findings on the policy itself.
    pub(super) fn findings(&self) -> Vec<Finding> {
        [&self.driver, &self.firmware]
            .into_iter()
            .filter_map(|list| list.bad.as_deref())
            .map(|why| unheard("policy", why))
            .collect()
    }
}

impl List {
    fn of(entries: &[String]) -> Self {
        let mut list = Self { rules: Vec::new(), bad: None };
        for entry in entries {
            match VersionRule::parse(entry) {
                Ok(rule) => list.rules.push(rule),
                Err(error) => list.bad = Some(error.to_string()),
            }
        }
        list
    }

    /// An empty list allows any version that can be read; where no source tells the version (`told` is false) it then only notes the silence.
    pub(super) fn judge(&self, check: &'static str, seen: &Reading<String>, told: bool) -> Finding {
        let any = self.rules.is_empty() && self.bad.is_none();
        match seen {
            Reading::Known(version) if any => finding(check, Verdict::Pass, format!("{version}; the policy allows any")),
            Reading::Known(version) if self.rules.iter().any(|rule| rule.allows(version)) => {
                finding(check, Verdict::Pass, version.clone())
            }
            Reading::Known(version) => match &self.bad {
                Some(why) => unheard(check, why),
                None => finding(check, Verdict::Quarantine, format!("{version} is not one that the policy allows")),
            },
            silent => {
                let why = silent.why_unknown().unwrap_or("the device says that it has none");
                let verdict = if any && !told { Verdict::Note } else { Verdict::Inconclusive };
                finding(check, verdict, why)
            }
        }
    }
}
