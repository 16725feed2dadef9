//! A BMC's session slots are few (8 on iDRAC): ending what this program left there, what to do when none is free (RC-18, RC-19), and how often a
//! password may be presented (RC-23). Only sessions whose token this program holds are ended: nobody else's.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::book::REST;
use super::client::{Ask, Client};
use super::error::{hear, safe};
use super::json;
use super::session::{Auth, TOKEN};
use super::transport::{Answer, Broke};
use crate::bmc::{BmcError, BmcTrouble};
use crate::model::BasicLogin;

/// How often a session is tried to be ended.
const ENDINGS: u32 = 3;
/// Sessions that are looked at for the count in an error.
const LISTED: usize = 32;

/// True when a login was refused for want of a free slot, in any maker's words: Dell's RAC0218 with 503 (check_redfish PR #198),
/// `CreateLimitReachedForResource` with 400 or 503 (gofish #75), `SessionLimitExceeded`.
pub(super) fn full(answer: &Answer) -> bool {
    const IDS: [&str; 4] = ["RAC0218", "CreateLimitReachedForResource", "SessionLimitExceeded", "MaximumNumberOfSessions"];
    if answer.status.is_success() || answer.status == StatusCode::UNAUTHORIZED {
        return false;
    }
    let said = hear(&answer.body);
    IDS.iter().any(|id| said.has(id))
}

/// Logins that were sent and never answered: each may have counted against the account.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<(u32, Option<Instant>)>);

/// Unanswered logins in a row after which there is a rest. The lowest lockout thresholds seen are 3.
const UNANSWERED: u32 = 2;
/// The rest.
const PAUSE: Duration = Duration::from_secs(60);

impl Attempts {
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (0, None);
    }

    pub(super) fn unanswered(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_add(1), Some(now));
    }

    /// How long the rest still is.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = *state;
        let left =
            since.map(|since| PAUSE.saturating_sub(now.saturating_duration_since(since))).filter(|_| count >= UNANSWERED)?;
        if left.is_zero() {
            // One more may go out, and then it is time to rest again.
            state.0 = UNANSWERED - 1;
            return None;
        }
        Some(left)
    }
}

impl Client {
    /// Whether the password may be presented now.
    pub(super) fn budget(&self) -> Result<(), BmcError> {
        let error = |seen, kind| Err(BmcError { doing: "log in".to_owned(), seen, kind, source: None });
        if let Some(rest) = self.attempts.rest(Instant::now()) {
            let seen = format!(
                "{UNANSWERED} logins were sent and not answered; so that the account is not locked, the next goes out in {} s",
                rest.as_secs().max(1)
            );
            return error(seen, BmcTrouble::Busy);
        }
        let login = self.login();
        let book = login.book.as_ref().filter(|_| login.wary);
        let ago = book.and_then(|book| book.refused_before(login.bmc, &login.user, &login.password));
        match ago {
            Some(ago) => {
                let seen = format!(
                    "this password was refused {} s ago; so that the account is not locked, it is not tried again for {} s (another \
                     password is tried at once)",
                    ago.as_secs(),
                    REST.saturating_sub(ago).as_secs().max(1)
                );
                error(seen, BmcTrouble::Credentials)
            }
            None => Ok(()),
        }
    }

    /// Ends what killed processes of this program left on this BMC, each session by its own token. Trouble with it is no trouble for the login.
    pub(super) async fn end_left(&self, deadline: Instant) {
        let login = self.login();
        let Some(book) = &login.book else { return };
        for (note, token) in book.left(login.bmc, &login.user, &login.password) {
            let (Ok(at), Ok(mut token)) = (super::path::local(&note.at), HeaderValue::from_bytes(&token)) else {
                book.ended(&note);
                continue;
            };
            token.set_sensitive(true);
            if self.end_session(&at, token, deadline).await {
                book.ended(&note);
                self.ended.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Ends one session by its own token. True when the BMC has answered: it is ended then, or was before (401, 404).
    pub(super) async fn end_session(&self, at: &str, token: HeaderValue, deadline: Instant) -> bool {
        let mut turned = None;
        for attempt in 0..ENDINGS {
            let encoding = turned.unwrap_or_else(|| self.manners.encoding());
            let auth = Some((TOKEN, token.clone()));
            let ask = Ask { method: Method::DELETE, path: at, body: None, auth, if_match: None, deadline };
            // Deleting twice does no harm: the second answer is 401 or 404.
            let fresh = attempt > 0;
            match self.once_as(ask, encoding, fresh).await {
                Ok(answer) if answer.status.as_u16() == 406 => turned = Some(self.turn(encoding, at)),
                Ok(answer) if matches!(answer.status.as_u16(), 429 | 500..=599) => {}
                Ok(_) => return true,
                Err(gone) if gone.head.is_some() => return true,
                Err(gone) if matches!(gone.how, Broke::Lost | Broke::Stalled) => {}
                Err(_) => return false,
            }
            let again = Instant::now() + self.limits.pause;
            if again >= deadline {
                return false;
            }
            sleep_until(again).await;
        }
        false
    }

    /// No slot is free. What was ours has been ended before the login, so that the others are not ours to end: Basic where that is allowed, else
    /// an error that says who holds them.
    pub(super) async fn when_full(&self, at: &str, error: BmcError, deadline: Instant) -> Result<Auth, BmcError> {
        let basic = self.login().basic;
        if basic == BasicLogin::WhenFull {
            return self.prove_basic(at, deadline).await;
        }
        let held = match basic {
            BasicLogin::Never => None,
            BasicLogin::WithoutSessions | BasicLogin::WhenFull => self.who_holds(at, deadline).await,
        };
        let held = held.as_deref().unwrap_or("who holds them cannot be read without one");
        let ended = self.ended.load(Ordering::Relaxed);
        Err(BmcError {
            seen: format!(
                "no session slot is free: {held}; {ended} that killed runs of this program had left were ended before, and the others are not \
                 this program's to end; end some on the BMC, wait until they time out, or allow Basic (`bmc: {{basic: when-full}}`); it said {}",
                error.seen
            ),
            kind: BmcTrouble::Busy,
            doing: error.doing,
            source: None,
        })
    }

    /// The open sessions, counted by account and origin: `7 of admin from 10.0.0.5`. Read by Basic, once in a client's life and for this text
    /// alone.
    async fn who_holds(&self, at: &str, deadline: Instant) -> Option<String> {
        if let Some(counted) = self.counted.get() {
            return counted.clone();
        }
        let counted = self.count(at, deadline).await;
        self.counted.get_or_init(|| counted).clone()
    }

    async fn count(&self, at: &str, deadline: Instant) -> Option<String> {
        let basic = self.basic_header()?;
        let read = async |at: &str| {
            let auth = Some((header::AUTHORIZATION, basic.clone()));
            let ask = Ask { method: Method::GET, path: at, body: None, auth, if_match: None, deadline };
            let answer = self.once_as(ask, self.manners.encoding(), false).await.ok()?;
            json::parse(&answer.body).ok().filter(|_| answer.status.is_success())
        };
        let table = read(at).await?;
        let members: Vec<String> = json::list(&table, "Members").iter().filter_map(json::href).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for member in members.iter().take(LISTED) {
            // One that ends between the list and the look is none.
            if let Some(session) = read(member).await {
                *counts.entry(whose(&session)).or_default() += 1;
            }
        }
        let mut told: Vec<String> = counts.iter().map(|(who, count)| format!("{count} of {who}")).collect();
        if members.len() > LISTED {
            told.push(format!("{} more", members.len() - LISTED));
        }
        let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
        Some(format!("{} are open{told}", members.len()))
    }
}

/// Account and origin of a session, as far as the BMC tells.
fn whose(session: &Value) -> String {
    let user = json::text(session, "UserName").map_or_else(|| "somebody".to_owned(), |user| safe(&user, 64));
    match json::text(session, "ClientOriginIPAddress") {
        Some(from) => format!("{user} from {}", safe(&from, 64)),
        None => user,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::super::json::any_json;
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_full_table_is_known_in_every_makers_words() {
        for (status, id) in
            [(503, "IDRAC.2.8.RAC0218"), (400, "Base.1.5.CreateLimitReachedForResource"), (503, "Base.1.0.SessionLimitExceeded")]
        {
            assert!(
                full(&answer(status, &format!(r#"{{"error": {{"@Message.ExtendedInfo": [{{"MessageId": "{id}"}}]}}}}"#))),
                "{id}"
            );
        }
        assert!(!full(&answer(503, "")) && !full(&answer(400, r#"{"error": {"code": "Base.1.0.GeneralError"}}"#)));
        assert!(!full(&answer(401, r#"{"@Message.ExtendedInfo": [{"MessageId": "SessionLimitExceeded"}]}"#)));
    }

    #[test]
    fn unanswered_logins_are_few() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        attempts.unanswered(start);
        assert_eq!(attempts.rest(start), None);
        attempts.unanswered(start);
        assert_eq!(attempts.rest(start + PAUSE / 2), Some(PAUSE / 2));
        let later = start + PAUSE;
        assert_eq!(attempts.rest(later), None);
        attempts.unanswered(later);
        assert_eq!(attempts.rest(later), Some(PAUSE));
        attempts.answered();
        assert_eq!(attempts.rest(later), None);
    }

    proptest! {
        #[test]
        fn any_refusal_is_judged(value in any_json(), status in 200_u16..600) {
            let _ = full(&answer(status, &value.to_string()));
            let _ = whose(&value);
        }
    }
}
