//! `playbooks/NAME.yaml`: what the nodes are brought to. Names of images, stacks and policies are resolved by `library`.

use super::decode::{self, Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::unit::{FileName, Seconds};
use super::yaml::Tree;
use super::{code, install, rollout};
use crate::model::RolloutPolicy;

/// Longest wait for a login when none is written. Eight-accelerator machines spend 6 to 10 minutes in their self-test; see also the site's own.
const BOOT_DEADLINE_S: u32 = 600;
/// Stands for "nothing" where a name is expected.
const NONE: &str = "none";

/// A playbook as written: names, not yet what they stand for.
#[derive(Debug)]
pub(super) struct Written {
    pub image: Option<Spanned<FileName>>,
    pub install: Option<install::Written>,
    pub stack: Option<Spanned<FileName>>,
    pub boot_deadline_s: u32,
    pub stacks: Vec<Spanned<FileName>>,
    pub policies: Vec<Spanned<FileName>>,
    pub rollout: Option<RolloutPolicy>,
}

/// Reads a playbook's own file.
pub(super) fn read(tree: &Tree, out: &mut Diagnostics) -> Option<Written> {
    let mut fields = Fields::of(tree, "", out)?;
    api_version(&mut fields, "playbook/v1", out);
    let (mut image, mut on_disk, mut stack, mut boot_deadline_s) = (None, None, None, BOOT_DEADLINE_S);
    if let Some(mut f) = fields.need("baseline", out).and_then(|t| Fields::of(t, "baseline", out)) {
        let named = f.need_parsed::<FileName>("image", out);
        let no_image = named.as_ref().is_some_and(|n| n.value.0 == NONE);
        image = named.filter(|n| n.value.0 != NONE);
        stack = f.need_parsed::<FileName>("stack", out).filter(|n| n.value.0 != NONE);
        boot_deadline_s = f.parsed::<Seconds>("boot_deadline", out).map_or(BOOT_DEADLINE_S, |d| d.value.0);
        let block = f.fields("install", out);
        f.finish(out);
        on_disk = block.and_then(|f| install::read(f, out));
        if let Some(written) = on_disk.as_ref().filter(|_| no_image) {
            let d = Diagnostic::error(code::UNRESOLVED, "baseline.install: nothing boots that could write the disk")
                .at(written.image.span);
            out.push(d.hint("name the image that is netbooted for it: `baseline.image: bringup`"));
        }
    }
    let stacks = names(fields.list("stacks", out).unwrap_or_default(), "stacks", out);
    let listed = fields.need("policies", out).and_then(|t| {
        let items = decode::list(t, "policies", out)?;
        if items.is_empty() {
            let d = Diagnostic::error(code::UNRESOLVED, "a playbook without a policy admits nothing").at(t.span);
            out.push(d.hint("list the policies that the inventory's `verify` fields name"));
        }
        Some(items)
    });
    let policies = names(listed.unwrap_or_default(), "policies", out);
    let rollout = fields.need("rollout", out).and_then(|t| Fields::of(t, "rollout", out)).and_then(|f| rollout::read(f, out));
    fields.finish(out);
    if let Some(name) = stack.as_ref().filter(|n| !stacks.iter().any(|s| s.value == n.value)) {
        let d = Diagnostic::error(code::UNRESOLVED, format!("baseline.stack: `{}` is not listed under `stacks`", name.value.0));
        let nearest = super::nearest(&name.value.0, stacks.iter().map(|s| s.value.0.as_str()));
        let d = d.at(name.span).hint("add it there, so that its file is read and becomes part of the plan");
        out.push(if nearest.is_some() { d.suggest(nearest) } else { d });
    }
    Some(Written { image, install: on_disk, stack, boot_deadline_s, stacks, policies, rollout })
}

fn names(items: &[Tree], what: &str, out: &mut Diagnostics) -> Vec<Spanned<FileName>> {
    let mut all: Vec<Spanned<FileName>> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let Some(name) = decode::parsed::<FileName>(item, &format!("{what}[{i}]"), out) else { continue };
        if name.value.0 == NONE {
            let message = format!("{what}[{i}]: `{NONE}` is no name; leave the list empty");
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(name.span));
        } else if let Some(first) = all.iter().find(|n| n.value == name.value) {
            let message = format!("{what}: `{}` is listed twice", name.value.0);
            out.push(Diagnostic::error(code::BAD_VALUE, message).at(name.span).label("second").also(first.span, "first"));
        } else {
            all.push(name);
        }
    }
    all
}

/// Takes `apiVersion` and refuses another one: a newer file may mean other things by the same words.
pub(super) fn api_version(fields: &mut Fields<'_>, want: &'static str, out: &mut Diagnostics) {
    constant(fields, "apiVersion", want, out);
}

/// Takes a key that can have one value only.
pub(super) fn constant(fields: &mut Fields<'_>, key: &'static str, want: &str, out: &mut Diagnostics) {
    if let Some(found) = fields.need_text(key, out)
        && found.value != want
    {
        let message = format!("{key} is `{}`, and this file is read as `{want}`", quote(&found.value));
        out.push(Diagnostic::error(code::BAD_VALUE, message).at(found.span).hint(format!("write `{key}: {want}`")));
    }
}
