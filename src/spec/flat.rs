//! A node or rack as dotted fields with text values: what `diff` compares. Reads the model only.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::model::{BmcTrust, Node, Rack};

/// Dotted field name → value as text; a field that is not set has no entry.
pub type Values = BTreeMap<String, String>;

/// All fields of a node. Addresses are split into `.ip` and `.port`, since the two change for different reasons.
#[must_use]
pub fn node(node: &Node) -> Values {
    let mut fields = Values::new();
    if let Ok(value) = serde_json::to_value(node) {
        flatten("", &value, &mut fields);
    }
    fields.remove("id");
    fields.retain(|name, _| !name.starts_with("bmc.trust"));
    let trust = match &node.bmc.trust {
        BmcTrust::Pinned(digest) => format!("pinned:{digest}"),
        BmcTrust::PinnedKey(digest) => format!("pinned:spki:{digest}"),
        BmcTrust::Authority { file, name } => {
            format!("authority:{file}{}", name.as_ref().map(|name| format!(" as {name}")).unwrap_or_default())
        }
        BmcTrust::FirstContact => "first-contact".to_owned(),
        BmcTrust::Plaintext => "plaintext".to_owned(),
    };
    fields.insert("bmc.trust".to_owned(), trust);
    split_address("bmc.address", node.bmc.address, &mut fields);
    split_address("ssh.address", node.ssh.address, &mut fields);
    fields
}

/// All fields of a rack but its name.
#[must_use]
pub fn rack(rack: &Rack) -> Values {
    let mut fields = Values::new();
    if let Ok(value) = serde_json::to_value(rack) {
        flatten("", &value, &mut fields);
    }
    fields.remove("id");
    fields
}

fn split_address(name: &str, address: SocketAddr, fields: &mut Values) {
    fields.remove(name);
    fields.insert(format!("{name}.ip"), address.ip().to_string());
    fields.insert(format!("{name}.port"), address.port().to_string());
}

/// Objects become dotted names; lists become one value, since their order and membership change together.
fn flatten(prefix: &str, value: &Value, fields: &mut Values) {
    let name = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(key, inner)| flatten(&name(key), inner, fields)),
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            fields.insert(prefix.to_owned(), items.iter().map(text).collect::<Vec<_>>().join(", "));
        }
        other => {
            fields.insert(prefix.to_owned(), text(other));
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
