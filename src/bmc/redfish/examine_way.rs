//! How the way to a service was opened, as the hand met it: certificate, TLS and login (RC-01, RC-02, RC-03, RC-21). It asks nothing.

use super::client::Client;
use super::session::Auth;
use crate::bmc::examining::{Examination, Sight};

impl Client {
    /// Notes how it was reached.
    pub(super) fn look_at_way(&self, exam: &mut Examination) {
        let plain = |words: &str| Sight::Plain(words.to_owned());
        let (certificate, tls) = match (self.trust.tls(), self.trust.certificate()) {
            (false, _) => {
                let none = Sight::Unseen("it is reached without TLS, as the inventory says".to_owned());
                (none.clone(), none)
            }
            (true, None) => {
                let none = Sight::Unseen("no handshake was completed".to_owned());
                (none.clone(), none)
            }
            // The hand speaks nothing older and no static RSA key exchange (rustls), so that an accepted certificate proves both.
            (true, Some(_)) => {
                (plain(&format!("{} is accepted", self.trust.kind())), plain("TLS 1.2 or newer, with an ephemeral key exchange"))
            }
        };
        exam.note("RC-01", "the certificate", certificate);
        exam.note("RC-02", "the key exchange", tls.clone());
        exam.note("RC-03", "the age of TLS", tls);
        let login = match self.standing() {
            Standing::Session { named: true } => plain("a session, with its token and its place"),
            Standing::Session { named: false } => {
                Sight::Quirk("a session whose place is not told, so that it cannot be ended".to_owned())
            }
            Standing::Basic => Sight::Quirk("there are no sessions; the password goes with every request".to_owned()),
            Standing::Nobody => Sight::Unseen("nobody is logged in".to_owned()),
        };
        exam.note("RC-21", "the login", login);
    }

    fn standing(&self) -> Standing {
        self.auth(|auth| match auth {
            Auth::Session { at, .. } => Standing::Session { named: at.is_some() },
            Auth::Basic(_) => Standing::Basic,
            Auth::None | Auth::Refused(..) => Standing::Nobody,
        })
    }
}

/// How the login stands.
enum Standing {
    Session { named: bool },
    Basic,
    Nobody,
}
