//! Is this the node of the facts? SMBIOS serial and UUID as the running system tells them. It compares; it never corrects.

use super::Answers;
use super::check::{need, unheard};
use super::read::{self, shown, word};
use crate::model::{Finding, Probe, Reading, Suite, Verdict};

const SERIAL: &str = "dmi-serial";
const UUID: &str = "dmi-uuid";

pub(super) fn probes(suite: &Suite) -> Vec<Probe> {
    let file = |id: &str, name: &str| Probe::new(id, ["cat", &format!("/sys/class/dmi/id/{name}")]).within(15);
    let mut probes = vec![file(SERIAL, "product_serial")];
    probes.extend(suite.uuid.as_ref().map(|_| file(UUID, "product_uuid")));
    probes
}

/// A wrong identity is a reject: everything else would be said about another machine.
pub(super) fn judge(suite: &Suite, answers: &Answers) -> Vec<Finding> {
    let mut findings = vec![serial(suite, answers)];
    findings.extend(suite.uuid.as_deref().map(|want| uuid(want, answers)));
    findings
}

fn line(what: &str, answers: &Answers, probe: &str) -> Reading<String> {
    match read::output(what, answers.get(probe)) {
        Ok(text) => word(what, text.lines().next()),
        Err(why) => Reading::unknown(why),
    }
}

fn serial(suite: &Suite, answers: &Answers) -> Finding {
    const CHECK: &str = "identity-serial";
    let Some(want) = suite.serial.as_deref() else {
        return unheard(CHECK, "the facts hold no serial for this node");
    };
    need(CHECK, &line("the node's serial", answers, SERIAL), |seen| {
        // Case differs between SMBIOS, FRU and the label; no maker tells machines apart by it.
        let verdict = if shown(want).eq_ignore_ascii_case(seen) { Verdict::Pass } else { Verdict::Reject };
        (verdict, format!("wanted {}, seen {seen}", shown(want)))
    })
}

fn uuid(want: &str, answers: &Answers) -> Finding {
    const CHECK: &str = "identity-uuid";
    need(CHECK, &line("the node's UUID", answers, UUID), |seen| {
        let detail = format!("wanted {}, seen {seen}", shown(want));
        let (want, seen) = (hex(want), hex(seen));
        if want == seen {
            (Verdict::Pass, detail)
        } else if swapped(&want).as_deref() == Some(&seen) {
            // SMBIOS before 2.6 left the byte order of the first three fields open, and BMCs and kernels disagree (DSP0134 §7.2.1).
            (Verdict::Note, format!("{detail}: the same UUID with the bytes of its first three fields turned round"))
        } else {
            (Verdict::Reject, detail)
        }
    })
}

fn hex(uuid: &str) -> String {
    uuid.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
}

fn swapped(hex: &str) -> Option<String> {
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    let turn = |range: std::ops::Range<usize>| -> Option<String> {
        let field = hex.get(range)?.as_bytes();
        Some(field.rchunks(2).flat_map(|pair| pair.iter().map(|b| char::from(*b))).collect())
    };
    Some(format!("{}{}{}{}", turn(0..8)?, turn(8..12)?, turn(12..16)?, hex.get(16..)?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn turned_uuid() {
        let plain = super::hex("00112233-4455-6677-8899-AABBCCDDEEFF");
        assert_eq!(super::swapped(&plain).unwrap(), "33221100554477668899aabbccddeeff");
        assert_eq!(super::swapped("short"), None);
    }
}
