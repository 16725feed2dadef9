//! Gives the boot override of a netboot back: what the BMC held before the run, else none, else the disk. It looks after every try, and says
//! so when nothing helped: a node that netboots at every reboot must not go unnoticed. It never touches an override that is not a netboot's.

use super::medium::without_tokens;
use super::{ActionError, Kept, Scribe};
use crate::bmc::{Bmc, BmcError, BmcTrouble, Written};
use crate::model::{BootOverride, BootTarget, EvidenceNote, Reading, Touch};

/// What became of the override.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// The BMC holds nothing of ours.
    Nothing,
    /// It was given back; the text says what is held now.
    Given(String),
    /// It was not.
    Kept(Kept),
}

/// Gives it back. `before` is what the BMC held before the run, `method` the road that the run took.
///
/// # Errors
/// The journal cannot be written; nothing more was touched.
pub(super) async fn give_back(
    bmc: &dyn Bmc,
    before: &Reading<BootOverride>,
    method: BootTarget,
    scribe: &dyn Scribe,
) -> Result<Back, ActionError> {
    let kept = |what: String, why: String| Ok(Back::Kept(Kept { what, why }));
    let before = before.known();
    let held = match bmc.boot().await {
        Ok(Reading::Known(held)) => held,
        Ok(Reading::Absent) => return Ok(Back::Nothing),
        Ok(Reading::Unknown { why }) => return kept("boot override".to_owned(), format!("what the BMC holds is unknown: {why}")),
        Err(error) => return kept("boot override".to_owned(), format!("what the BMC holds could not be read: {error}")),
    };
    if !is_ours(&held, before, method) {
        return Ok(Back::Nothing);
    }
    let what = format!("boot override {}", held.target);
    let (mut tried, mut taken) = (Vec::new(), false);
    for want in ways(&held, before) {
        let touch = Touch::SetBoot(want.clone());
        scribe.before(&touch).await?;
        let (note, said, reached) = match bmc.set_boot(&want).await {
            Written::Applied(seen) => {
                scribe.after(&touch, EvidenceNote::Applied(without_tokens(&seen))).await?;
                return Ok(Back::Given(format!("{what}: now {}", words(&want))));
            }
            // virtualbmc writes for the next power-on and shows what the machine was powered on with: taken, and not to be seen.
            Written::Ambiguous(seen) => {
                let seen = without_tokens(&seen);
                (EvidenceNote::Ambiguous(seen.clone()), seen, true)
            }
            Written::NotApplied(error) => {
                let text = without_tokens(&error.to_string());
                (EvidenceNote::NotApplied(text.clone()), text, reached(&error))
            }
        };
        taken |= matches!(note, EvidenceNote::Ambiguous(_));
        scribe.after(&touch, note).await?;
        tried.push(format!("{}: {said}", words(&want)));
        if !reached {
            break;
        }
        // An answer that was lost or half kept: what is held now decides, not what was said.
        if let Ok(Reading::Known(now)) = bmc.boot().await
            && !is_ours(&now, before, method)
        {
            return Ok(Back::Given(format!("{what}: now {}", words(&now))));
        }
    }
    let how = if taken { "the BMC took it and still shows the old one; look again when the node is off: " } else { "" };
    kept(what, format!("{how}{}", tried.join("; ")))
}

/// A network override that was not there before the run. A BMC may store another road than it was asked for (sushy-tools keeps `UefiHttp` as
/// `Pxe`, and as `Cd` when it comes with an address), so each counts; a CD only where the run may have asked for one.
fn is_ours(held: &BootOverride, before: Option<&BootOverride>, method: BootTarget) -> bool {
    let ours = match held.target {
        BootTarget::Pxe | BootTarget::UefiHttp => true,
        BootTarget::Cd => matches!(method, BootTarget::Cd | BootTarget::UefiHttp),
        _ => false,
    };
    ours && !before.is_some_and(|b| (b.target, b.once) == (held.target, held.once) && b.http_uri == held.http_uri)
}

/// What is tried, in this order. An override that was for one boot has had its boot, so it is not put back.
fn ways(held: &BootOverride, before: Option<&BootOverride>) -> Vec<BootOverride> {
    let mut ways: Vec<BootOverride> = before.filter(|b| !b.once && b.target != BootTarget::None).cloned().into_iter().collect();
    // The disk in the form in which this BMC keeps things: virtualbmc calls everything `once`, sushy-tools nothing.
    let disk = BootOverride { target: BootTarget::Disk, http_uri: None, ..held.clone() };
    for way in [BootOverride::none(), disk] {
        if !ways.iter().any(|w| w.target == way.target) {
            ways.push(way);
        }
    }
    ways
}

/// False when asking for something else would not get through either.
fn reached(error: &BmcError) -> bool {
    !matches!(
        error.kind,
        BmcTrouble::Unreachable | BmcTrouble::TimedOut | BmcTrouble::Credentials | BmcTrouble::Certificate { .. }
    )
}

fn words(held: &BootOverride) -> String {
    match (held.target, held.once) {
        (BootTarget::None, _) => "none".to_owned(),
        (target, true) => format!("{target} once"),
        (target, false) => format!("{target} at every boot"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cd_is_ours_only_where_the_run_may_have_asked_for_one() {
        let cd = BootOverride { target: BootTarget::Cd, once: true, mode: None, http_uri: None };
        assert!(
            is_ours(&cd, None, BootTarget::Cd)
                && is_ours(&cd, None, BootTarget::UefiHttp)
                && !is_ours(&cd, None, BootTarget::Pxe)
        );
        assert!(!is_ours(&cd, Some(&cd), BootTarget::Cd), "it was there before the run");
        let disk = BootOverride { target: BootTarget::Disk, ..cd };
        assert!(!is_ours(&disk, None, BootTarget::Cd));
    }
}
