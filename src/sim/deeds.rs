//! What was really done to a machine, counted. Nobody on the wire sees it: it is the proof that a client touched the machine once, whatever it
//! was told.

/// Counts since the machine was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Times that the BMC obeyed "power on", whatever the power was.
    pub on_asked: u32,
    /// Times that the BMC obeyed "power off".
    pub off_asked: u32,
    /// Times that the BMC passed on "shut down".
    pub graceful_asked: u32,
    /// Times that the BMC obeyed "power cycle".
    pub cycle_asked: u32,
    /// Times that the BMC obeyed a restart, forced or not.
    pub restart_asked: u32,
    /// Times that the BMC passed on a non-maskable interrupt.
    pub nmi_asked: u32,
    /// Times that self-test began, for whatever reason.
    pub posts: u32,
    /// Times that the standby power was taken away and given back.
    pub ac_cycled: u32,
    /// Times that the power came on.
    pub powered_on: u32,
    /// Times that the power went off.
    pub powered_off: u32,
    /// Times that the BMC took a boot override, to set or to clear one.
    pub boot_written: u32,
}
