//! The attribute registry that a BIOS names (DSP0268, AttributeRegistry): which attributes there are, what values they take, and what depends on
//! what. It judges a wish before anything is sent; it reads and writes nothing.

mod find;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use self::rule::{Rule, truth};
use super::error::safe;
use super::json;
use crate::bmc::settings::BiosValue;

/// Most values that are named in a message.
const NAMED: usize = 12;
/// Most dependencies that are told of one attribute.
const TOLD: usize = 4;
/// Longest name of an attribute; the longest in the captured registries has 60 characters.
const LONGEST: usize = 256;

/// What values an attribute takes.
#[derive(Debug, Clone, PartialEq)]
enum Takes {
    /// One of these: name and what people are shown.
    Choice(Vec<(String, Option<String>)>),
    /// A whole number within bounds, in steps.
    Number { low: Option<i64>, high: Option<i64>, step: Option<i64> },
    /// Text within bounds of length.
    Text { least: Option<u64>, most: Option<u64> },
    /// Yes or no.
    Flag,
    /// A password.
    Secret,
    /// A kind that the registry does not name.
    Untold,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    takes: Takes,
    fixed: bool,
}

/// A registry.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Registry {
    /// Its own id, escaped.
    pub(super) id: String,
    /// BIOS versions that it says it is for.
    pub(super) firmware: Vec<String>,
    entries: BTreeMap<String, Entry>,
    rules: Vec<Rule>,
}

/// A wish that was judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Judged {
    /// What is to be sent, under the names that this BIOS uses.
    pub(super) send: BTreeMap<String, BiosValue>,
    /// What a person should know of it.
    pub(super) remarks: Vec<String>,
    /// What is wrong with it, one line an attribute.
    pub(super) mistakes: Vec<String>,
}

/// A value as a resource holds it.
pub(super) fn value_of(value: &Value) -> BiosValue {
    match value {
        Value::String(text) => BiosValue::Text(safe_value(text)),
        Value::Bool(flag) => BiosValue::Boolean(*flag),
        Value::Number(number) => number.as_i64().map_or_else(|| BiosValue::Text(number.to_string()), BiosValue::Integer),
        Value::Null => BiosValue::Null,
        Value::Array(_) | Value::Object(_) => BiosValue::Text(safe(&value.to_string(), 1_024)),
    }
}

/// Text of a BMC, escaped but not trimmed: a value with spaces around it is another value.
fn safe_value(text: &str) -> String {
    if text.len() <= 1_024 && text.chars().all(|c| c == '"' || c == '\'' || c == '\\' || c.escape_debug().eq([c])) {
        return text.to_owned();
    }
    safe(text, 1_024)
}

/// A value as it is sent.
pub(super) fn json_of(value: &BiosValue) -> Value {
    match value {
        BiosValue::Text(text) => Value::from(text.as_str()),
        BiosValue::Integer(number) => Value::from(*number),
        BiosValue::Boolean(flag) => Value::from(*flag),
        BiosValue::Null => Value::Null,
    }
}

/// The attributes of a resource, by name.
pub(super) fn attributes(resource: &Value) -> BTreeMap<String, BiosValue> {
    let all = resource.get("Attributes").and_then(Value::as_object);
    all.into_iter()
        .flatten()
        .filter(|(name, _)| name.len() <= LONGEST)
        .map(|(name, v)| (safe(name, LONGEST), value_of(v)))
        .collect()
}

impl Registry {
    /// Reads a registry; whatever is not understood is left out.
    pub(super) fn read(value: &Value) -> Self {
        let none = Value::Null;
        let entries = value.get("RegistryEntries").unwrap_or(&none);
        let attributes = json::list(entries, "Attributes").iter().filter_map(|a| {
            let name = json::word(a, "AttributeName").filter(|name| name.len() <= LONGEST)?;
            Some((name.to_owned(), Entry { takes: takes(a), fixed: is(a, "ReadOnly") || is(a, "Immutable") }))
        });
        let systems = json::list(value, "SupportedSystems");
        Self {
            id: json::text(value, "Id").map(|id| safe(&id, 128)).unwrap_or_default(),
            firmware: systems.iter().filter_map(|s| json::text(s, "FirmwareVersion")).map(|v| safe(&v, 128)).collect(),
            entries: attributes.collect(),
            rules: json::list(entries, "Dependencies").iter().filter_map(Rule::read).collect(),
        }
    }

    /// True when it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Judges a wish. `current` are the attributes that this node has; `planned` is what they will be after the next boot without the wish.
    pub(super) fn judge(
        &self,
        wish: &BTreeMap<String, BiosValue>,
        current: &BTreeMap<String, BiosValue>,
        planned: &BTreeMap<String, BiosValue>,
    ) -> Judged {
        let mut judged = Judged::default();
        for (asked, value) in wish {
            let shown = safe(asked, 128);
            let name = match find(asked, current) {
                Ok(name) => name,
                Err(near) => {
                    judged.mistakes.push(format!("{shown}: this BIOS has no such attribute{near}"));
                    continue;
                }
            };
            if name != asked {
                judged.remarks.push(format!("{shown} is called {name} in this BIOS"));
            }
            match self.value(name, value, current.get(name)) {
                Ok((value, remark)) => {
                    judged.remarks.extend(remark.map(|remark| format!("{name}: {remark}")));
                    judged.send.insert(name.to_owned(), value);
                }
                Err(why) => judged.mistakes.push(format!("{shown}: {why}")),
            }
        }
        let mut after = planned.clone();
        after.extend(judged.send.clone());
        for name in judged.send.keys() {
            judged.remarks.extend(self.consequences(name, &after));
        }
        judged
    }

    /// The value in the kind that the attribute has, with a remark when it was read as another spelling.
    fn value(&self, name: &str, value: &BiosValue, current: Option<&BiosValue>) -> Result<(BiosValue, Option<String>), String> {
        let Some(entry) = self.entries.get(name) else {
            return Ok((like(value, current)?, None));
        };
        if entry.fixed {
            return Err("it is read-only".to_owned());
        }
        let text = value.to_string();
        match &entry.takes {
            Takes::Choice(all) => choose(&text, all).map(|(value, remark)| (BiosValue::Text(value), remark)),
            Takes::Number { low, high, step } => {
                let number = text.trim().parse::<i64>().map_err(|_| format!("`{}` is not a whole number", safe(&text, 64)))?;
                let bounds = || {
                    format!(
                        "{} to {}",
                        low.map_or_else(|| "?".into(), |l| l.to_string()),
                        high.map_or_else(|| "?".into(), |h| h.to_string())
                    )
                };
                if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
                    return Err(format!("{number} is not within {}", bounds()));
                }
                if let Some(step) = step.filter(|step| *step > 1)
                    && number.checked_sub(low.unwrap_or(0)).is_none_or(|above| above % step != 0)
                {
                    return Err(format!("{number} is not a step of {step} within {}", bounds()));
                }
                Ok((BiosValue::Integer(number), None))
            }
            Takes::Text { least, most } => {
                let length = text.chars().count() as u64;
                if least.is_some_and(|least| length < least) || most.is_some_and(|most| most > 0 && length > most) {
                    let (least, most) = (least.unwrap_or(0), most.map_or_else(|| "any".to_owned(), |most| most.to_string()));
                    return Err(format!("it takes {least} to {most} characters, and these are {length}"));
                }
                Ok((BiosValue::Text(text), None))
            }
            Takes::Flag => flag(&text).map(|value| (value, None)),
            Takes::Secret => Err("it is a password, which is not set as an attribute here".to_owned()),
            Takes::Untold => Ok((like(value, current)?, None)),
        }
    }

    /// What the registry says that follows for, or from, an attribute.
    fn consequences(&self, name: &str, after: &BTreeMap<String, BiosValue>) -> Vec<String> {
        let told = self.rules.iter().filter(|rule| rule.holds(after) == Some(true)).filter_map(|rule| rule.told(name, after));
        let mut told: Vec<String> = told.take(TOLD).collect();
        told.dedup();
        told
    }
}

fn is(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(truth)
}

fn takes(attribute: &Value) -> Takes {
    let number = |key: &str| attribute.get(key).and_then(Value::as_i64);
    match json::word(attribute, "Type") {
        Some("Enumeration") => {
            let one = |v: &Value| {
                let name = json::word(v, "ValueName")?;
                Some((name.to_owned(), json::text(v, "ValueDisplayName")))
            };
            let all: Vec<_> = json::list(attribute, "Value").iter().filter_map(one).collect();
            if all.is_empty() { Takes::Untold } else { Takes::Choice(all) }
        }
        Some("Integer") => {
            Takes::Number { low: number("LowerBound"), high: number("UpperBound"), step: number("ScalarIncrement") }
        }
        Some("String") => Takes::Text {
            least: attribute.get("MinLength").and_then(Value::as_u64),
            most: attribute.get("MaxLength").and_then(Value::as_u64),
        },
        Some("Boolean") => Takes::Flag,
        Some("Password") => Takes::Secret,
        _ => Takes::Untold,
    }
}

/// The name that this BIOS uses. Supermicro's names end in four hex digits that a BIOS update changes (`SRIOVSupport_3C41`, RC-62): one without
/// them, or with those of another BIOS, stands for the only attribute that begins the same.
fn find<'a>(asked: &'a str, current: &'a BTreeMap<String, BiosValue>) -> Result<&'a str, String> {
    if let Some((name, _)) = current.get_key_value(asked) {
        return Ok(name);
    }
    let stem = |name: &'a str| match name.rsplit_once('_') {
        Some((stem, end)) if end.len() == 4 && end.bytes().all(|b| b.is_ascii_hexdigit()) => stem,
        _ => name,
    };
    let same: Vec<&String> = current.keys().filter(|name| name.as_str() != stem(name) && stem(name) == stem(asked)).collect();
    if let [only] = same.as_slice() {
        return Ok(only);
    }
    let lower = asked.to_ascii_lowercase();
    let near = |name: &&String| {
        let name = name.to_ascii_lowercase();
        !lower.is_empty() && (name.starts_with(&lower) || lower.starts_with(&name) || name.contains(&lower))
    };
    let near: Vec<&str> = current.keys().filter(near).take(4).map(String::as_str).collect();
    Err(if near.is_empty() { String::new() } else { format!("; it has {}", near.join(", ")) })
}

fn choose(text: &str, all: &[(String, Option<String>)]) -> Result<(String, Option<String>), String> {
    if all.iter().any(|(name, _)| name == text) {
        return Ok((text.to_owned(), None));
    }
    let like = |name: &str| name.trim().eq_ignore_ascii_case(text.trim());
    let found: Vec<&String> =
        all.iter().filter(|(name, display)| like(name) || display.as_deref().is_some_and(like)).map(|(name, _)| name).collect();
    if let [only] = found.as_slice() {
        return Ok(((*only).clone(), Some(format!("`{}` is written {}", safe(text, 64), safe(only, 64)))));
    }
    let mut names: Vec<String> = all.iter().take(NAMED).map(|(name, _)| safe(name, 64)).collect();
    if all.len() > NAMED {
        names.push(format!("and {} more", all.len() - NAMED));
    }
    Err(format!("`{}` is not one of {}", safe(text, 64), names.join(", ")))
}

fn flag(text: &str) -> Result<BiosValue, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(BiosValue::Boolean(true)),
        "false" => Ok(BiosValue::Boolean(false)),
        _ => Err(format!("`{}` is neither true nor false", safe(text, 64))),
    }
}

/// A value in the kind that the attribute has now, for want of a registry.
fn like(value: &BiosValue, current: Option<&BiosValue>) -> Result<BiosValue, String> {
    let text = value.to_string();
    match current {
        Some(BiosValue::Integer(_)) => text
            .trim()
            .parse()
            .map(BiosValue::Integer)
            .map_err(|_| format!("`{}` is not a whole number, as it is now", safe(&text, 64))),
        Some(BiosValue::Boolean(_)) => flag(&text),
        Some(BiosValue::Text(_)) => Ok(BiosValue::Text(text)),
        Some(BiosValue::Null) | None => Ok(value.clone()),
    }
}
