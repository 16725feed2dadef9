//! Observations as a plan keeps them: the same silence gives the same bytes, and no address that opens a boot grant is kept.

use crate::model::{BmcFacts, Observed, Reading, SystemFacts};

/// What an `Unknown` says in a plan. The words of a silence (refused, reset, timed out) differ from look to look and decide nothing.
const UNKNOWN: &str = "not heard when the plan was made";

/// The observations with stable words.
pub(super) fn settled(observed: &Observed) -> Observed {
    let facts = |f: BmcFacts| BmcFacts {
        vendor: quiet(f.vendor),
        model: quiet(f.model),
        serial: quiet(f.serial),
        uuid: quiet(f.uuid),
        bmc_version: quiet(f.bmc_version),
    };
    let system = |s: SystemFacts| SystemFacts {
        boot_id: s.boot_id,
        serial: quiet(s.serial),
        uuid: quiet(s.uuid),
        cmdline: quiet(s.cmdline).map(|c| without_tokens(&c)),
        root: s.root.map(quiet),
    };
    let seen = observed.clone();
    Observed {
        bmc: quiet(seen.bmc).map(facts),
        power: quiet(seen.power),
        boot: match quiet(seen.boot) {
            // An earlier run's leftover: its address is a secret, and it is nothing that this run would put back.
            Reading::Known(held) if held.http_uri.as_deref().is_some_and(|uri| without_tokens(uri) != uri) => {
                Reading::unknown("it holds the address of an earlier boot grant")
            }
            boot => boot,
        },
        firmware: quiet(seen.firmware),
        system: quiet(seen.system).map(system),
        stack: seen.stack.into_iter().map(|(c, v)| (c, quiet(v))).collect(),
    }
}

fn quiet<T>(reading: Reading<T>) -> Reading<T> {
    match reading {
        Reading::Unknown { .. } => Reading::unknown(UNKNOWN),
        known => known,
    }
}

/// A BMC holds, and a netbooted system repeats, the address that it booted from; `/g/` and 32 hex digits in it is a grant's secret.
fn without_tokens(text: &str) -> String {
    let mut parts = text.split("/g/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hex = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str("/g/");
        out.push_str(if hex >= 32 { "(secret)" } else { part.get(..hex).unwrap_or_default() });
        out.push_str(part.get(hex..).unwrap_or_default());
    }
    out
}
