//! Things that stand in each other's places. Every place is to hold one thing; what it holds was seen, or not. What is seen elsewhere than where it
//! belongs makes swaps, rings, or a thing that moved and left its own place in the dark. Silence never makes anything right.

use std::collections::BTreeMap;

use crate::model::Reading;

/// What was found of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<P> {
    /// It holds what it is to hold.
    Right,
    /// It holds what belongs there, and that place holds this one's.
    Swapped(P),
    /// One of three places or more: each holds what belongs at the next, and the last what belongs at the first. Begins with the smallest.
    Ring(Vec<P>),
    /// It holds what belongs there; where its own thing is, nobody saw.
    Moved(P),
    /// It holds what was seen at these places as well: they are not all telling of themselves.
    Twice(Vec<P>),
    /// It holds what belongs nowhere.
    Stranger,
    /// Nothing was seen.
    Unheard(String),
}

/// Sorts out what was seen at the places of `seen`. `belongs` gives the place of each thing; a thing that is not in it belongs nowhere.
#[must_use]
pub fn sort_out<P: Ord + Clone>(belongs: &BTreeMap<String, P>, seen: &BTreeMap<P, Reading<String>>) -> BTreeMap<P, Place<P>> {
    let mut holders: BTreeMap<&str, Vec<&P>> = BTreeMap::new();
    for (place, thing) in seen.iter().filter_map(|(place, thing)| Some((place, thing.known()?))) {
        holders.entry(thing).or_default().push(place);
    }
    // One place holds what belongs at another, and nobody else holds that: an arrow. At most one leaves a place and at most one comes to it.
    let mut arrows: BTreeMap<&P, &P> = BTreeMap::new();
    for (thing, at) in &holders {
        if let (Some(home), [only]) = (belongs.get(*thing), at.as_slice()) {
            arrows.insert(only, home);
        }
    }
    let judged = |place: &P, thing: &Reading<String>| {
        let thing = match thing {
            Reading::Known(thing) => thing,
            Reading::Absent => return Place::Unheard("it says that it has none".to_owned()),
            Reading::Unknown { why } => return Place::Unheard(why.clone()),
        };
        let others: Vec<P> =
            holders.get(thing.as_str()).into_iter().flatten().filter(|p| **p != place).map(|p| (*p).clone()).collect();
        match belongs.get(thing) {
            None => Place::Stranger,
            Some(_) if !others.is_empty() => Place::Twice(others),
            Some(home) if home == place => Place::Right,
            Some(home) => ring(place, &arrows).unwrap_or_else(|| Place::Moved(home.clone())),
        }
    };
    seen.iter().map(|(place, thing)| (place.clone(), judged(place, thing))).collect()
}

/// The ring that a place is in, if its arrows come back to it.
fn ring<P: Ord + Clone>(place: &P, arrows: &BTreeMap<&P, &P>) -> Option<Place<P>> {
    let mut ring = vec![place];
    let mut at = *arrows.get(place)?;
    // Arrows never meet, so that a walk ends, or comes back to where it began.
    while at != place {
        ring.push(at);
        at = arrows.get(at)?;
    }
    if let [_, other] = ring.as_slice() {
        return Some(Place::Swapped((*other).clone()));
    }
    let smallest = ring.iter().enumerate().min_by_key(|(_, place)| **place).map_or(0, |(index, _)| index);
    ring.rotate_left(smallest);
    Some(Place::Ring(ring.into_iter().cloned().collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    fn thing(place: usize) -> String {
        format!("S{place}")
    }
    fn belongs(count: usize) -> BTreeMap<String, usize> {
        (0..count).map(|p| (thing(p), p)).collect()
    }

    #[test]
    fn two_that_are_swapped_are_one_pair_and_all_others_are_right() {
        let seen = [(0, 0), (1, 3), (2, 2), (3, 1)].map(|(p, t)| (p, Reading::Known(thing(t)))).into();
        let found: Vec<_> = sort_out(&belongs(4), &seen).into_values().collect();
        assert_eq!(found, [Place::Right, Place::Swapped(3), Place::Right, Place::Swapped(1)]);
    }

    #[test]
    fn what_is_seen_twice_is_no_swap_and_what_is_not_seen_is_not_right() {
        let known = |t: usize| Reading::Known(thing(t));
        // 0 and 1 both say that they are 1; 2 holds what belongs at 3, which is silent; 4 holds a stranger.
        let seen = [(0, known(1)), (1, known(1)), (2, known(3)), (3, Reading::unknown("no answer")), (4, known(99))].into();
        let found: Vec<_> = sort_out(&belongs(5), &seen).into_values().collect();
        let silent = Place::Unheard("no answer".to_owned());
        assert_eq!(found, [Place::Twice(vec![1]), Place::Twice(vec![0]), Place::Moved(3), silent, Place::Stranger]);
    }

    fn permutation() -> impl Strategy<Value = Vec<usize>> {
        (1_usize..12).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle())
    }

    proptest! {
        #[test]
        fn every_permutation_is_its_own_cycles(holds in permutation()) {
            let seen = holds.iter().enumerate().map(|(p, t)| (p, Reading::Known(thing(*t)))).collect();
            for (place, found) in sort_out(&belongs(holds.len()), &seen) {
                let mut cycle = vec![place];
                let mut at = holds[place];
                while at != place { cycle.push(at); at = holds[at]; }
                match found {
                    Place::Right => prop_assert_eq!(cycle.len(), 1),
                    Place::Swapped(with) => prop_assert_eq!(cycle, vec![place, with]),
                    Place::Ring(ring) => {
                        prop_assert!(ring.len() > 2);
                        prop_assert_eq!(ring.iter().min(), ring.first());
                        prop_assert_eq!(ring.iter().collect::<BTreeSet<_>>(), cycle.iter().collect::<BTreeSet<_>>());
                        for (i, p) in ring.iter().enumerate() { prop_assert_eq!(holds[*p], ring[(i + 1) % ring.len()]); }
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }

        #[test]
        fn silence_and_any_words_make_nothing_right(seen in proptest::collection::btree_map(0_usize..6, proptest::option::of(0_usize..9), 0..6)) {
            let seen: BTreeMap<usize, Reading<String>> =
                seen.into_iter().map(|(p, t)| (p, t.map_or_else(|| Reading::unknown("silent"), |t| Reading::Known(thing(t))))).collect();
            let found = sort_out(&belongs(6), &seen);
            prop_assert_eq!(found.len(), seen.len());
            for (place, found) in &found {
                match found {
                    Place::Right => prop_assert_eq!(seen[place].known(), Some(&thing(*place))),
                    Place::Swapped(with) => prop_assert_eq!(&found_at(&sort_out(&belongs(6), &seen), *with), &Place::Swapped(*place)),
                    Place::Unheard(_) => prop_assert!(seen[place].known().is_none()),
                    _ => prop_assert!(seen[place].known().is_some_and(|t| *t != thing(*place)) || matches!(found, Place::Twice(_))),
                }
            }
        }
    }

    fn found_at(all: &BTreeMap<usize, Place<usize>>, place: usize) -> Place<usize> {
        all[&place].clone()
    }
}
