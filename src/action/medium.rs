//! The boot medium of a netboot: put into a virtual drive before the power is touched, and taken out when the run lets go. The address in a drive tells
//! whose medium it is: what is not ours is never ejected on the way out.

use super::{ActionError, Kept, NetbootTarget, Scribe};
use crate::bmc::settings::MediaOrder;
use crate::bmc::{BmcTrouble, WholeBmc, Written};
use crate::boot::{Issued, MEDIUM};
use crate::model::{Class, EvidenceNote, Reading, Touch};

/// Takes the grant's secret out of what a BMC repeated.
pub(super) fn hide(text: &str, issued: &Issued) -> String {
    text.replace(issued.token.expose(), &format!("({})", issued.public_id))
}

/// Puts the grant's medium in. The power is not touched on a hope: a medium that is not seen in its drive ends the attempt.
///
/// # Errors
/// It is not in, or not seen to be in.
pub(super) async fn insert(
    bmc: &dyn WholeBmc,
    target: &NetbootTarget,
    issued: &Issued,
    scribe: &dyn Scribe,
) -> Result<(), ActionError> {
    let url = format!("{}{}", target.server, issued.medium_path());
    let touch = Touch::InsertMedia { slot: None, url: hide(&url, issued) };
    scribe.before(&touch).await?;
    scribe.progress("virtual media");
    let failed = |seen: String, class: Class| ActionError {
        doing: "insert the boot medium".to_owned(),
        seen: format!("{seen}; the BMC fetches it from {}, so it must reach that address", target.server),
        class,
        source: None,
    };
    match bmc.insert_media(&MediaOrder { slot: None, url, share: None }).await {
        Written::Applied(seen) => scribe.after(&touch, EvidenceNote::Applied(hide(&seen, issued))).await,
        Written::Ambiguous(seen) => {
            let seen = hide(&seen, issued);
            scribe.after(&touch, EvidenceNote::Ambiguous(seen.clone())).await?;
            Err(failed(seen, Class::Ambiguous))
        }
        Written::NotApplied(error) => {
            let seen = hide(&error.to_string(), issued);
            scribe.after(&touch, EvidenceNote::NotApplied(seen.clone())).await?;
            Err(failed(seen, error.class()))
        }
    }
}

/// Whether what a drive shows comes from a grant of this boot server. Some BMCs show the address without its scheme, some the name alone. And
/// sushy-tools puts what `HttpBootUri` names into its CD drive, so it need not be a medium.
fn is_ours(image: &str, server: &str) -> bool {
    let bare = |text: &str| text.split_once("://").map_or(text, |(_, rest)| rest).to_owned();
    image == MEDIUM || bare(image).starts_with(&format!("{}/g/", bare(server)))
}

/// Takes our medium out of every drive that holds it; says what was given back and what could not be.
///
/// # Errors
/// The journal cannot be written; nothing more was touched.
pub(super) async fn eject(
    bmc: &dyn WholeBmc,
    server: &str,
    scribe: &dyn Scribe,
) -> Result<(Vec<String>, Vec<Kept>), ActionError> {
    let what = "boot medium".to_owned();
    let drives = match bmc.media().await {
        Ok(Reading::Known(drives)) => drives,
        Ok(Reading::Absent) => return Ok((Vec::new(), Vec::new())),
        Ok(Reading::Unknown { why }) => {
            return Ok((Vec::new(), vec![Kept { what, why: format!("what is in the drives is unknown: {why}") }]));
        }
        Err(error) if error.kind == BmcTrouble::Unsupported => return Ok((Vec::new(), Vec::new())),
        Err(error) => return Ok((Vec::new(), vec![Kept { what, why: format!("the drives could not be read: {error}") }])),
    };
    let (mut given, mut kept) = (Vec::new(), Vec::new());
    for drive in drives.iter().filter(|drive| drive.image.known().is_some_and(|image| is_ours(image, server))) {
        let touch = Touch::EjectMedia { slot: Some(drive.name.clone()) };
        scribe.before(&touch).await?;
        let what = format!("boot medium in {}", drive.name.escape_debug());
        match bmc.eject_media(Some(&drive.name)).await {
            Written::Applied(seen) => {
                scribe.after(&touch, EvidenceNote::Applied(without_tokens(&seen))).await?;
                given.push(format!("{what}: ejected"));
            }
            Written::Ambiguous(seen) => {
                let seen = without_tokens(&seen);
                scribe.after(&touch, EvidenceNote::Ambiguous(seen.clone())).await?;
                kept.push(Kept { what, why: seen });
            }
            Written::NotApplied(error) => {
                let seen = without_tokens(&error.to_string());
                scribe.after(&touch, EvidenceNote::NotApplied(seen.clone())).await?;
                kept.push(Kept { what, why: seen });
            }
        }
    }
    Ok((given, kept))
}

/// A later life of a run does not know the token that a BMC still shows: whatever stands between `/g/` and the next slash is left out.
pub(super) fn without_tokens(text: &str) -> String {
    let mut parts = text.split("/g/");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let token = part.chars().take_while(char::is_ascii_hexdigit).count();
        clean.push_str("/g/");
        clean.push_str(if token == 32 { "…" } else { part.get(..token).unwrap_or_default() });
        clean.push_str(part.get(token..).unwrap_or_default());
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_medium_is_known_by_its_address() {
        let ours = |image: &str| is_ours(image, "http://10.77.0.1:8088");
        let token = "0".repeat(32);
        assert!(
            ours(&format!("http://10.77.0.1:8088/g/{token}/bringup.iso"))
                && ours(&format!("10.77.0.1:8088/g/{token}/bringup.iso"))
        );
        assert!(ours("bringup.iso"), "some BMCs show the name alone");
        assert!(ours(&format!("http://10.77.0.1:8088/g/{token}/ipxe.efi")), "what HttpBootUri named");
        for other in ["http://10.77.0.1/rescue.iso", "http://10.77.0.9:8088/g/1/bringup.iso", "rescue.iso", "", "/bringup.iso"] {
            assert!(!ours(other), "{other}");
        }
    }

    #[test]
    fn no_token_is_repeated() {
        let token = "0123456789abcdef0123456789abcdef";
        let text = format!("eject http://h/g/{token}/bringup.iso and /g/(g-1)/x and /g/");
        assert_eq!(without_tokens(&text), "eject http://h/g/…/bringup.iso and /g/(g-1)/x and /g/");
    }
}
