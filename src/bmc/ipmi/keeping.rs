//! The BMC as a thing to be kept, over IPMI: its accounts and its restart. IPMI has no certificates, and no word for the mains.

use std::time::Duration;

use async_trait::async_trait;
use ipmi_rs_core::app::GetDeviceId;
use ipmi_rs_core::connection::Message;
use tokio::time::Instant;

use super::account::Account;
use super::client::IpmiBmc;
use super::command::user::{self, GetAccess, GetName, PasswordDeed, privilege_word};
use super::connection::Connection;
use super::fault::Fault;
use super::login::{ADMINISTRATOR, LEAST};
use super::turn::{Need, Turn};
use crate::bmc::keeping::{BmcAccount, Keeping};
use crate::bmc::{BmcError, BmcTrouble, Password, Written};
use crate::model::Reading;

/// For the answer to a write.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// "It ran out of time while working on it": whether it took effect is not known.
const PROCESSING_TIMEOUT: u8 = 0xc3;
/// How long the old session must be silent before the BMC counts as away: several lost packets do not make a restart.
const SILENT: Duration = Duration::from_secs(2);
/// Between two looks at a BMC that restarts.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// One login while it restarts; it is tried again until the deadline.
const LOGIN: Duration = Duration::from_secs(5);
/// Reads in a row after which it counts as back.
const STABLE: u32 = 3;

#[async_trait]
impl Keeping for IpmiBmc {
    async fn accounts(&self) -> Result<Reading<Vec<BmcAccount>>, BmcError> {
        let mut turn = self.begin(self.patience() * 2, "accounts").await?;
        accounts(&mut turn).await
    }

    async fn set_password(&self, user: &str, new: &Password) -> Written {
        // IPMI's limits are broken before a packet is sent, or not at all.
        if let Err(error) = Account::new(user, new.clone(), None) {
            return Written::NotApplied(refused("set a password", error.to_string()));
        }
        match self.write_password(user, new).await {
            Ok(sent) => self.prove_password(user, new, sent).await,
            Err(written) => written,
        }
    }

    async fn proves(&self, user: &str, password: &Password) -> Result<bool, BmcError> {
        let account = Account::new(user, password.clone(), None).map_err(|e| refused("prove a password", e.to_string()))?;
        self.try_login(&account).await
    }

    async fn reset_bmc(&self, deadline: Duration) -> Written {
        match self.begin(deadline, "restarting the BMC").await {
            Ok(mut turn) => restart(self, &mut turn).await,
            Err(error) => Written::NotApplied(error),
        }
    }
}

fn refused(doing: &str, seen: String) -> BmcError {
    BmcError { doing: doing.to_owned(), seen, kind: BmcTrouble::Refused, source: None }
}

/// All accounts with a name.
async fn accounts(turn: &mut Turn<'_>) -> Result<Reading<Vec<BmcAccount>>, BmcError> {
    let mut out = Vec::new();
    // The first account tells how many there can be.
    let most = match turn.read(Need::Operator, || GetAccess(1)).await {
        Ok(access) => access.most,
        Err(Fault::Code(0xc1 | 0xc2)) => return Ok(Reading::Absent),
        Err(fault) => return Err(fault.into_error("get user access")),
    };
    for slot in 1..=most {
        let name = match turn.read(Need::Operator, || GetName(slot)).await {
            Ok(name) => name,
            // Some BMCs have no name to give for an empty slot.
            Err(Fault::Code(_)) => continue,
            Err(fault) => return Err(fault.into_error(format!("get the name of user {slot}"))),
        };
        if name.is_empty() {
            continue;
        }
        let (role, enabled) = match turn.read(Need::Operator, || GetAccess(slot)).await {
            Ok(access) => {
                let told = access.enabled.map_or_else(|| Reading::unknown("the BMC does not say"), Reading::Known);
                (Reading::Known(privilege_word(access.privilege).to_owned()), told)
            }
            Err(fault @ (Fault::Code(_) | Fault::Malformed(_))) => {
                let why = fault.into_error(format!("get the access of user {slot}")).to_string();
                (Reading::unknown(why.clone()), Reading::unknown(why))
            }
            Err(fault) => return Err(fault.into_error(format!("get the access of user {slot}"))),
        };
        let locked = Reading::unknown("IPMI does not tell");
        out.push(BmcAccount { slot: slot.to_string(), user: name, role, enabled, locked });
    }
    Ok(Reading::Known(out))
}

/// What became of a password that was sent.
enum PasswordSent {
    Taken,
    /// The answer was lost, or leaves it open.
    Unclear(String),
}

impl IpmiBmc {
    /// Finds the account and sends the password once.
    async fn write_password(&self, user: &str, new: &Password) -> Result<PasswordSent, Written> {
        let not = Written::NotApplied;
        let doing = "set user password";
        let mut turn = self.begin(self.patience() * 2, "setting a password").await.map_err(not)?;
        let known = match accounts(&mut turn).await.map_err(not)? {
            Reading::Known(known) => known,
            _ => return Err(not(Fault::Code(0xc1).into_error("get user access"))),
        };
        let wanted: String = user.escape_debug().collect();
        let slot = known.iter().find(|account| account.user == wanted).and_then(|account| account.slot.parse::<u8>().ok());
        let Some(slot) = slot else {
            return Err(not(refused(doing, format!("the BMC has no account `{wanted}`"))));
        };
        let message = user::set_password(slot, PasswordDeed::Set, Some(new.expose()));
        let connection = turn.prepare_write_as(Need::Administrator).await;
        let connection = connection.map_err(|fault| not(fault.into_error("open an IPMI session as administrator")))?;
        match connection.write(message, WRITE_PATIENCE).await {
            Ok((_, Some(answer))) => match answer.code {
                0 => Ok(PasswordSent::Taken),
                PROCESSING_TIMEOUT => Ok(PasswordSent::Unclear(Fault::Code(PROCESSING_TIMEOUT).to_string())),
                code => Err(not(Fault::Code(code).into_error(doing))),
            },
            Ok((_, None)) => Ok(PasswordSent::Unclear("the answer was lost".to_owned())),
            Err(fault) => Err(not(fault.into_error(doing))),
        }
    }

    /// One login with the new password; where that is refused, one with the old, when it is our own account's.
    async fn prove_password(&self, user: &str, new: &Password, sent: PasswordSent) -> Written {
        let said = match sent {
            PasswordSent::Taken => "the BMC took it".to_owned(),
            PasswordSent::Unclear(why) => why,
        };
        let account = match Account::new(user, new.clone(), None) {
            Ok(account) => account,
            Err(error) => return Written::Ambiguous(format!("{said}; not proven: {error}")),
        };
        match self.try_login(&account).await {
            Ok(true) => return Written::Applied(format!("{said}; a login with the new password succeeded")),
            Err(error) => return Written::Ambiguous(format!("{said}; not proven: {error}")),
            Ok(false) => {}
        }
        if user != self.account.user {
            return Written::Ambiguous(format!("{said}; a login with the new password is refused"));
        }
        match self.try_login(&self.account).await {
            Ok(true) => {
                let seen = format!("{said}, but the new password is refused and the old one still opens");
                Written::NotApplied(refused("set user password", seen))
            }
            Ok(false) => Written::Ambiguous(format!("{said}; both the new and the old password are refused")),
            Err(error) => Written::Ambiguous(format!("{said}; the new password is refused, the old one not proven: {error}")),
        }
    }

    /// One login on a session of its own, which is closed at once.
    async fn try_login(&self, account: &Account) -> Result<bool, BmcError> {
        let known = self.known_manner();
        let deadline = Instant::now() + self.patience();
        match Connection::open(&self.lan, self.to, account, known, LEAST, deadline).await {
            Ok(connection) => {
                connection.close().await;
                Ok(true)
            }
            Err(Fault::Credentials(_)) => Ok(false),
            Err(fault) => Err(fault.into_error("log in to prove a password")),
        }
    }
}

/// Cold reset, proved: the old session falls silent, a new login succeeds, three reads in a row do, and the old session stays silent.
async fn restart(home: &IpmiBmc, turn: &mut Turn<'_>) -> Written {
    let doing = "cold reset of the BMC";
    let not = |fault: Fault, doing: &str| Written::NotApplied(fault.into_error(doing));
    let deadline = turn.deadline;
    let connection = match turn.prepare_write_as(Need::Administrator).await {
        Ok(connection) => connection,
        Err(fault) => return not(fault, "open an IPMI session as administrator"),
    };
    let reset = Message::new_request(ipmi_rs_core::connection::NetFn::App, 0x02, Vec::new());
    let said = match connection.write(reset, WRITE_PATIENCE).await {
        Ok((_, Some(answer))) if answer.code == 0 => "cold reset accepted",
        Ok((_, Some(answer))) if answer.code == PROCESSING_TIMEOUT => "cold reset ran out of time",
        Ok((_, Some(answer))) => return not(Fault::Code(answer.code), doing),
        // A BMC that restarts at once does not answer first.
        Ok((_, None)) => "no answer to the cold reset",
        Err(fault) => return not(fault, doing),
    };
    let began = Instant::now();
    let Some(mut old) = turn.part_with() else { return Written::Ambiguous(said.to_owned()) };
    // Until it goes away.
    while old.repeat(&GetDeviceId.into(), Instant::now() + SILENT).await.is_ok() {
        if Instant::now() + LOOK_AGAIN >= deadline {
            return Written::Ambiguous(format!("{said}; it answered all the time in the old session"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let away = began.elapsed();
    // Until it is back.
    let mut good = 0;
    let mut last = "nothing yet".to_owned();
    while Instant::now() < deadline {
        match look(home, deadline).await {
            Ok(()) => good += 1,
            Err(why) => (good, last) = (0, why),
        }
        if good >= STABLE {
            let lives = old.repeat(&GetDeviceId.into(), (Instant::now() + SILENT).min(deadline)).await.is_ok();
            old.forget();
            if lives {
                return Written::Ambiguous(format!(
                    "{said}; it was silent for a while, and the old session lives on: no restart"
                ));
            }
            let back = began.elapsed();
            return Written::Applied(format!(
                "{said}; silent {:.0} s later, back and stable after {:.0} s, the old session gone",
                away.as_secs_f32(),
                back.as_secs_f32()
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    old.forget();
    Written::Ambiguous(format!("{said}; it went away and is not back: {last}"))
}

/// One login and one read.
async fn look(home: &IpmiBmc, deadline: Instant) -> Result<(), String> {
    let until = (Instant::now() + LOGIN).min(deadline);
    let mut connection = home.connect(ADMINISTRATOR, until).await.map_err(|fault| fault.to_string())?;
    let read = connection.repeat(&GetDeviceId.into(), until).await;
    connection.close().await;
    let data = read.map_err(|fault| fault.to_string())?;
    use ipmi_rs_core::connection::IpmiCommand as _;
    match GetDeviceId::parse_success_response(&data) {
        Ok(id) if id.device_available => Ok(()),
        Ok(_) => Err("the BMC says that it is still starting".to_owned()),
        Err(_) => Err("an answer that is cut short".to_owned()),
    }
}
