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

/// Changes a password; nothing else can be changed. The password that is refused is repeated in the refusal, as real BMCs do.
pub fn patch(machine: &MachineHandle, at: &str, body: &Value) -> Answer {
    let empty = Map::new();
    let given = body.as_object().unwrap_or(&empty);
    if let Some(other) = given.keys().find(|key| *key != "Password" && !key.starts_with("@odata.")) {
        let shown: String = other.chars().take(40).collect();
        let message = Message::new("PropertyNotWritable", "the property cannot be written", &[&shown], "leave the property out");
        return Answer::error(400, &message);
    }
    let Some(password) = given.get("Password").and_then(Value::as_str) else {
        let message = Message::new("PropertyMissing", "the property Password is required", &["Password"], "add the property");
        return Answer::error(400, &message);
    };
    if machine.strikes(BmcFault::AccountDrop).is_some() {
        return Answer::error(200, &Message::success());
    }
    if slot(at).is_some_and(|slot| machine.accounts(|accounts| accounts.set_password(slot, password))) {
        return Answer::error(200, &Message::success());
    }
    let shown: String = password.chars().take(80).collect();
    let text = format!("the value {shown} of the property Password has a form that is not taken");
    let message = Message::new("PropertyValueFormatError", text, &[&shown, "Password"], "correct the value and try again");
    Answer::error(400, &message)
}

/// What the root says.
pub fn add_to_root(value: &mut Map<String, Value>) {
    value.insert("AccountService".to_owned(), link(format!("{ROOT}/AccountService")));
}
