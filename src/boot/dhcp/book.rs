//! What was seen, counted: equal sights are one entry. Bounded, whatever comes over the network; once a second it is written to the disk.

use std::collections::HashMap;

use super::sight::{Discovery, GIVEN, Sight};
use crate::boot::sightings::Sighting;

/// Most entries of one kind in memory: a flood of one kind hides no other. 1,250 machines that nobody wrote down fit three times.
const MOST: usize = 4096;
/// Entries that were quiet for this long leave the memory (the disk keeps them); when they come back they are told again.
const QUIET_MS: i64 = 10 * 60 * 1000;
/// The same answer to the same node is told this often at most: a machine asks again after a second at the earliest (RFC 2131 §4.1), and
/// who asks faster in its name fills no log.
const AGAIN_MS: i64 = 1000;

struct Entry {
    detail: String,
    discovery: Option<Discovery>,
    first_ms: i64,
    last_ms: i64,
    told_ms: i64,
    /// Since the last time that it was written down.
    times: u64,
}

/// The book.
#[derive(Default)]
pub(super) struct Book {
    entries: HashMap<&'static str, HashMap<String, Entry>>,
    /// Sights for which there was no room.
    lost: u64,
}

impl Book {
    /// Counts a sight; true when it is news for people.
    pub(super) fn note(&mut self, sight: &Sight, now_ms: i64) -> bool {
        let (kind, key) = sight.key();
        let entries = self.entries.entry(kind).or_default();
        let full = entries.len() >= MOST;
        match entries.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut found) => {
                let entry = found.get_mut();
                entry.times += 1;
                entry.last_ms = now_ms;
                if let Sight::Discovered(seen) = sight {
                    // A machine asks several times on its way up, and says more at one time than at another.
                    match &mut entry.discovery {
                        Some(known) => known.learn(seen),
                        none => *none = Some(seen.clone()),
                    }
                }
                let again = kind == GIVEN && now_ms - entry.told_ms >= AGAIN_MS;
                if again {
                    entry.told_ms = now_ms;
                }
                again
            }
            std::collections::hash_map::Entry::Vacant(_) if full => {
                self.lost += 1;
                false
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                let discovery = if let Sight::Discovered(seen) = sight { Some(seen.clone()) } else { None };
                let detail = sight.line();
                free.insert(Entry { detail, discovery, first_ms: now_ms, last_ms: now_ms, told_ms: now_ms, times: 1 });
                true
            }
        }
    }

    /// How many sights found no room since the last time that this was asked.
    pub(super) fn lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// What has not been written down yet.
    pub(super) fn take(&mut self, now_ms: i64) -> Vec<Sighting> {
        let mut news = Vec::new();
        for (kind, entries) in &mut self.entries {
            for (key, entry) in entries.iter_mut().filter(|(_, entry)| entry.times > 0) {
                news.push(Sighting {
                    kind: (*kind).to_owned(),
                    key: key.clone(),
                    detail: entry.detail.clone(),
                    discovery: entry.discovery.clone(),
                    first_ms: entry.first_ms,
                    last_ms: entry.last_ms,
                    times: std::mem::take(&mut entry.times),
                });
            }
            let quiet_ms = if *kind == GIVEN { AGAIN_MS } else { QUIET_MS };
            entries.retain(|_, entry| now_ms - entry.last_ms < quiet_ms);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::Mac;

    fn sight(n: u32) -> Sight {
        Sight::Foreign { server: Ipv4Addr::from_bits(n), mac: Mac::from_octets([2, 0, 0, 0, 0, 1]) }
    }

    #[test]
    fn equal_sights_are_one_entry_and_told_once() {
        let mut book = Book::default();
        assert!(book.note(&sight(1), 10) && !book.note(&sight(1), 20) && book.note(&sight(2), 30));
        let mut news = book.take(40);
        news.sort_by_key(|s| s.first_ms);
        assert_eq!((news.len(), book.lost(), news[0].first_ms, news[0].last_ms, news[0].times), (2, 0, 10, 20, 2));
        assert!(book.take(50).is_empty(), "nothing is written twice");
        assert!(!book.note(&sight(1), 60));
        assert_eq!(book.take(70)[0].times, 1);
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut book = Book::default();
        for n in 0..10_000 {
            book.note(&sight(n), 0);
        }
        assert_eq!((book.take(1).len(), book.lost()), (MOST, 10_000 - MOST as u64));
        book.take(QUIET_MS);
        assert!(book.note(&sight(1), QUIET_MS + 1), "what was quiet for long is told again");
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let mut book = Book::default();
        let refused = |why: &str| Sight::Refused { node: None, mac: Mac::from_octets([2, 0, 0, 0, 0, 1]), why: why.into() };
        for n in 0..10_000 {
            book.note(&sight(n), 0);
        }
        assert!(book.note(&refused("its architecture"), 1) && book.note(&Sight::Trouble("flood".into()), 1));
        let news = book.take(2);
        assert_eq!((news.len(), book.lost()), (MOST + 2, 10_000 - MOST as u64));
        assert!(news.iter().any(|s| s.kind == "refused"));
    }

    #[test]
    fn answers_are_told_once_a_second_and_written_down_once() {
        let mut book = Book::default();
        let given = |n: u8| Sight::Released {
            node: crate::model::NodeId::new(format!("n{n}")).unwrap(),
            mac: Mac::from_octets([2, 0, 0, 0, 0, n]),
        };
        assert!(book.note(&given(1), 0) && book.note(&given(2), 0));
        let told = (1..3000).filter(|ms| book.note(&given(1), *ms)).count();
        assert_eq!(told, 2);
        let mut news = book.take(3000);
        news.sort_by(|a, b| a.key.cmp(&b.key));
        let kept: Vec<_> = news.iter().map(|s| (s.kind.as_str(), s.last_ms, s.times)).collect();
        assert_eq!(kept, [("given", 2999, 3000), ("given", 0, 1)]);
        assert!(news[0].key.starts_with("02:00:00:00:00:01 "), "{}", news[0].key);
        assert!(book.take(9000).is_empty() && book.entries.values().all(HashMap::is_empty), "and not kept in memory");
    }
}
