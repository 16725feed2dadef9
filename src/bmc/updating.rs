//! Firmware pushed through a BMC: uploaded once, watched as a task, and judged by the version that runs, never by the task alone.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::{Bmc, Written, lacks};
use crate::model::{Component, Version};

/// One firmware image for one component.
#[derive(Debug, Clone)]
pub struct FirmwareImage<'a> {
    /// The file.
    pub file: &'a Path,
    /// The name that the BMC is told; some judge by it.
    pub name: &'a str,
    /// Which component of the firmware inventory it is for.
    pub component: &'a Component,
    /// The version that must run afterwards.
    pub version: &'a Version,
}

/// The updating half of a BMC.
#[async_trait]
pub trait Updating: Bmc {
    /// Uploads the image once, watches the task, and reads the version back until `deadline`. `Applied` only when the version is seen.
    async fn update(&self, _image: &FirmwareImage<'_>, _deadline: Duration) -> Written {
        Written::NotApplied(lacks("update firmware"))
    }
}
