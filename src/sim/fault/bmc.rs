//! What a BMC's service does wrong, by the names of `reference/firmware.md` §5, and from which request on. This file only names and parses;
//! the servers ask their machine for it.

use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal / $arity:literal,)+) => {
        /// One kind of misbehaviour. The number in the table of names is how many whole numbers it takes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum BmcFault { $($(#[$doc])* $variant,)+ }

        impl BmcFault {
            /// Every kind, in the order of the rows.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// How many numbers it takes.
            #[must_use]
            pub fn arity(self) -> usize {
                match self { $(Self::$variant => $arity,)+ }
            }
        }
    };
}

faults! {
    /// The certificate changes after the first connection, as after a BMC update (RC-01).
    TlsRotate = "tls.rotate"/0,
    /// The certificate is renewed over the same key after the first connection (RC-01).
    TlsRenew = "tls.renew"/0,
    /// The handshake fails as with a server that offers RSA key exchange only (RC-02).
    TlsRsaKexOnly = "tls.rsa_kex_only"/0,
    /// The handshake fails as with a server that offers nothing newer than TLS 1.1 (RC-03).
    TlsLegacy = "tls.legacy"/0,
    /// A second request on one connection is answered by a reset (RC-04).
    ConnRstOnReuse = "conn.rst_on_reuse"/0,
    /// A second request on one connection is never answered (RC-05).
    ConnStallKeepalive = "conn.stall_keepalive"/0,
    /// More than this many open connections are refused (RC-06).
    ConnRefuseAfter = "conn.refuse_after"/1,
    /// The BMC reboots: for so many virtual seconds nothing answers, then it comes back with a new start time and no sessions (RC-07).
    BmcReboot = "bmc.reboot"/1,
    /// The body ends in the middle (RC-08).
    BodyTruncate = "body.truncate"/0,
    /// Entity tags end in `-gzip` unless identity was asked for (RC-09).
    EtagGzip = "etag.gzip"/0,
    /// `Accept-Encoding: identity` is answered 406 (RC-10).
    Http406Identity = "http.406_identity"/0,
    /// A chunked body is refused (RC-11).
    UploadNoChunked = "upload.no_chunked"/0,
    /// A `Host` header with a port, or a missing `Referer`, is refused (RC-12).
    HttpHostStrict = "http.host_strict"/0,
    /// `Expect: 100-continue` is never answered (RC-13).
    HttpNo100 = "http.no_100"/0,
    /// Answers take so many virtual seconds (RC-14).
    Latency = "latency"/1,
    /// `Location` is absolute, with another port (RC-15).
    LocAbsolute = "loc.absolute"/0,
    /// `Location` is relative (RC-15).
    LocRelative = "loc.relative"/0,
    /// Links have doubled and trailing slashes (RC-15).
    SlashDouble = "slash.double"/0,
    /// GET is redirected with this status to the same host (RC-16).
    HttpRedirect = "http.redirect"/1,
    /// A session ends after so many requests (RC-17).
    AuthExpireAfter = "auth.expire_after"/1,
    /// So few session slots (RC-18).
    AuthSessionsMax = "auth.sessions_max"/1,
    /// So many sessions of an earlier, killed run of `bringup` hold slots (RC-19).
    AuthCount = "auth.count"/1,
    /// The root does not say where sessions are (RC-20).
    RootNoSessions = "root.no_sessions"/0,
    /// Logging in is answered with this status (RC-21).
    AuthLoginCode = "auth.login_code"/1,
    /// Everything is answered 403 `PasswordChangeRequired` (RC-22).
    AuthPwchange = "auth.pwchange"/0,
    /// Refusals come as XHTML (RC-22).
    BodyHtml = "body.html"/0,
    /// The account is locked after so many wrong passwords (RC-23).
    AuthLockout = "auth.lockout"/1,
    /// Collections have no `Members` (RC-24).
    CollNoMembers = "coll.no_members"/0,
    /// `Members` is an object (RC-24).
    CollObject = "coll.object"/0,
    /// `Members@odata.count` is wrong (RC-24).
    CollCount = "coll.count"/0,
    /// Collections come in pages of one (RC-25).
    CollPaged = "coll.paged"/0,
    /// The next page is the first one (RC-25).
    CollLoop = "coll.loop"/0,
    /// Queries are answered 501 (RC-26).
    Query501 = "query.501"/0,
    /// A second system, manager and chassis stand first (RC-27).
    TopoMulti = "topo.multi"/0,
    /// Versions are null, empty or `N/A` (RC-28).
    JsonNullVersion = "json.null_version"/0,
    /// `@Message.ExtendedInfo` is an object (RC-29).
    ErrObject = "err.object"/0,
    /// 200 with an error as the body (RC-30).
    OkWithError = "ok.with_error"/0,
    /// 200 without a body (RC-30).
    OkEmpty = "ok.empty"/0,
    /// Actions are answered with this status (RC-31).
    ActCode = "act.code"/1,
    /// Actions are answered 409 although they were taken (RC-32).
    Act409 = "act.409"/0,
    /// Paths have another case than the specification's (RC-33).
    PathCase = "path.case"/0,
    /// Resources have no `@odata.id` (RC-33).
    JsonNoOdataId = "json.no_odata_id"/0,
    /// The BMC's clock is so many seconds ahead (RC-34).
    ClockSkew = "clock.skew"/1,
    /// PATCH without `If-Match` is answered 428 (RC-35).
    EtagRequired = "etag.required"/0,
    /// PATCH without `If-Match` is answered 200 and dropped (RC-35).
    EtagSilentDrop = "etag.silent_drop"/0,
    /// An action with `If-Match` is answered 412 (RC-36).
    EtagRefuseOnPost = "etag.refuse_on_post"/0,
    /// Everything but `If-Match: *` is answered 412, actions included (RC-36).
    EtagStar = "etag.star"/0,
    /// Entity tags are weak, and refused when they come back so (RC-37).
    EtagWeak = "etag.weak"/0,
    /// The entity tag is another one at every read (RC-37).
    EtagDrift = "etag.drift"/0,
    /// Where the task's name is: 0 `Location`, 1 the body, 2 a message's arguments, 3 nowhere (RC-38).
    TaskIdIn = "task.id_in"/1,
    /// A task is 404 for so many reads (RC-39).
    TaskLate = "task.late"/1,
    /// A task that is done is gone (RC-40).
    TaskReaped = "task.reaped"/0,
    /// Reading the monitor of a task that is done deletes it (RC-41).
    TaskMonitorOnce = "task.monitor_once"/0,
    /// Task names begin anew when the BMC reboots, and an old one is there to be mistaken (RC-42).
    TaskIdReuse = "task.id_reuse"/0,
    /// A failed task says Completed with status Critical (RC-43).
    TaskCompletedCritical = "task.completed_critical"/0,
    /// A task stands still at so many percent (RC-44).
    TaskStall = "task.stall"/1,
    /// A task shows an unusual state, by number: Stopping, Suspended, Service, UserIntervention, Pending, New (RC-45).
    TaskState = "task.state"/1,
    /// `Retry-After`: 0 zero, 1 a date, 2 nonsense, 3 a huge number (RC-46).
    HttpRetryAfter = "http.retry_after"/1,
    /// 503 with `Retry-After: 1`, wherever it is placed (RC-47; `http.503(N)` begins with the first request).
    HttpBusy = "http.busy"/0,
    /// Images longer than so many bytes are refused with 413 (RC-48).
    UploadMax = "upload.max"/1,
    /// The connection is lost after the last byte of an upload, which was taken (RC-49).
    UploadDropAfter = "upload.drop_after"/0,
    /// An upload beside any other request ends in a reboot of the BMC (RC-50).
    UploadOom = "upload.oom"/0,
    /// The image is refused when it is verified (RC-51).
    UploadVerifyFail = "upload.verify_fail"/0,
    /// The image is what runs already: 400 with the vendor's message (RC-51).
    UploadNoop = "upload.noop"/0,
    /// Only the exact multipart form of the vendor is taken (RC-52).
    UploadStrict = "upload.strict"/0,
    /// The new version shows so many virtual seconds late (RC-53).
    FwLag = "fw.lag"/1,
    /// The new version lies in the bank that does not run (RC-54).
    FwWrongSlot = "fw.wrong_slot"/0,
    /// The BMC is stuck in update mode until it is reset (RC-55).
    FwUpdateMode = "fw.update_mode"/0,
    /// The update is lost silently (RC-56).
    FwVanish = "fw.vanish"/0,
    /// For so many virtual seconds after off, on is answered 409 (RC-57).
    Power409 = "power.409"/1,
    /// Reset types stand in an ActionInfo, and GracefulRestart is the only restart (RC-58).
    PowerTypes = "power.types"/0,
    /// ForceRestart hangs until the power goes off (RC-58).
    PowerHang = "power.hang"/0,
    /// An AC cycle is accepted and not done (RC-59).
    PowerFakeAc = "power.fake_ac"/0,
    /// A boot override without a mode is dropped (RC-60).
    BootModeRequired = "boot.mode_required"/0,
    /// Only Once and Disabled are taken (RC-60).
    BootOnceOnly = "boot.once_only"/0,
    /// Pxe reads back as UefiBootNext (RC-60).
    BootNextAlias = "boot.next_alias"/0,
    /// Boot and BIOS can only be set through the settings resource, and pending blocks the next (RC-61).
    BiosPending = "bios.pending"/0,
    /// BIOS settings need a job of the vendor's (RC-61).
    BiosJob = "bios.job"/0,
    /// Attribute names carry suffixes that change with the BIOS (RC-62).
    BiosRegistry = "bios.registry"/0,
    /// `Inserted` lags (RC-63).
    VmStale = "vm.stale"/0,
    /// Media are inserted by PATCH only (RC-63).
    VmPatchOnly = "vm.patch_only"/0,
    /// No member takes a CD (RC-63).
    VmNoCd = "vm.no_cd"/0,
    /// The CD is called `UsbCd` (RC-63).
    VmUsbCd = "vm.usbcd"/0,
    /// Inserting needs user name and password (RC-63).
    VmCreds = "vm.creds"/0,
    /// Inserting takes `Image` alone and refuses anything beside it (RC-63).
    VmPayload = "vm.payload"/0,
    /// 503 while the previous eject goes on (RC-63).
    VmEject5xx = "vm.eject_5xx"/0,
    /// Virtual media belong to the system, not to the manager (RC-63).
    VmSystem = "vm.system"/0,
    /// A password is answered with 200 and not kept.
    AccountDrop = "account.drop"/0,
    /// A new certificate is shown from the BMC's next start on.
    CertLate = "cert.late"/0,
    /// A restart of the BMC is accepted and not done (RC-07).
    BmcFakeReset = "bmc.fake_reset"/0,
    /// Changes are refused for so many virtual seconds after power-on (RC-64).
    PostWindow = "post.window"/1,
    /// Datagrams come in another order (IP-01).
    UdpReorder = "udp.reorder"/0,
    /// Completion code CFh, duplicate request, to a request that is resent (IP-02).
    IpmiCf = "ipmi.cf"/0,
    /// So many answers of the handshake are lost (IP-03).
    RakpDrop = "rakp.drop"/1,
    /// Get Channel Cipher Suites is never answered (IP-04).
    IpmiCipherHang = "ipmi.cipher_hang"/0,
    /// Get Channel Cipher Suites names suites that are then refused (IP-04).
    IpmiCipherLie = "ipmi.cipher_lie"/0,
    /// The BMC has a key of its own, K_G (IP-05).
    IpmiKg = "ipmi.kg"/0,
    /// RAKP 2 carries a wrong authentication code (IP-06).
    RakpBadHmac = "rakp.bad_hmac"/0,
    /// The proof of RAKP 2 takes so many real milliseconds, as old BMCs compute it (IP-03).
    RakpSlow = "rakp.slow"/1,
    /// RAKP 1 is answered "inactive session" and the session is lost (IP-06).
    RakpInactive = "rakp.inactive"/0,
    /// Open Session takes privilege 0 only (IP-07).
    IpmiPriv0 = "ipmi.priv0"/0,
    /// The BMC does not know the name-only bit: a role that carries it is refused (IP-07).
    IpmiNameOnly = "ipmi.name_only"/0,
    /// The BMC's codes cover the privilege of Open Session in the place of RAKP 1's role (IP-07).
    RakpOpenRole = "rakp.open_role"/0,
    /// Set Session Privilege Level is refused; the session has its highest from the start (IP-08).
    IpmiSetpriv = "ipmi.setpriv"/0,
    /// Set Session Privilege Level is never answered; the session has its highest from the start (IP-08).
    IpmiSetprivSilent = "ipmi.setpriv_silent"/0,
    /// So few session slots, and none is freed but by Close Session (IP-09).
    IpmiSlots = "ipmi.slots"/1,
    /// Session sequence numbers begin just before they wrap (IP-10).
    IpmiSeq = "ipmi.seq"/0,
    /// Answers come so late that the next question is out already (IP-11).
    UdpLate = "udp.late"/0,
    /// Before each answer of a session comes a forged one: a wrong code, another session, an earlier number. With 1: in its place.
    UdpForge = "udp.forge"/1,
    /// Packets of the console are lost (IP-12).
    SolDrop = "sol.drop"/0,
    /// The console accepts only a part of what it is sent (IP-12).
    SolPartial = "sol.partial"/0,
    /// The console refuses what it is sent at first (IP-12).
    SolNack = "sol.nack"/0,
    /// Another client has the console (IP-12).
    SolBusy = "sol.busy"/0,
    /// The BMC ends the console in the middle (IP-12).
    SolReset = "sol.reset"/0,
    /// HPM.1: a block is not taken (82h, 83h, C0h) or takes long (80h), in turn (IP-14).
    HpmBusy = "hpm.busy"/0,
    /// HPM.1: blocks over 16 bytes are refused, with C7h and C8h in turn (IP-14).
    HpmBlock = "hpm.block"/0,
    /// HPM.1: the new firmware fails its self-test, and the BMC goes back by itself (IP-14).
    HpmRollback = "hpm.rollback"/0,
    /// IPMI over LAN is off (IP-15).
    IpmiDisabled = "ipmi.disabled"/0,
    /// An event is neither streamed nor pushed, but stands in the log.
    EventLost = "event.lost"/0,
    /// The stream of events ends before the next event.
    EventDrop = "event.drop"/0,
    /// Events are not streamed.
    EventNoSse = "event.no_sse"/0,
    /// Subscriptions are of the oldest schema: they must name event types, and know nothing newer.
    EventOld = "event.old"/0,
}

/// A fault in its place: what, its numbers, from which request of the BMC on (0 is the first), and how many times at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placed {
    /// What.
    pub what: BmcFault,
    /// Its numbers.
    pub args: Vec<u32>,
    /// The first request that it may strike, counted from 0.
    pub from: u32,
    /// How often it strikes at most; `None`: always.
    pub times: Option<u32>,
}

impl Placed {
    /// The first number, or 0.
    #[must_use]
    pub fn arg(&self) -> u32 {
        self.args.first().copied().unwrap_or(0)
    }
}

/// `name`, `name(1,2)`, and either with `@FROM` or `@FROMxTIMES` behind: `body.truncate@17x1`.
impl FromStr for Placed {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (fault, place) = match text.split_once('@') {
            Some((fault, place)) => (fault, Some(place)),
            None => (text, None),
        };
        let (from, times) = match place.map(|p| p.split_once('x').map_or((p, None), |(from, times)| (from, Some(times)))) {
            None => (0, None),
            Some((from, times)) => {
                let times = times.map(|t| t.parse::<u32>().map_err(|_| ())).transpose()?;
                (from.parse().map_err(|_| ())?, times)
            }
        };
        let (name, inner) = match fault.strip_suffix(')') {
            Some(open) => open.split_once('(').ok_or(())?,
            None => (fault, ""),
        };
        let mut args = Vec::new();
        for part in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            args.push(part.parse::<u32>().map_err(|_| ())?);
        }
        let what = BmcFault::ALL.iter().copied().find(|f| f.name() == name && f.arity() == args.len()).ok_or(())?;
        Ok(Self { what, args, from, times })
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.name())?;
        if !self.args.is_empty() {
            let args: Vec<String> = self.args.iter().map(ToString::to_string).collect();
            write!(f, "({})", args.join(","))?;
        }
        match (self.from, self.times) {
            (0, None) => Ok(()),
            (from, None) => write!(f, "@{from}"),
            (from, Some(times)) => write!(f, "@{from}x{times}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for what in BmcFault::ALL {
            for (from, times) in [(0, None), (17, None), (17, Some(1))] {
                let placed = Placed { what: *what, args: vec![7; what.arity()], from, times };
                assert_eq!(placed.to_string().parse(), Ok(placed));
            }
        }
        for bad in ["", "etag.star(1)", "latency", "etag.star@", "etag.star@1x", "etag.star@x1", "etag"] {
            assert_eq!(bad.parse::<Placed>(), Err(()), "{bad}");
        }
    }
}
