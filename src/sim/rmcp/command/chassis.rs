//! Chassis commands (§28): power, identify, boot options. What they ask for happens in the machine, in its own time.

use super::{Answer, State, code};
use crate::model::{BootMode, BootOverride, BootTarget, PowerVerb};
use crate::sim::handle::MachineHandle;

pub(super) const CAPABILITIES: u8 = 0x00;
pub(super) const STATUS: u8 = 0x01;
pub(super) const CONTROL: u8 = 0x02;
pub(super) const IDENTIFY: u8 = 0x04;
pub(super) const SET_POLICY: u8 = 0x06;
pub(super) const RESTART_CAUSE: u8 = 0x07;
pub(super) const SET_BOOT: u8 = 0x08;
pub(super) const GET_BOOT: u8 = 0x09;

/// Boot option parameter "boot flags".
const BOOT_FLAGS: u8 = 5;

pub(super) fn run(machine: &MachineHandle, state: &mut State, command: u8, data: &[u8]) -> Answer {
    match (command, data) {
        (CAPABILITIES, []) => Ok(vec![0x00, 0x20, 0x20, 0x20, 0x20]),
        (STATUS, []) => Ok(status(machine, state)),
        (CONTROL, [verb]) => control(machine, *verb),
        (IDENTIFY, []) => identify(state, 15, false),
        (IDENTIFY, [seconds]) => identify(state, *seconds, false),
        (IDENTIFY, [seconds, force]) => identify(state, *seconds, force & 1 == 1),
        // The policies that are supported come back: stays off, previous, powers up. 3 changes nothing.
        (SET_POLICY, [3]) => Ok(vec![0x07]),
        (SET_POLICY, [policy @ 0..=2]) => {
            state.policy = *policy;
            Ok(vec![0x07])
        }
        // By chassis control command.
        (RESTART_CAUSE, []) => Ok(vec![0x01, 0x01]),
        (SET_BOOT, [parameter, value @ ..]) => set_boot(machine, state, parameter & 0x7f, value),
        (GET_BOOT, [parameter, _, _]) => get_boot(machine, state, parameter & 0x7f),
        _ => Err(code::LENGTH),
    }
}

/// Power and its restore policy; identify is supported and its state is told.
fn status(machine: &MachineHandle, state: &State) -> Vec<u8> {
    vec![u8::from(machine.is_powered()) | (state.policy << 5), 0x00, 0x40 | (state.identify << 4)]
}

/// §28.3. A reset has no verb of its own in the machine: it goes through a short darkness like a cycle.
fn control(machine: &MachineHandle, verb: u8) -> Answer {
    let verb = match verb & 0x0f {
        0x00 => PowerVerb::Off,
        0x01 => PowerVerb::On,
        0x02 | 0x03 => PowerVerb::Cycle,
        0x05 => PowerVerb::Graceful,
        _ => return Err(code::FIELD),
    };
    if matches!(verb, PowerVerb::Cycle | PowerVerb::Graceful) && !machine.is_powered() {
        return Err(code::STATE);
    }
    machine.power(verb);
    Ok(Vec::new())
}

fn identify(state: &mut State, seconds: u8, forever: bool) -> Answer {
    state.identify = match (seconds, forever) {
        (_, true) => 2,
        (0, false) => 0,
        _ => 1,
    };
    Ok(Vec::new())
}

/// §28.12. Parameters 0 to 4 are kept as they are sent; of 5 the machine keeps what it means.
fn set_boot(machine: &MachineHandle, state: &mut State, parameter: u8, value: &[u8]) -> Answer {
    if parameter == BOOT_FLAGS {
        let [flags, device, _, _, _] = *value else { return Err(code::LENGTH) };
        machine.set_boot_override(meaning(flags, device)?);
        return Ok(Vec::new());
    }
    let Some(kept) = state.boot.get_mut(usize::from(parameter)) else { return Err(code::PARAMETER) };
    match *value {
        // No data: only the parameter's lock is meant.
        [] => {}
        [one] => *kept = [one, 0],
        [one, two] if parameter == 4 => *kept = [one, two],
        _ => return Err(code::LENGTH),
    }
    Ok(Vec::new())
}

fn get_boot(machine: &MachineHandle, state: &State, parameter: u8) -> Answer {
    let mut out = vec![0x01, parameter];
    match parameter {
        BOOT_FLAGS => out.extend(flags(&machine.boot_override())),
        _ => {
            let kept = state.boot.get(usize::from(parameter)).ok_or(code::PARAMETER)?;
            out.extend(kept.iter().take(if parameter == 4 { 2 } else { 1 }));
        }
    }
    Ok(out)
}

/// Table 28-14: bit 7 valid, bit 6 every boot, bit 5 EFI; the device in bits 5 to 2.
fn meaning(flags: u8, device: u8) -> Result<BootOverride, u8> {
    let target = match (device >> 2) & 0x0f {
        _ if flags & 0x80 == 0 => return Ok(BootOverride::none()),
        0 => return Ok(BootOverride::none()),
        1 => BootTarget::Pxe,
        2 | 3 => BootTarget::Disk,
        5 => BootTarget::Cd,
        6 => BootTarget::Setup,
        _ => return Err(code::FIELD),
    };
    let mode = if flags & 0x20 == 0 { BootMode::Legacy } else { BootMode::Uefi };
    Ok(BootOverride { target, once: flags & 0x40 == 0, mode: Some(mode), http_uri: None })
}

fn flags(boot: &BootOverride) -> [u8; 5] {
    let device = match boot.target {
        BootTarget::None => return [0; 5],
        // IPMI has no word for UEFI HTTP boot, which only Redfish can set; the network is the nearest.
        BootTarget::Pxe | BootTarget::UefiHttp => 1,
        BootTarget::Disk => 2,
        BootTarget::Cd => 5,
        BootTarget::Setup => 6,
    };
    let every = if boot.once { 0x00 } else { 0x40 };
    let efi = if boot.mode == Some(BootMode::Legacy) { 0x00 } else { 0x20 };
    [0x80 | every | efi, device << 2, 0, 0, 0]
}
