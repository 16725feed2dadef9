//! The BMC's own certificate: what it is, a signing request for another, and its replacement, which every handshake shows from then on.

use rcgen::DnType;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::restart;
use super::tree::{ROOT, collection, link, well};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;
use crate::sim::tls::Shown;

const SERVICE: &str = "/redfish/v1/CertificateService";

fn protocol_path(machine: &MachineHandle) -> String {
    format!("{}/NetworkProtocol", restart::manager_path(machine))
}

fn collection_path(machine: &MachineHandle) -> String {
    format!("{}/HTTPS/Certificates", protocol_path(machine))
}

/// The resource at a path, when it is one of this file's. Without TLS there is no certificate.
#[must_use]
pub fn resource(machine: &MachineHandle, shown: Option<&Shown>, at: &str) -> Option<Value> {
    let certificates = collection_path(machine);
    let one = format!("{certificates}/1");
    if at == protocol_path(machine) {
        let mut https = json!({ "ProtocolEnabled": shown.is_some(), "Port": 443 });
        if let (Some(https), Some(_)) = (https.as_object_mut(), shown) {
            https.insert("Certificates".to_owned(), link(&certificates));
        }
        return Some(json!({
            "@odata.type": "#ManagerNetworkProtocol.v1_8_0.ManagerNetworkProtocol",
            "@odata.id": at,
            "Id": "NetworkProtocol",
            "Name": "Manager Network Protocol",
            "Status": well(),
            "HTTPS": https,
        }));
    }
    let shown = shown?;
    let found = match at.strip_prefix(SERVICE) {
        Some("") => json!({
            "@odata.type": "#CertificateService.v1_0_4.CertificateService",
            "@odata.id": at,
            "Id": "CertificateService",
            "Name": "Certificate Service",
            "CertificateLocations": link(format!("{SERVICE}/CertificateLocations")),
            "Actions": {
                "#CertificateService.GenerateCSR": { "target": format!("{SERVICE}/Actions/CertificateService.GenerateCSR") },
                "#CertificateService.ReplaceCertificate": {
                    "target": format!("{SERVICE}/Actions/CertificateService.ReplaceCertificate"),
                },
            },
        }),
        Some("/CertificateLocations") => json!({
            "@odata.type": "#CertificateLocations.v1_0_2.CertificateLocations",
            "@odata.id": at,
            "Id": "CertificateLocations",
            "Name": "Certificate Locations",
            "Links": { "Certificates@odata.count": 1, "Certificates": [link(&one)] },
        }),
        Some(_) => return None,
        None if at == certificates => collection(at, "Certificate", [one]),
        None if at == one => json!({
            "@odata.type": "#Certificate.v1_3_0.Certificate",
            "@odata.id": at,
            "Id": "1",
            "Name": "HTTPS Certificate",
            "CertificateType": "PEM",
            "CertificateString": shown.pem(machine.bmc_restarts()),
        }),
        None => return None,
    };
    Some(found)
}

fn refuse(id: &'static str, text: &str, args: &[&str]) -> Answer {
    Answer::error(400, &Message::new(id, text, args, "correct it and try again"))
}

/// An action of the service.
#[must_use]
pub fn post(machine: &MachineHandle, shown: Option<&Shown>, at: &str, body: &Value) -> Option<Answer> {
    let shown = shown?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match at.strip_prefix(SERVICE)?.strip_prefix("/Actions/CertificateService.")? {
        "GenerateCSR" => {
            let named = |name: &str| body.get(name).and_then(|link| link.get("@odata.id")).and_then(Value::as_str);
            if named("CertificateCollection").map(|at| at.trim_end_matches('/')) != Some(collection_path(machine).as_str()) {
                return Some(refuse(
                    "ActionParameterMissing",
                    "CertificateCollection is required",
                    &["GenerateCSR", "CertificateCollection"],
                ));
            }
            let parts = [
                ("CommonName", DnType::CommonName),
                ("Organization", DnType::OrganizationName),
                ("OrganizationalUnit", DnType::OrganizationalUnitName),
                ("City", DnType::LocalityName),
                ("State", DnType::StateOrProvinceName),
                ("Country", DnType::CountryName),
            ];
            let mut subject = Vec::new();
            for (name, kind) in parts {
                match text(name) {
                    Some(text) => subject.push((kind, text.to_owned())),
                    None => {
                        return Some(refuse("ActionParameterMissing", &format!("{name} is required"), &["GenerateCSR", name]));
                    }
                }
            }
            let names = body.get("AlternativeNames").and_then(Value::as_array);
            let names = names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            Some(match shown.request(&subject, names) {
                Ok(request) => {
                    Answer::ok(json!({ "CSRString": request, "CertificateCollection": link(collection_path(machine)) }))
                }
                Err(_) => {
                    refuse("ActionParameterValueError", "no request can be made of these names", &["GenerateCSR", "CommonName"])
                }
            })
        }
        "ReplaceCertificate" => {
            let uri = body.get("CertificateUri").and_then(|link| link.get("@odata.id")).and_then(Value::as_str);
            if uri.map(|at| at.trim_end_matches('/')) != Some(format!("{}/1", collection_path(machine)).as_str()) {
                return Some(refuse(
                    "ActionParameterMissing",
                    "CertificateUri is required",
                    &["ReplaceCertificate", "CertificateUri"],
                ));
            }
            if text("CertificateType") != Some("PEM") {
                return Some(refuse("ActionParameterValueNotInList", "CertificateType is PEM here", &["CertificateType"]));
            }
            let late = machine.bends(BmcFault::CertLate).is_some();
            Some(match text("CertificateString") {
                Some(pem) if shown.replace(pem, machine.bmc_restarts(), late) => {
                    Answer::status(204).with("Location", format!("{}/1", collection_path(machine)))
                }
                // What was sent is repeated, as real BMCs do: it may hold a private key.
                sent => refuse(
                    "ActionParameterValueFormatError",
                    "CertificateString is no certificate with its key",
                    &[&sent.unwrap_or_default().chars().take(4000).collect::<String>(), "CertificateString"],
                ),
            })
        }
        _ => None,
    }
}

/// What the root says.
pub fn add_to_root(shown: Option<&Shown>, value: &mut Map<String, Value>) {
    if shown.is_some() {
        value.insert("CertificateService".to_owned(), link(format!("{ROOT}/CertificateService")));
    }
}
