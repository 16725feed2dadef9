//! The headers that every request carries, and what of them a BMC has turned out to want otherwise. Learned on reads that change nothing.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use http::header::{self, HeaderMap, HeaderValue};

/// What is asked for as encoding of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `identity`: a compressed answer may have another entity tag (RC-09).
    Identity,
    /// Nothing is said.
    Unsaid,
    /// `gzip`: what a BMC wants that keeps a resource compressed only.
    Gzip,
}

/// How often `identity` is answered 406 before it is not said any more (RC-10): once is a resource, more are a habit.
const REFUSALS: u32 = 2;

/// Whether the BMC wants a bare `Host` and a `Referer` (RC-12; bmclib PR #339).
const UNTRIED: u8 = 0;
const TRYING: u8 = 1;
const STRICT: u8 = 2;
const LAX: u8 = 3;

/// The manners towards one BMC.
pub(super) struct Manners {
    host: HeaderValue,
    bare_host: HeaderValue,
    referer: HeaderValue,
    strict: AtomicU8,
    refusals: AtomicU32,
}

impl Manners {
    /// `host` may carry a port; `tls` says which scheme the `Referer` has.
    pub(super) fn new(host: &str, tls: bool) -> Result<Self, header::InvalidHeaderValue> {
        let bare = strip_port(host);
        let scheme = if tls { "https" } else { "http" };
        Ok(Self {
            host: HeaderValue::from_str(host)?,
            bare_host: HeaderValue::from_str(bare)?,
            referer: HeaderValue::from_str(&format!("{scheme}://{bare}/"))?,
            strict: AtomicU8::new(UNTRIED),
            refusals: AtomicU32::new(0),
        })
    }

    /// The same manners for another client of this BMC.
    pub(super) fn twin(&self) -> Self {
        Self {
            host: self.host.clone(),
            bare_host: self.bare_host.clone(),
            referer: self.referer.clone(),
            strict: AtomicU8::new(self.strict.load(Ordering::Relaxed)),
            refusals: AtomicU32::new(self.refusals.load(Ordering::Relaxed)),
        }
    }

    /// The `Host` of this BMC, with its port when that is not the scheme's own.
    pub(super) fn host(&self) -> &str {
        self.host.to_str().unwrap_or_default()
    }

    /// Writes the headers of one request.
    pub(super) fn put(&self, headers: &mut HeaderMap, encoding: Encoding) {
        let strict = matches!(self.strict.load(Ordering::Relaxed), TRYING | STRICT);
        headers.insert(header::HOST, if strict { self.bare_host.clone() } else { self.host.clone() });
        if strict {
            headers.insert(header::REFERER, self.referer.clone());
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("bringup/", env!("CARGO_PKG_VERSION"))));
        headers.insert("odata-version", HeaderValue::from_static("4.0"));
        match encoding {
            Encoding::Identity => drop(headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
            Encoding::Gzip => drop(headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))),
            Encoding::Unsaid => {}
        }
    }

    /// What to ask for first.
    pub(super) fn encoding(&self) -> Encoding {
        if self.refusals.load(Ordering::Relaxed) < REFUSALS { Encoding::Identity } else { Encoding::Unsaid }
    }

    /// What to ask for after a 406 at a path. The root is never kept compressed, so that a 406 there is a habit.
    pub(super) fn next(&self, refused: Encoding, at: &str) -> Encoding {
        match refused {
            Encoding::Identity => {
                self.refusals.fetch_add(if at == super::session::ROOT { REFUSALS } else { 1 }, Ordering::Relaxed);
                Encoding::Unsaid
            }
            Encoding::Unsaid | Encoding::Gzip => Encoding::Gzip,
        }
    }

    /// Turns to a bare `Host` and a `Referer` for one more try; false when that was tried before.
    pub(super) fn turn_strict(&self) -> bool {
        match self.strict.compare_exchange(UNTRIED, TRYING, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(TRYING) => {
                // It was no help: back to what the specification says.
                self.strict.store(LAX, Ordering::Relaxed);
                false
            }
            Err(_) => false,
        }
    }

    /// A bare `Host` and a `Referer` from now on.
    pub(super) fn be_strict(&self) {
        self.strict.store(STRICT, Ordering::Relaxed);
    }

    /// `identity` is not said from now on.
    pub(super) fn leave_identity(&self) {
        self.refusals.fetch_max(REFUSALS, Ordering::Relaxed);
    }

    /// What was tried last was answered well.
    pub(super) fn settled(&self) {
        // Anything else than a try under way is left as it is.
        let _ = self.strict.compare_exchange(TRYING, STRICT, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A host without its port.
pub(super) fn strip_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(manners: &Manners) -> HeaderMap {
        let mut headers = HeaderMap::new();
        manners.put(&mut headers, manners.encoding());
        headers
    }

    #[test]
    fn a_bare_host_is_tried_once_and_kept_when_it_helps() {
        let manners = Manners::new("[fe80::1]:8443", true).unwrap();
        assert_eq!(sent(&manners)["host"], "[fe80::1]:8443");
        assert!(manners.turn_strict());
        assert_eq!(
            (sent(&manners)["host"].clone(), sent(&manners)["referer"].clone()),
            ("[fe80::1]".parse().unwrap(), "https://[fe80::1]/".parse().unwrap())
        );
        manners.settled();
        assert!(!manners.turn_strict());
        assert_eq!(sent(&manners)["host"], "[fe80::1]");
        let manners = Manners::new("10.0.0.1", false).unwrap();
        assert!(manners.turn_strict() && !manners.turn_strict() && !manners.turn_strict());
        assert!(!sent(&manners).contains_key("referer"));
    }

    #[test]
    fn identity_is_given_up_when_refusing_it_is_a_habit() {
        let manners = Manners::new("x", true).unwrap();
        assert_eq!(manners.next(manners.encoding(), "/redfish/v1/Registries/B"), Encoding::Unsaid);
        assert_eq!(sent(&manners)["accept-encoding"], "identity");
        assert_eq!(manners.next(manners.encoding(), "/redfish/v1/Registries/C"), Encoding::Unsaid);
        assert!(!sent(&manners).contains_key("accept-encoding"));
        assert_eq!(manners.next(Encoding::Unsaid, "/redfish/v1/"), Encoding::Gzip);
    }
}
