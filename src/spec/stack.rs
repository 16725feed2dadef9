//! `playbooks/stacks/NAME.yaml`: what to install on a running node and how it is read back. Opens no artifact, runs nothing.

use std::collections::BTreeMap;

use super::artifact::{self, Named, Place};
use super::decode::{Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::Span;
use super::unit::Seconds;
use super::yaml::Tree;
use super::{code, words};
use crate::model::{Component, Install, Stack, Version, VersionProbe};

const DEADLINE_S: u32 = 600;
const MODE: u32 = 0o644;

/// Reads a stack.
pub(super) fn read(tree: &Tree, name: &str, at: Place<'_>, named: &mut Vec<Named>, out: &mut Diagnostics) -> Option<Stack> {
    let mut fields = Fields::of(tree, "", out)?;
    super::playbook::api_version(&mut fields, "stack/v1", out);
    let mut names = BTreeMap::new();
    let steps = fields.need("install", out).and_then(|t| super::decode::list(t, "install", out)).unwrap_or_default();
    let install: Vec<_> = steps.iter().enumerate().filter_map(|(i, t)| step(t, i, at, &mut names, named, out)).collect();
    let probes = fields.need("versions", out);
    if let Some(tree) = probes
        && super::decode::list(tree, "versions", out).is_some_and(<[Tree]>::is_empty)
    {
        let message = "a stack without a version probe could never be proven to be installed";
        out.push(Diagnostic::error(code::STACK, message).at(tree.span));
    }
    let mut components = BTreeMap::new();
    let probes = probes.and_then(|t| if let super::yaml::Kind::Seq(items) = &t.kind { Some(items) } else { None });
    let probes: &[Tree] = probes.map_or(&[], |items| items);
    let versions = probes.iter().enumerate().filter_map(|(i, t)| version(t, i, &mut components, out)).collect();
    fields.finish(out);
    Some(Stack { name: name.to_owned(), install, versions })
}

fn once(name: &Spanned<String>, what: &str, seen: &mut BTreeMap<String, Span>, out: &mut Diagnostics) {
    if let Some(first) = seen.insert(name.value.clone(), name.span) {
        let message = format!("the {what} `{}` occurs twice", quote(&name.value));
        out.push(Diagnostic::error(code::STACK, message).at(name.span).label("second").also(first, "first"));
    }
}

fn step(
    tree: &Tree,
    index: usize,
    at: Place<'_>,
    names: &mut BTreeMap<String, Span>,
    named: &mut Vec<Named>,
    out: &mut Diagnostics,
) -> Option<Install> {
    let what = format!("install[{index}]");
    let mut fields = Fields::of(tree, what.as_str(), out)?;
    let name = fields.need_text("name", out);
    if let Some(name) = &name {
        once(name, "installation step", names, out);
        if let Err(why) = Component::new(name.value.clone()) {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}.name: {why}")).at(name.span));
        }
    }
    let pushed = fields.take("artifact");
    let artifact = pushed.and_then(|t| artifact::read(t, format!("{what}.artifact"), at, named, out));
    let to = fields.text("to", out);
    let mode = fields.text("mode", out);
    let commands = fields.list("run", out);
    let run = commands.map(|items| words::argv(items, &format!("{what}.run"), out)).unwrap_or_default();
    let deadline = fields.parsed::<Seconds>("deadline", out);
    let span = fields.span;
    fields.finish(out);

    let refuse = |message: String, span: Span| Diagnostic::error(code::STACK, format!("{what}: {message}")).at(span);
    if pushed.is_none() && run.is_empty() {
        out.push(refuse("it neither pushes a file nor runs a command".to_owned(), span));
    }
    match (pushed, &to) {
        (Some(_), None) => out.push(refuse("`artifact` needs `to`: where the file goes on the node".to_owned(), span)),
        (None, Some(to)) => out.push(refuse("`to` without `artifact`: nothing would be pushed there".to_owned(), to.span)),
        _ => {}
    }
    if let (None, Some(mode)) = (pushed, &mode) {
        out.push(refuse("`mode` without `artifact`: nothing would be pushed".to_owned(), mode.span));
    }
    if let Some(to) = &to
        && !is_node_path(&to.value)
    {
        let message = format!("`{}` is not the absolute path of a file", quote(&to.value));
        out.push(refuse(message, to.span).hint("such as `/run/bringup/driver.run`, without `..`"));
    }
    let mode = mode.map_or(Some(MODE), |mode| {
        let octal = (3..=4).contains(&mode.value.len()).then(|| u32::from_str_radix(&mode.value, 8).ok()).flatten();
        let octal = octal.filter(|m| *m <= 0o777 && mode.value.bytes().all(|b| b.is_ascii_digit()));
        if octal.is_none() {
            let message = format!("`{}` is not a file mode", quote(&mode.value));
            out.push(refuse(message, mode.span).hint("octal in quotes, such as \"0755\"; no set-user-ID bits"));
        }
        octal
    });
    let deadline_s = deadline.map_or(DEADLINE_S, |d| d.value.0);
    if pushed.is_some() && artifact.is_none() {
        return None;
    }
    Some(Install { name: name?.value, artifact, to: to.map(|t| t.value), mode: mode?, run, deadline_s })
}

/// Absolute, of one file, no way back up, fit for a terminal.
fn is_node_path(path: &str) -> bool {
    let parts = path.strip_prefix('/');
    parts.is_some_and(|p| p.split('/').all(|part| !matches!(part, "" | "." | "..")) && !p.chars().any(char::is_control))
}

fn version(tree: &Tree, index: usize, seen: &mut BTreeMap<String, Span>, out: &mut Diagnostics) -> Option<VersionProbe> {
    let what = format!("versions[{index}]");
    let mut fields = Fields::of(tree, what.as_str(), out)?;
    let component = fields.need_text("component", out);
    if let Some(component) = &component {
        once(component, "component", seen, out);
    }
    let probe = fields.need("probe", out).and_then(|t| {
        let items = super::decode::list(t, &format!("{what}.probe"), out)?;
        if items.is_empty() {
            out.push(Diagnostic::error(code::STACK, format!("{what}.probe: there is no command")).at(t.span));
        }
        Some(words::argv(items, &format!("{what}.probe"), out))
    });
    let want = fields.need_parsed::<Version>("want", out);
    fields.finish(out);
    let component = component?;
    match Component::new(component.value) {
        Ok(component) => Some(VersionProbe { component, probe: probe?, want: want?.value }),
        Err(why) => {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("{what}.component: {why}")).at(component.span));
            None
        }
    }
}
