//! The difference of two expanded inventories, grouped by cause: a thousand equal edits are one line. Pure; compares words, asks no machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::flat::{self, Values};
use super::inventory::LoadedInventory;
use super::risk::{self, Risk};
use crate::model::{AcceleratorKind, Inventory, NodeId};

/// One side of a comparison.
pub struct Side<'a> {
    /// The expanded inventory.
    pub inventory: &'a Inventory,
    /// Where a field of a node was set, such as `site.yaml:12`; `None` when it is not known.
    pub cause: &'a dyn Fn(&NodeId, &str) -> Option<String>,
}

/// One board that is not where it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Board {
    /// Node whose serial changed.
    pub node: NodeId,
    /// Serial before.
    pub from: String,
    /// Serial now.
    pub to: String,
    /// Node that held the present serial before, if any did.
    pub came_from: Option<NodeId>,
}

/// Where the fields of an inventory were set, as `LABEL/site.yaml:12`; `root` is the folder that it was loaded from.
pub fn causes<'l>(loaded: &'l LoadedInventory, root: &'l Path, label: &'l str) -> impl Fn(&NodeId, &str) -> Option<String> + 'l {
    move |node, field| {
        // Addresses are compared in halves; a rack's own fields stand on the line of its block.
        let written: &[&str] = match field {
            "bmc.address.port" => &["bmc.port", "bmc.address", "bmc.driver"],
            "ssh.address.port" => &["ssh.port", "ssh.address"],
            "bmc.address.ip" => &["bmc.address"],
            "ssh.address.ip" | "boot.ip" => &["boot.ip", "ssh.address"],
            "id" | "rack.feed" | "rack.limit_w" => &["rack"],
            other => &[other],
        };
        let place = written.iter().find_map(|field| loaded.why(node, field).into_iter().rfind(|p| p.decides))?;
        let file = Path::new(&place.file).strip_prefix(root).unwrap_or(Path::new(&place.file)).display().to_string();
        Some(format!("{label}{file}:{}", place.line))
    }
}

/// What happened to the nodes of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// Boards changed places: a serial that another node had before.
    BoardsMoved {
        /// Which.
        boards: Vec<Board>,
    },
    /// Boards were replaced: a serial that no node had before.
    BoardsReplaced {
        /// Which.
        boards: Vec<Board>,
    },
    /// Nodes that only the second side has.
    Added,
    /// Nodes that only the first side has.
    Removed,
    /// The same field changed on all of them.
    Field {
        /// Dotted name, such as `bmc.address.port`.
        field: String,
        /// Value before; `None` when it was not set. Of the first node when `each`.
        from: Option<String>,
        /// Value now; `None` when it is not set. Of the first node when `each`.
        to: Option<String>,
        /// True when each node has values of its own.
        each: bool,
    },
    /// The same field changed on all of these racks.
    RackField {
        /// Dotted name, such as `limit_w`.
        field: String,
        /// Value before.
        from: Option<String>,
        /// Value now.
        to: Option<String>,
        /// Names of the racks; the group's nodes are theirs.
        racks: Vec<String>,
    },
}

/// One difference, however many nodes it touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What changed.
    pub change: Change,
    /// Nodes that it touches, in order.
    pub nodes: Vec<NodeId>,
    /// File and line that made it so, on the second side (on the first for what is gone).
    pub cause: Option<String>,
    /// What it puts at risk.
    pub risk: Risk,
    /// Why that is the risk.
    pub why: String,
}

/// Field, before, now, cause, risk and why: equal keys are one group.
type Key = (String, Option<String>, Option<String>, Option<String>, Risk, &'static str);
/// The same for fields with a value of its own on each node.
type EachKey = (String, Option<String>, Risk, &'static str);

/// All differences, the riskiest first.
#[must_use]
pub fn diff(a: &Side<'_>, b: &Side<'_>) -> Vec<Group> {
    let mut groups = Vec::new();
    groups.extend(gone_or_new(a, b, &Change::Removed, Risk::None, "it is no longer managed; its hardware is not touched"));
    groups.extend(gone_or_new(
        b,
        a,
        &Change::Added,
        Risk::Reboot,
        "a new node is brought up from bare metal and passes the gate",
    ));
    let boards = boards(a.inventory, b.inventory);
    groups.extend(board_groups(boards.values().cloned(), b));
    groups.extend(fields(a, b, &boards));
    groups.extend(racks(a, b));
    groups.sort_by(|x, y| y.risk.cmp(&x.risk).then(x.change.cmp(&y.change)).then(x.nodes.cmp(&y.nodes)));
    groups
}

/// Nodes that `here` has and `there` has not, one group for each line that made them.
fn gone_or_new(here: &Side<'_>, there: &Side<'_>, change: &Change, risk: Risk, why: &str) -> Vec<Group> {
    let mut by_cause: BTreeMap<Option<String>, Vec<NodeId>> = BTreeMap::new();
    for id in here.inventory.nodes.keys().filter(|id| !there.inventory.nodes.contains_key(*id)) {
        by_cause.entry((here.cause)(id, "id")).or_default().push(id.clone());
    }
    let group = |(cause, nodes)| Group { change: change.clone(), nodes, cause, risk, why: why.to_owned() };
    by_cause.into_iter().map(group).collect()
}

/// Nodes on both sides whose serial is another one.
fn boards(a: &Inventory, b: &Inventory) -> BTreeMap<NodeId, Board> {
    let held: BTreeMap<&str, &NodeId> = a.nodes.values().filter_map(|n| Some((n.serial.as_deref()?, &n.id))).collect();
    let mut boards = BTreeMap::new();
    for (id, now) in &b.nodes {
        let before = a.nodes.get(id).and_then(|n| n.serial.as_deref());
        let (Some(from), Some(to)) = (before, now.serial.as_deref()) else { continue };
        if from != to {
            let came_from = held.get(to).map(|id| (*id).clone());
            boards.insert(id.clone(), Board { node: id.clone(), from: from.to_owned(), to: to.to_owned(), came_from });
        }
    }
    boards
}

fn board_groups(boards: impl Iterator<Item = Board>, b: &Side<'_>) -> Vec<Group> {
    let mut by_kind: BTreeMap<(bool, Option<String>), Vec<Board>> = BTreeMap::new();
    for board in boards {
        by_kind.entry((board.came_from.is_some(), file_of((b.cause)(&board.node, "serial")))).or_default().push(board);
    }
    let group = |((moved, cause), boards): (_, Vec<Board>)| Group {
        nodes: boards.iter().map(|board| board.node.clone()).collect(),
        change: if moved { Change::BoardsMoved { boards } } else { Change::BoardsReplaced { boards } },
        cause,
        risk: Risk::Identity,
        why: if moved {
            "the boards changed places: history and acceptance follow the serial, not the slot".to_owned()
        } else {
            "another board answers under the old name; nothing proven of the old one holds for it".to_owned()
        },
    };
    by_kind.into_iter().map(group).collect()
}

/// Facts have one line a node: grouped by file, or every row would be a group of its own.
fn file_of(cause: Option<String>) -> Option<String> {
    cause.map(|place| match place.rsplit_once(':') {
        Some((file, _)) if file.ends_with(".csv") => file.to_owned(),
        _ => place,
    })
}

fn fields(a: &Side<'_>, b: &Side<'_>, boards: &BTreeMap<NodeId, Board>) -> Vec<Group> {
    let mut equal: BTreeMap<Key, Vec<NodeId>> = BTreeMap::new();
    let mut each: BTreeMap<EachKey, Vec<(NodeId, Option<String>, Option<String>)>> = BTreeMap::new();
    for (id, now) in &b.inventory.nodes {
        let Some(before) = a.inventory.nodes.get(id) else { continue };
        if before == now {
            continue;
        }
        for (field, from, to) in changed(&flat::node(before), &flat::node(now)) {
            if boards.contains_key(id) && risk::travels_with_board(&field) {
                continue;
            }
            // A field that fell back to a default was changed by the line that is gone.
            let cause = (b.cause)(id, &field).filter(|_| to.is_some()).or_else(|| (a.cause)(id, &field));
            let (risk, why) = risk::of_field(&field, now.accelerator.kind);
            if risk::is_per_node(&field) {
                each.entry((field, file_of(cause), risk, why)).or_default().push((id.clone(), from, to));
            } else {
                equal.entry((field, from, to, cause, risk, why)).or_default().push(id.clone());
            }
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for ((field, from, to, cause, risk, why), nodes) in equal {
        groups.push(Group { change: Change::Field { field, from, to, each: false }, nodes, cause, risk, why: why.to_owned() });
    }
    for ((field, cause, risk, why), changes) in each {
        let (from, to) = changes.first().map(|(_, from, to)| (from.clone(), to.clone())).unwrap_or_default();
        let change = Change::Field { field, from, to, each: changes.len() > 1 };
        let nodes = changes.into_iter().map(|(id, ..)| id).collect();
        groups.push(Group { change, nodes, cause, risk, why: why.to_owned() });
    }
    groups
}

fn racks(a: &Side<'_>, b: &Side<'_>) -> Vec<Group> {
    let mut equal: BTreeMap<(String, Option<String>, Option<String>), BTreeSet<String>> = BTreeMap::new();
    for (id, now) in &b.inventory.racks {
        let Some(before) = a.inventory.racks.get(id) else { continue };
        // Labels of a rack are inherited by its nodes, where they are reported already.
        for (field, from, to) in changed(&flat::rack(before), &flat::rack(now)) {
            if !field.starts_with("labels.") {
                equal.entry((field, from, to)).or_default().insert(id.to_string());
            }
        }
    }
    let group = |((field, from, to), racks): ((String, _, _), BTreeSet<String>)| {
        let (risk, why) = risk::of_field(&field, AcceleratorKind::Pci);
        let nodes: Vec<NodeId> =
            b.inventory.nodes.values().filter(|n| racks.contains(n.rack.as_str())).map(|n| n.id.clone()).collect();
        let cause = nodes.first().and_then(|id| (b.cause)(id, &format!("rack.{field}")));
        let change = Change::RackField { field, from, to, racks: racks.into_iter().collect() };
        Group { change, nodes, cause, risk, why: why.to_owned() }
    };
    equal.into_iter().map(group).collect()
}

fn changed(before: &Values, now: &Values) -> Vec<(String, Option<String>, Option<String>)> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let pair = |name: &String| (name.clone(), before.get(name).cloned(), now.get(name).cloned());
    names.into_iter().map(pair).filter(|(_, from, to)| from != to).collect()
}
