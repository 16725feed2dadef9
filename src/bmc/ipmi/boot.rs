//! The boot override: look, set, read back. "Applied" only when the flags read back as asked for.

use super::command::boot::{BootFlags, GetBootFlags};
use super::fault::Fault;
use super::turn::{Need, Turn};
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::{BootOverride, BootTarget, Reading};

/// "Parameter not supported" of Get System Boot Options (§28.13).
const NO_SUCH_PARAMETER: u8 = 0x80;

pub(super) async fn get(turn: &mut Turn<'_>) -> Result<Reading<BootOverride>, BmcError> {
    match turn.read(Need::Operator, || GetBootFlags).await {
        Ok(flags) => Ok(match flags.as_override() {
            Ok(held) => Reading::Known(held),
            Err(selector) => Reading::unknown(format!("boot device selector {selector} has no word here")),
        }),
        Err(Fault::Code(NO_SUCH_PARAMETER)) => Ok(Reading::Absent),
        Err(fault) => Err(fault.into_error("get system boot options")),
    }
}

fn unsupported(seen: &str) -> Written {
    Written::NotApplied(BmcError {
        doing: "set system boot options".to_owned(),
        seen: seen.to_owned(),
        kind: BmcTrouble::Unsupported,
        source: None,
    })
}

pub(super) async fn set(turn: &mut Turn<'_>, want: &BootOverride) -> Written {
    if want.http_uri.is_some() {
        return unsupported("IPMI has no place for a boot URI; use Redfish, or boot method `pxe`");
    }
    let Some(flags) = BootFlags::asking_for(want) else {
        return unsupported("IPMI has no selector for UEFI HTTP boot; use Redfish, or boot method `pxe`");
    };
    let before = match turn.read(Need::Operator, || GetBootFlags).await {
        Ok(before) => before,
        Err(fault) => return Written::NotApplied(fault.into_error("get system boot options")),
    };
    if holds(before, want) {
        return Written::Applied(format!("{} already, nothing was sent", before.describe()));
    }
    // The flags are a value, not a push: sending them again changes nothing, so lost packets are asked again.
    let set = turn.repeat(Need::Operator, &flags.set()).await;
    if let Err(fault @ Fault::Code(_)) = set {
        return Written::NotApplied(fault.into_error("set system boot options"));
    }
    match turn.read(Need::Operator, || GetBootFlags).await {
        Ok(after) if holds(after, want) => Written::Applied(after.describe()),
        Ok(after) => Written::Ambiguous(format!("asked for {}; read back {}", flags.describe(), after.describe())),
        Err(fault) => Written::Ambiguous(format!("set, not read back: {}", fault.into_error("get system boot options"))),
    }
}

fn holds(flags: BootFlags, want: &BootOverride) -> bool {
    match (flags.as_override(), want.target) {
        (Ok(held), BootTarget::None) => held.target == BootTarget::None,
        (Ok(held), _) => held.target == want.target && held.once == want.once && (want.mode.is_none() || held.mode == want.mode),
        (Err(_), _) => false,
    }
}
