//! What this BMC does otherwise than the standard says, by its faults (IP-02 to IP-10, IP-15). It answers nothing by itself: the handshake, the
//! session and the commands ask it.

use super::message::Request;
use crate::sim::fault::BmcFault;
use crate::sim::handle::MachineHandle;

/// The key of its own (K_G) that a BMC with `ipmi.kg` has. It protects a simulation and nothing else.
pub const BMC_KEY: [u8; 20] = *b"simulated-bmc-key-20";

/// Application commands.
const APP: u8 = 0x06;
const CIPHER_SUITES: u8 = 0x54;
const SET_PRIVILEGE: u8 = 0x3b;

/// "Cannot execute duplicated request".
pub(super) const DUPLICATE: u8 = 0xcf;

/// True for a command that this BMC never answers.
pub(super) fn mute(machine: &MachineHandle, request: &Request<'_>) -> bool {
    let fault = match (request.netfn, request.command) {
        (APP, CIPHER_SUITES) => BmcFault::IpmiCipherHang,
        (APP, SET_PRIVILEGE) => BmcFault::IpmiSetprivSilent,
        _ => return false,
    };
    machine.bends(fault).is_some()
}

/// True for a BMC whose sessions have their highest privilege from the start, and that does not let it be set.
pub(super) fn fixed_privilege(machine: &MachineHandle) -> bool {
    machine.bends(BmcFault::IpmiSetpriv).is_some() || machine.bends(BmcFault::IpmiSetprivSilent).is_some()
}

/// How a BMC that remembers request numbers meets the same number again (IP-02).
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    last: Option<Remembered>,
}

#[derive(Debug, Clone)]
struct Remembered {
    /// Network function, command, request number.
    key: (u8, u8, u8),
    /// The answer that was kept back.
    answer: Vec<u8>,
    told: u32,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Met {
    /// It is new.
    New,
    /// It is called a duplicate.
    Duplicate,
    /// The answer that was kept back comes now.
    Answer(Vec<u8>),
}

impl Memory {
    /// Meets a request: the second time it is a duplicate; after that, an even number gets its answer (it was being worked on) and an odd one
    /// never does (it was lost).
    pub(super) fn meet(&mut self, request: &Request<'_>) -> Met {
        let key = (request.netfn, request.command, request.sequence());
        match &mut self.last {
            Some(last) if last.key == key => {
                last.told += 1;
                if last.told >= 2 && last.key.2.is_multiple_of(2) { Met::Answer(last.answer.clone()) } else { Met::Duplicate }
            }
            _ => Met::New,
        }
    }

    /// Keeps an answer back.
    pub(super) fn keep(&mut self, request: &Request<'_>, answer: Vec<u8>) {
        let key = (request.netfn, request.command, request.sequence());
        self.last = Some(Remembered { key, answer, told: 0 });
    }

    /// Forgets it: another question came.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}
