//! The words that habits are written in. Data only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One way to say which state of a resource a write is about: the steps of the entity-tag ladder (RC-35 to RC-37).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TagStep {
    /// No `If-Match`.
    None,
    /// `If-Match: *`.
    Star,
    /// The tag as it was read.
    Given,
    /// The tag as it was read, made strong: without `W/` and without a `-gzip` ending.
    Strong,
}

/// Whether collections may be asked for with `$expand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expand {
    /// When `ProtocolFeaturesSupported` says so (RC-26).
    AsTold,
    /// Never: what the service says of itself is wrong.
    Never,
}

/// Where the boot override is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootPlace {
    /// On the system itself.
    System,
    /// On the object that its `@Redfish.Settings` names (RC-61).
    Settings,
}

/// How the node's standby power is taken away and given back (RC-59).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AcCycle {
    /// By `ResetType: FullPowerCycle`, where the service allows it.
    Standard,
    /// By an action of the maker's own.
    Action(AcAction),
    /// Not through this BMC: a PDU or a chassis controller has to do it.
    Impossible,
}

/// An action that cycles the standby power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcAction {
    /// Which resource offers it.
    pub on: ResourceKind,
    /// The action's name, such as `#OemSystemExtensions.Reset`; looked for in `Actions`, `Actions.Oem` and `Oem.*.Actions`.
    pub name: String,
    /// Where it is below that resource's path when the resource does not name it, such as `Actions/Oem/OemSystemExtensions.Reset`.
    #[serde(default)]
    pub path: String,
    /// What is sent.
    pub body: BTreeMap<String, String>,
    /// Whether the host must be off first.
    pub host_off: bool,
}

/// A resource that a habit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// The node's computer system.
    System,
    /// The chassis that holds it.
    Chassis,
    /// The manager that drives it.
    Manager,
}

/// One form of the body that inserts virtual media (RC-63).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MediaForm {
    /// `InsertMedia` with Image, Inserted and WriteProtected.
    Whole,
    /// `InsertMedia` with Image alone.
    ImageOnly,
    /// `InsertMedia` with transfer protocol and method beside the image.
    Transfer,
    /// PATCH of the member; there is no `InsertMedia`.
    Patch,
}

/// Where virtual media live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MediaPlace {
    /// Under the manager.
    Manager,
    /// Under the system.
    System,
}

/// How a firmware image is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Push {
    /// Whatever the UpdateService offers: multipart, then the bare push URI.
    AsTold,
    /// One multipart request.
    Multipart,
    /// The bare image to `HttpPushUri`.
    HttpPush,
    /// The bare image to `HttpPushUri`, then `SimpleUpdate` with what it answered (Dell).
    PushThenSimple,
    /// A form with session key and files, as HPE's web page sends it.
    HpeForm,
    /// The BMC fetches the image itself.
    Simple,
    /// Not over Redfish at all.
    NotRedfish,
}

/// What the `Targets` of a push name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UploadTargets {
    /// There is no such property: the image says what it is for.
    LeftOut,
    /// An empty list, with the same meaning.
    Empty,
    /// The component's entry in the firmware inventory.
    Item,
    /// What that entry belongs to (`RelatedItem`), such as the manager.
    Related,
}

/// A further part of a multipart upload, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name, such as `OemParameters`.
    pub name: String,
    /// What it holds.
    pub json: BTreeMap<String, Value>,
}

/// What is asked for the progress of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskAsk {
    /// The task itself.
    Task,
    /// Its monitor.
    Monitor,
}
