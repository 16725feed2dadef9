//! Accounts as a BMC shows them. The table is the machine's, so that a password that is changed here decides every login from then on.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Message};
use super::tree::{ROOT, collection, link, well};
use crate::sim::accounts::{Account, PASSWORD};
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

const SERVICE: &str = "/redfish/v1/AccountService";
const ROLES: [(&str, &[&str]); 3] = [
    ("Administrator", &["Login", "ConfigureManager", "ConfigureUsers", "ConfigureSelf", "ConfigureComponents"]),
    ("Operator", &["Login", "ConfigureComponents", "ConfigureSelf"]),
    ("ReadOnly", &["Login", "ConfigureSelf"]),
];

/// The account that a path names.
fn slot(at: &str) -> Option<u8> {
    at.strip_prefix(SERVICE)?.strip_prefix("/Accounts/")?.parse().ok()
}

/// True when a path names an account.
#[must_use]
pub fn is_account(at: &str) -> bool {
    slot(at).is_some()
}

/// Path of the account of this name.
#[must_use]
pub fn path_of(machine: &MachineHandle, user: &str) -> String {
    let slot = machine.accounts(|accounts| accounts.list().iter().find(|a| a.user == user).map(|a| a.slot));
    format!("{SERVICE}/Accounts/{}", slot.unwrap_or_default())
}

/// The resource at a path, when it is one of this file's.
#[must_use]
pub fn resource(machine: &MachineHandle, at: &str) -> Option<Value> {
    let rest = at.strip_prefix(SERVICE)?;
    let all = machine.accounts(|accounts| accounts.list().to_vec());
    Some(match rest {
        "" => json!({
            "@odata.type": "#AccountService.v1_9_0.AccountService",
            "@odata.id": at,
            "Id": "AccountService",
            "Name": "Account Service",
            "ServiceEnabled": true,
            "Status": well(),
            "MinPasswordLength": PASSWORD.0,
            "MaxPasswordLength": PASSWORD.1,
            "Accounts": link(format!("{SERVICE}/Accounts")),
            "Roles": link(format!("{SERVICE}/Roles")),
        }),
        "/Accounts" => collection(at, "ManagerAccount", all.iter().map(|a| format!("{SERVICE}/Accounts/{}", a.slot))),
        "/Roles" => collection(at, "Role", ROLES.iter().map(|(name, _)| format!("{SERVICE}/Roles/{name}"))),
        _ => match rest.strip_prefix("/Roles/") {
            Some(name) => {
                let (name, privileges) = ROLES.iter().find(|(n, _)| *n == name)?;
                json!({
                    "@odata.type": "#Role.v1_3_1.Role",
                    "@odata.id": at,
                    "Id": name,
                    "Name": format!("{name} Role"),
                    "RoleId": name,
                    "IsPredefined": true,
                    "AssignedPrivileges": privileges,
                })
            }
            None => account(at, all.iter().find(|a| Some(a.slot) == slot(at))?),
        },
    })
}

fn account(at: &str, account: &Account) -> Value {
    json!({
        "@odata.type": "#ManagerAccount.v1_8_0.ManagerAccount",
        "@odata.id": at,
        "Id": account.slot.to_string(),
        "Name": "User Account",
        "UserName": account.user,
        "Password": null,
        "RoleId": account.role,
        "AccountTypes": ["Redfish", "IPMI"],
        "Enabled": account.enabled,
        "Locked": account.locked,
        "PasswordChangeRequired": false,
        "Links": { "Role": link(format!("{SERVICE}/Roles/{}", account.role)) },
    })
}

/// What a client wrote of an account.
struct Wish<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    role: Option<&'static str>,
    enabled: Option<bool>,
    /// What could not be taken, property by property.
    refused: Vec<Message>,
}

impl<'a> Wish<'a> {
    fn of(body: &'a Map<String, Value>) -> Self {
        let mut wish = Self { user: None, password: None, role: None, enabled: None, refused: Vec::new() };
        for (key, value) in body.iter().filter(|(key, _)| !key.contains('@')) {
            let taken = match (key.as_str(), value) {
                ("UserName", Value::String(user)) => wish.user.replace(user).is_none(),
                ("Password", Value::String(password)) => wish.password.replace(password).is_none(),
                ("Enabled", Value::Bool(enabled)) => wish.enabled.replace(*enabled).is_none(),
                ("RoleId", Value::String(role)) => {
                    wish.role = ROLES.iter().map(|(name, _)| *name).find(|name| name == role);
                    wish.role.is_some()
                }
                _ => false,
            };
            if !taken {
                wish.refused.push(not_taken(key));
            }
        }
        wish
    }
}

/// The refusal of one property by name.
fn not_taken(key: &str) -> Message {
    let shown: String = key.chars().take(40).collect();
    match key {
        "UserName" | "Password" | "Enabled" | "RoleId" => Message::new(
            "PropertyValueTypeError",
            "the property has a value that it cannot have",
            &["", &shown],
            "correct the value",
        ),
        "Id" | "Name" | "Locked" | "AccountTypes" | "PasswordChangeRequired" | "Links" => {
            Message::new("PropertyNotWritable", "the property cannot be written", &[&shown], "leave the property out")
        }
        _ => Message::new("PropertyUnknown", "the property is not known", &[&shown], "leave the property out"),
    }
}

/// Makes an account (DSP0266 §7.9).
#[must_use]
pub fn post(machine: &MachineHandle, at: &str, body: &Value) -> Option<Answer> {
    if at.strip_prefix(SERVICE)? != "/Accounts" {
        return None;
    }
    let empty = Map::new();
    let wish = Wish::of(body.as_object().unwrap_or(&empty));
    if let Some(refused) = wish.refused.first() {
        return Some(Answer::error(400, refused));
    }
    let (Some(user), Some(password)) = (wish.user, wish.password) else {
        let missing = if wish.user.is_none() { "UserName" } else { "Password" };
        let message =
            Message::new("PropertyMissing", format!("the property {missing} is required"), &[missing], "add the property");
        return Some(Answer::error(400, &message));
    };
    let (role, enabled) = (wish.role.unwrap_or("ReadOnly"), wish.enabled.unwrap_or(true));
    let Some(slot) = machine.accounts(|accounts| accounts.add(user, password, role, enabled)) else {
        let message =
            Message::new("CreateLimitReachedForResource", "no such account can be made", &[], "choose another name or password");
        return Some(Answer::error(400, &message));
    };
    let made = format!("{SERVICE}/Accounts/{slot}");
    let mut answer = resource(machine, &made).map(Answer::ok)?.with("Location", made);
    answer.status = 201;
    Some(answer)
}

/// Takes an account away; `None` when the path names none.
#[must_use]
pub fn delete(machine: &MachineHandle, at: &str) -> Option<Answer> {
    let slot = slot(at)?;
    resource(machine, at)?;
    Some(if machine.accounts(|accounts| accounts.remove(slot)) {
        Answer::status(204)
    } else {
        let message = Message::new("ResourceCannotBeDeleted", "this account cannot be deleted", &[], "leave it");
        Answer::error(405, &message).with("Allow", "GET, HEAD, PATCH")
    })
}

/// Changes an account: what can be taken is taken, what cannot is named beside it (DSP0266 §7.8). A password that is refused is repeated in the
/// refusal, as real BMCs do.
pub fn patch(machine: &MachineHandle, at: &str, body: &Value) -> Answer {
    let empty = Map::new();
    let wish = Wish::of(body.as_object().unwrap_or(&empty));
    let Some(slot) = slot(at) else { return Answer::error(404, &Message::missing(at)) };
    let mut refused = wish.refused;
    if wish.password.is_some() && machine.strikes(BmcFault::AccountDrop).is_some() {
        return Answer::error(200, &Message::success());
    }
    let mut taken = false;
    if let Some(user) = wish.user {
        let named = machine.accounts(|accounts| accounts.set_user(slot, user));
        taken |= named;
        refused.extend((!named).then(|| not_taken("UserName")));
    }
    if let Some(password) = wish.password {
        let set = machine.accounts(|accounts| accounts.set_password(slot, password));
        taken |= set;
        refused.extend((!set).then(|| {
            let shown: String = password.chars().take(80).collect();
            let text = format!("the value {shown} of the property Password has a form that is not taken");
            Message::new("PropertyValueFormatError", text, &[&shown, "Password"], "correct the value and try again")
        }));
    }
    if let Some(role) = wish.role {
        machine.accounts(|accounts| accounts.set_role(slot, role));
        taken = true;
    }
    if let Some(enabled) = wish.enabled {
        machine.accounts(|accounts| accounts.set_enabled(slot, enabled));
        taken = true;
    }
    match (taken, refused.first()) {
        (false, Some(first)) => Answer::error(400, first),
        (false, None) => Answer::error(400, &Message::new("NoOperation", "there is nothing to change", &[], "name a property")),
        (true, _) => {
            let Some(mut now) = resource(machine, at) else { return Answer::status(204) };
            if let Some(fields) = now.as_object_mut().filter(|_| !refused.is_empty()) {
                let words: Vec<Value> = refused.iter().map(|message| message.json("Warning")).collect();
                fields.insert("@Message.ExtendedInfo".to_owned(), words.into());
            }
            Answer::ok(now)
        }
    }
}

/// What the root says.
pub fn add_to_root(value: &mut Map<String, Value>) {
    value.insert("AccountService".to_owned(), link(format!("{ROOT}/AccountService")));
}
