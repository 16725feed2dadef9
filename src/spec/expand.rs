//! Intent, facts and overrides into nodes. Pure: what it needs has been read before.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::address::{AddressError, AddressRule, endpoint};
use super::blueprint::{Blueprint, HostKey, Stack, Tls};
use super::code;
use super::decode::Spanned;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::expression::{Template, Variables};
use super::facts::{Facts, Row};
use super::grouped::Grouped;
use super::lan::LanRule;
use super::range::{MAX_NAMES, fold};
use super::setting::Value;
use super::site::{Block, Site};
use super::source::Span;
use super::suggest::nearest;
use crate::model::{BmcAddress, BmcTrust, BootSettings, Digest, Lan, Network, Node, NodeId, Rack, RackId, SecretRef, SshAccess};

/// One place for a node.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Index of its block in the site.
    pub block: usize,
    /// Rack.
    pub rack: RackId,
    /// Slot in the rack.
    pub slot: u32,
    /// Indices of the overrides that match it, weakest first.
    pub overrides: Vec<usize>,
}

impl Slot {
    fn variables<'a>(&'a self, site: &'a Site, node: &'a str) -> Variables<'a> {
        Variables { node, slot: Some(i64::from(self.slot)), ..rack_variables(&site.name, self.rack.as_str()) }
    }
}

/// Letters in front and digits at the end of a rack's name.
fn rack_variables<'a>(site: &'a str, rack: &'a str) -> Variables<'a> {
    let letters = rack.bytes().take_while(u8::is_ascii_lowercase);
    let row = letters.take(6).fold(0i64, |sum, b| sum * 26 + i64::from(b - b'a') + 1);
    let digits = rack.bytes().rev().take_while(u8::is_ascii_digit).count();
    let n = rack.get(rack.len() - digits..).and_then(|d| d.parse().ok());
    Variables { site, rack, node: "", row: (row > 0).then_some(row), n, slot: None }
}

/// The racks and the slots of a site.
pub fn slots(site: &Site, out: &mut Diagnostics) -> (BTreeMap<RackId, Rack>, BTreeMap<NodeId, Slot>) {
    let (mut racks, mut slots) = (BTreeMap::new(), BTreeMap::new());
    let mut owners: HashMap<&str, &Block> = HashMap::new();
    let mut grouped = Grouped::default();
    let plain = Template::parse("{rack}-s{slot:02}", 0).ok();
    for (index, block) in site.blocks.iter().enumerate() {
        for name in &block.racks {
            if let Some(first) = owners.insert(name, block) {
                let message = || format!("the rack `{}` is written twice", quote(name));
                grouped.pair(code::OVERLAP, block.range.span, Some((first.range.span, "first".to_owned())), name, message);
                continue;
            }
            let id = match RackId::new(name.as_str()) {
                Ok(id) => id,
                Err(e) => {
                    grouped.add(code::BAD_NAME, block.range.span, name, || e.to_string());
                    continue;
                }
            };
            racks.insert(id.clone(), rack(site, block, &id, &mut grouped));
            for number in 1..=block.slots.value {
                let slot = Slot { block: index, rack: id.clone(), slot: number, overrides: Vec::new() };
                let template = site.node.as_ref().map(|t| &t.value).or(plain.as_ref());
                let span = site.node.as_ref().map_or(block.range.span, |t| t.span);
                let named = template.map_or(Err(String::new()), |t| t.fill(&slot.variables(site, "")));
                let place = || format!("rack {name} slot {number}");
                let node = named
                    .map_err(|why| (code::EXPRESSION, why))
                    .and_then(|text| NodeId::new(text).map_err(|e| (code::BAD_NAME, e.to_string())));
                match node {
                    Err((code, why)) => grouped.add(code, span, &place(), || format!("{} gets no name: {why}", place())),
                    Ok(node) if slots.contains_key(&node) => {
                        let message = || format!("two slots get the name `{node}`; the second is {}", place());
                        grouped.add(code::OVERLAP, span, node.as_str(), message);
                    }
                    Ok(_) if slots.len() >= MAX_NAMES => {
                        let message = format!("the site has more than {MAX_NAMES} nodes");
                        out.push(Diagnostic::error(code::BAD_RANGE, message).at(block.range.span));
                        grouped.tell(out);
                        return (racks, slots);
                    }
                    Ok(node) => drop(slots.insert(node, slot)),
                }
            }
        }
    }
    grouped.tell(out);
    (racks, slots)
}

fn rack(site: &Site, block: &Block, id: &RackId, grouped: &mut Grouped) -> Rack {
    let feed = block.feed.as_ref().and_then(|feed| match feed.value.fill(&rack_variables(&site.name, id.as_str())) {
        Ok(text) => Some(text),
        Err(why) => {
            grouped.add(code::EXPRESSION, feed.span, id.as_str(), || format!("the rack {id} gets no feed: {why}"));
            None
        }
    });
    let labels = block.layer.settings.iter().filter_map(|s| match (&s.value, s.path.strip_prefix("labels.")) {
        (Value::Text(text), Some(key)) => Some((key.to_owned(), text.clone())),
        _ => None,
    });
    Rack { id: id.clone(), feed, limit_w: block.limit_w.as_ref().map(|l| l.value), labels: labels.collect() }
}

/// Notes on each slot which overrides match it. One that matches nothing is a mistake.
pub fn apply_overrides(site: &Site, slots: &mut BTreeMap<NodeId, Slot>, out: &mut Diagnostics) {
    for (index, item) in site.overrides.iter().enumerate() {
        let mut matched = 0;
        if item.pattern.has_wildcards() {
            for (_, slot) in slots.iter_mut().filter(|(id, _)| item.pattern.matches(id.as_str())) {
                slot.overrides.push(index);
                matched += 1;
            }
        } else {
            for name in item.pattern.names().unwrap_or_default() {
                if let Some(slot) = NodeId::new(name).ok().and_then(|id| slots.get_mut(&id)) {
                    slot.overrides.push(index);
                    matched += 1;
                }
            }
        }
        if matched == 0 && !site.gaps {
            let message = format!("the override `{}` matches no node", quote(&item.selector.value));
            let near = nearest(&item.selector.value, slots.keys().map(NodeId::as_str));
            out.push(Diagnostic::error(code::EMPTY_SELECTOR, message).at(item.selector.span).suggest(near));
        }
    }
}

/// The layers of a slot, weakest first.
pub fn stack<'s>(site: &'s Site, slot: &Slot, out: &mut Diagnostics) -> Option<Stack<'s>> {
    let block = site.blocks.get(slot.block)?;
    let mut layers = vec![&site.defaults];
    layers.extend(site.chain(&block.profile, out)?);
    layers.push(&block.layer);
    layers.extend(slot.overrides.iter().filter_map(|i| site.overrides.get(*i)).map(|o| &o.layer));
    Some(Stack { layers, block: (&block.range.value, block.range.span) })
}

/// Every node.
pub fn nodes(site: &Site, slots: &BTreeMap<NodeId, Slot>, facts: &Facts, out: &mut Diagnostics) -> BTreeMap<NodeId, Node> {
    let mut blueprints: HashMap<(usize, &[usize]), Option<Blueprint>> = HashMap::new();
    let mut grouped = Grouped::default();
    let mut all = BTreeMap::new();
    for (id, slot) in slots {
        let limited = site.blocks.get(slot.block).is_some_and(|b| b.limit_w.is_some());
        let made = blueprints
            .entry((slot.block, slot.overrides.as_slice()))
            .or_insert_with(|| stack(site, slot, out).and_then(|s| s.blueprint(limited, out)));
        let Some(blueprint) = made else { continue };
        let mut maker = Maker { site, id, slot, blueprint, row: facts.rows.get(id.as_str()), grouped: &mut grouped };
        if let Some(node) = maker.node() {
            all.insert(id.clone(), node);
        }
    }
    grouped.tell(out);
    all
}

struct Maker<'a> {
    site: &'a Site,
    id: &'a NodeId,
    slot: &'a Slot,
    blueprint: &'a Blueprint,
    row: Option<&'a Row>,
    grouped: &'a mut Grouped,
}

impl Maker<'_> {
    fn node(&mut self) -> Option<Node> {
        let (b, id) = (self.blueprint, self.id);
        let bmc_address =
            self.endpoint("bmc_address", b.bmc_address.as_ref().or(self.site.bmc_ip.as_ref()), b.bmc_port, "bmc_ip");
        let ssh_address = self.endpoint("ssh_address", b.ssh_address.as_ref().or(self.site.ip.as_ref()), b.ssh_port, "ip");
        let ip = match &b.boot_ip {
            Some(rule) => self.address(rule),
            None => ssh_address.map(|a| a.ip()),
        };
        let (user, password) = (self.fill(&b.bmc_user), self.secret(&b.password));
        let (ssh_user, key) = (self.fill(&b.ssh_user), self.secret(&b.ssh_key));
        let system = b.system.as_ref().map(|t| self.fill(t));
        let kg = b.kg.as_ref().map(|t| self.secret(t));
        let host_keys = self.host_keys();
        let trust = self.trust();
        let lan = match (&b.lan, ip) {
            (None, _) => Some(None),
            (Some(rule), Some(ip)) => self.lan(rule, ip).map(Some),
            (Some(_), None) => None,
        };
        let fact = |column: &str| self.row.and_then(|r| r.get(column));
        let serials: std::collections::BTreeSet<String> =
            fact("accelerator_serials").map(|s| s.split(';').map(str::to_owned).collect()).unwrap_or_default();
        if let Some(row) = self.row.filter(|_| !serials.is_empty() && serials.len() != b.accelerator.count as usize) {
            let message = || format!("{id} has {} accelerators and the facts name {}", b.accelerator.count, serials.len());
            self.grouped.add(code::BAD_FACT, row.span("accelerator_serials"), id.as_str(), message);
        }
        let mac = |column| fact(column).and_then(|m| m.parse().ok());
        let (serial, uuid) = (fact("serial").map(str::to_owned), fact("uuid").map(str::to_owned));
        let (bmc_mac, boot_mac) = (mac("bmc_mac"), mac("boot_mac"));
        let strongest = self.slot.overrides.iter().rev().filter_map(|i| self.site.overrides.get(*i)).find(|o| o.admit.is_some());
        let held = strongest.filter(|o| o.admit.as_ref().is_some_and(|a| !a.value));
        Some(Node {
            id: id.clone(),
            rack: self.slot.rack.clone(),
            slot: self.slot.slot,
            profile: self.site.blocks.get(self.slot.block)?.profile.value.clone(),
            labels: b.labels.clone(),
            bmc: BmcAddress {
                protocol: b.protocol,
                address: bmc_address?,
                user: user?,
                password: password?,
                trust: trust?,
                old_tls: b.old_tls,
                basic: b.basic,
                system: system.map_or(Some(None), |s| s.map(Some))?,
                cipher_suite: b.cipher_suite,
                sol_port: b.sol_port,
                kg: kg.map_or(Some(None), |s| s.map(Some))?,
                mac: bmc_mac,
            },
            ssh: SshAccess { address: ssh_address?, user: ssh_user?, key: key?, host_keys },
            boot: BootSettings {
                method: b.method,
                mode: b.mode,
                server: b.server.clone(),
                mac: boot_mac,
                ip: ip?,
                arch: b.arch,
                lan: lan?,
            },
            vendor: b.vendor.clone(),
            model: b.model.clone(),
            serial,
            uuid,
            cabling: BTreeMap::new(),
            accelerator: b.accelerator.clone(),
            accelerator_serials: serials,
            stack: b.stack.clone(),
            verify: b.verify.clone(),
            pool: b.pool.clone(),
            power: b.power,
            admit: held.is_none(),
            hold: held.map(|o| o.why.value.clone()),
        })
    }

    /// What makes the BMC trusted: what the layers say, and what the facts record.
    fn trust(&mut self) -> Option<BmcTrust> {
        let name = match &self.blueprint.tls {
            Tls::Absent => return Some(BmcTrust::Plaintext),
            Tls::Pinned => {
                let recorded = self.row.and_then(|row| row.get("bmc_cert_sha256"));
                let key = recorded.and_then(|text| text.strip_prefix("spki:")).and_then(|digest| Digest::new(digest).ok());
                let leaf = recorded.and_then(|digest| Digest::new(digest).ok());
                let pinned = key.map(BmcTrust::PinnedKey).or(leaf.map(BmcTrust::Pinned));
                return Some(pinned.unwrap_or(BmcTrust::FirstContact));
            }
            Tls::Authority { name, .. } => name.as_ref(),
        };
        let name = name.map(|template| self.fill(template)).map_or(Some(None), |name| name.map(Some))?;
        let Tls::Authority { file, .. } = &self.blueprint.tls else { return None };
        Some(BmcTrust::Authority { file: file.clone(), name })
    }

    /// What the node is told by DHCP, held against its own address.
    fn lan(&mut self, rule: &LanRule, ip: IpAddr) -> Option<Lan> {
        let text = self.fill(&rule.network)?;
        let network: Network = text
            .parse()
            .map_err(|why| {
                let message = || format!("boot.network of {} cannot be `{}`: {why}", self.id, quote(&text));
                self.grouped.add(code::ADDRESS, rule.network.span, self.id.as_str(), message);
            })
            .ok()?;
        let own = self.inside(network, rule.network.span, "the address", ip)?;
        let router = match &rule.router {
            None => None,
            Some(written) => {
                let address = self.address(written)?;
                let router = self.inside(network, written.span, "the router", address)?;
                if router == own {
                    let message = || format!("{} would be its own router, {router}", self.id);
                    self.grouped.add(code::ADDRESS, written.span, self.id.as_str(), message);
                    return None;
                }
                Some(router)
            }
        };
        let next_server = match &rule.next_server {
            None => None,
            Some(written) => match self.address(written)? {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(address) => {
                    let message = || format!("boot.next_server of {} is {address}; DHCP has room for an IPv4 address", self.id);
                    self.grouped.add(code::ADDRESS, written.span, self.id.as_str(), message);
                    return None;
                }
            },
        };
        let (dns, lease_s, reply_delay_s) = (rule.dns.clone(), rule.lease_s, rule.reply_delay_s);
        Some(Lan { network, router, dns, lease_s, next_server, reply_delay_s })
    }

    fn inside(&mut self, network: Network, span: Span, what: &str, address: IpAddr) -> Option<Ipv4Addr> {
        if let IpAddr::V4(address) = address
            && network.has_room_for(address)
        {
            return Some(address);
        }
        let why = match address {
            IpAddr::V4(address) if network.contains(address) => "is none that a machine can have in its",
            _ => "does not lie in its",
        };
        let message = || format!("{what} of {}, {address}, {why} boot.network {network}", self.id);
        self.grouped.add(code::ADDRESS, span, self.id.as_str(), message);
        None
    }

    fn fill(&mut self, template: &Spanned<Template>) -> Option<String> {
        let filled = template.value.fill(&self.slot.variables(self.site, self.id.as_str()));
        let filled = filled.and_then(|text| match text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            true => Err("1 to 256 printable characters are expected".to_owned()),
            false => Ok(text),
        });
        filled
            .map_err(|why| self.grouped.add(code::EXPRESSION, template.span, self.id.as_str(), || format!("{}: {why}", self.id)))
            .ok()
    }

    fn secret(&mut self, template: &Spanned<Template>) -> Option<SecretRef> {
        let reference = self.fill(template)?.parse::<SecretRef>();
        reference
            .map_err(|e| self.grouped.add(code::BAD_VALUE, template.span, self.id.as_str(), || format!("{}: {e}", self.id)))
            .ok()
    }

    fn address(&mut self, rule: &Spanned<AddressRule>) -> Option<IpAddr> {
        match rule.value.address(&self.slot.variables(self.site, self.id.as_str())) {
            Ok(address) => Some(address),
            Err(why) => {
                let code = if matches!(why, AddressError::Expression(_)) { code::EXPRESSION } else { code::ADDRESS };
                self.grouped.add(code, rule.span, self.id.as_str(), || format!("{} gets no address: {why}", self.id));
                None
            }
        }
    }

    /// The facts know better than the rule.
    fn endpoint(&mut self, column: &str, rule: Option<&Spanned<AddressRule>>, port: u16, naming: &str) -> Option<SocketAddr> {
        if let Some(written) = self.row.and_then(|r| r.get(column)) {
            return endpoint(written, port);
        }
        let Some(rule) = rule else {
            if self.site.naming_flawed {
                return None;
            }
            let span = self.site.blocks.get(self.slot.block)?.range.span;
            let message = || format!("{} has no {}: no `naming.{naming}`, no fact `{column}`", self.id, column.replace('_', " "));
            self.grouped.add(code::INCOMPLETE, span, self.id.as_str(), message);
            return None;
        };
        self.address(rule).map(|ip| SocketAddr::new(ip, port))
    }

    fn host_keys(&mut self) -> std::collections::BTreeSet<String> {
        let known = self.row.and_then(|r| r.get("ssh_host_key"));
        match (&self.blueprint.host_key, known) {
            (HostKey::Written(key), _) => [key.clone()].into(),
            (_, Some(keys)) => keys.split(';').map(str::to_owned).collect(),
            (HostKey::Pinned(span), None) => {
                let message = || "`ssh.host_key: pinned` needs the fact `ssh_host_key`".to_owned();
                self.grouped.add(code::MISSING_FACT, *span, self.id.as_str(), message);
                [].into()
            }
            (HostKey::FirstContact, None) => [].into(),
        }
    }
}

/// Rows of facts for nodes that the intent does not make, and facts that the policy demands.
pub fn check_facts(
    site: &Site,
    slots: &BTreeMap<NodeId, Slot>,
    nodes: &BTreeMap<NodeId, Node>,
    facts: &Facts,
    out: &mut Diagnostics,
) {
    // Looking for the nearest of 12,500 names takes a millisecond; a wholly wrong file must not take a minute.
    let mut suggestions = 20;
    for row in facts.rows.values() {
        if site.gaps || NodeId::new(row.node.text.as_str()).is_ok_and(|id| slots.contains_key(&id)) {
            continue;
        }
        let message = format!("facts for `{}`, but no rack holds such a node", quote(&row.node.text));
        let d = Diagnostic::error(code::UNKNOWN_NODE, message).at(row.node.span);
        let near = if suggestions > 0 { nearest(&row.node.text, slots.keys().map(NodeId::as_str)) } else { None };
        suggestions = i32::max(suggestions - 1, 0);
        out.push(d.suggest(near));
    }
    for demand in site.require.iter().filter(|_| facts.whole) {
        let column = demand.value.trim_start_matches("facts.");
        // A certificate can only be demanded where one is pinned: neither IPMI nor a BMC without TLS has any, and an authority speaks for its own.
        let exempt = |n: &Node| {
            let elsewhere = matches!(n.bmc.trust, BmcTrust::Plaintext | BmcTrust::Authority { .. });
            column == "bmc_cert_sha256" && (n.bmc.protocol == crate::model::BmcProtocol::Ipmi || elsewhere)
        };
        let lacking = nodes.values().filter(|n| !exempt(n) && facts.rows.get(n.id.as_str()).is_none_or(|r| r.lacks(column)));
        let lacking: Vec<&str> = lacking.map(|n| n.id.as_str()).collect();
        if lacking.is_empty() {
            continue;
        }
        let count = lacking.len();
        let message =
            format!("the fact `{column}` is required and missing for {count} node{}", if count == 1 { "" } else { "s" });
        let mut d = Diagnostic::error(code::MISSING_FACT, message).at(demand.span).label("required here");
        if let Some(row) = lacking.iter().find_map(|id| facts.rows.get(*id)) {
            d = d.also(row.node.span, "not in this row");
        }
        let folded: String = fold(lacking).chars().take(200).collect();
        out.push(d.hint(format!("missing for {folded}; `bringup discover` can read facts from live BMCs")));
    }
}
