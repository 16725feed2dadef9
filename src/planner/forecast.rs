//! How long the boots of a plan must take at the least, and what they wait for: the BMCs that power the nodes on, the nodes' self-tests (POST), or the
//! uplink that carries the images. From what is written and from the lengths of files; what is not known is said to be unknown, and nothing is made
//! up in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::{DataRate, Digest, RackId};

/// What is known of one node that boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Its rack.
    pub rack: RackId,
    /// From the order to its BMC until it is powered on, in seconds.
    pub power_s: Option<u32>,
    /// From power-on to the boot loader, in seconds.
    pub post_s: Option<u32>,
    /// What it fetches.
    pub files: Vec<Wanted>,
    /// The boot server.
    pub server: String,
    /// What the boot server's uplink carries.
    pub uplink: Option<DataRate>,
    /// The cache that it fetches from.
    pub cache: Option<String>,
}

/// A file that a node fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub sha256: Digest,
    /// Its length.
    pub bytes: Option<u64>,
    /// It comes by the cache, where there is one; what is on a boot medium does not.
    pub cached: bool,
}

/// What the time goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bottleneck {
    /// The BMCs, from the order to power-on.
    Bmc,
    /// The self-test of the nodes.
    Post,
    /// The uplink of the boot server.
    Uplink,
}

/// A forecast: lower bounds, each `None` when something that it is made of is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forecast {
    /// Nodes that boot.
    pub nodes: usize,
    /// Caches that they fetch from.
    pub caches: usize,
    /// The BMCs' share, in seconds.
    pub bmc_s: Option<u64>,
    /// The self-tests' share, in seconds.
    pub post_s: Option<u64>,
    /// Time that the busiest uplink is busy, in seconds.
    pub uplink_s: Option<u64>,
    /// Bytes that leave the boot servers.
    pub bytes: Option<u64>,
    /// The uplink, when there is one.
    pub uplink: Option<DataRate>,
    /// All of it, in seconds, of what is known.
    pub least_s: Option<u64>,
}

/// Most nodes under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// In all.
    pub nodes: u32,
    /// In one rack.
    pub per_rack: u32,
}

/// Adds up waves, one after another. A cache, empty at first, takes each file once, for all waves.
#[must_use]
pub fn forecast(waves: &[Vec<Boot>], at_once: AtOnce) -> Forecast {
    let all = || waves.iter().flatten();
    let nodes = all().count();
    if nodes == 0 {
        return Forecast::default();
    }
    let share = |time: &dyn Fn(&Boot) -> Option<u32>| waves.iter().map(|wave| busy(wave, at_once, time)).sum::<Option<u64>>();
    let (bmc_s, post_s) = (share(&|boot| boot.power_s), share(&|boot| boot.post_s));
    let loads = loads(all());
    let uplink_s = loads.as_ref().and_then(|loads| {
        // Boot servers carry at the same time.
        loads
            .values()
            .map(|(bytes, rate)| rate.map(|rate| rate.seconds_for(*bytes)))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    });
    let rates: BTreeSet<Option<DataRate>> = loads.iter().flat_map(BTreeMap::values).map(|(_, rate)| *rate).collect();
    // What a node must do by itself before it fetches; what is not known counts as nothing.
    let alone = |boot: &Boot| boot.power_s.unwrap_or(0).saturating_add(boot.post_s.unwrap_or(0));
    let places: u64 = waves.iter().filter_map(|wave| busy(wave, at_once, &|boot| Some(alone(boot)))).sum();
    let first = u64::from(all().map(alone).min().unwrap_or(0));
    let known = bmc_s.is_some() || post_s.is_some() || uplink_s.is_some();
    Forecast {
        nodes,
        caches: all().filter_map(|boot| boot.cache.as_deref()).collect::<BTreeSet<_>>().len(),
        bmc_s,
        post_s,
        uplink_s,
        bytes: loads.as_ref().map(|loads| loads.values().map(|(bytes, _)| bytes).sum()),
        uplink: rates.first().copied().flatten().filter(|_| rates.len() == 1),
        least_s: known.then(|| places.max(first.saturating_add(uplink_s.unwrap_or(0)))),
    }
}

/// What leaves each boot server, and its uplink; `None` when a length is not known.
fn loads<'a>(boots: impl Iterator<Item = &'a Boot>) -> Option<BTreeMap<&'a str, (u64, Option<DataRate>)>> {
    let mut filled: BTreeSet<(&str, &Digest)> = BTreeSet::new();
    let mut loads: BTreeMap<&str, (u64, Option<DataRate>)> = BTreeMap::new();
    for boot in boots {
        let (load, rate) = loads.entry(&boot.server).or_insert((0, boot.uplink));
        // Nodes of one server with different words: the wider one keeps this a lower bound.
        *rate = rate.zip(boot.uplink).map(|(a, b)| a.max(b));
        for file in &boot.files {
            let cache = boot.cache.as_deref().filter(|_| file.cached);
            if cache.is_none_or(|cache| filled.insert((cache, &file.sha256))) {
                *load = load.saturating_add(file.bytes?);
            }
        }
    }
    Some(loads)
}

/// The least time in which all nodes of a wave have held a place for so long. Whatever the order: no shorter than the longest of them, than all of
/// them spread evenly over the places, and than as many of the shortest as must come one after another.
fn busy(wave: &[Boot], at_once: AtOnce, time: &dyn Fn(&Boot) -> Option<u32>) -> Option<u64> {
    let mut racks: BTreeMap<&RackId, Vec<u64>> = BTreeMap::new();
    for boot in wave {
        racks.entry(&boot.rack).or_default().push(time(boot)?.into());
    }
    let all: Vec<u64> = racks.values().flatten().copied().collect();
    let least = |times: &[u64], places: u32| {
        let places = u64::from(places.max(1));
        let rounds = u64::try_from(times.len()).unwrap_or(u64::MAX).div_ceil(places);
        let (longest, shortest) = (times.iter().max().copied().unwrap_or(0), times.iter().min().copied().unwrap_or(0));
        longest.max(times.iter().sum::<u64>().div_ceil(places)).max(rounds.saturating_mul(shortest))
    };
    racks.values().map(|times| least(times, at_once.per_rack)).chain([least(&all, at_once.nodes)]).max()
}

impl Forecast {
    /// What takes longest of what is known.
    #[must_use]
    pub fn bottleneck(&self) -> Option<Bottleneck> {
        let shares = [(Bottleneck::Bmc, self.bmc_s), (Bottleneck::Post, self.post_s), (Bottleneck::Uplink, self.uplink_s)];
        shares.into_iter().filter_map(|(what, s)| s.map(|s| (s, what))).max().map(|(_, what)| what)
    }

    fn by(&self) -> String {
        match self.caches {
            0 => String::new(),
            1 => " by 1 cache".to_owned(),
            more => format!(" by {more} caches"),
        }
    }

    /// Nothing is left that could take longer.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bmc_s.is_some() && self.post_s.is_some() && self.uplink_s.is_some()
    }
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bmc => "the BMCs",
            Self::Post => "POST",
            Self::Uplink => "the uplink",
        })
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.map(size);
        match (self.least_s, self.bottleneck()) {
            (None, _) => {
                f.write_str("how long is unknown: `boot.power`, `boot.post` and `boot.uplink` are not written")?;
                return bytes.map_or(Ok(()), |bytes| write!(f, "; {bytes} leave the boot server{}", self.by()));
            }
            (Some(least), Some(what)) if self.is_whole() => write!(f, "at least {}; the bottleneck: {what}", human(least))?,
            (Some(least), Some(what)) => write!(f, "at least {}; the longest of what is known: {what}", human(least))?,
            (Some(_), None) => {}
        }
        match self.bmc_s {
            Some(bmc) => write!(f, "; BMCs {}", human(bmc))?,
            None => f.write_str("; BMCs unknown (`boot.power` is not written)")?,
        }
        match self.post_s {
            Some(post) => write!(f, "; POST {}", human(post))?,
            None => f.write_str("; POST unknown (`boot.post` is not written)")?,
        }
        match (&bytes, self.uplink_s) {
            (Some(bytes), Some(uplink)) => {
                let rate = self.uplink.map_or_else(|| "uplinks".to_owned(), |rate| format!("uplink {rate}"));
                write!(f, "; {rate} {} for {bytes}", human(uplink))?;
            }
            (Some(bytes), None) => write!(f, "; uplink unknown (`boot.uplink` is not written) for {bytes}")?,
            (None, _) => f.write_str("; uplink unknown (the length of a file is not known)")?,
        }
        f.write_str(&self.by())
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Never more than it is: what is told as the least must be.
fn human(seconds: u64) -> String {
    match (seconds, seconds % 60) {
        (0..=119, _) => format!("{seconds} s"),
        (120..=7199, 0) => format!("{} min", seconds / 60),
        (120..=7199, rest) => format!("{} min {rest} s", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: AtOnce = AtOnce { nodes: 2000, per_rack: 2000 };

    fn boot(post_s: u32, cache: Option<&str>) -> Boot {
        Boot {
            rack: RackId::new("a001").unwrap(),
            power_s: Some(10),
            post_s: Some(post_s),
            files: vec![Wanted { sha256: Digest::from_bytes(&[1; 32]), bytes: Some(1_000_000_000), cached: true }],
            server: "http://10.77.0.1:8088".into(),
            uplink: "10Gbit".parse().ok(),
            cache: cache.map(str::to_owned),
        }
    }

    #[test]
    fn posts_wait_for_places_and_the_uplink_carries_every_image() {
        let told = forecast(&[vec![boot(300, None)], vec![boot(300, None); 16]], AtOnce { nodes: 8, per_rack: 8 });
        assert_eq!((told.bmc_s, told.post_s, told.uplink_s), (Some(30), Some(900), Some(14)));
        assert_eq!(
            told.to_string(),
            "at least 15 min 30 s; the bottleneck: POST; BMCs 30 s; POST 15 min; uplink 10Gbit 14 s for 17 GB"
        );
        let narrow = forecast(&[vec![boot(300, None); 16]], AtOnce { nodes: 16, per_rack: 4 });
        assert_eq!(narrow.post_s, Some(1200), "all in one rack");
        let fleet = forecast(&[vec![boot(60, None); 1250]], ALL);
        assert_eq!((fleet.uplink_s, fleet.bottleneck(), fleet.least_s), (Some(1000), Some(Bottleneck::Uplink), Some(1070)));
        // By two caches the uplink carries two copies.
        let mut cached = vec![boot(60, Some("http://a")); 625];
        cached.extend(vec![boot(60, Some("http://b")); 625]);
        let cached = forecast(&[cached], ALL);
        assert_eq!((cached.bytes, cached.uplink_s, cached.bottleneck()), (Some(2_000_000_000), Some(2), Some(Bottleneck::Post)));
        assert!(cached.to_string().ends_with("; uplink 10Gbit 2 s for 2000 MB by 2 caches"), "{cached}");
        // What is on a boot medium comes by no cache.
        let mut media = vec![boot(60, Some("http://a")); 3];
        media.iter_mut().for_each(|boot| boot.files[0].cached = false);
        assert_eq!(forecast(&[media], ALL).bytes, Some(3_000_000_000));
        let slow = forecast(&[vec![Boot { power_s: Some(400), ..boot(60, None) }]], ALL);
        assert_eq!(slow.bottleneck(), Some(Bottleneck::Bmc));
    }

    #[test]
    fn what_is_not_written_is_unknown() {
        let nothing = Boot { power_s: None, post_s: None, uplink: None, ..boot(1, None) };
        let told = forecast(&[vec![nothing.clone()]], ALL).to_string();
        assert!(
            told.starts_with("how long is unknown: `boot.power`") && told.ends_with("; 1000 MB leave the boot server"),
            "{told}"
        );
        let half = forecast(&[vec![boot(60, None), nothing.clone()]], ALL);
        assert_eq!((half.bmc_s, half.post_s, half.uplink_s, half.least_s), (None, None, None, None), "one unknown is unknown");
        let known = forecast(&[vec![Boot { uplink: None, power_s: None, ..boot(60, None) }]], ALL);
        assert_eq!((known.least_s, known.is_whole()), (Some(60), false));
        assert!(known.to_string().starts_with("at least 60 s; the longest of what is known: POST; "), "{known}");
        let mut unread = boot(60, None);
        unread.files[0].bytes = None;
        let unread = forecast(&[vec![unread]], ALL);
        assert!(unread.uplink_s.is_none() && unread.to_string().contains("the length of a file is not known"), "{unread}");
        assert!(forecast(&[], ALL).least_s.is_none());
    }

    proptest! {
        /// A bound that a real schedule could beat would be a lie: nodes are given places in a random order, greedily, and never end earlier.
        #[test]
        fn no_schedule_is_faster(times in proptest::collection::vec((1_u32..400, 0_u8..3), 1..40), nodes in 1_u32..12, per_rack in 1_u32..6) {
            let boots: Vec<Boot> = times.iter().map(|(post, rack)| Boot {
                rack: RackId::new(format!("a00{rack}")).unwrap(), power_s: Some(0), uplink: None, ..boot(*post, None)
            }).collect();
            let told = forecast(std::slice::from_ref(&boots), AtOnce { nodes, per_rack });
            let (mut now, mut waiting, mut under_way) = (0_u64, boots, Vec::<(u64, RackId)>::new());
            while !waiting.is_empty() || !under_way.is_empty() {
                let mut n = 0;
                while n < waiting.len() {
                    let rack = &waiting[n].rack;
                    let beside = under_way.iter().filter(|(_, r)| r == rack).count();
                    if under_way.len() < nodes as usize && beside < per_rack as usize {
                        let next = waiting.remove(n);
                        under_way.push((now + u64::from(next.post_s.unwrap()), next.rack));
                    } else {
                        n += 1;
                    }
                }
                now = under_way.iter().map(|(end, _)| *end).min().unwrap();
                under_way.retain(|(end, _)| *end > now);
            }
            prop_assert!(told.post_s.unwrap() <= now, "{told} is more than {now}");
        }

        #[test]
        fn more_at_once_is_never_slower_and_caches_never_carry_more(count in 1_usize..40, nodes in 1_u32..40, post in 1_u32..600) {
            let plain = vec![boot(post, None); count];
            let cached = vec![boot(post, Some("http://c")); count];
            let at_once = AtOnce { nodes, per_rack: 40 };
            let (few, many) = (forecast(std::slice::from_ref(&plain), at_once), forecast(std::slice::from_ref(&plain), AtOnce { nodes: nodes + 1, ..at_once }));
            prop_assert!(many.post_s <= few.post_s && many.uplink_s == few.uplink_s);
            prop_assert!(forecast(&[cached], at_once).bytes <= forecast(&[plain], at_once).bytes);
        }
    }
}
