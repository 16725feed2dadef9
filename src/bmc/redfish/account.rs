//! Accounts: the table, and the change of a password with its proof. BMCs lock accounts, so that each password is tried once and no more; a password
//! stands in no text, even where the BMC repeats it.

use http::header::HeaderValue;
use serde_json::{Value, json};
use tokio::time::Instant;
use zeroize::Zeroize as _;

use super::client::{Client, Resource};
use super::error::{malformed, safe, unsupported};
use super::json as views;
use super::path;
use super::session::Login;
use super::write::Sent;
use crate::bmc::keeping::BmcAccount;
use crate::bmc::{BmcError, BmcTrouble, Password, Written};
use crate::model::Reading;

/// What stands where a password stood.
const WIPED: &str = "•••";

/// Text without a secret that a BMC may have repeated in it, escaped or not.
pub(super) fn scrubbed(text: &str, secret: &Password) -> String {
    let secret = secret.expose();
    if secret.is_empty() {
        return text.to_owned();
    }
    let text = text.replace(secret, WIPED);
    let escaped = safe(secret, 8_192);
    if escaped.is_empty() || escaped == secret { text } else { text.replace(&escaped, WIPED) }
}

fn scrub(error: BmcError, secret: &Password) -> BmcError {
    BmcError { seen: scrubbed(&error.seen, secret), doing: scrubbed(&error.doing, secret), ..error }
}

fn refuse(doing: &str, seen: impl Into<String>) -> BmcError {
    BmcError { kind: BmcTrouble::Refused, ..malformed(doing, seen) }
}

/// The name of an account; `None` for a free place. HPE keeps the login name apart.
fn user_of(account: &Value) -> Option<String> {
    let hpe = account.get("Oem").and_then(|oem| oem.get("Hpe")).and_then(|hpe| views::text(hpe, "LoginName"));
    views::word(account, "UserName").map(str::to_owned).or(hpe)
}

fn flag(account: &Resource, key: &str) -> Reading<bool> {
    match account.value.get(key) {
        Some(Value::Bool(flag)) => Reading::Known(*flag),
        _ => Reading::unknown(format!("{} says no {key}", safe(&account.path, 128))),
    }
}

fn view(account: &Resource) -> Option<BmcAccount> {
    let user = user_of(&account.value)?;
    let role = views::text(&account.value, "RoleId").map(|role| safe(&role, 64));
    Some(BmcAccount {
        slot: safe(path::last(&account.path), 64),
        user: safe(&user, 128),
        role: role.map_or_else(|| Reading::unknown(format!("{} says no RoleId", safe(&account.path, 128))), Reading::Known),
        enabled: flag(account, "Enabled"),
        locked: flag(account, "Locked"),
    })
}

/// What came of the proof of a password.
enum Proof {
    /// It is taken.
    New,
    /// It is refused, and the old one is taken.
    Old(BmcError),
    /// Neither is taken, or it could not be asked.
    Neither(String),
}

impl Client {
    async fn account_list(&self) -> Result<Vec<Resource>, BmcError> {
        let deadline = Instant::now() + self.limits.request;
        let service = self.get(&self.service("AccountService").await?).await?;
        let at = views::link(&service.value, "Accounts")
            .ok_or_else(|| unsupported("read accounts", "the account service names no accounts"))?;
        let (members, _) = self.members(&at, deadline).await?;
        let mut list = Vec::new();
        for member in members {
            list.push(self.get_by(&member.path, deadline).await?);
        }
        Ok(list)
    }

    /// The accounts that have a name.
    pub(super) async fn account_views(&self) -> Result<Reading<Vec<BmcAccount>>, BmcError> {
        match self.account_list().await {
            Ok(list) => Ok(Reading::Known(list.iter().filter_map(view).collect())),
            Err(e) if e.kind == BmcTrouble::Unsupported => Ok(Reading::Absent),
            Err(e) => Err(e),
        }
    }

    /// The account of this name, and the bounds of a password. An account whose password must be changed first may read nothing but itself; the
    /// refusal names it (DSP0266 §13.3.7.1).
    async fn account_of(&self, user: &str, doing: &str) -> Result<(Resource, Bounds), BmcError> {
        let list = match self.account_list().await {
            Ok(list) => list,
            Err(e) if e.kind == BmcTrouble::PasswordChange => {
                let named = account_in(&e.seen).ok_or(e)?;
                return Ok((self.get(&named).await?, Bounds::default()));
            }
            Err(e) => return Err(e),
        };
        let names: Vec<String> = list.iter().filter_map(|a| user_of(&a.value)).map(|name| safe(&name, 64)).collect();
        let mut mine = list.into_iter().filter(|a| user_of(&a.value).as_deref() == Some(user));
        match (mine.next(), mine.next()) {
            (Some(account), None) => {
                let service = self.get(&self.service("AccountService").await?).await?;
                Ok((account, Bounds::of(&service.value)))
            }
            (Some(_), Some(_)) => Err(refuse(doing, format!("several accounts are called {}", safe(user, 64)))),
            _ => Err(refuse(doing, format!("no account is called {}; there are: {}", safe(user, 64), names.join(", ")))),
        }
    }

    /// Changes a password and proves it.
    pub(super) async fn write_password(&self, user: &str, new: &Password) -> Written {
        let doing = format!("set the password of {}", safe(user, 64));
        let (account, bounds) = match self.account_of(user, &doing).await {
            Ok(found) => found,
            Err(e) => return Written::NotApplied(scrub(e, new)),
        };
        if let Err(why) = bounds.allow(new) {
            return Written::NotApplied(refuse(&doing, why));
        }
        let said = match self.send_password(&account.path, account.etag.clone(), new).await {
            Sent::Taken(said) => Ok(scrubbed(&said, new)),
            Sent::Unclear(e) => Err(format!("the answer was lost ({})", scrub(e, new))),
            // The BMC promised that nothing was done: there is nothing to prove, and no attempt is spent.
            Sent::No { error, .. } => return Written::NotApplied(scrub(error, new)),
        };
        let lost = said.is_err();
        let said = said.unwrap_or_else(|lost| lost);
        match self.prove_password(user, new).await {
            Proof::New => Written::Applied(format!("{said}; one login with the new password was taken")),
            Proof::Old(refusal) if lost => {
                let refusal = scrub(refusal, new);
                Written::Ambiguous(format!("{said}; the new password is refused ({refusal}) and the old one still taken"))
            }
            Proof::Old(refusal) => {
                let refusal = scrub(refusal, new);
                Written::NotApplied(refuse(
                    &doing,
                    format!("{said}, but the new password is refused ({refusal}) and the old one still taken"),
                ))
            }
            Proof::Neither(why) => Written::Ambiguous(format!("{said}; {}", scrubbed(&why, new))),
        }
    }

    async fn send_password(&self, at: &str, tag: Option<HeaderValue>, new: &Password) -> Sent {
        let mut body = json!({ "Password": new.expose() });
        let sent = self.patch(at, &body, tag, Instant::now() + self.limits.request).await;
        if let Some(Value::String(secret)) = body.get_mut("Password") {
            secret.zeroize();
        }
        sent
    }

    /// One login with the new password; where that is refused, one with the old.
    async fn prove_password(&self, user: &str, new: &Password) -> Proof {
        if self.login().user != user {
            return match self.try_login(user, new).await {
                Ok(true) => Proof::New,
                Ok(false) => Proof::Neither("the new password is refused; the old one is not known here".to_owned()),
                Err(e) => Proof::Neither(format!("the new password could not be tried: {e}")),
            };
        }
        // From here on this client logs in with the new one. Its session ends first, so that it never holds two.
        self.close().await;
        let old = self.replace_password(new.clone());
        let deadline = Instant::now() + self.limits.request;
        let refusal = match self.authorise(deadline).await {
            Ok(_) => return Proof::New,
            Err(e) if e.kind == BmcTrouble::Credentials => e,
            Err(e) => {
                // Which of the two holds is not known, and neither is tried by accident.
                self.refuse("it is not known which of two passwords holds");
                return Proof::Neither(format!("the new password could not be tried: {e}"));
            }
        };
        drop(self.replace_password(old));
        self.begin_again();
        match self.authorise(Instant::now() + self.limits.request).await {
            Ok(_) => Proof::Old(refusal),
            Err(e) => {
                Proof::Neither(format!("the new password is refused ({refusal}), and the old one is not taken either: {e}"))
            }
        }
    }

    /// One login by a client of its own, and out again.
    pub(super) async fn try_login(&self, user: &str, password: &Password) -> Result<bool, BmcError> {
        let twin = self.twin(Login { user: user.to_owned(), password: password.clone(), wary: false, ..self.login() })?;
        let tried = twin.authorise(Instant::now() + self.limits.request).await;
        twin.close().await;
        match tried {
            Ok(_) => {
                // What a killed run left under the password before this one can be ended by nobody else.
                self.end_left(Instant::now() + self.limits.request).await;
                Ok(true)
            }
            Err(e) if e.kind == BmcTrouble::Credentials => Ok(false),
            Err(e) => Err(scrub(e, password)),
        }
    }
}

/// How long a password may be, where the BMC says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bounds {
    least: Option<u64>,
    most: Option<u64>,
}

impl Bounds {
    fn of(service: &Value) -> Self {
        let number = |key: &str| service.get(key).and_then(Value::as_u64);
        Self { least: number("MinPasswordLength"), most: number("MaxPasswordLength").filter(|most| *most > 0) }
    }

    fn allow(&self, password: &Password) -> Result<(), String> {
        let length = password.expose().chars().count() as u64;
        if self.least.is_some_and(|least| length < least) || self.most.is_some_and(|most| length > most) {
            let most = self.most.map_or_else(|| "any number of".to_owned(), |most| most.to_string());
            return Err(format!(
                "nothing was sent: it takes {} to {most} characters, and the new password has {length}",
                self.least.unwrap_or(0)
            ));
        }
        Ok(())
    }
}

/// The account that a refusal names.
fn account_in(seen: &str) -> Option<String> {
    let start = seen.find("/redfish/")?;
    let rest = seen.get(start..)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))).unwrap_or(rest.len());
    let named = rest.get(..end)?.trim_end_matches('.');
    named.contains("/Accounts/").then(|| path::local(named).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stands_in_no_text() {
        let secret = Password::new("p\\w \"x\"");
        assert_eq!(scrubbed("value p\\w \"x\" is bad", &secret), "value ••• is bad");
        assert_eq!(scrubbed(&format!("value {} is bad", safe(secret.expose(), 64)), &secret), "value ••• is bad");
        assert_eq!(scrubbed("as it was", &Password::new("")), "as it was");
    }

    #[test]
    fn a_password_is_measured_before_it_is_sent() {
        let bounds = Bounds::of(&json!({"MinPasswordLength": 8, "MaxPasswordLength": 20}));
        assert!(bounds.allow(&Password::new("12345678")).is_ok() && bounds.allow(&Password::new("ä".repeat(20))).is_ok());
        let told = bounds.allow(&Password::new("hunter2")).unwrap_err();
        assert!(told.contains("8 to 20") && !told.contains("hunter2"), "{told}");
        assert!(Bounds::of(&json!({"MaxPasswordLength": 0})).allow(&Password::new("x".repeat(99))).is_ok());
    }

    #[test]
    fn a_refusal_that_names_the_account_is_followed() {
        let seen = "403 Forbidden: Base.1.8.PasswordChangeRequired: change it at /redfish/v1/AccountService/Accounts/2.";
        assert_eq!(account_in(seen).as_deref(), Some("/redfish/v1/AccountService/Accounts/2"));
        assert_eq!(account_in("403 at /redfish/v1/Systems/1"), None);
        assert_eq!(account_in("no"), None);
    }

    #[test]
    fn free_places_and_hpe_names() {
        assert_eq!(user_of(&json!({"UserName": ""})), None);
        assert_eq!(user_of(&json!({"Oem": {"Hpe": {"LoginName": "root"}}})), Some("root".to_owned()));
    }
}
