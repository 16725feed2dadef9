//! The settings of one node's system ROM: what is in force, and what waits for the next boot. Pure; the automaton applies what waits when POST
//! ends, and the Redfish service shows and changes it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What values an attribute takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One of these: the value's name and what people are shown.
    Choice(&'static [(&'static str, &'static str)]),
    /// A whole number from, to, in steps of.
    Number(i64, i64, i64),
    /// Text of so many characters at most.
    Text(usize),
    /// Yes or no.
    Flag,
    /// A password, never shown.
    Secret,
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: &'static str,
    /// What people are shown.
    pub display: &'static str,
    /// Values.
    pub takes: Takes,
    /// Cannot be written.
    pub read_only: bool,
    /// Can be written only while another attribute has a value.
    pub only_while: Option<(&'static str, &'static str)>,
}

const SWITCH: Takes = Takes::Choice(&[("Enabled", "On"), ("Disabled", "Off")]);

const fn attribute(name: &'static str, display: &'static str, takes: Takes) -> Attribute {
    Attribute { name, display, takes, read_only: false, only_while: None }
}

/// All attributes: one of each kind that the captured registries hold, in Dell's spelling.
pub const ATTRIBUTES: [Attribute; 9] = [
    Attribute {
        only_while: Some(("AcPwrRcvryDelay", "User")),
        ..attribute("AcPwrRcvryUserDelay", "User Defined Delay", Takes::Number(60, 600, 10))
    },
    attribute(
        "AcPwrRcvry",
        "AC Power Recovery",
        Takes::Choice(&[("Last", "Last State"), ("On", "Power On"), ("Off", "Stay Off")]),
    ),
    attribute(
        "AcPwrRcvryDelay",
        "AC Power Recovery Delay",
        Takes::Choice(&[("Immediate", "Immediate"), ("Random", "Random"), ("User", "User Defined")]),
    ),
    attribute("Above4GDecoding", "Above 4G Decoding", Takes::Flag),
    attribute("AssetTag", "Asset Tag", Takes::Text(32)),
    attribute(
        "NumaNodesPerSocket",
        "NUMA Nodes Per Socket",
        Takes::Choice(&[("NPS1", "One Node per Socket"), ("NPS2", "Two Nodes per Socket"), ("NPS4", "Four Nodes per Socket")]),
    ),
    attribute("SetupPassword", "Setup Password", Takes::Secret),
    attribute("SriovGlobalEnable", "SR-IOV Global Enable", SWITCH),
    Attribute { read_only: true, ..attribute("SystemModelName", "System Model Name", Takes::Text(40)) },
];

/// Why an attribute was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such attribute.
    Unknown,
    /// It cannot be written, or not now.
    ReadOnly,
    /// The value is of another kind.
    Kind,
    /// The value is not one of those that are taken.
    Value,
}

/// The settings of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Bios {
    current: BTreeMap<&'static str, Value>,
    pending: BTreeMap<&'static str, Value>,
    /// A job of the vendor's must exist before the next boot takes what waits.
    needs_job: bool,
    jobs: Vec<bool>,
    applied: u32,
}

impl Bios {
    /// The defaults of a ROM; `model` is what it calls the system.
    #[must_use]
    pub fn new(model: &str) -> Self {
        let value = |a: &Attribute| match (a.name, a.takes) {
            ("SystemModelName", _) => json!(model),
            (_, Takes::Choice(all)) => {
                all.last().filter(|_| a.name == "SriovGlobalEnable").or(all.first()).map_or(Value::Null, |(n, _)| json!(n))
            }
            (_, Takes::Number(low, ..)) => json!(low),
            (_, Takes::Text(_)) => json!(""),
            (_, Takes::Flag) => json!(true),
            (_, Takes::Secret) => Value::Null,
        };
        let current = ATTRIBUTES.iter().map(|a| (a.name, value(a))).collect();
        Self { current, pending: BTreeMap::new(), needs_job: false, jobs: Vec::new(), applied: 0 }
    }

    /// In force.
    #[must_use]
    pub fn current(&self) -> &BTreeMap<&'static str, Value> {
        &self.current
    }

    /// Waiting for the next boot.
    #[must_use]
    pub fn pending(&self) -> &BTreeMap<&'static str, Value> {
        &self.pending
    }

    /// How often a boot took what waited.
    #[must_use]
    pub fn applied(&self) -> u32 {
        self.applied
    }

    /// Jobs by number from 1, and whether each is done.
    #[must_use]
    pub fn jobs(&self) -> &[bool] {
        &self.jobs
    }

    /// Makes a job for what waits; its number, or `None` when nothing waits or a job waits already.
    pub fn schedule(&mut self) -> Option<usize> {
        if self.pending.is_empty() || self.jobs.contains(&false) {
            return None;
        }
        self.jobs.push(false);
        Some(self.jobs.len())
    }

    /// What is wrong with a value that is to be written along with `others`.
    fn refusal(&self, name: &str, value: &Value, others: &BTreeMap<&'static str, Value>) -> Option<Refusal> {
        let Some(attribute) = ATTRIBUTES.iter().find(|a| a.name == name) else { return Some(Refusal::Unknown) };
        if attribute.read_only {
            return Some(Refusal::ReadOnly);
        }
        if let Some((other, needed)) = attribute.only_while {
            let held = others.get(other).or(self.pending.get(other)).or(self.current.get(other));
            if held.and_then(Value::as_str) != Some(needed) {
                return Some(Refusal::ReadOnly);
            }
        }
        let fits = match (attribute.takes, value) {
            (Takes::Choice(all), Value::String(word)) => all.iter().any(|(name, _)| name == word),
            (Takes::Number(low, high, step), Value::Number(number)) => {
                number.as_i64().is_some_and(|n| (low..=high).contains(&n) && (n - low) % step == 0)
            }
            (Takes::Text(most), Value::String(text)) => text.chars().count() <= most,
            (Takes::Secret, Value::String(text)) => text.len() <= 32,
            (Takes::Flag, Value::Bool(_)) => true,
            _ => return Some(Refusal::Kind),
        };
        (!fits).then_some(Refusal::Value)
    }

    /// Takes all of these or none, to wait for the next boot. With `needs_job` they wait for a job too.
    ///
    /// # Errors
    /// Every attribute that is not taken, with why.
    pub fn write(&mut self, wanted: &BTreeMap<String, Value>, needs_job: bool) -> Result<(), Vec<(String, Refusal)>> {
        let known: BTreeMap<&'static str, Value> =
            ATTRIBUTES.iter().filter_map(|a| Some((a.name, wanted.get(a.name)?.clone()))).collect();
        let wrong: Vec<(String, Refusal)> =
            wanted.iter().filter_map(|(name, value)| Some((name.clone(), self.refusal(name, value, &known)?))).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.needs_job = needs_job;
        for (name, value) in known {
            if self.current.get(name) == Some(&value) {
                self.pending.remove(name);
            } else {
                self.pending.insert(name, value);
            }
        }
        Ok(())
    }

    /// POST has ended: what waited is in force, if nothing holds it back.
    pub fn boot(&mut self) {
        let scheduled = self.jobs.contains(&false);
        if self.pending.is_empty() || (self.needs_job && !scheduled) {
            return;
        }
        self.jobs.iter_mut().for_each(|done| *done = true);
        self.current.append(&mut self.pending);
        // A password is taken and not shown.
        self.current.insert("SetupPassword", Value::Null);
        self.needs_job = false;
        self.applied = self.applied.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
    }

    #[test]
    fn all_or_none_is_taken_and_waits_for_the_boot() {
        let mut bios = Bios::new("M");
        let wrong = bios.write(
            &wish(&[
                ("SriovGlobalEnable", json!("Enabled")),
                ("Nothing", json!(1)),
                ("SystemModelName", json!("x")),
                ("Above4GDecoding", json!("yes")),
                ("AcPwrRcvryUserDelay", json!(70)),
            ]),
            false,
        );
        let why: BTreeMap<String, Refusal> = wrong.unwrap_err().into_iter().collect();
        assert_eq!(why.get("Nothing"), Some(&Refusal::Unknown));
        assert_eq!(
            (why.get("SystemModelName"), why.get("AcPwrRcvryUserDelay")),
            (Some(&Refusal::ReadOnly), Some(&Refusal::ReadOnly))
        );
        assert_eq!((why.get("Above4GDecoding"), why.len()), (Some(&Refusal::Kind), 4));
        assert!(bios.pending().is_empty());
        bios.write(&wish(&[("AcPwrRcvryDelay", json!("User")), ("AcPwrRcvryUserDelay", json!(70))]), false).unwrap();
        assert_eq!(bios.write(&wish(&[("AcPwrRcvryUserDelay", json!(65))]), false).unwrap_err()[0].1, Refusal::Value);
        assert_eq!(bios.current()["AcPwrRcvryUserDelay"], json!(60));
        bios.boot();
        assert_eq!((bios.current()["AcPwrRcvryUserDelay"].clone(), bios.pending().len(), bios.applied()), (json!(70), 0, 1));
    }

    #[test]
    fn what_needs_a_job_waits_for_it() {
        let mut bios = Bios::new("M");
        bios.write(&wish(&[("SriovGlobalEnable", json!("Enabled"))]), true).unwrap();
        bios.boot();
        assert_eq!((bios.pending().len(), bios.applied()), (1, 0));
        assert_eq!((bios.schedule(), bios.schedule()), (Some(1), None));
        bios.boot();
        assert_eq!((bios.pending().len(), bios.jobs()), (0, &[true][..]));
    }
}
