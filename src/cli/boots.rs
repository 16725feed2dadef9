//! What the boots of a plan take at the least, and what they wait for: one line of `bringup plan`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::{ActionSpec, Artifact, BootTarget, DiskContent, Inventory, NodeId, NodePlan, Plan};
use crate::planner::{AtOnce, Boot, Forecast, Wanted, forecast};

/// The forecast, from what is written and the lengths of the files as they are now. `None`: no node of the plan boots.
#[must_use]
pub fn boots(plan: &Plan, inventory: &Inventory) -> Option<Forecast> {
    let lines: BTreeMap<&NodeId, &NodePlan> = plan.nodes.iter().map(|line| (&line.node, line)).collect();
    let mut lengths = BTreeMap::new();
    let mut one = |id: &NodeId| boot(lines.get(id)?, inventory, &mut lengths);
    let waves: Vec<Vec<Boot>> = plan.waves.iter().map(|wave| wave.nodes.iter().filter_map(&mut one).collect()).collect();
    let limits = &plan.limits.rollout;
    let told = forecast(&waves, AtOnce { nodes: limits.max_nodes, per_rack: limits.max_per_rack });
    (told.nodes > 0).then_some(told)
}

fn boot<'a>(line: &'a NodePlan, inventory: &Inventory, lengths: &mut BTreeMap<&'a Path, Option<u64>>) -> Option<Boot> {
    let node = inventory.nodes.get(&line.node)?;
    let step = line.steps.iter().find(|step| !matches!(step.action, ActionSpec::InstallStack { .. }))?;
    // An installation boots twice: over the network, and from the disk that was written; its root is fetched in between.
    let (netboot, written_root, boots) = match &step.action {
        ActionSpec::InstallImage { netboot, root: file, .. }
        | ActionSpec::WriteDisk { netboot, content: DiskContent { file, .. }, .. } => (netboot.as_ref(), Some(file), 2),
        netboot => (netboot, None, 1),
    };
    let ActionSpec::Netboot { kernel, initrd, root, method, files_from: cache, .. } = netboot else { return None };
    let mut wanted = |file: &'a Artifact, cached| {
        let length = || std::fs::metadata(&file.path).ok().map(|about| about.len());
        Wanted { sha256: file.sha256.clone(), bytes: *lengths.entry(file.path.as_path()).or_insert_with(length), cached }
    };
    // Kernel and initrd are on the boot medium, which the BMC reads from the boot server itself.
    let on_medium = *method == BootTarget::Cd;
    let mut files: Vec<Wanted> = std::iter::once(kernel).chain(initrd).map(|file| wanted(file, !on_medium)).collect();
    files.extend(root.iter().chain(written_root).map(|file| wanted(file, true)));
    let written = &node.boot;
    Some(Boot {
        rack: node.rack.clone(),
        power_s: written.power_s.map(|s| s.saturating_mul(boots)),
        post_s: written.post_s.map(|s| s.saturating_mul(boots)),
        files,
        server: written.server.clone()?,
        uplink: written.uplink,
        cache: cache.clone(),
    })
}
