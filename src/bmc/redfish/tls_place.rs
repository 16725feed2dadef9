//! Where a BMC keeps the certificate of its own web service, and how it is asked for another: by the certificate service, or HPE's own way. Found by links;
//! nothing is written here.

use serde_json::Value;
use tokio::time::Instant;

use super::client::{Client, Resource};
use super::error::{safe, unsupported};
use super::json as views;
use super::system::soft;
use crate::bmc::BmcError;

/// The place of the certificate.
pub(super) enum Place {
    /// DSP0268: `CertificateService` and the collection below the manager's network protocol.
    Standard {
        /// The certificate in force.
        certificate: String,
        /// The collection that it is in.
        collection: String,
        /// Target of `GenerateCSR`.
        request: Option<String>,
        /// Target of `ReplaceCertificate`, and the types that it takes, where it says.
        replace: Option<(String, Vec<String>)>,
    },
    /// iLO's `HpeHttpsCert`, which takes a certificate over its own key alone.
    Hpe {
        /// The resource.
        at: String,
        /// Target of its `GenerateCSR`.
        request: Option<String>,
        /// Target of its `ImportCertificate`.
        import: Option<String>,
    },
}

fn target(resource: &Value, action: &str) -> Option<(String, Value)> {
    let action = resource.get("Actions")?.get(action)?;
    Some((action.get("target").and_then(views::href)?, action.clone()))
}

impl Client {
    /// Where the certificate of this system's BMC is.
    pub(super) async fn certificate_place(&self, system: &Resource) -> Result<Place, BmcError> {
        let doing = "find the BMC's certificate";
        let manager = self.manager(system).await?;
        let manager = manager.ok_or_else(|| unsupported(doing, "the system names no manager"))?;
        if let Some(hpe) = self.hpe_place(&manager).await? {
            return Ok(hpe);
        }
        let protocol = views::link(&manager.value, "NetworkProtocol");
        let protocol = protocol.ok_or_else(|| unsupported(doing, "the manager names no network protocol"))?;
        let protocol = self.get(&protocol).await?;
        let collection = protocol.value.get("HTTPS").and_then(|https| views::link(https, "Certificates"));
        let collection =
            collection.ok_or_else(|| unsupported(doing, format!("{} names no HTTPS certificates", safe(&protocol.path, 256))))?;
        let (members, _) = self.members(&collection, Instant::now() + self.limits.request).await?;
        let [only] = members.as_slice() else {
            let seen = format!("{} has {} members, and which is in force is not told", safe(&collection, 256), members.len());
            return Err(unsupported(doing, seen));
        };
        let service = match self.service("CertificateService").await {
            Ok(at) => Some(self.get(&at).await?),
            Err(e) if soft(&e) => None,
            Err(e) => return Err(e),
        };
        let of = |name: &str| service.as_ref().and_then(|service| target(&service.value, name));
        let request = of("#CertificateService.GenerateCSR").map(|(target, _)| target);
        let replace = match of("#CertificateService.ReplaceCertificate") {
            Some((target, action)) => Some((target, self.types(&action).await)),
            None => None,
        };
        Ok(Place::Standard { certificate: only.path.clone(), collection, request, replace })
    }

    /// The certificate types that an action takes; empty when it does not say.
    async fn types(&self, action: &Value) -> Vec<String> {
        let words =
            |list: &[Value]| -> Vec<String> { list.iter().filter_map(Value::as_str).take(16).map(str::to_owned).collect() };
        let told = words(views::list(action, "CertificateType@Redfish.AllowableValues"));
        if !told.is_empty() {
            return told;
        }
        let Some(info) = views::link(action, "@Redfish.ActionInfo") else { return Vec::new() };
        // An ActionInfo that cannot be read forbids nothing.
        let Ok(info) = self.get(&info).await else { return Vec::new() };
        let of_type = |p: &&Value| views::word(p, "Name") == Some("CertificateType");
        let parameter = views::list(&info.value, "Parameters").iter().find(of_type);
        parameter.map(|p| words(views::list(p, "AllowableValues"))).unwrap_or_default()
    }

    async fn hpe_place(&self, manager: &Resource) -> Result<Option<Place>, BmcError> {
        let links = manager.value.get("Oem").and_then(|oem| oem.get("Hpe")).and_then(|hpe| hpe.get("Links"));
        let Some(security) = links.and_then(|links| views::link(links, "SecurityService")) else { return Ok(None) };
        let security = match self.get(&security).await {
            Ok(security) => security,
            Err(e) if soft(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let https = security.value.get("Links").and_then(|links| views::link(links, "HttpsCert"));
        let Some(https) = https else { return Ok(None) };
        let https = self.get(&https).await?;
        let of = |name: &str| target(&https.value, name).map(|(target, _)| target);
        let (request, import) = (of("#HpeHttpsCert.GenerateCSR"), of("#HpeHttpsCert.ImportCertificate"));
        Ok(Some(Place::Hpe { at: https.path.clone(), request, import }))
    }
}
