//! The virtual drives of one BMC: what is in each, and since when. Pure; the Redfish service shows and changes it.

use super::clock::SimTime;

/// One drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// Id.
    pub id: &'static str,
    /// Media types in Redfish's words.
    pub types: &'static [&'static str],
    /// Image that is in it.
    pub image: Option<String>,
    /// Cannot be written to.
    pub write_protected: bool,
    /// When it was last changed.
    pub changed: Option<SimTime>,
}

/// All drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Drives.
    pub drives: Vec<Drive>,
    /// When something was last ejected.
    pub ejected: Option<SimTime>,
    /// How often something was inserted.
    pub insertions: u32,
}

impl Default for Media {
    fn default() -> Self {
        let drive = |id, types| Drive { id, types, image: None, write_protected: true, changed: None };
        let drives = vec![drive("RemovableDisk", &["Floppy", "USBStick"]), drive("CD1", &["CD", "DVD"])];
        Self { drives, ejected: None, insertions: 0 }
    }
}

impl Media {
    /// A drive by its id.
    #[must_use]
    pub fn drive(&self, id: &str) -> Option<&Drive> {
        self.drives.iter().find(|d| d.id == id)
    }

    /// Puts an image in; `false` when the drive is not there or not empty.
    pub fn insert(&mut self, now: SimTime, id: &str, image: &str, write_protected: bool) -> bool {
        let Some(drive) = self.drives.iter_mut().find(|d| d.id == id && d.image.is_none()) else { return false };
        drive.image = Some(image.to_owned());
        drive.write_protected = write_protected;
        drive.changed = Some(now);
        self.insertions = self.insertions.saturating_add(1);
        true
    }

    /// Takes out what is in; `false` when nothing was.
    pub fn eject(&mut self, now: SimTime, id: &str) -> bool {
        let Some(drive) = self.drives.iter_mut().find(|d| d.id == id && d.image.is_some()) else { return false };
        drive.image = None;
        drive.changed = Some(now);
        self.ejected = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_holds_one_image() {
        let mut media = Media::default();
        assert!(media.insert(SimTime(1), "CD1", "http://x/a.iso", true));
        assert!(!media.insert(SimTime(2), "CD1", "http://x/b.iso", true) && !media.insert(SimTime(2), "CD9", "x", true));
        assert!(media.eject(SimTime(3), "CD1") && !media.eject(SimTime(3), "CD1"));
        assert_eq!((media.insertions, media.ejected), (1, Some(SimTime(3))));
    }
}
