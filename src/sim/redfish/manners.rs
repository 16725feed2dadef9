//! What DSP0266 asks of every exchange, whatever the resource: the protocol version, queries that are not known, `Allow` and `Link`. It knows
//! which methods a path takes, and nothing else of resources.

use http::header;
use http::request::Parts;
use serde_json::Value;

use super::answer::{Answer, Message};
use super::bend;
use crate::sim::handle::MachineHandle;

/// Refuses what no resource may answer: another version of OData (§6.5), a query that begins with `$` and is not known (§7.3).
pub fn refuses(machine: &MachineHandle, head: &Parts) -> Option<Answer> {
    let version = head.headers.get("odata-version").map(|value| value.as_bytes());
    if version.is_some_and(|version| version != b"4.0") {
        let message =
            Message::new("PreconditionFailed", "this version of OData is not spoken", &[], "send OData-Version: 4.0, or none");
        return Some(Answer::error(412, &message));
    }
    let names = head.uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    let known = |name: &str| name == "$skip" || (name == "$expand" && bend::offers_expand(machine));
    let unknown = names.filter(|name| name.starts_with('$')).find(|name| !known(name))?;
    let shown: String = unknown.chars().take(40).collect();
    let message = Message::new("QueryNotSupported", format!("the query {shown} is not supported"), &[], "leave the query out");
    Some(Answer::error(501, &message))
}

/// Puts on what every answer carries: `Allow` to a GET or HEAD (§8.2), `Link` to the schema of a resource (§8.3).
pub fn dress(head: &Parts, mut answer: Answer) -> Answer {
    if !matches!(head.method, http::Method::GET | http::Method::HEAD) || answer.status != 200 {
        return answer;
    }
    let kind =
        answer.body.as_ref().and_then(|body| body.get("@odata.type")).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !answer.headers.iter().any(|(name, _)| *name == header::ALLOW.as_str() || *name == "Allow") {
        let allow = allowed(head.uri.path().trim_end_matches('/'), &kind);
        answer = answer.with("Allow", allow);
    }
    let schema = kind.trim_start_matches('#').rsplit_once('.').map(|(schema, _)| schema.to_owned());
    match schema {
        Some(schema) => answer.with("Link", format!("<http://redfish.dmtf.org/schemas/v1/{schema}.json>; rel=describedby")),
        None => answer,
    }
}

/// The methods that a resource takes, by where it is and what it is.
fn allowed(path: &str, kind: &str) -> &'static str {
    let family = kind.trim_start_matches('#').split('.').next().unwrap_or_default();
    match family {
        "SessionCollection" | "ManagerAccountCollection" | "CertificateCollection" | "EventDestinationCollection" => {
            "GET, HEAD, POST"
        }
        "Session" | "EventDestination" | "Task" => "GET, HEAD, DELETE",
        "ManagerAccount" => "GET, HEAD, PATCH, DELETE",
        "ComputerSystem" | "VirtualMedia" | "AccountService" | "UpdateService" => "GET, HEAD, PATCH",
        "Bios" if path.to_ascii_lowercase().ends_with("/settings") || path.ends_with("/SD") => "GET, HEAD, PATCH",
        _ => "GET, HEAD",
    }
}
