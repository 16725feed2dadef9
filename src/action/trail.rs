//! How far a node came on its way up, what that means, and where a person looks next. Words only: it is told what was seen and asks nobody. What is not
//! known is not said.

use crate::bmc::overhearing::Overheard;
use crate::boot::{GrantStatus, Sign, SignKind, Stage};
use crate::model::BootTarget;

use super::target::NetbootTarget;

/// A node that shows nothing new for so long is told as quiet, in seconds. Large nodes stay minutes in their self-test.
const QUIET_S: i64 = 60;
/// Most lines of what the boot server saw.
const SIGNS: usize = 12;
/// Most lines of the console.
pub(super) const LINES: usize = 10;

/// What is known of one boot.
pub(super) struct Trail<'a> {
    pub(super) target: &'a NetbootTarget,
    pub(super) grant: &'a GrantStatus,
    pub(super) signs: &'a [Sign],
    pub(super) now_ms: i64,
}

/// The furthest stage that the boot server saw or was told.
pub(super) fn furthest(grant: &GrantStatus) -> Stage {
    grant.stages.keys().copied().filter(|stage| stage.is_progress()).max().unwrap_or(Stage::Issued)
}

impl Trail<'_> {
    fn issued_ms(&self) -> i64 {
        self.grant.stages.get(&Stage::Issued).copied().unwrap_or(self.now_ms)
    }

    fn since_grant(&self, at_ms: i64) -> i64 {
        (at_ms - self.issued_ms()).max(0) / 1000
    }

    /// The newest thing that the node itself did.
    fn newest(&self) -> Option<&Sign> {
        self.signs.iter().rev().find(|sign| match sign.kind {
            SignKind::Reached(stage) => stage.is_progress(),
            // Anybody may be refused something in a node's name.
            SignKind::Refused => false,
            _ => true,
        })
    }

    /// One line for whoever watches.
    pub(super) fn progress(&self) -> String {
        let age_s = self.since_grant(self.now_ms);
        let stage = furthest(self.grant);
        let mut text = format!("booting for {age_s} s, ");
        let newest = self.newest();
        match (stage, newest.map(|sign| sign.kind)) {
            (Stage::Issued, None) => text.push_str("nothing heard of it yet"),
            (Stage::Issued, Some(SignKind::Address)) => text.push_str("reached: address"),
            (Stage::Issued, Some(SignKind::AddressRefused)) => text.push_str("refused by DHCP"),
            (Stage::Issued, Some(_)) => text.push_str("reached: loader"),
            (stage, _) => text.push_str(&format!("reached: {stage}")),
        }
        let stage_ms = self.grant.stages.get(&stage).copied().unwrap_or(self.now_ms);
        let last_ms = newest.map_or(stage_ms, |sign| sign.at_ms.max(stage_ms));
        let quiet_s = (self.now_ms - last_ms).max(0) / 1000;
        if quiet_s >= QUIET_S && (stage, newest) != (Stage::Issued, None) {
            text.push_str(&format!(", quiet for {quiet_s} s"));
        }
        text
    }

    /// How far it came, and where to look next.
    pub(super) fn account(&self) -> String {
        let stage = furthest(self.grant);
        let (came, next) = self.came(stage);
        let mut text = came;
        let newest = self.newest().map(|sign| sign.at_ms);
        if let Some(last_ms) = newest.max(self.grant.stages.get(&stage).copied().filter(|_| stage > Stage::Issued)) {
            let (after, quiet) = (self.since_grant(last_ms), (self.now_ms - last_ms).max(0) / 1000);
            text.push_str(&format!("; its last sign came {after} s after its grant, {quiet} s ago"));
        }
        match self.grant.refused {
            0 => {}
            1 => text.push_str("; 1 attempt on its grant was refused"),
            many => text.push_str(&format!("; {many} attempts on its grant were refused")),
        }
        if let Some(refused) = self.signs.iter().rev().find(|sign| sign.kind == SignKind::Refused)
            && self.grant.refused > 0
        {
            let why = refused.text.strip_prefix("http refused: ").unwrap_or(&refused.text);
            text.push_str(&format!(" ({}{why})", if self.grant.refused > 1 { "the last: " } else { "" }));
        }
        text.push_str("; look next at: ");
        text.push_str(&next);
        hide(&text)
    }

    fn came(&self, stage: Stage) -> (String, String) {
        let (node, target) = (&self.target.node, self.target);
        let console = format!("bringup console {node}");
        let fixed = |text: &str, next: String| (text.to_owned(), next);
        match stage {
            Stage::Issued => self.before_its_grant(),
            Stage::Medium => fixed(
                "its BMC fetched the medium; the node itself was not heard",
                format!("{console}, and its address: bringup show {node}"),
            ),
            Stage::Loader => fixed(
                "the boot server saw it reach: loader; iPXE started and never asked for its script",
                format!("that DHCP chains iPXE to {}/boot.ipxe", target.server),
            ),
            Stage::Script => fixed("the boot server saw it reach: script; it never asked for the kernel", console),
            Stage::Kernel if !target.initrd.is_empty() => {
                fixed("the boot server saw it reach: kernel; it never asked for the initrd", console)
            }
            Stage::Initrd if target.root.is_some() => fixed(
                "the boot server saw it reach: initrd; its kernel was handed over to, and nobody asked for the root file system",
                console,
            ),
            Stage::Kernel | Stage::Initrd | Stage::Root => (
                format!(
                    "the boot server saw it reach: {stage}, the last part of its image; whether its kernel came up only its console tells"
                ),
                format!("the lines of its console, or {console}, and bringup power status {node}"),
            ),
            Stage::Userspace | Stage::Network if self.grant.identity.is_some() => fixed(
                "it told that its system comes up, and never fetched its identity, without which it opens no SSH",
                format!("{console}: it says why"),
            ),
            Stage::Userspace => fixed("it told that its first process runs, and nothing of an address", console),
            Stage::Network => fixed("it told that it has an address, and nothing of an SSH server", console),
            Stage::Identity => {
                fixed("the boot server handed out its identity, once; whether it arrived whole only its console tells", console)
            }
            Stage::Ssh => fixed(
                "it told that its SSH server listens, and no login was had",
                format!("the way from here to {}, port 22, and {console}", target.address),
            ),
            _ => fixed("it told that its system is on its disk, and no login was had", console),
        }
    }

    /// Nothing was asked for under its grant: what DHCP, TFTP and the open loader saw is all there is.
    fn before_its_grant(&self) -> (String, String) {
        let (node, target) = (&self.target.node, self.target);
        let last = |kind: SignKind| self.signs.iter().rev().find(|sign| sign.kind == kind);
        let server = format!("{}/boot.ipxe", target.server);
        if target.method == BootTarget::Cd {
            return (
                "its BMC never asked the boot server for the medium".to_owned(),
                format!("bringup bmc media {node}, and that the BMC reaches {}", target.server),
            );
        }
        if let Some(loader) = last(SignKind::Loader) {
            return (
                format!("the boot server saw it reach: loader ({}); it never asked for its script", loader.text),
                format!("bringup console {node}, and that DHCP chains iPXE to {server}"),
            );
        }
        if let Some(part) = last(SignKind::LoaderPart) {
            return (
                format!("its loader never came whole ({})", part.text),
                "the way between node and boot server: UDP port 69, MTU, a firewall".to_owned(),
            );
        }
        if let Some(answered) = last(SignKind::Address) {
            return (
                format!("DHCP answered it ({}), and it fetched nothing", answered.text.trim_start_matches("dhcp ")),
                format!("bringup console {node}, and the way from the node to what it was told to fetch"),
            );
        }
        if let Some(refused) = last(SignKind::AddressRefused) {
            let why = refused.text.split_once("refused: ").map_or(refused.text.as_str(), |(_, why)| why);
            return (
                format!("it asked for an address and DHCP did not answer: {why}"),
                format!("bringup show {node}, and its line in the facts"),
            );
        }
        let never = "the boot server never heard of it:";
        if target.method == BootTarget::UefiHttp {
            return (
                format!("{never} its firmware did not ask for the address in HttpBootUri, or could not reach it"),
                format!("bringup bmc info {node}, its cable and VLAN, and the site's DHCP for UEFI HTTP clients"),
            );
        }
        (
            format!(
                "{never} no question of {} came by DHCP, TFTP or HTTP; it did not netboot, or another DHCP server led it elsewhere",
                target.mac
            ),
            format!(
                "bringup bmc info {node}, its cable, VLAN, boot order and the PXE of its NIC; beside a site's DHCP, that it chains iPXE to {server}"
            ),
        )
    }

    /// The lines behind the account: what the boot server saw.
    pub(super) fn witness(&self) -> Vec<String> {
        let (mac, address) = (self.target.mac, self.target.address);
        let first = self.signs.len().saturating_sub(SIGNS);
        let mut lines = Vec::new();
        match (self.signs, first) {
            ([], _) => lines.push(format!("boot server: nothing was seen of {mac} or {address}")),
            (_, 0) => lines.push("boot server, seconds after the grant:".to_owned()),
            (_, earlier) => lines.push(format!("boot server, seconds after the grant, and {earlier} earlier lines:")),
        }
        let seen = self.signs.iter().skip(first);
        lines.extend(seen.map(|sign| hide(&format!("  {:>4} s  {}", self.since_grant(sign.at_ms), sign.text))));
        lines
    }
}

/// What the console said, in lines.
pub(super) fn console(heard: &Overheard) -> Vec<String> {
    let gaps = match heard.gaps {
        0 => String::new(),
        1 => ", one gap".to_owned(),
        many => format!(", {many} gaps"),
    };
    let after = heard.trouble.as_ref().map(|why| format!("; then not captured: {why}")).unwrap_or_default();
    match (heard.lines.len(), &heard.trouble) {
        (0, Some(why)) => vec![hide(&format!("console: not captured: {why}"))],
        (0, None) if heard.gaps == 0 => vec!["console: listened to, and the node printed nothing".to_owned()],
        (0, None) => vec![format!("console: nothing was heard{gaps}: what the node printed then is lost")],
        (count, _) => {
            let lines = if count == 1 { "line".to_owned() } else { format!("{count} lines") };
            let head = format!("console, the last {lines} of {} bytes{gaps}{after}:", heard.printed);
            std::iter::once(head).chain(heard.lines.iter().map(|line| format!("  | {line}"))).map(|line| hide(&line)).collect()
        }
    }
}

/// Takes the secrets of grants out of a text: a kernel prints its command line, and that holds the addresses below which the grant's files lie. A
/// token is 32 hexadecimal digits behind `/g/`; a line may have cut it, or begin in the middle of it.
pub(super) fn hide(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let hex = rest.bytes().take_while(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)).count();
        let (run, after) = rest.split_at(hex);
        if hex == 32 || (hex > 0 && out.ends_with("/g/")) {
            out.push_str("(grant)");
        } else {
            out.push_str(run);
        }
        let mut chars = after.chars();
        out.extend(chars.next());
        rest = chars.as_str();
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_never_stay_in_a_text() {
        let token = "0123456789abcdef0123456789abcdef";
        for text in
            [format!("http://h/g/{token}/kernel"), format!("a={token}"), format!("/g/{}…", &token[..9]), format!("/g/{token}")]
        {
            let hidden = hide(&text);
            assert!(hidden.contains("(grant)") && !hidden.contains(&token[..9]), "{hidden}");
        }
        let digest = "ab".repeat(32);
        assert_eq!(hide(&format!("bringup.image={digest} g-0011223344ff")), format!("bringup.image={digest} g-0011223344ff"));
    }

    proptest! {
        #[test]
        fn hiding_changes_nothing_else(text in "[ -/g-zA-Z가-힣]{0,60}") {
            prop_assert_eq!(hide(&text), text);
        }

        #[test]
        fn no_token_survives(before in "(.{0,10}[^0-9a-f])?", token in "[0-9a-f]{32}", after in "([^0-9a-f].{0,10})?") {
            let text = format!("{before}{token}{after}");
            prop_assert!(!hide(&text).contains(&token));
        }
    }

    #[test]
    fn a_console_is_told_with_what_is_missing() {
        let heard = Overheard {
            lines: vec!["panic at /g/0123456789abcdef0123456789abcdef/at".into()],
            printed: 40,
            gaps: 1,
            trouble: None,
        };
        assert_eq!(console(&heard), ["console, the last line of 40 bytes, one gap:", "  | panic at /g/(grant)/at"]);
        let deaf = Overheard { trouble: Some("another client has it".into()), ..Overheard::default() };
        assert_eq!(console(&deaf), ["console: not captured: another client has it"]);
        assert_eq!(console(&Overheard::default()), ["console: listened to, and the node printed nothing"]);
    }
}
