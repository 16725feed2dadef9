//! The service root, read without a login, and the Ethernet interfaces of manager and system by links.

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use super::client::{Client, Resource};
use super::error::safe;
use super::session::ROOT;
use super::system::soft;
use super::{Redfish, json};
use crate::bmc::meeting::{Greeting, Macs, Meeting};
use crate::bmc::{Bmc as _, BmcError};
use crate::model::{Mac, Reading};

/// Most interfaces of one resource that are read. The captured trees have at most 30.
const MOST: usize = 64;

impl Redfish {
    /// What the service root says to whoever asks. No credential is sent, whatever the options hold.
    ///
    /// # Errors
    /// Nobody answers, the certificate is not accepted, or what answers is not Redfish.
    pub async fn greet(&self) -> Result<Greeting, BmcError> {
        let deadline = Instant::now() + self.client.limits.request;
        let root = self.client.get_open(ROOT, deadline).await?.value;
        Ok(Greeting { certificate: self.certificate(), certificate_key: self.certificate_key(), ..greeting(&root) })
    }
}

fn greeting(root: &Value) -> Greeting {
    let told = |key: &str| match json::text(root, key) {
        Some(text) => Reading::Known(safe(&text, 128)),
        None => Reading::unknown(format!("the service root says no {key}")),
    };
    Greeting {
        vendor: told("Vendor"),
        product: told("Product"),
        uuid: told("UUID"),
        protocol: told("RedfishVersion").map(|version| format!("Redfish {version}")),
        certificate: None,
        certificate_key: None,
    }
}

#[async_trait]
impl Meeting for Redfish {
    async fn macs(&self) -> Result<Macs, BmcError> {
        let system = self.system().await?;
        let node = self.client.macs_of(&system).await?;
        let links = system.value.get("Links");
        let manager = links.and_then(|links| json::list(links, "ManagedBy").iter().find_map(json::href));
        let bmc = match manager {
            None => Reading::unknown(format!("{} names no manager", safe(&system.path, 128))),
            Some(at) => match self.client.get(&at).await {
                Ok(manager) => self.client.macs_of(&manager).await?,
                Err(e) if soft(&e) => Reading::unknown(e.to_string()),
                Err(e) => return Err(e),
            },
        };
        Ok(Macs { bmc, node })
    }
}

impl Client {
    /// MACs of a resource's `EthernetInterfaces`, sorted, each once. One interface that cannot be read makes the list unknown: a short list would
    /// look whole.
    async fn macs_of(&self, owner: &Resource) -> Result<Reading<Vec<Mac>>, BmcError> {
        let deadline = Instant::now() + self.limits.request;
        let Some(at) = json::link(&owner.value, "EthernetInterfaces") else { return Ok(Reading::Absent) };
        let members = match self.members(&at, deadline).await {
            Ok((members, _)) => members,
            Err(e) if soft(&e) => return Ok(Reading::unknown(e.to_string())),
            Err(e) => return Err(e),
        };
        if members.len() > MOST {
            return Ok(Reading::unknown(format!("{} interfaces are listed, and at most {MOST} are read", members.len())));
        }
        let mut macs = Vec::new();
        for member in members {
            let interface = match member.inline {
                Some(inline) => inline,
                None => match self.get_by(&member.path, deadline).await {
                    Ok(interface) => interface.value,
                    Err(e) if soft(&e) => return Ok(Reading::unknown(e.to_string())),
                    Err(e) => return Err(e),
                },
            };
            macs.extend(mac(&interface));
        }
        macs.sort_unstable();
        macs.dedup();
        Ok(Reading::Known(macs))
    }
}

/// The address that the interface was made with, or else the one that it has. What is not a station's address (all zeros, a group) is left out.
fn mac(interface: &Value) -> Option<Mac> {
    let read = |key: &str| json::text(interface, key)?.parse().ok();
    read("PermanentMACAddress").or_else(|| read("MACAddress"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_root_is_read_and_what_it_does_not_say_is_unknown() {
        let met = greeting(&json!({"Vendor": "Dell\u{1b}[2J", "Product": null, "RedfishVersion": "1.18.0"}));
        assert_eq!(met.vendor, Reading::Known("Dell\\u{1b}[2J".to_owned()));
        assert_eq!(met.protocol, Reading::Known("Redfish 1.18.0".to_owned()));
        assert!(met.product.why_unknown().is_some() && met.uuid.why_unknown().is_some());
    }

    #[test]
    fn the_permanent_address_comes_first_and_nobodys_address_never() {
        let of = |value: Value| mac(&value).map(|m| m.to_string());
        assert_eq!(
            of(json!({"PermanentMACAddress": "B0-7B-25-00-00-01", "MACAddress": "02:00:00:00:00:01"})).unwrap(),
            "b0:7b:25:00:00:01"
        );
        assert_eq!(of(json!({"PermanentMACAddress": "", "MACAddress": "02:00:00:00:00:01"})).unwrap(), "02:00:00:00:00:01");
        assert_eq!(of(json!({"MACAddress": "00:00:00:00:00:00"})), None);
        assert_eq!(of(json!({"MACAddress": ["02:00:00:00:00:01"]})), None);
    }

    proptest! {
        #[test]
        fn any_resource_is_read(value in super::super::json::any_json()) {
            drop(greeting(&value));
            let _ = mac(&value);
        }
    }
}
