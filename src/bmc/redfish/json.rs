//! JSON as BMCs write it: bounded before it is parsed, then read with tolerance. `null`, `""` and `"N/A"` are silence; a number may come as a
//! string, a list as a single object. Nothing here decides what silence means.

use serde_json::Value;

use super::path;

/// Deepest nesting that is read; the deepest in the captured trees is 15.
const DEPTH: usize = 64;
/// Most members of one object or list; the most in the captured trees is 5,500 (a BIOS attribute registry).
const WIDTH: usize = 10_000;
/// Most values in one body; the most in the captured trees is 43,841 (Dell's message registry).
const VALUES: usize = 250_000;

/// Parses a body. The error says which limit or which place.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    measure(body)?;
    serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))
}

/// Counts depth, width and values by the structural bytes alone, so that a hostile body is refused before it is held as a tree.
/// A body that is not JSON passes or fails here without harm: the parser judges it next.
fn measure(body: &[u8]) -> Result<(), String> {
    let mut widths: Vec<usize> = Vec::new();
    let (mut values, mut quoted, mut escaped) = (1_usize, false, false);
    for byte in body {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                if widths.len() == DEPTH {
                    return Err(format!("nested deeper than {DEPTH} levels"));
                }
                widths.push(1);
                values += 1;
            }
            b'}' | b']' => {
                widths.pop();
            }
            b',' => {
                values += 1;
                if let Some(width) = widths.last_mut() {
                    *width += 1;
                    if *width > WIDTH {
                        return Err(format!("more than {WIDTH} members in one object or list"));
                    }
                }
            }
            _ => {}
        }
        if values > VALUES {
            return Err(format!("more than {VALUES} values"));
        }
    }
    Ok(())
}

/// True for what BMCs write when they mean nothing.
fn silent(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || ["n/a", "na", "null", "none", "unknown", "not available"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// The text of a property, unless it is silent. Numbers and booleans are given as text.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    let found = match value.get(key)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!silent(&found)).then_some(found)
}

/// A word of an enumeration exactly as it is written, `None` and all; only `null`, a missing property and `""` are silence.
pub(super) fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str().map(str::trim).filter(|word| !word.is_empty())
}

/// A percentage, given as integer, fraction or text.
pub(super) fn percent(value: &Value, key: &str) -> Option<u8> {
    let number = match value.get(key)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches('%').trim().parse::<f64>().ok()?,
        _ => return None,
    };
    // In range by the test, so that the conversion is exact but for the fraction.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=100.0).contains(&number).then_some(number as u8)
}

/// A count, given as number or text.
pub(super) fn count(value: &Value, key: &str) -> Option<usize> {
    match value.get(key)? {
        Value::Number(number) => number.as_u64().and_then(|n| usize::try_from(n).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The elements of a list; a single object counts as a list of one (RC-24, RC-29), anything else as none.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    match value.get(key) {
        Some(Value::Array(items)) => items,
        Some(single @ Value::Object(_)) => std::slice::from_ref(single),
        _ => &[],
    }
}

/// The link inside a reference object, or a bare link.
pub(super) fn href(value: &Value) -> Option<String> {
    let link = match value {
        Value::String(link) => link,
        other => other.get("@odata.id")?.as_str()?,
    };
    path::local(link).ok().filter(|path| path != "/")
}

/// The link that a property holds.
pub(super) fn link(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(href)
}

#[cfg(test)]
pub(super) use tests::any_json;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn silence_is_not_a_value() {
        let v = json!({"a": null, "b": "", "c": " N/A ", "d": 7, "e": "x", "f": "None", "g": true});
        let texts: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().map(|k| text(&v, k)).collect();
        assert_eq!(texts, [None, None, None, Some("7".into()), Some("x".into()), None, Some("true".into()), None]);
        assert_eq!(word(&v, "f"), Some("None"));
    }

    #[test]
    fn percentages_come_in_all_clothes() {
        let v = json!({"a": 50, "b": 99.6, "c": "12", "d": "100 %", "e": 101, "f": -1, "g": null, "h": "NaN"});
        let got: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().map(|k| percent(&v, k)).collect();
        assert_eq!(got, [Some(50), Some(99), Some(12), Some(100), None, None, None, None]);
    }

    #[test]
    fn limits_are_named() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("64 levels"));
        assert!(parse(("[".repeat(64) + &"]".repeat(64)).as_bytes()).is_ok());
        let wide = format!("[{}1]", "1,".repeat(10_000));
        assert!(parse(wide.as_bytes()).unwrap_err().contains("10000 members"));
        let many = format!("[{}[]]", format!("[{}1],", "1,".repeat(9_998)).repeat(30));
        assert!(parse(many.as_bytes()).unwrap_err().contains("250000 values"));
        assert!(parse(b"{\"a\": \"[[[[{{{{,,,,\\\"[\"}").is_ok());
        assert!(parse(b"<html>").unwrap_err().contains("not JSON"));
        assert!(parse(b"\xEF\xBB\xBF{}").is_ok());
        assert!(parse(b"\"\xFF\"").is_err());
    }

    /// Any JSON, with keys that the views ask for.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            prop::sample::select(vec!["N/A", "/redfish/v1/Systems/1", "On", "Once", "Pxe", "https://x/y", "Disabled"])
                .prop_map(Value::from),
        ];
        let keys = prop::sample::select(vec![
            "@odata.id",
            "Members",
            "Members@odata.nextLink",
            "Boot",
            "error",
            "message",
            "@Message.ExtendedInfo",
            "MessageId",
            "MessageArgs",
            "Version",
            "Id",
            "Name",
            "PowerState",
            "BootSourceOverrideTarget",
            "BootSourceOverrideEnabled",
            "Actions",
            "#ComputerSystem.Reset",
            "target",
            "TaskState",
            "Messages",
            "PercentComplete",
            "Parameters",
            "Links",
            "ManagedBy",
        ]);
        leaf.prop_recursive(5, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((keys.clone().prop_map(str::to_owned), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_json_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            drop(parse(&bytes));
        }

        #[test]
        fn what_serde_writes_is_read_back(value in any_json()) {
            let written = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(parse(&written).is_ok(), serde_json::from_slice::<Value>(&written).is_ok());
        }

        #[test]
        fn views_take_any_json(value in any_json()) {
            for key in ["Id", "Members", "Boot", "PercentComplete", "@odata.id", "Links"] {
                let _ = (text(&value, key), word(&value, key), percent(&value, key), list(&value, key), link(&value, key));
            }
            if let Some(path) = href(&value) { prop_assert!(path.starts_with('/')); }
        }
    }
}
