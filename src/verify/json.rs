//! JSON that a node printed: bounded by the probe's output limit and by the parser's depth. It reads; it does not judge.

use serde_json::Value;

use super::read::shown;

/// Parses; `serde_json` refuses nesting deeper than 128.
pub(super) fn parse(what: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("reading {what}: {}", shown(&e.to_string())))
}

/// A string, number or boolean as text; anything else is not a value.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
