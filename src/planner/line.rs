//! One node's line.

use crate::model::{
    ActionSpec, Blocked, BootMark, Cables, Image, Node, NodePlan, Observed, Playbook, Policy, Reading, RestsOn, Step, StepId,
    Suite, SystemFacts, uuid_key,
};

use super::settled::settled;
use super::{image_digest, medium};

/// What the planner is asked about one node.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The node as written.
    pub node: &'a Node,
    /// The playbook as written.
    pub playbook: &'a Playbook,
    /// The node as found.
    pub observed: &'a Observed,
    /// It works in the pool already.
    pub in_pool: bool,
}

/// The planner's answer for one node.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Nothing differs and it works in the pool: nothing to do.
    Settled,
    /// Steps and the gate, or the gate alone.
    Walk(Box<NodePlan>),
    /// It cannot be planned.
    Blocked(Blocked),
}

/// Plans one node.
#[must_use]
pub fn line(ask: &Ask<'_>) -> Line {
    match plan(ask) {
        Ok(None) => Line::Settled,
        Ok(Some(plan)) => Line::Walk(Box::new(plan)),
        Err((why, hint)) => Line::Blocked(Blocked {
            node: ask.node.id.clone(),
            accelerators: ask.node.accelerator.count,
            why,
            hint: hint.replace("NODE", ask.node.id.as_str()),
        }),
    }
}

pub(super) type Obstacle = (String, &'static str);

fn plan(ask: &Ask<'_>) -> Result<Option<NodePlan>, Obstacle> {
    let Ask { node, playbook, observed, in_pool } = *ask;
    if !node.admit {
        let why = node.hold.as_deref().unwrap_or("no reason is written");
        return Err((format!("held by an override: {why}"), "bringup show NODE --why admit"));
    }
    let policy = policy(node, playbook)?;
    identity(node, observed)?;
    let mut steps = Vec::new();
    match &playbook.baseline.install {
        Some(wanted) => super::install::install(ask, wanted, &mut steps)?,
        None => netboot(ask, &mut steps)?,
    }
    stack(ask, &mut steps)?;
    if steps.is_empty() && in_pool {
        return Ok(None);
    }
    let suite = suite(node, policy);
    let rests_on = RestsOn { observed: settled(observed) };
    Ok(Some(NodePlan { node: node.id.clone(), pool: node.pool.clone(), rests_on, steps, suite }))
}

/// What the gate will ask a node and how it will judge: the policy, and what was bought.
#[must_use]
pub fn suite(node: &Node, policy: &Policy) -> Suite {
    Suite {
        policy: policy.clone(),
        accelerator: node.accelerator.clone(),
        serial: node.serial.clone(),
        uuid: node.uuid.clone(),
        accelerator_serials: node.accelerator_serials.iter().cloned().collect(),
        cables: policy.cabling.map(|_| Cables { boot_mac: node.boot.mac, plugs: node.cabling.clone() }),
    }
}

fn policy<'a>(node: &Node, playbook: &'a Playbook) -> Result<&'a Policy, Obstacle> {
    playbook
        .policies
        .get(&node.verify)
        .ok_or_else(|| (format!("the playbook has no policy `{}`", node.verify), "bringup validate"))
}

/// Nothing is written to a machine that is known to be another one. A BMC that names no serial does not stop the line (virtualbmc
/// has no FRU): the first step then proves the identity in-band, and the gate proves it again.
fn identity(node: &Node, observed: &Observed) -> Result<(), Obstacle> {
    let Some(want) = &node.serial else {
        return Err(("the facts hold no serial number for it".to_owned(), "bringup bmc info NODE"));
    };
    let facts = match &observed.bmc {
        Reading::Known(facts) => facts,
        Reading::Absent => return Err(("it has no BMC".to_owned(), "bringup show NODE")),
        Reading::Unknown { why } => return Err((format!("its BMC was not heard: {why}"), "bringup bmc info NODE")),
    };
    if let Reading::Known(seen) = &facts.serial
        && !seen.trim().eq_ignore_ascii_case(want)
    {
        let why =
            format!("wrong serial behind its BMC address: the facts say {want}, the BMC says {}", seen.trim().escape_debug());
        return Err((why, "bringup bmc info NODE"));
    }
    if let (Reading::Known(seen), Some(want)) = (&facts.uuid, &node.uuid)
        && uuid_key(seen.trim()) != uuid_key(want.trim())
    {
        let why = format!("wrong UUID behind its BMC address: the facts say {want}, the BMC says {}", seen.escape_debug());
        return Err((why, "bringup bmc info NODE"));
    }
    if let Reading::Unknown { why } = &observed.power {
        return Err((format!("its power state is unknown: {why}"), "bringup power status NODE"));
    }
    if let Reading::Known(system) = &observed.system
        && let Reading::Known(seen) = &system.serial
        && !seen.trim().eq_ignore_ascii_case(want)
    {
        let why =
            format!("wrong machine behind its SSH address: the facts say serial {want}, it says {}", seen.trim().escape_debug());
        return Err((why, "bringup exec NODE -- cat /sys/class/dmi/id/product_serial"));
    }
    Ok(())
}

pub(super) fn step(number: usize, name: &str, action: ActionSpec, why: String) -> Result<Step, Obstacle> {
    let id = StepId::new(format!("{number}-{name}")).map_err(|e| (e.to_string(), "bringup validate"))?;
    Ok(Step { id, action, why })
}

fn netboot(ask: &Ask<'_>, steps: &mut Vec<Step>) -> Result<(), Obstacle> {
    let Some(image) = &ask.playbook.baseline.image else {
        return match &ask.observed.system {
            Reading::Known(_) => Ok(()),
            Reading::Absent => Err(("no system runs and the playbook has no image".to_owned(), "bringup power status NODE")),
            Reading::Unknown { why } => {
                Err((format!("the playbook has no image and the node was not heard by SSH: {why}"), "bringup exec NODE -- true"))
            }
        };
    };
    let digest = image_digest(image);
    let Some(why) = why_netboot(&ask.observed.system, &digest) else { return Ok(()) };
    steps.push(step(steps.len() + 1, "netboot", netboot_action(ask, image)?, why)?);
    Ok(())
}

/// The netboot of an image, by what is written of the node.
pub(super) fn netboot_action(ask: &Ask<'_>, image: &Image) -> Result<ActionSpec, Obstacle> {
    if ask.node.boot.server.is_none() {
        return Err(("no boot server is written for it".to_owned(), "bringup show NODE --why boot.server"));
    }
    if ask.node.boot.mac.is_none() {
        return Err(("the facts hold no boot MAC for it".to_owned(), "bringup show NODE --why boot.mac"));
    }
    if image.arch != ask.node.boot.arch.to_string() {
        let why = format!("the image {} is for {}, and its `boot.arch` is {}", image.name, image.arch, ask.node.boot.arch);
        return Err((why, "bringup show NODE --why boot.arch"));
    }
    if let Some(obstacle) = medium::obstacle(ask.node) {
        return Err(obstacle);
    }
    Ok(ActionSpec::Netboot {
        image: image.name.clone(),
        image_digest: image_digest(image),
        kernel: image.kernel.clone(),
        initrd: image.initrd.clone(),
        root: image.root.clone(),
        cmdline: medium::arguments(ask.node, &image.cmdline),
        method: ask.node.boot.method,
        mode: ask.node.boot.mode,
        files_from: medium::files_from(ask.node, image.root.is_some()),
        old_boot_id: ask.observed.system.known().map(|s| s.boot_id.clone()),
        deadline_s: ask.playbook.baseline.boot_deadline_s,
        identity: image.identity,
    })
}

fn why_netboot(system: &Reading<SystemFacts>, want: &crate::model::Digest) -> Option<String> {
    match system {
        Reading::Absent => Some("no system runs".to_owned()),
        // The reason for the silence differs from look to look (refused, timed out); the plan says only what it rests on.
        Reading::Unknown { .. } => Some("no system was heard by SSH".to_owned()),
        Reading::Known(facts) => match facts.cmdline.known().map(|c| BootMark::of(c).image) {
            Some(Some(found)) if found == *want => None,
            Some(Some(found)) => Some(format!("it runs image {}, wanted {}", found.short(), want.short())),
            Some(None) | None => {
                Some(format!("the system that runs was not netbooted by bringup, wanted image {}", want.short()))
            }
        },
    }
}

fn stack(ask: &Ask<'_>, steps: &mut Vec<Step>) -> Result<(), Obstacle> {
    let Some(name) = ask.node.stack.as_ref().or(ask.playbook.baseline.stack.as_ref()) else { return Ok(()) };
    let Some(stack) = ask.playbook.stacks.get(name) else {
        return Err((format!("the playbook has no stack `{name}`"), "bringup validate"));
    };
    let fresh = !steps.is_empty();
    let mut differs = Vec::new();
    for probe in &stack.versions {
        let found = ask.observed.stack.get(&probe.component);
        match found {
            Some(Reading::Known(found)) if *found == probe.want => {}
            Some(Reading::Known(found)) => differs.push(format!("{} is {found}, wanted {}", probe.component, probe.want)),
            Some(Reading::Absent) => differs.push(format!("{} is not there, wanted {}", probe.component, probe.want)),
            Some(Reading::Unknown { .. }) | None => {
                differs.push(format!("the version of {} is unknown, wanted {}", probe.component, probe.want));
            }
        }
    }
    let why = if fresh {
        let wanted: Vec<_> = stack.versions.iter().map(|v| format!("{} {}", v.component, v.want)).collect();
        format!("a fresh boot carries no stack; wanted {}", wanted.join(", "))
    } else if differs.is_empty() {
        return Ok(());
    } else {
        differs.join("; ")
    };
    let action =
        ActionSpec::InstallStack { stack: stack.name.clone(), install: stack.install.clone(), versions: stack.versions.clone() };
    steps.push(step(steps.len() + 1, "stack", action, why)?);
    Ok(())
}
