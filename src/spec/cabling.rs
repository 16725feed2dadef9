//! Cabling: which interface of which node ends at which port of which switch, from `cabling/*.csv`, one row a cable. Never templated.

use std::collections::BTreeMap;

use super::code;
use super::csv::{Cell, rows};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::source::{FileId, Span};
use super::suggest::nearest;
use crate::model::{BOOT_INTERFACE, Mac, Node, NodeId, Plug};

/// The columns of a cabling file, all of them needed.
pub const COLUMNS: [&str; 4] = ["node", "interface", "switch", "port"];

/// One cable as written.
#[derive(Debug, Clone)]
pub struct Cable {
    /// The cell with the node's name.
    pub node: Cell,
    /// The interface's cell.
    pub interface: Cell,
    /// The switch's cell.
    pub switch: Cell,
    /// The port's cell.
    pub port: Cell,
}

/// All cables of a site, by node and interface (MAC addresses in their usual form).
#[derive(Debug, Default)]
pub struct Cabling {
    /// The rows.
    pub cables: BTreeMap<(String, String), Cable>,
}

impl Cabling {
    /// Reads one file. A second row for an interface is a mistake, and so is a second cable in a port.
    pub fn read(&mut self, file: FileId, out: &mut Diagnostics) {
        let mut lines = rows(file, out).into_iter();
        let Some(header) = lines.next() else { return };
        let Some(places) = columns(&header, out) else { return };
        let mut plugs: BTreeMap<String, Span> = self.cables.values().map(|c| (c.plug().key(), c.port.span)).collect();
        for row in lines {
            let span = row.first().map_or(Span::new(file, 0, 0), |c| c.span);
            if row.len() != header.len() {
                let message = format!("this row has {} cells and the header {}", row.len(), header.len());
                out.push(Diagnostic::error(code::BAD_FACT, message).at(span));
                continue;
            }
            let cells = places.map(|at| row.get(at).cloned().unwrap_or(Cell { text: String::new(), span }));
            if let Some(bad) = COLUMNS.iter().zip(&cells).find_map(|(name, cell)| wrong(name, cell)) {
                out.push(bad);
                continue;
            }
            let [node, interface, switch, port] = cells;
            let cable = Cable { node, interface, switch, port };
            if let Some(first) = plugs.insert(cable.plug().key(), cable.port.span) {
                let message = format!("two cables end at {}", quote(&cable.plug().to_string()));
                let d = Diagnostic::error(code::DUPLICATE_IDENTITY, message).at(cable.port.span).label("second");
                out.push(d.also(first, "first"));
            }
            let key = (cable.node.text.clone(), canonical(&cable.interface.text));
            if let Some(first) = self.cables.get(&key) {
                let message = format!("`{}` of {} has a second cable", quote(&cable.interface.text), quote(&cable.node.text));
                let d = Diagnostic::error(code::DUPLICATE_IDENTITY, message).at(cable.interface.span).label("second");
                out.push(d.also(first.interface.span, "first"));
                continue;
            }
            self.cables.insert(key, cable);
        }
    }

    /// Gives each node its cables. Cables of nodes that no rack holds are mistakes, unless `gaps` says that not all nodes are known; so is a MAC
    /// address that another node has.
    pub fn give(&self, nodes: &mut BTreeMap<NodeId, Node>, gaps: bool, out: &mut Diagnostics) {
        let mut owners: BTreeMap<Mac, (NodeId, Option<Span>)> = BTreeMap::new();
        for (id, node) in nodes.iter() {
            owners.extend([node.boot.mac, node.bmc.mac].into_iter().flatten().map(|mac| (mac, (id.clone(), None))));
        }
        // Looking for the nearest of 12,500 names takes a millisecond; a wholly wrong file must not take a minute.
        let mut suggestions = 20;
        for ((name, interface), cable) in &self.cables {
            let id = NodeId::new(name.as_str()).ok();
            let Some((id, boot_mac)) = id.and_then(|id| nodes.get(&id).map(|n| n.boot.mac).map(|mac| (id, mac))) else {
                if !gaps {
                    let message = format!("a cable for `{}`, but no rack holds such a node", quote(name));
                    let d = Diagnostic::error(code::UNKNOWN_NODE, message).at(cable.node.span);
                    let near = if suggestions > 0 { nearest(name, nodes.keys().map(NodeId::as_str)) } else { None };
                    suggestions = i32::max(suggestions - 1, 0);
                    out.push(d.suggest(near));
                }
                continue;
            };
            if let Ok(mac) = interface.parse::<Mac>() {
                match owners.insert(mac, (id.clone(), Some(cable.interface.span))) {
                    Some((other, first)) if other != id => {
                        let message = format!("{other} and {id} have the same MAC address {mac}");
                        let d = Diagnostic::error(code::DUPLICATE_IDENTITY, message).at(cable.interface.span);
                        out.push(match first {
                            Some(span) => d.also(span, format!("first, for {other}")),
                            None => d.label(format!("the facts give it to {other}")),
                        });
                    }
                    Some(_) if boot_mac == Some(mac) && self.cables.contains_key(&(name.clone(), BOOT_INTERFACE.to_owned())) => {
                        let message = format!("{mac} is the boot interface of {id}, whose cable has a row of its own");
                        out.push(Diagnostic::error(code::DUPLICATE_IDENTITY, message).at(cable.interface.span));
                    }
                    _ => {}
                }
            }
            if let Some(node) = nodes.get_mut(&id) {
                node.cabling.insert(interface.clone(), cable.plug());
            }
        }
    }
}

impl Cable {
    fn plug(&self) -> Plug {
        Plug { switch: self.switch.text.clone(), port: self.port.text.clone() }
    }
}

/// Where each column stands; what is unknown, repeated or missing is a mistake.
fn columns(header: &[Cell], out: &mut Diagnostics) -> Option<[usize; 4]> {
    let before = out.errors();
    for (index, cell) in header.iter().enumerate() {
        if !COLUMNS.contains(&cell.text.as_str()) {
            let d = Diagnostic::error(code::UNKNOWN_KEY, format!("unknown column `{}`", quote(&cell.text))).at(cell.span);
            let near = nearest(&cell.text, COLUMNS);
            out.push(if near.is_some() { d.suggest(near) } else { d.hint(format!("the columns are {}", COLUMNS.join(","))) });
        } else if let Some(first) = header.iter().take(index).find(|c| c.text == cell.text) {
            let d = Diagnostic::error(code::DUPLICATE_KEY, format!("the column `{}` stands twice", cell.text)).at(cell.span);
            out.push(d.label("second").also(first.span, "first"));
        }
    }
    let at = |name: &str| header.iter().position(|c| c.text == name);
    if let (Some(name), Some(cell)) = (COLUMNS.iter().find(|name| at(name).is_none()), header.first()) {
        let d = Diagnostic::error(code::BAD_FACT, format!("the cabling file has no column `{name}`")).at(cell.span);
        out.push(d.hint(format!("the first line names the columns: {}", COLUMNS.join(","))));
    }
    (out.errors() == before).then(|| COLUMNS.map(|name| at(name).unwrap_or_default()))
}

/// What is wrong with a cell.
fn wrong(column: &str, cell: &Cell) -> Option<Diagnostic> {
    let fit = (1..=128).contains(&cell.text.len()) && !cell.text.chars().any(char::is_control);
    let why = match (cell.text.is_empty(), fit) {
        (true, _) => format!("this row has no {column}"),
        (_, false) => format!("{column}: `{}` is longer than 128 characters or unprintable", quote(&cell.text)),
        (_, true) => return None,
    };
    Some(Diagnostic::error(code::BAD_FACT, why).at(cell.span))
}

/// An interface in the form in which it is compared.
fn canonical(interface: &str) -> String {
    interface.parse::<Mac>().map_or_else(|_| interface.to_owned(), |mac| mac.to_string())
}
