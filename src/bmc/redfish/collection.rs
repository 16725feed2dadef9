//! Collections: members behind links, page after page. Bounded and cycle-checked; it never takes the first member for the right one.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::error::malformed;
use super::json;
use super::limits::MEMBERS;
use crate::bmc::BmcError;

/// One member of a collection.
pub(super) struct Member {
    /// Its link.
    pub(super) path: String,
    /// The member itself, when the service sent it along.
    pub(super) inline: Option<Value>,
}

impl Client {
    /// The members of a collection, in order, each once. A member without a usable link is left out and counted in the second value.
    pub(super) async fn members(&self, at: &str, deadline: Instant) -> Result<(Vec<Member>, usize), BmcError> {
        let (mut members, mut seen, mut pages, mut unusable) = (Vec::new(), BTreeSet::new(), BTreeSet::new(), 0);
        let mut next = Some(at.to_owned());
        while let Some(page) = next {
            let doing = format!("GET {}", super::error::safe(&page, 256));
            if !pages.insert(page.trim_end_matches('/').to_owned()) {
                return Err(malformed(&doing, "`Members@odata.nextLink` leads back to a page that was read already"));
            }
            let collection = self.get_by(&page, deadline).await?.value;
            for member in json::list(&collection, "Members") {
                let Some(path) = json::href(member) else {
                    unusable += 1;
                    continue;
                };
                if seen.insert(path.trim_end_matches('/').to_owned()) {
                    let inline = member.as_object().filter(|fields| fields.len() > 2).map(|_| member.clone());
                    members.push(Member { path, inline });
                }
            }
            if members.len() > MEMBERS || pages.len() > MEMBERS {
                return Err(malformed(&doing, format!("the collection has more than {MEMBERS} members or pages")));
            }
            next = json::link(&collection, "Members@odata.nextLink");
        }
        Ok((members, unusable))
    }
}
