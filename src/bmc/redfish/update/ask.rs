//! Asks who knows which version runs: the inventory's entry, the resources that it belongs to, or, where there is no inventory, the system and
//! the manager themselves.

use tokio::time::Instant;

use super::super::client::{Client, Resource};
use super::super::error::{safe, unsupported};
use super::super::system::soft;
use super::super::{firmware, json, path};
use super::standing::{Item, Witness};
use crate::bmc::updating::FirmwareItem;
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::{Component, Reading, Version};

/// Where a component's version is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// In the firmware inventory.
    Inventory(String),
    /// In a resource of its own, for BMCs without an inventory: the system tells its BIOS, the manager the BMC.
    Own {
        /// Where.
        at: String,
        /// The property.
        key: &'static str,
    },
}

impl Kept {
    /// Where `component` is kept when there is no inventory; `None`: nowhere.
    pub(super) fn own(component: &Component, system: &str, manager: Option<&str>) -> Option<Self> {
        let is = |name: &str| component.as_str().eq_ignore_ascii_case(name);
        if is("BIOS") {
            return Some(Self::Own { at: system.to_owned(), key: "BiosVersion" });
        }
        manager.filter(|_| is("BMC")).map(|manager| Self::Own { at: manager.to_owned(), key: "FirmwareVersion" })
    }
}

/// What all who know say of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// It runs; nobody contradicts.
    Runs(String),
    /// It lies there and waits.
    Staged(String),
    /// Another version runs, in these words.
    Other(Version, String),
    /// Nothing can be said of it.
    Unknown(String),
}

impl Client {
    /// A component, wherever it is kept.
    pub(super) async fn kept(
        &self,
        kept: &Kept,
        component: &Component,
        hint: Option<&str>,
        deadline: Instant,
    ) -> Result<Item, BmcError> {
        match kept {
            Kept::Inventory(inventory) => self.item(inventory, component, hint, deadline).await,
            Kept::Own { at, key } => {
                let resource = self.look_slowly(at, deadline).await?;
                let running = match json::text(&resource.value, key).map(|text| Version::new(safe(&text, 128))) {
                    Some(Ok(version)) => Reading::Known(version),
                    Some(Err(e)) => Reading::unknown(e.to_string()),
                    None => Reading::unknown(format!("{} says no {key}", safe(at, 128))),
                };
                let updateable = Reading::unknown("there is no inventory that tells whether it can be updated");
                Ok(Item { at: at.clone(), running, staged: Reading::Absent, updateable, related: vec![at.clone()] })
            }
        }
    }

    /// The entry of a component. `hint` is where it was before; it is believed only while it is still there and still this component's.
    async fn item(
        &self,
        inventory: &str,
        component: &Component,
        hint: Option<&str>,
        deadline: Instant,
    ) -> Result<Item, BmcError> {
        if let Some(at) = hint {
            match self.look_slowly(at, deadline).await {
                Ok(resource) => match Item::view(at, &resource.value) {
                    Some((found, item)) if found == *component => return Ok(item),
                    _ => {}
                },
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) => return Err(e),
            }
        }
        let doing = format!("find {component} in {}", safe(inventory, 128));
        let (members, _) = self.members(inventory, deadline).await?;
        // By the link where that tells, which saves reading a hundred entries.
        let named = |at: &str| firmware::name(path::last(at), None).is_some_and(|name| name == component.as_str());
        let (by_link, rest): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| named(&member.path));
        let (mut known, mut trouble) = (Vec::new(), None);
        for member in by_link.into_iter().chain(rest) {
            match self.look_slowly(&member.path, deadline).await {
                Ok(resource) => match Item::view(&member.path, &resource.value) {
                    Some((found, item)) if found == *component => return Ok(item),
                    Some((other, _)) => known.push(other.to_string()),
                    None => {}
                },
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) if soft(&e) => trouble = Some(e),
                Err(e) => return Err(e),
            }
        }
        match trouble {
            // The entry that could not be read may be the one.
            Some(e) => Err(e),
            None => {
                let names = if known.is_empty() { "nothing".to_owned() } else { safe(&known.join(", "), 1_024) };
                Err(unsupported(&doing, format!("it is not listed; there is {names}")))
            }
        }
    }

    /// Reads an entry or a resource that may be as slow as the inventory.
    pub(super) async fn look_slowly(&self, at: &str, deadline: Instant) -> Result<Resource, BmcError> {
        self.get_by(at, deadline.min(Instant::now() + self.limits.inventory)).await
    }

    /// Who beside the inventory knows what runs of this entry. `places` may know too: not every BMC links its entries.
    pub(super) async fn witnesses(&self, item: &Item, places: &[&str], deadline: Instant) -> Vec<Witness> {
        let mut found: Vec<Witness> = Vec::new();
        for at in item.related.iter().map(String::as_str).chain(places.iter().copied()) {
            if found.iter().any(|witness| path::same(&witness.at, at)) {
                continue;
            }
            // One that cannot be read is no witness.
            if let Ok(resource) = self.look(at, deadline).await {
                found.extend(Witness::of(&resource, item));
            }
        }
        found
    }

    /// What everybody says of `want`, now.
    pub(super) async fn ask_all(
        &self,
        kept: &Kept,
        component: &Component,
        want: &Version,
        before: &Item,
        witnesses: &[Witness],
        deadline: Instant,
    ) -> Result<Says, BmcError> {
        let item = self.kept(kept, component, Some(&before.at), deadline).await?;
        let staged = item.staged.known() == Some(want);
        let running = match &item.running {
            Reading::Known(version) => version.clone(),
            _ if staged => return Ok(Says::Staged(format!("{component} {want} waits for activation"))),
            Reading::Absent => return Ok(Says::Unknown(format!("{component} is listed, but says that it is not there"))),
            Reading::Unknown { why } => return Ok(Says::Unknown(why.clone())),
        };
        if running != *want {
            return Ok(match staged {
                true => Says::Staged(format!("{component} {running} runs, {want} waits for activation")),
                false => Says::Other(running.clone(), format!("{component} {running} runs")),
            });
        }
        for witness in witnesses {
            // A witness that cannot be heard has not changed its word: the look is no proof.
            let resource = self.look(&witness.at, deadline).await?;
            if let Some(why) = witness.contradicts(&resource.value, &item.at, want.as_str()) {
                return Ok(Says::Staged(format!("the inventory shows {component} {want}, but {why}")));
            }
        }
        Ok(Says::Runs(format!("{component} {want} runs")))
    }

    /// What the system and the manager tell of their own firmware, for BMCs without an inventory.
    pub(super) async fn own_items(&self, system: &str, manager: Option<&str>) -> Result<Reading<Vec<FirmwareItem>>, BmcError> {
        let mut items = Vec::new();
        for name in ["BIOS", "BMC"] {
            let Ok(component) = Component::new(name) else { continue };
            let Some(kept) = Kept::own(&component, system, manager) else { continue };
            let item = self.kept(&kept, &component, None, Instant::now() + self.limits.request).await?;
            if item.running.known().is_some() {
                items.push(item.told(component));
            }
        }
        Ok(if items.is_empty() { Reading::Absent } else { Reading::Known(items) })
    }

    /// All entries, for people. `places` know what runs of some of them.
    pub(super) async fn items(&self, inventory: &str, places: &[&str]) -> Result<Reading<Vec<FirmwareItem>>, BmcError> {
        let deadline = Instant::now() + self.limits.inventory;
        let (members, unusable) = self.members(inventory, deadline).await?;
        if unusable > 0 {
            return Ok(Reading::unknown(format!("{unusable} members of {} have no usable link", safe(inventory, 128))));
        }
        let mut known = Vec::new();
        for at in places {
            known.extend(self.look(at, deadline).await.ok());
        }
        let mut items = Vec::new();
        for member in members {
            match self.look_slowly(&member.path, Instant::now() + self.limits.inventory).await {
                Ok(resource) => {
                    let Some((name, mut item)) = Item::view(&member.path, &resource.value) else { continue };
                    item.confront(&known);
                    items.push(item.told(name));
                }
                Err(e) if e.kind == BmcTrouble::Unsupported => {}
                Err(e) if soft(&e) => {
                    let name =
                        firmware::name(path::last(&member.path), None).and_then(|name| Component::new(safe(&name, 128)).ok());
                    let Some(component) = name else { continue };
                    let unknown = Reading::unknown(e.to_string());
                    items.push(FirmwareItem {
                        component,
                        running: unknown.clone(),
                        staged: unknown,
                        updateable: Reading::unknown(e.to_string()),
                    });
                }
                Err(e) => return Err(e),
            }
        }
        items.sort_by(|a, b| a.component.cmp(&b.component));
        Ok(Reading::Known(items))
    }
}
