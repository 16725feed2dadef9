//! Words held against words: playbook against inventory, and both against the names that other rooms know. Asks no machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::artifact::tidy;
use super::code;
use super::decode::Spanned;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::library::{Library, LoadedPlaybook, files};
use super::policy::Foreign;
use super::source::{Sources, Span};
use crate::model::{AcceleratorKind, Inventory, Node};

/// What the gate knows, lent by the caller, since this room may not name that one.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    /// Names of its checks.
    pub checks: &'a [&'a str],
    /// Whether it can read a version rule; the answer says why not.
    pub version_rule: &'a dyn Fn(&str) -> Result<(), String>,
}

impl LoadedPlaybook {
    /// Everything that these nodes ask of this playbook must be there and fit: policies, stacks, accelerator families.
    #[must_use]
    pub fn check_nodes<'n>(&self, nodes: impl IntoIterator<Item = &'n Node>) -> Diagnostics {
        let nodes: Vec<&Node> = nodes.into_iter().collect();
        let mut out = quiet(&self.warnings.sources);
        let policies = self.applies.iter().map(|(name, kind)| (name.clone(), Some(*kind))).collect();
        let stacks = self.playbook.stacks.keys().cloned().collect();
        let place = format!("the playbook `{}`", self.playbook.name);
        agree(&nodes, &Names { stacks, policies }, &place, (self.listed.stacks, self.listed.policies), &mut out);
        for policy in self.playbook.policies.values() {
            let Some(min) = policy.degraded_min else { continue };
            let few: Vec<&Node> =
                nodes.iter().copied().filter(|n| n.verify == policy.name && n.accelerator.count < min).collect();
            if let Some(first) = few.first() {
                let bought = first.accelerator.count;
                let message = format!(
                    "{} the policy `{}`, which lets {min} healthy accelerators work degraded, but only {bought} were bought",
                    naming(&few),
                    policy.name
                );
                out.push(Diagnostic::error(code::DISAGREE, message));
            }
        }
        if let Some((label, value)) = &self.playbook.rollout.canary
            && !nodes.iter().any(|n| n.labels.get(label) == Some(value))
        {
            let message =
                format!("none of the nodes has the label `{}={}`, so there is no canary wave", quote(label), quote(value));
            out.push(Diagnostic::warning(code::NO_EFFECT, message).hint("label some nodes, or leave `rollout.canary` out"));
        }
        out
    }

    /// Names of checks and version rules must be such as the gate knows.
    #[must_use]
    pub fn check_gate(&self, gate: &Gate<'_>) -> Diagnostics {
        let mut out = quiet(&self.warnings.sources);
        foreign(&self.foreign, gate, &mut out);
        out
    }
}

/// Checks every playbook, image, definition, stack and policy under `root` (`playbooks/`, `images/`), whether something names it or not, and, when there
/// is an inventory, that the names in it resolve. No artifact is opened.
#[must_use]
pub fn validate_words(root: &Path, inventory: Option<&Inventory>, gate: Option<&Gate<'_>>, today: &str) -> Diagnostics {
    // The library names files by their tidy paths, and each file must have one name.
    let (folder, images) = (tidy(&root.join("playbooks")), tidy(&root.join("images")));
    let mut library = Library::new(&folder, today);
    let definitions = images.join("definitions");
    for folder in [&folder, &images, &definitions, &folder.join("stacks"), &folder.join("policies")] {
        for file in files(folder, "yml") {
            let message = format!("{} is not read", quote(&file.display().to_string()));
            library.out.push(Diagnostic::warning(code::NO_EFFECT, message).hint("files are found as NAME.yaml"));
        }
    }
    for file in files(&folder, "yaml") {
        library.playbook(&file);
    }
    for file in files(&images, "yaml") {
        library.read_image(&file, &stem(&file), None);
    }
    for file in files(&definitions, "yaml") {
        library.read_definition(&file, true);
    }
    for file in files(&folder.join("stacks"), "yaml") {
        library.read_stack(&file, &stem(&file), None);
    }
    for file in files(&folder.join("policies"), "yaml") {
        library.read_policy(&file, &stem(&file), None);
    }
    if let Some(gate) = gate {
        foreign(&library.foreign, gate, &mut library.out);
    }
    if let Some(inventory) = inventory.filter(|_| folder.is_dir()) {
        let (stacks, policies) = library.names();
        let place = quote(&folder.display().to_string());
        let nodes: Vec<&Node> = inventory.nodes.values().collect();
        agree(&nodes, &Names { stacks, policies }, &place, (None, None), &mut library.out);
    }
    library.out
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

fn quiet(sources: &Sources) -> Diagnostics {
    let mut out = Diagnostics::new();
    out.sources = sources.clone();
    out
}

struct Names {
    stacks: BTreeSet<String>,
    policies: BTreeMap<String, Option<AcceleratorKind>>,
}

/// One mistake for each name, not for each node: a thousand nodes name the same policy.
fn agree(nodes: &[&Node], names: &Names, place: &str, at: (Option<Span>, Option<Span>), out: &mut Diagnostics) {
    let mut stacks: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    let mut policies: BTreeMap<(&str, AcceleratorKind), Vec<&Node>> = BTreeMap::new();
    for node in nodes.iter().copied() {
        if let Some(stack) = node.stack.as_deref() {
            stacks.entry(stack).or_default().push(node);
        }
        policies.entry((&node.verify, node.accelerator.kind)).or_default().push(node);
    }
    let mut say = |code, message: String, near: Option<&str>, span: Option<Span>| {
        let d = Diagnostic::error(code, message).suggest(near);
        out.push(if let Some(span) = span { d.at(span).label("these are") } else { d });
    };
    for (stack, nodes) in stacks.into_iter().filter(|(name, _)| !names.stacks.contains(*name)) {
        let message = format!("{} the stack `{}`, which is not in {place}", naming(&nodes), quote(stack));
        say(code::UNRESOLVED, message, super::nearest(stack, names.stacks.iter().map(String::as_str)), at.0);
    }
    for ((policy, kind), nodes) in policies {
        match names.policies.get(policy) {
            None => {
                let message = format!("{} the policy `{}`, which is not in {place}", naming(&nodes), quote(policy));
                say(code::UNRESOLVED, message, super::nearest(policy, names.policies.keys().map(String::as_str)), at.1);
            }
            Some(Some(applies)) if *applies != kind => {
                let message =
                    format!("{} the policy `{policy}`, which is for `{applies}`, but hold `{kind}` accelerators", naming(&nodes));
                say(code::DISAGREE, message, None, at.1);
            }
            Some(_) => {}
        }
    }
}

fn naming(nodes: &[&Node]) -> String {
    match nodes {
        [one] => format!("node {} names", one.id),
        [first, ..] => format!("{} nodes (first {}) name", nodes.len(), first.id),
        [] => String::new(),
    }
}

fn foreign(words: &Foreign, gate: &Gate<'_>, out: &mut Diagnostics) {
    for Spanned { value, span } in words.checks.iter().filter(|c| !gate.checks.contains(&c.value.as_str())) {
        let d = Diagnostic::error(code::POLICY, format!("the gate has no check `{}`", quote(value))).at(*span);
        let near = super::nearest(value, gate.checks.iter().copied());
        out.push(if near.is_some() { d.suggest(near) } else { d.hint("`bringup schema policy` lists the checks") });
    }
    for Spanned { value, span } in &words.versions {
        if let Err(why) = (gate.version_rule)(value) {
            out.push(Diagnostic::error(code::POLICY, why).at(*span));
        }
    }
}
