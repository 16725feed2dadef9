//! The newest entries of a log, whichever way it is ordered and paged: iDRAC gives the newest first, everybody else the oldest; iDRAC pages by 50, AMI by
//! 75, bmcweb by 1,000. Where the service pages by `$skip`, the pages between are skipped over by the service's own link.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;
use tokio::time::Instant;

use super::super::client::Client;
use super::super::collection::listed;
use super::super::error::safe;
use super::super::{json, path};
use crate::bmc::BmcError;
use crate::model::Reading;

/// Most pages that are read.
const PAGES: usize = 64;

/// A reference to an entry, with the entry when it was sent along.
pub(super) type Member = (String, Option<Value>);

/// The newest part of a log.
#[derive(Debug)]
pub(super) struct Window {
    /// The newest entries, oldest first.
    pub(super) members: Vec<Member>,
    /// How many there are in all.
    pub(super) held: Reading<u64>,
    /// What was not read.
    pub(super) unread: Vec<String>,
}

struct Page {
    members: Vec<Member>,
    count: Option<u64>,
    next: Option<String>,
    unusable: usize,
}

fn page(value: &Value) -> Page {
    let all = listed(value).unwrap_or_default();
    let member = |entry: &&Value| {
        let whole = entry.get("Created").is_some() || entry.get("Message").is_some() || entry.get("EntryType").is_some();
        Some((json::href(entry)?, whole.then(|| (*entry).clone())))
    };
    let members: Vec<Member> = all.iter().filter_map(member).collect();
    Page {
        unusable: all.len() - members.len(),
        members,
        count: value.get("Members@odata.count").and_then(Value::as_u64),
        // The second form is that of Redfish before 1.2; DMTF's reference tree has it.
        next: json::link(value, "Members@odata.nextLink").or_else(|| json::link(value, "@odata.nextLink")),
    }
}

/// How two entries stand to one another. Ids before times: a BMC's clock jumps at every loss of its battery, its record numbers do not.
fn order(a: &Member, b: &Member) -> Option<Ordering> {
    let number = |m: &Member| {
        let id = m.1.as_ref().and_then(|entry| json::text(entry, "Id")).unwrap_or_else(|| path::last(&m.0).to_owned());
        id.parse::<u64>().ok()
    };
    if let (Some(a), Some(b)) = (number(a), number(b))
        && a != b
    {
        return Some(a.cmp(&b));
    }
    let time =
        |m: &Member| m.1.as_ref().and_then(|entry| json::text(entry, "Created")).and_then(|t| t.parse::<jiff::Timestamp>().ok());
    time(a).zip(time(b)).map(|(a, b)| a.cmp(&b)).filter(|order| order.is_ne())
}

/// True when the newest stand first; `None`: it cannot be told.
fn newest_first(members: &[Member]) -> Option<bool> {
    order(members.first()?, members.last()?).map(Ordering::is_gt)
}

/// The service's own link to its next page, with another number behind `$skip`.
fn skip_to(next: &str, to: u64) -> Option<String> {
    let at = ["$skip=", "%24skip=", "%24Skip="].iter().find_map(|mark| next.find(mark).map(|at| at + mark.len()))?;
    let (head, tail) = next.split_at_checked(at)?;
    let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| format!("{head}{to}{}", tail.get(digits..).unwrap_or_default()))
}

impl Client {
    async fn log_page(&self, at: &str, deadline: Instant) -> Result<Page, BmcError> {
        Ok(page(&self.look(at, deadline).await?.value))
    }

    /// The newest `most` entries of the collection at `at`.
    pub(super) async fn newest(&self, at: &str, most: usize, deadline: Instant) -> Result<Window, BmcError> {
        let mut first = self.log_page(at, deadline).await?;
        let (count, mut unusable) = (first.count, first.unusable);
        let mut all = std::mem::take(&mut first.members);
        let mut pages = BTreeSet::from([at.trim_end_matches('/').to_owned()]);
        let mut next = first.next;
        let (mut skipped, mut older) = (false, false);
        let mut unread = Vec::new();
        while let Some(link) = next.take() {
            let downwards = newest_first(&all);
            if downwards == Some(true) && all.len() >= most {
                older = true;
                break;
            }
            // Oldest first: everything before the last `most` can be passed over.
            let far = count.and_then(|count| count.checked_sub(u64::try_from(most).unwrap_or(u64::MAX)));
            let here = u64::try_from(all.len()).unwrap_or(u64::MAX);
            if downwards != Some(true)
                && !skipped
                && let Some(link) = far.filter(|far| *far > here).and_then(|far| skip_to(&link, far))
            {
                skipped = true;
                if let Ok(page) = self.log_page(&link, deadline).await
                    && let (Some(last), Some(new)) = (all.last(), page.members.first())
                    && order(last, new) == Some(Ordering::Less)
                {
                    unusable += page.unusable;
                    all = page.members;
                    next = page.next;
                    pages.insert(link.trim_end_matches('/').to_owned());
                    continue;
                }
                // It does not skip as it says: every page is read.
            }
            let doing = format!("GET {}", safe(&link, 256));
            if !pages.insert(link.trim_end_matches('/').to_owned()) {
                // RC-25. What was read is told; what comes after it is not known.
                unread.push(format!("{doing}: the link to the next page leads back to one that was read already"));
                break;
            }
            if pages.len() > PAGES {
                unread.push(format!("{doing}: not asked, {PAGES} pages of the log were read; its newest entries may be missing"));
                break;
            }
            let page = self.log_page(&link, deadline).await?;
            unusable += page.unusable;
            let known: BTreeSet<String> = all.iter().map(|(link, _)| link.clone()).collect();
            all.extend(page.members.into_iter().filter(|(link, _)| !known.contains(link)));
            next = page.next;
        }
        if unusable > 0 {
            unread.push(format!("{unusable} entries of {} have no usable link", safe(at, 128)));
        }
        let seen = u64::try_from(all.len()).unwrap_or(u64::MAX);
        // RC-24: the count may be wrong; what was seen may not. A page that was not read leaves the count.
        let whole = !skipped && !older && unread.is_empty();
        let held = match count {
            _ if whole => Reading::Known(seen),
            Some(count) if count > seen => Reading::Known(count),
            _ => Reading::unknown(format!("at least {seen} were seen")),
        };
        if newest_first(&all) == Some(true) {
            all.truncate(most);
            all.reverse();
        } else {
            all.drain(..all.len().saturating_sub(most));
        }
        Ok(Window { members: all, held, unread })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry(id: u32, created: &str) -> Member {
        (format!("/e/{id}"), Some(json!({"Id": id.to_string(), "Created": created})))
    }

    #[test]
    fn the_order_is_seen_in_the_entries() {
        assert_eq!(
            newest_first(&[entry(1, "2024-01-01T00:00:00Z"), entry(9, "1970-01-01T00:00:00Z")]),
            Some(false),
            "ids count more"
        );
        assert_eq!(newest_first(&[entry(1024, "x"), entry(1020, "x")]), Some(true));
        let named = |id: &str, when: &str| (format!("/e/{id}"), Some(json!({"Id": id, "Created": when})));
        let two = [named("b", "2024-06-11T00:13:00-05:00"), named("a", "2024-06-11T04:00:00Z")];
        assert_eq!(newest_first(&two), Some(true));
        assert_eq!(newest_first(&[named("a", "x"), named("b", "x")]), None);
        assert_eq!(newest_first(&[]), None);
    }

    #[test]
    fn only_the_services_own_skip_is_changed() {
        assert_eq!(skip_to("/x?$skip=75", 900).as_deref(), Some("/x?$skip=900"));
        assert_eq!(skip_to("/x?%24skip=75&$top=50", 9).as_deref(), Some("/x?%24skip=9&$top=50"));
        assert_eq!(skip_to("/x?$skiptoken=75", 9), None);
        assert_eq!(skip_to("/x?$skip=", 9), None);
    }

    proptest! {
        #[test]
        fn any_page_is_read(value in crate::bmc::redfish::json::any_json(), link in ".{0,40}") {
            let read = page(&value);
            let _ = (newest_first(&read.members), skip_to(&link, 7));
        }
    }
}
