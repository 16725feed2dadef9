//! What `nvidia-smi` prints for H100 SXM boards: the whole `-q -x` log, the NVLink status, the list and the short table.

use std::fmt::Write as _;

use super::Card;

/// VBIOS of every board.
pub(super) const VBIOS: &str = "96.00.99.00.01";
const PRODUCT: &str = "NVIDIA H100 80GB HBM3";
/// NVLinks of an H100 SXM, and GB/s of each (`reference/accelerators.md` check 44).
const LINKS: u32 = 18;

/// Boards that the driver sees, with the index that it gives them.
fn present(cards: &[Card]) -> impl Iterator<Item = (usize, &Card)> {
    cards.iter().filter(|c| !c.missing).enumerate()
}

/// `nvidia-smi -L`.
#[must_use]
pub fn list(cards: &[Card]) -> String {
    present(cards).map(|(index, card)| format!("GPU {index}: {PRODUCT} (UUID: GPU-{})\n", card.uuid)).collect()
}

/// `nvidia-smi nvlink --status`.
#[must_use]
pub fn nvlink(cards: &[Card]) -> String {
    let mut text = String::new();
    for (index, card) in present(cards) {
        // A write to a String cannot fail.
        let _ = writeln!(text, "GPU {index}: {PRODUCT} (UUID: GPU-{})", card.uuid);
        for link in 0..LINKS {
            let _ = writeln!(text, "\t Link {link}: 26.562 GB/s");
        }
    }
    text
}

/// `nvidia-smi` without arguments, for people.
#[must_use]
pub fn table(cards: &[Card], driver: &str) -> String {
    let mut text = format!("NVIDIA-SMI {driver}   Driver Version: {driver}   CUDA Version: 13.0\n");
    for (index, card) in present(cards) {
        let _ = writeln!(text, "| {index}  {PRODUCT}  00000000:{:02X}:00.0  {}C  68W / 700W |", card.bus, card.temperature_c);
    }
    text
}

/// `nvidia-smi -q -x`.
#[must_use]
pub fn log(cards: &[Card], driver: &str) -> String {
    let mut xml = Xml { text: String::with_capacity(64 * 1024), depth: 0 };
    xml.text.push_str("<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v13.dtd\">\n");
    xml.group("nvidia_smi_log", "", |x| {
        x.leaf("timestamp", "Thu Jan  1 00:00:00 2026");
        x.leaf("driver_version", driver);
        x.leaf("cuda_version", "13.0");
        x.leaf("attached_gpus", &present(cards).count().to_string());
        for (index, card) in present(cards) {
            x.group("gpu", &format!(" id=\"{}\"", bus_id(card)), |x| gpu(x, index, card, driver));
        }
    });
    xml.text
}

fn bus_id(card: &Card) -> String {
    format!("00000000:{:02X}:00.0", card.bus)
}

fn gpu(x: &mut Xml, index: usize, card: &Card, driver: &str) {
    x.leaves(&[
        ("product_name", PRODUCT),
        ("product_brand", "NVIDIA"),
        ("product_architecture", "Hopper"),
        ("persistence_mode", "Enabled"),
        ("addressing_mode", "HMM"),
    ]);
    x.group("mig_mode", "", |x| x.leaves(&[("current_mig", "Disabled"), ("pending_mig", "Disabled")]));
    x.leaf("serial", &card.serial);
    x.leaf("uuid", &format!("GPU-{}", card.uuid));
    x.leaf("minor_number", &index.to_string());
    x.leaves(&[
        ("vbios_version", VBIOS),
        ("multigpu_board", "No"),
        ("board_part_number", "692-2G520-0200-000"),
        ("gpu_part_number", "2330-885-A1"),
    ]);
    x.leaf("board_id", &format!("0x{:x}00", card.bus));
    x.group("platformInfo", "", |x| x.leaf("module_id", &(card.slot + 1).to_string()));
    x.group("inforom_version", "", |x| {
        x.leaves(&[("img_version", "G520.0200.00.05"), ("oem_object", "2.1"), ("ecc_object", "7.16"), ("pwr_object", "N/A")]);
    });
    // The driver's own advice: a row that waits asks for a reset; for a row without a spare no reset helps.
    let advice = match (card.remap_failure, card.remap_pending) {
        (true, _) => "None",
        (false, true) => "Reset",
        (false, false) => "None",
    };
    x.leaf("gpu_recovery_action", advice);
    x.leaf("gsp_firmware_version", driver);
    pci(x, card);
    x.leaves(&[("fan_speed", "N/A"), ("performance_state", "P0")]);
    clocks_event_reasons(x, card);
    x.group("fb_memory_usage", "", |x| {
        x.leaves(&[("total", "81559 MiB"), ("reserved", "480 MiB"), ("used", "0 MiB"), ("free", "81080 MiB")]);
    });
    x.leaf("compute_mode", "Default");
    x.group("utilization", "", |x| x.leaves(&[("gpu_util", "0 %"), ("memory_util", "0 %")]));
    x.group("ecc_mode", "", |x| x.leaves(&[("current_ecc", "Enabled"), ("pending_ecc", "Enabled")]));
    ecc_errors(x, card);
    x.group("retired_pages", "", |x| {
        for kind in ["multiple_single_bit_retirement", "double_bit_retirement"] {
            x.group(kind, "", |x| x.leaves(&[("retired_count", "N/A"), ("retired_pagelist", "N/A")]));
        }
        x.leaves(&[("pending_blacklist", "N/A"), ("pending_retirement", "N/A")]);
    });
    remapped_rows(x, card);
    temperature(x, card);
    x.group("gpu_power_readings", "", |x| {
        x.leaves(&[
            ("power_state", "P0"),
            ("average_power_draw", "68.57 W"),
            ("instant_power_draw", "68.92 W"),
            ("current_power_limit", "700.00 W"),
            ("default_power_limit", "700.00 W"),
            ("max_power_limit", "700.00 W"),
        ]);
    });
    x.group("clocks", "", |x| {
        x.leaves(&[
            ("graphics_clock", "345 MHz"),
            ("sm_clock", "345 MHz"),
            ("mem_clock", "2619 MHz"),
            ("video_clock", "765 MHz"),
        ]);
    });
    x.group("fabric", "", |x| {
        x.leaves(&[("state", "Completed"), ("status", "Success"), ("cliqueId", "0")]);
        x.group("health", "", |x| x.leaf("bandwidth", "N/A"));
    });
    x.leaf("processes", "");
}

fn pci(x: &mut Xml, card: &Card) {
    x.group("pci", "", |x| {
        x.leaf("pci_bus", &format!("{:02X}", card.bus));
        x.leaves(&[
            ("pci_device", "00"),
            ("pci_domain", "0000"),
            ("pci_base_class", "3"),
            ("pci_sub_class", "2"),
            ("pci_device_id", "233010DE"),
        ]);
        x.leaf("pci_bus_id", &bus_id(card));
        x.leaf("pci_sub_system_id", "16C110DE");
        x.group("pci_gpu_link_info", "", |x| {
            x.group("pcie_gen", "", |x| {
                x.leaves(&[
                    ("max_link_gen", "5"),
                    ("current_link_gen", "5"),
                    ("device_current_link_gen", "5"),
                    ("max_device_link_gen", "5"),
                    ("max_host_link_gen", "N/A"),
                ]);
            });
            x.group("link_widths", "", |x| {
                x.leaf("max_link_width", "16x");
                x.leaf("current_link_width", &format!("{}x", card.width));
            });
        });
        x.leaves(&[("replay_counter", "0"), ("replay_rollover_counter", "0"), ("tx_util", "502 KB/s"), ("rx_util", "578 KB/s")]);
    });
}

fn clocks_event_reasons(x: &mut Xml, card: &Card) {
    // H100 slows itself down at about 87 °C (the capture's 29 °C and T.Limit 58 °C add up to it).
    let hot = if card.temperature_c >= 87 { "Active" } else { "Not Active" };
    x.group("clocks_event_reasons", "", |x| {
        x.leaves(&[
            ("clocks_event_reason_gpu_idle", "Active"),
            ("clocks_event_reason_applications_clocks_setting", "Not Active"),
            ("clocks_event_reason_sw_power_cap", "Not Active"),
            ("clocks_event_reason_hw_slowdown", hot),
            ("clocks_event_reason_hw_thermal_slowdown", hot),
            ("clocks_event_reason_hw_power_brake_slowdown", "Not Active"),
            ("clocks_event_reason_sync_boost", "Not Active"),
            ("clocks_event_reason_sw_thermal_slowdown", hot),
        ]);
    });
}

fn ecc_errors(x: &mut Xml, card: &Card) {
    let count = card.uncorrectable.to_string();
    x.group("ecc_errors", "", |x| {
        for period in ["volatile", "aggregate"] {
            x.group(period, "", |x| {
                x.leaves(&[
                    ("sram_correctable", "0"),
                    ("sram_uncorrectable_parity", "0"),
                    ("sram_uncorrectable_secded", "0"),
                    ("dram_correctable", "0"),
                    ("dram_uncorrectable", &count),
                ]);
                if period == "aggregate" {
                    x.leaf("sram_threshold_exceeded", "No");
                }
            });
        }
        x.group("aggregate_uncorrectable_sram_sources", "", |x| {
            for source in ["sram_l2", "sram_sm", "sram_microcontroller", "sram_pcie", "sram_other"] {
                x.leaf(source, "0");
            }
        });
        x.leaves(&[("channel_repair_pending", "No"), ("tpc_repair_pending", "No")]);
    });
}

fn remapped_rows(x: &mut Xml, card: &Card) {
    let yes = |b: bool| if b { "Yes" } else { "No" };
    let rows = if card.remap_pending || card.remap_failure { "1" } else { "0" };
    x.group("remapped_rows", "", |x| {
        x.leaves(&[
            ("remapped_row_corr", "0"),
            ("remapped_row_unc", rows),
            ("remapped_row_pending", yes(card.remap_pending)),
            ("remapped_row_failure", yes(card.remap_failure)),
        ]);
        let (max, none) = if card.remap_failure { ("2559 bank(s)", "1 bank(s)") } else { ("2560 bank(s)", "0 bank(s)") };
        x.group("row_remapper_histogram", "", |x| {
            x.leaves(&[
                ("row_remapper_histogram_max", max),
                ("row_remapper_histogram_high", "0 bank(s)"),
                ("row_remapper_histogram_partial", "0 bank(s)"),
                ("row_remapper_histogram_low", "0 bank(s)"),
                ("row_remapper_histogram_none", none),
            ]);
        });
    });
}

fn temperature(x: &mut Xml, card: &Card) {
    x.group("temperature", "", |x| {
        x.leaf("gpu_temp", &format!("{} C", card.temperature_c));
        x.leaf("gpu_temp_tlimit", &format!("{} C", 87 - i64::from(card.temperature_c)));
        x.leaves(&[
            ("gpu_temp_max_tlimit_threshold", "-8 C"),
            ("gpu_temp_slow_tlimit_threshold", "-2 C"),
            ("gpu_temp_max_gpu_tlimit_threshold", "0 C"),
            ("gpu_target_temperature", "N/A"),
        ]);
        x.leaf("memory_temp", &format!("{} C", card.temperature_c.saturating_add(8)));
        x.leaf("gpu_temp_max_mem_tlimit_threshold", "0 C");
    });
}

/// Writes elements with tabs as the real tool does. All text comes from this program: there is nothing to escape.
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn line(&mut self, line: &str) {
        self.text.extend(std::iter::repeat_n('\t', self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn leaf(&mut self, name: &str, text: &str) {
        self.line(&format!("<{name}>{text}</{name}>"));
    }

    fn leaves(&mut self, leaves: &[(&str, &str)]) {
        for (name, text) in leaves {
            self.leaf(name, text);
        }
    }

    fn group(&mut self, name: &str, attributes: &str, inner: impl FnOnce(&mut Self)) {
        self.line(&format!("<{name}{attributes}>"));
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }
}
