//! How BMCs of different makers differ, as data. The servers read these fields; none of them asks for a vendor by name.

use super::pushing::{self, Pushing};

/// When a PATCH must carry `If-Match` (DSP0266 §6.5; RC-35, RC-36 of `reference/firmware.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtagRule {
    /// Never asked for; a stale one is still refused with 412.
    Optional,
    /// 428 without it; `*` is accepted.
    Required,
}

/// What a BMC says when no session slot is free (RC-18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionsFull {
    /// 503 with Dell's RAC0218 (check_redfish PR #198).
    Rac,
    /// 400 `CreateLimitReachedForResource` (gofish #75).
    BadRequest,
    /// 503 `CreateLimitReachedForResource`, as bmcweb says it.
    Unavailable,
}

/// The maker's own action that cycles the standby power (RC-59).
#[derive(Debug, PartialEq, Eq)]
pub struct Mains {
    /// It is the chassis's, not the system's.
    pub on_chassis: bool,
    /// Its name, without `#`.
    pub action: &'static str,
    /// The `ResetType` that it takes.
    pub kind: &'static str,
    /// It is refused while the node has power.
    pub host_off: bool,
}

/// One maker's habits.
#[derive(Debug, PartialEq, Eq)]
pub struct VendorProfile {
    /// Short name, such as `dell`.
    pub name: &'static str,
    /// `Manufacturer` of system and chassis.
    pub manufacturer: &'static str,
    /// `Model` of the system.
    pub model: &'static str,
    /// First letters of its serial numbers.
    pub serial_prefix: &'static str,
    /// Id of the one system.
    pub system_id: &'static str,
    /// Id of the one manager.
    pub manager_id: &'static str,
    /// Id of the one chassis.
    pub chassis_id: &'static str,
    /// `Model` of the chassis: the board's, where the maker shows that.
    pub board: &'static str,
    /// Firmware version of the BMC.
    pub bmc_version: &'static str,
    /// Version of the system ROM.
    pub bios_version: &'static str,
    /// When `If-Match` is asked for.
    pub etag: EtagRule,
    /// `ResetType`s that it allows.
    pub reset_types: &'static [&'static str],
    /// Status of an accepted reset: 200, 202 or 204 (RC-31).
    pub reset_status: u16,
    /// What it says when no session slot is free.
    pub sessions_full: SessionsFull,
    /// Sessions show when they were made and from where.
    pub sessions_tell: bool,
    /// Refuses a reset that the power state forbids with 409 (RC-32); others shrug.
    pub conflict_409: bool,
    /// Offers `UefiHttp` and `HttpBootUri`.
    pub http_boot: bool,
    /// How the standby power is cycled; `None`: not through this BMC.
    pub mains: Option<Mains>,
    /// Collections can be asked for with `$expand` (RC-26).
    pub expand: bool,
    /// Session slots (RC-18).
    pub sessions: usize,
    /// Most bytes of a sensor data record in one IPMI answer.
    pub ipmi_part: usize,
    /// It has a sensor whose curve only it knows (IPMI v2.0 §36.2); pyghmi 1.6.19 stumbles over such a one.
    pub curved_sensor: bool,
    /// A cleared event log begins with an entry that says so.
    pub notes_clearing: bool,
    /// How it keeps settings, media and itself.
    pub keeps: Keeps,
    /// How it takes firmware.
    pub pushing: Pushing,
    /// What it measures, remembers and tells.
    pub senses: Senses,
}

/// How one maker's BMC measures, remembers and tells. The forms are those of the captured trees.
#[derive(Debug, PartialEq, Eq)]
pub struct Senses {
    /// The chassis lists its sensors as resources of their own.
    pub sensors: bool,
    /// The chassis has the older `Thermal` and `Power`.
    pub older: bool,
    /// The hardware event log belongs to the system; else to the manager.
    pub log_at_system: bool,
    /// Id and name of the hardware event log.
    pub log: (&'static str, &'static str),
    /// Id and name of the manager's own log.
    pub manager_log: (&'static str, &'static str),
    /// The newest entry stands first.
    pub newest_first: bool,
    /// Entries on one page of a log.
    pub page: usize,
    /// How entries are worded.
    pub words: LogWords,
    /// Accelerators are processors of the system; else they are PCIe devices of the chassis.
    pub processors: bool,
    /// Where events are streamed; `None`: they are pushed to subscribers only.
    pub stream: Option<&'static str>,
}

/// How the entries of an event log are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWords {
    /// A sentence.
    Plain,
    /// A sentence behind a code (`[PWR-0001] …`).
    Coded,
    /// The fields of the SEL record, one after another.
    Raw,
}

/// How one maker's BMC keeps BIOS settings, virtual media and itself. The forms are those of the captured trees.
#[derive(Debug, PartialEq, Eq)]
pub struct Keeps {
    /// Id of the object that holds the pending BIOS settings.
    pub settings_id: &'static str,
    /// What that object shows.
    pub pending: PendingForm,
    /// Apply times that it offers; empty: it does not say.
    pub apply_times: &'static [&'static str],
    /// Pending settings wait for a job, which a PATCH with an apply time makes by itself (iDRAC).
    pub needs_job: bool,
    /// What `Bios` calls its attribute registry.
    pub registry: &'static str,
    /// What the registry's file is called in the collection; not the same name on every BMC.
    pub registry_file: &'static str,
    /// The system has virtual media of its own; else its manager has them.
    pub media_at_system: bool,
    /// The eject action is there while a drive is empty too.
    pub eject_always: bool,
    /// The manager says when it started.
    pub last_reset: bool,
    /// Reset types of the manager.
    pub manager_resets: &'static [&'static str],
    /// They stand in an ActionInfo.
    pub resets_in_info: bool,
}

/// What the settings object of a BIOS shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingForm {
    /// What differs; `Attributes` is empty when nothing does.
    Difference,
    /// What differs; no `Attributes` when nothing does.
    DifferenceOrNothing,
    /// Every attribute as it will be.
    Whole,
}

/// Dell-like: PATCH asks for nothing, 204 on reset.
pub const DELL: VendorProfile = VendorProfile {
    name: "dell",
    manufacturer: "Dell Inc.",
    model: "PowerEdge XE9680",
    serial_prefix: "D",
    system_id: "System.Embedded.1",
    manager_id: "iDRAC.Embedded.1",
    chassis_id: "System.Embedded.1",
    board: "PowerEdge XE9680",
    bmc_version: "7.10.50.00",
    bios_version: "2.3.5",
    etag: EtagRule::Optional,
    reset_types: &[
        "On",
        "ForceOff",
        "ForceRestart",
        "GracefulRestart",
        "GracefulShutdown",
        "PushPowerButton",
        "Nmi",
        "PowerCycle",
    ],
    reset_status: 204,
    sessions_full: SessionsFull::Rac,
    sessions_tell: true,
    conflict_409: true,
    http_boot: true,
    mains: Some(Mains { on_chassis: true, action: "DellOemChassis.ExtendedReset", kind: "PowerCycle", host_off: true }),
    expand: true,
    sessions: 8,
    ipmi_part: 255,
    curved_sensor: false,
    notes_clearing: true,
    pushing: pushing::DELL,
    keeps: Keeps {
        settings_id: "Settings",
        pending: PendingForm::Difference,
        apply_times: &["OnReset", "AtMaintenanceWindowStart", "InMaintenanceWindowOnReset"],
        needs_job: true,
        registry: "BiosAttributeRegistry.v1_0_3",
        registry_file: "BiosAttributeRegistry.v1_0_0",
        media_at_system: true,
        eject_always: true,
        last_reset: true,
        manager_resets: &["GracefulRestart"],
        resets_in_info: false,
    },
    senses: Senses {
        sensors: true,
        older: true,
        log_at_system: false,
        log: ("Sel", "SEL Log Service"),
        manager_log: ("Lclog", "LifeCycle Controller Log Service"),
        newest_first: true,
        page: 50,
        words: LogWords::Plain,
        processors: true,
        stream: Some("/redfish/v1/SSE"),
    },
};

/// Supermicro-like: no `PowerCycle`, 200 with a message on reset.
pub const SUPERMICRO: VendorProfile = VendorProfile {
    name: "supermicro",
    manufacturer: "Supermicro",
    model: "SYS-421GE-TNRT",
    serial_prefix: "S",
    system_id: "1",
    manager_id: "1",
    chassis_id: "1",
    board: "X13DEG-OAD",
    bmc_version: "01.04.05",
    bios_version: "2.1",
    etag: EtagRule::Optional,
    reset_types: &["On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "Nmi", "ForceOn"],
    reset_status: 200,
    sessions_full: SessionsFull::BadRequest,
    sessions_tell: false,
    conflict_409: false,
    http_boot: true,
    mains: Some(Mains { on_chassis: false, action: "OemSystemExtensions.Reset", kind: "ACCycle", host_off: false }),
    expand: false,
    sessions: 16,
    ipmi_part: 64,
    curved_sensor: false,
    notes_clearing: false,
    pushing: pushing::SUPERMICRO,
    keeps: Keeps {
        settings_id: "SD",
        pending: PendingForm::DifferenceOrNothing,
        apply_times: &[],
        needs_job: false,
        registry: "BiosAttributeRegistry.v1_0_0",
        registry_file: "BiosAttributeRegistry",
        media_at_system: false,
        eject_always: false,
        last_reset: true,
        manager_resets: &["GracefulRestart"],
        resets_in_info: false,
    },
    senses: Senses {
        sensors: false,
        older: true,
        log_at_system: true,
        log: ("Log1", "Health Event Log Service"),
        manager_log: ("Log1", "Maintenance Event Log Service"),
        newest_first: false,
        page: 1_000,
        words: LogWords::Coded,
        processors: false,
        stream: None,
    },
};

/// AMI-like (DGX): `If-Match` is a must, 202 on reset.
pub const AMI: VendorProfile = VendorProfile {
    name: "ami",
    manufacturer: "NVIDIA",
    model: "DGXH100",
    serial_prefix: "N",
    system_id: "DGX",
    manager_id: "BMC",
    chassis_id: "DGX",
    board: "DGXH100",
    bmc_version: "24.09.17",
    bios_version: "1.06.07",
    etag: EtagRule::Required,
    reset_types: &["On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle"],
    reset_status: 202,
    sessions_full: SessionsFull::Unavailable,
    sessions_tell: true,
    conflict_409: false,
    http_boot: true,
    mains: None,
    expand: false,
    sessions: 12,
    ipmi_part: 32,
    curved_sensor: true,
    notes_clearing: false,
    pushing: pushing::AMI,
    keeps: Keeps {
        settings_id: "SD",
        pending: PendingForm::Whole,
        apply_times: &[],
        needs_job: false,
        registry: "BiosAttributeRegistry113.1.1.3",
        registry_file: "BiosAttributeRegistry113.1.1.3",
        media_at_system: false,
        eject_always: true,
        last_reset: false,
        manager_resets: &["ForceRestart"],
        resets_in_info: true,
    },
    senses: Senses {
        sensors: true,
        older: false,
        log_at_system: false,
        log: ("SEL", "IPMI SEL"),
        manager_log: ("AuditLog", "Audit Log"),
        newest_first: false,
        page: 75,
        words: LogWords::Raw,
        processors: true,
        stream: Some("/redfish/v1/EventService/SSE"),
    },
};

/// All profiles, in the order in which a farm deals them out.
pub const ALL: [&VendorProfile; 3] = [&DELL, &SUPERMICRO, &AMI];

/// Finds a profile by its short name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static VendorProfile> {
    ALL.into_iter().find(|profile| profile.name == name)
}
