//! Which line of which file set a field: `show NODE --why FIELD`. Computed when asked, from the layers that the load kept.

use super::expand;
use super::inventory::LoadedInventory;
use super::setting::paths;
use super::source::Span;
use super::suggest::nearest;
use crate::model::NodeId;

/// One place that had a say in a field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Provenance {
    /// File, as written.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The line's text, trimmed; secrets concealed.
    pub text: String,
    /// Which layer: `defaults`, `profile …`, `rack …`, `override …`, `naming`, `facts`.
    pub layer: String,
    /// The field that it sets, such as `bmc.user`.
    pub field: String,
    /// True for the one that decides.
    pub decides: bool,
}

/// Fields that come from elsewhere than the table of settings: field, column of the facts.
const FROM_FACTS: [(&str, &str); 9] = [
    ("serial", "serial"),
    ("uuid", "uuid"),
    ("bmc.mac", "bmc_mac"),
    ("boot.mac", "boot_mac"),
    ("bmc.trust", "bmc_cert_sha256"),
    ("ssh.host_keys", "ssh_host_key"),
    ("accelerator_serials", "accelerator_serials"),
    ("bmc.address", "bmc_address"),
    ("ssh.address", "ssh_address"),
];

/// Names in the expanded inventory that differ from those in the files.
const RENAMED: [(&str, &str); 17] = [
    ("bmc.protocol", "bmc.driver"),
    ("vendor", "expect.vendor"),
    ("model", "expect.model"),
    ("accelerator", "accel"),
    ("expect.accel", "accel"),
    ("accel.pci_id", "accel.pci"),
    ("ssh.host_keys", "ssh.host_key"),
    ("bmc.trust", "bmc.tls"),
    ("bmc.trust", "bmc.ca"),
    ("bmc.trust", "bmc.name"),
    ("boot.ip", "ssh.address"),
    ("boot.lan.network", "boot.network"),
    ("boot.lan.router", "boot.router"),
    ("boot.lan.dns", "boot.dns"),
    ("boot.lan.lease_s", "boot.lease"),
    ("boot.lan.next_server", "boot.next_server"),
    ("boot.lan.reply_delay_s", "boot.reply_delay"),
];

impl LoadedInventory {
    /// Every place that had a say in `field` of `node`, weakest first; the deciding one is marked. `bmc` asks for all fields below it.
    /// Empty when nothing was written: a default of this program, or no such field.
    #[must_use]
    pub fn why(&self, node: &NodeId, field: &str) -> Vec<Provenance> {
        let Some(slot) = self.slots.get(node) else { return Vec::new() };
        let Some(block) = self.site.blocks.get(slot.block) else { return Vec::new() };
        let mut found: Vec<(String, String, Span)> = Vec::new();
        let asked = |path: &str| path == field || path.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
        let renamed = |path: &str| {
            asked(path)
                || RENAMED.iter().any(|(shown, written)| {
                    let tail = path.strip_prefix(written).filter(|t| t.is_empty() || t.starts_with('.'));
                    tail.is_some_and(|t| asked(&format!("{shown}{t}")))
                })
        };
        let mut add = |path: &str, layer: &str, span: Span| {
            if renamed(path) {
                found.push((path.to_owned(), layer.to_owned(), span));
            }
        };
        let range = format!("rack {}", block.range.value);
        add("id", &range, block.range.span);
        add("rack", &range, block.range.span);
        add("slot", &range, block.slots.span);
        add("profile", &range, block.profile.span);
        let naming = [
            ("id", self.site.node.as_ref().map(|t| t.span)),
            ("bmc.address", self.site.bmc_ip.as_ref().map(|t| t.span)),
            ("ssh.address", self.site.ip.as_ref().map(|t| t.span)),
        ];
        for (path, span) in naming {
            span.into_iter().for_each(|s| add(path, "naming", s));
        }
        for layer in expand::stack(&self.site, slot, &mut super::Diagnostics::new()).map(|s| s.layers).unwrap_or_default() {
            layer.settings.iter().for_each(|s| add(&s.path, &layer.name, s.span));
        }
        for item in slot.overrides.iter().filter_map(|i| self.site.overrides.get(*i)) {
            if let Some(admit) = &item.admit {
                add("admit", &item.layer.name, admit.span);
                add("hold", &item.layer.name, item.why.span);
            }
        }
        if let Some(row) = self.facts.rows.get(node.as_str()) {
            for (path, column) in FROM_FACTS.iter().filter(|(_, column)| row.get(column).is_some()) {
                add(path, "facts", row.span(column));
            }
        }
        for ((_, interface), cable) in self.cabling.cables.iter().filter(|((name, _), _)| name == node.as_str()) {
            add(&format!("cabling.{interface}.switch"), "cabling", cable.switch.span);
            add(&format!("cabling.{interface}.port"), "cabling", cable.port.span);
        }
        self.provenance(found)
    }

    fn provenance(&self, mut found: Vec<(String, String, Span)>) -> Vec<Provenance> {
        // Stable: within a field the order of strength stays.
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let next: Vec<Option<String>> = found.iter().skip(1).map(|(path, ..)| Some(path.clone())).chain([None]).collect();
        let one = |((field, layer, span), next): ((String, String, Span), Option<String>)| {
            let place = self.warnings.sources.place(span);
            let text = self.warnings.sources.shown_line(span);
            let decides = next.as_ref() != Some(&field);
            Provenance { file: place.file, line: place.line, column: place.column, text, layer, field, decides }
        };
        found.into_iter().zip(next).map(one).collect()
    }
}

/// The field that somebody who wrote `field` may have meant.
#[must_use]
pub fn nearest_field(field: &str) -> Option<String> {
    let shown = RENAMED.iter().map(|(s, _)| *s).chain(FROM_FACTS.iter().map(|(s, _)| *s));
    let fixed = ["id", "rack", "slot", "profile", "admit", "hold", "labels", "bmc", "boot", "ssh", "power", "expect", "cabling"];
    let all: Vec<String> = paths().chain(shown.chain(fixed).map(str::to_owned)).collect();
    nearest(field, all.iter().map(String::as_str)).map(str::to_owned)
}
