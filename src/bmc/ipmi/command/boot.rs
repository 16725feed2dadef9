//! Boot flags: parameter 5 of the system boot options (IPMI v2.0 §28.12, §28.13, table 28-14).

use ipmi_rs_core::connection::{IpmiCommand, Message, NetFn, NotEnoughData};

use crate::model::{BootMode, BootOverride, BootTarget};

const BOOT_FLAGS: u8 = 5;
const VALID: u8 = 0x80;
const PERSISTENT: u8 = 0x40;
const UEFI: u8 = 0x20;

/// Get System Boot Options, parameter 5.
pub struct GetBootFlags;

/// The boot flags as the BMC holds them, bit by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootFlags {
    /// "Boot flags valid": the firmware heeds the rest only when this is set.
    pub valid: bool,
    /// For every boot, not the next one alone.
    pub persistent: bool,
    /// UEFI boot is asked for.
    pub uefi: bool,
    /// Device selector, 0 to 15.
    pub device: u8,
}

impl From<GetBootFlags> for Message {
    fn from(_: GetBootFlags) -> Self {
        Self::new_request(NetFn::Chassis, 0x09, vec![BOOT_FLAGS, 0, 0])
    }
}

impl IpmiCommand for GetBootFlags {
    type Output = BootFlags;
    type Error = NotEnoughData;
    fn parse_success_response(data: &[u8]) -> Result<BootFlags, NotEnoughData> {
        match data {
            // Parameter version, parameter (bit 7: marked invalid), data 1 to 5.
            [_version, parameter, flags, device, ..] => Ok(BootFlags {
                valid: flags & VALID != 0 && parameter & 0x80 == 0,
                persistent: flags & PERSISTENT != 0,
                uefi: flags & UEFI != 0,
                device: (device >> 2) & 0x0f,
            }),
            _ => Err(NotEnoughData),
        }
    }
}

impl BootFlags {
    /// The flags that ask for `want`; `None` for what IPMI has no selector for (UEFI HTTP boot).
    #[must_use]
    pub fn asking_for(want: &BootOverride) -> Option<Self> {
        let device = match want.target {
            BootTarget::None => 0,
            BootTarget::Pxe => 1,
            BootTarget::Disk => 2,
            BootTarget::Cd => 5,
            BootTarget::Setup => 6,
            BootTarget::UefiHttp => return None,
        };
        let uefi = want.mode == Some(BootMode::Uefi);
        let some = device != 0;
        Some(Self { valid: true, persistent: some && !want.once, uefi: some && uefi, device })
    }

    /// Set System Boot Options, parameter 5.
    #[must_use]
    pub fn set(self) -> Message {
        let bit = |on: bool, mask: u8| if on { mask } else { 0 };
        let flags = bit(self.valid, VALID) | bit(self.persistent, PERSISTENT) | bit(self.uefi, UEFI);
        Message::new_request(NetFn::Chassis, 0x08, vec![BOOT_FLAGS, flags, self.device << 2, 0, 0, 0])
    }

    /// In the house's words. Flags that are not valid are no override: the firmware does not heed them. `Err` holds a selector that has no word.
    ///
    /// # Errors
    /// The device selector, when it is none of those that the house knows (remote media, floppy, diagnostics, safe mode).
    pub fn as_override(self) -> Result<BootOverride, u8> {
        if !self.valid || self.device == 0 {
            return Ok(BootOverride::none());
        }
        let target = match self.device {
            1 => BootTarget::Pxe,
            2 => BootTarget::Disk,
            5 | 8 => BootTarget::Cd,
            6 => BootTarget::Setup,
            other => return Err(other),
        };
        let mode = Some(if self.uefi { BootMode::Uefi } else { BootMode::Legacy });
        Ok(BootOverride { target, once: !self.persistent, mode, http_uri: None })
    }

    /// Bit by bit, for people.
    #[must_use]
    pub fn describe(self) -> String {
        let device = match self.device {
            0 => "none".to_owned(),
            1 => "pxe".to_owned(),
            2 => "disk".to_owned(),
            5 => "cd".to_owned(),
            6 => "setup".to_owned(),
            8 => "remote cd".to_owned(),
            other => format!("selector {other}"),
        };
        let valid = if self.valid { "valid" } else { "marked invalid" };
        let once = if self.persistent { "persistent" } else { "once" };
        let mode = if self.uefi { "uefi" } else { "legacy" };
        format!("boot flags {valid}: {device}, {once}, {mode}")
    }
}

#[cfg(test)]
mod tests {
    use super::{BootFlags, GetBootFlags};
    use crate::model::{BootMode, BootOverride, BootTarget};
    use ipmi_rs_core::connection::IpmiCommand;

    fn want(target: BootTarget) -> BootOverride {
        BootOverride { target, once: true, mode: Some(BootMode::Uefi), http_uri: None }
    }

    /// `ipmitool chassis bootdev pxe options=efiboot` sends `05 a0 04 00 00 00`.
    #[test]
    fn pxe_once_by_uefi() {
        let message = BootFlags::asking_for(&want(BootTarget::Pxe)).unwrap().set();
        assert_eq!((message.netfn_raw(), message.cmd()), (0x00, 0x08));
        assert_eq!(message.data(), [0x05, 0xa0, 0x04, 0, 0, 0]);
    }

    #[test]
    fn what_is_set_reads_back_the_same() {
        for target in [BootTarget::Pxe, BootTarget::Disk, BootTarget::Cd, BootTarget::Setup] {
            for once in [true, false] {
                let want = BootOverride { once, ..want(target) };
                let set = BootFlags::asking_for(&want).unwrap().set();
                let answer = [&[1, 5], &set.data()[1..]].concat();
                let read = GetBootFlags::parse_success_response(&answer).unwrap_or_else(|_| panic!("long enough"));
                assert_eq!(read.as_override(), Ok(want));
            }
        }
        assert!(BootFlags::asking_for(&want(BootTarget::UefiHttp)).is_none());
    }

    #[test]
    fn invalid_flags_are_no_override() {
        let read =
            GetBootFlags::parse_success_response(&[1, 0x05, 0x00, 0x04, 0, 0, 0]).unwrap_or_else(|_| panic!("long enough"));
        assert_eq!(read.as_override(), Ok(BootOverride::none()));
        assert_eq!(read.describe(), "boot flags marked invalid: pxe, once, legacy");
        assert!(GetBootFlags::parse_success_response(&[1, 5, 0x80]).is_err());
    }
}
