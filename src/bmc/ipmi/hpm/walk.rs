//! One upgrade from the file to the last word. Until it is activated nothing runs that did not run before, so an upload that broke off may be begun
//! again; the activation is told once. The end is told by the version that runs.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::super::client::IpmiBmc;
use super::super::fault::Fault;
use super::super::identity;
use super::activate::refusal;
use super::agent::Agent;
use super::image::{Image, Upload};
use super::target::Part;
use super::upload::{Broke, Load};
use crate::bmc::updating::{FirmwareImage, FirmwareItem, UpdateClass, UpdateProgress, UpdateTerms, Updating};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{Component, Digest, Reading};

/// Largest file: real ones have up to 64 MiB.
const LARGEST: u64 = 256 << 20;
/// How often an upload is begun in all.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

#[async_trait]
impl Updating for IpmiBmc {
    async fn firmware_items(&self) -> Result<Reading<Vec<FirmwareItem>>, BmcError> {
        let doing = "read the firmware inventory";
        let mut agent = Agent::begin(self, Instant::now() + self.patience() * 4).await.map_err(|f| f.into_error(doing))?;
        if let Some(items) = agent.items().await.map_err(|fault| fault.into_error(doing))? {
            return Ok(Reading::Known(items));
        }
        // Without HPM.1 a BMC names one firmware, its own.
        let running = identity::version(&identity::device(agent.turn()).await?);
        Ok(match Component::new("BMC") {
            Ok(component) => {
                let (staged, updateable) = (Reading::Absent, Reading::Known(false));
                Reading::Known(vec![FirmwareItem { component, running, staged, updateable }])
            }
            Err(error) => Reading::unknown(error.to_string()),
        })
    }

    async fn update(&self, image: &FirmwareImage<'_>, terms: &UpdateTerms<'_>) -> Written {
        let doing = format!("upgrade {} to {} by HPM.1", image.component, image.version);
        if !terms.hpm {
            let seen = "over IPMI firmware is upgraded by HPM.1 only, which was not asked for (`--hpm`); nothing was sent";
            return Written::NotApplied(BmcError { doing, seen: seen.to_owned(), kind: BmcTrouble::Unsupported, source: None });
        }
        Box::pin(self.upgrade(image, terms, &doing)).await
    }
}

impl IpmiBmc {
    async fn upgrade(&self, wanted: &FirmwareImage<'_>, terms: &UpdateTerms<'_>, doing: &str) -> Written {
        let image = match read(wanted.file, wanted.sha256, doing).await {
            Ok(image) => image,
            Err(error) => return Written::NotApplied(error),
        };
        let deadline = Instant::now() + terms.deadline;
        let mut agent = match Agent::begin(self, deadline).await {
            Ok(agent) => agent,
            Err(fault) => return Written::NotApplied(UpdateClass::Busy.error(doing, fault.to_string())),
        };
        match agent.walk(&image, wanted, terms, doing).await {
            Ok(written) => written,
            Err(error) => Written::NotApplied(error),
        }
    }
}

/// Reads the file and checks it; nothing has been sent yet.
async fn read(file: &Path, sha256: &Digest, doing: &str) -> Result<Image, BmcError> {
    let wrong = |seen: String| UpdateClass::Precondition.error(doing, format!("{seen}; nothing was sent"));
    let unreadable = |e: std::io::Error| wrong(format!("the image {}: {e}", file.display()));
    let len = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
    if len > LARGEST {
        return Err(wrong(format!("the image has {len} bytes, and at most {LARGEST} are taken")));
    }
    let bytes = tokio::fs::read(file).await.map_err(unreadable)?;
    if Digest::from_bytes(&Sha256::digest(&bytes).into()) != *sha256 {
        return Err(wrong("the image changed since its SHA-256 was taken".to_owned()));
    }
    let rejected = |e| UpdateClass::Rejected.error(doing, format!("{e}; nothing was sent"));
    Image::read(bytes).map_err(rejected)
}

/// The part of the image that is for a component, if it holds the wanted version.
fn chosen<'i>(image: &'i Image, parts: &[Part], wanted: &FirmwareImage<'_>) -> Result<(&'i Upload, Part), String> {
    let fits = |part: &&Part| part.name.eq_ignore_ascii_case(wanted.component.as_str());
    let Some(part) = parts.iter().find(fits) else {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        return Err(format!("the controller has no component {}; it has {}", wanted.component, names.join(", ")));
    };
    let Some(upload) = image.uploads.iter().find(|upload| upload.component == part.id) else {
        return Err(format!("the image holds nothing for {} (component {})", part.name, part.id));
    };
    if upload.version.to_string() != wanted.version.as_str() {
        return Err(format!("the image holds {} {}, not {}", part.name, upload.version, wanted.version));
    }
    Ok((upload, part.clone()))
}

impl Agent<'_> {
    /// Everything that must be right before, the upload, and the activation.
    async fn walk(
        &mut self,
        image: &Image,
        wanted: &FirmwareImage<'_>,
        terms: &UpdateTerms<'_>,
        doing: &str,
    ) -> Result<Written, BmcError> {
        let wrong = |seen: String| UpdateClass::Precondition.error(doing, format!("{seen}; nothing was sent"));
        self.is_for(image, &wrong).await?;
        let capabilities = match self.capabilities().await {
            Ok(capabilities) => capabilities,
            Err(fault @ Fault::Code(0xc1 | 0xc2)) => {
                let seen = format!("it does not speak HPM.1: {fault}");
                return Err(BmcError { doing: doing.to_owned(), seen, kind: BmcTrouble::Unsupported, source: None });
            }
            Err(fault) => return Err(fault.into_error(doing)),
        };
        if capabilities.undesirable {
            return Err(UpdateClass::Busy.error(doing, "the BMC says that an upgrade is undesirable now; nothing was sent"));
        }
        let parts = self.parts(&capabilities).await.map_err(|fault| fault.into_error(doing))?;
        let (upload, part) = chosen(image, &parts, wanted).map_err(&wrong)?;
        let load = Load { image, upload, part: &part, capabilities: &capabilities, tell: terms.tell };
        let want = Some(upload.version);
        let mut lost = None::<String>;
        for round in 0..ROUNDS {
            let versions = match self.versions(&part).await {
                Ok(versions) => versions,
                // It may restart.
                Err(fault) if lost.is_some() && round + 1 < ROUNDS && !matches!(fault, Fault::Credentials(_)) => {
                    lost = Some(fault.to_string());
                    sleep(PAUSE).await;
                    continue;
                }
                Err(fault) => return lost.map_or_else(|| Err(fault.into_error(doing)), |words| Ok(broken(&load, doing, &words))),
            };
            if versions.runs == want {
                return Ok(Written::Applied(format!("{} {} runs already; nothing was sent", part.name, upload.version)));
            }
            if versions.waits == want && part.can.cold_reset {
                let words = format!("{} {} waits; nothing was sent", part.name, upload.version);
                return Ok(UpdateClass::NotActivated.unclear(format!("{words}; cycling the node's power may activate it")));
            }
            // Uploaded before, by a push that was killed.
            if versions.waits == want {
                return Ok(self.activate(&load, doing).await);
            }
            match self.upload(&load).await {
                Ok(()) => return Ok(self.activate(&load, doing).await),
                Err(Broke::No(command, code)) => {
                    self.abort().await;
                    return Ok(Written::NotApplied(UpdateClass::Rejected.error(doing, refusal(command, code))));
                }
                Err(Broke::Fault(fault @ Fault::Credentials(_))) => return Ok(broken(&load, doing, &fault.to_string())),
                Err(Broke::Fault(fault)) => lost = Some(fault.to_string()),
                Err(Broke::Lost(words)) => lost = Some(words),
            }
            if Instant::now() + PAUSE >= self.deadline {
                break;
            }
            let words = lost.as_deref().unwrap_or_default();
            (terms.tell)(UpdateProgress::Waiting(format!("the upload broke off: {words}")));
            sleep(PAUSE).await;
        }
        self.abort().await;
        Ok(broken(&load, doing, lost.as_deref().unwrap_or("no time was left")))
    }

    /// The image says for which controller it is, and from which firmware on.
    async fn is_for(&mut self, image: &Image, wrong: &(dyn Fn(String) -> BmcError + Send + Sync)) -> Result<(), BmcError> {
        let id = identity::device(self.turn()).await?;
        let (device, maker, product) = (id.device_id, id.manufacturer_id, id.product_id);
        if (image.device, image.maker, image.product) != (device, maker, product) {
            return Err(wrong(format!(
                "the image is for device {:#04x} of maker {}, product {:#06x}, and this is device {device:#04x} of maker {maker}, \
                 product {product:#06x}",
                image.device, image.maker, image.product
            )));
        }
        // The minor numbers are two BCD digits each; the crate gives this one as a number.
        let (major, bcd) = image.earliest;
        let minor = (bcd >> 4).saturating_mul(10).saturating_add(bcd & 0x0f);
        if (major, minor) > (id.major_fw_revision, id.minor_fw_revision) {
            return Err(wrong(format!(
                "the image needs firmware {major}.{minor:02} or newer, and {}.{:02} runs",
                id.major_fw_revision, id.minor_fw_revision
            )));
        }
        Ok(())
    }
}

/// An upload that came to nothing. Nothing new runs; where the old firmware is not kept, the component may be half written.
fn broken(load: &Load<'_>, doing: &str, words: &str) -> Written {
    if load.part.can.backup {
        return Written::NotApplied(failed_upload(doing, words));
    }
    let name = &load.part.name;
    UpdateClass::Ambiguous.unclear(format!("the upload broke off ({words}), and the BMC keeps no second firmware of {name}"))
}

fn failed_upload(doing: &str, words: &str) -> BmcError {
    UpdateClass::Transient.error(doing, format!("the upload broke off before its end: {words}; the old firmware runs"))
}
