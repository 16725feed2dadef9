//! The BMC's own certificate: what it says of it, a signing request for another, and the replacement, proved by a new connection that shows it. A private
//! key goes over TLS or not at all, and into no text.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::certificate::Shown;
use super::client::{Client, Resource};
use super::error::{malformed, safe, unsupported};
use super::json as views;
use super::session::ROOT;
use super::tls_place::Place;
use super::trust::{FirstContact, Trust};
use super::write::Sent;
use crate::bmc::keeping::{BmcCertificate, ShownCertificate, Subject};
use crate::bmc::{BmcError, BmcTrouble, Password, Written};
use crate::model::{BmcTrust, Digest, Reading};

/// How often HPE's signing request is looked for: an iLO takes up to ten minutes to make its key.
const LOOKS: u32 = 200;
/// Shortest part of a key that counts as the key.
const PART: usize = 16;

fn refuse(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { kind: BmcTrouble::Refused, ..malformed(doing, seen) }
}

/// A chain with its key, checked against each other.
struct Fresh {
    leaf: CertificateDer<'static>,
    rest: Vec<CertificateDer<'static>>,
    shown: Digest,
}

impl Fresh {
    fn read(chain_pem: &str, key_pem: Option<&Password>) -> Result<Self, String> {
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
        let mut chain = chain.map_err(|_| "the chain is not PEM text".to_owned())?;
        if chain.is_empty() {
            return Err("the chain holds no certificate".to_owned());
        }
        if let Some(key) = key_pem {
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
            let key = key.map_err(|_| "the key is no private key in PEM text".to_owned())?;
            let key = rustls::crypto::ring::sign::any_supported_type(&key);
            let key = key.map_err(|_| "the key is of a kind that is not known here (RSA, ECDSA and Ed25519 are)".to_owned())?;
            // A certificate that cannot be judged (X.509 version 1) is the BMC's to judge.
            let matched = rustls::sign::CertifiedKey::new(chain.clone(), key).keys_match();
            if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) = matched {
                return Err("the key is not that of the certificate".to_owned());
            }
        }
        let leaf = chain.remove(0);
        let shown = Digest::from_bytes(&Shown::of(&leaf).leaf);
        Ok(Self { leaf, rest: chain, shown })
    }
}

/// Text in which no part of the key stands, should the BMC have repeated it.
fn without_key(text: String, key: Option<&Password>) -> String {
    let lines = key.map(|key| key.expose().lines().filter(|line| !line.starts_with("-----"))).into_iter().flatten();
    let mut parts = lines.filter_map(|line| line.trim().get(..PART));
    if parts.any(|part| text.contains(part)) { "its answer repeats what was sent, and is left out".to_owned() } else { text }
}

/// Names of a subject or issuer on one line; a text as it is.
fn names(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(safe(text, 512)),
        Value::Object(parts) => {
            let one = |key: &str| Some(format!("{key} {}", safe(parts.get(key)?.as_str()?, 128)));
            let all: Vec<String> = ["CommonName", "Organization", "OrganizationalUnit"].into_iter().filter_map(one).collect();
            (!all.is_empty()).then(|| all.join(", "))
        }
        _ => None,
    }
}

fn view(resource: &Resource) -> BmcCertificate {
    let hpe = resource.value.get("X509CertificateInformation");
    let place = hpe.unwrap_or(&resource.value);
    let missing = |what: &str| format!("{} says no {what}", safe(&resource.path, 128));
    let read = |text: Option<String>, what: &str| text.map_or_else(|| Reading::unknown(missing(what)), Reading::Known);
    let pem = views::word(&resource.value, "CertificateString");
    let der = pem.and_then(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).ok());
    BmcCertificate {
        at: safe(&resource.path, 256),
        sha256: der.map_or_else(
            || Reading::unknown(missing("certificate itself")),
            |der| Reading::Known(Digest::from_bytes(&Shown::of(&der).leaf)),
        ),
        subject: read(names(place.get("Subject")), "subject"),
        issuer: read(names(place.get("Issuer")), "issuer"),
        until: read(views::text(place, "ValidNotAfter").map(|until| safe(&until, 64)), "end"),
    }
}

impl Client {
    /// The certificate that a new connection shows. Nothing but the open root is asked for, and that only where it is accepted.
    pub(super) async fn shown_certificate(&self) -> Result<Reading<ShownCertificate>, BmcError> {
        if !self.trust.tls() {
            return Ok(Reading::Absent);
        }
        self.transport.trim(0);
        let accepted = match self.get_open(ROOT, Instant::now() + self.limits.request).await {
            Ok(_) => true,
            Err(BmcError { kind: BmcTrouble::Certificate { .. }, .. }) => false,
            Err(e) => return Err(e),
        };
        let Some(shown) = self.trust.last() else { return Err(malformed("read the certificate", "it showed none")) };
        Ok(Reading::Known(ShownCertificate {
            sha256: Digest::from_bytes(&shown.leaf),
            spki: shown.key.map_or_else(
                || Reading::unknown("its key cannot be found in it"),
                |key| Reading::Known(Digest::from_bytes(&key)),
            ),
            until: shown.until.map_or_else(
                || Reading::unknown("its end cannot be read"),
                |until| Reading::Known(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            ),
            accepted,
        }))
    }

    /// The certificate as the BMC tells it.
    pub(super) async fn certificate_view(&self, system: &Resource) -> Result<Reading<BmcCertificate>, BmcError> {
        match self.certificate_place(system).await {
            Ok(Place::Standard { certificate: at, .. } | Place::Hpe { at, .. }) => {
                Ok(Reading::Known(view(&self.get(&at).await?)))
            }
            Err(e) if e.kind == BmcTrouble::Unsupported => Ok(Reading::unknown(e.to_string())),
            Err(e) => Err(e),
        }
    }

    /// A signing request with a key of the BMC's own.
    pub(super) async fn request_certificate(&self, system: &Resource, subject: &Subject) -> Result<String, BmcError> {
        let doing = "make a signing request";
        let deadline = Instant::now() + self.limits.inventory;
        let ask = |at: String, body: Value| async move {
            let mut told = Vec::new();
            match self.post_for(&at, &body, deadline, &mut told).await {
                Sent::Taken(_) => Ok(told),
                Sent::No { error, .. } | Sent::Unclear(error) => Err(error),
            }
        };
        let found = match self.certificate_place(system).await? {
            Place::Standard { collection, request: Some(request), .. } => {
                let mut body = json!({
                    "CommonName": subject.common_name,
                    "Organization": subject.organization,
                    "OrganizationalUnit": subject.unit,
                    "City": subject.city,
                    "State": subject.state,
                    "Country": subject.country,
                    "CertificateCollection": { "@odata.id": collection },
                });
                if let (Some(fields), false) = (body.as_object_mut(), subject.names.is_empty()) {
                    fields.insert("AlternativeNames".to_owned(), json!(subject.names));
                }
                let told = ask(request, body).await?;
                let told = views::parse(&told).map_err(|why| malformed(doing, why))?;
                views::word(&told, "CSRString").map(str::to_owned)
            }
            Place::Hpe { at, request: Some(request), .. } => {
                let before = views::word(&self.get(&at).await?.value, "CertificateSigningRequest").map(str::to_owned);
                let body = json!({
                    "CommonName": subject.common_name,
                    "OrgName": subject.organization,
                    "OrgUnit": subject.unit,
                    "City": subject.city,
                    "State": subject.state,
                    "Country": subject.country,
                });
                ask(request, body).await?;
                self.hpe_request(&at, before.as_deref()).await?
            }
            _ => return Err(unsupported(doing, "the BMC offers no GenerateCSR")),
        };
        match found.filter(|text| text.contains("CERTIFICATE REQUEST-----")) {
            Some(request)
                if request.len() < 64 << 10 && request.bytes().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) =>
            {
                Ok(request)
            }
            _ => Err(malformed(doing, "it was taken, but no signing request came of it")),
        }
    }

    /// iLO makes its key first, and puts the request beside the certificate when that is done.
    async fn hpe_request(&self, at: &str, before: Option<&str>) -> Result<Option<String>, BmcError> {
        for _ in 0..LOOKS {
            let now = self.get(at).await?;
            let found = views::word(&now.value, "CertificateSigningRequest").filter(|found| Some(*found) != before);
            if let Some(found) = found {
                return Ok(Some(found.to_owned()));
            }
            sleep_until(Instant::now() + self.limits.poll.1).await;
        }
        Ok(None)
    }

    /// Replaces the certificate and proves it before the deadline.
    pub(super) async fn replace(&self, system: &Resource, chain: &str, key: Option<&Password>, deadline: Instant) -> Written {
        let doing = "replace the BMC's certificate";
        if !self.trust.tls() {
            return Written::NotApplied(refuse(doing, "it is reached without TLS, over which no key is sent"));
        }
        let fresh = match Fresh::read(chain, key) {
            Ok(fresh) => fresh,
            Err(why) => return Written::NotApplied(refuse(doing, format!("nothing was sent: {why}"))),
        };
        if let Some(why) = self.trust.would_refuse(&fresh.leaf, &fresh.rest) {
            return Written::NotApplied(refuse(doing, format!("nothing was sent: the BMC could not be reached under it: {why}")));
        }
        if self.trust.certificate().as_ref() == Some(&fresh.shown) {
            return Written::Applied(format!("it shows {} already; nothing was sent", fresh.shown));
        }
        let (at, body) = match self.certificate_place(system).await {
            Ok(place) => match order(place, chain, key, fresh.rest.len()) {
                Ok(order) => order,
                Err(why) => return Written::NotApplied(unsupported(doing, why)),
            },
            Err(e) => return Written::NotApplied(e),
        };
        let said = match self.post(&at, &body, deadline).await {
            Sent::Taken(said) => without_key(said, key),
            // A web service that restarts at once does not always answer first.
            Sent::Unclear(e) => format!("the answer was lost ({})", without_key(e.to_string(), key)),
            Sent::No { status, error } => {
                let error = BmcError { seen: without_key(error.seen, key), ..error };
                return if status.is_none() { Written::NotApplied(error) } else { self.refused_certificate(&fresh, error).await };
            }
        };
        match self.await_certificate(&fresh, deadline).await {
            Ok(()) => Written::Applied(format!("{said}; a new connection shows {}", fresh.shown)),
            Err(seen) => {
                Written::Ambiguous(format!("{said}; but {seen}; some BMCs show a new certificate from their next restart on"))
            }
        }
    }

    /// After a refusal that came back: what a new connection shows decides.
    async fn refused_certificate(&self, fresh: &Fresh, error: BmcError) -> Written {
        let probe = match self.probe_for(fresh) {
            Ok(probe) => probe,
            Err(e) => return Written::Ambiguous(format!("{error}; and nobody could look: {e}")),
        };
        match probe.get_open(ROOT, Instant::now() + self.limits.connect).await {
            Ok(_) => {
                self.transport.trim(0);
                self.trust.replaced(&fresh.leaf);
                Written::Applied(format!("it was refused ({error}), but a new connection shows {}", fresh.shown))
            }
            Err(BmcError { kind: BmcTrouble::Certificate { .. }, .. }) => Written::NotApplied(error),
            Err(e) => Written::Ambiguous(format!("it was refused ({error}), and what it shows now is not known: {e}")),
        }
    }

    /// A client that accepts the new certificate alone, and has no password.
    fn probe_for(&self, fresh: &Fresh) -> Result<Client, BmcError> {
        self.under(Trust::new(&BmcTrust::Pinned(fresh.shown.clone()), FirstContact::Refuse, None))
    }

    /// Connects anew until the certificate is shown; from then on it is the one that is trusted.
    async fn await_certificate(&self, fresh: &Fresh, deadline: Instant) -> Result<(), String> {
        let begun = Instant::now();
        let probe = self.probe_for(fresh).map_err(|e| e.to_string())?;
        let mut pause = self.limits.poll.0;
        loop {
            let until = deadline.min(Instant::now() + self.limits.connect);
            let last = match probe.get_open(ROOT, until).await {
                Ok(_) => {
                    self.transport.trim(0);
                    self.trust.replaced(&fresh.leaf);
                    return Ok(());
                }
                Err(BmcError { kind: BmcTrouble::Certificate { seen }, .. }) => format!("it shows {}", safe(&seen, 64)),
                Err(e) => e.to_string(),
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                return Err(format!("{} was not shown within {:.1} s, last: {last}", fresh.shown, begun.elapsed().as_secs_f32()));
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(self.limits.poll.1);
        }
    }
}

/// What is sent where. HPE takes a certificate over its own key alone.
fn order(place: Place, chain: &str, key: Option<&Password>, further: usize) -> Result<(String, Value), String> {
    match place {
        Place::Standard { certificate, replace: Some((at, types)), .. } => {
            let one = |kind: &str| types.iter().any(|t| t == kind);
            let kind = if further > 0 && one("PEMchain") { "PEMchain" } else { "PEM" };
            if !types.is_empty() && !one(kind) {
                return Err(format!("it takes {}, but no PEM", safe(&types.join(", "), 128)));
            }
            let key = key.map(Password::expose).unwrap_or_default();
            let text = format!("{}\n{key}", chain.trim_end());
            let uri = json!({ "@odata.id": certificate });
            Ok((at, json!({ "CertificateString": text, "CertificateType": kind, "CertificateUri": uri })))
        }
        Place::Hpe { import: Some(at), .. } => match key {
            Some(_) => {
                Err("this BMC takes no key from outside; ask it for a signing request, and give the certificate alone".to_owned())
            }
            None => Ok((at, json!({ "Certificate": chain }))),
        },
        _ => Err("the BMC offers no ReplaceCertificate".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, Password) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.cert.pem(), Password::new(made.signing_key.serialize_pem()))
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused_before_anything_is_sent() {
        let ((one, key), (other, wrong)) = (made("a"), made("b"));
        let fresh = Fresh::read(&format!("{one}{other}"), Some(&key)).map_err(|e| panic!("{e}")).unwrap();
        assert_eq!(fresh.rest.len(), 1);
        let why = |chain: &str, key: Option<&Password>| Fresh::read(chain, key).err().unwrap();
        assert_eq!(why(&one, Some(&wrong)), "the key is not that of the certificate");
        assert_eq!(why("", None), "the chain holds no certificate");
        assert!(why(&one, Some(&Password::new("x"))).contains("no private key"));
    }

    #[test]
    fn no_part_of_a_key_stands_in_a_text() {
        let (_, key) = made("a");
        let line = key.expose().lines().nth(1).unwrap();
        for text in [key.expose().to_owned(), line.to_owned(), format!("bad value {}…", &line[..20])] {
            assert!(!without_key(text, Some(&key)).contains(&line[..PART]));
        }
        assert_eq!(without_key("400 Bad Request".to_owned(), Some(&key)), "400 Bad Request");
    }

    #[test]
    fn names_are_told_in_every_form() {
        assert_eq!(
            names(Some(&json!({"CommonName": "idrac", "Organization": "Dell"}))).as_deref(),
            Some("CommonName idrac, Organization Dell")
        );
        assert_eq!(names(Some(&json!("CN = x"))).as_deref(), Some("CN = x"));
        assert_eq!(names(Some(&json!([]))), None);
    }

    proptest::proptest! {
        #[test]
        fn any_certificate_is_viewed(value in super::super::json::any_json(), text in ".{0,80}") {
            let resource = Resource { path: "/redfish/v1/x".to_owned(), value: json!({ "Subject": value, "CertificateString": text }), etag: None };
            let told = format!("{:?}", view(&resource));
            proptest::prop_assert!(!told.chars().any(char::is_control));
            drop(Fresh::read(&text, None));
        }
    }
}
