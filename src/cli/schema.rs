//! `bringup schema`: JSON Schema of the files that users write, for editors and CI. Reads no file.

use serde_json::{Value, json};

use super::{Exit, Failure, Global, Result};
use crate::bmc::quirk::QuirkFile;
use crate::spec::{schema, shape, shape_ramdisk, shape_rootfs, shape_site};
use crate::verify;

/// Prints the JSON Schema of a kind of file
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bringup schema playbook > playbook.schema.json")]
pub struct Args {
    /// Kind of file
    #[arg(value_enum, value_name = "KIND")]
    kind: Kind,
}

/// Files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// `inventory/site.yaml`
    Inventory,
    /// `playbooks/NAME.yaml`
    Playbook,
    /// `playbooks/stacks/NAME.yaml`
    Stack,
    /// `playbooks/policies/NAME.yaml`
    Policy,
    /// `images/NAME.yaml`
    Image,
    /// `images/definitions/NAME.yaml` of a bring-up ramdisk
    Ramdisk,
    /// `images/definitions/NAME.yaml` of a node's root file system
    Rootfs,
    /// `inventory/quirks.yaml`
    Quirks,
    /// Firmware bundles (not supported by this version)
    Firmware,
}

/// Prints the schema; it is JSON whatever `--output` says.
///
/// # Errors
/// The kind is not supported by this version.
pub async fn run(args: Args, global: &Global) -> Result {
    let Some(value) = document(args.kind) else {
        return Err(Failure::new(Exit::USAGE, "this version has no firmware bundles, so they have no schema")
            .hint("known: inventory, playbook, stack, policy, image, ramdisk, rootfs, quirks"));
    };
    global.out.json(&value);
    Ok(Exit::DONE)
}

/// The schema of a kind; `None` for kinds that this version does not read.
#[must_use]
pub fn document(kind: Kind) -> Option<Value> {
    Some(match kind {
        Kind::Inventory => schema::of::<shape_site::SiteFile>(),
        Kind::Playbook => schema::of::<shape::PlaybookFile>(),
        Kind::Stack => schema::of::<shape::StackFile>(),
        Kind::Image => schema::of::<shape::ImageFile>(),
        Kind::Ramdisk => schema::of::<shape_ramdisk::RamdiskFile>(),
        Kind::Rootfs => schema::of::<shape_rootfs::RootfsFile>(),
        Kind::Policy => with_checks(schema::of::<shape::PolicyFile>()),
        Kind::Quirks => schema::of::<QuirkFile>(),
        Kind::Firmware => return None,
    })
}

/// The names of the gate's checks, each with what it says, where a tolerance names one.
fn with_checks(mut schema: Value) -> Value {
    if let Some(check) = schema.pointer_mut("/$defs/tolerance/properties/check").and_then(Value::as_object_mut) {
        let one = |(name, says): &(&str, &str)| json!({"const": name, "description": says});
        check.insert("oneOf".to_owned(), verify::CHECKS.iter().map(one).collect());
    }
    schema
}
