//! A firmware image of PICMG HPM.1 R1.0 (§4, "Upgrade image format"): a header that says for which controller it is, a list of actions, and an MD5 of
//! all of it behind. Everything is checked before a BMC hears of it. Pure.
//!
//! ```text
//! PICMGFWU format device maker(3) product(2) time(4) capabilities components 3 timeouts earliest(2) revision(6) oem-length(2) oem… sum
//! action components sum                                              0: back up, 1: prepare
//! action component  sum version(6) description(21) length(4) data…   2: upload
//! md5(16)
//! ```

use std::fmt;
use std::ops::Range;

use md5::{Digest as _, Md5};

/// First eight bytes of every image.
const SIGNATURE: &[u8; 8] = b"PICMGFWU";
/// The one format that there is.
const FORMAT: u8 = 0;
/// Bytes of the header in front of the vendor's own.
const HEADER: usize = 34;
/// Bytes of the MD5 behind everything.
const TRAILER: usize = 16;
/// Bytes of an action's head.
const HEAD: usize = 3;
/// Bytes between the head of an upload and its data: version, description, length.
const ABOUT: usize = 31;
/// Most actions: eight components, and a few for each.
const ACTIONS: usize = 64;
/// The image tests itself (bit 7 as ipmitool reads it, `ipmi_hpmfwupg.h`).
const SELF_TEST: u8 = 0x80;

/// Why a file is no image for HPM.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It does not begin as one.
    #[error("it is no HPM.1 image: it does not begin with PICMGFWU")]
    Signature,
    /// It ends too early.
    #[error("the HPM.1 image is cut short at byte {0}")]
    Short(usize),
    /// A format that nobody has defined yet.
    #[error("the HPM.1 image has format {0}, and only 0 is known")]
    Format(u8),
    /// A sum does not fit.
    #[error("the sum over the HPM.1 image's header is wrong")]
    HeaderSum,
    /// The MD5 at its end is that of something else.
    #[error("the MD5 at the end of the HPM.1 image does not fit: it is damaged or was cut")]
    Digest,
    /// A sum of an action does not fit.
    #[error("the sum over the action at byte {0} of the HPM.1 image is wrong")]
    ActionSum(usize),
    /// An action that is in no specification.
    #[error("the HPM.1 image has an action {0} at byte {1}, which is in no specification")]
    Action(u8, usize),
    /// An upload for no component, or for several.
    #[error("the upload at byte {0} of the HPM.1 image is not for exactly one component")]
    Component(usize),
    /// Two uploads for one component, or one for a component that the header does not name.
    #[error("the uploads of the HPM.1 image do not fit its header: component {0}")]
    Uploads(u8),
    /// Nothing in it, or far too much.
    #[error("the HPM.1 image has {0} actions")]
    Actions(usize),
}

/// A firmware version as HPM.1 keeps it: major, minor (two BCD digits), four bytes of the vendor's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub [u8; 6]);

impl Revision {
    /// `None` for the pattern that stands for "no version" (all ones; some controllers keep the top bit of the first byte for themselves).
    #[must_use]
    pub fn of(bytes: [u8; 6]) -> Option<Self> {
        let [major, minor, ..] = bytes;
        (!(matches!(major, 0x7f | 0xff) && minor == 0xff)).then_some(Self(bytes))
    }
}

/// `major.minor` as every IPMI tool writes it, and the vendor's bytes in hex behind it as far as they are not zero: `24.09.17`.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, own @ ..] = self.0;
        write!(f, "{major}.{minor:02x}")?;
        let used = own.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if used > 0 {
            f.write_str(".")?;
        }
        own.iter().take(used).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Firmware of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Which one, from 0 to 7.
    pub component: u8,
    /// Its version.
    pub version: Revision,
    data: Range<usize>,
}

/// An image that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    bytes: Vec<u8>,
    /// Device id of the controller that it is for.
    pub device: u8,
    /// IANA number of its maker.
    pub maker: u32,
    /// The maker's number for the product.
    pub product: u16,
    /// The new firmware tests itself.
    pub self_test: bool,
    /// In steps of 5 s: for the self-test, for going back, and for being away.
    pub times: [u8; 3],
    /// The oldest firmware of the controller that may be upgraded by it: major, and minor in BCD.
    pub earliest: (u8, u8),
    /// Components that are to be backed up, as bits.
    pub backup: u8,
    /// Components that are to be prepared, as bits.
    pub prepare: u8,
    /// What is in it.
    pub uploads: Vec<Upload>,
}

/// All bytes and their sum make nought (HPM.1 calls it a zero checksum).
fn sums(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

impl Image {
    /// Reads and checks a whole file.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn read(bytes: Vec<u8>) -> Result<Self, ImageError> {
        let part = |range: Range<usize>| bytes.get(range.clone()).ok_or(ImageError::Short(range.start));
        if bytes.get(..SIGNATURE.len()) != Some(SIGNATURE) {
            return Err(ImageError::Signature);
        }
        let &[
            ..,
            format,
            device,
            m0,
            m1,
            m2,
            p0,
            p1,
            _,
            _,
            _,
            _,
            capabilities,
            components,
            test,
            back,
            away,
            major,
            minor,
            _,
            _,
            _,
            _,
            _,
            _,
            o0,
            o1,
        ] = part(0..HEADER)?
        else {
            return Err(ImageError::Short(0));
        };
        if format != FORMAT {
            return Err(ImageError::Format(format));
        }
        let end = bytes.len().checked_sub(TRAILER).ok_or(ImageError::Short(HEADER))?;
        if Md5::digest(part(0..end)?).as_slice() != part(end..bytes.len())? {
            return Err(ImageError::Digest);
        }
        let first = HEADER + usize::from(u16::from_le_bytes([o0, o1])) + 1;
        if first > end {
            return Err(ImageError::Short(HEADER));
        }
        if !sums(part(0..first)?) {
            return Err(ImageError::HeaderSum);
        }
        let (mut backup, mut prepare, mut uploads) = (0, 0, Vec::<Upload>::new());
        let (mut at, mut actions) = (first, 0);
        while at < end && actions <= ACTIONS {
            actions += 1;
            let head = part(at..(at + HEAD).min(end))?;
            let &[action, mask, _] = head else { return Err(ImageError::Short(at)) };
            match action {
                0 | 1 if !sums(head) => return Err(ImageError::ActionSum(at)),
                0 => backup |= mask,
                1 => prepare |= mask,
                2 => {
                    let upload = upload(&bytes, at, end, mask)?;
                    let twice = uploads.iter().any(|other| other.component == upload.component);
                    if twice || mask & components == 0 {
                        return Err(ImageError::Uploads(upload.component));
                    }
                    at = upload.data.end;
                    uploads.push(upload);
                    continue;
                }
                other => return Err(ImageError::Action(other, at)),
            }
            at += HEAD;
        }
        if uploads.is_empty() || actions > ACTIONS {
            return Err(ImageError::Actions(actions));
        }
        Ok(Self {
            device,
            maker: u32::from_le_bytes([m0, m1, m2, 0]),
            product: u16::from_le_bytes([p0, p1]),
            self_test: capabilities & SELF_TEST != 0,
            times: [test, back, away],
            earliest: (major, minor),
            backup,
            prepare,
            uploads,
            bytes,
        })
    }

    /// The firmware of an upload.
    #[must_use]
    pub fn data(&self, upload: &Upload) -> &[u8] {
        self.bytes.get(upload.data.clone()).unwrap_or_default()
    }
}

/// Reads the upload at a place.
fn upload(bytes: &[u8], at: usize, end: usize, mask: u8) -> Result<Upload, ImageError> {
    let from = at + HEAD + ABOUT;
    let whole = bytes.get(at..from).filter(|_| from <= end).ok_or(ImageError::Short(at))?;
    // Some read the specification so that the sum is over the 3 bytes of the head, some over all 34 before the data (ipmitool
    // `HpmfwupgValidateActionRecordChecksum`).
    if !sums(whole.get(..HEAD).unwrap_or_default()) && !sums(whole) {
        return Err(ImageError::ActionSum(at));
    }
    if mask.count_ones() != 1 {
        return Err(ImageError::Component(at));
    }
    let (Some(version), Some(length)) = (
        whole.get(HEAD..).and_then(|rest| rest.first_chunk::<6>()),
        whole.last_chunk::<4>().and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok()),
    ) else {
        return Err(ImageError::Short(at));
    };
    let to = from.checked_add(length).filter(|to| *to <= end).ok_or(ImageError::Short(from))?;
    let component = u8::try_from(mask.trailing_zeros()).map_err(|_| ImageError::Component(at))?;
    Ok(Upload { component, version: Revision(*version), data: from..to })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
    }

    /// A header with two bytes of the vendor's own, prepare component 1, upload it, and back up component 0.
    fn file(whole_sum: bool) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0, 0x20, 0xa2, 0x02, 0x00, 0x00, 0x01, 0, 0, 0, 0, 0x80, 0x03, 1, 2, 3, 1, 0x05]);
        bytes.extend([24, 0x09, 0, 0, 0, 0, 2, 0, 0xaa, 0xbb]);
        bytes.push(sum(&bytes));
        let prepare = [1, 2];
        bytes.extend([prepare[0], prepare[1], sum(&prepare)]);
        let mut about = vec![24, 0x09, 0x17, 0, 0, 0];
        about.extend(b"a description\0\0\0\0\0\0\0\0");
        about.extend([5, 0, 0, 0]);
        let sum_of = if whole_sum { sum(&[&[2, 2][..], &about].concat()) } else { sum(&[2, 2]) };
        bytes.extend([2, 2, sum_of]);
        bytes.extend(about);
        bytes.extend(b"hello");
        bytes.extend([0, 1, sum(&[0, 1])]);
        bytes.extend(Md5::digest(&bytes).as_slice());
        bytes
    }

    #[test]
    fn an_image_reads_as_it_was_written_with_either_sum() {
        for whole_sum in [false, true] {
            let image = Image::read(file(whole_sum)).unwrap();
            assert_eq!((image.device, image.maker, image.product, image.earliest), (0x20, 674, 0x0100, (1, 0x05)));
            assert_eq!((image.self_test, image.times, image.backup, image.prepare), (true, [1, 2, 3], 1, 2));
            let [upload] = image.uploads.as_slice() else { panic!("{:?}", image.uploads) };
            assert_eq!((upload.component, upload.version.to_string().as_str()), (1, "24.09.17"));
            assert_eq!(image.data(upload), b"hello");
        }
    }

    #[test]
    fn every_bit_that_is_changed_and_every_cut_is_seen() {
        let good = file(false);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            assert!(Image::read(bad).is_err(), "byte {at}");
            assert!(Image::read(good[..at].to_vec()).is_err(), "cut at {at}");
        }
    }

    /// As [`file`], changed, and with an MD5 that fits again.
    fn signed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Image, ImageError> {
        let mut bytes = file(false);
        bytes.truncate(bytes.len() - TRAILER);
        change(&mut bytes);
        bytes.extend(Md5::digest(&bytes).as_slice());
        Image::read(bytes)
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        assert_eq!(signed(|bytes| bytes[8] = 1), Err(ImageError::Format(1)));
        assert_eq!(signed(|bytes| bytes[9] ^= 1), Err(ImageError::HeaderSum));
        assert_eq!(signed(|bytes| bytes[32] = 0xff), Err(ImageError::HeaderSum));
        assert_eq!(signed(|bytes| bytes[33] = 0xff), Err(ImageError::Short(34)));
        assert_eq!(signed(|bytes| bytes[37] = 9), Err(ImageError::Action(9, 37)));
        assert_eq!(signed(|bytes| bytes[38] = 9), Err(ImageError::ActionSum(37)));
        assert_eq!(signed(|bytes| bytes.truncate(40)), Err(ImageError::Actions(1)));
        assert_eq!(signed(|bytes| bytes.truncate(70)), Err(ImageError::Short(40)));
        // Three more bytes than there are.
        assert_eq!(signed(|bytes| bytes[70] = 9), Err(ImageError::Short(74)));
        let several = |bytes: &mut Vec<u8>| {
            bytes[41] = 3;
            bytes[42] = sum(&[2, 3]);
        };
        assert_eq!(signed(several), Err(ImageError::Component(40)));
        let other = |bytes: &mut Vec<u8>| {
            bytes[41] = 4;
            bytes[42] = sum(&[2, 4]);
        };
        assert_eq!(signed(other), Err(ImageError::Uploads(2)));
        let nothing_but_actions = |bytes: &mut Vec<u8>| {
            bytes.truncate(37);
            (0..100).for_each(|_| bytes.extend([1, 2, sum(&[1, 2])]));
        };
        assert!(matches!(signed(nothing_but_actions), Err(ImageError::Actions(_))));
        assert_eq!(Image::read(Vec::new()), Err(ImageError::Signature));
    }

    #[test]
    fn revisions_are_written_as_tools_write_them() {
        for (bytes, text) in [([99, 1, 0, 0, 0, 0], "99.01"), ([1, 0x45, 0, 0, 0, 2], "1.45.00000002"), ([0; 6], "0.00")] {
            assert_eq!(Revision::of(bytes).unwrap().to_string(), text);
        }
        assert_eq!(Revision::of([0xff; 6]), None);
        assert_eq!(Revision::of([0x7f, 0xff, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn anything_behind_a_right_digest_is_an_image_or_none(
            at in 8_usize..74, by in any::<u8>(), tail in prop::collection::vec(any::<u8>(), 0..80), cut in 0_usize..80,
        ) {
            let read = signed(|bytes| {
                bytes[at] = by;
                bytes.truncate(bytes.len() - cut.min(70));
                bytes.extend(&tail);
                // The header's sum is right again, so that what is behind it is read too.
                if at < 36 && bytes.len() > 37 {
                    bytes[36] = sum(&bytes[..36]);
                }
            });
            if let Ok(image) = read {
                image.uploads.iter().for_each(|upload| prop_assert_is_within(&image, upload));
            }
        }

        #[test]
        fn any_bytes_are_an_image_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Image::read(bytes);
        }
    }

    fn prop_assert_is_within(image: &Image, upload: &Upload) {
        assert_eq!(image.data(upload).len(), upload.data.len());
    }
}
