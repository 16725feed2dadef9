//! Who has the console when it is not us: the BMC is asked for the session, its account and its address. It asks; it takes nothing away.

use tokio::time::Instant;

use crate::bmc::ipmi::command::payload::{GetHolder, GetSession};
use crate::bmc::ipmi::command::user::GetName;
use crate::bmc::ipmi::connection::Connection;
use ipmi_rs_core::connection::IpmiCommand;

/// Who has the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The session that has it, as the BMC numbers it; `None`: the BMC does not say.
    pub(super) session: Option<u32>,
    /// For people.
    pub(super) words: String,
}

async fn ask<C: IpmiCommand>(connection: &mut Connection, command: C, deadline: Instant) -> Option<C::Output> {
    // A BMC that cannot say is no error here: less is known, and that is told.
    let data = connection.repeat(&command.into(), deadline).await.ok()?;
    C::parse_success_response(&data).ok()
}

/// The session that has the console: `Ok(None)` for none, `Err(())` when the BMC does not say.
pub(super) async fn session(connection: &mut Connection, deadline: Instant) -> Result<Option<u32>, ()> {
    ask(connection, GetHolder, deadline).await.ok_or(())
}

/// Finds out as much as the BMC tells.
pub(super) async fn holder(connection: &mut Connection, deadline: Instant) -> Holder {
    let Ok(Some(id)) = session(connection, deadline).await else {
        return Holder { session: None, words: "another client, and the BMC does not say which".to_owned() };
    };
    let Some(Some(owner)) = ask(connection, GetSession(id), deadline).await else {
        return Holder { session: Some(id), words: format!("the session {id:#010x}, of which the BMC says no more") };
    };
    let name = ask(connection, GetName(owner.user), deadline).await.filter(|name| !name.is_empty());
    let who = name.map_or_else(|| format!("user {}", owner.user), |name| format!("`{name}`"));
    let from = owner.from.map(|(address, port)| format!(" from {address}:{port}")).unwrap_or_default();
    Holder { session: Some(id), words: format!("{who}{from} (session {id:#010x})") }
}
