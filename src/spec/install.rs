//! `baseline.install:` of a playbook: which image goes on which disk of a node. A disk is named by what it is, never by `/dev/…`.

use super::code;
use super::decode::{Fields, Spanned};
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::unit::{Bytes, FileName, Seconds};
use crate::model::{DiskRule, Pick, Transport, Wipe};

/// Longest installation when none is written: a root file system of some GiB, written and read back by a slow disk.
const DEADLINE_S: u32 = 1800;
/// Smallest disk that can hold anything beside the boot partition of 512 MiB.
const SMALLEST: u64 = 1 << 30;
/// Longest text of a rule; serial numbers and models have 20 and 40 characters (NVMe 1.4, figure 249).
const TEXT: usize = 128;

/// The block as written: the image is a name still.
#[derive(Debug)]
pub(super) struct Written {
    pub image: Spanned<FileName>,
    pub disk: DiskRule,
    pub wipe: Wipe,
    pub deadline_s: u32,
}

/// Reads the block.
pub(super) fn read(mut f: Fields<'_>, out: &mut Diagnostics) -> Option<Written> {
    let image = f.need_parsed::<FileName>("image", out);
    let disk = f.need("disk", out).and_then(|t| Fields::of(t, "baseline.install.disk", out)).and_then(|f| rule(f, out));
    let wipe = f.text("wipe", out).map(|word| (word_of(&word, "baseline.install.wipe", &WIPES, out), word));
    let deadline = f.parsed::<Seconds>("deadline", out);
    f.finish(out);
    let wipe = match wipe {
        None => Some(Wipe::default()),
        Some((wipe, _)) => wipe,
    };
    Some(Written { image: image?, disk: disk?, wipe: wipe?, deadline_s: deadline.map_or(DEADLINE_S, |d| d.value.0) })
}

const WIPES: [(&str, Wipe); 2] = [("blank-only", Wipe::BlankOnly), ("yes", Wipe::Yes)];
const PICKS: [(&str, Pick); 2] = [("smallest", Pick::Smallest), ("largest", Pick::Largest)];

fn word_of<T: Copy>(word: &Spanned<String>, what: &str, known: &[(&str, T)], out: &mut Diagnostics) -> Option<T> {
    let found = known.iter().find(|(name, _)| *name == word.value).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let d = Diagnostic::error(code::BAD_VALUE, format!("{what}: `{}` is not known", quote(&word.value))).at(word.span);
        let d = d.hint(format!("known: {}", names.join(", ")));
        let near = super::nearest(&word.value, names.iter().copied());
        out.push(if near.is_some() { d.suggest(near) } else { d });
    }
    found
}

fn rule(mut f: Fields<'_>, out: &mut Diagnostics) -> Option<DiskRule> {
    let span = f.span;
    let serial = text(&mut f, "serial", out);
    let wwn = text(&mut f, "wwn", out);
    let model = text(&mut f, "model", out);
    let transport = f.text("transport", out).map(|w| word_of(&w, "baseline.install.disk.transport", &Transport::WORDS, out));
    let size_min = f.parsed::<Bytes>("size_min", out);
    let size_max = f.parsed::<Bytes>("size_max", out);
    let rotational = f.boolean("rotational", out).map(|b| b.value);
    let pick = f.text("pick", out).map(|w| word_of(&w, "baseline.install.disk.pick", &PICKS, out));
    f.finish(out);
    if let (Some(min), Some(max)) = (&size_min, &size_max)
        && min.value.0 > max.value.0
    {
        let d =
            Diagnostic::error(code::BAD_VALUE, "baseline.install.disk: no disk is at least `size_min` and at most `size_max`");
        out.push(d.at(min.span).also(max.span, "this is less"));
    }
    if let Some(max) = size_max.as_ref().filter(|max| max.value.0 < SMALLEST) {
        let d = Diagnostic::error(code::BAD_VALUE, "baseline.install.disk.size_max: no image fits on a disk below 1 GiB");
        out.push(d.at(max.span));
    }
    let rule = DiskRule {
        serial: serial?,
        wwn: wwn?,
        model: model?,
        transport: transport.map_or(Some(None), |t| t.map(Some))?,
        size_min: size_min.map(|s| s.value.0),
        size_max: size_max.map(|s| s.value.0),
        rotational,
        pick: pick.map_or(Some(None), |p| p.map(Some))?,
    };
    if rule == DiskRule::default() {
        let d = Diagnostic::error(code::BAD_VALUE, "baseline.install.disk: an empty rule means every disk").at(span);
        out.push(d.hint("say what the disk is, such as `{transport: nvme, size_max: 1TB}`"));
        return None;
    }
    Some(rule)
}

/// A text that a disk says of itself; `Some(None)` when none is written.
#[allow(clippy::option_option)]
fn text(f: &mut Fields<'_>, key: &'static str, out: &mut Diagnostics) -> Option<Option<String>> {
    let Some(word) = f.text(key, out) else { return Some(None) };
    let what = f.path(key);
    let bad = |why: String| Diagnostic::error(code::BAD_VALUE, why).at(word.span);
    if word.value.starts_with("/dev/") {
        let d = bad(format!("{what}: a device name means another disk after the next boot"));
        out.push(d.hint("take what the disk says of itself: `bringup exec NODE -- lsblk -o NAME,SERIAL,WWN,MODEL,TRAN,SIZE`"));
        return None;
    }
    let plain =
        !word.value.trim().is_empty() && word.value.len() <= TEXT && word.value.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !plain || word.value.trim() != word.value {
        out.push(bad(format!("{what}: 1 to {TEXT} printable ASCII characters are expected, without blanks around them")));
        return None;
    }
    Some(Some(word.value))
}
