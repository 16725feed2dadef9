//! Looks at a Redfish service for the rows of firmware.md §5 that can be seen without a write. Every exchange is a GET; what is read goes the
//! product's own way, so that quirks which it meets on its way are noted too.

use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;

use super::client::{Ask, Client, Resource};
use super::error::safe;
use super::manners::Encoding;
use super::session::ROOT;
use super::transport::Answer;
use super::{Redfish, json};
use super::{examine_left as left, examine_shape as shape};
use crate::bmc::BmcError;
use crate::bmc::examining::{Examination, Examining, Sight};

/// A path below the root at which no service has anything.
const NOWHERE: &str = "/redfish/v1/BringupLooksForNothingHere";
/// Equal questions whose time is taken.
const TIMED: usize = 8;

#[async_trait]
impl Examining for Redfish {
    async fn examine(&self) -> Examination {
        let mut exam = Examination::default();
        let root = match self.client.get_open(ROOT, self.client.soon()).await {
            Ok(root) => Some(root.value),
            Err(e) => {
                exam.note("RC-20", "the service root", Sight::Unseen(e.to_string()));
                None
            }
        };
        if let Some(root) = &root {
            shape::root(&mut exam, root);
        }
        match self.system().await {
            Ok(system) => {
                if let Err(e) = self.client.acquaint(&system).await {
                    exam.note("RC-27", "the manager", Sight::Unseen(e.to_string()));
                }
                shape::system(&mut exam, &system.value);
                self.client.look_at_reads(&mut exam, &system).await;
                self.client.look_at_links(&mut exam, root.as_ref(), &system).await;
                self.client.look_at_settings(&mut exam, &system).await;
            }
            Err(e) => exam.note("RC-27", "the node's system", Sight::Unseen(e.to_string())),
        }
        if let Some(root) = &root {
            self.client.look_at_collections(&mut exam, root).await;
            self.client.look_at_services(&mut exam, root).await;
        }
        self.client.look_at_errors(&mut exam).await;
        self.client.look_at_way(&mut exam);
        if !self.client.transport.reuses() && !exam.shows("RC-04") {
            exam.note(
                "RC-04",
                "connections used again",
                Sight::Quirk("they are not: each question has one of its own".to_owned()),
            );
        }
        left::finish(&mut exam, self.client.kin.told().showed);
        exam
    }
}

impl Client {
    fn soon(&self) -> Instant {
        Instant::now() + self.limits.request
    }

    /// One GET with its encoding, as it is answered: no second try, no redirect followed.
    async fn raw(&self, at: &str, encoding: Encoding) -> Result<Answer, BmcError> {
        let deadline = self.soon();
        let auth = Some(self.authorise(deadline).await?);
        let ask = Ask { method: Method::GET, path: at, body: None, auth, if_match: None, deadline };
        let gone = |e| super::error::broken(&format!("GET {}", safe(at, 256)), e, self.trust.seen());
        self.once_as(ask, encoding, false).await.map_err(gone)
    }

    /// Encodings, entity tags and time of one resource (RC-09, RC-10, RC-14, RC-35, RC-37).
    async fn look_at_reads(&self, exam: &mut Examination, system: &Resource) {
        let plain = self.raw(&system.path, Encoding::Identity).await;
        let squeezed = self.raw(&system.path, Encoding::Gzip).await;
        match &plain {
            Ok(answer) => {
                let refused = (answer.status == StatusCode::NOT_ACCEPTABLE).then(|| "it is answered 406".to_owned());
                exam.judge("RC-10", "`Accept-Encoding: identity`", refused, "it is taken");
            }
            Err(e) => exam.note("RC-10", "`Accept-Encoding: identity`", Sight::Unseen(e.to_string())),
        }
        match &squeezed {
            Ok(answer) => {
                let tag = tag_of(answer);
                let marked =
                    tag.as_ref().filter(|tag| tag.contains("-gzip")).map(|tag| format!("with gzip the entity tag is {tag}"));
                exam.judge("RC-09", "the tag of a gzip answer", marked, "it is not marked");
            }
            Err(e) => exam.note("RC-09", "the tag of a gzip answer", Sight::Unseen(e.to_string())),
        }
        let mut tags = Vec::new();
        let mut last = None;
        for _ in 0..TIMED {
            let begun = Instant::now();
            match self.get(&system.path).await {
                Ok(again) => {
                    exam.latencies_ms.push(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
                    tags.push(again.etag.clone().and_then(|tag| tag.to_str().ok().map(|tag| safe(tag, 80))));
                    last = Some(again);
                }
                Err(e) => {
                    exam.note("RC-14", "reads in a row", Sight::Unseen(e.to_string()));
                    break;
                }
            }
        }
        if let Some(slowest) = exam.latencies_ms.iter().max() {
            let slow = (*slowest > 5_000).then(|| format!("one read of the system took {slowest} ms"));
            exam.judge("RC-14", "reads in a row", slow, "each took 5 s at most");
        }
        if let Some(last) = &last {
            shape::tags(exam, &tags, last);
        }
    }

    /// Links with what does not belong into them (RC-15), the root without its slash (RC-16), and the BMC's clock (RC-34).
    async fn look_at_links(&self, exam: &mut Examination, root: Option<&Value>, system: &Resource) {
        let mut odd = root.and_then(|root| shape::odd_link(root, 0)).or_else(|| shape::odd_link(&system.value, 0));
        match self.manager(system).await {
            Ok(Some(manager)) => {
                odd = odd.or_else(|| shape::odd_link(&manager.value, 0));
                shape::clock(exam, &manager.value);
            }
            Ok(None) => exam.note("RC-34", "the BMC's clock", Sight::Unseen("the system names no manager".to_owned())),
            Err(e) => exam.note("RC-34", "the BMC's clock", Sight::Unseen(e.to_string())),
        }
        exam.judge("RC-15", "links", odd, "they are clean paths");
        match self.raw("/redfish/v1", Encoding::Identity).await {
            Ok(answer) => {
                let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
                let led = answer.status.is_redirection().then(|| format!("{} to {}", answer.status, safe(to, 128)));
                exam.judge("RC-16", "/redfish/v1, no slash", led, format!("it is answered {}", answer.status));
            }
            Err(e) => exam.note("RC-16", "/redfish/v1, no slash", Sight::Unseen(e.to_string())),
        }
    }

    /// The three collections that every service has (RC-24, RC-25, RC-27). What is odd in them is noted where they are read.
    async fn look_at_collections(&self, exam: &mut Examination, root: &Value) {
        for (name, at) in [("Systems", "its systems"), ("Managers", "its managers"), ("Chassis", "its chassis")] {
            let Some(link) = json::link(root, name) else {
                exam.note("RC-27", at, Sight::Unseen(format!("the root names no {name}")));
                continue;
            };
            // The systems as the service offers to send them along, so that an offer which does not hold is met (RC-26).
            let members = match name {
                "Systems" => self.members_whole(&link, self.soon()).await,
                _ => self.members(&link, self.soon()).await,
            };
            match members {
                Ok((members, unusable)) => {
                    exam.note("RC-27", at, shape::several(members.iter().map(|m| super::path::last(&m.path))));
                    if unusable > 0 {
                        exam.note("RC-24", at, Sight::Quirk(format!("{unusable} members have no usable link")));
                    }
                }
                Err(e) => exam.note("RC-24", at, Sight::Unseen(e.to_string())),
            }
        }
    }

    /// How many sessions are open (RC-18), what the update service takes (RC-48, RC-52), and what tasks there are (RC-45).
    async fn look_at_services(&self, exam: &mut Examination, root: &Value) {
        let seen = match root.get("Links").and_then(|links| json::link(links, "Sessions")) {
            Some(at) => match self.members(&at, self.soon()).await {
                Ok((members, _)) => Sight::Plain(format!("{}, with this one", members.len())),
                Err(e) => Sight::Unseen(e.to_string()),
            },
            None => Sight::Unseen("the root's Links name no Sessions".to_owned()),
        };
        exam.note("RC-18", "open sessions", seen);
        if let Some(at) = json::link(root, "UpdateService") {
            match self.get(&at).await {
                Ok(service) => shape::update(exam, &service.value),
                Err(e) => exam.note("RC-48", "the update service", Sight::Unseen(e.to_string())),
            }
        }
        match self.task_list().await {
            Ok(tasks) => shape::tasks(exam, &tasks),
            Err(e) => exam.note("RC-45", "tasks", Sight::Unseen(e.to_string())),
        }
    }

    /// How it says that there is nothing (RC-22, RC-29, RC-30).
    async fn look_at_errors(&self, exam: &mut Examination) {
        match self.raw(NOWHERE, Encoding::Identity).await {
            Ok(answer) => shape::errors(exam, answer.status, &answer.body),
            Err(e) => exam.note("RC-29", "a path where nothing is", Sight::Unseen(e.to_string())),
        }
    }
}

fn tag_of(answer: &Answer) -> Option<String> {
    answer.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(|tag| safe(tag, 80))
}

/// How far the BMC's clock may be off before it is told (RC-34).
pub(super) const SKEW: Duration = Duration::from_secs(300);
