//! What a client must do differently for one BMC, one field a habit. The default is what the specification says. To add one: a line in the
//! table below, an entry with its evidence in `quirks.yaml`, and the code that asks for it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::word::{AcCycle, BootPlace, Expand, MediaForm, MediaPlace, Part, Push, TagStep, TaskAsk, UploadTargets};

macro_rules! habits {
    ($($(#[$doc:meta])* $name:ident : $kind:ty = $default:expr,)+) => {
        /// Habits of one BMC. Times are in seconds.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct Habits { $($(#[$doc])* pub $name: $kind,)+ }

        impl Default for Habits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// Some habits, as an entry writes them: what is left out stays as it was.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(rename = "habits")]
        pub struct SetHabits { $($(#[$doc])* #[serde(default)] pub $name: Option<$kind>,)+ }

        impl SetHabits {
            /// Puts what is written over `habits` and says which habits that were, with their values.
            pub fn apply(&self, habits: &mut Habits) -> Vec<(&'static str, Value)> {
                let mut set = Vec::new();
                $(if let Some(value) = &self.$name {
                    habits.$name = value.clone();
                    set.push((stringify!($name), serde_json::to_value(value).unwrap_or_default()));
                })+
                set
            }
        }
    };
}

habits! {
    /// Close the connection after every exchange (RC-05).
    close_connections: bool = false,
    /// An idle connection older than this is not used again for a write (RC-04).
    reuse_idle_s: u32 = 5,
    /// `Host` goes without its port (RC-12).
    bare_host: bool = false,
    /// Requests carry a `Referer` of the BMC itself (RC-12).
    referer: bool = false,
    /// `Accept-Encoding: identity` is answered 406, so that it is left out (RC-10).
    no_identity: bool = false,
    /// Reads at once (firmware.md §1.2).
    reads_at_once: u32 = 2,
    /// Longest time for one read of a path, by pattern (RC-14).
    slow_paths: BTreeMap<String, u32> = BTreeMap::new(),
    /// Session slots; 0: not known (RC-18).
    sessions: u32 = 0,

    /// `$expand` (RC-26).
    expand: Expand = Expand::AsTold,
    /// Ids of the node's system among several, by pattern; empty: by role alone (RC-27).
    system_id: String = String::new(),
    /// Ids of the node's manager among several, by pattern (RC-27).
    manager_id: String = String::new(),
    /// Ids of the node's chassis among several, by pattern (RC-27).
    chassis_id: String = String::new(),

    /// The first step of the ladder for PATCH; the others follow (RC-35).
    patch_tag: TagStep = TagStep::Given,
    /// The first step of the ladder for actions (RC-36).
    action_tag: TagStep = TagStep::None,

    /// Target, Enabled and Mode are always sent together (RC-60).
    boot_whole: bool = false,
    /// Where the boot override is written (RC-61).
    boot_place: BootPlace = BootPlace::System,
    /// The settings object below the system when no link names it, such as `SD` (RC-33).
    boot_settings: String = String::new(),
    /// `Continuous` is not taken: Once and Disabled only (RC-60).
    boot_once_only: bool = false,

    /// After off, so long passes before on is asked for (RC-57).
    wait_after_off_s: u32 = 0,
    /// A forced restart hangs: Off, 10 s, On instead (RC-58).
    restart_hangs: bool = false,
    /// How the standby power is cycled (RC-59).
    ac_cycle: AcCycle = AcCycle::Standard,
    /// How long the BMC may be away after it was restarted (firmware.md §1.2: 3–5 min).
    bmc_boot_s: u32 = 300,
    /// After that, how long parts of its tree may be missing.
    tree_settles_s: u32 = 60,

    /// Forms of the insertion, in the order in which they are tried (RC-63).
    media_forms: Vec<MediaForm> = vec![MediaForm::Whole, MediaForm::ImageOnly, MediaForm::Transfer, MediaForm::Patch],
    /// Where virtual media are looked for first (RC-63).
    media_place: MediaPlace = MediaPlace::Manager,
    /// Members that are not used, by pattern (Lenovo: `RDOC*`).
    media_not: String = String::new(),
    /// Between an eject and the next insertion.
    media_gap_s: u32 = 0,
    /// Inserting needs user name and password, if empty ones.
    media_credentials: bool = false,

    /// The BIOS settings object below the BIOS resource when no link names it, such as `Settings`, `settings`, `SD`, `Pending` (RC-33).
    bios_settings: String = "Settings".to_owned(),
    /// Collection of jobs that a BIOS change needs one of; empty: none is needed (RC-61).
    bios_jobs: String = String::new(),

    /// How an image is pushed.
    upload: Push = Push::AsTold,
    /// Where it is pushed when the service does not say.
    upload_path: String = String::new(),
    /// What `UpdateParameters` holds beside the targets; JSON.
    upload_parameters: BTreeMap<String, Value> = BTreeMap::new(),
    /// Further parts (RC-52).
    upload_parts: Vec<Part> = Vec::new(),
    /// What `Targets` names (RC-52).
    upload_targets: UploadTargets = UploadTargets::Empty,
    /// The push carries `If-Match: *`.
    upload_star: bool = false,
    /// `HttpPushUriTargetsBusy` is claimed first (Lenovo).
    upload_claim: bool = false,
    /// `StartUpdate` must be called after the push (Supermicro).
    upload_start: bool = false,
    /// Largest image in bytes when the service does not say; 0: not known (RC-48).
    upload_max: u64 = 0,
    /// Between two bundles (RC-50).
    upload_gap_s: u32 = 0,
    /// `@Redfish.OperationApplyTime`; empty: none is sent.
    apply_time: String = String::new(),

    /// What is asked for a task's progress (RC-41).
    task_ask: TaskAsk = TaskAsk::Task,
    /// A new task may be missing for so long (RC-39).
    task_grace_s: u32 = 60,
    /// A task that ended is taken away, so that 404 is its usual end (RC-40).
    task_reaped: bool = false,
    /// Tasks that one update goes through, one after another (Supermicro: verify, then update).
    task_stages: u32 = 1,
    /// Where the maker keeps the job of a task that is purged, below the manager; empty: nowhere.
    task_jobs: String = String::new(),
    /// So long without progress is a stall (RC-44).
    task_stall_s: u32 = 600,
    /// The new version may show so late (RC-53).
    version_lag_s: u32 = 1_800,
}
