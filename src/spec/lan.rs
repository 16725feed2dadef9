//! What the layers say of a node's network for DHCP: a rule that is filled for each slot.

use std::net::Ipv4Addr;

use super::address::AddressRule;
use super::blueprint::Stack;
use super::code;
use super::decode::Spanned;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::expression::Template;
use super::setting::Value;

/// How long a lease lasts when nothing is written, in seconds: a working day and some, since the address never changes anyway.
const LEASE_S: u32 = 12 * 3600;

/// Everything but the slot.
#[derive(Debug)]
pub struct LanRule {
    pub network: Spanned<Template>,
    pub router: Option<Spanned<AddressRule>>,
    pub dns: Vec<Ipv4Addr>,
    pub lease_s: u32,
    pub next_server: Option<Spanned<AddressRule>>,
    pub reply_delay_s: u32,
}

impl LanRule {
    /// `None` when no network is written; what would only matter beside one is then told.
    pub fn of(stack: &Stack<'_>, out: &mut Diagnostics) -> Option<Self> {
        let Some(network) = stack.template("boot.network") else {
            for path in ["boot.router", "boot.dns", "boot.lease", "boot.next_server", "boot.reply_delay"] {
                if let Some((setting, _)) = stack.find(path) {
                    let d = Diagnostic::warning(code::NO_EFFECT, format!("`{path}` has no effect without `boot.network`"));
                    out.push(d.at(setting.span));
                }
            }
            return None;
        };
        let dns = match stack.find("boot.dns") {
            Some((setting, _)) => match &setting.value {
                Value::Addresses(all) => all.clone(),
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        Some(Self {
            network,
            router: stack.address("boot.router"),
            dns,
            lease_s: stack.number("boot.lease").map_or(LEASE_S, |n| n.value),
            next_server: stack.address("boot.next_server"),
            reply_delay_s: stack.number("boot.reply_delay").map_or(0, |n| n.value),
        })
    }
}
