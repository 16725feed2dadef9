//! How long a plan must take at the least, and what it waits for: the self-tests of the nodes (POST), the uplink that carries the images, or the BMCs.
//! From what is written and from the lengths of files; what is not known is said to be unknown, and nothing is made up in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::DataRate;

/// What is known of one node that boots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Boot {
    /// From power-on to the boot loader, in seconds.
    pub post_s: Option<u32>,
    /// Bytes that it fetches.
    pub bytes: Option<u64>,
    /// What the boot server's uplink carries.
    pub uplink: Option<DataRate>,
    /// The cache that it fetches from.
    pub cache: Option<String>,
}

/// What the time goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bottleneck {
    /// The self-test of the nodes.
    Post,
    /// The uplink of the boot server.
    Uplink,
}

/// A forecast.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forecast {
    /// Nodes that boot.
    pub nodes: u64,
    /// Rounds of nodes that are under way at once, over all waves.
    pub rounds: u64,
    /// Self-tests in all rounds, in seconds; `None` when that of any node is not written.
    pub post_s: Option<u64>,
    /// Time that the uplink is busy, in seconds; `None` when a length or the uplink is not known.
    pub uplink_s: Option<u64>,
    /// Bytes that the uplink carries, when they are known.
    pub bytes: Option<u64>,
    /// The uplink.
    pub uplink: Option<DataRate>,
}

/// Adds up waves, one after another, each in rounds of `at_once` nodes. A cache takes each file once, for all waves.
#[must_use]
pub fn forecast(waves: &[Vec<Boot>], at_once: u32) -> Forecast {
    let at_once = usize::try_from(at_once.max(1)).unwrap_or(usize::MAX);
    let all = || waves.iter().flatten();
    let mut filled: BTreeSet<&str> = BTreeSet::new();
    let mut loads: BTreeMap<DataRate, u64> = BTreeMap::new();
    let (mut bytes, mut known) = (0_u64, all().next().is_some());
    for boot in all() {
        let first = boot.cache.as_deref().is_none_or(|cache| filled.insert(cache));
        match (boot.bytes, boot.uplink) {
            (Some(length), Some(uplink)) if first => {
                bytes = bytes.saturating_add(length);
                let load = loads.entry(uplink).or_default();
                *load = load.saturating_add(length);
            }
            (Some(_), Some(_)) => {}
            _ => known = false,
        }
    }
    let rounds = waves.iter().flat_map(|wave| wave.chunks(at_once));
    let slowest = |round: &[Boot]| round.iter().map(|b| b.post_s.map(u64::from)).collect::<Option<Vec<_>>>()?.into_iter().max();
    let post: Option<Vec<u64>> = rounds.clone().map(slowest).collect();
    // Boot servers with uplinks of their own carry at the same time.
    let uplink_s = loads.iter().map(|(rate, load)| rate.seconds_for(*load)).max().unwrap_or(0);
    Forecast {
        nodes: u64::try_from(all().count()).unwrap_or(u64::MAX),
        rounds: u64::try_from(rounds.count()).unwrap_or(u64::MAX),
        post_s: post.filter(|_| known || all().next().is_some()).map(|all| all.into_iter().sum()),
        uplink_s: known.then_some(uplink_s),
        bytes: known.then_some(bytes),
        uplink: loads.keys().next().copied().filter(|_| loads.len() == 1),
    }
}

impl Forecast {
    /// What takes longest of what is known; `None` when one of both is not, since the unknown one may be longer.
    #[must_use]
    pub fn bottleneck(&self) -> Option<Bottleneck> {
        let (post, uplink) = (self.post_s?, self.uplink_s?);
        Some(if uplink > post { Bottleneck::Uplink } else { Bottleneck::Post })
    }

    /// The least that it takes, in seconds: nodes of one round are in their self-test at once, and fetch after it.
    #[must_use]
    pub fn at_least_s(&self) -> Option<u64> {
        match (self.post_s, self.uplink_s) {
            (None, None) => None,
            (post, uplink) => Some(post.unwrap_or(0).saturating_add(uplink.unwrap_or(0))),
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(least) = self.at_least_s() else {
            return f.write_str("unknown: neither `boot.post` nor `boot.uplink` is written");
        };
        write!(f, "at least {}: ", human(least))?;
        match self.bottleneck() {
            Some(Bottleneck::Post) => f.write_str("POST is the bottleneck; ")?,
            Some(Bottleneck::Uplink) => f.write_str("the uplink is the bottleneck; ")?,
            None => f.write_str("the bottleneck is unknown; ")?,
        }
        match self.post_s {
            Some(post) => write!(f, "POST {} in {} rounds", human(post), self.rounds)?,
            None => f.write_str("POST unknown (`boot.post` is not written for every node)")?,
        }
        match (self.uplink_s, self.bytes) {
            (Some(uplink), Some(bytes)) => {
                let rate = self.uplink.map_or_else(|| "uplinks".to_owned(), |rate| format!("uplink {rate}"));
                write!(f, "; {rate} carries {} MB in {}", bytes / 1_000_000, human(uplink))?;
            }
            _ => f.write_str("; uplink unknown (`boot.uplink` is not written, or the length of a file is not known)")?,
        }
        f.write_str("; BMCs unknown (not measured)")
    }
}

fn human(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boot(post_s: u32, cache: Option<&str>) -> Boot {
        let uplink = "10Gbit".parse().ok();
        Boot { post_s: Some(post_s), bytes: Some(1_000_000_000), uplink, cache: cache.map(str::to_owned) }
    }

    #[test]
    fn posts_are_rounds_and_the_uplink_carries_every_image() {
        let told = forecast(&[vec![boot(300, None)], vec![boot(300, None); 16]], 8);
        assert_eq!(
            (told.rounds, told.post_s, told.uplink_s, told.bottleneck()),
            (3, Some(900), Some(14), Some(Bottleneck::Post))
        );
        assert_eq!(
            told.to_string(),
            "at least 16 min: POST is the bottleneck; POST 15 min in 3 rounds; uplink 10Gbit carries 17000 MB in 14 s; BMCs unknown (not measured)"
        );
        let fleet = forecast(&[vec![boot(60, None); 1250]], 1250);
        assert_eq!((fleet.uplink_s, fleet.bottleneck()), (Some(1000), Some(Bottleneck::Uplink)));
        // Through two caches, the uplink carries two images.
        let mut cached = vec![boot(60, Some("http://a")); 625];
        cached.extend(vec![boot(60, Some("http://b")); 625]);
        let cached = forecast(&[cached], 1250);
        assert_eq!((cached.bytes, cached.uplink_s, cached.bottleneck()), (Some(2_000_000_000), Some(2), Some(Bottleneck::Post)));
    }

    #[test]
    fn what_is_not_written_is_unknown() {
        let nothing = forecast(&[vec![Boot::default()]], 1);
        assert!(nothing.at_least_s().is_none() && nothing.to_string().starts_with("unknown"));
        let half = forecast(&[vec![Boot { uplink: None, ..boot(60, None) }]], 1);
        assert_eq!((half.at_least_s(), half.bottleneck()), (Some(60), None));
        assert!(half.to_string().contains("the bottleneck is unknown; POST 60 s in 1 rounds; uplink unknown"), "{half}");
        assert!(forecast(&[], 4).at_least_s().is_none());
    }

    proptest! {
        #[test]
        fn more_at_once_is_never_slower_and_caches_never_carry_more(nodes in 1_usize..40, at_once in 1_u32..40, post in 1_u32..600) {
            let plain = vec![boot(post, None); nodes];
            let cached = vec![boot(post, Some("http://c")); nodes];
            let (few, many) = (forecast(&[plain.clone()], at_once), forecast(&[plain.clone()], at_once + 1));
            prop_assert!(many.post_s <= few.post_s && many.uplink_s == few.uplink_s);
            prop_assert!(forecast(&[cached], at_once).bytes <= forecast(&[plain], at_once).bytes);
        }
    }
}
