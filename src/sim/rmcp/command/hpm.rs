//! Firmware by PICMG HPM.1 R1.0: group extension commands 2Eh to 37h, PICMG's number leading question and answer. It takes blocks, hands the whole to
//! the machine's firmware, and tells what that is at. It knows nothing of the file that the blocks come from.

use super::{Answer, code, netfn};
use crate::sim::fault::BmcFault;
use crate::sim::firmware::{Activation, Phase, Wrong};
use crate::sim::handle::MachineHandle;
use crate::sim::image::Image;
use crate::sim::rmcp::message::Request;
use crate::sim::rmcp::session::level;

const PICMG: u8 = 0x00;

const CAPABILITIES: u8 = 0x2e;
const PROPERTIES: u8 = 0x2f;
const ABORT: u8 = 0x30;
const INITIATE: u8 = 0x31;
const BLOCK: u8 = 0x32;
const FINISH: u8 = 0x33;
const STATUS: u8 = 0x34;
const ACTIVATE: u8 = 0x35;
const SELF_TEST: u8 = 0x36;
const ROLLBACK: u8 = 0x37;

/// The commands' own completion codes.
const IN_PROGRESS: u8 = 0x80;
const NO_COMPONENT: u8 = 0x81;
const OTHER_SIZE: u8 = 0x81;
const BAD_SUM: u8 = 0x82;
const BAD_IMAGE: u8 = 0x83;
const NO_PROPERTY: u8 = 0x83;
const TOO_LONG: u8 = 0xc8;

/// Components, by their numbers.
const COMPONENTS: [&str; 4] = ["BMC", "BIOS", "CPLD", "PSU_1"];
/// Self-test, going back by itself, deferred activation; with bit 7 an upgrade is undesirable.
const ABLE: u8 = 0x13;
const UNDESIRABLE: u8 = 0x80;
/// In steps of 5 s: a long command, the self-test, going back, being away. Writing and a restart take 200 virtual seconds.
const TIMES: [u8; 4] = [60, 2, 2, 60];
/// Longest block with `hpm.block`.
const SHORT: usize = 16;
/// Largest firmware that is taken, in bytes.
const MOST: usize = 64 << 20;
/// No version.
const NONE: [u8; 6] = [0xff; 6];

/// What goes on.
#[derive(Default)]
pub(super) struct Hpm {
    load: Option<Load>,
    /// The last long command, and the update of the machine that it began.
    last: Option<(u8, Option<u64>)>,
    /// Looks at a block that takes long before it is done.
    lingers: u32,
    /// How often a fault has struck.
    struck: u32,
    /// Components that went back, as bits.
    back: u8,
    /// Restarts of the BMC that it has lived through: each forgets all of this.
    restarts: u32,
}

struct Load {
    component: u8,
    data: Vec<u8>,
    /// The last block: its number, and what was in it.
    last: Option<(u8, Vec<u8>)>,
}

/// True for a command of this file.
pub(super) fn knows(request: &Request<'_>) -> bool {
    request.netfn == netfn::GROUP && request.data.first() == Some(&PICMG) && (CAPABILITIES..=ROLLBACK).contains(&request.command)
}

/// Looking is for every user, changing for an administrator.
pub(super) fn needs(command: u8) -> u8 {
    match command {
        CAPABILITIES | PROPERTIES | STATUS | SELF_TEST | ROLLBACK => level::USER,
        _ => level::ADMIN,
    }
}

pub(super) fn run(machine: &MachineHandle, hpm: &mut Hpm, command: u8, data: &[u8]) -> Answer {
    let restarts = machine.bmc_restarts();
    if restarts != hpm.restarts {
        *hpm = Hpm { restarts, ..Hpm::default() };
    }
    let data = data.get(1..).unwrap_or_default();
    let said = match (command, data) {
        (CAPABILITIES, []) => Ok(capabilities(machine)),
        (PROPERTIES, [component, property]) => properties(machine, *component, *property),
        (ABORT, []) => {
            hpm.load = None;
            machine.firmware(|firmware, _| firmware.forget());
            Ok(Vec::new())
        }
        (INITIATE, [mask, action]) => hpm.initiate(machine, *mask, *action),
        (BLOCK, [number, block @ ..]) if !block.is_empty() => hpm.block(machine, *number, block),
        (FINISH, [component, a, b, c, d]) => hpm.finish(machine, *component, u32::from_le_bytes([*a, *b, *c, *d])),
        (STATUS, []) => Ok(hpm.status(machine)),
        (ACTIVATE, [] | [_]) => hpm.activate(machine),
        (SELF_TEST, []) => hpm.settled(machine).map(|()| if hpm.back == 0 { vec![0x55, 0x00] } else { vec![0x57, 0x02] }),
        (ROLLBACK, []) => hpm.settled(machine).map(|()| vec![hpm.back]),
        _ => Err(code::LENGTH),
    };
    said.map(|said| [&[PICMG][..], &said].concat())
}

fn capabilities(machine: &MachineHandle) -> Vec<u8> {
    let (busy, present) = machine.firmware(|firmware, _| {
        let has = |name: &&str| firmware.item(name).is_some();
        let mask = COMPONENTS.iter().enumerate().filter(|(_, name)| has(name)).fold(0_u8, |mask, (at, _)| mask | (1 << at));
        (firmware.busy(), mask)
    });
    let [upgrade, test, back, away] = TIMES;
    vec![0x00, ABLE | if busy { UNDESIRABLE } else { 0 }, upgrade, test, back, away, present]
}

fn properties(machine: &MachineHandle, component: u8, property: u8) -> Answer {
    let name = *COMPONENTS.get(usize::from(component)).ok_or(BAD_SUM)?;
    machine.firmware(|firmware, now| {
        let item = firmware.item(name).ok_or(BAD_SUM)?;
        Ok(match property {
            // Kept by the BMC, can be prepared, tells what waits; some run only after the node was started.
            0 => vec![0x15 | if item.activation == Activation::Node { 0x20 } else { 0 }],
            1 => version(item.shown(now)).to_vec(),
            2 => {
                let mut text = name.as_bytes().to_vec();
                text.resize(12, 0);
                text
            }
            3 => NONE.to_vec(),
            4 => firmware.waits(name).map_or(NONE, version).to_vec(),
            _ => return Err(NO_PROPERTY),
        })
    })
}

/// A version in six bytes: the first number, two digits in BCD, and four bytes of the maker's own.
fn version(text: &str) -> [u8; 6] {
    let mut parts = text.split('.');
    let major = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    let mut bytes = [major, 0, 0, 0, 0, 0];
    for (byte, part) in bytes.iter_mut().skip(1).zip(parts) {
        *byte = u8::from_str_radix(part, 16).unwrap_or(0);
    }
    bytes
}

impl Hpm {
    fn initiate(&mut self, machine: &MachineHandle, mask: u8, action: u8) -> Answer {
        if mask == 0 || usize::from(mask) >> COMPONENTS.len() != 0 {
            return Err(NO_COMPONENT);
        }
        if machine.firmware(|firmware, _| firmware.busy()) {
            return Err(code::STATE);
        }
        match action {
            0 | 1 => {}
            2 if mask.count_ones() == 1 => {
                let component = u8::try_from(mask.trailing_zeros()).map_err(|_| NO_COMPONENT)?;
                machine.firmware(|firmware, _| firmware.forget());
                self.load = Some(Load { component, data: Vec::new(), last: None });
            }
            _ => return Err(NO_COMPONENT),
        }
        (self.last, self.back) = (Some((INITIATE, None)), 0);
        Ok(Vec::new())
    }

    fn block(&mut self, machine: &MachineHandle, number: u8, block: &[u8]) -> Answer {
        let Some(load) = &mut self.load else { return Err(code::STATE) };
        if block.len() > SHORT && machine.bends(BmcFault::HpmBlock).is_some() {
            self.struck += 1;
            return Err(if self.struck.is_multiple_of(2) { TOO_LONG } else { code::LENGTH });
        }
        let again = load.last.as_ref().is_some_and(|(last, data)| *last == number && data == block);
        let struck = machine.strikes(BmcFault::HpmBusy).map(|_| {
            self.struck += 1;
            self.struck % 4
        });
        match struck {
            Some(1) => return Err(BAD_SUM),
            Some(2) => return Err(BAD_IMAGE),
            Some(3) => return Err(0xc0),
            _ => {}
        }
        if !again {
            let due = load.last.as_ref().map_or(0, |(last, _)| last.wrapping_add(1));
            if number != due || load.data.len() + block.len() > MOST {
                return Err(BAD_SUM);
            }
            load.data.extend(block);
            load.last = Some((number, block.to_vec()));
        }
        self.last = Some((BLOCK, None));
        if struck.is_some() {
            self.lingers = 2;
            return Err(IN_PROGRESS);
        }
        Ok(Vec::new())
    }

    fn finish(&mut self, machine: &MachineHandle, component: u8, length: u32) -> Answer {
        let load = self.load.take().filter(|load| load.component == component).ok_or(code::STATE)?;
        if u32::try_from(load.data.len()) != Ok(length) {
            return Err(OTHER_SIZE);
        }
        let image = Image::read(&load.data).ok_or(BAD_SUM)?;
        if COMPONENTS.get(usize::from(component)) != Some(&image.component.as_str()) {
            return Err(BAD_IMAGE);
        }
        let begun = machine.firmware(|firmware, now| {
            firmware.arrived();
            firmware.begin(now, image, true, Wrong::default())
        });
        self.last = Some((FINISH, Some(begun.ok_or(BAD_IMAGE)?)));
        Err(IN_PROGRESS)
    }

    fn activate(&mut self, machine: &MachineHandle) -> Answer {
        let waits = machine.firmware(|firmware, _| COMPONENTS.iter().any(|name| firmware.waits(name).is_some()));
        let fails = waits && machine.strikes(BmcFault::HpmRollback).is_some();
        let number = machine.firmware(|firmware, now| firmware.activate(now, fails)).ok_or(code::STATE)?;
        if fails {
            let item = machine.firmware(|firmware, _| firmware.update(number).map(|update| update.item.clone()));
            let at = item.and_then(|item| COMPONENTS.iter().position(|name| *name == item)).unwrap_or(0);
            self.back = 1 << at;
        }
        self.last = Some((ACTIVATE, Some(number)));
        Err(IN_PROGRESS)
    }

    /// How far the machine has come with what was begun last.
    fn code(&self, machine: &MachineHandle) -> u8 {
        let Some((_, Some(number))) = self.last else { return 0 };
        machine.firmware(|firmware, _| match firmware.update(number).map(|update| &update.phase) {
            Some(Phase::Verifying | Phase::Writing) => IN_PROGRESS,
            Some(Phase::Waiting | Phase::Done) => 0,
            // What went back was activated, and then failed its test.
            Some(Phase::Failed(_)) if self.back != 0 => 0,
            Some(Phase::Failed(_) | Phase::Lost) | None => BAD_SUM,
        })
    }

    fn status(&mut self, machine: &MachineHandle) -> Vec<u8> {
        let command = self.last.map_or(0, |(command, _)| command);
        if command == BLOCK && self.lingers > 0 {
            self.lingers -= 1;
            return vec![command, IN_PROGRESS];
        }
        vec![command, self.code(machine)]
    }

    /// A result comes when nothing goes on any more.
    fn settled(&self, machine: &MachineHandle) -> Result<(), u8> {
        if self.code(machine) == IN_PROGRESS { Err(IN_PROGRESS) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_have_six_bytes() {
        assert_eq!(version("24.09.17"), [24, 0x09, 0x17, 0, 0, 0]);
        assert_eq!(version("99.01"), [99, 1, 0, 0, 0, 0]);
        assert_eq!(version("00.1D.7D"), [0, 0x1d, 0x7d, 0, 0, 0]);
        assert_eq!(version("x.999.1.2.3.4.5.6"), [0, 0, 1, 2, 3, 4]);
    }
}
