//! Rules between attributes: when some have certain values, a property of another has one. Judged on plain values; what cannot be judged is silent.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::error::safe;
use super::super::json;
use super::json_of;
use crate::bmc::settings::BiosValue;

/// One side condition of another attribute's value.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    attribute: String,
    condition: String,
    value: Value,
    /// `OR` joins it to the one before.
    or: bool,
}

/// A rule: when the terms hold, a property of an attribute has a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    terms: Vec<Term>,
    to: String,
    property: String,
    value: Value,
}

impl Rule {
    /// Reads one; `None` for one that is not understood.
    pub(super) fn read(dependency: &Value) -> Option<Self> {
        let map = dependency.get("Dependency").unwrap_or(dependency);
        let term = |t: &Value| {
            // Rules about anything but a value (`ReadOnly`, `Hidden` of another attribute) are beyond what is told.
            let value = json::word(t, "MapFromProperty").is_none_or(|p| p == "CurrentValue").then(|| t.get("MapFromValue"))??;
            Some(Term {
                attribute: json::word(t, "MapFromAttribute")?.to_owned(),
                condition: json::word(t, "MapFromCondition").unwrap_or("EQU").to_owned(),
                value: value.clone(),
                or: json::word(t, "MapTerms") == Some("OR"),
            })
        };
        let terms: Option<Vec<Term>> = json::list(map, "MapFrom").iter().map(term).collect();
        Some(Rule {
            terms: terms.filter(|terms| !terms.is_empty())?,
            to: json::word(map, "MapToAttribute")?.to_owned(),
            property: json::word(map, "MapToProperty")?.to_owned(),
            value: map.get("MapToValue")?.clone(),
        })
    }

    /// Whether the terms hold; `None` when one cannot be judged.
    pub(super) fn holds(&self, values: &BTreeMap<String, BiosValue>) -> Option<bool> {
        let mut all: Option<bool> = None;
        for term in &self.terms {
            let so = term.holds(values)?;
            all = Some(match all {
                None => so,
                Some(before) if term.or => before || so,
                Some(before) => before && so,
            });
        }
        all
    }

    /// What a person who changes `name` should know of it; the terms hold.
    pub(super) fn told(&self, name: &str, after: &BTreeMap<String, BiosValue>) -> Option<String> {
        if self.to != name && self.terms.iter().all(|t| t.attribute != name) {
            return None;
        }
        let terms = self.terms.iter().map(|t| format!("{} {} {}", safe(&t.attribute, 64), sign(&t.condition), plain(&t.value)));
        let because = terms.collect::<Vec<_>>().join(", ");
        match self.property.as_str() {
            "ReadOnly" | "GrayOut" if self.to == name && truth(&self.value) => {
                Some(format!("{name}: by the registry it cannot be changed while {because}"))
            }
            "CurrentValue" if self.to != name && after.get(&self.to).map(json_of).as_ref() != Some(&self.value) => {
                let (to, value) = (safe(&self.to, 64), plain(&self.value));
                Some(format!("{name}: by the registry {to} becomes {value} with it ({because})"))
            }
            _ => None,
        }
    }
}

impl Term {
    fn holds(&self, values: &BTreeMap<String, BiosValue>) -> Option<bool> {
        let held = values.get(&self.attribute)?;
        let same = json_of(held) == self.value || held.to_string() == plain(&self.value);
        let numbers = match (held, self.value.as_i64()) {
            (BiosValue::Integer(held), Some(wanted)) => Some(held.cmp(&wanted)),
            _ => None,
        };
        match self.condition.as_str() {
            "EQU" => Some(same),
            "NEQ" => Some(!same),
            "GTR" => numbers.map(std::cmp::Ordering::is_gt),
            "GEQ" => numbers.map(std::cmp::Ordering::is_ge),
            "LSS" => numbers.map(std::cmp::Ordering::is_lt),
            "LEQ" => numbers.map(std::cmp::Ordering::is_le),
            _ => None,
        }
    }
}

fn sign(condition: &str) -> &str {
    match condition {
        "EQU" => "is",
        "NEQ" => "is not",
        "GTR" => ">",
        "GEQ" => ">=",
        "LSS" => "<",
        "LEQ" => "<=",
        _ => "?",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| safe(&value.to_string(), 64), |text| safe(text, 64))
}

/// True for what BMCs write when they mean yes.
pub(super) fn truth(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
