//! What `bringup init` writes: the worked examples of this repository, so that they are tested once and explained once. One playbook
//! only: verbs take the one that is there without `-p`. Pure; writes nothing.

macro_rules! files {
    ($($path:literal from $source:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $source)))),+]
    };
}

/// Path below the new project, and text.
pub const FILES: &[(&str, &str)] = files![
    "inventory/site.yaml" from "inventory/two-racks/site.yaml",
    "inventory/facts/nodes.csv" from "inventory/two-racks/facts/nodes.csv",
    "playbooks/site.yaml" from "playbooks/site.yaml",
    "playbooks/stacks/cuda-580.yaml" from "playbooks/stacks/cuda-580.yaml",
    "playbooks/stacks/rngd-2026.yaml" from "playbooks/stacks/rngd-2026.yaml",
    "playbooks/stacks/rbln-3.yaml" from "playbooks/stacks/rbln-3.yaml",
    "playbooks/policies/h100-acceptance.yaml" from "playbooks/policies/h100-acceptance.yaml",
    "playbooks/policies/rngd-acceptance.yaml" from "playbooks/policies/rngd-acceptance.yaml",
    "playbooks/policies/atom-max-acceptance.yaml" from "playbooks/policies/atom-max-acceptance.yaml",
    "images/ubuntu-24.04-gpu.yaml" from "images/ubuntu-24.04-gpu.yaml",
    "images/ubuntu-24.04-npu.yaml" from "images/ubuntu-24.04-npu.yaml",
];
