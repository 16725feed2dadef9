//! `site.yaml` and `overrides/*.yaml`, read but not yet expanded.

use std::collections::BTreeMap;

use super::address::AddressRule;
use super::code;
use super::decode::{Fields, Spanned, number, text};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::expression::Template;
use super::facts::COLUMNS;
use super::range::Pattern;
use super::setting::{Layer, is_name, within};
use super::source::Span;
use super::suggest::nearest;
use super::yaml::{Entry, Tree};

/// The only version of the format.
pub const API_VERSION: &str = "rack/v1";
/// Most slots of one rack; 52U racks of half-width half-height sleds stay far below.
const MAX_SLOTS: u32 = 512;

/// The intent.
#[derive(Debug, Default)]
pub struct Site {
    pub name: String,
    pub defaults: Layer,
    pub profiles: BTreeMap<String, Profile>,
    pub blocks: Vec<Block>,
    pub node: Option<Spanned<Template>>,
    pub bmc_ip: Option<Spanned<AddressRule>>,
    pub ip: Option<Spanned<AddressRule>>,
    pub facts: Vec<Spanned<String>>,
    pub require: Vec<Spanned<String>>,
    pub unique: Vec<Spanned<String>>,
    pub overrides: Vec<Override>,
    /// Some block of racks could not be read, so that nodes may be missing.
    pub gaps: bool,
    /// Some part of `naming` could not be read.
    pub naming_flawed: bool,
}

#[derive(Debug)]
pub struct Profile {
    pub inherits: Option<Spanned<String>>,
    pub layer: Layer,
}

/// A block of identical racks.
#[derive(Debug)]
pub struct Block {
    pub range: Spanned<String>,
    pub racks: Vec<String>,
    pub profile: Spanned<String>,
    pub slots: Spanned<u32>,
    pub feed: Option<Spanned<Template>>,
    pub limit_w: Option<Spanned<u32>>,
    pub layer: Layer,
}

#[derive(Debug)]
pub struct Override {
    pub selector: Spanned<String>,
    pub pattern: Pattern,
    pub why: Spanned<String>,
    pub admit: Option<Spanned<bool>>,
    pub layer: Layer,
}

impl Site {
    /// Reads `site.yaml`.
    pub fn read(tree: &Tree, today: &str, out: &mut Diagnostics) -> Option<Self> {
        let mut top = Fields::of(tree, "", out)?;
        let mut site = Self::default();
        if let Some(version) = top.need_text("apiVersion", out)
            && version.value != API_VERSION
        {
            let message = format!("apiVersion `{}` is not known to this version", quote(&version.value));
            out.push(
                Diagnostic::error(code::BAD_VALUE, message).at(version.span).hint(format!("write `apiVersion: {API_VERSION}`")),
            );
        }
        if let Some(name) = top.need_text("site", out) {
            if !is_name(&name.value) {
                out.push(Diagnostic::error(code::BAD_NAME, format!("`{}` is not a site name", quote(&name.value))).at(name.span));
            }
            site.name = name.value;
        }
        if let Some(fields) = top.fields("defaults", out) {
            site.defaults = Layer::open("defaults".to_owned(), fields, out, |_, _| ()).0;
        }
        for entry in top.map("profiles", out).unwrap_or_default() {
            site.profile(entry, out);
        }
        let racks = top.need("racks", out);
        for tree in racks.and_then(|t| super::decode::list(t, "racks", out)).unwrap_or_default() {
            let block = Block::read(tree, out);
            site.gaps |= block.as_ref().is_none_or(|b| b.layer.flawed);
            site.blocks.extend(block);
        }
        site.gaps |= racks.is_none();
        let before = out.errors();
        if let Some(mut naming) = top.fields("naming", out) {
            site.node = template(&mut naming, "node", out);
            site.bmc_ip = address(&mut naming, "bmc_ip", out);
            site.ip = address(&mut naming, "ip", out);
            naming.finish(out);
        }
        site.naming_flawed = out.errors() > before;
        site.facts = match top.take("facts").map(|t| (t, &t.kind)) {
            Some((_, super::yaml::Kind::Seq(items))) => items.iter().filter_map(|t| text(t, "facts", out)).collect(),
            Some((tree, _)) => text(tree, "facts", out).into_iter().collect(),
            None => Vec::new(),
        };
        if let Some(policy) = top.fields("policy", out) {
            site.policy(policy, out);
        }
        for entry in top.map("overrides", out).unwrap_or_default() {
            site.overrides.extend(Override::read(entry, today, out));
        }
        top.finish(out);
        Some(site)
    }

    fn profile(&mut self, entry: &Entry, out: &mut Diagnostics) {
        if !is_name(&entry.key) {
            out.push(
                Diagnostic::error(code::BAD_NAME, format!("`{}` is not a profile name", quote(&entry.key))).at(entry.key_span),
            );
        }
        let name = quote(&entry.key);
        let fields = Fields::of(&entry.value, format!("profiles.{name}"), out);
        let (layer, inherits) = match fields {
            Some(fields) => Layer::open(format!("profile {name}"), fields, out, |f, out| f.text("inherits", out)),
            None => (Layer { flawed: true, ..Layer::default() }, None),
        };
        self.profiles.insert(entry.key.to_string(), Profile { inherits, layer });
    }

    fn policy(&mut self, mut policy: Fields<'_>, out: &mut Diagnostics) {
        let mut words = |key: &'static str, known: &[&str], out: &mut Diagnostics| {
            let mut taken = Vec::new();
            for tree in policy.list(key, out).unwrap_or_default() {
                let Some(word) = text(tree, &format!("policy.{key}"), out) else { continue };
                if known.contains(&word.value.as_str()) {
                    taken.push(word);
                } else {
                    let message = format!("policy.{key} cannot hold `{}`", quote(&word.value));
                    let d =
                        Diagnostic::error(code::BAD_VALUE, message).at(word.span).label(format!("known: {}", known.join(", ")));
                    out.push(d.suggest(nearest(&word.value, known.iter().copied())));
                }
            }
            taken
        };
        let facts: Vec<String> = COLUMNS.iter().filter(|c| **c != "node").map(|c| format!("facts.{c}")).collect();
        let facts: Vec<&str> = facts.iter().map(String::as_str).collect();
        self.require = words("require", &facts, out);
        self.unique = words("unique", &["bmc_mac", "boot_mac", "serial", "uuid", "bmc_ip", "ip"], out);
        words("forbid", &["plaintext_secrets"], out);
        policy.finish(out);
    }

    /// The layers of a profile, weakest first. Unknown names and circles are mistakes.
    pub fn chain(&self, name: &Spanned<String>, out: &mut Diagnostics) -> Option<Vec<&Layer>> {
        let (mut chain, mut seen) = (Vec::new(), Vec::new());
        let mut next = Some(name);
        while let Some(name) = next {
            if let Some(from) = seen.iter().position(|s| *s == name.value.as_str()) {
                out.push(self.circle(seen.get(from..).unwrap_or_default(), name.span));
                return None;
            }
            seen.push(name.value.as_str());
            let Some(profile) = self.profiles.get(&name.value) else {
                let d = Diagnostic::error(code::PROFILE, format!("there is no profile `{}`", quote(&name.value))).at(name.span);
                out.push(d.suggest(nearest(&name.value, self.profiles.keys().map(String::as_str))));
                return None;
            };
            chain.insert(0, &profile.layer);
            next = profile.inherits.as_ref();
        }
        Some(chain)
    }

    /// The same circle is told in the same words from wherever it is entered: it starts at its smallest name.
    fn circle(&self, members: &[&str], met: Span) -> Diagnostic {
        let start = members.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(i, _)| i);
        let names: Vec<&str> = members.iter().cycle().skip(start).take(members.len() + 1).copied().collect();
        let span = names.first().and_then(|n| self.profiles.get(*n)).and_then(|p| p.inherits.as_ref()).map_or(met, |i| i.span);
        Diagnostic::error(code::PROFILE, format!("profiles inherit in a circle: {}", names.join(" → "))).at(span)
    }
}

impl Block {
    /// Reads one item of `racks`.
    fn read(tree: &Tree, out: &mut Diagnostics) -> Option<Self> {
        let fields = Fields::of(tree, "racks", out)?;
        let (mut layer, (range, profile, slots, feed, limit_w)) = Layer::open(String::new(), fields, out, |fields, out| {
            let (range, profile) = (fields.need_text("range", out), fields.need_text("profile", out));
            let slots = fields.need("slots", out).and_then(|t| number::<u32>(t, "racks.slots", out));
            (range, profile, slots, template(fields, "feed", out), fields.number("limit_w", out))
        });
        let (range, profile, slots) = (range?, profile?, slots?);
        layer.name = format!("rack {}", quote(&range.value));
        if !(1..=MAX_SLOTS).contains(&slots.value) {
            let d = Diagnostic::error(code::BAD_VALUE, format!("a rack cannot have {} slots", slots.value)).at(slots.span);
            out.push(d.label(format!("1 to {MAX_SLOTS}")));
            return None;
        }
        let racks = pattern(&range, out)?.names().map_err(|e| out.push(bad_range(&range, e.at, &e.why))).ok()?;
        Some(Self { range, racks, profile, slots, feed, limit_w, layer })
    }
}

impl Override {
    /// Reads one override; `today` decides whether it has expired.
    pub fn read(entry: &Entry, today: &str, out: &mut Diagnostics) -> Option<Self> {
        let selector = Spanned { value: entry.key.to_string(), span: entry.key_span };
        let name = format!("override {}", quote(&entry.key));
        let fields = Fields::of(&entry.value, name.clone(), out)?;
        let (layer, (why, until, admit)) = Layer::open(name, fields, out, |fields, out| {
            (fields.need_text("why", out), fields.text("until", out), fields.boolean("admit", out))
        });
        if let Some(why) = &why
            && (why.value.trim().is_empty() || why.value.chars().any(char::is_control))
        {
            out.push(Diagnostic::error(code::BAD_VALUE, "`why` must say why, in one line").at(why.span));
        }
        if let Some(until) = until {
            match (until.value.parse::<jiff::civil::Date>(), today.parse::<jiff::civil::Date>()) {
                (Ok(last), Ok(now)) if last < now => {
                    let message = format!("the override for `{}` expired on {last}", quote(&entry.key));
                    let d = Diagnostic::error(code::EXPIRED, message).at(until.span).label(format!("today is {now}"));
                    out.push(d.hint("remove it if its cause is gone; else give it a new date"));
                }
                (Ok(_), _) if until.value.len() == 10 => {}
                _ => {
                    let message = format!("`{}` is not a date", quote(&until.value));
                    out.push(Diagnostic::error(code::BAD_VALUE, message).at(until.span).label("expected YYYY-MM-DD"));
                }
            }
        }
        let pattern = pattern(&selector, out)?;
        Some(Self { selector, pattern, why: why?, admit, layer })
    }
}

fn pattern(text: &Spanned<String>, out: &mut Diagnostics) -> Option<Pattern> {
    text.value.parse::<Pattern>().map_err(|e| out.push(bad_range(text, e.at, &e.why))).ok()
}

fn bad_range(text: &Spanned<String>, at: usize, why: &str) -> Diagnostic {
    let message = format!("the range `{}` cannot be read: {why}", quote(&text.value));
    Diagnostic::error(code::BAD_RANGE, message).at(within(text.span, text.value.len(), at))
}

fn template(fields: &mut Fields<'_>, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<Template>> {
    let written = fields.text(key, out)?;
    compiled(&written, &fields.path(key), Template::parse(&written.value, 0), out)
}

fn address(fields: &mut Fields<'_>, key: &'static str, out: &mut Diagnostics) -> Option<Spanned<AddressRule>> {
    let written = fields.text(key, out)?;
    compiled(&written, &fields.path(key), AddressRule::parse(&written.value), out)
}

fn compiled<T>(
    written: &Spanned<String>,
    what: &str,
    read: Result<T, super::expression::ExpressionError>,
    out: &mut Diagnostics,
) -> Option<Spanned<T>> {
    let place = |at| -> Span { within(written.span, written.value.len(), at) };
    read.map(|value| Spanned { value, span: written.span })
        .map_err(|e| out.push(Diagnostic::error(code::EXPRESSION, format!("{what}: {e}")).at(place(e.at))))
        .ok()
}
