//! The settings that every layer may write (defaults, profile, rack block, override), as one table. A layer is a flat list of what it
//! sets and where; merging is looking from the strongest layer to the weakest, so the origin of each value is never lost.

use std::net::Ipv4Addr;

use super::address::AddressRule;
use super::code;
use super::conceal::conceal_all;
use super::decode::{Fields, Spanned, list, number, text};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::expression::Template;
use super::source::Span;
use super::unit::Seconds;
use super::yaml::{Kind as TreeKind, Tree};
use crate::model::{SecretRef, SecretRefError};

/// How a setting is read.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Choice(&'static [&'static str]),
    Word,
    Name,
    Template,
    Secret,
    Address,
    Url,
    HostKey,
    PciId,
    Port,
    Suite,
    Number,
    Network,
    Addresses,
    Lease,
    Delay,
}

/// Section, key, kind. The path of a setting is `section.key`.
const TABLE: [(&str, &str, Kind); 42] = [
    ("bmc", "driver", Kind::Choice(&["redfish", "ipmi"])),
    ("bmc", "fallback", Kind::Choice(&["redfish", "ipmi"])),
    ("bmc", "user", Kind::Template),
    ("bmc", "password", Kind::Secret),
    ("bmc", "tls", Kind::Choice(&["pinned", "authority", "none"])),
    ("bmc", "ca", Kind::Word),
    ("bmc", "name", Kind::Template),
    ("bmc", "old_tls", Kind::Choice(&["refused", "allowed"])),
    ("bmc", "basic", Kind::Choice(&["never", "without-sessions", "when-full"])),
    ("bmc", "why", Kind::Word),
    ("bmc", "address", Kind::Address),
    ("bmc", "port", Kind::Port),
    ("bmc", "system", Kind::Template),
    ("bmc", "cipher_suite", Kind::Suite),
    ("bmc", "sol_port", Kind::Port),
    ("bmc", "kg", Kind::Secret),
    ("boot", "method", Kind::Choice(&["none", "pxe", "uefi-http", "virtual-media", "disk"])),
    ("boot", "mode", Kind::Choice(&["uefi", "legacy"])),
    ("boot", "server", Kind::Url),
    ("boot", "ip", Kind::Address),
    ("boot", "arch", Kind::Choice(&["x86_64", "aarch64"])),
    ("boot", "network", Kind::Network),
    ("boot", "router", Kind::Address),
    ("boot", "dns", Kind::Addresses),
    ("boot", "lease", Kind::Lease),
    ("boot", "next_server", Kind::Address),
    ("boot", "reply_delay", Kind::Delay),
    ("ssh", "user", Kind::Template),
    ("ssh", "key", Kind::Secret),
    ("ssh", "host_key", Kind::HostKey),
    ("ssh", "address", Kind::Address),
    ("ssh", "port", Kind::Port),
    ("expect", "vendor", Kind::Word),
    ("expect", "model", Kind::Word),
    ("power", "idle_w", Kind::Number),
    ("power", "boot_w", Kind::Number),
    ("accel", "kind", Kind::Choice(&["nvidia", "furiosa", "rebellions", "pci"])),
    ("accel", "model", Kind::Word),
    ("accel", "count", Kind::Number),
    ("accel", "pci", Kind::PciId),
    ("", "stack", Kind::Name),
    ("", "verify", Kind::Name),
];
/// The pool stands alone so that the table above stays in the order of the file.
const POOL: (&str, &str, Kind) = ("", "pool", Kind::Name);

/// A value that a layer sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A checked text.
    Text(String),
    /// Text with expressions; for secrets the reference, never the secret.
    Template(Template),
    /// A rule for addresses.
    Address(AddressRule),
    /// A whole number.
    Number(u32),
    /// Addresses, best first.
    Addresses(Vec<Ipv4Addr>),
}

/// One setting of one layer.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Such as `bmc.user`, `accel.count` or `labels.ring`.
    pub path: String,
    /// What it is set to.
    pub value: Value,
    /// Where that is written.
    pub span: Span,
}

/// What one layer sets.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// For people: `defaults`, `profile gpu-node`, `rack a[001-275]`, `override a017-s03`.
    pub name: String,
    /// The settings.
    pub settings: Vec<Setting>,
    /// Something in it could not be read, so that what it lacks may have been meant to be there.
    pub flawed: bool,
}

impl Layer {
    /// What this layer sets at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.settings.iter().find(|s| s.path == path)
    }

    /// Reads one map that holds settings and, taken by `more`, other keys.
    pub fn open<T>(
        name: String,
        mut fields: Fields<'_>,
        out: &mut Diagnostics,
        more: impl FnOnce(&mut Fields<'_>, &mut Diagnostics) -> T,
    ) -> (Self, T) {
        let before = out.errors();
        let other = more(&mut fields, out);
        let mut layer = Self::read(name, &mut fields, out);
        fields.finish(out);
        layer.flawed = out.errors() > before;
        (layer, other)
    }

    fn read(name: String, fields: &mut Fields<'_>, out: &mut Diagnostics) -> Self {
        let mut layer = Self { name, ..Self::default() };
        for section in ["bmc", "boot", "ssh", "power"] {
            if let Some(mut inner) = fields.fields(section, out) {
                layer.section(section, &mut inner, out);
                inner.finish(out);
            }
        }
        if let Some(mut expect) = fields.fields("expect", out) {
            layer.section("expect", &mut expect, out);
            if let Some(mut accel) = expect.fields("accel", out) {
                layer.section("accel", &mut accel, out);
                accel.finish(out);
            }
            expect.finish(out);
        }
        layer.section("", fields, out);
        for (key, label) in fields.texts("labels", out) {
            if let Err(why) = check_label(&key, &label.value) {
                out.push(Diagnostic::error(code::BAD_NAME, why).at(label.span));
            }
            layer.settings.push(Setting { path: format!("labels.{key}"), value: Value::Text(label.value), span: label.span });
        }
        layer
    }

    fn section(&mut self, section: &str, fields: &mut Fields<'_>, out: &mut Diagnostics) {
        for (_, key, kind) in TABLE.iter().chain([&POOL]).filter(|(s, ..)| *s == section) {
            let what = fields.path(key);
            let Some(tree) = fields.take(key) else { continue };
            if let Some(Spanned { value, span }) = read(tree, *kind, &what, out) {
                let path = if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
                self.settings.push(Setting { path, value, span });
            }
        }
    }
}

/// All fixed paths, for suggestions.
pub fn paths() -> impl Iterator<Item = String> {
    TABLE.iter().chain([&POOL]).map(|(s, k, _)| if s.is_empty() { (*k).to_owned() } else { format!("{s}.{k}") })
}

fn read(tree: &Tree, kind: Kind, what: &str, out: &mut Diagnostics) -> Option<Spanned<Value>> {
    if matches!(kind, Kind::Number | Kind::Port | Kind::Suite) {
        let Spanned { value, span } = number::<u32>(tree, what, out)?;
        let fits = match kind {
            Kind::Port if !(1..=65_535).contains(&value) => Err("a port lies between 1 and 65535"),
            Kind::Suite if value != 3 && value != 17 => Err("cipher suites 3 and 17 are supported"),
            Kind::Number if value > 1_000_000 => Err("at most 1000000"),
            _ => Ok(()),
        };
        if let Err(rule) = fits {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what} cannot be {value}")).at(span).label(rule));
            return None;
        }
        return Some(Spanned { value: Value::Number(value), span });
    }
    if matches!(kind, Kind::Secret) {
        return secret(tree, what, out);
    }
    if matches!(kind, Kind::Addresses) {
        return addresses(tree, what, out);
    }
    let Spanned { value: written, span } = text(tree, what, out)?;
    let (shown, bytes) = (quote(&written), written.len());
    let value = match kind {
        Kind::Choice(words) if words.contains(&written.as_str()) => Ok(Value::Text(written)),
        Kind::Choice(words) => {
            let mut d = Diagnostic::error(code::BAD_VALUE, format!("{what} cannot be `{shown}`")).at(span);
            d = d.label(format!("expected one of: {}", words.join(", ")));
            if what.ends_with("boot.mode") && written == "uefi-http" {
                d = d.hint("that is a method: write `method: uefi-http, mode: uefi`");
            } else {
                d = d.suggest(super::suggest::nearest(&written, words.iter().copied()));
            }
            out.push(d);
            return None;
        }
        Kind::Name if is_name(&written) => Ok(Value::Text(written)),
        Kind::Name => Err("letters, digits, `-`, `_` and `.`, at most 63, and no `.` in front".to_owned()),
        Kind::Url if is_base_url(&written) => Ok(Value::Text(written.trim_end_matches('/').to_owned())),
        Kind::Url => Err("an address such as http://10.77.0.1:8088 is expected".to_owned()),
        Kind::HostKey if matches!(written.as_str(), "pinned" | "first-contact") || is_host_key(&written) => {
            Ok(Value::Text(written))
        }
        Kind::HostKey => Err("expected `pinned`, `first-contact` or a fingerprint `SHA256:…`".to_owned()),
        Kind::PciId if is_pci_id(&written) => Ok(Value::Text(written.to_ascii_lowercase())),
        Kind::PciId => Err("a PCI id such as `10de:2330` is expected".to_owned()),
        Kind::Lease => seconds(&written, 120, 86_400, "a lease lasts from `2m` to `24h`"),
        Kind::Delay => seconds(&written, 1, 10, "a delay lasts from `1s` to `10s`"),
        Kind::Address | Kind::Template | Kind::Network => {
            let read = if matches!(kind, Kind::Address) {
                AddressRule::parse(&written).map(Value::Address)
            } else {
                Template::parse(&written, 0).map(Value::Template)
            };
            match read {
                Ok(value) => Ok(value),
                Err(e) => {
                    out.push(Diagnostic::error(code::EXPRESSION, format!("{what}: {e}")).at(within(span, bytes, e.at)));
                    return None;
                }
            }
        }
        _ if written.trim().is_empty() || written.chars().count() > 128 || written.chars().any(char::is_control) => {
            Err("1 to 128 printable characters are expected".to_owned())
        }
        _ => Ok(Value::Text(written)),
    };
    match value {
        Ok(value) => Some(Spanned { value, span }),
        Err(rule) => {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what} cannot be `{shown}`")).at(span).label(rule));
            None
        }
    }
}

/// A time within bounds, as its number of seconds.
fn seconds(written: &str, least: u32, most: u32, rule: &str) -> Result<Value, String> {
    match written.parse() {
        Ok(Seconds(n)) if (least..=most).contains(&n) => Ok(Value::Number(n)),
        _ => Err(rule.to_owned()),
    }
}

/// Up to eight IPv4 addresses: a DHCP answer has room for more, and no resolver asks more than three.
fn addresses(tree: &Tree, what: &str, out: &mut Diagnostics) -> Option<Spanned<Value>> {
    const MOST: usize = 8;
    let items = list(tree, what, out)?;
    if items.len() > MOST {
        out.push(Diagnostic::error(code::BAD_VALUE, format!("{what} holds more than {MOST} addresses")).at(tree.span));
        return None;
    }
    let mut all = Vec::new();
    for item in items {
        let Spanned { value: written, span } = text(item, what, out)?;
        match written.parse::<Ipv4Addr>() {
            Ok(address) if !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast() => all.push(address),
            _ => {
                let d = Diagnostic::error(code::BAD_VALUE, format!("{what} cannot hold `{}`", quote(&written))).at(span);
                out.push(d.label("an IPv4 address such as 10.77.0.1 is expected"));
                return None;
            }
        }
    }
    Some(Spanned { value: Value::Addresses(all), span: tree.span })
}

/// A reference to a secret. Whatever else is written here is taken for the secret itself and never shown.
fn secret(tree: &Tree, what: &str, out: &mut Diagnostics) -> Option<Spanned<Value>> {
    let TreeKind::Scalar { text: written, .. } = &tree.kind else {
        conceal_all(tree, &mut out.sources);
        out.push(Diagnostic::error(code::WRONG_TYPE, format!("{what} must be a reference to a secret")).at(tree.span));
        return None;
    };
    // Expressions are filled with a digit, which every kind of reference may hold.
    let mut probe = String::new();
    let mut inside = false;
    for c in written.chars() {
        match c {
            '{' => inside = true,
            '}' => {
                inside = false;
                probe.push('0');
            }
            _ if inside => {}
            c => probe.push(c),
        }
    }
    if let Err(e) = probe.parse::<SecretRef>() {
        out.sources.conceal(tree.span);
        let d = match &e {
            SecretRefError::Plaintext => Diagnostic::error(
                code::PLAINTEXT_SECRET,
                format!("{what} holds a secret in plain text"),
            )
            .at(tree.span)
            .label("not shown")
            .hint(
                "write where it is found: `env:NAME`, `file:PATH` or `exec:PROGRAM`; change this secret if the file was shared",
            ),
            other => Diagnostic::error(code::BAD_VALUE, format!("{what}: {other}")).at(tree.span),
        };
        out.push(d);
        return None;
    }
    match Template::parse(written, 0) {
        Ok(template) => Some(Spanned { value: Value::Template(template), span: tree.span }),
        Err(e) => {
            out.push(Diagnostic::error(code::EXPRESSION, format!("{what}: {e}")).at(tree.span));
            None
        }
    }
}

/// The place of byte `at` of a scalar's text: exact when the scalar is written plainly or in simple quotes, else the whole scalar.
pub(super) fn within(span: Span, bytes: usize, at: usize) -> Span {
    let width = (span.end - span.start) as usize;
    let quotes = usize::from(width == bytes + 2);
    if width != bytes + 2 * quotes {
        return span;
    }
    let start = (span.start as usize + quotes + at).min(span.end as usize);
    Span::new(span.file, start, (start + 1).min(span.end as usize))
}

/// Names of stacks, policies and pools. They become file names, so nothing that a path could hide is allowed.
pub(super) fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&text.len()) && text.chars().all(inner) && !text.starts_with('.')
}

fn check_label(key: &str, value: &str) -> Result<(), String> {
    if !is_name(key) {
        return Err(format!("`{}` is not a label name: letters, digits, `-`, `_` and `.`", quote(key)));
    }
    if value.chars().count() > 128 || value.chars().any(char::is_control) {
        return Err(format!("the label `{key}` holds more than 128 characters, or unprintable ones"));
    }
    Ok(())
}

fn is_base_url(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|u| matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|h| !h.is_empty()))
        && !text.contains('@')
}

/// `SHA256:` and 43 characters of unpadded base64, as `ssh-keygen -l` prints it.
pub(super) fn is_host_key(text: &str) -> bool {
    text.strip_prefix("SHA256:")
        .is_some_and(|b| b.len() == 43 && b.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/')))
}

fn is_pci_id(text: &str) -> bool {
    text.split_once(':').is_some_and(|(v, d)| [v, d].iter().all(|p| p.len() == 4 && p.bytes().all(|b| b.is_ascii_hexdigit())))
}
