//! Collections: members behind links, page after page. Bounded and cycle-checked; it never takes the first member for the right one.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::error::malformed;
use super::json;
use super::limits::MEMBERS;
use super::system::soft;
use crate::bmc::BmcError;
use crate::bmc::quirk::Learned;

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
        self.pages(at.to_owned(), deadline).await
    }

    /// The same, with the members themselves where the service can send them along (RC-26): one request instead of one a member. What a
    /// service offers and then refuses is remembered, and not asked for again.
    pub(super) async fn members_whole(&self, at: &str, deadline: Instant) -> Result<(Vec<Member>, usize), BmcError> {
        let Some(query) = self.kin.expand().filter(|_| !at.contains('?')) else { return self.members(at, deadline).await };
        let refused = || self.kin.learn(Learned { expand: Some(false), ..Learned::default() });
        match self.pages(format!("{at}?{query}"), deadline).await {
            Ok(found) => {
                if !found.0.is_empty() && found.0.iter().all(|member| member.inline.is_none()) {
                    self.kin.showed("RC-26", "$expand is offered, taken, and brings links only".to_owned());
                    refused();
                }
                Ok(found)
            }
            Err(e) if soft(&e) => {
                self.kin.showed("RC-26", format!("$expand is offered and refused: {e}"));
                refused();
                self.members(at, deadline).await
            }
            Err(e) => Err(e),
        }
    }

    async fn pages(&self, first: String, deadline: Instant) -> Result<(Vec<Member>, usize), BmcError> {
        let (mut members, mut seen, mut pages, mut unusable) = (Vec::new(), BTreeSet::new(), BTreeSet::new(), 0);
        let mut told = None;
        let mut next = Some(first);
        while let Some(page) = next {
            let doing = format!("GET {}", super::error::safe(&page, 256));
            if !pages.insert(page.trim_end_matches('/').to_owned()) {
                let loops = "`Members@odata.nextLink` leads back to a page that was read already";
                // All that it says it has was read: the link is wrong, the members are not.
                if told == Some(members.len() + unusable) {
                    self.kin.showed("RC-25", format!("{doing}: {loops}"));
                    break;
                }
                return Err(malformed(&doing, loops));
            }
            let collection = self.get_by(&page, deadline).await?.value;
            told = json::count(&collection, "Members@odata.count").or(told);
            let Some(listed) = listed(&collection) else {
                // An empty collection may leave them out; one that says that it has some says nothing.
                if told == Some(0) {
                    break;
                }
                return Err(malformed(&doing, "the collection has no `Members`"));
            };
            if !collection.get("Members").is_some_and(Value::is_array) {
                self.kin.showed("RC-24", format!("{doing}: `Members` is an object"));
            }
            for member in listed {
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
            if next.is_none()
                && let Some(told) = told.filter(|told| *told != members.len() + unusable)
            {
                self.kin.showed("RC-24", format!("{doing}: it counts {told} members and lists {}", members.len() + unusable));
            }
        }
        Ok((members, unusable))
    }
}

/// What stands under `Members`: a list, one reference alone, or references under names of their own (DMTF/libredfish #27).
pub(super) fn listed(collection: &Value) -> Option<Vec<&Value>> {
    Some(match collection.get("Members")? {
        Value::Array(items) => items.iter().collect(),
        single @ Value::Object(fields) if fields.contains_key("@odata.id") => vec![single],
        Value::Object(fields) => fields.values().filter(|value| value.is_object()).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_come_in_three_shapes_and_silence_is_none_of_them() {
        let one = json!({"@odata.id": "/redfish/v1/Systems/1"});
        for (members, want) in [
            (json!([one, one]), Some(2)),
            (json!([]), Some(0)),
            (one.clone(), Some(1)),
            (json!({"0": one, "1": one}), Some(2)),
            (json!(null), None),
            (json!("x"), None),
        ] {
            assert_eq!(listed(&json!({"Members": members})).map(|l| l.len()), want, "{members}");
        }
        assert!(listed(&json!({})).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_json_is_listed(value in super::super::json::any_json()) {
            let _ = listed(&value);
        }
    }
}
