//! The controller and its components as they are now: what it can, and which version runs and which waits.

use super::super::fault::Fault;
use super::agent::Agent;
use super::command::{self, Capabilities, Command, General};
use super::image::Revision;
use crate::bmc::updating::FirmwareItem;
use crate::model::{Component, Reading, Version};

/// Properties of a component.
const GENERAL: u8 = 0;
const RUNS: u8 = 1;
const NAME: u8 = 2;
const WAITS: u8 = 4;
/// Most components of a controller.
const COMPONENTS: u8 = 8;

/// One component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) id: u8,
    /// Escaped.
    pub(super) name: String,
    pub(super) can: General,
}

/// Versions of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) runs: Option<Revision>,
    pub(super) waits: Option<Revision>,
}

impl Agent<'_> {
    /// What the controller can.
    pub(super) async fn capabilities(&mut self) -> Result<Capabilities, Fault> {
        let answer = self.ask(Command::Capabilities, &[]).await?;
        command::capabilities(&answer).ok_or(Fault::Malformed("upgrade capabilities that are cut short"))
    }

    /// Its components.
    pub(super) async fn parts(&mut self, capabilities: &Capabilities) -> Result<Vec<Part>, Fault> {
        let mut parts = Vec::new();
        for id in (0..COMPONENTS).filter(|id| capabilities.components & (1 << id) != 0) {
            let can = command::general(&self.ask(Command::Properties, &[id, GENERAL]).await?);
            let can = can.ok_or(Fault::Malformed("properties of a component that are cut short"))?;
            let name = command::description(&self.ask(Command::Properties, &[id, NAME]).await?);
            parts.push(Part { id, name, can });
        }
        Ok(parts)
    }

    /// Which version of a component runs, and which waits.
    pub(super) async fn versions(&mut self, part: &Part) -> Result<Versions, Fault> {
        let cut = Fault::Malformed("a version that is cut short");
        let runs = command::revision(&self.ask(Command::Properties, &[part.id, RUNS]).await?).ok_or(cut)?;
        if !part.can.deferred {
            return Ok(Versions { runs, waits: None });
        }
        let waits = match self.ask(Command::Properties, &[part.id, WAITS]).await {
            Ok(answer) => command::revision(&answer).flatten(),
            // None waits.
            Err(Fault::Code(_)) => None,
            Err(fault) => return Err(fault),
        };
        Ok(Versions { runs, waits })
    }

    /// All components, as the firmware inventory shows them. `None`: the controller does not speak HPM.1.
    pub(super) async fn items(&mut self) -> Result<Option<Vec<FirmwareItem>>, Fault> {
        let capabilities = match self.capabilities().await {
            Ok(capabilities) => capabilities,
            Err(Fault::Code(_) | Fault::Malformed(_)) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let mut items = Vec::new();
        for part in self.parts(&capabilities).await? {
            // A name that cannot be one could not be given on the command line either.
            let Ok(component) = Component::new(part.name.clone()) else { continue };
            let Versions { runs, waits } = self.versions(&part).await?;
            items.push(FirmwareItem {
                component,
                running: runs.map_or_else(|| Reading::unknown("the BMC tells no version"), reading),
                staged: waits.map_or(Reading::Absent, reading),
                updateable: Reading::Known(true),
            });
        }
        Ok(Some(items))
    }
}

fn reading(revision: Revision) -> Reading<Version> {
    Version::new(revision.to_string()).map_or_else(|e| Reading::unknown(e.to_string()), Reading::Known)
}
