//! The accounts of one BMC, which its Redfish and IPMI services share: who may log in, and with what. A password that was changed is changed for both.

/// Shortest and longest password that is taken (Supermicro's and OpenBMC's bounds in the captured trees; IPMI 2.0 has room for 20 bytes).
pub const PASSWORD: (usize, usize) = (8, 20);

/// Places in the table (IPMI 2.0 §22.26 has room for 63; 16 is what BMCs in the captured trees have).
pub const PLACES: u8 = 16;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Place in the table, from 1.
    pub slot: u8,
    /// Name; empty in a free place.
    pub user: String,
    /// Role in Redfish's words.
    pub role: &'static str,
    /// May log in.
    pub enabled: bool,
    /// Locked after wrong passwords.
    pub locked: bool,
    password: String,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    list: Vec<Account>,
    changes: u32,
}

impl Accounts {
    /// A table as it leaves the factory: a free first place, as on most BMCs, the administrator, and an operator that is switched off.
    #[must_use]
    pub fn new(user: String, password: String) -> Self {
        let account = |slot, user: &str, role, enabled, password: &str| Account {
            slot,
            user: user.to_owned(),
            role,
            enabled,
            locked: false,
            password: password.to_owned(),
        };
        let list = vec![
            account(1, "", "ReadOnly", false, ""),
            account(2, &user, "Administrator", true, &password),
            account(3, "operator", "Operator", false, "0perat0r-0ff"),
        ];
        Self { list, changes: 0 }
    }

    /// All places.
    #[must_use]
    pub fn list(&self) -> &[Account] {
        &self.list
    }

    /// How often a password was changed.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// The password of an account that may log in.
    #[must_use]
    pub fn password(&self, user: &str) -> Option<&str> {
        let of = |a: &&Account| !user.is_empty() && a.user == user && a.enabled && !a.locked;
        self.list.iter().find(of).map(|a| a.password.as_str())
    }

    /// True when this is the password of the account in `slot`, whether or not it may log in.
    #[must_use]
    pub fn is_password(&self, slot: u8, password: &str) -> bool {
        self.list.iter().any(|a| a.slot == slot && !a.user.is_empty() && a.password == password)
    }

    /// What the account of this name may.
    #[must_use]
    pub fn role(&self, user: &str) -> Option<&'static str> {
        self.list.iter().find(|a| !user.is_empty() && a.user == user).map(|a| a.role)
    }

    /// Lets the account in `slot` log in, or not.
    pub fn set_enabled(&mut self, slot: u8, enabled: bool) {
        if let Some(account) = self.list.iter_mut().find(|a| a.slot == slot) {
            account.enabled = enabled;
        }
    }

    /// Gives the account in `slot` another role, in Redfish's words.
    pub fn set_role(&mut self, slot: u8, role: &'static str) {
        if let Some(account) = self.list.iter_mut().find(|a| a.slot == slot) {
            account.role = role;
        }
    }

    /// Names the account in `slot`; `false` where another has the name, and for the first place, whose name is fixed.
    pub fn set_user(&mut self, slot: u8, user: &str) -> bool {
        let taken = !user.is_empty() && self.list.iter().any(|a| a.slot != slot && a.user == user);
        let found = self.list.iter_mut().find(|a| a.slot == slot && slot > 1 && !taken);
        found.is_some_and(|account| {
            account.user = user.to_owned();
            true
        })
    }

    /// Adds an account behind the others; `None` when the name is taken or empty, the password does not fit, or the table is full.
    pub fn add(&mut self, user: &str, password: &str, role: &'static str, enabled: bool) -> Option<u8> {
        let fits = (PASSWORD.0..=PASSWORD.1).contains(&password.len());
        let taken = self.list.iter().any(|a| a.user == user);
        let slot = self.list.iter().map(|a| a.slot).max().unwrap_or(0).saturating_add(1);
        if taken || !fits || slot > PLACES {
            return None;
        }
        let (user, password) = (user.to_owned(), password.to_owned());
        self.list.push(Account { slot, user, role, enabled, locked: false, password });
        Some(slot)
    }

    /// Takes an account away; `false` for the first place and for the last administrator who may log in.
    pub fn remove(&mut self, slot: u8) -> bool {
        let rules = |a: &Account| a.role == "Administrator" && a.enabled && !a.user.is_empty();
        let left = self.list.iter().any(|a| a.slot != slot && rules(a));
        let known = slot > 1 && self.list.iter().any(|a| a.slot == slot);
        if known && left {
            self.list.retain(|a| a.slot != slot);
        }
        known && left
    }

    /// Gives the account in `slot` another password; `false` when there is none or the password is too short or too long.
    pub fn set_password(&mut self, slot: u8, password: &str) -> bool {
        let fits = (PASSWORD.0..=PASSWORD.1).contains(&password.len());
        let found = self.list.iter_mut().find(|a| a.slot == slot && !a.user.is_empty() && fits);
        found.is_some_and(|account| {
            account.password = password.to_owned();
            self.changes = self.changes.saturating_add(1);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_decides_and_only_where_one_may_log_in() {
        let mut table = Accounts::new("admin".into(), "first-one".into());
        assert_eq!(table.password("admin"), Some("first-one"));
        assert_eq!((table.password("operator"), table.password("")), (None, None));
        assert!(
            !table.set_password(2, "short") && !table.set_password(1, "long-enough") && !table.set_password(9, "long-enough")
        );
        assert!(table.set_password(2, "second-one"));
        assert_eq!((table.password("admin"), table.changes()), (Some("second-one"), 1));
    }

    #[test]
    fn accounts_come_and_go_and_an_administrator_stays() {
        let mut table = Accounts::new("admin".into(), "first-one".into());
        assert_eq!(table.add("watch", "watch-0nly", "ReadOnly", true), Some(4));
        assert_eq!((table.add("watch", "watch-0nly", "ReadOnly", true), table.add("x", "short", "ReadOnly", true)), (None, None));
        assert_eq!((table.password("watch"), table.role("watch")), (Some("watch-0nly"), Some("ReadOnly")));
        assert!(!table.remove(1) && !table.remove(2) && !table.remove(9), "the last administrator stays");
        assert!(table.remove(4) && !table.remove(4) && table.password("watch").is_none());
        let slots: Vec<_> = (0..20).filter_map(|n| table.add(&format!("u{n}"), "long-enough", "Operator", true)).collect();
        assert_eq!(slots.last(), Some(&PLACES));
    }
}
